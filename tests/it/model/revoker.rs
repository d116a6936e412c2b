//! The revoke of a key: commit the change, wait for the nodes, answer.

use super::{
    LEASE, Move, Protocol, Rule, Who,
    state::{Epoch, Revoke, Row, State},
};

pub fn moves(protocol: &Protocol, state: &State, key: Epoch, moves: &mut Vec<Move>) {
    let mut may = |does, change: &dyn Fn(&mut State)| moves.push(Move::new(state, Who::Revoker { key }, does, change));
    match state.revokes[usize::from(key) - 1] {
        Revoke::NotBegun if !protocol.keeps(Rule::TimeNotedAfterCommit) => {
            may("notes the time", &|then| *then.revoke(key) = Revoke::Begun { since: 0 });
        }
        // The time is noted the moment the commit returns. Later would only mean to wait longer.
        Revoke::NotBegun => {
            if may_commit(protocol, state, key) {
                may("commits", &|then| commit(protocol, then, key, 0));
            }
        }
        Revoke::Begun { since } => {
            if may_commit(protocol, state, key) {
                may("commits", &|then| commit(protocol, then, key, since));
            }
        }
        Revoke::Committed { since } => {
            let confirmed = |row: &Row| row.applied >= key;
            let enough = if protocol.keeps(Rule::RevokerWaitsForAll) {
                state.rows().all(confirmed)
            } else {
                state.rows().any(confirmed)
            };
            // To answer in the same step as the rows are read is the worst case: later, less can be wrong.
            if enough {
                may("answers: all rows confirm", &|then| *then.revoke(key) = Revoke::Answered { waited_out: false });
            }
            if !protocol.keeps(Rule::NoReadingIsNoRows) {
                may("answers: no row was read", &|then| *then.revoke(key) = Revoke::Answered { waited_out: false });
            }
            if since == LEASE {
                may("answers: leases are over", &|then| *then.revoke(key) = Revoke::Answered { waited_out: true });
            }
        }
        Revoke::Answered { .. } => {}
    }
}

/// Each change holds the row of `key_epoch` until its commit, so that no epoch is visible before a smaller one.
fn may_commit(protocol: &Protocol, state: &State, key: Epoch) -> bool {
    state.epoch == key - 1 || !protocol.keeps(Rule::EpochsInOrderOfCommits)
}

fn commit(protocol: &Protocol, state: &mut State, key: Epoch, since: u8) {
    state.epoch = state.epoch.max(key);
    *state.revoke(key) = if protocol.keeps(Rule::RevokerWaits) {
        Revoke::Committed { since }
    } else {
        Revoke::Answered { waited_out: false }
    };
}
