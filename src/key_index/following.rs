//! What the follower's thread does: look what is committed, apply it, renew the lease; and begin anew when it cannot go on.

mod apply;
mod filling;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    time::Duration,
};

use tokio::sync::watch;

pub use filling::Filling;

use super::{
    KeyIndex,
    history::{Standing, standing, standing_at_the_end},
    membership::Membership,
    progress::{Progress, Trouble},
    revocation_keeper::RevocationKeeper,
};
use crate::{
    domain::{key_record::Epoch, position::Position},
    store::{Conn, Db, ErrorKind, StoreError, generations, key_changes, notifications::Listener},
    supervision::{self, Failing, Part, Supervision},
};

/// How often Postgres is asked without a notification.
const POSTGRES_POLL: Duration = Duration::from_millis(250);
/// On SQLite only the command line can be another writer; asking costs some microseconds.
const SQLITE_POLL: Duration = Duration::from_millis(50);
/// When to try again after a fault.
const AGAIN: Duration = Duration::from_millis(200);
/// How long an answer may take while every key is read, when there is no lease to lose.
const LOADING: Duration = Duration::from_secs(60);
/// Epochs a step of catching up.
const STEP: i64 = 500;

/// Tells the thread to look.
pub fn wake(orders: &SyncSender<()>) {
    // Full: an order to look lies there already, and nobody has looked since.
    if let Err(TrySendError::Disconnected(())) = orders.try_send(()) {
        tracing::debug!("the follower has ended");
    }
}

pub struct Thread {
    pub db: Db,
    pub index: Arc<KeyIndex>,
    pub keeper: RevocationKeeper,
    pub membership: Membership,
    pub progress: watch::Sender<Progress>,
    /// Looks at the database that have begun.
    pub begun: Arc<AtomicU64>,
    pub woken: Receiver<()>,
    /// For notifications; none when they are not listened to.
    pub wake: Option<SyncSender<()>>,
    pub stopping: watch::Receiver<bool>,
    /// Whether every key has to be read before the changes can be followed.
    pub must_load: bool,
    /// Whether what had ended is ended again in an older database: by a process that has once had all keys, or that was told to.
    pub may_end_again: bool,
    /// Loads in a row after which secrets had come back to life.
    pub loads_again: u32,
    pub filling: Filling,
    pub failing: Failing<ErrorKind>,
    pub supervision: Arc<Supervision>,
}

impl Thread {
    /// Until the server stops. A panic on the way ends nothing: what it left behind is not trusted and read anew.
    pub fn run(&mut self) {
        while !self.is_over() {
            // Unwind safe: the index heals by reading everything again, the rest is set here.
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.follow_until_stopped())) else { return };
            // First of all, and before anything else that could fail.
            self.membership.give_up();
            self.must_load = true;
            self.progress.send_modify(|progress| {
                (progress.is_loaded, progress.trouble) = (false, Some(Trouble::Failed));
            });
            self.supervision.ended(Part::Follower, supervision::words_of(&*panic));
            std::thread::sleep(supervision::AGAIN);
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    fn is_over(&self) -> bool {
        self.is_stopping() || self.progress.borrow().refused.is_some()
    }

    fn follow_until_stopped(&mut self) {
        let listen =
            |orders: SyncSender<()>| Listener::start(self.db.address(), &self.supervision, move || wake(&orders));
        let _listener = self.wake.clone().map(listen);
        while !self.is_over() {
            let Err(error) = self.follow() else { break };
            if self.failing.is_news(error.kind(), self.membership.now()) {
                tracing::error!(
                    %error,
                    "changes of keys cannot be followed; if that lasts longer than the lease, this node answers 503 until it \
                     can follow them again, without a restart"
                );
            }
            self.progress.send_modify(|progress| {
                progress.trouble = progress.trouble.or(Some(Trouble::Database));
                progress.failures += 1;
            });
            self.pause(AGAIN);
        }
        self.membership.give_up();
    }

