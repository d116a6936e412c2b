//! How many connections there may be, and who comes first.

use super::*;

fn seats(most: usize, taken: usize) -> Arc<Seats> {
    let seats = Seats::new(most);
    (0..taken).for_each(|_| seats.take(true).unwrap());
    seats
}

fn is_refused(seats: &Seats) -> bool {
    let Err(error) = seats.take(true) else { return false };
    // Nobody looks for another process that holds a lock.
    assert!(error.to_string().starts_with("no connection is free: the "), "{error}");
    true
}

#[test]
fn there_are_no_more_than_the_server_allows_and_one_more_is_tried_after_a_while() {
    let seats = seats(3, 3);
    assert!(is_refused(&seats) && !seats.are_too_many());
    seats.with(|state| state.lowered = Instant::now().checked_sub(MORE_AGAIN).unwrap());
    seats.take(true).unwrap();
    assert!(is_refused(&seats), "one, and not one after the other");
    assert!(!seats.are_too_many(), "and it may stay");
}

#[test]
fn when_the_server_is_full_there_is_one_fewer_from_then_on() {
    let seats = seats(8, 3);
    seats.leave_room();
    assert!(seats.are_too_many(), "one of the three has to go");
    seats.with(|state| state.open -= 1);
    assert!(!seats.are_too_many() && is_refused(&seats));
    // Never none: then no page could be served even when there is room.
    seats.with(|state| state.open = 0);
    seats.leave_room();
    seats.take(true).unwrap();
    assert!(is_refused(&seats));
}

#[test]
fn while_the_follower_has_lost_its_connection_nobody_else_takes_one() {
    let seats = seats(3, 0);
    seats.with(|state| state.is_follower_waiting = true);
    assert!(is_refused(&seats));
    seats.take(false).expect("a file has room for everybody");
}

#[test]
fn a_full_server_is_told_from_other_faults() {
    let says = |words: &str| is_full(&StoreError::Fault(Fault::Unreachable, words.to_owned()));
    assert!(says("no more connections allowed (max_client_conn)"));
    assert!(!says("connection refused"));
}
