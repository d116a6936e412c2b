//! Read the metrics: what was counted, and how index, epochs and lease are at the moment. No database, and nobody's id.

use crate::{
    app::AppState,
    metrics::{EncodeError, Gauges},
    supervision::Part,
};

/// Prometheus' text.
///
/// # Errors
/// See [`EncodeError`].
pub fn read_metrics(app: &AppState) -> Result<String, EncodeError> {
    let (progress, now) = (app.follower.progress(), app.clock.since_boot());
    let is_lease_held = app.lease.is_held(now);
    app.metrics.text(&Gauges {
        index_keys: app.index.keys(),
        index_secrets: app.index.secrets(),
        is_index_loaded: progress.is_loaded,
        epoch_applied: progress.applied.epoch,
        epoch_seen: progress.seen,
        is_lease_held,
        lease_remaining: app.lease.remaining(now),
        lost_histories: progress.lost_histories,
        gaps: progress.gaps,
        restarts: Part::ALL.into_iter().map(|part| (part.word(), app.supervision.restarts(part))).collect(),
    })
}
