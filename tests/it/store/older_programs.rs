//! This program beside a newer one, whose migrations it does not know: it goes on while they only add, and is refused with
//! the reason when they take something away.
//!
//! The newer program is played by the widest migration that the rule in CONTRIBUTING.md allows: every table gets a column of
//! every name that any table has, so that a statement which names a column without its table, relies on the number of
//! columns, or leaves a new one empty that must not be, fails here. What it does not show is what *another* version's
//! statements do; those of the last release are in `last_release.rs`.

use std::{collections::BTreeMap, time::Duration};

use diesel::{
    QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_migrations::FileBasedMigrations;
use keystead::{
    config::DatabaseUrl,
    store::{
        Conn, generations,
        migrations::{self, MigrationError},
    },
};

use super::{journey, upgrades};
use crate::support::{Binary, PASSWORD, TestApp, TestDatabase, on_own_thread, until};

/// No program of ours will ever know it.
const FUTURE: &str = "20991231000000";

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// What each table of ours has.
pub fn columns(conn: &mut Conn) -> BTreeMap<String, Vec<String>> {
    let sql = match conn {
        Conn::Sqlite(_) => {
            "SELECT m.name AS of, p.name AS name FROM sqlite_master m, pragma_table_info(m.name) p
            WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'"
        }
        Conn::Postgres(_) => {
            "SELECT table_name::text AS of, column_name::text AS name FROM information_schema.columns
            WHERE table_schema = 'public'"
        }
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Column { of, name } in sql_query(sql).load::<Column>(conn).unwrap() {
        if !of.starts_with("__") {
            tables.entry(of).or_default().push(name);
        }
    }
    tables
}

/// What a newer version might add, and everything that it may.
pub fn widen(mut conn: Conn) {
    on_own_thread(move || {
        let tables = columns(&mut conn);
        assert!(tables.len() > 10, "{tables:?}");
        let mut names: Vec<&String> = tables.values().flatten().collect();
        names.sort();
        names.dedup();
        let mut migration = String::new();
        for (table, own) in &tables {
            for name in names.iter().filter(|name| !own.contains(name)) {
                // As a column that has always to be filled, and is by its default.
                migration +=
                    &format!("ALTER TABLE {table} ADD COLUMN \"{name}\" TEXT NOT NULL DEFAULT 'of the future';\n");
            }
            migration += &format!("CREATE INDEX future_{table} ON {table} (\"{}\");\n", names[0]);
        }
        migration += "CREATE TABLE future (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);\n";
        migration += &format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{FUTURE}');");
        // As a newer program does: where its locks and the others' are in each other's way (a deadlock), it tries again.
        while let Err(error) = conn.batch_execute(&format!("BEGIN; {migration} COMMIT;")) {
            assert!(error.to_string().contains("40P01"), "{error}");
            conn.batch_execute("ROLLBACK").unwrap();
        }
    });
}

/// What a migration of a newer version writes that takes something away.
fn take_away(url: &DatabaseUrl) {
    for_generations_from(url, generations::OWN + 1);
}

fn for_generations_from(url: &DatabaseUrl, oldest: i64) {
    let sql = format!(
        "INSERT INTO installation (name, value) VALUES ('{}', '{oldest}')
        ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        generations::OLDEST
    );
    let url = url.clone();
    on_own_thread(move || sql_query(sql).execute(&mut url.connect().unwrap()).unwrap());
}

fn url_of(keystead: &Binary) -> DatabaseUrl {
    match keystead.database().url() {
        Some(url) => DatabaseUrl::Postgres(url),
        None => DatabaseUrl::Sqlite(keystead.data_dir().join("keystead.db")),
    }
}

fn connect(url: &DatabaseUrl) -> Conn {
    let url = url.clone();
    on_own_thread(move || url.connect().unwrap())
}

#[tokio::test]
async fn a_program_starts_on_a_newer_schema_that_only_added_and_does_everything() {
    let first = TestApp::start().await;
    let maya = journey::set_up(&first).await;
    let key = maya.create_key("From before").await;
    widen(first.database.connect());
    let database = first.end();
    let app = TestApp::start_on(database, |_| {}).await;
    let maya = app.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    assert_eq!(app.verify(&key.secret).await, "VALID");
    journey::live(&app, &maya).await;
}

#[tokio::test]
async fn a_program_that_runs_goes_on_when_a_newer_one_adds_to_its_schema() {
    let app = TestApp::start().await;
    let maya = journey::set_up(&app).await;
    let key = maya.create_key("From before").await;
    assert_eq!(app.verify(&key.secret).await, "VALID");
    widen(app.database.connect());
    assert_eq!(app.verify(&key.secret).await, "VALID");
    journey::live(&app, &maya).await;
}

#[tokio::test]
async fn on_postgres_nodes_that_started_before_and_after_a_newer_schema_serve_side_by_side() {
    let database = TestDatabase::postgres();
    let (url, pepper) = (database.url().unwrap(), database.folder().join("pepper"));
    let one = TestApp::start_on(database, |_| {}).await;
    let maya = one.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    widen(one.database.connect());
    let other = TestApp::start_on(TestDatabase::sqlite(), |settings| {
        settings.database = url;
        settings.pepper_file = pepper.to_str().unwrap().to_owned();
    })
    .await;
    let there = other.anonymous();
    there.sign_in("maya@acme.example", PASSWORD).await;
    let third = there.create_key("Third").await;
    until("the new key is known", async || one.verify(&third.secret).await == "VALID").await;
    // Each returns when both know.
    maya.revoke(&first).await;
    there.revoke(&second).await;
    for app in [&one, &other] {
        assert_eq!(app.verify(&first.secret).await, "REVOKED");
        assert_eq!(app.verify(&second.secret).await, "REVOKED");
        assert_eq!(app.verify(&third.secret).await, "VALID");
    }
    assert_eq!(one.count("nodes").await, 2);
}

/// The data directory: names and what is in them.
fn files_of(keystead: &Binary) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(keystead.data_dir()) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_newer_schema_is_said_at_the_start_and_by_check() {
    let keystead = Binary::new();
    let url = url_of(&keystead);
    let is_postgres = keystead.database().is_postgres();
    let words = if is_postgres { "the database is empty" } else { "there is no database yet" };
    let missing = keystead.check().succeeded().stdout;
    assert!(missing.contains(words), "{missing}");
    assert!(!keystead.data_dir().exists(), "check makes nothing");
    keystead.run(&["migrate"]).succeeded();
    assert!(keystead.check().succeeded().stdout.contains("has this version's schema"));
    widen(connect(&url));
    let before = files_of(&keystead);
    let checked = keystead.check().succeeded().stdout;
    assert_eq!(files_of(&keystead), before, "check changes nothing");
    assert!(checked.contains(&format!("has schema {FUTURE} of a newer version; this version can go on")), "{checked}");
    let migrated = keystead.run(&["migrate"]).succeeded().stdout;
    assert!(migrated.contains("this version can go on with it"), "{migrated}");
    let server = keystead.serve();
    let checked = keystead.check().succeeded().stdout;
    assert!(checked.contains("this version can go on"), "also while it runs: {checked}");
    let log = server.stop().succeeded().stderr;
    let said = log.lines().find(|line| line.contains("WARN") && line.contains("of a newer version"));
    assert!(said.is_some_and(|line| line.contains(FUTURE)), "{log}");
}

#[test]
fn check_leaves_the_files_of_a_killed_server_as_they_are() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    server.signal("KILL");
    server.wait();
    // What SQLite keeps beside a log may be made anew; it is worth nothing.
    let files = || files_of(&keystead).into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect::<Vec<_>>();
    let before = files();
    assert!(before.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()));
    assert!(keystead.check().succeeded().stdout.contains("has this version's schema"));
    assert!(files() == before, "check changes nothing");
    keystead.serve().stop().succeeded();
}

