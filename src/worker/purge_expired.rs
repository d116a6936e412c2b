//! Purges what has expired, ten minutes after the start and every ten minutes from then on.

use std::{sync::Arc, time::Duration};

use crate::{
    actions::{
        apply_retention::{Removed, apply_retention},
        purge_expired::{Purged, mend_last_uses, purge_expired},
    },
    app::Site,
    store::StoreError,
    supervision::{Failing, Part},
};

const EVERY: Duration = Duration::from_secs(600);

/// Runs until it is dropped.
pub async fn run(site: Arc<Site>) {
    let mut ticks = tokio::time::interval(EVERY);
    // A machine that was just started may still have the time that its battery kept, and nobody knows yet that it is wrong.
    let mut is_first_run = true;
    let mut failing = Failing::default();
    loop {
        ticks.tick().await;
        site.supervision.step(Part::PurgeExpired);
        if std::mem::take(&mut is_first_run) {
            continue;
        }
        let mut failed = false;
        let mut note = |what: &'static str, error: StoreError| {
            failed = true;
            if failing.is_news((what, error.kind()), site.clock.since_boot()) {
                tracing::warn!(%error, "{what}; the next run, in ten minutes, tries again");
            }
        };
        if let Err(error) = mend_last_uses(&site).await {
            note("last uses could not be looked at", error);
        }
        match purge_expired(&site).await {
            Ok(Purged { sessions, form_tokens, hours, old_usage }) => {
                tracing::debug!(sessions, form_tokens, hours, old_usage, "purged what has expired");
            }
            Err(error) => note("not everything that has expired was purged", error),
        }
        match apply_retention(&site).await {
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
