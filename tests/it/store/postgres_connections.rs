//! Connections that have gone silent, and too few of them. These tests need `TEST_DATABASE_URL`.

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, connection::TransactionManager, r2d2::R2D2Connection, sql_query,
    sql_types::BigInt,
};
use keystead::{
    config::DatabaseUrl,
    store::{Conn, Db, StoreError},
};

use crate::{
    cluster::postgres::OwnPostgres,
    support::{Binary, Flow, TestApp, TestDatabase, Wire, on_own_thread, until},
};

/// Has the pool open so many connections.
pub async fn open_connections(app: &TestApp, number: usize) {
    let all_at_once = std::sync::Arc::new(Barrier::new(number));
    let reads = (0..number).map(|_| {
        let all_at_once = all_at_once.clone();
        app.site.db.read_aside(move |conn| {
            sql_query("SELECT 4711").execute(conn)?;
            all_at_once.wait();
            Ok::<_, StoreError>(())
        })
    });
    futures_util::future::try_join_all(reads).await.unwrap();
}

async fn behind_a_wire() -> (Wire, TestApp) {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let url = wire.url();
    let app = TestApp::start_on(database, |settings| settings.database = url).await;
    open_connections(&app, 4).await;
    (wire, app)
}

#[tokio::test]
async fn a_connection_that_went_silent_while_nobody_used_it_costs_no_change() {
    const ALL: usize = 8;
    let (wire, app) = behind_a_wire().await;
    open_connections(&app, ALL).await;
    wire.silence();
    // Who was heard of a moment ago is not asked whether it is there.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    app.execute("UPDATE installation SET value = value").await;
    // One, and more where somebody else asks at the same time; none where a read found out before.
    let pings = wire.pings_into_silence();
    assert!(pings < ALL, "the others went the same way, and are not asked one after another: {pings}");
}

