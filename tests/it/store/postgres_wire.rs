//! Connections to Postgres that break in the middle of a result, and what a session leaves behind. These tests need
//! `TEST_DATABASE_URL`.

use std::{
    collections::HashSet,
    net::TcpListener,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use keystead::store::{
    StoreError,
    connection::{Conn, DatabaseUrl},
    in_transaction,
    notifications::Listener,
};

use rand::{RngExt, SeedableRng};

use crate::support::{Failure, Flow, Lost, Plan, TestApp, TestDatabase, Wire, on_own_thread, until};

#[derive(Debug, QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    word: String,
}

fn words(conn: &mut Conn, sql: &str) -> Result<Vec<String>, StoreError> {
    let rows: Vec<Word> = sql_query(sql).load(conn)?;
    Ok(rows.into_iter().map(|row| row.word).collect())
}

/// A rotten wire must cost one error: a loop here never ends and takes all memory, which is how this test fails.
#[test]
fn a_connection_that_breaks_after_any_message_of_a_result_ends_that_query_once() {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let url = DatabaseUrl::Postgres(wire.url());
    let (mut whole, mut broken) = (0, 0);
    for messages in 0.. {
        for failure in [Failure::Cut, Failure::Truncated(1), Failure::Truncated(6)] {
            wire.plan(Plan { messages, failure });
            let query = "SELECT n::text AS word FROM generate_series(1, 3) n";
            match url.connect().and_then(|mut conn| words(&mut conn, query)) {
                Ok(rows) => {
                    assert_eq!(rows, ["1", "2", "3"]);
                    whole += 1;
                }
                Err(StoreError::Fault(..)) => broken += 1,
                Err(error) => panic!("{error}"),
            }
        }
        if whole >= 3 {
            break;
        }
    }
    assert!(broken > 30, "it broke after each message of signing on and of the result: {broken}");
}

type Question = fn(&mut Conn, &str) -> Result<Vec<String>, StoreError>;

/// One connection's life over a wire that fails somewhere: how many of its three questions were answered, each right.
fn live(url: &DatabaseUrl, limit: Duration) -> usize {
    let right: Vec<String> = (1..=3).map(|n: i32| n.to_string()).collect();
    let query = "SELECT n::text AS word FROM generate_series(1, 3) n";
    let Ok(mut conn) = url.connect_within(limit) else { return 0 };
    let questions: [Question; 3] = [words, |conn, query| in_transaction(conn, |conn| words(conn, query)), words];
    let mut answered = 0;
    for question in questions {
        match question(&mut conn, query) {
            Ok(rows) => {
                assert_eq!(rows, right, "an answer is whole and its own question's");
                assert_eq!(answered % 4, answered, "nothing is answered after a failure");
                answered += 1;
            }
            Err(StoreError::Fault(..) | StoreError::Unknown(_)) => answered |= 4,
            Err(error) => panic!("{error}"),
        }
    }
    answered & 3
}

