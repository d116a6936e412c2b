//! An open session with a server: each question to it has an answer within a time, or is its last.

use std::{
    io,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    result::{DatabaseErrorKind, Error as DieselError},
};
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};
use tokio_postgres::{Client, error::SqlState};

use super::{cancel::Cancel, dial::dial, fault};
use crate::config::postgres_target::PostgresTarget;

/// How long before its limit a statement is cancelled that only reads.
const TO_CANCEL: Duration = Duration::from_secs(1);

/// The runtime that drives all Postgres sockets, whatever thread asks.
///
/// # Errors
/// When the operating system has no descriptors for it, which only the first caller meets.
pub fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: Mutex<Option<&'static Runtime>> = Mutex::new(None);
    let mut made = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = *made {
        return Ok(runtime);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("postgres").build()?;
    // One for the process: it is never dropped, which would wait for its tasks.
    Ok(made.insert(Box::leak(Box::new(runtime))))
}

/// Whether a session can be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// The server ended a statement as it was told to, so it is there. The order could meet another statement too.
    Busy,
    /// An answer came when the order to end its statement was on its way.
    Late,
    /// There was no answer, or one after which no other can be believed.
    Lost,
}

/// A session, of which only one question is asked at a time.
pub struct Session {
    runtime: &'static Runtime,
    client: Client,
    carrier: JoinHandle<()>,
    cancel: Cancel,
    limit: Duration,
    is_only_read: bool,
    heard: Instant,
    standing: Standing,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A client that is dropped says good-bye, which a dead wire never carries: then the task would wait for ever.
        if self.standing != Standing::Good {
            self.carrier.abort();
        }
    }
}

impl Session {
    /// Connects, within `limit` altogether, and waits for each answer no longer than that.
    ///
    /// # Errors
    /// What the server said, or why there is none, in one line.
    pub fn begin(target: &Arc<PostgresTarget>, limit: Duration) -> ConnectionResult<Self> {
        let connecting = async {
            let dialed = dial(target, limit).await?;
            let carrier = tokio::spawn(async move {
                if let Err(error) = dialed.connection.await {
                    tracing::debug!(%error, "a database connection ended");
                }
            });
            Ok((dialed.client, carrier, dialed.cancel))
        };
        let runtime = runtime().map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
        let (client, carrier, cancel) = runtime.block_on(connecting).map_err(ConnectionError::BadConnection)?;
        let (heard, standing, is_only_read) = (Instant::now(), Standing::Good, false);
        Ok(Self { runtime, client, carrier, cancel, limit, is_only_read, heard, standing })
    }

    /// How long an answer may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// From here on each answer may take so long.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Whether what is asked from here on only reads. Shortly before its limit it is cancelled then, and a server that is
    /// there says that it did so: somebody else's lock is told from a silent wire.
    pub fn set_only_read(&mut self, is_only_read: bool) {
        self.is_only_read = is_only_read;
    }

    /// When the server last answered.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Whether it can be asked again, as far as its answers say.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it cannot be asked again.
    pub fn is_over(&self) -> bool {
        self.standing != Standing::Good || self.client.is_closed()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The server's refusal, or why there is no answer.
    pub fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> QueryResult<T> {
        if self.standing != Standing::Good {
            return Err(fault::lost("this connection was given up"));
        }
        let to_cancel = if self.is_only_read { TO_CANCEL.min(self.limit / 2) } else { Duration::ZERO };
        let (client, patience) = (&self.client, self.limit - to_cancel);
        let answer = self.runtime.block_on(async {
            let mut question = pin!(question(client));
            if let Ok(answer) = timeout(patience, &mut question).await {
                return Some(answer);
            }
            // The statement would go on without anybody who waits for it.
            self.runtime.spawn(self.cancel.clone().run(client.cancel_token()));
            self.standing = Standing::Late;
            if to_cancel.is_zero() { None } else { timeout(to_cancel, question).await.ok() }
        });
        match answer {
            Some(Ok(answer)) => {
                self.heard = Instant::now();
                Ok(answer)
            }
            Some(Err(error)) if self.standing == Standing::Late && error.code() == Some(&SqlState::QUERY_CANCELED) => {
                self.standing = Standing::Busy;
                Err(fault::busy(patience))
            }
            Some(Err(error)) => Err(self.note(&error)),
            None => {
                self.standing = Standing::Lost;
                let seconds = self.limit.as_secs_f64();
                Err(fault::lost(format!("no answer within {seconds:.1} s; the connection is given up")))
            }
        }
    }

    fn note(&mut self, error: &tokio_postgres::Error) -> DieselError {
        let error = fault::of(error);
        // Anything but the server's own words: what comes next on this wire cannot be trusted. A primary that became a
        // replica stays connected and refuses every change; a new connection finds its successor. So does one to a role that
        // took the place of this one, which has no rights any more.
        if let DieselError::DatabaseError(kind, said) = &error {
            let is_lost = match kind {
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::ReadOnlyTransaction => true,
                _ => fault::sql_state(said.message()) == Some(SqlState::INSUFFICIENT_PRIVILEGE.code()),
            };
            if is_lost {
                self.standing = Standing::Lost;
            }
        }
        error
    }
}