    /// On one connection, until it breaks or somebody stops the server.
    fn follow(&mut self) -> Result<(), StoreError> {
        // Also while there is no database: what comes next may be one that went back in time.
        self.keeper.keep_whole(&self.index);
        // A part of the lease, so that a wire that has gone silent is given up and another one renews it in time.
        let patience = self.membership.patience();
        let mut conn = self.db.connect_apart(patience)?;
        // What fails when a newer program has changed the schema is said with the reason.
        generations::check(&mut conn)?;
        while !self.is_over() {
            self.supervision.step(Part::Follower);
            self.keeper.keep_whole(&self.index);
            if self.must_load {
                conn.set_limit(LOADING);
                self.load(&mut conn)?;
                conn.set_limit(patience);
                continue;
            }
            let look = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let begun = self.membership.now();
            self.db.check_file()?;
            if !self.catch_up(&mut conn)? {
                continue;
            }
            self.progress.send_modify(|progress| progress.looks = look);
            if self.index.tidy() {
                let (keys, generation) = (self.index.keys(), self.index.generation());
                tracing::info!(
                    keys,
                    generation,
                    "the index was built anew without what is of no use, and gives memory back"
                );
            }
            let applied = self.progress.borrow().applied;
            let is_member = self.membership.renew(&mut conn, applied, begun)?;
            if self.failing.is_over() {
                tracing::info!("changes of keys are followed again");
            }
            if self.has_come(&mut conn)? {
                tracing::info!("what was missing in the database has come; everything is read again");
                self.must_load = true;
                continue;
            }
            if is_member {
                let longest_lease = self.membership.longest_lease();
                self.progress.send_modify(|progress| {
                    (progress.longest_lease, progress.trouble) = (longest_lease, None);
                });
                self.pause(self.poll());
            }
        }
        self.membership.leave(&mut conn)
    }

    fn poll(&self) -> Duration {
        if self.db.has_nodes() { POSTGRES_POLL } else { SQLITE_POLL }
    }

    fn pause(&self, time: Duration) {
        match self.woken.recv_timeout(time) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    /// Applies what was committed since the last time; false when the server stops in between, or every key must be read.
    fn catch_up(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let newest = key_changes::current(conn)?;
        self.progress.send_modify(|progress| progress.seen = newest.epoch);
        loop {
            let applied = self.progress.borrow().applied;
            if newest.epoch <= applied.epoch {
                return match standing_at_the_end(applied, newest) {
                    None => Ok(true),
                    Some(Standing::Behind(newest)) => Ok(self.note_applied(newest)),
                    Some(Standing::Gap) => Ok(self.find_gap()),
                    Some(Standing::AnotherHistory) => Ok(self.lose_history(conn, newest)),
                };
            }
            if self.is_stopping() {
                return Ok(false);
            }
            let to = newest.epoch.min(Epoch(applied.epoch.0 + STEP));
            let changes = key_changes::between(conn, applied.epoch, to)?;
            let positions: Vec<Position> = changes.iter().map(|change| change.position).collect();
            let last = match standing(applied, &positions, to) {
                Standing::Behind(last) => last,
                Standing::Gap => return Ok(self.find_gap()),
                Standing::AnotherHistory => return Ok(self.lose_history(conn, newest)),
            };
            self.apply(conn, &changes, applied)?;
            // Only now: whoever sees this finds the changes in the index, and what they ended in the log.
            self.note_applied(last);
        }
    }

    fn note_applied(&self, position: Position) -> bool {
        self.progress.send_modify(|progress| progress.applied = position);
        true
    }

    /// The lease goes on meanwhile: it says until when what was not read yet cannot matter.
    fn find_gap(&mut self) -> bool {
        tracing::warn!("this node was away for longer than changes are kept; it reads everything again");
        self.must_load = true;
        self.progress.send_modify(|progress| progress.gaps += 1);
        false
    }

    /// What is in memory is not what this database says, and no lease can make it so: revocations of this history may be
    /// missing in it, and keys of the other one are there.
    fn lose_history(&mut self, conn: &mut Conn, newest: Position) -> bool {
        self.membership.give_up();
        self.must_load = true;
        let now = self.membership.now();
        self.progress.send_modify(|progress| {
            (progress.is_loaded, progress.trouble) = (false, Some(Trouble::LostHistory));
            (progress.lost_histories, progress.history_lost_at) = (progress.lost_histories + 1, Some(now));
        });
        let Position { epoch: Epoch(followed), .. } = self.progress.borrow().applied;
        tracing::error!(
            followed,
            newest = newest.epoch.0,
            "the database went back in time, or is another one (a backup was restored, or a standby promoted that had missed \
             changes): what this node followed is not in it; it answers nobody until it has read every key again"
        );
        // A row that stays would only make revocations wait until it is reaped.
        if let Err(error) = self.membership.leave(conn) {
            tracing::debug!(%error, "the row of this node stays until it is reaped");
        }
        false
    }
}
