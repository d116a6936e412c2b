//! Clocks that are wrong.

use chrono::TimeDelta;
use keystead::actions::{
    flush_usage::flush_usage,
    purge_expired::{mend_last_uses, purge_expired},
};

use crate::support::{Binary, TestApp, TestClock, TestDatabase};

#[tokio::test]
async fn on_postgres_a_node_whose_clock_is_a_day_ahead_goes_by_the_databases_and_purges_nothing() {
    let database = TestDatabase::postgres();
    let clock = TestClock::default();
    clock.set_ahead(TimeDelta::days(1));
    let app = TestApp::start_at(clock, database, |_| {}).await;
    let right = app.app.clock.steady();
    assert!(app.app.clock.is_off());
    assert_eq!(app.app.clock.now(), right, "what it writes has the database's time");

    let maya = app.admin().await;
    let signed_in = app.audit().await.into_iter().find(|event| event.action == "session.signed_in").unwrap();
    assert_eq!(signed_in.at, right.timestamp_millis());
    app.clock.advance(TimeDelta::days(3));
    assert_eq!(purge_expired(&app.app).await.unwrap().sessions, 0);
    assert_eq!(app.count("sessions").await, 1);
    assert!(!maya.is_signed_in().await);

    app.clock.set_ahead(TimeDelta::zero());
    assert_eq!(purge_expired(&app.app).await.unwrap().sessions, 1, "once its clock is set it does its share");
    assert!(!app.app.clock.is_off());
}

#[tokio::test]
async fn on_postgres_a_node_whose_clock_is_a_day_ahead_mends_no_last_uses() {
    let database = TestDatabase::postgres();
    let clock = TestClock::default();
    clock.set_ahead(TimeDelta::days(1));
    let app = TestApp::start_at(clock, database, |_| {}).await;
    let key = app.admin().await.create_key("Production").await;
    app.verify(&key.secret).await;
    flush_usage(&app.app).await.unwrap();
    app.execute("UPDATE key_usage_open SET at = at + 7200000").await;
    assert_eq!(mend_last_uses(&app.app).await.unwrap(), 0, "which of the two is wrong nobody knows");
    app.clock.set_ahead(TimeDelta::zero());
    purge_expired(&app.app).await.unwrap();
    assert_eq!(mend_last_uses(&app.app).await.unwrap(), 1);
}

#[tokio::test]
async fn a_last_use_by_a_clock_that_was_ahead_is_mended() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let last_uses =
        "SELECT CAST(at AS TEXT) AS line FROM key_usage_open UNION ALL SELECT CAST(at AS TEXT) FROM key_last_used";
    app.verify(&key.secret).await;
    flush_usage(&app.app).await.unwrap();
    for table in ["key_usage_open", "key_last_used"] {
        app.execute(&format!("UPDATE {table} SET at = at + 7200000")).await;
        assert_eq!(mend_last_uses(&app.app).await.unwrap(), 1, "{table}");
        assert_eq!(app.lines(last_uses).await, [app.app.clock.now().timestamp_millis().to_string()], "{table}");
        assert_eq!(mend_last_uses(&app.app).await.unwrap(), 0, "{table}");
        // Once more, when its hour is over.
        app.clock.advance(TimeDelta::hours(1));
        purge_expired(&app.app).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_used_after_the_clock_was_set_back_was_used_then() {
    // Where the machine's clock is the only one.
    let app = TestApp::start_on_sqlite().await;
    let key = app.admin().await.create_key("Production").await;
    app.clock.set_ahead(TimeDelta::hours(1));
    app.verify(&key.secret).await;
    app.clock.set_ahead(TimeDelta::zero());
    app.verify(&key.secret).await;
    flush_usage(&app.app).await.unwrap();
    let at = app.lines("SELECT CAST(at AS TEXT) AS line FROM key_usage_open").await;
    assert_eq!(at, [app.app.clock.now().timestamp_millis().to_string()]);
}

#[test]
fn a_node_whose_clock_is_right_says_nothing_of_it() {
    let keystead = Binary::new();
    let log = keystead.serve().stop().succeeded().stderr;
    assert!(!log.contains("clock"), "{log}");
}
