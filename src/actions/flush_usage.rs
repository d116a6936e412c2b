//! Flush what was counted in memory to the database: one transaction for all keys that were used.

use std::{sync::Arc, time::Duration};

use crate::{
    app::App,
    store::{StoreError, key_usage},
};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Keys that were used since the last time.
    pub keys: usize,
    /// How long the database took, with the wait for its turn.
    pub took: Duration,
}

/// Writes what moved since the last time; nothing is asked of the database when nothing did.
///
/// # Errors
/// [`StoreError`]; the counts are put back, and the next flush writes them.
pub async fn flush_usage(app: &App) -> Result<Flushed, StoreError> {
    let taken = app.index.take_usage();
    let keys = taken.deltas.len();
    if keys == 0 {
        return Ok(Flushed { keys, took: Duration::ZERO });
    }
    let begun = app.clock.since_boot();
    let (written, now) = (Arc::clone(&taken.deltas), app.clock.now());
    let result = app.db.write(move |conn| key_usage::add(conn, now, &written)).await;
    let took = app.clock.since_boot().saturating_sub(begun);
    app.metrics.flushed(keys, took, result.is_ok());
    if let Err(error) = result {
        app.index.put_usage_back(&taken);
        return Err(error);
    }
    Ok(Flushed { keys, took })
}
