//! The connection pool, and the methods through which every statement goes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::r2d2::{Pool, PooledConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    StoreError,
    connection::{Conn, DatabaseAddress, DatabaseUrl},
    database_file::DatabaseFile,
    dialect,
    error::Fault,
    key_changes::Recorded,
    pool::{self, Apart, LogConnectionErrors, Manager, Seats, reading},
    transaction::{self, Ended},
};
use crate::{domain::position::Position, supervision::blocking};

/// How long a request waits for a free connection.
const POOL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a writer waits for the one before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long COMMIT may take; then it is looked for what became of it (`db/look.rs`).
const COMMIT: Duration = Duration::from_secs(5);

/// The database, shared by every worker.
#[derive(Clone)]
pub struct Db {
    address: DatabaseAddress,
    pool: Pool<Manager>,
    seats: Arc<Seats>,
    /// SQLite has one writer: waiting here is fair and wakes at once, waiting in `busy_timeout` is neither.
    writer: Option<Arc<Mutex<()>>>,
    file: Option<Arc<DatabaseFile>>,
}

impl Db {
    /// A pool of at most `size` connections, opened as they are needed.
    ///
    /// # Errors
    /// [`StoreError::Fault`] when the database cannot be reached.
    pub fn open(address: DatabaseAddress, size: u32) -> Result<Self, StoreError> {
        let seats = Seats::new(usize::try_from(size).unwrap_or(usize::MAX));
        let log_errors = LogConnectionErrors { seats: Arc::clone(&seats), begun: Instant::now() };
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .connection_timeout(POOL_TIMEOUT)
            .error_handler(Box::new(log_errors))
            .build_unchecked(Manager { address: address.clone(), seats: Arc::clone(&seats) });
        let (writer, file) = match address.at_start() {
            DatabaseUrl::Postgres(_) => (None, None),
            DatabaseUrl::Sqlite(path) => (Some(Arc::default()), Some(Arc::new(DatabaseFile::open(path)?))),
        };
        Ok(Self { address, pool, seats, writer, file })
    }

    /// The follower's connection, on which no wait is longer than `limit`. It is made before any of the pool: while it is lost,
    /// the pool makes none, and when the server has no place for it, the pool gives one up.
    ///
    /// # Errors
    /// [`StoreError::Fault`] when the database cannot be reached.
    pub fn connect_apart(&self, limit: Duration) -> Result<Apart, StoreError> {
        self.check_file()?;
        let conn = self.address.now().connect_within(limit).inspect_err(|error| {
            self.seats.follower_was_refused(error);
            if pool::is_full(error) {
                self.seats.leave_room();
                // One that nobody uses is dropped on its way out of the pool, or else the next one on its way back.
                drop(self.pool.try_get());
            }
        })?;
        Ok(Apart::new(conn, &self.seats))
    }

    /// Whether the file is still the one that was opened. SQLite itself would go on with a file that was removed.
    ///
    /// # Errors
    /// [`StoreError::Fault`] when it is gone or another.
    pub fn check_file(&self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.check()?;
        file.finish_checkpoint();
        Ok(())
    }

