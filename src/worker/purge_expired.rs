//! Purges what has expired, ten minutes after the start and every ten minutes from then on.

use std::time::Duration;

use crate::{
    actions::{
        apply_retention::{Removed, apply_retention},
        purge_expired::{Purged, mend_last_uses, purge_expired},
    },
    app::App,
    supervision::Part,
};

const EVERY: Duration = Duration::from_secs(600);

/// Runs until it is dropped.
pub async fn run(app: App) {
    let mut ticks = tokio::time::interval(EVERY);
    // A machine that was just started may still have the time that its battery kept, and nobody knows yet that it is wrong.
    let mut is_first_run = true;
    loop {
        ticks.tick().await;
        app.supervision.step(Part::PurgeExpired);
        if std::mem::take(&mut is_first_run) {
            continue;
        }
        if let Err(error) = mend_last_uses(&app).await {
            tracing::warn!(%error, "last uses could not be looked at; the next run tries again");
        }
        match purge_expired(&app).await {
            Ok(Purged { sessions, form_tokens, hours, old_usage }) => {
                tracing::debug!(sessions, form_tokens, hours, old_usage, "purged what has expired");
            }
            Err(error) => tracing::warn!(%error, "nothing was purged; the next run tries again"),
        }
        match apply_retention(&app).await {
            Ok(removed) if removed == Removed::default() => {}
            Ok(Removed { events, secrets, keys, lines }) => {
                tracing::info!(events, secrets, keys, lines, "removed what was kept for long enough");
            }
            Err(error) => tracing::warn!(%error, "old records could not all be removed; the next run tries again"),
        }
    }
}
