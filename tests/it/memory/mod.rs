//! Why a look-up that takes no lock is right while another thread writes: the sources that readers and the writer share,
//! run by `loom` in every order of their steps, and with every old value that the memory of a real machine may still show.
//!
//! # How the same sources come to run here
//! [`slots`](ordered::slots), [`secret_entry`](ordered::secret_entry), [`version`](ordered::version), [`place`](ordered::place),
//! [`lease`](ordered::lease) and [`dirty_list`](ordered::dirty_list) are the files of `src/key_index/`, compiled a second time. All they need of the outside is `super::sync`, and that is here a module with
//! `loom`'s atomics in the place of those of `std`. Their unit tests stand in files of their own, as they would not run here.
//!
//! They are even compiled three times: [`ordered`] as they are, [`unordered`] with each `Acquire` and `Release` read as
//! `Relaxed`, [`unfenced`] without the fences. [`scenarios`](ordered::scenarios) go through all of them: the first has to pass,
//! and of the other two each has to fail where what it lacks is needed. Who reads `Release` in the sources can so find out here
//! what it is for.
//!
//! # What it does not show
//! Only what few threads do in few steps; and while the table grows, threads are interrupted at most [`PREEMPTIONS`] times
//! where they could go on. To `loom` a `SeqCst` access is `AcqRel`, and only a fence is more; the sources have no such
//! access. The arena and the facts of a key are behind `std`'s `OnceLock` and are not looked at; neither are the
//! `AtomicCell` with the last use and the crate that lends the entries.

#![allow(clippy::duplicate_mod, reason = "this is what the module is about")]

mod atomics;
mod ordered;
mod unfenced;
mod unordered;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Enough to find what is wrong without orderings. Three find no more in ten times the time.
const PREEMPTIONS: usize = 2;

/// Runs a scenario in every order.
fn in_every_order(scenario: fn()) {
    run(loom::model::Builder::new(), scenario);
}

/// The same for one of many steps, but for orders in which threads take turns more often.
fn in_orders_of_few_turns(scenario: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    run(builder, scenario);
}

fn run(builder: loom::model::Builder, scenario: fn()) {
    let orders = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&orders);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scenario();
    });
    let orders = orders.load(Ordering::Relaxed);
    println!("{orders} orders");
    assert!(orders > 1, "nothing happened at once");
}

// Look-up against growth

#[test]
fn what_was_inserted_is_found_while_the_table_grows() {
    in_orders_of_few_turns(ordered::scenarios::a_look_up_while_the_table_grows);
}

/// The reader sees the number of the new table before the table, or an entry's digest before its key.
#[test]
#[should_panic = "a key is not found, or not fully written"]
fn without_orderings_a_look_up_can_miss() {
    in_orders_of_few_turns(unordered::scenarios::a_look_up_while_the_table_grows);
}

// Look-up against forgetting

#[test]
fn what_lies_behind_a_removed_number_is_found() {
    in_orders_of_few_turns(ordered::scenarios::a_look_up_while_a_number_is_removed);
}

#[test]
#[should_panic = "a key is not found, or not fully written"]
fn without_orderings_what_takes_a_place_can_be_half_written() {
    in_orders_of_few_turns(unordered::scenarios::a_look_up_while_a_number_is_removed);
}

#[test]
fn a_forgotten_secret_is_never_taken_for_the_one_in_its_place() {
    in_orders_of_few_turns(ordered::scenarios::a_look_up_while_an_entry_is_filled_anew);
}

/// The reader sees the new secret's state, and the old digest.
#[test]
#[should_panic = "a forgotten secret is taken for another one"]
fn without_orderings_a_forgotten_secret_can_live() {
    in_orders_of_few_turns(unordered::scenarios::a_look_up_while_an_entry_is_filled_anew);
}

// Look-up against other facts

#[test]
fn who_has_other_facts_has_them_whole_and_what_was_taken_away_before() {
    in_every_order(ordered::scenarios::a_look_up_while_other_facts_take_their_place);
}

#[test]
#[should_panic = "facts hold"]
fn without_orderings_facts_can_hold_too_early() {
    in_every_order(unordered::scenarios::a_look_up_while_other_facts_take_their_place);
}

// Look-up against revocation

#[test]
fn who_sees_the_new_lease_sees_the_revocation() {
    in_every_order(|| ordered::scenarios::a_request_during_a_revocation(true));
}

/// Between the look-up and the check the follower applied the revocation and renewed the lease.
#[test]
#[should_panic = "a revoked key is VALID under the new lease"]
fn to_look_up_before_the_lease_is_checked_is_wrong() {
    in_every_order(|| ordered::scenarios::a_request_during_a_revocation(false));
}

/// The reader's processor learns of the new lease before it learns of the revocation.
#[test]
#[should_panic = "a revoked key is VALID under the new lease"]
fn without_orderings_the_lease_can_be_ahead_of_the_index() {
    in_every_order(|| unordered::scenarios::a_request_during_a_revocation(true));
}

// Look-up against other entries

#[test]
fn whoever_still_has_the_entries_of_before_sees_the_revocation() {
    in_every_order(|| ordered::scenarios::a_look_up_in_the_entries_of_before(true));
}

#[test]
#[should_panic = "a revoked key is VALID after its receipt"]
fn to_feed_only_the_entries_of_now_is_wrong() {
    in_every_order(|| ordered::scenarios::a_look_up_in_the_entries_of_before(false));
}

#[test]
#[should_panic = "a revoked key is VALID after its receipt"]
fn without_orderings_a_receipt_can_be_ahead_of_the_entries() {
    in_every_order(|| unordered::scenarios::a_look_up_in_the_entries_of_before(true));
}

#[test]
fn no_use_is_given_up_with_the_entries() {
    in_every_order(|| ordered::scenarios::a_use_in_entries_that_are_given_up(true));
}

/// Between the taking and the look somebody counted, and was gone.
#[test]
#[should_panic = "a use is given up with the entries"]
fn to_look_who_has_the_entries_after_taking_is_wrong() {
    in_every_order(|| ordered::scenarios::a_use_in_entries_that_are_given_up(false));
}

// Counting against counting

#[test]
fn who_is_refused_first_and_at_once_is_counted_in_one_place() {
    in_every_order(ordered::scenarios::two_who_make_a_place_at_once);
}

#[test]
#[should_panic = "a place is given before it is made"]
fn without_orderings_a_place_can_be_given_before_it_is_made() {
    in_every_order(unordered::scenarios::two_who_make_a_place_at_once);
}

// Counting against taking

#[test]
fn every_use_is_taken_once() {
    in_every_order(ordered::scenarios::a_use_while_the_list_is_taken);
}

#[test]
fn uses_of_several_keys_are_taken_once() {
    in_every_order(ordered::scenarios::uses_of_two_keys_while_the_list_is_taken);
}

/// The user does not see that the mark was taken away, the taker does not see the count: nobody takes it, for ever.
#[test]
#[should_panic = "a use was never taken"]
fn without_fences_a_use_can_be_lost() {
    in_every_order(unfenced::scenarios::a_use_while_the_list_is_taken);
}
