//! Who has to go when there is no room, and when the server stops.

use super::*;

const ROOM: usize = 16;

fn pass(connections: &Connections, ticks: u32) {
    connections.now.set(connections.now.get() + ticks);
}

/// Somebody who has asked this and was answered.
fn asked(connections: &Connections, kind: Kind) -> Rc<Connection> {
    let connection = asks(connections, kind);
    connection.answered();
    connection
}

/// Somebody who waits for an answer.
fn asks(connections: &Connections, kind: Kind) -> Rc<Connection> {
    let (_, connection) = connections.insert();
    connection.head_came(0);
    connection.begin(kind, Some(0));
    connection
}

fn many(number: usize, make: impl Fn() -> Rc<Connection>) -> Vec<Rc<Connection>> {
    (0..number).map(|_| make()).collect()
}

fn ending(connections: &[Rc<Connection>]) -> usize {
    connections.iter().filter(|connection| connection.is_ending()).count()
}

#[test]
fn verification_loses_none_as_long_as_others_have_more_than_their_share() {
    let connections = Connections::default();
    let verifications = many(ROOM - 4, || asked(&connections, Kind::Verification));
    pass(&connections, 9);
    let others = many(4, || asked(&connections, Kind::Other));
    assert!(connections.make_room(ROOM));
    assert_eq!((ending(&verifications), ending(&others)), (0, 2), "however long verification has been idle");
}

#[test]
fn others_keep_an_eighth_of_the_room() {
    let connections = Connections::default();
    let others = many(ROOM / 8 - 1, || asked(&connections, Kind::Other));
    pass(&connections, 9);
    let verifications = many(ROOM - 1, || asked(&connections, Kind::Verification));
    assert!(connections.make_room(ROOM));
    assert_eq!((ending(&verifications), ending(&others)), (2, 0));
}

#[test]
fn who_has_asked_nothing_goes_first_then_who_waits_longest() {
    let connections = Connections::default();
    let old = many(ROOM - 2, || asked(&connections, Kind::Other));
    pass(&connections, 9);
    let silent = connections.insert().1;
    let young = asked(&connections, Kind::Other);
    assert!(connections.make_room(ROOM));
    assert!(silent.is_ending() && !young.is_ending());
    assert_eq!(ending(&old), 1);
}

#[test]
fn who_waits_for_an_answer_stays_and_who_is_about_to_go_makes_room() {
    let connections = Connections::default();
    let answering = many(ROOM, || asks(&connections, Kind::Other));
    assert!(!connections.make_room(ROOM));
    assert_eq!(ending(&answering), 0);

    answering[0].answered();
    answering[0].end_when_idle();
    assert!(!connections.make_room(ROOM), "there is room in a moment");
}

#[test]
fn when_the_server_stops_who_has_asked_nothing_has_a_moment_for_it() {
    let connections = Connections::default();
    let (silent, idle, waits) =
        (connections.insert().1, asked(&connections, Kind::Other), asks(&connections, Kind::Verification));
    assert!(!connections.finish());
    assert!(idle.is_ending() && !silent.is_ending());
    pass(&connections, FIRST_WORDS + 1);
    assert!(!connections.finish());
    assert!(silent.is_ending() && !waits.has_no_more_requests());
}