#[test]
fn a_program_is_refused_with_the_reason_when_a_newer_one_took_something_away() {
    let keystead = Binary::new();
    let url = url_of(&keystead);
    keystead.run(&["migrate"]).succeeded();
    widen(connect(&url));
    for_generations_from(&url, generations::OWN);
    keystead.serve().stop().succeeded();
    take_away(&url);
    let words = [FUTURE, "took away what this one uses", "generation 1", "run the newer version"];
    for command in ["serve", "migrate"] {
        keystead.run(&[command]).refused_with(&words);
    }
    let checked = keystead.check();
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("WRONG: the database cannot be used: the database has schema"), "{checked:?}");
}

#[test]
fn a_backup_of_a_newer_schema_is_restored_unless_something_was_taken_away() {
    let keystead = Binary::on_sqlite();
    keystead.serve().stop().succeeded();
    let url = url_of(&keystead);
    widen(connect(&url));
    // Something that this program does not use any more.
    for_generations_from(&url, generations::OWN);
    keystead.run(&["backup", "added"]).succeeded();
    take_away(&url);
    keystead.run(&["restore", "added"]).succeeded();
    keystead.serve().stop().succeeded();
    take_away(&url);
    std::fs::copy(keystead.data_dir().join("keystead.db"), keystead.folder().join("taken")).unwrap();
    keystead.run(&["restore", "taken"]).refused_with(&[FUTURE, "took away what this one uses"]);
}

