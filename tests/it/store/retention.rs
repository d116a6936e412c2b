//! What goes because it is old, and what does not.

use chrono::TimeDelta;
use diesel::RunQueryDsl;
use keystead::{
    actions::apply_retention::{Removed, apply_retention},
    store::{Conn, StoreError, audit_events},
};

use crate::support::{TestApp, TestClock, TestDatabase};

/// More events of a kind than one piece of a purge takes.
const MANY: i64 = 2_500;

async fn insert_events(app: &TestApp, action: &str, days_ago: i64, count: i64) {
    let at = (app.site.clock.now() - TimeDelta::days(days_ago)).timestamp_millis();
    app.execute(&format!(
        "INSERT INTO audit_events (id, at, action, actor_kind)
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
        SELECT '{action} {days_ago} ' || CAST(n AS TEXT), {at} - n, '{action}', 'anonymous' FROM n"
    ))
    .await;
}

async fn events(app: &TestApp, action: &str) -> i64 {
    app.count(&format!("audit_events WHERE action = '{action}'")).await
}

#[derive(diesel::QueryableByName)]
struct OnSqlite {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

#[derive(diesel::QueryableByName)]
struct OnPostgres {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
    line: String,
}

/// How the database would find what a query asks for.
async fn plan(app: &TestApp, query: &str) -> String {
    let query = query.to_owned();
    let read = app.site.db.read::<_, StoreError>(move |conn| {
        Ok(match conn {
            Conn::Sqlite(_) => {
                let lines: Vec<OnSqlite> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}")).load(conn)?;
                lines.into_iter().map(|line| line.detail + "\n").collect::<String>()
            }
            Conn::Postgres(_) => {
                let lines: Vec<OnPostgres> = diesel::sql_query(format!("EXPLAIN {query}")).load(conn)?;
                lines.into_iter().map(|line| line.line + "\n").collect::<String>()
            }
        })
    });
    read.await.unwrap()
}

async fn apply(app: &TestApp) -> Removed {
    apply_retention(&app.site).await.unwrap()
}

#[tokio::test]
async fn failed_sign_ins_go_after_90_days_and_nothing_else_of_the_audit_log() {
    let app = TestApp::start().await;
    insert_events(&app, "session.sign_in_failed", 90, MANY).await;
    insert_events(&app, "key.revoked", 3_000, 3).await;
    let before = app.site.clock.now();
    let piece = app.site.db.write(move |conn| audit_events::forget_failed_sign_ins(conn, before));
    assert_eq!(piece.await.unwrap(), 2_000, "then others write");
    insert_events(&app, "session.sign_in_failed", 89, 3).await;
    assert_eq!(apply(&app).await.events, 500);
    assert_eq!((events(&app, "session.sign_in_failed").await, events(&app, "key.revoked").await), (3, 3));
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(apply(&app).await.events, 3);
    assert_eq!(apply(&app).await, Removed::default());
    assert_eq!(events(&app, "key.revoked").await, 3);
}

#[tokio::test]
async fn the_audit_log_goes_after_as_many_days_as_somebody_set() {
    let app = TestApp::start_with(|settings| settings.audit_kept = "400".to_owned()).await;
    insert_events(&app, "key.revoked", 400, MANY).await;
    insert_events(&app, "key.revoked", 399, 3).await;
    insert_events(&app, "session.sign_in_failed", 91, 3).await;
    assert_eq!(apply(&app).await.events, 2_503);
    assert_eq!((events(&app, "session.sign_in_failed").await, events(&app, "key.revoked").await), (0, 3));
}

#[tokio::test]
async fn failed_sign_ins_are_kept_no_longer_than_the_rest() {
    let app = TestApp::start_with(|settings| settings.audit_kept = "7".to_owned()).await;
    insert_events(&app, "session.sign_in_failed", 7, 3).await;
    insert_events(&app, "session.sign_in_failed", 6, 3).await;
    assert_eq!(apply(&app).await.events, 3);
}

