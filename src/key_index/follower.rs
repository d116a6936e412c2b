//! The follower: one thread with a database connection of its own that loads the index, applies every change in the order
//! of epochs, and holds the lease for as long as that is certain.
//!
//! Local and remote changes take the same path: whoever changed a key wakes it and waits until it has come as far.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

use super::{KeyIndex, Lease, membership::Membership, revocation_keeper::RevocationKeeper};
use crate::{
    clock::Clock,
    config::DatabaseUrl,
    domain::key_record::Epoch,
    revocation_log::RevocationLog,
    store::{
        Conn, Db, Fault, StoreError, key_changes,
        key_records::{self, Scanned},
        notifications::Listener,
    },
};

/// How often Postgres is asked without a notification.
const POSTGRES_POLL: Duration = Duration::from_millis(250);
/// On SQLite only the command line can be another writer; asking costs some microseconds.
const SQLITE_POLL: Duration = Duration::from_millis(50);
/// When to try again after a fault.
const AGAIN: Duration = Duration::from_millis(200);
/// Rows of the first scan between two looks at whether the server stops.
const LOOK_UP_AFTER: u32 = 1_000;
/// Epochs a step of catching up.
const STEP: i64 = 500;

/// How far the follower has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether the index holds every key; until then nothing is answered.
    pub is_loaded: bool,
    /// Every change up to here is in the index.
    pub applied: Epoch,
    /// The newest change that is known to be committed.
    pub seen: Epoch,
}

/// The handle of the thread.
pub struct Follower {
    orders: SyncSender<()>,
    stop: watch::Sender<bool>,
    progress: watch::Receiver<Progress>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Follower {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        db: &Db,
        index: &Arc<KeyIndex>,
        lease: &Arc<Lease>,
        log: &Arc<RevocationLog>,
        clock: &Arc<dyn Clock>,
        lease_length: Duration,
        is_woken_by_notifications: bool,
    ) -> std::io::Result<Self> {
        let (orders, woken) = sync_channel(1);
        let (stop, stopping) = watch::channel(false);
        let (progress, seen) = watch::channel(Progress::default());
        let membership = Membership::new(db, Arc::clone(lease), lease_length, Arc::clone(clock));
        let poll = match db.url() {
            DatabaseUrl::Sqlite(_) => SQLITE_POLL,
            DatabaseUrl::Postgres(_) => POSTGRES_POLL,
        };
        let (db, index, wake) = (db.clone(), Arc::clone(index), orders.clone());
        let keeper = RevocationKeeper::new(Arc::clone(log), Arc::clone(clock));
        let mut thread = Thread {
            db,
            index,
            keeper,
            membership,
            progress,
            woken,
            wake,
            stopping,
            poll,
            is_woken_by_notifications,
            has_lost_the_thread: false,
        };
        let thread = std::thread::Builder::new().name("follower".to_owned()).spawn(move || thread.run())?;
        Ok(Self { orders, stop, progress: seen, thread: std::sync::Mutex::new(Some(thread)) })
    }

