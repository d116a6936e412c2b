//! A migration waits for a table that somebody else holds: others pass, and whoever runs it is told for whom it waits. These
//! tests need `TEST_DATABASE_URL`; on SQLite nobody waits behind a writer but another writer.

use std::{sync::mpsc, thread, time::Duration};

use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};
use keystead::store::{
    Conn,
    migrations::{self, MigrationError},
};

use super::upgrades::database_of;
use crate::support::{TestDatabase, on_own_thread};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn number(conn: &mut Conn, sql: &str) -> i64 {
    sql_query(sql).get_result::<Number>(conn).unwrap().n
}

/// A database of an earlier schema, whose next migration changes the table that is held here by somebody who has read it.
fn held() -> (TestDatabase, Conn, i64) {
    // Says what is missing where there is no Postgres.
    TestDatabase::postgres();
    let database = database_of("2026-11-27-000000_key_numbers", Vec::new());
    let mut holder = database.connect();
    let (holder, process) = on_own_thread(move || {
        holder.batch_execute("BEGIN; SELECT 1 FROM key_changes").unwrap();
        let process = number(&mut holder, "SELECT pg_backend_pid()::bigint AS n");
        (holder, process)
    });
    (database, holder, process)
}

#[test]
fn on_postgres_a_migration_gives_up_and_says_who_holds_the_table() {
    let (database, holder, process) = held();
    let mut conn = database.connect();
    let refused = on_own_thread(move || migrations::run_within(&mut conn, Duration::ZERO).unwrap_err());
    assert!(matches!(refused, MigrationError::Locked { .. }), "{refused}");
    let words = refused.to_string();
    assert!(words.contains(&format!("process {process} of keystead idle in transaction since ")), "{words}");
    assert!(words.contains("nothing was changed"), "{words}");
    drop(holder);
    let mut conn = database.connect();
    on_own_thread(move || {
        let count = number(&mut conn, "SELECT count(*) AS n FROM __diesel_schema_migrations");
        assert_eq!(count, 4, "those that were there");
        assert!(migrations::run(&mut conn).unwrap().ran > 0);
    });
}

#[test]
fn on_postgres_whoever_comes_behind_a_waiting_migration_passes_and_it_goes_on_when_the_table_is_free() {
    let (database, mut holder, _) = held();
    let (mut migrating, mut watching, mut reading) = (database.connect(), database.connect(), database.connect());
    let (end, ended) = mpsc::channel();
    thread::spawn(move || end.send(migrations::run_within(&mut migrating, Duration::from_secs(60))));
    let ended = on_own_thread(move || {
        let waiting = "SELECT count(*) AS n FROM pg_locks
            WHERE NOT granted AND relation = 'key_changes'::regclass AND mode = 'AccessExclusiveLock'";
        for _ in 0..3 {
            while number(&mut watching, waiting) == 0 {
                if let Ok(early) = ended.try_recv() {
                    panic!("it waits no more: {early:?}");
                }
                thread::yield_now();
            }
            // Behind a migration that waited as long as it takes, this would be refused.
            reading.batch_execute("BEGIN; SET LOCAL lock_timeout = '10s'; SELECT 1 FROM key_changes; COMMIT").unwrap();
        }
        holder.batch_execute("ROLLBACK").unwrap();
        ended
    });
    let done = ended.recv_timeout(Duration::from_secs(60)).expect("it goes on").unwrap();
    assert!(done.ran > 0);
}
