//! A database that was copied without its sequences (logical replication, a dump of the data alone). These tests need
//! `TEST_DATABASE_URL`.

use super::postgres_rotation::{Rotated, wait_for_lines};
use crate::support::{PASSWORD, TestApp, TestDatabase};

const RESTARTED: [&str; 2] =
    ["ALTER SEQUENCE api_keys_number_seq RESTART", "ALTER SEQUENCE audit_events_seq_seq RESTART"];

async fn app_with_keys(number: usize) -> TestApp {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let maya = app.admin().await;
    for n in 1..=number {
        maya.create_key(&format!("Key {n}")).await;
    }
    app
}

#[tokio::test]
async fn a_key_whose_number_another_one_has_is_made_all_the_same() {
    let app = app_with_keys(5).await;
    let maya = app.second_admin(&app.lines("SELECT id AS line FROM organizations").await[0]).await;
    app.execute_all(&RESTARTED).await;
    let made = maya.create_key("Brand new").await;
    assert_eq!(app.verify(&made.secret).await, "VALID");
    let numbers = "SELECT name || ' ' || number AS line FROM api_keys ORDER BY number DESC LIMIT 2";
    assert_eq!(app.lines(numbers).await, ["Brand new 6", "Key 5 5"]);
    assert_eq!(app.audited().await.iter().filter(|action| *action == "key.created").count(), 6);
    // Nor has an event the number of another one.
    const SHARED: &str = "SELECT seq::text AS line FROM audit_events GROUP BY seq HAVING count(*) > 1";
    assert_eq!(app.lines(SHARED).await, Vec::<String>::new());
}

/// Two that repair at once: the second finds nothing to do.
#[tokio::test]
async fn keys_that_are_made_at_once_after_a_copy_have_events_of_their_own_numbers() {
    const SHARED: &str = "SELECT seq::text AS line FROM audit_events GROUP BY seq HAVING count(*) > 1";
    let app = app_with_keys(12).await;
    let maya = app.second_admin(&app.lines("SELECT id AS line FROM organizations").await[0]).await;
    app.execute_all(&RESTARTED).await;
    let making = (0..6).map(|n| {
        let maya = maya.clone();
        tokio::spawn(async move { maya.try_create_key(&format!("At once {n}")).await.status })
    });
    for made in making.collect::<Vec<_>>() {
        assert!(made.await.unwrap() < 400);
    }
    assert_eq!(app.lines(SHARED).await, Vec::<String>::new());
    assert_eq!(app.lines("SELECT count(*)::text AS line FROM api_keys").await, ["18"]);
}

#[tokio::test]
async fn a_start_lets_sequences_go_on_after_what_is_there() {
    const EVENTS: &str = "SELECT seq::text AS line FROM audit_events ORDER BY seq DESC LIMIT 1";
    let app = app_with_keys(3).await;
    app.execute_all(&RESTARTED).await;
    let greatest: i64 = app.lines(EVENTS).await[0].parse().unwrap();
    let app = TestApp::start_on(app.end(), |_| {}).await;
    let at =
        async |sequence: &str| app.lines(&format!("SELECT last_value::text AS line FROM {sequence}")).await[0].clone();
    assert_eq!(at("api_keys_number_seq").await, "3");
    assert_eq!(at("audit_events_seq_seq").await, greatest.to_string());
    // One that is ahead stays, also where the rows with the greatest numbers are gone.
    app.execute("SELECT setval('api_keys_number_seq', 100)").await;
    let app = TestApp::start_on(app.end(), |_| {}).await;
    assert_eq!(app.lines("SELECT last_value::text AS line FROM api_keys_number_seq").await, ["100"]);
}

#[tokio::test]
async fn a_role_that_may_not_set_a_sequence_says_what_to_do() {
    const STATEMENT: &str =
        "SELECT setval('public.api_keys_number_seq', (SELECT max(number) AS number FROM api_keys)) AS number";
    let rotated = Rotated::start_with("KEYSTEAD_DRAIN_SECS", "0");
    let server = rotated.keystead.serve();
    let maya = server.set_up().await;
    for n in 1..=3 {
        maya.create_key(&format!("Key {n}")).await;
    }
    assert!(rotated.sql("keys", RESTARTED[0]));
    let refused = maya.try_create_key("Brand new").await.expect(503);
    assert!(!refused.text().contains("already exists"), "{}", refused.text());
    wait_for_lines(&server, STATEMENT, 1).await;
    assert!(server.log().contains("api_keys_number"), "{}", server.log());
    server.stop().succeeded();

    // Who may look learns it at the start.
    assert!(rotated.sql("keys", "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO one"));
    let server = rotated.keystead.serve();
    wait_for_lines(&server, STATEMENT, 1).await;
    assert!(rotated.sql("keys", STATEMENT));
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    maya.create_key("Brand new").await;
    server.stop().succeeded();
}
