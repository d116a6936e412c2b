//! Changes that meet: both have read before either writes. A lock that somebody else holds on a row makes that certain, where a hundred requests at once only make it likely.

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use keystead::{config::Settings, store::Conn};

use crate::support::{Answer, Key, TestApp, TestDatabase, on_own_thread};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

async fn app() -> TestApp {
    TestApp::start_on(TestDatabase::postgres(), |_| {}).await
}

fn row_of(key: &Key) -> String {
    format!("api_keys WHERE id = '{}'", key.id)
}

/// Holds these rows until two statements wait for one, then lets them go; what the two were answered.
async fn behind_a_lock(
    app: &TestApp,
    rows: &str,
    one: impl Future<Output = Answer>,
    other: impl Future<Output = Answer>,
) -> [Answer; 2] {
    behind(app, format!("SELECT 1 FROM {rows} FOR UPDATE"), "ROLLBACK", one, other).await
}

/// The same behind another transaction, in which this statement runs and which ends like this.
async fn behind(
    app: &TestApp,
    statement: String,
    end: &'static str,
    one: impl Future<Output = Answer>,
    other: impl Future<Output = Answer>,
) -> [Answer; 2] {
    let (mut holder, mut watcher) = (app.database.connect(), app.database.connect());
    let mut holder = on_own_thread(move || {
        // As somebody else's program: ours would not be left to idle.
        sql_query("SET idle_in_transaction_session_timeout = 0").execute(&mut holder).unwrap();
        sql_query("BEGIN").execute(&mut holder).unwrap();
        sql_query(statement).execute(&mut holder).unwrap();
        holder
    });
    let let_go = tokio::task::spawn_blocking(move || {
        while waiting(&mut watcher) < 2 {
            std::thread::yield_now();
        }
        sql_query(end).execute(&mut holder).unwrap();
    });
    let (one, other, let_go) = tokio::join!(one, other, let_go);
    let_go.unwrap();
    [one, other]
}

fn waiting(conn: &mut Conn) -> i64 {
    let asked = sql_query(
        "SELECT count(*) AS count FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    asked.get_result::<Count>(conn).unwrap().count
}

fn statuses(answers: &[Answer; 2]) -> [u16; 2] {
    let mut statuses = [answers[0].status, answers[1].status];
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn of_two_rotations_that_have_read_one_version_one_succeeds() {
    let app = app().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let rotate = || maya.try_rotate(&key.id, 1);
    let answers = behind_a_lock(&app, &row_of(&key), rotate(), rotate()).await;
    assert_eq!(statuses(&answers), [200, 409]);
    assert_eq!(app.count("key_secrets").await, 2, "the first one and one new one");
    let new = answers.iter().find_map(Answer::secret).expect("one of them shows a key");
    assert_eq!(app.verify(&new).await, "VALID");
    assert_eq!(app.verify(&key.secret).await, "ROTATED");
}

#[tokio::test]
async fn where_another_isolation_is_the_default_changes_that_meet_take_turns_all_the_same() {
    let database = TestDatabase::postgres();
    let set = "ALTER DATABASE %I SET default_transaction_isolation = serializable";
    database.execute(&format!("DO $$ BEGIN EXECUTE format('{set}', current_database()); END $$"));
    let app = TestApp::start_on(database, |_| {}).await;
    assert_eq!(app.lines("SELECT current_setting('default_transaction_isolation') AS line").await, ["serializable"]);
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let rotate = || maya.try_rotate(&key.id, 1);
    let answers = behind_a_lock(&app, &row_of(&key), rotate(), rotate()).await;
    assert_eq!(statuses(&answers), [200, 409]);
}

#[tokio::test]
async fn of_two_revocations_at_once_one_is_written_down() {
    let app = app().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let revoke = || maya.try_revoke(&key.id, 1);
    let answers = behind_a_lock(&app, &row_of(&key), revoke(), revoke()).await;
    assert_eq!(statuses(&answers), [303, 404]);
    assert_eq!(app.count("audit_events WHERE action = 'key.revoked'").await, 1);
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

#[tokio::test]
async fn a_rotation_that_meets_a_revocation_finds_no_key() {
    let app = app().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let revoke = format!("UPDATE api_keys SET revoked_at = 1 WHERE id = '{}'", key.id);
    let rotate = || maya.try_rotate(&key.id, 1);
    let answers = behind(&app, revoke, "COMMIT", rotate(), rotate()).await;
    assert_eq!(statuses(&answers), [404, 404], "409 would say that it can be tried again");
    assert_eq!(app.count("key_secrets").await, 1);
}

/// Both were let in by the limit before either had written, if that were possible.
#[tokio::test]
async fn of_two_changes_that_meet_at_the_limit_one_is_made() {
    let database = TestDatabase::postgres();
    let limit = |settings: &mut Settings| {
        (settings.max_keys, settings.max_rotations_per_day) = ("3".to_owned(), "1".to_owned());
    };
    let app = TestApp::start_on(database, limit).await;
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    let create = |name| maya.try_create_key(name);
    let answers = behind_a_lock(&app, "organization_today", create("Third"), create("Fourth")).await;
    assert_eq!(statuses(&answers), [200, 409]);
    assert_eq!(app.count("api_keys").await, 3);
    let rotate = |id| maya.try_rotate(id, 1);
    let answers = behind_a_lock(&app, "organization_today", rotate(&first.id), rotate(&second.id)).await;
    assert_eq!(statuses(&answers), [200, 429]);
    assert_eq!(app.count("api_keys WHERE version = 2").await, 1);
}
