//! A request: check the lease, look the key up, answer.
//!
//! A request that began before a revoke was answered may be answered VALID at any time after, as its node may be stopped with
//! the answer in its hands. So only requests that begin later are looked at, from their first step.

use super::{
    Move, Protocol, Rule, Who,
    state::{Epoch, Request, Revoke, State},
};

pub fn moves(protocol: &Protocol, state: &State, moves: &mut Vec<Move>) {
    if let Some(Request { node: n, key }) = state.request {
        let valid = if protocol.keeps(Rule::LeaseBeforeLookUp) {
            !state.nodes[n].knows(key)
        } else {
            has_lease(protocol, state, n)
        };
        moves.push(Move::new(state, Who::Request { n, key }, "ends", |then| {
            then.request = None;
            then.stale_yes = valid;
        }));
        return;
    }
    for (key, revoke) in (1..).zip(&state.revokes) {
        for n in 0..state.nodes.len() {
            if matches!(revoke, Revoke::Answered { .. }) && first_step_succeeds(protocol, state, n, key) {
                let request = Request { node: n, key };
                moves.push(Move::new(state, Who::Request { n, key }, "begins", |then| then.request = Some(request)));
            }
        }
    }
}

/// If not, the request is over: 503, or REVOKED.
fn first_step_succeeds(protocol: &Protocol, state: &State, n: usize, key: Epoch) -> bool {
    if protocol.keeps(Rule::LeaseBeforeLookUp) { has_lease(protocol, state, n) } else { !state.nodes[n].knows(key) }
}

fn has_lease(protocol: &Protocol, state: &State, n: usize) -> bool {
    state.nodes[n].lease > 0 || !protocol.keeps(Rule::LeaseChecked)
}
