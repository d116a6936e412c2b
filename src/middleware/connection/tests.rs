//! How long clients are waited for, and which bytes are taken for a head.

use super::*;

const PATIENCE: Patience = Patience { request: 10, idle: 100 };

fn connection() -> (Ticks, Connection) {
    let now = Ticks::default();
    (Rc::clone(&now), Connection::new(now))
}

/// Whether it is given up when nothing more comes for so long.
fn gives_up_after(now: &Ticks, connection: &Connection, ticks: u32) -> bool {
    now.set(now.get() + ticks);
    connection.look_at_the_clock(PATIENCE);
    connection.is_ending()
}

#[test]
fn who_says_nothing_at_first_has_the_time_of_a_request() {
    let (now, connection) = connection();
    assert!(!gives_up_after(&now, &connection, 10));
    assert!(gives_up_after(&now, &connection, 1));
}

#[test]
fn drops_of_a_head_win_no_time() {
    let (now, connection) = connection();
    for _ in 0..10 {
        connection.head_began();
        assert!(!gives_up_after(&now, &connection, 1));
    }
    connection.head_began();
    assert!(gives_up_after(&now, &connection, 1));
}

#[test]
fn drops_of_a_body_win_no_time_and_a_whole_one_has_all_the_time_its_answer_needs() {
    let (now, slow) = connection();
    slow.head_came(3);
    slow.begin(Kind::Other, Some(5));
    now.set(9);
    slow.received(1);
    assert!(gives_up_after(&now, &slow, 2));
    assert!(slow.is_out_of_time() && slow.has_no_more_requests());

    let (now, whole) = connection();
    whole.head_came(3);
    whole.begin(Kind::Other, Some(5));
    whole.received(2);
    assert!(!gives_up_after(&now, &whole, 10_000));
}

#[test]
fn between_requests_it_may_be_idle_for_longer() {
    let (now, connection) = connection();
    connection.head_came(0);
    connection.begin(Kind::Verification, Some(0));
    assert!(!gives_up_after(&now, &connection, 10_000), "the client waits for us");
    connection.answered();
    assert!(!gives_up_after(&now, &connection, 100));
    assert!(gives_up_after(&now, &connection, 1));
}

#[test]
fn a_request_that_came_behind_another_gets_no_more_time_by_it() {
    let (now, connection) = connection();
    connection.head_came(4_000);
    connection.begin(Kind::Other, Some(0));
    connection.answered();
    connection.begin(Kind::Other, Some(3_000));
    assert!(gives_up_after(&now, &connection, 11));
}

#[test]
fn a_body_whose_end_was_found_has_all_the_time_its_answer_needs() {
    let (now, connection) = connection();
    connection.head_came(4);
    assert!(connection.begin(Kind::Other, None));
    connection.received(8);
    connection.body_ended();
    assert!(!gives_up_after(&now, &connection, 10_000));
    connection.answered();
    assert!(connection.awaits_head());
}

#[test]
fn heads_are_looked_at_only_where_they_certainly_begin() {
    let answered = |body, behind, after| {
        let (_, connection) = connection();
        connection.head_came(behind);
        connection.begin(Kind::Other, body);
        if after > 0 {
            connection.received(after);
        }
        connection.answered();
        connection.awaits_head()
    };
    assert!(answered(Some(0), 0, 0));
    assert!(answered(Some(5), 2, 3));
    for (body, behind, after) in [(Some(0), 1, 0), (Some(5), 2, 2), (Some(5), 2, 4), (None, 5, 0), (None, 0, 0)] {
        assert!(!answered(body, behind, after), "{body:?} {behind} {after}");
    }
}

#[test]
fn who_does_not_read_is_cut_off() {
    let (now, connection) = connection();
    connection.head_came(0);
    connection.begin(Kind::Other, Some(0));
    connection.answered();
    connection.blocked();
    connection.unblocked();
    connection.blocked();
    assert!(!gives_up_after(&now, &connection, 10));
    connection.blocked();
    assert!(gives_up_after(&now, &connection, 1));
    assert!(connection.is_aborted());
}
