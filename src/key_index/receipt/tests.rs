//! What is waited for, and for how long, with a clock and a follower that a test moves. `tests/it/key_index/receipts.rs` has
//! receipts of real nodes.

use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::{clock::Clock, key_index::Follower, store::Db};
use crate::{
    clock::Hand,
    domain::{key_record::Epoch, position::Mark},
    key_index::Progress,
    store::connection::DatabaseUrl,
};

const LEASE: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_nanos(1);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Fixture {
    db: Db,
    clock: Arc<Hand>,
    follower: Follower,
    told: watch::Sender<Progress>,
    receipts: Receipts,
    _folder: TempDir,
}

impl Fixture {
    /// The only server of a file.
    fn alone() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        std::fs::write(&path, "").unwrap();
        Self::on(&DatabaseUrl::Sqlite(path), folder)
    }

    /// One of several, of which nothing is read here: nobody listens there.
    fn of_several() -> Self {
        Self::on(&DatabaseUrl::Postgres("postgres://127.0.0.1:1/keys".to_owned()), tempfile::tempdir().unwrap())
    }

    fn on(url: &DatabaseUrl, folder: TempDir) -> Self {
        let (follower, told) = Follower::by_hand();
        told.send_modify(|progress| progress.is_loaded = true);
        let db = Db::open(url.clone().into(), 1).unwrap();
        Self { db, clock: Hand::new(), follower, told, receipts: Receipts::default(), _folder: folder }
    }

    fn means(&self) -> Means<'_> {
        Means { db: &self.db, here: Here::Node(&self.follower), clock: &*self.clock, lease: LEASE }
    }

    fn waiting(&self, change: Position) -> Waiting<'_> {
        let means = self.means();
        Waiting { means, change, known: self.receipts.known(means, change) }
    }

    /// The follower has applied whatever was committed.
    fn look(&self) {
        self.told.send_modify(|progress| progress.looks += 1);
    }
}

fn change(epoch: i64) -> Position {
    Position { epoch: Epoch(epoch), mark: Mark::generate().unwrap() }
}

fn node(id: &str, applied: i64, lease: Duration) -> Node {
    let (applied, lease_ms) = (Epoch(applied), i64::try_from(lease.as_millis()).unwrap());
    Node { id: id.to_owned(), applied, is_in_history: true, renewal: 0, lease_ms }
}

#[tokio::test]
async fn a_receipt_counts_from_the_commit_of_its_own_change_and_is_given_first_once() {
    let fixture = Fixture::alone();
    let changes = [change(1), change(2)];
    for change in changes {
        fixture.receipts.committed(fixture.means(), change);
        fixture.clock.advance(seconds(2));
    }
    fixture.look();
    for (change, after) in changes.into_iter().zip([seconds(4), seconds(2)]) {
        let receipt = Receipt { confirmed: 1, nodes: Some(1), after, is_lost: false };
        assert_eq!(fixture.receipts.receipt(fixture.means(), change).await, (receipt, true));
        assert_eq!(fixture.receipts.receipt(fixture.means(), change).await, (receipt, false));
        let progress = fixture.receipts.progress(fixture.means(), change).await;
        assert_eq!(progress, ReceiptProgress { confirmed: 1, nodes: Some(1), at_most: Duration::ZERO });
    }
}

#[tokio::test]
async fn a_receipt_that_was_given_says_the_same_later() {
    let fixture = Fixture::alone();
    let change = change(1);
    fixture.receipts.committed(fixture.means(), change);
    fixture.look();
    let given = fixture.receipts.receipt(fixture.means(), change).await.0;
    fixture.clock.advance(seconds(5));
    fixture.told.send_modify(|progress| progress.is_loaded = false);
    assert_eq!(fixture.receipts.receipt(fixture.means(), change).await, (given, false));
    assert_eq!(fixture.receipts.progress(fixture.means(), change).await.at_most, Duration::ZERO);
}