/// Somebody sets the clock of the only machine a year ahead, and back. Nothing was old.
#[tokio::test]
async fn on_sqlite_nothing_is_removed_for_a_day_after_the_clock_was_set() {
    let app = TestApp::start_on_sqlite().await;
    insert_events(&app, "session.sign_in_failed", 1, 3).await;
    app.clock.set_ahead(TimeDelta::days(365));
    for _ in 0..3 {
        assert_eq!(apply(&app).await, Removed::default());
        app.clock.pass(TimeDelta::hours(7));
    }
    app.clock.set_ahead(TimeDelta::zero());
    for _ in 0..2 {
        assert_eq!(apply(&app).await, Removed::default());
        app.clock.pass(TimeDelta::hours(13));
    }
    assert_eq!(events(&app, "session.sign_in_failed").await, 3);
    app.clock.pass(TimeDelta::days(90));
    assert_eq!(apply(&app).await.events, 3, "time that passes is not doubted");
}

#[tokio::test]
async fn on_sqlite_a_clock_that_stays_where_somebody_set_it_is_believed_after_a_day() {
    let app = TestApp::start_on_sqlite().await;
    insert_events(&app, "session.sign_in_failed", 1, 3).await;
    app.clock.set_ahead(TimeDelta::days(365));
    assert_eq!(apply(&app).await, Removed::default());
    app.clock.pass(TimeDelta::hours(23));
    assert_eq!(apply(&app).await, Removed::default());
    app.clock.pass(TimeDelta::hours(1));
    assert_eq!(apply(&app).await.events, 3);
}

#[tokio::test]
async fn on_postgres_nothing_is_removed_while_the_clocks_differ() {
    let database = TestDatabase::postgres();
    let clock = TestClock::default();
    clock.set_ahead(TimeDelta::days(365));
    let app = TestApp::start_at(clock, database, |_| {}).await;
    insert_events(&app, "session.sign_in_failed", 91, 3).await;
    assert_eq!(apply(&app).await, Removed::default());
    app.clock.set_ahead(TimeDelta::zero());
    keystead::actions::purge_expired::purge_expired(&app.site).await.unwrap();
    assert_eq!(apply(&app).await.events, 3);
}

/// Both databases find what is old by an index, however much else there is.
#[tokio::test]
async fn what_is_old_is_found_without_looking_at_the_rest() {
    let app = TestApp::start().await;
    if app.database.is_postgres() {
        app.admin().await.create_key("Production").await;
        for sql in [
            "INSERT INTO audit_events (id, at, action, actor_kind)
            SELECT 'many ' || n, n, 'key.created', 'anonymous' FROM generate_series(1, 20000) AS n",
            "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, revoked_at, version)
            SELECT 'key_' || n, organization_id, name, name_folded, prefix, hint, created_by, 1, n, 2
            FROM api_keys CROSS JOIN generate_series(1, 20000) AS n",
            "INSERT INTO key_secrets (digest, digest_scheme, key_id, created_at, expires_at)
            SELECT sha256(CAST(id AS BYTEA)), '', id, 1, revoked_at FROM api_keys",
            "ANALYZE audit_events",
            "ANALYZE api_keys",
            "ANALYZE key_secrets",
        ] {
            app.execute(sql).await;
        }
    }
    for (query, index) in [
        (
            "FROM audit_events WHERE action = 'session.sign_in_failed' AND at < 5 ORDER BY at",
            "audit_events_failed_sign_ins",
        ),
        ("FROM audit_events WHERE at < 5 ORDER BY at", "audit_events_by_age"),
        ("FROM key_secrets WHERE expires_at < 5 ORDER BY expires_at", "key_secrets_ended"),
        ("FROM api_keys WHERE revoked_at < 5 ORDER BY revoked_at", "api_keys_revoked"),
    ] {
        let plan = plan(&app, &format!("SELECT * {query} LIMIT 100")).await;
        assert!(plan.contains(index), "{plan}");
    }
}
