//! Purges what has expired, every ten minutes.

use std::time::Duration;

use crate::{
    actions::purge_expired::{Purged, mend_last_uses, purge_expired},
    app::App,
    supervision::Part,
};

const EVERY: Duration = Duration::from_secs(600);

/// Runs until it is dropped.
pub async fn run(app: App) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut is_first = true;
    loop {
        ticks.tick().await;
        app.supervision.step(Part::PurgeExpired);
        // A machine that was just started may still have the time that its battery kept.
        if !std::mem::take(&mut is_first)
            && let Err(error) = mend_last_uses(&app).await
        {
            tracing::warn!(%error, "last uses could not be looked at; the next run tries again");
        }
        match purge_expired(&app).await {
            Ok(Purged { sessions, form_tokens, hours, old_usage }) => {
                tracing::debug!(sessions, form_tokens, hours, old_usage, "purged what has expired");
            }
            Err(error) => tracing::warn!(%error, "nothing was purged; the next run tries again"),
        }
    }
}
