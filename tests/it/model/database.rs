//! What the database does with the renewals it was sent, and what reapers do to rows that stand still.

use super::{
    LEASE, Move, Protocol, Rule, Who,
    state::{Epoch, Node, State, Step},
};

pub fn moves(protocol: &Protocol, state: &State, n: usize, moves: &mut Vec<Move>) {
    let node = &state.nodes[n];
    let mut may = |does, change: &dyn Fn(&mut Node)| {
        moves.push(Move::new(state, Who::Database { n }, does, |then| change(&mut then.nodes[n])));
    };
    if node.row.is_some() && node.round.is_some_and(|round| round.step == Step::Renewing) {
        may("carries out a renewal", &|node| {
            update_row(protocol, node, node.applied);
            if let Some(round) = &mut node.round {
                round.step = Step::Renewed;
            }
        });
    }
    if let Some(applied) = node.late {
        may("carries out a renewal given up", &|node| {
            update_row(protocol, node, applied);
            node.late = None;
        });
    }
    reap(protocol, node, &mut may);
}

/// The real statement has `AND applied_epoch <= …` too, so that what a row says never falls. Here it may: the node has
/// applied more, and a revoker only waits longer. No VALID depends on it.
fn update_row(protocol: &Protocol, node: &mut Node, applied: Epoch) {
    if let Some(row) = &mut node.row {
        row.applied = applied;
        row.unchanged = 0;
        if !protocol.keeps(Rule::RowIdUsedOnce) {
            row.renewal += 1;
        }
    }
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

/// Whoever deletes it. What is on its way to this row will find none.
pub fn delete_row(protocol: &Protocol, node: &mut Node) {
    node.row = None;
    node.late = None;
    if protocol.keeps(Rule::RowIdUsedOnce) {
        node.reaping = None;
    }
}