#[tokio::test]
async fn a_server_whose_follower_stands_still_waits_for_the_end_of_its_own_lease() {
    let fixture = Fixture::alone();
    let (change, means) = (change(1), fixture.means());
    fixture.receipts.committed(means, change);
    fixture.clock.advance(seconds(3));
    let so_far = ReceiptProgress { confirmed: 0, nodes: Some(1), at_most: seconds(7) };
    assert_eq!(fixture.receipts.progress(means, change).await, so_far);
    assert_eq!(fixture.receipts.receipt(means, change).now_or_never(), None, "its lease has not ended");
    fixture.clock.advance(seconds(7));
    let receipt = tokio::time::timeout(seconds(20), fixture.receipts.receipt(means, change));
    let after_its_lease = Receipt { confirmed: 0, nodes: Some(1), after: LEASE, is_lost: false };
    assert_eq!(receipt.await.expect("nobody answers any more").0, after_its_lease);
}

#[test]
fn a_command_is_no_node_and_waits_for_whoever_may_be_there() {
    let fixture = Fixture::of_several();
    let (change, mut waiting) = (change(1), fixture.waiting(change(1)));
    waiting.means.here = Here::Command(None);
    fixture.clock.advance(seconds(10));
    let nobody_said = ReceiptProgress { confirmed: 0, nodes: None, at_most: seconds(290) };
    assert_eq!(waiting.progress(), nobody_said, "a node may have the longest lease that can be set");
    waiting.known().nodes = Some(vec![node("a", change.epoch.0, LEASE), node("b", 0, seconds(20))]);
    let one_is_missing = ReceiptProgress { confirmed: 1, nodes: Some(2), at_most: seconds(10) };
    assert_eq!((waiting.progress(), waiting.is_everywhere()), (one_is_missing, false));
    waiting.known().nodes = Some(Vec::new());
    let nobody_is_there = ReceiptProgress { confirmed: 0, nodes: Some(0), at_most: Duration::ZERO };
    assert_eq!((waiting.progress(), waiting.is_everywhere()), (nobody_is_there, true));
}

#[test]
fn of_old_changes_the_commit_is_forgotten() {
    let fixture = Fixture::alone();
    let all: Vec<Position> = (1..=1 + REMEMBERED as i64).map(change).collect();
    all.iter().for_each(|change| fixture.receipts.committed(fixture.means(), *change));
    fixture.clock.advance(seconds(1));
    let passed: Vec<Duration> = all.iter().rev().map(|change| fixture.waiting(*change).passed()).collect();
    assert_eq!(passed[..REMEMBERED], vec![seconds(1); REMEMBERED]);
    assert_eq!(passed[REMEMBERED], Duration::ZERO, "the first of all begins anew");
}

#[test]
fn as_long_as_the_nodes_are_not_known_the_longest_lease_that_was_met_is_waited_for() {
    let fixture = Fixture::of_several();
    let waiting = fixture.waiting(change(7));
    fixture.clock.advance(seconds(3));
    fixture.look();
    assert!(waiting.is_here() && !waiting.is_everywhere());
    assert_eq!(waiting.longest_wait(), LEASE);
    for (met, longest) in [(seconds(15), seconds(15)), (seconds(5), LEASE)] {
        fixture.told.send_modify(|progress| progress.longest_lease = met);
        assert_eq!(waiting.longest_wait(), longest);
        let so_far = ReceiptProgress { confirmed: 1, nodes: None, at_most: longest - seconds(3) };
        assert_eq!(waiting.progress(), so_far);
    }
}

