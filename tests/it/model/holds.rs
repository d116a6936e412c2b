//! The protocol as it is: no stale VALID in any state it can come to.
//!
//! The numbers are of a debug build. One node and two revokes show everything a node can do to itself, as the other nodes
//! matter to it only by what the revokers and reapers do; two nodes and one revoke show what a revoker makes of several.

use stateright::{Checker, Model};

use super::{MARGIN, Protocol, Rule};

fn holds(protocol: Protocol) {
    let checker = protocol.checker().spawn_bfs().join();
    println!("{} states, the farthest after {} moves", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn one_node_and_two_revokes() {
    holds(Protocol { nodes: 1, keys: 2, drift: MARGIN, late_updates: true, without: None });
}

#[test]
fn two_nodes_and_one_revoke() {
    holds(Protocol { nodes: 2, keys: 1, drift: MARGIN, late_updates: false, without: None });
}

/// The margin is for drift and for nothing else.
#[test]
fn clocks_that_never_drift_need_no_margin() {
    holds(Protocol { nodes: 1, keys: 1, drift: 0, late_updates: true, without: Some(Rule::Margin) });
}
