//! The follower: one thread with a database connection of its own that loads the index, applies every change in the order
//! of epochs, and holds the lease for as long as that is certain. `following.rs` is what the thread does.
//!
//! Local and remote changes take the same path: whoever changed a key wakes it and waits until it has come as far.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

use super::{KeyIndex, Lease, following::Thread, membership::Membership, revocation_keeper::RevocationKeeper};
use crate::{
    clock::Clock,
    domain::{key_record::Epoch, position::Position},
    revocation_log::RevocationLog,
    store::Db,
    supervision::Supervision,
};

/// How far the follower has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether the index holds every key; until then nothing is answered.
    pub is_loaded: bool,
    /// Every change up to here is in the index.
    pub applied: Position,
    /// The newest change that is known to be committed.
    pub seen: Epoch,
    /// The number of the last look at the database after which everything that it found was in the index.
    pub looks: u64,
    /// Why the index may not be true, if that is known.
    pub trouble: Option<Trouble>,
    /// How often every key was read again because changes were missing.
    pub gaps: u64,
    /// How often it was found that the database has another history than before.
    pub lost_histories: u64,
    /// When that was found for the last time, on the clock of leases.
    pub history_lost_at: Option<Duration>,
}

/// What keeps the follower from following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The database does not answer, or refuses.
    Database,
    /// The database is not the one that was followed: every key is read again.
    LostHistory,
    /// The thread failed and begins anew.
    Failed,
}

/// What the thread works on.
pub struct Parts {
    pub db: Db,
    pub index: Arc<KeyIndex>,
    pub lease: Arc<Lease>,
    pub revocations: Arc<RevocationLog>,
    pub clock: Arc<dyn Clock>,
    pub supervision: Arc<Supervision>,
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
        let Parts { db, index, lease, revocations, clock, supervision } = parts;
        let (orders, woken) = sync_channel(1);
        let (stop, stopping) = watch::channel(false);
        let (progress, seen) = watch::channel(Progress::default());
        let begun = Arc::new(AtomicU64::new(0));
        let membership = Membership::new(db.has_nodes(), lease, lease_length, Arc::clone(&clock));
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
            failing: None,
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

    /// Whether a change is in the index: it is the last one that was applied, or everything was applied that a look found which
    /// began after its commit. The number of its epoch would prove nothing: it may be one of another history.
    pub fn has_applied(&self, change: Position, looks_before: u64) -> bool {
        is_applied(&self.progress.borrow(), change, looks_before)
    }

    /// Waits until the index holds every key.
    pub async fn loaded(&self) {
        let _ = self.progress.clone().wait_for(|progress| progress.is_loaded).await;
    }

    /// Waits until a change that was committed before is in the index; for ever, if that never comes.
    /// `looks_before` is [`Follower::looks_begun`] at any time after the commit.
    pub async fn applied(&self, change: Position, looks_before: u64) {
        self.wake();
        let mut progress = self.progress.clone();
        if progress.wait_for(|progress| is_applied(progress, change, looks_before)).await.is_err() {
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

fn is_applied(progress: &Progress, change: Position, looks_before: u64) -> bool {
    progress.is_loaded && (progress.looks > looks_before || change.mark.is_known() && progress.applied == change)
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.wake();
    }
}

/// Tells the thread to look.
pub fn wake(orders: &SyncSender<()>) {
    // Full: an order to look lies there already, and nobody has looked since.
    if let Err(TrySendError::Disconnected(())) = orders.try_send(()) {
        tracing::debug!("the follower has ended");
    }
}
