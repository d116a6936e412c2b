//! Connections for requests: the follower's comes first, none is handed out that has gone silent, and there are fewer of them
//! than the server allows.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::{
    connection::SimpleConnection,
    r2d2::{HandleError, ManageConnection, R2D2Connection},
};

use super::{
    StoreError,
    connection::{Conn, DatabaseAddress, DatabaseUrl},
    error::{ErrorKind, Fault},
    pg,
};
use crate::supervision::Failing;

/// A connection that was silent for so long is asked whether it is still there before a request gets it.
const IDLE: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PING: Duration = Duration::from_millis(500);
/// When one more connection is tried after the server allowed no more.
const MORE_AGAIN: Duration = Duration::from_secs(60);

/// How many connections there may be, and who comes first.
#[derive(Debug)]
pub struct Seats(Mutex<State>);

#[derive(Debug)]
struct State {
    open: usize,
    most: usize,
    lowered: Instant,
    /// Why the follower has no connection any more: until it has one again, nobody else takes any.
    follower_lacks: Option<Refusal>,
    /// Why the last connection for requests could not be made; none when it could.
    refused: Option<Refusal>,
    /// What was last heard of before this does not answer any more.
    silent_before: Option<Instant>,
    /// Why no connection could be made, as far as that was logged.
    failing: Failing<ErrorKind>,
}

/// Why a connection could not be made.
type Refusal = (Fault, String);

fn refusal_of(error: &StoreError) -> Refusal {
    match error {
        StoreError::Fault(_, words) if is_full(error) => (Fault::NoConnection, words.clone()),
        StoreError::Fault(fault, words) => (*fault, words.clone()),
        other => (Fault::Unreachable, other.to_string()),
    }
}

impl Seats {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            open: 0,
            most,
            lowered: Instant::now(),
            follower_lacks: None,
            refused: None,
            silent_before: None,
            failing: Failing::default(),
        })))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, is_shared_server: bool) -> Result<(), StoreError> {
        let no = |words: &str| Err(StoreError::Fault(Fault::NoConnection, words.to_owned()));
        self.with(|state| {
            if is_shared_server && state.follower_lacks.is_some() {
                return no("the connection that verification needs comes first");
            }
            if state.open >= state.most {
                if state.lowered.elapsed() < MORE_AGAIN {
                    return no("the server allows no more connections");
                }
                (state.most, state.lowered) = (state.most + 1, Instant::now());
            }
            state.open += 1;
            Ok(())
        })
    }

    /// One fewer than there are, from now on.
    pub fn leave_room(&self) {
        self.with(|state| {
            let most = state.open.min(state.most).saturating_sub(1).max(1);
            if most < state.most {
                tracing::warn!(most, "the server allows no more connections; fewer are used for pages");
            }
            (state.most, state.lowered) = (most, Instant::now());
        });
    }

    /// Why the follower did not get another connection.
    pub fn follower_was_refused(&self, error: &StoreError) {
        self.with(|state| state.follower_lacks = state.follower_lacks.take().map(|_| refusal_of(error)));
    }

    /// Why a request that waited got no connection, of which others had so many.
    pub fn why_none(&self, in_use: u32) -> StoreError {
        let (fault, words) = self.with(|state| state.refused.clone()).unwrap_or_else(|| match in_use {
            0 => (Fault::Unreachable, "no connection could be made in time".to_owned()),
            _ => (Fault::NoConnection, format!("others have been using all {in_use} for too long")),
        });
        StoreError::Fault(fault, words)
    }

    fn are_too_many(&self) -> bool {
        self.with(|state| state.open > state.most)
    }
}

/// Whether the server has no place for another connection: its own limit, a role's, a database's, or a pooler's.
pub fn is_full(error: &StoreError) -> bool {
    let StoreError::Fault(_, words) = error else { return false };
    pg::sql_state(words) == Some("53300") || words.contains("no more connections allowed")
}