/// Its question was answered, and would be refused on any other connection too.
#[tokio::test]
async fn a_read_that_the_database_refuses_is_not_tried_again() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = tries.clone();
    let refused = app.site.db.read(move |conn| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, StoreError>(sql_query("SELECT 1 / 0").execute(conn)?)
    });
    refused.await.unwrap_err();
    assert_eq!(tries.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_went_silent_a_moment_ago_costs_no_answer() {
    let (wire, app) = behind_a_wire().await;
    wire.silence();
    assert_eq!(app.count("users").await, 0);
}

#[tokio::test]
async fn a_follower_whose_wire_goes_silent_has_another_before_its_lease_ends() {
    let (wire, app) = behind_a_wire().await;
    let looks = || app.site.follower.progress().looks;
    wire.silence();
    let before = looks();
    until("it looks again", async || {
        assert!(app.site.keys.lease.is_held(app.site.clock.since_boot()), "the lease ended before that");
        looks() > before + 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_server_has_no_place_for_the_follower_the_pages_give_one_up() {
    TestDatabase::postgres();
    let postgres = OwnPostgres::start();
    let psql = |sql: &str| {
        let port = postgres.port();
        assert!(postgres.shell(&format!("psql -X -h 127.0.0.1 -p {port} -U postgres -c \"{sql}\"")), "{sql}");
    };
    psql("CREATE ROLE few LOGIN");
    psql("CREATE DATABASE keys OWNER few");
    let url = format!("postgres://few@127.0.0.1:{}/keys", postgres.port());
    let app = TestApp::start_on(TestDatabase::sqlite(), |settings| {
        settings.database = url;
        // Longer than this test takes: the revocation returns when the follower has it.
        settings.lease = "300".to_owned();
    })
    .await;
    let maya = app.admin().await;
    let (living, revoked) = (maya.create_key("Living").await, maya.create_key("Revoked").await);
    let of_us = "pg_stat_activity WHERE usename = 'few'";
    open_connections(&app, 4).await;
    let all = app.count(of_us).await;
    psql(&format!("ALTER ROLE few CONNECTION LIMIT {}", all - 1));
    // So that this is what each connection of the pool asked last; notifications only listen.
    open_connections(&app, 4).await;
    let of_the_follower = "query NOT LIKE '%4711%' AND query NOT LIKE 'LISTEN%' AND query <> ''";
    psql(&format!("SELECT pg_terminate_backend(pid) FROM {of_us} AND {of_the_follower}"));
    let done = tokio::time::timeout(Duration::from_secs(120), maya.revoke(&revoked));
    done.await.expect("the follower has a connection again");
    assert_eq!(app.verify(&revoked.secret).await, "REVOKED");
    assert_eq!(app.verify(&living.secret).await, "VALID");
    assert!(app.count(of_us).await < all);
}

#[tokio::test]
async fn however_many_probes_ask_a_silent_database_is_asked_once() {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let keystead = Binary::on_sqlite().with("DATABASE_URL", &wire.url()).with("KEYSTEAD_LOG", "debug");
    let server = keystead.serve();
    let probe = server.anonymous();
    wire.set(Flow::Stalled);
    let probes = futures_util::future::join_all((0..20).map(|_| probe.get("/readyz/pages"))).await;
    assert!(probes.iter().all(|answer| answer.status == 503));
    let failed = "pages cannot be served";
    until("the question is given up", async || server.log().contains(failed)).await;
    // Others would have been given up in the same moment.
    probe.get("/readyz/pages").await.expect(503);
    assert_eq!(server.log().matches(failed).count(), 1, "{}", server.log());
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_for_its_successor() {
    let database = TestDatabase::postgres();
    database.execute("CREATE TABLE things (n BIGINT)");
    let db = Db::open(DatabaseUrl::Postgres(database.url().unwrap()).into(), 1).unwrap();
    // As a server does for every session when it is made a replica.
    let read_only = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
    db.read_aside(move |conn| Ok::<_, StoreError>(sql_query(read_only).execute(conn)?)).await.unwrap();
    let change =
        async || db.write(|conn| Ok::<_, StoreError>(sql_query("INSERT INTO things VALUES (1)").execute(conn)?)).await;
    let refused = change().await.unwrap_err();
    assert!(refused.to_string().contains("SQLSTATE 25006"), "{refused}");
    assert_eq!(change().await.unwrap(), 1, "on another connection");
}

/// A question would cost every page a round trip.
#[tokio::test]
async fn whoever_was_heard_of_a_moment_ago_is_not_asked_whether_it_is_there() {
    const PING: &[u8] = b"Q\0\0\0\x05\0";
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    wire.keep_what_is_sent();
    let db = Db::open(DatabaseUrl::Postgres(wire.url()).into(), 1).unwrap();
    let read = async || db.read_aside(|conn| Ok::<_, StoreError>(sql_query("SELECT 1").execute(conn)?)).await.unwrap();
    let pings =
        || wire.sent().iter().map(|sent| sent.windows(PING.len()).filter(|at| *at == PING).count()).sum::<usize>();
    // Of a busy machine some of these may come late, and not all.
    until("two reads follow on each other without a question", async || {
        read().await;
        let before = pings();
        read().await;
        pings() == before
    })
    .await;
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn number(conn: &mut Conn, sql: &str) -> i64 {
    sql_query(sql).get_result::<Number>(conn).unwrap().n
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_connection_is_broken_in_the_middle_of_a_transaction_and_without_a_server() {
    type Transactions = <Conn as Connection>::TransactionManager;
    let database = TestDatabase::postgres();
    let (mut conn, mut other) = (database.connect(), database.connect());
    on_own_thread(move || {
        let process = number(&mut conn, "SELECT pg_backend_pid()::bigint AS n");
        Transactions::begin_transaction(&mut conn).unwrap();
        assert!(conn.is_broken());
        Transactions::rollback_transaction(&mut conn).unwrap();
        assert!(!conn.is_broken());
        sql_query(format!("SELECT pg_terminate_backend({process})")).execute(&mut other).unwrap();
        wait_until("it is known without a question", || conn.is_broken());
    });
}

/// The server itself would not notice before it has something to say.
#[test]
fn a_statement_that_nobody_waits_for_any_more_is_ended_on_the_server() {
    let database = TestDatabase::postgres();
    let (mut conn, mut other) = (database.connect(), database.connect());
    on_own_thread(move || {
        let Conn::Postgres(postgres) = &mut conn else { panic!("it is Postgres") };
        postgres.set_limit(Duration::from_secs(2));
        sql_query("SELECT pg_sleep(3600)").execute(&mut conn).unwrap_err();
        let sleeping = "SELECT count(*) AS n FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active' AND query = 'SELECT pg_sleep(3600)'";
        wait_until("it is cancelled", || number(&mut other, sleeping) == 0);
    });
}

/// It reads every key with another limit than it looks for what is new.
#[test]
fn on_the_followers_connection_an_answer_may_take_as_long_as_was_said_last() {
    let database = TestDatabase::postgres();
    let db = Db::open(DatabaseUrl::Postgres(database.url().unwrap()).into(), 1).unwrap();
    on_own_thread(move || {
        let mut conn = db.connect_apart(Duration::from_secs(60)).unwrap();
        conn.set_limit(Duration::from_millis(50));
        // Shorter than the limit at first.
        sql_query("SELECT pg_sleep(40)").execute(&mut *conn).unwrap_err();
    });
}
