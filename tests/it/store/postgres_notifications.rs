//! Notifications of Postgres are a wake-up and no more: a change of a key does not depend on them. These tests need
//! `TEST_DATABASE_URL`.

use std::{sync::mpsc, time::Duration};

use diesel::connection::SimpleConnection;
use keystead::{
    config::DatabaseUrl,
    store::{Conn, notifications::Listener},
};

use crate::{
    cluster::postgres::OwnPostgres,
    support::{TestApp, TestDatabase, on_own_thread},
};

#[tokio::test]
async fn every_change_of_a_key_wakes_those_who_listen() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let maya = app.admin().await;
    let (sender, woken) = mpsc::channel();
    let address = DatabaseUrl::Postgres(app.database.url().unwrap()).into();
    let _listener = Listener::start(&address, &std::sync::Arc::default(), move || _ = sender.send(())).unwrap();
    let woken = std::sync::Arc::new(std::sync::Mutex::new(woken));
    let is_woken = async |by: &str| {
        let woken = std::sync::Arc::clone(&woken);
        let heard = tokio::task::spawn_blocking(move || woken.lock().unwrap().recv_timeout(Duration::from_secs(60)));
        assert!(heard.await.unwrap().is_ok(), "nobody is woken by {by}");
    };
    is_woken("listening").await;
    let key = maya.create_key("Production").await;
    is_woken("a new key").await;
    maya.try_rotate(&key.id, 1).await.expect(200);
    is_woken("a rotation").await;
    maya.try_revoke(&key.id, 2).await.expect(303);
    is_woken("a revocation").await;
}

/// Fills the cluster's queue to the last byte, by way of another database with a listener that never comes to read.
fn fill_the_queue(postgres: &OwnPostgres) -> Conn {
    let other =
        || DatabaseUrl::Postgres(format!("postgres://postgres@127.0.0.1:{}/other", postgres.port())).connect().unwrap();
    let (mut listener, mut sender) = (other(), other());
    listener.batch_execute("LISTEN jobs").unwrap();
    listener.batch_execute("BEGIN; SELECT 1").unwrap();
    for length in [7_900, 1_000, 100, 1] {
        let notify = format!("SELECT pg_notify('jobs', repeat('x', {length}))");
        let refused = (0..10_000).find_map(|_| sender.batch_execute(&notify).err());
        let words = refused.expect("the queue is full at some time").to_string();
        assert!(words.contains("53100"), "{words}");
    }
    listener
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_and_revoked_while_the_queue_of_notifications_is_full() {
    const CONNECTIONS: &str = "SELECT pid::text AS line FROM pg_stat_activity WHERE application_name = 'keystead'";
    TestDatabase::postgres();
    let postgres = OwnPostgres::start_with_few_notifications();
    assert!(postgres.shell(&format!("createdb -h 127.0.0.1 -p {} -U postgres other", postgres.port())));
    let url = postgres.url();
    let app = TestApp::start_on(TestDatabase::sqlite(), |settings| settings.database = url).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let (postgres, _listener) = on_own_thread(move || {
        let listener = fill_the_queue(&postgres);
        (postgres, listener)
    });
    let before = app.lines(CONNECTIONS).await;
    let second = maya.create_key("Staging").await;
    let rotated = maya.try_rotate(&second.id, 1).await.expect(200).secret().expect("the new key is shown");
    maya.revoke(&key).await;
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
    assert_eq!(app.verify(&second.secret).await, "ROTATED");
    assert_eq!(app.verify(&rotated).await, "VALID");
    let after = app.lines(CONNECTIONS).await;
    assert!(before.iter().all(|connection| after.contains(connection)), "those that were refused are kept");
    assert!(postgres.log().contains("pg_notify"), "they were refused: {}", postgres.log());
}
