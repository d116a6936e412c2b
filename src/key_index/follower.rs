//! The follower: one thread with a database connection of its own that loads the index, applies every change in the order
//! of epochs, and holds the lease for as long as that is certain. `following.rs` is what the thread does.
//!
//! Local and remote changes take the same path: whoever changed a key wakes it and waits until it has come as far.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    KeyIndex, Lease,
    following::{Filling, Thread, wake},
    membership::Membership,
    progress::Progress,
    revocation_keeper::RevocationKeeper,
};
use crate::{
    clock::Clock,
    config::OlderDatabase,
    domain::position::Position,
    revocation_log::RevocationLog,
    store::{Db, database_lock::DatabaseLock, revived::Revived},
    supervision::{Failing, Supervision},
};

/// What the thread works on.
pub struct Parts {
    pub db: Db,
    pub index: Arc<KeyIndex>,
    pub lease: Arc<Lease>,
    pub revocations: Arc<RevocationLog>,
    /// What its first load does with a database that is older than the log of revocations.
    pub older_database: OlderDatabase,
    pub clock: Arc<dyn Clock>,
    pub supervision: Arc<Supervision>,
    /// Of the SQLite file.
    pub lock: Option<Arc<DatabaseLock>>,
}

/// The handle of the thread.
pub struct Follower {
    orders: SyncSender<()>,
    stop: watch::Sender<bool>,
    progress: watch::Receiver<Progress>,
    begun: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Follower {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(parts: Parts, lease_length: Duration, is_woken_by_notifications: bool) -> std::io::Result<Self> {
        let Parts { db, index, lease, revocations, older_database, clock, supervision, lock } = parts;
        let (orders, woken) = sync_channel(1);
        let (stop, stopping) = watch::channel(false);
        let (progress, seen) = watch::channel(Progress::default());
        let begun = Arc::new(AtomicU64::new(0));
        let membership = Membership::new(db.has_nodes(), lease, lease_length, Arc::clone(&clock)).saying_in(lock);
        let keeper = RevocationKeeper::new(revocations, clock);
        let wake = is_woken_by_notifications.then(|| orders.clone());
        let mut thread = Thread {
            db,
            index,
            keeper,
            membership,
            progress,
            begun: Arc::clone(&begun),
            woken,
            wake,
            stopping,
            must_load: true,
            loads_again: 0,
            filling: Filling::default(),
            may_end_again: older_database == OlderDatabase::Accept,
            failing: Failing::default(),
            supervision,
        };
        let thread = std::thread::Builder::new().name("follower".to_owned()).spawn(move || thread.run())?;
        Ok(Self { orders, stop, progress: seen, begun, thread: Mutex::new(Some(thread)) })
    }

    /// Tells it that something was committed.
    pub fn wake(&self) {
        wake(&self.orders);
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// How many looks at the database have begun. One that begins after this was asked sees everything that was committed
    /// before.
    pub fn looks_begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Whether a change is in the index ([`Progress::has_applied`]).
    pub fn has_applied(&self, change: Position, looks_before: u64) -> bool {
        self.progress.borrow().has_applied(change, looks_before)
    }

    /// Waits until the index holds every key.
    pub async fn loaded(&self) {
        let _ = self.progress.clone().wait_for(|progress| progress.is_loaded).await;
    }

    /// Waits until it refuses the database, which is older than the log of revocations; for ever, if it does not.
    pub async fn refused(&self) -> Revived {
        match self
            .progress
            .clone()
            .wait_for(|progress| progress.refused.is_some())
            .await
            .map(|progress| progress.refused)
        {
            Ok(Some(revived)) => revived,
            _ => std::future::pending().await,
        }
    }

    /// Waits until a change that was committed before is in the index; for ever, if that never comes.
    /// `looks_before` is [`Follower::looks_begun`] at any time after the commit.
    pub async fn applied(&self, change: Position, looks_before: u64) {
        self.wake();
        let mut progress = self.progress.clone();
        if progress.wait_for(|progress| progress.has_applied(change, looks_before)).await.is_err() {
            // The thread has ended, so nobody will ever know. To return would claim the contrary.
            std::future::pending::<()>().await;
        }
    }

    /// Ends the thread, which gives the lease back. Blocks until it has.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.wake();
    }
}

#[cfg(test)]
impl Follower {
    /// One without a thread: a test says how far it is.
    pub fn by_hand() -> (Self, watch::Sender<Progress>) {
        let ((orders, _), (stop, _)) = (sync_channel(1), watch::channel(false));
        let (told, progress) = watch::channel(Progress::default());
        (Self { orders, stop, progress, begun: Arc::default(), thread: Mutex::new(None) }, told)
    }
}
