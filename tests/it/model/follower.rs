//! The follower of a node: round after round it asks what is committed, applies it and renews the lease; in the end it
//! stops in good order.

use super::{
    Move, Protocol, Rule, Who,
    database::delete_row,
    state::{Epoch, Node, Round, Row, State, Step},
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
    if let Some(Round { age, step }) = node.round {
        let is_at = |step| Some(Round { age, step });
        match step {
            Step::CatchingUp { to } => catch_up(protocol, state, n, to, age, &mut may),
            Step::Loading { noted } => may("has read all keys", &|node| {
                if protocol.keeps(Rule::EpochNotedBeforeLoad) {
                    (node.refuses, node.applied) = (state.revoked(), noted);
                } else {
                    node.applied = state.epoch;
                }
                node.round = is_at(Step::CatchingUp { to: node.applied });
            }),
            Step::Renewing => renew(protocol, node, age, &mut may),
            Step::Renewed => may("learns it has a lease", &|node| {
                node.lease = protocol.term() - age;
                node.round = None;
            }),
        }
        may("gives the round up", &|node| give_up(protocol, node));
    } else {
        // To be stopped between the noting and the asking could only make the lease shorter.
        let round = Some(Round { age: 0, step: Step::CatchingUp { to: state.epoch } });
        may("notes the time and asks what is committed", &|node| node.round = round);
    }
    may("stops answering", &|node| {
        node.stopping = true;
        node.lease = 0;
        give_up(protocol, node);
    });
    if node.row.is_some() && !protocol.keeps(Rule::StopBeforeDelete) {
        may("deletes its own row", &|node| delete_row(protocol, node));
    }
}

fn catch_up(
    protocol: &Protocol,
    state: &State,
    n: usize,
    to: Epoch,
    age: u8,
    may: &mut impl FnMut(&'static str, &dyn Fn(&mut Node)),
) {
    let node = &state.nodes[n];
    if let Some(key) = state.committed().find(|key| node.applied < *key && *key <= to) {
        if key == node.applied + 1 {
            if !node.knows(key) {
                may("applies a change", &|node| node.refuses |= 1 << key);
            }
            if node.knows(key) || !protocol.keeps(Rule::IndexBeforeApplied) {
                may("counts it as applied", &|node| node.applied = key);
            }
        }
        // Changes are kept for a long time and not for ever.
        may("finds a gap", &|node| {
            if protocol.keeps(Rule::GapMeansLoadAnew) {
                if !protocol.keeps(Rule::EpochNotedBeforeLoad) {
                    node.refuses = state.revoked();
                }
                node.round = Some(Round { age, step: Step::Loading { noted: state.epoch } });
            } else {
                node.applied = key;
            }
        });
    }
    if node.applied >= to || !protocol.keeps(Rule::RenewalWhenCaughtUp) {
        let age = if protocol.keeps(Rule::DeadlineFromAsking) { age } else { 0 };
        may("sends a renewal", &|node| node.round = Some(Round { age, step: Step::Renewing }));
    }
}

/// Without a row. That the answer of the UPDATE and the INSERT after it take time changes nothing: meanwhile nobody makes
/// another row of this node. A row whose INSERT was given up would belong to nobody, and only make revokers wait.
fn renew(protocol: &Protocol, node: &Node, age: u8, may: &mut impl FnMut(&'static str, &dyn Fn(&mut Node))) {
    if node.row.is_some() {
        return;
    }
    may("learns it has no row, and registers", &|node| {
        node.lease = if protocol.keeps(Rule::RegisteringIsNoLease) { 0 } else { protocol.term() - age };
        node.row = Some(Row { applied: node.applied, ..Row::default() });
        node.round = None;
    });
    if !protocol.keeps(Rule::NoRowNoLease) {
        may("takes the answer of no row for a lease", &|node| {
            node.lease = protocol.term() - age;
            node.round = None;
        });
    }
}

/// The connection broke, or nothing is due. The last renewal that was given up is remembered; of those before it, it is as
/// if they were lost.
fn give_up(protocol: &Protocol, node: &mut Node) {
    let renewing = node.round.take().is_some_and(|round| round.step == Step::Renewing);
    if renewing && protocol.late_updates {
        node.late = Some(node.applied);
    }
}
