//! The arithmetic of the lease, with a clock that a test moves. `tests/it/model/` shows that these rules are needed.

use tempfile::TempDir;

use super::*;
use crate::{
    clock::Hand,
    domain::{key_record::Epoch, position::Mark},
    store::{connection::DatabaseUrl, dialect, migrations},
};

const LENGTH: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_nanos(1);

struct Fixture {
    conn: Conn,
    clock: Arc<Hand>,
    lease: Arc<Lease>,
    node: Membership,
    _folder: TempDir,
}

const NOTHING: Position = Position { epoch: Epoch(0), mark: Mark::UNKNOWN };

impl Fixture {
    fn new(has_nodes: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = DatabaseUrl::Sqlite(folder.path().join("keystead.db")).connect().unwrap();
        migrations::run(&mut conn).unwrap();
        let (clock, lease) = (Hand::new(), Arc::new(Lease::new(true)));
        let node = Membership::new(has_nodes, Arc::clone(&lease), LENGTH, Arc::<Hand>::clone(&clock));
        Self { conn, clock, lease, node, _folder: folder }
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn renew(&mut self, begun: Duration) -> bool {
        self.node.renew(&mut self.conn, NOTHING, begun).unwrap()
    }

    fn rows(&mut self) -> Vec<String> {
        nodes::list(&mut self.conn).unwrap().into_iter().map(|node| node.id).collect()
    }
}

#[test]
fn a_lease_counts_from_before_the_question_and_ends_a_margin_early() {
    for has_nodes in [false, true] {
        let mut fixture = Fixture::new(has_nodes);
        if has_nodes {
            let now = fixture.node.now();
            assert!(!fixture.renew(now), "the first one registers");
            assert!(!fixture.lease.is_held(now), "and gives no lease");
        }
        let begun = fixture.node.now();
        // The database takes its time.
        fixture.advance(Duration::from_secs(4));
        assert!(fixture.renew(begun));
        let end = begun + LENGTH - LENGTH / 20;
        assert!(fixture.lease.is_held(end - MOMENT) && !fixture.lease.is_held(end), "has nodes: {has_nodes}");
    }
}

#[test]
fn a_node_whose_row_is_gone_gives_its_lease_up_and_registers_under_another_id() {
    let mut fixture = Fixture::new(true);
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    let first = fixture.rows();
    let id = fixture.node.id.clone().unwrap();
    nodes::remove(&mut fixture.conn, &id).unwrap();
    fixture.advance(RENEW);
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun));
    assert!(!fixture.lease.is_held(begun), "it may have been forgotten for long");
    assert!(fixture.rows().len() == 1 && fixture.rows() != first);
    let second = fixture.rows().remove(0);
    let (run, times) = NodeId::run_of(&first[0]);
    assert_eq!(NodeId::run_of(&second), (run, times + 1), "a receipt does not count it twice");
    assert!(fixture.renew(begun));
}

#[test]
fn a_renewal_is_due_after_a_second_and_at_once_when_the_lease_was_given_up() {
    let mut fixture = Fixture::new(true);
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    fixture.node.give_up();
    assert!(!fixture.lease.is_held(begun));
    assert!(fixture.renew(begun));
    assert!(fixture.lease.is_held(begun), "it was asked for and caught up");
    fixture.advance(RENEW);
    let later = fixture.node.now();
    assert!(fixture.renew(later));
    assert!(fixture.lease.is_held(begun + LENGTH));
}

#[test]
fn a_short_lease_is_renewed_four_times_in_its_length() {
    let mut fixture = Fixture::new(true);
    let length = Duration::from_secs(1);
    fixture.node = Membership::new(true, Arc::clone(&fixture.lease), length, Arc::<Hand>::clone(&fixture.clock));
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    for _ in 0..8 {
        fixture.advance(length / 4);
        let now = fixture.node.now();
        assert!(
            fixture.renew(now) && fixture.lease.is_held(now + length * 9 / 10),
            "it would lapse before the next one"
        );
    }
}

#[test]
fn a_silent_node_is_forgotten_after_the_length_of_its_own_lease_and_not_if_it_renews() {
    let mut fixture = Fixture::new(true);
    let now = fixture.clock.now();
    let (silent, alive) = (NodeId::generate(now), NodeId::generate(now));
    nodes::insert(&mut fixture.conn, &silent, NOTHING, 20_000, now).unwrap();
    nodes::insert(&mut fixture.conn, &alive, NOTHING, 20_000, now).unwrap();
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun), "it sees them for the first time");
    fixture.advance(Duration::from_secs(19));
    nodes::renew(&mut fixture.conn, &alive, NOTHING, now).unwrap();
    let begun = fixture.node.now();
    assert!(fixture.renew(begun));
    assert_eq!(fixture.rows().len(), 3);
    fixture.advance(Duration::from_secs(1));
    let begun = fixture.node.now();
    assert!(fixture.renew(begun));
    assert!(!fixture.rows().contains(&silent.to_string()) && fixture.rows().contains(&alive.to_string()));
}

