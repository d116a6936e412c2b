//! Purges what has expired, every ten minutes.

use std::time::Duration;

use crate::{
    actions::purge_expired::{Purged, purge_expired},
    app::App,
    supervision::Part,
};

const EVERY: Duration = Duration::from_secs(600);

/// Runs until it is dropped.
pub async fn run(app: App) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        app.supervision.step(Part::PurgeExpired);
        match purge_expired(&app).await {
            Ok(Purged { sessions, form_tokens, hours }) => {
                tracing::debug!(sessions, form_tokens, hours, "purged what has expired");
            }
            Err(error) => tracing::warn!(%error, "nothing was purged; the next run tries again"),
        }
    }
}
