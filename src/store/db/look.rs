//! What became of a COMMIT that was not answered.

use std::time::{Duration, Instant};

use super::Db;
use crate::store::{
    dialect,
    key_changes::{self, Recorded},
    transaction,
};

/// How long to look: a restart of Postgres, but not a person's patience.
const LOOK_FOR: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Db {
    /// Whether a change whose COMMIT was not answered was made; `None` when nobody says so in time.
    pub(super) fn look_for(&self, recorded: &Recorded) -> Option<bool> {
        let begun = Instant::now();
        loop {
            let left = || LOOK_FOR.saturating_sub(begun.elapsed()).max(LOOK_AGAIN);
            let found = self.address.now().connect_within(left()).and_then(|mut conn| {
                dialect::within(&mut conn, left(), |conn| {
                    transaction::look(conn, |conn| key_changes::was_recorded(conn, recorded))
                })
            });
            match found {
                Ok(was_made) => {
                    tracing::warn!(was_made, "a change whose outcome was not known was looked up");
                    return Some(was_made);
                }
                Err(error) if begun.elapsed() >= LOOK_FOR => {
                    tracing::error!(%error, "whether a change was saved is not known; whoever made it is told to look");
                    return None;
                }
                Err(_) => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }
}