#[test]
fn another_length_of_the_lease_is_told_once() {
    let mut fixture = Fixture::new(true);
    let now = fixture.clock.now();
    nodes::insert(&mut fixture.conn, &NodeId::generate(now), NOTHING, 60_000, now).unwrap();
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    let nodes = nodes::list(&mut fixture.conn).unwrap();
    fixture.node.compare_lengths(&nodes);
    assert_eq!(fixture.node.other_lengths, HashSet::from([60_000]), "the other one's, and not its own");
    assert_eq!(fixture.node.longest_lease(), Duration::from_secs(60));
}

#[test]
fn a_node_says_at_once_how_far_it_has_come_and_otherwise_nothing_before_it_is_due() {
    let mut fixture = Fixture::new(true);
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    let row = |fixture: &mut Fixture| nodes::list(&mut fixture.conn).unwrap().swap_remove(0);
    let first = row(&mut fixture);
    assert_eq!((first.applied, first.lease()), (Epoch(0), LENGTH));
    assert!(fixture.renew(begun));
    assert_eq!(row(&mut fixture).renewal, first.renewal, "it is not due");
    let applied = Position { epoch: Epoch(1), mark: Mark::UNKNOWN };
    assert!(fixture.node.renew(&mut fixture.conn, applied, begun).unwrap());
    let second = row(&mut fixture);
    assert!(second.applied == Epoch(1) && second.renewal > first.renewal);
}

#[test]
fn a_node_that_leaves_answers_no_more_and_takes_its_row_with_it() {
    let mut fixture = Fixture::new(true);
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    fixture.node.leave(&mut fixture.conn).unwrap();
    assert!(!fixture.lease.is_held(begun));
    assert_eq!(fixture.rows(), [""; 0]);
    fixture.node.leave(&mut fixture.conn).unwrap();
}

#[test]
fn of_a_node_whose_row_is_gone_nothing_is_remembered() {
    let mut fixture = Fixture::new(true);
    let now = fixture.clock.now();
    let (gone, there) = (NodeId::generate(now), NodeId::generate(now));
    for id in [&gone, &there] {
        nodes::insert(&mut fixture.conn, id, NOTHING, 20_000, now).unwrap();
    }
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    nodes::remove(&mut fixture.conn, &gone).unwrap();
    fixture.advance(RENEW);
    let begun = fixture.node.now();
    assert!(fixture.renew(begun));
    assert_eq!(fixture.node.silent_since.keys().collect::<Vec<_>>(), [there.as_str()]);
}

#[test]
fn an_answer_is_waited_for_as_long_as_there_is_time_for_another_try() {
    assert_eq!(Fixture::new(true).node.patience(), LENGTH / 4);
}

#[test]
fn the_longest_lease_is_that_of_the_nodes_that_are_there() {
    let mut fixture = Fixture::new(true);
    let (now, another) = (fixture.clock.now(), NodeId::generate(fixture.clock.now()));
    nodes::insert(&mut fixture.conn, &another, NOTHING, 60_000, now).unwrap();
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    assert_eq!(fixture.node.longest_lease(), Duration::from_secs(60));
    nodes::remove(&mut fixture.conn, &another).unwrap();
    fixture.advance(RENEW);
    let begun = fixture.node.now();
    assert!(fixture.renew(begun));
    assert_eq!(fixture.node.longest_lease(), LENGTH, "it left");
}

#[test]
fn a_renewal_whose_reaping_failed_is_due_again() {
    let mut fixture = Fixture::new(true);
    let now = fixture.clock.now();
    let begun = fixture.node.now();
    assert!(!fixture.renew(begun) && fixture.renew(begun));
    nodes::insert(&mut fixture.conn, &NodeId::generate(now), NOTHING, 1_000, now).unwrap();
    let never = "CREATE TRIGGER never BEFORE DELETE ON nodes BEGIN SELECT RAISE(ABORT, 'not allowed'); END";
    dialect::execute_for_test(&mut fixture.conn, never);
    fixture.advance(RENEW);
    let begun = fixture.node.now();
    assert!(fixture.renew(begun), "it is met");
    fixture.advance(RENEW);
    let begun = fixture.node.now();
    for _ in 0..2 {
        assert!(fixture.node.renew(&mut fixture.conn, NOTHING, begun).is_err());
    }
}
