//! What people and load balancers are told while a node is paused, cut off, stopped or deaf.

use std::time::{Duration, Instant};

use super::Cluster;
use crate::support::{Flow, Person, until};

/// Long enough that a busy machine does not lose it by itself.
const LEASE_SECONDS: u64 = 10;
const LEASE: Duration = Duration::from_secs(LEASE_SECONDS);

/// Revokes a key; what the toast says of the nodes, and how long everything took.
async fn revoke(maya: &Person, key: &str) -> (String, Duration) {
    let begun = Instant::now();
    let answer = maya.by_htmx().try_revoke(key, 1).await.expect(200);
    let toast = answer.one(".toast-body");
    let (_, nodes) = toast.split_once("Refused on ").expect(&toast);
    (nodes.to_owned(), begun.elapsed())
}

async fn until_there_are(cluster: &Cluster, nodes: i64) {
    until("the rows are as many as the nodes", async || cluster.count("nodes") == nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receipt_says_on_how_many_nodes_a_key_is_refused() {
    let (cluster, keys) = Cluster::start(LEASE_SECONDS, 10).await;
    let maya = cluster.nodes[0].admin().await;
    let next = || &*keys.take().unwrap().id;

    let (told, _) = revoke(&maya, next()).await;
    assert!(told.starts_with("3 of 3 nodes after "), "{told}");

    cluster.nodes[2].server().signal("STOP");
    let (told, took) = revoke(&maya, next()).await;
    assert!(told.starts_with("2 of 3 nodes after "), "{told}");
    assert!(told.ends_with("The other one is cut off and answers nobody."), "{told}");
    assert!(took >= LEASE, "answered after {took:?}, before the lease was certainly over");

    until_there_are(&cluster, 2).await;
    let (told, _) = revoke(&maya, next()).await;
    assert!(told.starts_with("2 of 2 nodes after "), "{told}");

    cluster.nodes[2].server().signal("CONT");
    cluster.healthy().await;
    until_there_are(&cluster, 3).await;
    let (told, _) = revoke(&maya, next()).await;
    assert!(told.starts_with("3 of 3 nodes after "), "{told}");
    let log = cluster.nodes[2].log();
    assert!(log.contains("this node had not renewed its lease and was forgotten; it takes part again"), "{log}");
}

/// A lease that does not end during a test, and what a test waits for at most. Who waited for a lease would be too late.
const LONG_LEASE: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_end_gives_the_lease_back_so_that_nobody_waits_for_it() {
    let (mut cluster, keys) = Cluster::start(LONG_LEASE, 10).await;
    let maya = cluster.nodes[0].admin().await;
    cluster.nodes[2].stop();
    assert_eq!(cluster.count("nodes"), 2);
    let revoked = tokio::time::timeout(PATIENCE, revoke(&maya, &keys.take().unwrap().id));
    let (told, _) = revoked.await.expect("nobody waits");
    assert!(told.starts_with("2 of 2 nodes after "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_does_not_wait_for_a_silent_node_and_a_revocation_says_what_it_waits_for() {
    let (cluster, keys) = Cluster::start(2 * LEASE_SECONDS, 10).await;
    let maya = cluster.nodes[0].admin().await.by_htmx();
    let (rotated, revoked) = (keys.take().unwrap(), keys.take().unwrap());
    cluster.nodes[2].server().signal("STOP");

    let answer = maya.try_rotate(&rotated.id, 1).await.expect(200);
    let secret = answer.secret().expect("the key is shown");
    let path = answer.attribute("[data-receipt]", "hx-get");
    let mut says = answer.one("[data-receipt]");
    while !says.contains("Refused on 2 of 3 nodes; the third answers nobody in at most ") {
        // The second may be slow, and the third is not heard of.
        let is_true = says.starts_with("The old one stops working. Refused on ") && !says.contains("3 of 3");
        assert!(is_true, "{says}");
        says = maya.get(&path).await.expect(200).one("[data-receipt]");
    }
    assert_eq!(cluster.nodes[0].code(&secret).await, "VALID");
    assert_eq!(cluster.nodes[0].code(&rotated.secret).await, "ROTATED");
    // Scripts off: a page that says the same, and can be asked again.
    let without_scripts = cluster.nodes[0].admin().await;
    let page = without_scripts.get(&path).await.expect(200);
    if page.one("#modal-title").ends_with("is being refused") {
        assert_eq!(page.attribute("main form[action*=changes]", "action"), path);
    }

    let revocation = tokio::spawn({
        let (maya, id) = (maya.clone(), revoked.id.clone());
        async move { maya.try_revoke(&id, 1).await }
    });
    let waits = format!("/settings/integrations/keys/{}/revoking", revoked.id);
    while !revocation.is_finished() {
        let says = maya.get(&waits).await.expect(200).one("[data-receipt]");
        if says.contains("2 of 3 nodes; the third answers nobody in at most ") {
            break;
        }
        assert!(says.is_empty() || says.starts_with("Refused on "), "{says}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!revocation.is_finished(), "it goes on waiting");
    let toast = revocation.await.unwrap().expect(200).one(".toast-body");
    assert!(toast.contains("The other one is cut off and answers nobody."), "{toast}");

    let mut answer = maya.get(&path).await.expect(200);
    while answer.has("[data-receipt]") {
        answer = maya.get(&path).await.expect(200);
    }
    let says = answer.one("span");
    assert!(says.starts_with("The old one no longer works. Refused on 2 of 3 nodes after "), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_lease_says_503_and_recovers_by_itself() {
    let (cluster, keys) = Cluster::start(LEASE_SECONDS, 10).await;
    let (living, node) = (keys.take().unwrap(), &cluster.nodes[1]);
    let elsewhere = cluster.nodes[0].admin().await;
    for flow in [Flow::Stalled, Flow::Cut] {
        node.wire.set(flow);
        let cut = Instant::now();
        // From memory, as long as the lease holds.
        assert_eq!(node.code(&living.secret).await, "VALID", "{flow:?}");
        loop {
            let asked = cut.elapsed();
            if node.code(&living.secret).await != "VALID" {
                break;
            }
            assert!(asked < LEASE, "{flow:?}: asked {asked:?} after the cut, and it still says VALID");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let refused = node.verify(&living.secret).await.expect(503);
        assert_eq!(refused.header("retry-after"), "1");
        refused.problem();
        assert_eq!(node.readiness().await, 503);
        assert_eq!(cluster.nodes[2].code(&living.secret).await, "VALID", "the others go on");

        let revoked = keys.take().unwrap();
        revoke(&elsewhere, &revoked.id).await;
        node.wire.set(Flow::Open);
        cluster.healthy().await;
        assert_eq!(node.code(&living.secret).await, "VALID");
        assert_eq!(node.code(&revoked.secret).await, "REVOKED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_database_refuses_changes_and_makes_none() {
    let (cluster, keys) = Cluster::start(LEASE_SECONDS, 10).await;
    let (key, node) = (keys.take().unwrap(), &cluster.nodes[1]);
    let maya = node.admin().await;
    for flow in [Flow::Cut, Flow::Stalled] {
        node.wire.set(flow);
        let refused = maya.try_revoke(&key.id, 1).await.expect(503);
        assert!(!refused.header("retry-after").is_empty());
        // Not even the session could be read, so nothing was begun.
        let said = refused.text();
        assert!(said.contains(keystead::middleware::failure::NOTHING_CHANGED), "{flow:?}: {said}");
        assert!(maya.try_rotate(&key.id, 1).await.status == 503, "{flow:?}");
        assert_eq!(cluster.nodes[0].code(&key.secret).await, "VALID");
        node.wire.set(Flow::Open);
        cluster.healthy().await;
    }
    assert_eq!(cluster.count("api_keys WHERE revoked_at IS NOT NULL"), 0);
    cluster.assert_every_change_is_whole();
    let (told, _) = revoke(&maya, &key.id).await;
    assert!(told.starts_with("3 of 3 nodes"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_notifications_a_revocation_is_slower_and_as_true() {
    let (mut cluster, keys) = Cluster::start(LONG_LEASE, 10).await;
    for node in &mut cluster.nodes {
        node.stop();
        node.start(&["notifications"]);
    }
    cluster.healthy().await;
    let maya = cluster.nodes[0].admin().await;
    for _ in 0..5 {
        let key = keys.take().unwrap();
        let revoked = tokio::time::timeout(PATIENCE, revoke(&maya, &key.id));
        let (told, _) = revoked.await.expect("every node asks by itself");
        assert!(told.starts_with("3 of 3 nodes after "), "{told}");
        for node in &cluster.nodes {
            assert_eq!(node.code(&key.secret).await, "REVOKED");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reads_everything_again_stops_when_it_is_asked_to() {
    let (mut cluster, _) = Cluster::start(LEASE_SECONDS, 12_000).await;
    cluster.execute("UPDATE key_epoch SET value = value + 2");
    until("it reads", async || cluster.nodes[0].log().contains("reads everything again")).await;
    // It stays there until it was asked.
    cluster.nodes[0].wire.set(Flow::Stalled);
    cluster.nodes[0].server().terminate();
    let address = *cluster.nodes[0].address.read().unwrap();
    until("it stops", async || std::net::TcpStream::connect(address).is_err()).await;
    cluster.nodes[0].wire.set(Flow::Open);
    cluster.nodes[0].wait();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_keeps_no_probe_waiting() {
    // Longer than this test takes.
    let (cluster, _) = Cluster::start(120, 1).await;
    let node = &cluster.nodes[1];
    let (maya, probe) = (node.admin().await, node.server().anonymous());
    until("pages are ready", async || probe.get("/readyz/pages").await.status == 200).await;
    node.wire.set(Flow::Stalled);
    let page = tokio::spawn(async move { maya.get("/settings/integrations").await.status });
    for _ in 0..3 {
        let answer = probe.get("/readyz/pages").await.expect(503).json();
        assert_eq!(answer["status"], "the database does not answer");
        assert_eq!(node.readiness().await, 200);
    }
    assert!(!page.is_finished(), "a page waits for the database; these did not");
    node.wire.set(Flow::Open);
    until("pages are ready again", async || probe.get("/readyz/pages").await.status == 200).await;
    page.await.unwrap();
}
