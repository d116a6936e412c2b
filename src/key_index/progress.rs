//! How far the follower has come: what its thread writes and everybody else reads.

use std::time::Duration;

use crate::{
    domain::{key_record::Epoch, position::Position},
    store::revived::Revived,
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
    /// The longest lease of the nodes that were there lately; zero until this node is one.
    pub longest_lease: Duration,
    /// Why the index may not be true, if that is known.
    pub trouble: Option<Trouble>,
    /// How often the database could not be followed, and following began anew.
    pub failures: u64,
    /// How often every key was read again because changes were missing.
    pub gaps: u64,
    /// How often it was found that the database has another history than before.
    pub lost_histories: u64,
    /// When that was found for the last time, on the clock of leases.
    pub history_lost_at: Option<Duration>,
    /// What the database revives, if it was refused for that: nothing is followed then, and the server has to end.
    pub refused: Option<Revived>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::position::Mark;

    #[test]
    fn a_change_is_in_the_index_when_a_later_look_is_over_or_it_was_the_last_one() {
        let at = |mark| Position { epoch: Epoch(3), mark };
        let (mark, another) = (Mark::generate().unwrap(), Mark::generate().unwrap());
        let progress = Progress { is_loaded: true, applied: at(mark), looks: 7, ..Progress::default() };
        assert!(progress.has_applied(at(another), 6), "a look that began after its commit found it");
        assert!(!progress.has_applied(at(another), 7) && !progress.has_applied(at(another), 8), "none has begun since");
        assert!(progress.has_applied(at(mark), 7), "it is the last one that was applied");
        assert!(!progress.has_applied(Position { epoch: Epoch(2), mark }, 7));
        let unmarked = Progress { applied: at(Mark::UNKNOWN), ..progress };
        assert!(!unmarked.has_applied(at(Mark::UNKNOWN), 7), "a number alone may be one of another history");
        let loading = Progress { is_loaded: false, ..progress };
        assert!(!loading.has_applied(at(mark), 6), "what was applied before is being read anew");
    }
}
