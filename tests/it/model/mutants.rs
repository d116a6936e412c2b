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

/// E2 is visible before E1: a node asks, loads up to epoch 2, and never looks for E1 again.
#[test]
fn epochs_are_in_the_order_of_commits() {
    needed(Rule::EpochsInOrderOfCommits, 1, 2);
}

/// A node counts E1 as applied, is stopped before the index has it, and has confirmed what it does not know.
#[test]
fn the_index_comes_before_the_count() {
    needed(Rule::IndexBeforeApplied, 1, 1);
}

/// The change was cleared away before the node read it; it goes on behind the gap.
#[test]
fn a_gap_means_to_load_anew() {
    needed(Rule::GapMeansLoadAnew, 1, 1);
}

/// E2 is committed after the keys were read and before the epoch is noted: the node counts E2 as applied.
#[test]
fn the_epoch_is_noted_before_the_load() {
    needed(Rule::EpochNotedBeforeLoad, 1, 2);
}

// Leases

/// A node renews again and again without having applied what it was told is committed; no wait for its lease is long enough.
#[test]
fn a_renewal_is_only_when_caught_up() {
    needed(Rule::RenewalWhenCaughtUp, 1, 1);
}

/// A node without a row asks, E1 is committed and answered without it, and the UPDATE of no row gives the node a lease.
#[test]
fn no_row_is_no_lease() {
    needed(Rule::NoRowNoLease, 1, 1);
}

/// A node without a row asks, E1 is committed and answered without it; the node registers in the same round, and answers.
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

/// A node asks, and is stopped; E1 is committed. Then the node sends its renewal, and its lease outlasts the revoker's wait by
/// the time it was stopped for.
#[test]
fn the_deadline_counts_from_before_the_asking() {
    needed(Rule::DeadlineFromAsking, 1, 1);
}

/// A node asks just before E1; its clock is slow, so that its LEASE ends after the revoker's.
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

/// The rows cannot be read at the moment, and the revoker takes that for nobody who has to be waited for.
#[test]
fn a_reading_that_fails_is_not_a_reading_without_rows() {
    needed(Rule::NoReadingIsNoRows, 1, 1);
}

/// The commit takes long: a node asks after the time was noted and before the commit, and its lease ends after the wait.
#[test]
fn the_time_is_noted_after_the_commit() {
    needed(Rule::TimeNotedAfterCommit, 1, 1);
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