#[test]
fn of_the_nodes_that_are_known_those_are_waited_for_that_did_not_confirm() {
    let fixture = Fixture::of_several();
    let waiting = fixture.waiting(change(7));
    fixture.clock.advance(seconds(3));
    let nodes = |nodes: &[Node]| waiting.known().nodes = Some(nodes.to_vec());
    let (confirmed, missing) = (node("confirmed", 7, seconds(60)), node("missing", 6, seconds(20)));
    nodes(&[confirmed.clone(), missing.clone(), node("missing too", 5, seconds(5))]);
    fixture.look();
    assert!(!waiting.is_everywhere());
    assert_eq!(waiting.longest_wait(), seconds(20), "as long as the longest of their own leases");
    assert_eq!(waiting.progress(), ReceiptProgress { confirmed: 1, nodes: Some(3), at_most: seconds(17) });
    // What a node applied in another history is another change.
    nodes(&[Node { is_in_history: false, ..confirmed.clone() }]);
    assert!(!waiting.is_everywhere());
    nodes(std::slice::from_ref(&confirmed));
    assert!(waiting.is_everywhere());
    assert_eq!(waiting.longest_wait(), LEASE);
    // One that another node has forgotten counts, and is not waited for.
    waiting.known().forgotten.insert("forgotten".to_owned());
    assert_eq!(waiting.progress(), ReceiptProgress { confirmed: 1, nodes: Some(2), at_most: Duration::ZERO });
    waiting.known().forgotten.clear();
    // Every other row is gone, and this node has none yet.
    nodes(&[]);
    assert_eq!(waiting.progress(), ReceiptProgress { confirmed: 1, nodes: Some(1), at_most: Duration::ZERO });
}

#[test]
fn a_node_that_takes_part_again_under_another_id_is_the_same_node() {
    let fixture = Fixture::of_several();
    let waiting = fixture.waiting(change(7));
    fixture.look();
    let there = |nodes: &[Node]| {
        waiting.known().take_over(nodes.to_vec(), waiting.change);
        let ReceiptProgress { confirmed, nodes, .. } = waiting.progress();
        (confirmed, nodes.unwrap(), waiting.is_everywhere())
    };
    let (own, first) = (node("nod_own-1", 7, LEASE), node("nod_other-9", 6, LEASE));
    assert_eq!(there(&[own.clone(), first.clone()]), (1, 2, false));
    assert_eq!(there(std::slice::from_ref(&own)), (1, 2, true), "it was forgotten, and counts");
    // Behind at first.
    let again = node("nod_other-10", 6, LEASE);
    assert_eq!(there(&[own.clone(), again.clone()]), (1, 2, false));
    assert_eq!(there(&[own.clone(), Node { applied: Epoch(7), ..again.clone() }]), (2, 2, true));
    // The row of before is still there, of which it holds no lease; in any order.
    let again = Node { applied: Epoch(7), ..again };
    assert_eq!(there(&[own.clone(), again.clone(), first.clone()]), (2, 2, true));
    assert_eq!(there(&[own, first, again]), (2, 2, true));
}

#[test]
fn this_node_is_one_that_is_waited_for() {
    let fixture = Fixture::of_several();
    let waiting = fixture.waiting(change(7));
    waiting.known().nodes = Some(vec![node("this", 7, LEASE)]);
    assert!(!waiting.is_everywhere(), "its row says so, and its index is being read anew");
    assert_eq!(waiting.progress().at_most, LEASE);
    fixture.look();
    assert!(waiting.is_everywhere());
}

/// What this database lacks may have been written in another one: rows of nodes that still hold a lease.
#[test]
fn after_a_lost_history_nodes_are_waited_for_that_this_database_may_not_know() {
    let fixture = Fixture::of_several();
    let waiting = fixture.waiting(change(7));
    let lost_at = fixture.clock.since_boot() + seconds(4);
    fixture.told.send_modify(|progress| progress.history_lost_at = Some(lost_at));
    waiting.known().nodes = Some(vec![node("this", 7, LEASE)]);
    fixture.look();
    assert_eq!(waiting.longest_wait(), seconds(14));
    fixture.told.send_modify(|progress| progress.longest_lease = seconds(60));
    assert_eq!(waiting.longest_wait(), seconds(64));
    fixture.told.send_modify(|progress| progress.longest_lease = LEASE);
    fixture.clock.advance(seconds(14) - MOMENT);
    assert!(!waiting.is_everywhere());
    assert_eq!(waiting.progress().at_most, MOMENT);
    fixture.clock.advance(MOMENT);
    assert!(waiting.is_everywhere());
    assert!(!waiting.may_be_lost(), "its rows were read");
    waiting.known().nodes = None;
    assert!(waiting.may_be_lost());
    // For a change that was committed long after that nobody is waited for.
    let later = fixture.waiting(change(8));
    assert_eq!(later.unknown_nodes(), Duration::ZERO);
    assert!(!later.may_be_lost());
}
