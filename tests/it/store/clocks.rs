//! Clocks that are wrong.

use chrono::TimeDelta;
use diesel::{RunQueryDsl, sql_query};
use keystead::{
    actions::{
        apply_retention::{Removed, apply_retention},
        flush_usage::flush_usage,
        purge_expired::{mend_last_uses, purge_expired},
    },
    key_index::Round,
    supervision::Part,
};

use crate::support::{Binary, TestApp, TestClock, TestDatabase, on_own_thread, until};

#[tokio::test]
async fn on_postgres_a_node_whose_clock_is_a_day_ahead_goes_by_the_databases_and_purges_nothing() {
    let database = TestDatabase::postgres();
    let clock = TestClock::default();
    clock.set_ahead(TimeDelta::days(1));
    let app = TestApp::start_at(clock, database, |_| {}).await;
    let right = app.site.clock.steady();
    assert!(app.site.clock.is_off());
    assert_eq!(app.site.clock.now(), right, "what it writes has the database's time");

    let maya = app.admin().await;
    let signed_in = app.audit().await.into_iter().find(|event| event.action == "session.signed_in").unwrap();
    assert_eq!(signed_in.at, right.timestamp_millis());
    app.clock.advance(TimeDelta::days(3));
    assert_eq!(purge_expired(&app.site).await.unwrap().sessions, 0);
    assert_eq!(app.count("sessions").await, 1);
    assert!(!maya.is_signed_in().await);

    app.clock.set_ahead(TimeDelta::zero());
    assert_eq!(purge_expired(&app.site).await.unwrap().sessions, 1, "once its clock is set it does its share");
    assert!(!app.site.clock.is_off());
}

#[tokio::test]
async fn on_postgres_a_node_whose_clock_is_a_day_ahead_mends_no_last_uses() {
    let database = TestDatabase::postgres();
    let clock = TestClock::default();
    clock.set_ahead(TimeDelta::days(1));
    let app = TestApp::start_at(clock, database, |_| {}).await;
    let key = app.admin().await.create_key("Production").await;
    app.verify(&key.secret).await;
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    app.execute("UPDATE key_usage_open SET at = at + 7200000").await;
    assert_eq!(mend_last_uses(&app.site).await.unwrap(), 0, "which of the two is wrong nobody knows");
    app.clock.set_ahead(TimeDelta::zero());
    purge_expired(&app.site).await.unwrap();
    assert_eq!(mend_last_uses(&app.site).await.unwrap(), 1);
}

#[tokio::test]
async fn a_last_use_by_a_clock_that_was_ahead_is_mended() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let last_uses =
        "SELECT CAST(at AS TEXT) AS line FROM key_usage_open UNION ALL SELECT CAST(at AS TEXT) FROM key_last_used";
    app.verify(&key.secret).await;
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    for table in ["key_usage_open", "key_last_used"] {
        app.execute(&format!("UPDATE {table} SET at = at + 7200000")).await;
        assert_eq!(mend_last_uses(&app.site).await.unwrap(), 1, "{table}");
        assert_eq!(app.lines(last_uses).await, [app.site.clock.now().timestamp_millis().to_string()], "{table}");
        assert_eq!(mend_last_uses(&app.site).await.unwrap(), 0, "{table}");
        // Once more, when its hour is over.
        app.clock.advance(TimeDelta::hours(1));
        purge_expired(&app.site).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_used_after_the_clock_was_set_back_was_used_then() {
    // Where the machine's clock is the only one.
    let app = TestApp::start_on_sqlite().await;
    let key = app.admin().await.create_key("Production").await;
    // Both uses are to be written at once, below.
    app.site.supervision.make_fail(Part::FlushUsage, true);
    until("nothing is written", async || app.site.supervision.restarts(Part::FlushUsage) > 0).await;
    app.clock.set_ahead(TimeDelta::hours(1));
    app.verify(&key.secret).await;
    app.clock.set_ahead(TimeDelta::zero());
    app.verify(&key.secret).await;
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    let at = app.lines("SELECT CAST(at AS TEXT) AS line FROM key_usage_open").await;
    assert_eq!(at, [app.site.clock.now().timestamp_millis().to_string()]);
}

#[test]
fn a_node_whose_clock_is_right_says_nothing_of_it() {
    let keystead = Binary::new();
    let log = keystead.serve().stop().succeeded().stderr;
    assert!(!log.contains("clock"), "{log}");
}

/// Somebody sets the machine's clock far ahead or back for a moment: nothing is old by it, nor yet to come.
#[tokio::test]
async fn by_a_clock_that_was_set_nothing_is_closed_forgotten_or_mended() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    for hours in [30, 0] {
        app.verify(&key.secret).await;
        flush_usage(&app.site.keys, Round::All).await.unwrap();
        app.clock.advance(TimeDelta::hours(hours));
        purge_expired(&app.site).await.unwrap();
    }
    let stored = async || {
        let mut stored = Vec::new();
        for of in ["key_usage_open", "key_last_used"] {
            stored.extend(app.lines(&format!("SELECT CAST(at AS TEXT) AS line FROM {of} ORDER BY at")).await);
        }
        for table in ["key_usage", "key_usage_open", "sessions", "form_tokens", "usage_flushes", "audit_events"] {
            stored.push(format!("{} {table}", app.count(table).await));
        }
        stored
    };
    let before = stored().await;
    assert!(
        before.contains(&"1 key_usage_open".to_owned()) && before.contains(&"1 form_tokens".to_owned()),
        "{before:?}"
    );
    for days in [500, 0, -500, 0] {
        app.clock.set_ahead(TimeDelta::days(days));
        for _ in 0..2 {
            purge_expired(&app.site).await.unwrap();
            mend_last_uses(&app.site).await.unwrap();
            assert_eq!(apply_retention(&app.site).await.unwrap(), Removed::default());
            assert_eq!(stored().await, before, "a clock that is {days} days ahead");
        }
    }
    app.clock.pass(TimeDelta::days(1));
    assert_eq!(purge_expired(&app.site).await.unwrap().hours, 1, "time that passes is not doubted");
    assert_eq!(app.lines("SELECT CAST(SUM(count) AS TEXT) AS line FROM key_usage WHERE seconds = 86400").await, ["2"]);
}

/// Then the clock may be wrong, and nobody has had the time to notice.
#[tokio::test]
async fn a_start_removes_nothing() {
    let keystead = Binary::new().with("KEYSTEAD_DATA_DIR", ".");
    let server = keystead.serve();
    server.set_up().await.create_key("Production").await;
    server.stop().succeeded();
    keystead.database().execute("UPDATE form_tokens SET created_at = 1");
    let server = keystead.serve();
    for _ in 0..50 {
        server.anonymous().get("/sign-in").await.expect(200);
    }
    server.stop().succeeded();
    let mut conn = keystead.database().connect();
    let kept = on_own_thread(move || sql_query("DELETE FROM form_tokens").execute(&mut conn).unwrap());
    assert_eq!(kept, 1, "it was removed at the start");
}
