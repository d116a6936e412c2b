//! Time: a tick of all clocks, some of which may miss it.
//!
//! No clock is ever compared with another; what counts is how much each of them advances between two events. The worst
//! case is that the clocks of the revoker and of the reapers are the fastest and those of the nodes slow: so a tick is a
//! tick of the former, and a node's clock stands still in at most `drift` of any `LEASE` ticks in a row.

use super::{
    LEASE, Move, Protocol, Rule, Who,
    state::{Node, Revoke, State},
};

pub fn moves(protocol: &Protocol, state: &State, moves: &mut Vec<Move>) {
    for behind in 0..1 << state.nodes.len() {
        let is_behind = |n: usize| behind & (1 << n) != 0;
        if state.nodes.iter().enumerate().all(|(n, node)| !is_behind(n) || may_stand_still(protocol, node)) {
            let mut then = state.clone();
            tick(protocol, &mut then, is_behind);
            moves.push(Move { who: Who::Clocks { behind }, does: "tick", then });
        }
    }
}

/// Where a node measures nothing, its clock may as well go on.
fn may_stand_still(protocol: &Protocol, node: &Node) -> bool {
    let measures = node.lease > 0 || node.round.is_some();
    let within_drift = node.stood_still.count_ones() < u32::from(protocol.drift);
    measures && (within_drift || !protocol.keeps(Rule::ClockCountsSuspend))
}

fn tick(protocol: &Protocol, state: &mut State, is_behind: impl Fn(usize) -> bool) {
    for revoke in &mut state.revokes {
        if let Revoke::Begun { since } | Revoke::Committed { since } = revoke {
            *since = (*since + 1).min(LEASE);
        }
    }
    for (n, node) in state.nodes.iter_mut().enumerate() {
        // With this tick and the LEASE - 1 before it, `stood_still` covers a LEASE.
        node.stood_still = (node.stood_still << 1 | u8::from(is_behind(n))) & ((1 << (LEASE - 1)) - 1);
        if let Some(row) = &mut node.row {
            row.unchanged = (row.unchanged + 1).min(LEASE);
        }
        if is_behind(n) {
            continue;
        }
        node.lease = node.lease.saturating_sub(1);
        if let Some(round) = &mut node.round {
            round.age = (round.age + 1).min(protocol.term());
        }
    }
}