/// The migrations of a newer version: this one's, and one that takes something away.
fn newer_migrations(database: &TestDatabase) -> FileBasedMigrations {
    let (row, oldest) = (generations::OLDEST, generations::OWN + 1);
    let sql = format!("INSERT INTO installation (name, value) VALUES ('{row}', '{oldest}');\nDROP TABLE form_tokens;");
    migrations_and(database, &sql)
}

/// This program's, and one of a newer version.
fn migrations_and(database: &TestDatabase, sql: &str) -> FileBasedMigrations {
    let dialect = if database.is_postgres() { "postgres" } else { "sqlite" };
    let folder = database.folder().join("migrations");
    for (name, sql) in upgrades::migrations(dialect) {
        std::fs::create_dir_all(folder.join(&name)).unwrap();
        std::fs::write(folder.join(name).join("up.sql"), sql).unwrap();
    }
    let newer = folder.join("2099-12-31-000000_newer");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(newer.join("up.sql"), sql).unwrap();
    FileBasedMigrations::from_path(folder).unwrap()
}

#[tokio::test]
async fn on_postgres_nothing_is_taken_away_while_a_node_runs_that_uses_it() {
    TestDatabase::postgres();
    let keystead = Binary::new();
    let url = url_of(&keystead);
    let server = keystead.serve();
    let maya = server.set_up().await;
    until("the node is known", async || count(&url, "nodes WHERE renewal > 0") == 1).await;
    let newer = newer_migrations(keystead.database());
    let migrate = |url: &DatabaseUrl| {
        let (mut conn, newer) = (connect(url), newer.clone());
        on_own_thread(move || migrations::run_from(&mut conn, || newer.clone(), Duration::ZERO))
    };
    let refused = migrate(&url).unwrap_err();
    assert!(matches!(&refused, MigrationError::InUse(node) if node.starts_with("nod_")), "{refused}");
    maya.create_key("Production").await;
    server.stop().succeeded();
    assert_eq!(migrate(&url).unwrap().ran, 1);
    keystead.run(&["serve"]).refused_with(&[FUTURE, "took away what this one uses"]);
}

/// What is taken away already keeps nobody.
#[test]
fn on_postgres_a_start_that_changes_nothing_does_not_wait_for_older_nodes() {
    TestDatabase::postgres();
    let keystead = Binary::new();
    keystead.run(&["migrate"]).succeeded();
    for_generations_from(&url_of(&keystead), generations::OWN);
    let columns = "(id, started_at, applied_epoch, renewal, lease_ms, lease_until, generation)";
    keystead.database().execute(&format!(
        "INSERT INTO nodes {columns} VALUES ('nod_older', 0, 0, 0, 10000, 9999999999999, {})",
        generations::OWN - 1
    ));
    keystead.run(&["migrate"]).succeeded();
}

#[test]
fn a_migration_that_fails_is_said_to_have_failed_and_leaves_nothing_behind() {
    let database = TestDatabase::fresh();
    let broken =
        migrations_and(&database, "CREATE TABLE half (id TEXT PRIMARY KEY NOT NULL);\nDROP TABLE no_such_table;");
    let mut conn = database.connect();
    on_own_thread(move || {
        let failed = migrations::run_from(&mut conn, || broken.clone(), Duration::ZERO).unwrap_err();
        assert!(matches!(&failed, MigrationError::Failed(words) if words.contains("no_such_table")), "{failed}");
        sql_query("SELECT * FROM half").execute(&mut conn).unwrap_err();
    });
}

fn count(url: &DatabaseUrl, from: &str) -> i64 {
    let (mut conn, sql) = (connect(url), format!("SELECT count(*) AS n FROM {from}"));
    on_own_thread(move || sql_query(sql).get_result::<Number>(&mut conn).unwrap().n)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[tokio::test]
async fn on_postgres_a_program_that_runs_says_so_and_answers_nobody_once_what_it_follows_was_taken_away() {
    let database = TestDatabase::postgres();
    let url = DatabaseUrl::Postgres(database.url().unwrap());
    let app = TestApp::start_on(database, |_| {}).await;
    let key = app.admin().await.create_key("Production").await;
    take_away(&url);
    // What it follows by breaks, as it does when a table is gone: it connects again, and finds the reason.
    app.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .await;
    until("it does not follow any more", async || app.site.follower.progress().trouble.is_some()).await;
    app.clock.pass(chrono::TimeDelta::minutes(1));
    // One that did not ask would be back with the first try.
    let failures = || app.site.follower.progress().failures;
    let before = failures();
    until("it has tried again three times", async || failures() >= before + 3).await;
    assert_eq!(app.ask_about(&key.secret).await.status, 503, "the lease has ended and is not renewed");
}
