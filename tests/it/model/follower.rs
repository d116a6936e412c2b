//! The follower of a node: apply the changes, renew the lease, and stop in good order.

use super::{
    Move, Protocol, Rule, Who,
    revoker::delete_row,
    state::{Epoch, Node, Renewal, Row, State, Update},
};

pub fn moves(protocol: &Protocol, state: &State, n: usize, moves: &mut Vec<Move>) {
    let node = &state.nodes[n];
    let mut may = |does, change: &dyn Fn(&mut Node)| {
        moves.push(Move::new(state, Who::Node { n }, does, |then| change(&mut then.nodes[n])));
    };
    if node.stopping {
        if node.row.is_some() {
            may("deletes its own row", &|node| delete_row(protocol, node));
        }
        return;
    }
    if let Some(key) = state.committed().find(|key| *key > node.applied) {
        if key == node.applied + 1 {
            apply(protocol, node, key, &mut may);
        }
        // A change that all rows have confirmed may have been cleared away, and a node without a row then finds a gap.
        if key > node.applied + 1 || state.rows().all(|row| row.applied >= key) {
            let all = state.committed().fold(0, |refuses, key| refuses | 1 << key);
            may("finds a gap", &|node| {
                if protocol.keeps(Rule::GapMeansLoadAnew) {
                    (node.refuses, node.applied) = (all, state.epoch);
                } else {
                    node.applied = key;
                }
            });
        }
    }
    renew(protocol, node, &mut may);
    may("stops answering", &|node| {
        node.stopping = true;
        node.lease = 0;
        forget(protocol, node);
    });
    if node.row.is_some() && !protocol.keeps(Rule::StopBeforeDelete) {
        may("deletes its own row", &|node| delete_row(protocol, node));
    }
}

fn apply(protocol: &Protocol, node: &Node, key: Epoch, may: &mut impl FnMut(&'static str, &dyn Fn(&mut Node))) {
    if !node.knows(key) {
        may("applies a change", &|node| node.refuses |= 1 << key);
    }
    if node.knows(key) || !protocol.keeps(Rule::IndexBeforeApplied) {
        may("counts it as applied", &|node| node.applied = key);
    }
}

fn renew(protocol: &Protocol, node: &Node, may: &mut impl FnMut(&'static str, &dyn Fn(&mut Node))) {
    match &node.renewal {
        None => {
            if node.row.is_none() {
                // A node learns that its row is gone when a renewal updates none. It can do no harm to know it sooner.
                may("registers", &|node| {
                    node.row = Some(Row { applied: node.applied, ..Row::default() });
                    if !protocol.keeps(Rule::RegisteringIsNoLease) {
                        node.lease = protocol.term();
                    }
                });
            }
            may("sends a renewal", &|node| {
                let update = Update { applied: node.applied, begun: false };
                node.renewal = Some(Renewal { age: 0, update: Some(update) });
            });
        }
        Some(Renewal { update: None, age }) => {
            let age = if protocol.keeps(Rule::DeadlineFromSending) { *age } else { 0 };
            may("learns it has a lease", &|node| {
                node.lease = node.lease.max(protocol.term() - age);
                node.renewal = None;
            });
            may("never gets the answer", &|node| forget(protocol, node));
        }
        Some(Renewal { update: Some(_), .. }) => may("waits no longer", &|node| forget(protocol, node)),
    }
}

/// The last one that was given up is remembered; of those before it, it is as if they were lost.
fn forget(protocol: &Protocol, node: &mut Node) {
    let update = node.renewal.take().and_then(|renewal| renewal.update);
    if protocol.late_updates {
        node.forgotten = update.or(node.forgotten);
    }
}
