//! What the database does with the renewals it was sent, and what reapers do to rows that stand still.
//!
//! An UPDATE has two moments. Its conditions are first looked at in the snapshot the statement began with, and there the
//! sub-select sees the epoch. Then the row is locked; if another transaction wrote it meanwhile, its conditions are looked
//! at again with the row as it is now, but with the epoch as it was. A change may commit between the two.

use super::{
    LEASE, Move, Protocol, Rule, Who,
    revoker::delete_row,
    state::{Node, Renewal, State, Update},
};

pub fn moves(protocol: &Protocol, state: &State, n: usize, moves: &mut Vec<Move>) {
    let node = &state.nodes[n];
    let mut may = |does, change: &dyn Fn(&mut Node)| {
        moves.push(Move::new(state, Who::Database { n }, does, |then| change(&mut then.nodes[n])));
    };
    let at_its_epoch = |update: Update| {
        node.row.is_some() && (update.applied == state.epoch || !protocol.keeps(Rule::RenewalAtTheEpoch))
    };
    if let Some(Renewal { update: Some(update), age }) = node.renewal {
        let begun = Renewal { age, update: Some(Update { begun: true, ..update }) };
        let done = Renewal { age, update: None };
        // No row updated: nothing is learnt from it, so the answer need not be waited for.
        let refused = if protocol.keeps(Rule::NoRowNoLease) { None } else { Some(done) };
        let written = |node: &mut Node| if write(protocol, node, update) { Some(done) } else { refused };
        if update.begun {
            may("writes the row for a renewal", &|node| node.renewal = written(node));
        } else if !at_its_epoch(update) {
            may("updates no row for a renewal", &|node| node.renewal = refused);
        } else if protocol.late_updates {
            may("finds the epoch right for a renewal", &|node| node.renewal = Some(begun));
        } else {
            may("carries out a renewal", &|node| node.renewal = written(node));
        }
    }
    if let Some(update) = node.forgotten {
        if !update.begun {
            let next = at_its_epoch(update).then_some(Update { begun: true, ..update });
            may("looks at the epoch for a renewal given up", &|node| node.forgotten = next);
        } else {
            may("writes the row for a renewal given up", &|node| {
                write(protocol, node, update);
                node.forgotten = None;
            });
        }
    }
    reap(protocol, node, &mut may);
}

/// The second moment. True if a row was updated.
fn write(protocol: &Protocol, node: &mut Node, update: Update) -> bool {
    let Some(row) = &mut node.row else { return false };
    if row.applied > update.applied && protocol.keeps(Rule::ConfirmedNeverFalls) {
        return false;
    }
    row.applied = update.applied;
    row.unchanged = 0;
    if !protocol.keeps(Rule::RowIdUsedOnce) {
        row.renewal += 1;
    }
    true
}

fn reap(protocol: &Protocol, node: &Node, may: &mut impl FnMut(&'static str, &dyn Fn(&mut Node))) {
    let Some(row) = &node.row else { return };
    // The worst reaper saw the number the moment it was written. Its DELETE names the row and the number: if it is late, it
    // either finds the row as it still is, or nothing. So to have it come at once is to have it come at any time.
    if row.unchanged == LEASE || !protocol.keeps(Rule::ReaperWaits) {
        may("deletes a row that stood still", &|node| delete_row(protocol, node));
    }
    if protocol.keeps(Rule::ReaperNamesWhatItSaw) && protocol.keeps(Rule::RowIdUsedOnce) {
        return;
    }
    if row.unchanged == LEASE && node.reaping.is_none() {
        may("sees a row stand still", &|node| node.reaping = node.row.as_ref().map(|row| row.renewal));
    }
    if node.reaping.is_some_and(|seen| seen == row.renewal || !protocol.keeps(Rule::ReaperNamesWhatItSaw)) {
        may("carries out a reaper's late DELETE", &|node| {
            delete_row(protocol, node);
            node.reaping = None;
        });
    }
}