/// Makes connections for the pool.
#[derive(Debug)]
pub struct Manager {
    pub address: DatabaseAddress,
    pub seats: Arc<Seats>,
}

/// A connection of the pool.
pub struct Pooled {
    conn: Conn,
    seats: Arc<Seats>,
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.seats.with(|state| state.open = state.open.saturating_sub(1));
    }
}

impl Deref for Pooled {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl Manager {
    fn make(&self) -> Result<Pooled, StoreError> {
        let url = self.address.now();
        self.seats.take(matches!(url, DatabaseUrl::Postgres(_)))?;
        match url.connect() {
            Ok(conn) => {
                if self.seats.with(|state| state.failing.is_over()) {
                    tracing::info!("there are new database connections for pages again");
                }
                Ok(Pooled { conn, seats: Arc::clone(&self.seats) })
            }
            Err(error) => {
                self.seats.with(|state| state.open = state.open.saturating_sub(1));
                if is_full(&error) {
                    self.seats.leave_room();
                }
                Err(error)
            }
        }
    }
}

impl ManageConnection for Manager {
    type Connection = Pooled;
    type Error = StoreError;

    fn connect(&self) -> Result<Pooled, StoreError> {
        let made = self.make();
        let refused = made.as_ref().err().map(refusal_of);
        // Who waits for the follower waits for what the follower waits for.
        self.seats.with(|state| state.refused = refused.map(|refused| state.follower_lacks.clone().unwrap_or(refused)));
        made
    }

    /// Asks the connection, and the server only after a pause: a ping would cost every request a round trip.
    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), StoreError> {
        let closed = |words: &str| Err(StoreError::Fault(Fault::Unreachable, words.to_owned()));
        if pooled.conn.is_broken() || self.seats.are_too_many() {
            return closed("connection closed");
        }
        let Conn::Postgres(conn) = &mut pooled.conn else { return Ok(()) };
        let heard = conn.heard();
        if self.seats.with(|state| state.silent_before.is_some_and(|silent| heard < silent)) {
            return closed("connections of this age do not answer");
        }
        if heard.elapsed() < IDLE {
            return Ok(());
        }
        let limit = conn.limit();
        conn.set_limit(PING);
        let answered = conn.batch_execute("");
        conn.set_limit(limit);
        answered.map_err(|error| {
            // The others went the same way, in all likelihood: they are not waited for one after another.
            self.seats.with(|state| state.silent_before = Some(Instant::now()));
            StoreError::from(error)
        })
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        std::thread::panicking() || pooled.conn.is_broken() || self.seats.are_too_many()
    }
}

/// The follower's connection: as long as it is lost, the pool makes none.
pub struct Apart {
    conn: Conn,
    seats: Arc<Seats>,
}

impl Apart {
    pub fn new(conn: Conn, seats: &Arc<Seats>) -> Self {
        seats.with(|state| state.follower_lacks = None);
        Self { conn, seats: Arc::clone(seats) }
    }

    /// From here on each answer may take so long (Postgres only).
    pub fn set_limit(&mut self, limit: Duration) {
        if let Conn::Postgres(conn) = &mut self.conn {
            conn.set_limit(limit);
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.seats
            .with(|state| state.follower_lacks = Some((Fault::Unreachable, "its connection was lost".to_owned())));
    }
}

impl Deref for Apart {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Apart {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

/// Says why there is no new connection, unless that is as it should be.
#[derive(Debug)]
pub struct LogConnectionErrors {
    pub seats: Arc<Seats>,
    pub begun: Instant,
}

impl HandleError<StoreError> for LogConnectionErrors {
    fn handle_error(&self, error: StoreError) {
        match error {
            StoreError::Fault(Fault::NoConnection, _) => tracing::debug!(%error, "no new database connection"),
            _ if self.seats.with(|state| state.failing.is_news(error.kind(), self.begun.elapsed())) => {
                tracing::warn!(%error, "no new database connection for pages; it is tried again and again");
            }
            _ => {}
        }
    }
}

pub mod reading;
#[cfg(test)]
mod tests;
