//! The protocol without one of its rules: each time, the checker must find a VALID that began after a revoke was answered.
//!
//! Above each test stands what happens then, E1 and E2 being the changes of the keys 1 and 2. The moves are printed:
//! `cargo test --test it model::mutants::no_row -- --nocapture`.

use stateright::{Checker, HasDiscoveries, Model};

use super::{MARGIN, NO_STALE_YES, Protocol, Rule};

fn needed(rule: Rule, nodes: usize, keys: usize) {
    let drift = if nodes == 1 { MARGIN } else { 0 };
    let protocol = Protocol { nodes, keys, drift, late_updates: nodes == 1, without: Some(rule) };
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.assert_any_discovery(NO_STALE_YES).into_actions();
    println!("{} states before {found:#?}", checker.unique_state_count());
}

// Changes

/// E2 is visible before E1: a node applies E2, is past E1 for ever, and renews at epoch 2.
#[test]
fn epochs_are_in_the_order_of_commits() {
    needed(Rule::EpochsInOrderOfCommits, 1, 2);
}

/// A node counts E1 as applied, is stopped before the index has it, and has confirmed what it does not know.
#[test]
fn the_index_comes_before_the_count() {
    needed(Rule::IndexBeforeApplied, 1, 1);
}

/// A node without a row sleeps while E1 is confirmed by all rows and cleared away; it goes on behind the gap.
#[test]
fn a_gap_means_to_load_anew() {
    needed(Rule::GapMeansLoadAnew, 1, 1);
}

// Leases

/// E1 is answered while a node has no row; the node comes back, renews without having read E1, and answers from memory.
#[test]
fn a_renewal_is_only_at_the_epoch() {
    needed(Rule::RenewalAtTheEpoch, 1, 1);
}

/// A renewal of before E1 is late between its two moments. The node, waited out at E1, has come back and confirmed; now the
/// late one writes 0 over its 1, the DELETE of E1's revoker takes the row for unconfirmed, and E2 does not know of the node.
#[test]
fn what_was_confirmed_never_falls() {
    needed(Rule::ConfirmedNeverFalls, 1, 2);
}

/// A node's row is gone, E1 is answered without it, and the UPDATE of no row gives the node a lease.
#[test]
fn no_row_is_no_lease() {
    needed(Rule::NoRowNoLease, 1, 1);
}

/// E1 is answered while a node has no row; the node registers, without E1, and answers.
#[test]
fn registering_is_no_lease() {
    needed(Rule::RegisteringIsNoLease, 1, 1);
}

/// A reaper saw `renewal` stand still at 1, and its DELETE is late. The row is deleted by another, the node registers under
/// the old id and renews: `renewal` is 1 again. The DELETE takes a row with a lease, and E1 does not know of the node.
#[test]
fn a_row_id_is_used_once() {
    needed(Rule::RowIdUsedOnce, 1, 1);
}

/// A renewal is carried out just before E1, its answer is late, and the lease outlasts the revoker's wait by that.
#[test]
fn the_deadline_counts_from_before_the_sending() {
    needed(Rule::DeadlineFromSending, 1, 1);
}

/// A node renews just before E1; its clock is slow, so that its LEASE ends after the revoker's.
#[test]
fn a_lease_has_a_margin() {
    needed(Rule::Margin, 1, 1);
}

/// A node renews just before E1 and is suspended; when it wakes up, the revoke was answered and its clock is where it was.
#[test]
fn the_clock_counts_suspended_time() {
    needed(Rule::ClockCountsSuspend, 1, 1);
}

// Requests

/// A node whose lease is over, or that never had one, answers from memory.
#[test]
fn the_lease_is_checked() {
    needed(Rule::LeaseChecked, 1, 1);
}

/// A node without a lease finds the key good and is stopped; then it applies E1, renews, and the lease it checks is new.
#[test]
fn the_lease_is_checked_before_the_look_up() {
    needed(Rule::LeaseBeforeLookUp, 1, 1);
}

// Revokers

/// E1 is answered as soon as it is committed, and a node that has not read it has a lease.
#[test]
fn the_revoker_waits() {
    needed(Rule::RevokerWaits, 1, 1);
}

/// One of two nodes confirms E1; the other has a lease, and has not read it.
#[test]
fn the_revoker_waits_for_all() {
    needed(Rule::RevokerWaitsForAll, 2, 1);
}

/// The commit takes long: a node renews after the time was noted and before the commit, and its lease ends after the wait.
#[test]
fn the_time_is_noted_after_the_commit() {
    needed(Rule::TimeNotedAfterCommit, 1, 1);
}

/// A node is waited out at E1, but confirms before the DELETE: it has a lease and no row, and E2 does not know of it.
#[test]
fn only_unconfirmed_rows_are_deleted() {
    needed(Rule::OnlyUnconfirmedDeleted, 1, 2);
}

// Leaving

/// A reaper deletes the row of a node with a lease, and E1 does not know of the node.
#[test]
fn the_reaper_waits() {
    needed(Rule::ReaperWaits, 1, 1);
}

/// A row has stood still, but its node renews before the DELETE comes: it has a lease and no row.
#[test]
fn the_reaper_names_what_it_saw() {
    needed(Rule::ReaperNamesWhatItSaw, 1, 1);
}

/// A node that stops deletes its row, E1 is answered without it, and it answers one more request.
#[test]
fn a_node_stops_before_it_deletes_its_row() {
    needed(Rule::StopBeforeDelete, 1, 1);
}
