//! A database that is still being filled although its tables have their primary keys: by logical replication, or from a dump of the
//! data alone. Keys come before their secrets, and no change says that they have come.

use std::time::Duration;

use super::Thread;
use crate::store::{
    Conn, Fault, StoreError,
    wholeness::{self, KeysAlone},
};

/// How long secrets are waited for where there are keys and no secret of any. It is possible that there are none.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether what was missing has come.
const EVERY: Duration = Duration::from_secs(2);
/// Of the time, so much is left for everything else where all keys are read again and again.
const SHARE: u32 = 5;

/// What may still come.
#[derive(Default)]
pub struct Filling {
    /// Since when there have been keys and no secret of any.
    alone_since: Option<Duration>,
    /// Living keys without a secret.
    awaited: Vec<String>,
    /// Changes were made, and there is no key.
    is_empty: bool,
    /// When it is asked next.
    next_look: Duration,
}

impl Filling {
    /// These keys are as they stand in the database: a change told of them.
    pub fn forget(&mut self, ids: &[&str]) {
        self.awaited.retain(|awaited| !ids.contains(&awaited.as_str()));
    }
}

impl Thread {
    /// Waits a while for the secrets of a database that has none.
    pub(super) fn wait_for_secrets(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        if !wholeness::has_keys_alone(conn)? {
            self.filling.alone_since = None;
            return Ok(());
        }
        let now = self.membership.now();
        let since = *self.filling.alone_since.get_or_insert(now);
        if now.saturating_sub(since) >= PATIENCE {
            return Ok(());
        }
        let words = "the database has keys and no secret of any: if it is still being filled, it is read once they have come, and if they \
                     do not, half a minute from now";
        Err(StoreError::Fault(Fault::Other, words.to_owned()))
    }

    /// Notes what was not there when everything was read, which took so long.
    pub(super) fn note_missing(&mut self, alone: KeysAlone, is_empty: bool, took: Duration) {
        if alone.count > 0 {
            tracing::warn!(
                keys = alone.count,
                newest = alone.ids.first().map_or("", String::as_str),
                "living keys have no secret in the database, so that nobody passes with them; should it still be filled, everything is \
                 read again as secrets come"
            );
        }
        (self.filling.awaited, self.filling.is_empty) = (alone.ids, is_empty);
        self.filling.next_look = self.membership.now() + EVERY.max(took * SHARE);
    }

    /// Whether something of that has come.
    pub(super) fn has_come(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let now = self.membership.now();
        let is_empty = self.filling.is_empty && self.index.keys() == 0;
        if (self.filling.awaited.is_empty() && !is_empty) || now < self.filling.next_look {
            return Ok(false);
        }
        self.filling.next_look = now + EVERY;
        Ok(wholeness::has_secret_of_any(conn, &self.filling.awaited)? || (is_empty && wholeness::has_keys(conn)?))
    }
}
