//! No verification that was sent after the answer of a revocation is told `VALID`, on any node, whatever happens to nodes,
//! wires and notifications meanwhile.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{Cluster, load::Load};
use crate::support::Flow;

/// What the test holds against each other at least.
const RACES: u64 = 100_000;
/// With how many revocations and rotations.
const REVOCATIONS: u64 = 300;
/// Of the races, before anything breaks.
const HEALTHY: u64 = 40_000;
const LEASE_SECONDS: u64 = 1;
/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(240);

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND pid <> pg_backend_pid()";

struct Race {
    cluster: Cluster,
    load: Load,
    begun: Instant,
}

impl Race {
    /// Waits until this many races were held in all.
    async fn reach(&self, races: u64) {
        while self.load.races() < races {
            assert!(self.begun.elapsed() < PATIENCE, "only {} races", self.load.races());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Does something to a node, undoes it after longer than a lease, and waits until the node takes part again. Meanwhile
    /// the others go on revoking, at the latest when the node's lease has ended.
    async fn while_one_is(&self, what: &str, node: usize, fault: impl AsyncFnOnce(), cure: impl AsyncFnOnce()) {
        let counts = self.load.node(node);
        let (revoked, unavailable) =
            (self.load.revoked.load(Ordering::Relaxed), counts.unavailable.load(Ordering::Relaxed));
        fault().await;
        tokio::time::sleep(2 * self.cluster.beyond_the_lease()).await;
        // It may have been in the middle of a change, whose locks Postgres takes from it.
        let begun = Instant::now();
        while self.load.revoked.load(Ordering::Relaxed) == revoked {
            assert!(begun.elapsed() < PATIENCE, "nothing is revoked while a node is {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cure().await;
        self.cluster.healthy().await;
        self.reach(self.load.races() + 2_000).await;
        let unavailable = counts.unavailable.load(Ordering::Relaxed) - unavailable;
        assert!(unavailable > 0, "a node that was {what} did not say so");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_races_and_no_stale_yes() {
    let (cluster, keys) = Cluster::start(LEASE_SECONDS, 12_000).await;
    let load = Load::start(&cluster, &keys).await;
    let mut race = Race { cluster, load, begun: Instant::now() };
    race.reach(HEALTHY).await;

    let signal = |name: &'static str| race.cluster.nodes[0].server().signal(name);
    race.while_one_is(
        "asleep",
        0,
        async || fall_asleep(&race.cluster, 0).await,
        async || wake_up(&race.cluster, 0).await,
    )
    .await;
    race.while_one_is("paused", 0, async || signal("STOP"), async || signal("CONT")).await;
    let wire = |wire| race.cluster.nodes[1].wire.set(wire);
    race.while_one_is("stalled", 1, async || wire(Flow::Stalled), async || wire(Flow::Open)).await;
    race.while_one_is("cut off", 1, async || wire(Flow::Cut), async || wire(Flow::Open)).await;

    // Away for longer than changes are kept: it reads everything again.
    let forget = || race.cluster.execute("DELETE FROM key_changes WHERE epoch < (SELECT value FROM key_epoch)");
    let wake = async || {
        forget();
        signal("CONT");
    };
    race.while_one_is("paused for very long", 0, async || signal("STOP"), wake).await;
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
    wake_up(&cluster, 0).await;
    cluster.healthy().await;
    let asleep = load.stale();
    assert!(asleep > 0, "a paused node without a lease was not caught");

    cluster.nodes[0].wire.set(Flow::Stalled);
    tokio::time::sleep(2 * cluster.beyond_the_lease()).await;
    cluster.nodes[0].wire.set(Flow::Open);
    cluster.healthy().await;
    assert!(load.stale() > asleep, "a node without a lease that is cut off was not caught");
    load.end().await;
    assert_eq!(load.node(1).stale.load(Ordering::Relaxed) + load.node(2).stale.load(Ordering::Relaxed), 0);
}
