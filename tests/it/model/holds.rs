//! The protocol as it is: no stale VALID in any state it can come to.
//!
//! One node and two revokes show nearly everything, as a node meets the others only in what revokers and reapers do. Two nodes
//! and one revoke show that a revoker cares for each of them.

use stateright::{Checker, Model};

use super::{MARGIN, Protocol, Rule};

fn holds(protocol: Protocol) {
    let checker = protocol.checker().spawn_bfs().join();
    println!("{} states, the farthest after {} moves", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

/// 139 338 states.
#[test]
fn one_node_and_two_revokes() {
    holds(Protocol { nodes: 1, keys: 2, drift: MARGIN, late_updates: true, without: None });
}

/// 92 795 states. As a node's drift and late UPDATEs are its own affair, one node can show them; here they would make the
/// states many more.
#[test]
fn two_nodes_and_one_revoke() {
    holds(Protocol { nodes: 2, keys: 1, drift: 0, late_updates: false, without: None });
}

/// The margin is for drift and for nothing else. 4 704 states.
#[test]
fn clocks_that_never_drift_need_no_margin() {
    holds(Protocol { nodes: 1, keys: 1, drift: 0, late_updates: true, without: Some(Rule::Margin) });
}