/// Its connection is given up, and its socket closed with what was not sent yet: nobody hears a good-bye on a dead wire.
#[test]
fn a_statement_that_could_not_be_sent_whole_in_time_is_not_carried_out_later() {
    let database = TestDatabase::postgres();
    database.execute("CREATE TABLE late (length BIGINT)");
    let wire = Wire::to(&database.url().unwrap());
    let (url, mut other) = (DatabaseUrl::Postgres(wire.url()), database.connect());
    on_own_thread(move || {
        let mut conn = url.connect().unwrap();
        let Conn::Postgres(postgres) = &mut conn else { panic!("it is Postgres") };
        postgres.set_limit(Duration::from_millis(200));
        wire.set(Flow::Stalled);
        // More than all the buffers on its way take.
        let long = "x".repeat(64 << 20);
        sql_query(format!("INSERT INTO late SELECT length('{long}')")).execute(&mut conn).unwrap_err();
        drop(conn);
        wire.set(Flow::Open);
        let others = "SELECT count(*)::text AS word FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let begun = Instant::now();
        while words(&mut other, others).unwrap() != ["0"] {
            assert!(begun.elapsed() < Duration::from_secs(60), "its connection stays");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(words(&mut other, "SELECT count(*)::text AS word FROM late").unwrap(), ["0"]);
    });
}

#[allow(clippy::disallowed_methods)] // how often to try is said by whoever runs this
fn runs() -> u32 {
    std::env::var("WIRE_FUZZ_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// Any failure after any message, from a seed: 400 lives of a connection, or `WIRE_FUZZ_RUNS`.
#[test]
fn whatever_a_wire_does_a_thread_keeps_to_its_budget() {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let url = DatabaseUrl::Postgres(wire.url());
    let mut random = rand::rngs::StdRng::seed_from_u64(9);
    let (mut whole, mut partly, mut most) = (0, 0, Duration::ZERO);
    for run in 0..runs() {
        let failure = match random.random_range(0..4) {
            0 => Failure::Cut,
            1 => Failure::Truncated(random.random_range(1..40)),
            2 => Failure::Stalled,
            _ => Failure::Dripped,
        };
        let plan = Plan { messages: random.random_range(0..60), failure };
        wire.plan(plan);
        let begun = ThreadTime::now();
        match live(&url, Duration::from_millis(100)) {
            3 => whole += 1,
            1 | 2 => partly += 1,
            _ => {}
        }
        let spent = begun.elapsed();
        most = most.max(spent);
        assert!(spent < Duration::from_millis(500), "run {run}, {plan:?}: {spent:?} of CPU time");
    }
    println!("{} runs: {whole} whole, {partly} broke on the way, at most {most:?} of CPU time", runs());
    assert!(whole > 0 && partly > 0, "{whole} {partly}");
}

#[test]
fn a_session_keeps_no_setting_of_ours() {
    let database = TestDatabase::postgres();
    let mut conn = database.connect();
    on_own_thread(move || {
        let limits = "SELECT name || '=' || setting AS word FROM pg_settings
                      WHERE name IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout')
                      ORDER BY name";
        let inside = in_transaction(&mut conn, |conn| words(conn, limits)).unwrap();
        assert_eq!(
            inside,
            ["idle_in_transaction_session_timeout=2000", "lock_timeout=4000", "statement_timeout=10000"]
        );
        let after = words(&mut conn, limits).unwrap();
        assert_eq!(after, ["idle_in_transaction_session_timeout=0", "lock_timeout=0", "statement_timeout=0"]);
        let name = words(&mut conn, "SELECT current_setting('application_name') AS word").unwrap();
        assert_eq!(name, ["keystead"]);
    });
}

/// With `off` a crash of the server takes back what was answered. The other values wait at least for its disk.
#[tokio::test]
async fn a_default_by_which_a_crash_takes_back_commits_is_not_kept() {
    const SETTING: &str = "SELECT current_setting('synchronous_commit') AS word";
    let database = TestDatabase::postgres();
    let url = database.url().unwrap();
    let name = url.rsplit('/').next().unwrap().to_owned();
    for (default, inside) in [("local", "local"), ("remote_apply", "remote_apply"), ("on", "on"), ("off", "on")] {
        database.execute(&format!("ALTER DATABASE {name} SET synchronous_commit = {default}"));
        let mut conn = database.connect();
        on_own_thread(move || {
            let look = |conn: &mut Conn| in_transaction(conn, |conn| words(conn, SETTING));
            assert_eq!(look(&mut conn).unwrap(), [inside], "of {default}");
            assert_eq!(words(&mut conn, SETTING).unwrap(), [default], "the session keeps its own");
        });
    }
    // With `off` as the default from here on: who changes keys, and nodes, which revocations wait for.
    let app = TestApp::start_on(database, |_| {}).await;
    app.execute_all(&[
        "CREATE TABLE seen (name TEXT, word TEXT)",
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME, current_setting(''synchronous_commit'')); RETURN NEW; END'",
        "CREATE TRIGGER see BEFORE INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION see()",
        "CREATE TRIGGER see BEFORE INSERT ON key_changes FOR EACH ROW EXECUTE FUNCTION see()",
        "DELETE FROM nodes",
    ])
    .await;
    app.admin().await.create_key("Production").await;
    until("the node registers again", async || app.count("seen WHERE name = 'nodes'").await > 0).await;
    let seen = app.lines("SELECT DISTINCT name || ' ' || word AS line FROM seen ORDER BY 1").await;
    assert_eq!(seen, ["key_changes on", "nodes on"]);
}

#[tokio::test]
async fn a_page_whose_connection_breaks_or_goes_silent_under_a_read_is_shown_all_the_same() {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let url = wire.url();
    let app = TestApp::start_on(database, |settings| settings.database = url).await;
    let maya = app.admin().await;
    maya.create_key("Production").await;
    // The session, its owner, and the list.
    for words in ["sessions", "memberships", "key_usage"] {
        for lost in [Lost::Request, Lost::RequestSilently] {
            let before = wire.lost();
            wire.lose(lost, words);
            let page = maya.get("/settings/integrations").await.expect(200);
            assert_eq!(wire.lost(), before + 1, "{words} were never sent");
            assert_eq!(page.all(".key-name strong"), ["Production"], "{words} {lost:?}");
        }
    }
}

/// A firewall that forgot the connection: nothing comes any more, not even an error.
#[tokio::test]
async fn notifications_come_by_another_connection_when_theirs_has_gone_silent() {
    const NO_STATEMENT: &str = "Q\0\0\0\u{5}\0";
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let (sender, woken) = mpsc::channel();
    let address = DatabaseUrl::Postgres(wire.url()).into();
    let _listener = Listener::start(&address, &Arc::default(), move || _ = sender.send(())).unwrap();
    on_own_thread(move || {
        // Each connection wakes once it listens.
        woken.recv_timeout(Duration::from_secs(60)).unwrap();
        wire.lose(Lost::RequestSilently, NO_STATEMENT);
        woken.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(wire.lost(), 1);
    });
}

/// Nobody can be used here, so each of them is asked, and closes the wire.
#[test]
fn several_hosts_are_asked_in_their_order_or_in_any() {
    let hosts = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [first, second] = hosts.each_ref().map(|host| host.local_addr().unwrap());
    let (asked, asks) = mpsc::channel();
    for (n, host) in hosts.into_iter().enumerate() {
        let asked = asked.clone();
        thread::spawn(move || {
            for wire in host.incoming() {
                asked.send(n).unwrap();
                drop(wire);
            }
        });
    }
    let order = |query: &str| {
        let url = format!("postgres://keystead@{first},{second}/keys?sslmode=disable{query}");
        assert!(DatabaseUrl::Postgres(url).connect_within(Duration::from_secs(20)).is_err());
        [asks.recv().unwrap(), asks.recv().unwrap()]
    };
    assert_eq!(order(""), [0, 1]);
    // That 64 of them begin alike happens to nobody.
    let orders: HashSet<_> = (0..64).map(|_| order("&load_balance_hosts=random")).collect();
    assert_eq!(orders, HashSet::from([[0, 1], [1, 0]]));
}