    /// For the one server on a SQLite file: makes sure that nobody writes over the file unnoticed, and that its `-wal` is
    /// never taken for another file's.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read or written.
    pub fn mark_file(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), |file| file.begin_marks())
    }

    /// To be called when nobody writes any more and before the process ends: of a SQLite database the file alone is then all.
    pub fn close(&self) {
        if let Some(file) = &self.file {
            file.close();
        }
    }

    /// Where the database is.
    pub fn address(&self) -> &DatabaseAddress {
        &self.address
    }

    /// Whether several servers may share the database.
    pub fn has_nodes(&self) -> bool {
        matches!(self.address.at_start(), DatabaseUrl::Postgres(_))
    }

    fn connection(&self) -> Result<PooledConnection<Manager>, StoreError> {
        self.file.as_ref().map_or(Ok(()), |file| file.check())?;
        self.pool.get().map_err(|_| {
            let pool = self.pool.state();
            self.seats.why_none(pool.connections - pool.idle_connections.min(pool.connections))
        })
    }

    async fn turn_to_write(&self) -> Result<Option<OwnedMutexGuard<()>>, StoreError> {
        let Some(writer) = &self.writer else { return Ok(None) };
        match tokio::time::timeout(TURN_TIMEOUT, Arc::clone(writer).lock_owned()).await {
            Ok(turn) => Ok(Some(turn)),
            Err(_) => Err(StoreError::Fault(Fault::Busy, "too many writers wait".into())),
        }
    }

    /// Runs `work`, which only reads: on SQLite at once, where it is asked for, on Postgres on a thread that may block.
    ///
    /// A read of SQLite takes some microseconds and waits for no writer (WAL); handing it to another thread and back
    /// costs more CPU than the read (`docs/performance.md`). Only when no connection is free does it wait elsewhere.
    ///
    /// On Postgres, a connection that breaks or goes silent under it costs no answer: `work` runs once more on another one. A
    /// statement that takes too long there, because somebody holds a lock or for any other reason, is cancelled, and a fault.
    ///
    /// # Errors
    /// Whatever `work` fails with, or a [`StoreError`] when there is no connection.
    pub async fn read<T, E>(&self, work: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if let Some(file) = &self.file {
            file.check()?;
            if let Some(mut conn) = self.pool.try_get() {
                return work(&mut conn);
            }
        }
        self.read_aside(work).await
    }

    /// Runs `work`, which only reads, on a thread that may block, on both databases: for reads that take milliseconds,
    /// for which the worker of a thousand verifications must not stand still (`docs/decisions/0012-usage-in-three-tables.md`).
    ///
    /// # Errors
    /// As [`Db::read`].
    pub async fn read_aside<T, E>(&self, work: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let db = self.clone();
        on_blocking_thread(move || {
            let mut conn = db.connection()?;
            if let Some(first) = reading::unless_broken(&mut conn, &work) {
                return first;
            }
            drop(conn);
            reading::cancelled_in_time(&mut *db.connection()?, &work)
        })
        .await
    }

    /// Runs `work` in one transaction: all of it happens, or none.
    ///
    /// # Errors
    /// Whatever `work` fails with, or a [`StoreError`] when there is no connection or the commit fails; then nothing was
    /// changed, unless it is [`StoreError::Unknown`].
    pub async fn write<T, E>(&self, work: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_and_look(work, |_| (), |_, words| Err(StoreError::Unknown(words))).await
    }

    /// Runs `work`, which changes keys, in one transaction. Where the answer to COMMIT is lost, it is looked up on another
    /// connection whether the change was made: a key's only secret must not depend on one packet.
    ///
    /// # Errors
    /// As [`Db::write`]; unknown only when no database answers for some seconds.
    pub async fn write_change<T, E>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<(T, Recorded), E> + Send + 'static,
    ) -> Result<(T, Position), E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let db = self.clone();
        let look = move |(value, recorded): (T, Recorded), words| match db.look_for(&recorded) {
            Some(true) => Ok((value, recorded)),
            Some(false) => Err(StoreError::Fault(Fault::Unreachable, words)),
            None => Err(StoreError::Unknown(words)),
        };
        let (value, recorded) = self.write_and_look(work, dialect::notify_followers, look).await?;
        Ok((value, recorded.position))
    }

    async fn write_and_look<T, E>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
        once_done: fn(&mut Conn),
        look: impl FnOnce(T, String) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        // The turn first, then a connection: writers that wait must not keep the connections from readers.
        let turn = self.turn_to_write().await?;
        let db = self.clone();
        on_blocking_thread(move || {
            // Held by the thread, not by the request: who hangs up does not let a second writer in.
            let _turn = turn;
            let mut conn = db.connection()?;
            let ended = transaction::run(&mut conn, COMMIT, work);
            if matches!(ended, Ended::Done(_)) {
                once_done(&mut conn);
            }
            drop(conn);
            match ended {
                Ended::Done(value) => {
                    if let Some(file) = &db.file {
                        // Of a file that was overwritten meanwhile the next start sets this commit aside.
                        file.check().map_err(|error| StoreError::Unknown(error.to_string()))?;
                        file.checkpoint_if_due();
                    }
                    Ok(value)
                }
                Ended::NotDone(error) => Err(error),
                Ended::Unknown(value, words) => {
                    if let Some(file) = &db.file {
                        file.take_back_failed_commit(&words);
                        return Err(StoreError::Fault(Fault::Unreachable, words).into());
                    }
                    tracing::warn!(
                        error = words,
                        "a change was sent to the database, and no answer says whether it was saved"
                    );
                    Ok(look(value, words)?)
                }
            }
        })
        .await
    }
}

async fn on_blocking_thread<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    blocking(work).await.unwrap_or_else(|error| Err(StoreError::from(error).into()))
}

mod look;
#[cfg(test)]
mod tests;
