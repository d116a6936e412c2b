//! Purges what has expired, ten minutes after the start and every ten minutes from then on.

use std::time::Duration;

use crate::{
    actions::{
        apply_retention::{Removed, apply_retention},
        purge_expired::{Purged, mend_last_uses, purge_expired},
    },
    app::App,
    store::StoreError,
    supervision::{Failing, Part},
};

const EVERY: Duration = Duration::from_secs(600);

/// Runs until it is dropped.
pub async fn run(app: App) {
    let mut ticks = tokio::time::interval(EVERY);
    // A machine that was just started may still have the time that its battery kept, and nobody knows yet that it is wrong.
    let mut is_first_run = true;
    let mut failing = Failing::default();
    loop {
        ticks.tick().await;
        app.supervision.step(Part::PurgeExpired);
        if std::mem::take(&mut is_first_run) {
            continue;
        }
        let mut failed = false;
        let mut note = |what: &'static str, error: StoreError| {
            failed = true;
            if failing.is_news((what, error.kind()), app.clock.since_boot()) {
                tracing::warn!(%error, "{what}; the next run, in ten minutes, tries again");
            }
        };
        if let Err(error) = mend_last_uses(&app).await {
            note("last uses could not be looked at", error);
        }
        match purge_expired(&app).await {
            Ok(Purged { sessions, form_tokens, hours, old_usage }) => {
                tracing::debug!(sessions, form_tokens, hours, old_usage, "purged what has expired");
            }
            Err(error) => note("not everything that has expired was purged", error),
        }
        match apply_retention(&app).await {
            Ok(removed) if removed == Removed::default() => {}
            Ok(Removed { events, secrets, keys, lines }) => {
                tracing::info!(events, secrets, keys, lines, "removed what was kept for long enough");
            }
            Err(error) => note("old records could not all be removed", error),
        }
        if !failed && failing.is_over() {
            tracing::info!("what is old is removed again");
        }
    }
}