    /// Tells it that something was committed.
    pub fn wake(&self) {
        wake(&self.orders);
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until the index holds every key.
    pub async fn loaded(&self) {
        let _ = self.progress.clone().wait_for(|progress| progress.is_loaded).await;
    }

    /// Waits until a change that was committed is in the index.
    pub async fn applied(&self, epoch: Epoch) {
        self.wake();
        let _ = self.progress.clone().wait_for(|progress| progress.applied >= epoch).await;
    }

    /// Ends the thread, which gives the lease back. Blocks until it has.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        self.wake();
        let thread = self.thread.lock().map(|mut thread| thread.take());
        if let Ok(Some(thread)) = thread {
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

fn wake(orders: &SyncSender<()>) {
    // Full: an order to look lies there already, and nobody has looked since.
    if let Err(TrySendError::Disconnected(())) = orders.try_send(()) {
        tracing::debug!("the follower has ended");
    }
}

struct Thread {
    db: Db,
    index: Arc<KeyIndex>,
    keeper: RevocationKeeper,
    membership: Membership,
    progress: watch::Sender<Progress>,
    woken: Receiver<()>,
    wake: SyncSender<()>,
    stopping: watch::Receiver<bool>,
    poll: Duration,
    is_woken_by_notifications: bool,
    /// The database's history is another than that which was read; for good, also when its epochs have caught up.
    has_lost_the_thread: bool,
}

impl Thread {
    fn run(&mut self) {
        let orders = self.wake.clone();
        let is_woken = self.is_woken_by_notifications;
        let _listener = is_woken.then(|| Listener::start(self.db.url(), move || wake(&orders)));
        let mut failing = false;
        while !*self.stopping.borrow() {
            let Err(error) = self.follow(&mut failing) else { break };
            if !failing {
                tracing::error!(%error, "changes of keys cannot be followed; the lease will lapse, then nobody passes");
                failing = true;
            }
            self.pause(AGAIN);
        }
        self.membership.give_up();
    }

    /// On one connection, until it breaks or somebody stops the server.
    fn follow(&mut self, failing: &mut bool) -> Result<(), StoreError> {
        let mut conn = self.db.connect_apart()?;
        if !self.progress.borrow().is_loaded {
            self.load(&mut conn)?;
        }
        while !*self.stopping.borrow() {
            let begun = self.membership.now();
            self.db.check_file()?;
            if !self.catch_up(&mut conn)? {
                continue;
            }
            let applied = self.progress.borrow().applied;
            let is_member = self.membership.renew(&mut conn, applied, begun)?;
            if std::mem::take(failing) {
                tracing::info!("changes of keys are followed again");
            }
            if is_member {
                self.pause(self.poll);
            }
        }
        self.membership.leave(&mut conn)
    }

    fn pause(&self, time: Duration) {
        match self.woken.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    /// Reads every key, after what the log of revocations knows better. What is committed meanwhile is either read here or has an epoch after the one noted first, so
    /// that it is applied after this: reading a key twice does no harm.
    fn load(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        let logged = self.keeper.end_again(conn)?;
        let epoch = key_changes::current(conn)?;
        let (keys, secrets) = key_records::count(conn)?;
        self.index.reserve(keys, secrets);
        let stopping = &self.stopping;
        let mut rows = 0_u32;
        key_records::scan(conn, |scanned| {
            match scanned {
                Scanned::Key(record) => self.index.put(&record),
                Scanned::Unreadable(id) => self.index.refuse(id),
                Scanned::Secret(key_id, secret) => {
                    if let Some(ending) = self.index.put_secret(key_id, &secret) {
                        self.keeper.note(&logged, key_id, secret.digest, ending);
                    }
                }
            }
            rows = rows.wrapping_add(1);
            if rows.is_multiple_of(LOOK_UP_AFTER) && *stopping.borrow() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if *self.stopping.borrow() {
            return Ok(());
        }
        self.keeper.write();
        self.progress.send_replace(Progress { is_loaded: true, applied: epoch, seen: epoch });
        tracing::info!(keys = self.index.keys(), secrets = self.index.secrets(), "the index is loaded");
        Ok(())
    }

    /// Applies what was committed since the last time; false when the server stops in between.
    fn catch_up(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let newest = key_changes::current(conn)?;
        self.progress.send_if_modified(|progress| std::mem::replace(&mut progress.seen, newest) != newest);
        self.has_lost_the_thread |= self.progress.borrow().applied > newest;
        if self.has_lost_the_thread {
            self.membership.give_up();
            let words = "the database went back in time (a backup was restored?); restart keystead";
            return Err(StoreError::Fault(Fault::Damaged, words.to_owned()));
        }
        loop {
            let applied = self.progress.borrow().applied;
            // Beyond it after reading everything again while others went on.
            if applied >= newest {
                return Ok(true);
            }
            if *self.stopping.borrow() {
                return Ok(false);
            }
            let to = newest.min(Epoch(applied.0 + STEP));
            let changes = key_changes::between(conn, applied, to)?;
            if changes.first().is_none_or(|(epoch, _)| epoch.0 != applied.0 + 1) {
                tracing::warn!("this node was away for longer than changes are kept; it reads everything again");
                self.load(conn)?;
                continue;
            }
            let mut ids: Vec<&str> = changes.iter().map(|(_, id)| id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            let records = key_records::find(conn, &ids)?;
            records.iter().for_each(|record| self.keeper.note_changes(&self.index, record));
            records.iter().for_each(|record| self.index.put(record));
            for id in ids {
                if !records.iter().any(|record| record.id.as_str() == id) {
                    self.index.refuse(id);
                }
            }
            self.keeper.write();
            // Only now: whoever sees this finds the changes in the index, and what they ended in the log.
            self.progress.send_modify(|progress| progress.applied = to);
        }
    }
}
