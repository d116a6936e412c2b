//! Postgres restarted or unreachable. These tests need `TEST_DATABASE_URL`; `tests/run` runs them in the suite that has it.

use diesel::{RunQueryDsl, sql_query};
use futures_util::future::join_all;

use keystead::store::{StoreError, in_transaction};

use super::sqlite_faults::assert_says;
use crate::support::{TestApp, TestDatabase, on_own_thread};

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND pid <> pg_backend_pid()";

async fn app() -> TestApp {
    TestApp::start_on(TestDatabase::postgres(), |_| {}).await
}

fn terminate_all(app: &TestApp) {
    let mut conn = app.database.connect();
    on_own_thread(move || sql_query(TERMINATE).execute(&mut conn).unwrap());
}

#[tokio::test]
async fn terminated_connections_cost_at_most_one_answer_each() {
    let app = app().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    for _ in 0..3 {
        terminate_all(&app);
        assert_eq!(app.verify(&key.secret).await, "VALID", "from memory");
    }
    terminate_all(&app);
    let mut faults = 0;
    loop {
        let answer = maya.try_create_key("Staging").await;
        if answer.status == 200 {
            break;
        }
        assert_says(&answer.expect(503), "The database can't be reached");
        faults += 1;
        assert!(faults <= 8, "more answers were lost than the pool has connections");
    }
    assert_eq!(app.count("api_keys").await, 2);
    assert_eq!(app.count("key_secrets").await, 2);
}

#[tokio::test]
async fn connections_terminated_under_load_make_no_half_key() {
    let app = app().await;
    let maya = app.admin().await;
    let names: Vec<String> = (0..60).map(|n| format!("Key {n}")).collect();
    let creations = join_all(names.iter().map(|name| maya.try_create_key(name)));
    let (answers, ()) = tokio::join!(creations, async {
        for _ in 0..3 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            terminate_all(&app);
        }
    });
    let (mut shown, mut unknown) = (0, 0);
    for answer in &answers {
        match (answer.status, answer.header("keystead-answer")) {
            (200, _) | (503, "unavailable") => {}
            (503, "outcome_unknown") => unknown += 1,
            _ => panic!("{}", answer.text()),
        }
        if let Some(secret) = answer.secret() {
            shown += 1;
            assert_eq!(app.verify(&secret).await, "VALID");
        }
    }
    let made = app.count("api_keys").await;
    assert!((shown..=shown + unknown).contains(&made), "{made} made, {shown} shown, {unknown} unknown");
    assert_eq!(app.count("key_secrets").await, made);
    assert_eq!(app.count("audit_events WHERE action = 'key.created'").await, made);
    assert_eq!(app.count("form_tokens").await, made);
    maya.create_key("Afterwards").await;
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_a_503_that_says_what_to_do() {
    let app = app().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let mut other = app.database.connect();
    let mut other = on_own_thread(move || {
        // As somebody else's program: ours would not be left to idle.
        sql_query("SET idle_in_transaction_session_timeout = 0").execute(&mut other).unwrap();
        sql_query("BEGIN").execute(&mut other).unwrap();
        sql_query("LOCK TABLE api_keys IN EXCLUSIVE MODE").execute(&mut other).unwrap();
        other
    });
    let refused = maya.try_create_key("Staging").await.expect(503);
    assert!(
        refused.alert().contains("The database is busy or locked by another program; wait a few seconds."),
        "{}",
        refused.alert()
    );
    assert_eq!(app.verify(&key.secret).await, "VALID", "reading goes on");
    on_own_thread(move || sql_query("ROLLBACK").execute(&mut other).map(drop).unwrap());
    assert_eq!(app.count("api_keys").await, 1);
    assert_eq!(app.count("form_tokens").await, 1);
    maya.create_key("Staging").await;
}

#[tokio::test]
async fn a_node_that_is_paused_in_the_middle_of_a_change_holds_up_the_others_for_two_seconds_at_most() {
    let app = app().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let mut paused = app.database.connect();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (goes_on, resumed) = std::sync::mpsc::channel::<()>();
    let paused = std::thread::spawn(move || {
        in_transaction(&mut paused, |conn| {
            sql_query("UPDATE key_epoch SET value = value + 1").execute(conn)?;
            begun.send(()).unwrap();
            let _ = resumed.recv();
            Ok::<_, StoreError>(())
        })
    });
    has_begun.await.unwrap();
    maya.revoke(&key).await;
    drop(goes_on);
    assert!(paused.join().unwrap().is_err(), "it was rolled back while it was paused");
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

#[tokio::test]
async fn a_transaction_in_which_a_statement_failed_is_not_taken_for_committed() {
    let app = app().await;
    let key = app.admin().await.create_key("Production").await;
    let ended = app
        .site
        .db
        .write(|conn| {
            sql_query("UPDATE api_keys SET name = 'Staging'").execute(conn)?;
            // Who overlooks this error may believe that the rest is done.
            sql_query("SELECT 1 / 0").execute(conn).unwrap_err();
            Ok::<_, StoreError>(())
        })
        .await;
    // Postgres answers such a COMMIT without an error; its tag is ROLLBACK.
    let Err(StoreError::Fault(_, words)) = ended else { panic!("{ended:?}") };
    assert!(words.contains("25P02"), "{words}");
    assert_eq!(app.count("api_keys WHERE name = 'Production'").await, 1);
    assert_eq!(app.verify(&key.secret).await, "VALID");
    let next =
        app.site.db.write(|conn| Ok::<_, StoreError>(sql_query("UPDATE api_keys SET name = 'Staging'").execute(conn)?));
    assert_eq!(next.await.unwrap(), 1, "the connection is as good as before");
}

/// Of any other COMMIT that failed it is not known whether it was made.
#[tokio::test]
async fn a_commit_that_postgres_refused_is_certainly_not_made() {
    let app = app().await;
    for sql in [
        "CREATE TABLE refused (code TEXT)",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN RAISE EXCEPTION ''refused'' USING ERRCODE = NEW.code; END'",
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON refused DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION refuse()",
    ] {
        app.database.execute(sql);
    }
    let ended = |code: &'static str| {
        app.site.db.write(move |conn| {
            sql_query(format!("INSERT INTO refused VALUES ('{code}')")).execute(conn)?;
            Ok::<_, StoreError>(())
        })
    };
    // A unique value, a foreign key, NOT NULL, CHECK, RESTRICT, EXCLUDE; another transaction; no room on the disk, in memory, in the queue of
    // notifications; a trigger.
    for code in
        ["23505", "23503", "23502", "23514", "23001", "23P01", "40001", "40P01", "53100", "53200", "54000", "P0001"]
    {
        let ended = ended(code).await;
        assert!(matches!(&ended, Err(StoreError::Fault(_, words)) if words.contains(code)), "{code}: {ended:?}");
    }
    for code in ["08006", "40003", "53300", "57014", "58030", "XX000"] {
        let ended = ended(code).await;
        assert!(matches!(&ended, Err(StoreError::Unknown(words)) if words.contains(code)), "{code}: {ended:?}");
    }
    assert_eq!(app.count("refused").await, 0);
}
