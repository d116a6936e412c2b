//! No verification that was sent after the answer of a revocation is told `VALID`, on any node, whatever happens to nodes,
//! wires and notifications meanwhile.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{
    Cluster,
    load::{Counts, Load},
};
use crate::support::Flow;

/// What the test holds against each other at least.
const RACES: u64 = 100_000;
/// With how many revocations and rotations.
const REVOCATIONS: u64 = 300;
/// Of the races, before anything breaks.
const HEALTHY: u64 = 40_000;
const LEASE_SECONDS: u64 = 1;
/// How long anything is waited for before it is taken for hanging: how fast the machine is decides nothing.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// The questions that a node did not answer.
type Refused = fn(&Counts) -> &AtomicU64;

struct Race {
    cluster: Cluster,
    load: Load,
}

/// Waits until this holds, for however long a slow machine takes.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Race {
    /// Waits until this many races were held in all.
    async fn reach(&self, races: u64) {
        until(&format!("{races} races"), || self.load.races() >= races).await;
    }

    /// Does something to a node, undoes it after longer than a lease, and waits until the node takes part again. Meanwhile
    /// the others go on revoking, at the latest when the node's lease has ended, and it is asked: it says then that it cannot
    /// answer, or says nothing and has the question before it when it wakes, as is counted in `refused`.
    async fn while_one_is(
        &self,
        what: &str,
        node: usize,
        refused: Refused,
        fault: impl AsyncFnOnce(),
        cure: impl AsyncFnOnce(),
    ) {
        fault().await;
        tokio::time::sleep(2 * self.cluster.beyond_the_lease()).await;
        // It may have been in the middle of a change, whose locks Postgres takes from it.
        held_against(&self.load, what, refused(self.load.node(node))).await;
        cure().await;
        self.cluster.healthy().await;
        self.reach(self.load.races() + 2_000).await;
    }
}

/// Waits until something was revoked from now on, and after that the node was asked and could not answer.
async fn held_against(load: &Load, what: &str, refused: &AtomicU64) {
    let revoked = load.revoked.load(Ordering::Relaxed);
    let is_revoked = || load.revoked.load(Ordering::Relaxed) > revoked;
    until(&format!("something is revoked while a node is {what}"), is_revoked).await;
    // The first may have been on its way before.
    let before = refused.load(Ordering::SeqCst);
    until(&format!("a node that is {what} does not answer"), || refused.load(Ordering::SeqCst) > before + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_races_and_no_stale_yes() {
    let (cluster, keys) = Cluster::start(LEASE_SECONDS, 12_000).await;
    let load = Load::start(&cluster, &keys).await;
    let mut race = Race { cluster, load };
    race.reach(HEALTHY).await;

    let signal = |name: &'static str| race.cluster.nodes[0].server().signal(name);
    race.while_one_is(
        "asleep",
        0,
        |node| &node.put_off,
        async || fall_asleep(&race.cluster, 0).await,
        async || wake_up(&race.cluster, 0).await,
    )
    .await;
    race.while_one_is("paused", 0, |node| &node.put_off, async || signal("STOP"), async || signal("CONT")).await;
    let wire = |wire| race.cluster.nodes[1].wire.set(wire);
    race.while_one_is("stalled", 1, |node| &node.unavailable, async || wire(Flow::Stalled), async || wire(Flow::Open))
        .await;
    race.while_one_is("cut off", 1, |node| &node.unavailable, async || wire(Flow::Cut), async || wire(Flow::Open))
        .await;

    // Away for longer than changes are kept: it reads everything again.
    let forget = || race.cluster.execute("DELETE FROM key_changes WHERE epoch < (SELECT value FROM key_epoch)");
    let wake = async || {
        forget();
        signal("CONT");
    };
    race.while_one_is("paused for very long", 0, |node| &node.put_off, async || signal("STOP"), wake).await;
    let log = race.cluster.nodes[0].log();
    assert!(log.contains("reads everything again") && !log.contains("went back in time"), "{log}");

    // The next one never hears a notification, as behind a pooler that swallows them.
    race.cluster.nodes[1].kill();
    race.reach(race.load.races() + 2_000).await;
    race.cluster.nodes[1].start(&["notifications"]);
    race.cluster.healthy().await;
    race.reach(race.load.races() + 2_000).await;

    for _ in 0..5 {
        assert!(race.cluster.execute(TERMINATE) > 0);
        race.reach(race.load.races() + 1_000).await;
    }
    race.cluster.healthy().await;
    race.reach(RACES).await;

    race.load.end().await;
    println!("{} races, {} revocations", race.load.races(), race.load.revoked.load(Ordering::Relaxed));
    assert_eq!(race.load.stale(), 0, "VALID was said of keys whose revocation had been answered");
    assert!(race.load.races() >= RACES);
    assert!(race.load.revoked.load(Ordering::Relaxed) >= REVOCATIONS);
    for node in 0..3 {
        let counts = race.load.node(node);
        assert!(counts.races.load(Ordering::Relaxed) > RACES / 20, "node {node} took no part");
        assert!(counts.valid.load(Ordering::Relaxed) > 0, "node {node} lets nobody pass");
    }
    race.cluster.assert_every_change_is_whole();
}

/// As a machine that is suspended: its network comes back a little later than its processes do.
async fn fall_asleep(cluster: &Cluster, node: usize) {
    cluster.nodes[node].server().signal("STOP");
    cluster.nodes[node].wire.set(Flow::Stalled);
}

async fn wake_up(cluster: &Cluster, node: usize) {
    cluster.nodes[node].server().signal("CONT");
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.nodes[node].wire.set(Flow::Open);
}

/// What the lease is for: a node without it says `VALID` of revoked keys as soon as it is paused, or cut off silently. The
/// same load that finds nothing above finds that here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_lease_the_same_load_finds_stale_answers() {
    let (mut cluster, keys) = Cluster::start(LEASE_SECONDS, 4_000).await;
    cluster.nodes[0].stop();
    cluster.nodes[0].start(&["lease"]);
    let mut load = Load::start(&cluster, &keys).await;

    fall_asleep(&cluster, 0).await;
    tokio::time::sleep(2 * cluster.beyond_the_lease()).await;
    held_against(&load, "asleep", &load.node(0).put_off).await;
    wake_up(&cluster, 0).await;
    until("a paused node without a lease is caught", || load.stale() > 0).await;
    cluster.healthy().await;

    cluster.nodes[0].wire.set(Flow::Stalled);
    // What it said when it woke up has come by now.
    tokio::time::sleep(2 * cluster.beyond_the_lease()).await;
    let asleep = load.stale();
    until("a node without a lease that is cut off is caught", || load.stale() > asleep).await;
    cluster.nodes[0].wire.set(Flow::Open);
    cluster.healthy().await;
    load.end().await;
    assert_eq!(load.node(1).stale.load(Ordering::Relaxed) + load.node(2).stale.load(Ordering::Relaxed), 0);
}
