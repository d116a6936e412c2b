//! How far the follower has come: what its thread writes and everybody else reads.

use std::time::Duration;

use crate::domain::{key_record::Epoch, position::Position};

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

impl Progress {
    /// Whether a change is in the index: it is the last one that was applied, or everything was applied that a look found which
    /// began after its commit. The number of its epoch would prove nothing: it may be one of another history.
    pub fn has_applied(&self, change: Position, looks_before: u64) -> bool {
        self.is_loaded && (self.looks > looks_before || change.mark.is_known() && self.applied == change)
    }
}
