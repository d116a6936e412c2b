//! Reads that wait for somebody else's lock: the database is there, and that is what is said. These tests need
//! `TEST_DATABASE_URL`.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Integer};
use keystead::{
    config::DatabaseUrl,
    store::{Conn, Db, Fault, StoreError},
};

use super::{postgres_connections::open_connections, sqlite_faults::assert_says};
use crate::support::{Flow, TestApp, TestDatabase, Wire, on_own_thread, until};

/// Connections of the pool.
const ALL: usize = 8;

const SAID: &str = "The database is busy or locked by another program; wait a few seconds.";

/// As another program's `VACUUM FULL` or `ALTER TABLE`, until it is let go.
fn lock(database: &TestDatabase, table: &str) -> Conn {
    let (mut holder, lock) = (database.connect(), format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
    on_own_thread(move || {
        sql_query("SET idle_in_transaction_session_timeout = 0").execute(&mut holder).unwrap();
        sql_query("BEGIN").execute(&mut holder).unwrap();
        sql_query(lock).execute(&mut holder).unwrap();
        holder
    })
}

fn let_go(mut holder: Conn) {
    on_own_thread(move || sql_query("ROLLBACK").execute(&mut holder).map(drop).unwrap());
}

/// The server's processes that the pool's connections lead to: those on which [`open_connections`] asked last.
async fn of_the_pool(app: &TestApp) -> Vec<String> {
    app.lines(
        "SELECT pid::text AS line FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE '%4711' ORDER BY pid",
    )
    .await
}

#[tokio::test]
async fn a_page_whose_table_is_locked_says_so_and_the_other_connections_are_kept() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let mut kept = 0;
    for table in ["key_usage", "sessions", "users"] {
        open_connections(&app, ALL).await;
        let before = of_the_pool(&app).await;
        let holder = lock(&app.database, table);
        assert_says(&maya.get("/settings/integrations").await, SAID);
        let_go(holder);
        maya.get("/settings/integrations").await.expect(200);
        // Whoever was taken for silent would be thrown away on its way out of the pool.
        open_connections(&app, ALL).await;
        let after = of_the_pool(&app).await;
        kept = kept.max(before.iter().filter(|process| after.contains(process)).count());
    }
    assert_eq!(app.verify(&key.secret).await, "VALID");
    // The best of three: on a machine with too much to do, a server that is there may be silent.
    assert!(kept >= ALL - 2, "one was cancelled, and no other went: {kept}");
}

#[derive(QueryableByName)]
struct Process {
    #[diesel(sql_type = Integer)]
    id: i32,
}

fn sleeping(tries: &Arc<AtomicU32>) -> impl Fn(&mut Conn) -> Result<usize, StoreError> + use<> {
    let tries = Arc::clone(tries);
    move |conn| {
        tries.fetch_add(1, Ordering::Relaxed);
        Ok(sql_query("SELECT pg_sleep(3600)").execute(conn)?)
    }
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_cancelled_once_and_not_tried_again() {
    let database = TestDatabase::postgres();
    let db = Db::open(DatabaseUrl::Postgres(database.url().unwrap()).into(), 2).unwrap();
    let mut fewest = u32::MAX;
    for _ in 0..3 {
        let tries = Arc::default();
        let read = db.read(sleeping(&tries)).await;
        assert!(matches!(&read, Err(StoreError::Fault(Fault::Busy, words)) if words.contains("57014")), "{read:?}");
        fewest = fewest.min(tries.load(Ordering::Relaxed));
    }
    // The best of three: on a machine with too much to do, a server that is there may be silent.
    assert_eq!(fewest, 1);
    // No more than that is asked on its connection.
    let asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(3600)'";
    let mut conn = database.connect();
    on_own_thread(move || while sql_query(asked).execute(&mut conn).unwrap() > 0 {});
}

/// The order to cancel is lost, and the lock let go in the last moment.
#[tokio::test]
async fn an_answer_that_comes_while_its_statement_is_being_cancelled_is_an_answer() {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let db = Db::open(DatabaseUrl::Postgres(wire.url()).into(), 1).unwrap();
    database.execute("CREATE TABLE things AS SELECT 1 AS n");
    let read = |conn: &mut Conn| {
        let process: Process = sql_query("SELECT pg_backend_pid() AS id FROM things").get_result(conn)?;
        Ok::<_, StoreError>(process.id)
    };
    let first = db.read(read).await.unwrap();
    let holder = lock(&database, "things");
    wire.set(Flow::Refusing);
    let reading = tokio::spawn({
        let db = db.clone();
        async move { db.read(read).await }
    });
    until("the order to cancel is sent", async || wire.refused() > 0).await;
    let_go(holder);
    wire.set(Flow::Open);
    reading.await.unwrap().expect("it came, or another connection was asked");
    assert_ne!(db.read(read).await.unwrap(), first, "the order could meet whatever is asked there next");
}
