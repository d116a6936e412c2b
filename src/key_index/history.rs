//! Whether what a node has applied is a part of the database's history, and what to read next.
//!
//! Epochs are consecutive and marks random: if the change at a node's epoch has the mark that the node remembers, every change
//! before it is one that the node has applied. If it has another, the node followed a history that is gone: a backup was
//! restored, or a standby promoted that had not received everything.

use crate::domain::{key_record::Epoch, position::Position};

/// How a node's position stands to the changes in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In this history, and the next changes follow it without a gap, up to this one.
    Behind(Position),
    /// Changes are missing: the node was away for longer than they are kept.
    Gap,
    /// What the node applied is not in this history.
    AnotherHistory,
}

/// Where a node that has applied this stands, if these are the changes from its own epoch up to `to`.
pub fn standing(applied: Position, changes: &[Position], to: Epoch) -> Standing {
    let own = changes.iter().find(|position| position.epoch == applied.epoch);
    let mut last = applied;
    match own {
        Some(own) if own.mark != applied.mark && own.mark.is_known() && applied.mark.is_known() => {
            return Standing::AnotherHistory;
        }
        None if applied.mark.is_known() => return Standing::Gap,
        _ => {}
    }
    for position in changes.iter().filter(|position| position.epoch > applied.epoch) {
        if position.epoch.0 > last.epoch.0 + 1 {
            return Standing::Gap;
        }
        last = *position;
    }
    if last.epoch == to { Standing::Behind(last) } else { Standing::Gap }
}

/// Where a node that has applied this stands, if that is the last change and has no greater number; `None`: there is
/// nothing to do.
pub fn standing_at_the_end(applied: Position, newest: Position) -> Option<Standing> {
    if newest == applied {
        None
    } else if newest.epoch < applied.epoch || newest.mark.is_known() && applied.mark.is_known() {
        Some(Standing::AnotherHistory)
    } else if newest.mark.is_known() {
        // It was read before the change had a mark.
        Some(Standing::Behind(newest))
    } else {
        Some(Standing::Gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::position::Mark;

    fn at(epoch: i64, mark: &str) -> Position {
        Position { epoch: Epoch(epoch), mark: Mark::parse(&mark.repeat(32)).unwrap() }
    }

    #[test]
    fn changes_that_follow_are_read() {
        let all = [at(4, "a"), at(5, "b"), at(5, "b"), at(6, "c")];
        assert_eq!(standing(at(4, "a"), &all, Epoch(6)), Standing::Behind(at(6, "c")));
        // The first change of all has nothing before it.
        let first = [at(1, "a")];
        assert_eq!(standing(Position::default(), &first, Epoch(1)), Standing::Behind(at(1, "a")));
        assert_eq!(standing_at_the_end(at(6, "c"), at(6, "c")), None);
    }

    #[test]
    fn another_change_of_the_same_number_is_another_history() {
        let all = [at(4, "f"), at(5, "b")];
        assert_eq!(standing(at(4, "a"), &all, Epoch(5)), Standing::AnotherHistory);
        assert_eq!(standing_at_the_end(at(4, "a"), at(4, "f")), Some(Standing::AnotherHistory));
        assert_eq!(standing_at_the_end(at(4, "a"), at(3, "c")), Some(Standing::AnotherHistory));
        assert_eq!(standing_at_the_end(at(4, ""), at(3, "")), Some(Standing::AnotherHistory));
    }

    #[test]
    fn a_change_that_is_missing_is_a_gap() {
        for (changes, to) in [
            (&[at(5, "b")][..], 5),
            (&[at(4, "a"), at(6, "c")], 6),
            (&[at(4, "a"), at(5, "b")], 6),
            (&[at(4, "a"), at(5, "b"), at(7, "d")], 7),
            (&[], 5),
        ] {
            assert_eq!(standing(at(4, "a"), changes, Epoch(to)), Standing::Gap, "{changes:?}");
        }
        assert_eq!(standing(Position::default(), &[at(2, "b")], Epoch(2)), Standing::Gap);
        assert_eq!(standing_at_the_end(at(4, "a"), at(4, "")), Some(Standing::Gap), "all were removed");
    }

    #[test]
    fn changes_of_an_older_program_have_no_mark() {
        assert_eq!(standing(at(4, ""), &[at(4, ""), at(5, "")], Epoch(5)), Standing::Behind(at(5, "")));
        assert_eq!(standing(at(4, ""), &[at(4, "a"), at(5, "b")], Epoch(5)), Standing::Behind(at(5, "b")));
        assert_eq!(standing_at_the_end(at(4, ""), at(4, "a")), Some(Standing::Behind(at(4, "a"))));
    }
}
