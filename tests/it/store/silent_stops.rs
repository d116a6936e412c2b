//! A server is told to stop while its database takes everything and answers nothing. It ends by itself and cleanly: whoever
//! waits for it (systemd, Kubernetes) would kill it, and nobody would learn what was lost.
//!
//! No time is measured here: a server that takes longer than it says ends with status 1.

use diesel::{RunQueryDsl, sql_query};
use keystead::config::DatabaseUrl;

use crate::support::{Binary, Flow, Key, Server, TestDatabase, Wire};

async fn with_key(keystead: &Binary) -> (Server, Key) {
    let server = keystead.serve();
    let key = server.set_up().await.create_key("Production").await;
    (server, key)
}

async fn verify(server: &Server, key: &Key) -> String {
    let question = serde_json::json!({ "key": key.secret });
    let answer = server.anonymous().post_json("/v1/keys/verify", &question).await.expect(200).json();
    answer["code"].as_str().unwrap().to_owned()
}

/// Uses that the database will not take, then a stop; its log.
async fn stop_with_seven_uses(server: Server, key: &Key) -> String {
    for _ in 0..7 {
        assert_eq!(verify(&server, key).await, "VALID", "from memory");
    }
    let exit = tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stderr.contains("usage of 7 verifications was not written"), "{exit:?}");
    exit.stderr
}

/// Whether the log says that the lease was not given back.
async fn keeps_its_lease(lease_seconds: &str) -> bool {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let keystead = Binary::new().with("DATABASE_URL", &wire.url()).with("KEYSTEAD_LEASE_SECS", lease_seconds);
    let (server, key) = with_key(&keystead).await;
    wire.set(Flow::Stalled);
    stop_with_seven_uses(server, &key).await.contains("lease was not given back")
}

#[tokio::test]
async fn on_postgres_a_stop_with_a_silent_database_ends_by_itself_and_says_what_is_lost() {
    keeps_its_lease("20").await;
}

#[tokio::test]
async fn on_postgres_a_stop_does_not_wait_for_a_follower_that_waits_for_a_silent_database() {
    // It waits for a quarter of the lease, a minute here.
    assert!(keeps_its_lease("240").await, "it is said");
}

#[tokio::test]
async fn a_stop_with_a_locked_sqlite_file_ends_by_itself_and_says_what_is_lost() {
    let keystead = Binary::on_sqlite();
    let (server, key) = with_key(&keystead).await;
    let mut other = DatabaseUrl::Sqlite(keystead.data_dir().join("keystead.db")).connect().unwrap();
    sql_query("BEGIN EXCLUSIVE").execute(&mut other).unwrap();
    stop_with_seven_uses(server, &key).await;
    sql_query("ROLLBACK").execute(&mut other).unwrap();
    drop(other);

    let server = keystead.serve();
    assert_eq!(verify(&server, &key).await, "VALID");
    server.stop().succeeded();
}

#[tokio::test]
async fn on_postgres_a_second_signal_does_not_wait_for_the_database() {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    // Longer than any test waits.
    let keystead = Binary::new().with("DATABASE_URL", &wire.url()).with("KEYSTEAD_DRAIN_SECS", "300");
    let (server, key) = with_key(&keystead).await;
    wire.set(Flow::Stalled);
    verify(&server, &key).await;
    let exit = tokio::task::spawn_blocking(move || {
        server.terminate();
        while !server.log().contains("stopping: ") {
            std::thread::yield_now();
        }
        server.stop()
    });
    assert_eq!(exit.await.unwrap().code, Some(1));
}
