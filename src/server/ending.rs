//! What is left to do with the database when nobody is answered any more, within a time: a database that is silent must not
//! make whoever stops this process kill it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::timeout_at};

use super::LONGEST_STOP;
use crate::{actions::flush_usage::count_unwritten, app::Site, supervision::blocking_or_here};

/// What is left of the time for stopping when the database is given up: for the file of SQLite, and for the threads.
const LEFT: Duration = Duration::from_secs(1);
const FOR_THE_FILE: Duration = Duration::from_millis(500);

/// Writes the last usage, gives the lease back, so that no revocation elsewhere waits for this node, and closes the database.
/// What the database does not answer in time is given up, and said in the log. `flushing` ends when everything is written;
/// `told` is when the server was told to stop.
pub async fn settle_with_database(site: Arc<Site>, mut flushing: JoinHandle<()>, told: Instant) {
    let until = told + site.config.drain + LONGEST_STOP.saturating_sub(LEFT);
    let leaving = Arc::clone(&site);
    let leaving = blocking_or_here(move || leaving.follower.stop());
    let (flushed, left) = tokio::join!(timeout_at(until.into(), &mut flushing), timeout_at(until.into(), leaving));
    if flushed.is_err() {
        flushing.abort();
        let _ = flushing.await;
    }
    let unwritten = count_unwritten(&site.keys);
    if unwritten > 0 {
        tracing::error!(
            "usage of {unwritten} verifications was not written: the database did not take it in time (if it was silent in \
             the middle of a COMMIT, a part may be written)"
        );
    }
    if left.is_err() {
        tracing::warn!(
            "the database did not answer in time: this node's lease was not given back; the next revocation on another node \
             waits until it has ended"
        );
    }
    // Whoever was given up may still be in the middle of it: then the file stays as after a crash.
    if flushed.is_ok() && left.is_ok() {
        let closing = blocking_or_here(move || site.db.close());
        let _ = timeout_at((until + FOR_THE_FILE).into(), closing).await;
    }
}
