//! What every request may use, and how it is brought up.

mod database_check;
mod files;
mod start;
mod start_error;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    clock::NodeClock,
    config::{Config, PublicUrl},
    domain::{
        ended_secret::{EndedSecret, Ending},
        ids::KeyId,
        pepper::{Pepper, SecretDigest},
        position::Position,
    },
    key_index::{Flushes, Follower, KeyIndex, Lease, Means, Receipt, ReceiptProgress, Receipts},
    metrics::Metrics,
    notices::Notices,
    passwords::Passwords,
    private_file,
    revocation_log::RevocationLog,
    store::{Db, StoreError, database_lock::DatabaseLock, dialect},
    supervision::Supervision,
    throttle::Throttle,
};

use database_check::DatabaseCheck;
pub use database_check::database_answers;
pub use files::{lock_database, set_foreign_wal_aside};
pub use start::{migrate_database, open_database};
pub use start_error::StartError;

/// How long whoever made a change waits until this node knows it. Without a database it may be never.
const SETTLED: Duration = Duration::from_secs(1);

/// Name of the file of the set-up link, in the data directory.
const SET_UP_LINK: &str = "set-up-link";

/// What every request may use; cheap to clone.
pub type App = Arc<AppState>;

/// The state behind [`App`].
pub struct AppState {
    /// As checked at start.
    pub config: Config,
    /// Where people open the site.
    pub public_url: PublicUrl,
    /// The database: every statement goes through its methods.
    pub db: Db,
    /// Tells the time.
    pub clock: Arc<NodeClock>,
    /// Digests keys and signs cookies.
    pub pepper: Pepper,
    /// Every key, in memory.
    pub index: Arc<KeyIndex>,
    /// Until when the index may be believed.
    pub lease: Arc<Lease>,
    /// What was taken away, in a file that no restored database undoes.
    pub revocations: Arc<RevocationLog>,
    /// What this process has written of what it counted.
    pub flushes: Flushes,
    /// Keeps the index true.
    pub follower: Follower,
    /// What is counted for `/metrics`.
    pub metrics: Metrics,
    /// Hashes and checks passwords, on threads of its own.
    pub passwords: Passwords,
    /// Slows down guessing.
    pub throttle: Throttle,
    /// Bounds what strangers write into the log.
    pub notices: Notices,
    /// Random id of this installation.
    pub installation_id: String,
    /// What runs beside requests, and how often it had to be started again.
    pub supervision: Arc<Supervision>,
    receipts: Receipts,
    database_check: DatabaseCheck,
    draining: AtomicBool,
    /// Held until the process ends.
    _lock: Option<DatabaseLock>,
}

impl AppState {
    /// Writes down what a committed change has ended, before it is answered. The change is made whatever happens here; that
    /// the file cannot be written is logged, and it catches up later.
    pub async fn log_ended(&self, key_id: &KeyId, ending: Ending, digests: Vec<SecretDigest>) {
        let at = self.clock.now();
        let ended = |digest| EndedSecret { at, ending, key_id: key_id.clone(), digest };
        let ended: Vec<_> = digests.into_iter().map(ended).collect();
        let log = Arc::clone(&self.revocations);
        let written = tokio::task::spawn_blocking(move || log.append(&ended)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, %key_id, "a revocation is not in its log; it holds, but a restored backup would undo it");
        }
    }

    /// Notes that a change is committed now: its receipt counts from here. To be called as soon as the commit is known, when
    /// the receipt is asked for later.
    pub fn committed(&self, change: Position) {
        self.receipts.committed(self.means(), change);
    }

    /// Waits until a change that was committed is in this node's memory, but no longer than a second: the change is made, and
    /// will be true here as soon as this node can read it. Whether it is.
    pub async fn settle(&self, change: Position) -> bool {
        let applied = self.follower.applied(change, self.follower.looks_begun());
        tokio::time::timeout(SETTLED, applied).await.is_ok()
    }

    /// Waits until a change that took something away is true on every node. Asked again, it gives the same receipt.
    pub async fn receipt(&self, change: Position) -> Receipt {
        let (receipt, is_first) = self.receipts.receipt(self.means(), change).await;
        if is_first && !receipt.is_lost {
            self.metrics.received(receipt.after);
        }
        receipt
    }

    /// How far a change has come while its receipt is waited for; an answer comes within a fraction of a second.
    pub async fn receipt_progress(&self, change: Position) -> ReceiptProgress {
        self.receipts.progress(self.means(), change).await
    }

    fn means(&self) -> Means<'_> {
        Means { db: &self.db, follower: &self.follower, clock: &*self.clock, lease: self.config.lease }
    }

    /// Puts the set-up link into a file that only its owner can read: a log is read by more people. Returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_set_up_link(&self, link: &str) -> std::io::Result<PathBuf> {
        let path = self.config.data_dir.join(SET_UP_LINK);
        private_file::replace(&path, format!("{link}\n").as_bytes()).map(|()| path)
    }

    /// Takes the file away, if there is one: its link has worked.
    pub fn remove_set_up_link(&self) {
        let _ = std::fs::remove_file(self.config.data_dir.join(SET_UP_LINK));
    }

    /// From now on `/readyz` says no and every answer closes its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// On Postgres a node goes by the database's clock, which it has in common with the others; and it says so when its own is
/// wrong.
///
/// # Errors
/// [`StoreError`]; then it goes by what it knew before.
pub async fn follow_database_clock(db: &Db, clock: &NodeClock) -> Result<(), StoreError> {
    let Some(answered) = db.read(|conn| Ok::<_, StoreError>(dialect::time(conn)?)).await? else { return Ok(()) };
    if let Some(ahead) = clock.follow(answered) {
        let (minutes, side) = (ahead.num_minutes().abs(), if ahead.num_minutes() > 0 { "ahead of" } else { "behind" });
        tracing::warn!(
            minutes,
            "this machine's clock is {side} the database's; times follow the database, and this node purges nothing until both agree"
        );
    }
    Ok(())
}

/// The time by which what is old may be removed, or changed for good. Whatever goes for its age asks this and goes by it, so that
/// nothing is removed by a clock that may be wrong ([`NodeClock::believed`]): then there is none.
pub fn time_to_remove_by(clock: &NodeClock) -> Option<DateTime<Utc>> {
    let (believed, set_by) = clock.believed();
    if let Some(by) = set_by {
        let minutes = by.num_minutes();
        tracing::warn!(
            minutes,
            "this machine's clock was set; for a day nothing is removed for its age, in case it is wrong"
        );
    }
    believed
}
