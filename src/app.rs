//! What every request may use, and how it is brought up: [`Keys`] for everything about keys, [`Site`] for what only people and
//! programs that come by HTTP need.

mod database_check;
mod files;
mod inspect;
mod keys;
mod older_database;
mod start;
mod start_error;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};

use crate::{
    clock::NodeClock,
    config::{Config, PublicUrl},
    key_index::Follower,
    metrics::Metrics,
    notices::Notices,
    passwords::Passwords,
    private_file,
    store::{Db, StoreError, database_lock::DatabaseLock, dialect},
    supervision::Supervision,
    throttle::Throttle,
};

use database_check::DatabaseCheck;
pub use files::{lock_database, set_foreign_wal_aside};
pub use inspect::{inspect_database, inspect_files, refusal};
pub use keys::{Keys, Place};
pub use older_database::revocation_log_path;
pub use start::{migrate_database, open_database, open_keys};
pub use start_error::StartError;

/// Name of the file of the set-up link, in the data directory.
const SET_UP_LINK: &str = "set-up-link";

/// What serves requests.
pub struct Site {
    /// Everything about keys.
    pub keys: Keys,
    /// Keeps the index true.
    pub follower: Arc<Follower>,
    /// As checked at start.
    pub config: Config,
    /// Where people open the site.
    pub public_url: PublicUrl,
    /// The database: every statement goes through its methods.
    pub db: Db,
    /// Tells the time.
    pub clock: Arc<NodeClock>,
    /// What is counted for `/metrics`.
    pub metrics: Arc<Metrics>,
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
    database_check: DatabaseCheck,
    draining: AtomicBool,
    /// Held until the process ends.
    _lock: Option<Arc<DatabaseLock>>,
}

impl Site {
    /// Whether the database answers to a question that is asked now, or under way; within 200 ms.
    pub async fn database_answers(&self) -> bool {
        self.database_check.answers(&self.db, &self.clock).await
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
