//! Postgres itself stops, is killed, or has no room left. Verification goes on from memory while the leases hold, then says
//! 503; a change is made or not, or said to be unknown; and everything recovers without a restart of any node.
//!
//! Each test has a Postgres of its own, from the programs of this machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;

use super::{Cluster, keys::Keys, postgres::OwnPostgres};
use crate::support::{Answer, TestDatabase, until};

/// Long enough that Postgres stops meanwhile on a busy machine too.
const LEASE_SECONDS: u64 = 10;
/// Between two changes of one admin, so that not too many are to be looked at afterwards.
const PACE: Duration = Duration::from_millis(20);

async fn cluster_on(postgres: &OwnPostgres) -> (Cluster, Arc<Keys>) {
    Cluster::start_on(postgres.url(), TestDatabase::sqlite(), LEASE_SECONDS, 2_000).await
}

/// Only in the run of the suite that is about Postgres.
pub fn own_postgres(start: fn() -> OwnPostgres) -> OwnPostgres {
    TestDatabase::postgres();
    start()
}

/// All nodes say this code of the key, or this status.
async fn assert_codes(cluster: &Cluster, secret: &str, expected: &[&str]) {
    for node in &cluster.nodes {
        let answer = node.verify(secret).await;
        let code = node.code(secret).await;
        assert!(expected.contains(&&*code), "{code}, not {expected:?}: {}", answer.text());
        assert!(answer.status == 200 || answer.header("retry-after") == "1", "{}", answer.text());
    }
}

/// What a key may be after its revocation was answered in this way.
fn promised(answer: &Answer) -> &'static [&'static str] {
    match (answer.status, answer.header("keystead-answer")) {
        (303, _) => &["REVOKED"],
        (503, "unavailable") => &["VALID"],
        (503, "outcome_unknown") => &["REVOKED", "VALID"],
        _ => panic!("{}", answer.text()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_restarted_and_killed() {
    let postgres = Arc::new(own_postgres(OwnPostgres::start));
    let (cluster, keys) = cluster_on(&postgres).await;
    let living = keys.take().unwrap();
    for how in ["fast", "immediate"] {
        // In the middle of changes: on each node one after another, from before the outage until one has met it.
        let maya = join_all(cluster.nodes.iter().map(|node| node.admin())).await;
        let answered = AtomicUsize::new(0);
        let changes = join_all(maya.iter().map(async |maya| {
            let mut changes = Vec::new();
            loop {
                let key = keys.take().expect("the database is gone at last");
                let answer = maya.try_revoke(&key.id, 1).await;
                answered.fetch_add(1, Ordering::Relaxed);
                let has_met_it = answer.status == 503;
                changes.push((key, answer));
                if has_met_it {
                    return changes;
                }
                tokio::time::sleep(PACE).await;
            }
        }));
        let (changes, ()) = tokio::join!(changes, async {
            until("changes go on", async || answered.load(Ordering::Relaxed) > 0).await;
            let stopping = Arc::clone(&postgres);
            let is_down = tokio::task::spawn_blocking(move || stopping.down(how)).await.unwrap();
            assert!(is_down, "{}", postgres.log());
            assert_codes(&cluster, &living.secret, &["VALID"]).await;
            for node in &cluster.nodes {
                until("its lease ends", async || node.code(&living.secret).await == "503").await;
            }
        });

        assert!(postgres.up(), "{}", postgres.log());
        cluster.healthy().await;
        assert_codes(&cluster, &living.secret, &["VALID"]).await;
        cluster.assert_every_change_is_whole();
        for (key, answer) in changes.iter().flatten() {
            assert_codes(&cluster, &key.secret, promised(answer)).await;
        }
        let afterwards = keys.take().unwrap();
        maya[0].try_revoke(&afterwards.id, 1).await.expect(303);
        assert_codes(&cluster, &afterwards.secret, &["REVOKED"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_without_room() {
    let postgres = own_postgres(OwnPostgres::start_on_a_small_disk);
    let (cluster, keys) = cluster_on(&postgres).await;
    let (living, maya) = (keys.take().unwrap(), cluster.nodes[0].admin().await);
    postgres.fill_the_disk();
    // What is full first is the log of changes: it needs a new file now.
    let mut conn = cluster.connect();
    let _ = crate::support::on_own_thread(move || {
        use diesel::RunQueryDsl;
        let switch = "SELECT pg_switch_wal(), pg_logical_emit_message(true, 'fill', repeat('x', 40000000))";
        diesel::sql_query(switch).execute(&mut conn)
    });
    let mut answered = Vec::new();
    loop {
        let key = keys.take().expect("the disk is full at last");
        let answer = maya.try_revoke(&key.id, 1).await;
        let promised = promised(&answer);
        answered.push((key, promised));
        if answer.status == 503 {
            break;
        }
    }
    assert_codes(&cluster, &living.secret, &["VALID", "503"]).await;
    postgres.empty_the_disk();
    // It may have stopped altogether.
    let _ = postgres.up();
    cluster.healthy().await;
    cluster.assert_every_change_is_whole();
    assert_codes(&cluster, &living.secret, &["VALID"]).await;
    for (key, promised) in answered {
        assert_codes(&cluster, &key.secret, promised).await;
    }
}
