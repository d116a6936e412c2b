//! Connections to Postgres that break in the middle of a result, and what a session leaves behind. These tests need
//! `TEST_DATABASE_URL`.

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use keystead::store::{
    StoreError,
    connection::{Conn, DatabaseUrl},
    in_transaction,
};

use super::wire_proxy::{Failure, Plan, WireProxy};
use crate::support::{TestDatabase, on_own_thread};

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
    let Some(database) = TestDatabase::postgres() else { return };
    let proxy = WireProxy::start(&database.url().unwrap());
    let url = DatabaseUrl::Postgres(proxy.url());
    let (mut whole, mut broken) = (0, 0);
    for messages in 0.. {
        for failure in [Failure::Cut, Failure::Truncated(1), Failure::Truncated(6)] {
            proxy.set(Some(Plan { messages, failure }));
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

#[test]
fn a_session_keeps_no_setting_of_ours() {
    let Some(database) = TestDatabase::postgres() else { return };
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
