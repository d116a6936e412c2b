//! Read the metrics: what was counted, and how index, epochs and lease are at the moment. No database, and nobody's id.

use crate::{
    app::Site,
    metrics::{EncodeError, Gauges},
    supervision::Part,
};

/// Prometheus' text.
///
/// # Errors
/// See [`EncodeError`].
pub fn read_metrics(site: &Site) -> Result<String, EncodeError> {
    let (progress, now) = (site.follower.progress(), site.clock.since_boot());
    let is_lease_held = site.keys.lease.is_held(now);
    site.metrics.text(&Gauges {
        index_keys: site.keys.index.keys(),
        index_secrets: site.keys.index.secrets(),
        is_index_loaded: progress.is_loaded,
        epoch_applied: progress.applied.epoch,
        epoch_seen: progress.seen,
        is_lease_held,
        lease_remaining: site.keys.lease.remaining(now),
        lost_histories: progress.lost_histories,
        gaps: progress.gaps,
        restarts: Part::ALL.into_iter().map(|part| (part.word(), site.supervision.restarts(part))).collect(),
    })
}
