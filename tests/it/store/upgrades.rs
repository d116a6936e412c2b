//! Migrations only add, and what a database of an earlier schema holds is there afterwards.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use keystead::{
    domain::{
        pepper::Pepper,
        secret::{KeyPrefix, Secret},
    },
    store::generations,
};

use super::last_release;
use crate::support::{PASSWORD, TestApp, TestDatabase, on_own_thread};

/// The newest migration of the time before the rule below.
const BEFORE_THE_RULE: &str = "2026-11-27";

pub fn migrations(dialect: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect);
    let mut found: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path.join("up.sql")).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// What keeps a program that knows nothing of a statement from running beside it, or keeps everybody waiting for a lock. A
/// comment that begins with `-- allowed:` and the reason, above the statement, excuses it; where something is taken away, only
/// beside the generation of programs that does not miss it.
fn faults(sql: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let oldest = oldest_generation(sql);
    // What a comment says may have semicolons too.
    let lines = sql
        .lines()
        .map(|line| if line.trim_start().starts_with("--") { line.replace(';', ",") } else { line.to_owned() });
    let sql = lines.collect::<Vec<_>>().join("\n");
    for statement in sql.split(';') {
        let is_allowed = statement.lines().any(|line| line.starts_with("-- allowed: "));
        let says_of_locks = statement.to_lowercase().contains("lock");
        let words = words(statement);
        let has = |needle: &str| words.contains(needle);
        let begins = |needle: &str| words.starts_with(needle);
        let has_any = |needles: &[&str]| needles.iter().any(|needle| has(needle));
        let default = words.split_once(" DEFAULT ").map_or("", |(_, default)| default);
        // It only lets rows in; what an old program makes of those, whoever writes them has to think of.
        let is_looser = begins("ALTER TABLE ") && words.ends_with(" DROP NOT NULL") && !words.contains(',');
        let taken_away = if is_looser {
            None
        } else if begins("DROP ") || has(" DROP ") {
            Some("an old program still uses it")
        } else if has(" RENAME ") {
            Some("an old program knows it by its old name")
        } else if begins("ALTER TYPE ") || has(" ALTER ") {
            Some("it rewrites the table, or forbids what an old program writes")
        } else if has(" ADD COLUMN ") && has(" NOT NULL") && default.is_empty() {
            Some("an old program does not fill it")
        } else if begins("CREATE UNIQUE INDEX") || begins("CREATE TRIGGER") {
            Some("it may refuse or change what an old program writes")
        } else if begins("CREATE TABLE ") && has(" REFERENCES ") && !has(" ON DELETE CASCADE") && !is_older(&words) {
            Some("an old program can no longer delete the rows that these point to")
        } else {
            None
        };
        let reason = if taken_away.is_some() && is_allowed && oldest.is_none() {
            "it has to say from which generation of programs on nobody misses it (CONTRIBUTING.md)"
        } else if let Some(reason) = taken_away {
            reason
        } else if is_looser {
            "an old program may not read a row without it; say when such a row is written"
        } else if has(" ADD COLUMN ")
            && (has_any(&[" GENERATED ", " SERIAL"]) || default.contains('(') || begins_with_now(default))
        {
            "it rewrites the table under an exclusive lock"
        } else if has_any(&[
            " ADD CONSTRAINT",
            " ADD CHECK",
            " ADD UNIQUE",
            " ADD PRIMARY",
            " ADD FOREIGN",
            " VALIDATE ",
        ]) || (has(" ADD COLUMN ") && has_any(&[" REFERENCES ", " UNIQUE", " CHECK "]))
        {
            "it reads the whole table under a lock"
        } else if ["CLUSTER", "VACUUM", "REINDEX", "TRUNCATE", "LOCK "].iter().any(|verb| begins(verb))
            || has_any(&[" SET LOGGED", " SET UNLOGGED", " SET TABLESPACE", " SET ACCESS METHOD"])
        {
            "it keeps everybody from the whole table until it is done"
        } else if begins("UPDATE ") || begins("DELETE ") {
            "it holds the locks of every row until the end; let the worker do it in pieces"
        } else if (begins("INSERT ") || begins("CREATE TABLE ")) && has(" SELECT ") {
            "it reads a table of any size while locks are held; let the worker do it in pieces"
        } else if begins("ALTER TABLE ") && adds_in_short(&words) {
            "ADD COLUMN, in full: this rule knows columns by that word"
        } else if begins("CREATE INDEX") && !says_of_locks {
            "a comment has to say how long it locks its table against writes"
        } else {
            continue;
        };
        if !is_allowed || (taken_away.is_some() && oldest.is_none()) {
            faults.push(format!("{reason}: {words}"));
        }
    }
    faults
}

/// A table that is older than the rule about what it points to: organizations, which nobody deletes.
fn is_older(words: &str) -> bool {
    words.starts_with("CREATE TABLE ORGANIZATION_TODAY ")
}

/// A statement without its comments, in capitals and one line.
fn words(statement: &str) -> String {
    let lines = statement.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").to_uppercase()
}

/// Whether a column is added without the word, which SQL does not need.
fn adds_in_short(words: &str) -> bool {
    let said = ["COLUMN ", "CONSTRAINT ", "CHECK", "UNIQUE", "PRIMARY ", "FOREIGN "];
    words.split(" ADD ").skip(1).any(|rest| !said.iter().any(|word| rest.starts_with(word)))
}

/// What is worked out anew for each row, though it has no parentheses.
fn begins_with_now(default: &str) -> bool {
    default.starts_with("CURRENT_") || default.starts_with("LOCALTIME")
}

/// The oldest generation of programs that may go on after this migration, if it says so.
fn oldest_generation(sql: &str) -> Option<i64> {
    let (_, rest) = sql.split_once(&format!("'{}', '", generations::OLDEST))?;
    rest.split('\'').next()?.parse().ok()
}

#[test]
fn migrations_only_add() {
    for dialect in ["sqlite", "postgres"] {
        for (name, sql) in migrations(dialect).into_iter().filter(|(name, _)| &name[..10] > BEFORE_THE_RULE) {
            // A table that this migration makes is nobody's yet.
            assert_eq!(faults(&sql), Vec::<String>::new(), "migrations/{dialect}/{name}: CONTRIBUTING.md has the rule");
        }
    }
}

#[test]
fn what_is_taken_away_the_last_release_does_not_miss() {
    let of_last_release: i64 = last_release::about("generation").parse().unwrap();
    assert!(
        (of_last_release..=of_last_release + 1).contains(&generations::OWN),
        "one more in each release, or the same"
    );
    for dialect in ["sqlite", "postgres"] {
        let mut newest = 0;
        for (name, sql) in migrations(dialect) {
            let Some(oldest) = oldest_generation(&sql) else { continue };
            assert!(oldest >= newest, "{name}: what was refused once is not let in again");
            // Otherwise nobody could go from one release to the next without stopping every node.
            assert!(oldest <= of_last_release, "{name}: the last release has generation {of_last_release}");
            newest = oldest;
        }
    }
}

#[test]
fn the_rule_sees_what_it_is_for() {
    for refused in [
        "DROP TABLE a",
        "DROP INDEX a",
        "ALTER TABLE a DROP COLUMN b",
        "ALTER TABLE a DROP CONSTRAINT b",
        "ALTER TABLE a DROP b",
        "ALTER TABLE a ALTER b TYPE BIGINT",
        "ALTER TYPE a ADD VALUE 'b'",
        "ALTER TABLE a ADD b TEXT NOT NULL",
        "ALTER TABLE a ADD b TEXT",
        "ALTER TABLE a ADD COLUMN b BIGINT, ADD c TEXT",
        "ALTER TABLE a ADD COLUMN b SERIAL",
        "ALTER TABLE a ADD COLUMN b TEXT UNIQUE",
        "ALTER TABLE a ADD COLUMN b BIGINT CHECK (b > 0)",
        "ALTER TABLE a ADD UNIQUE (b)",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c (d)",
        "CLUSTER a USING b",
        "VACUUM FULL a",
        "ALTER TABLE a SET LOGGED",
        "ALTER TABLE a SET UNLOGGED",
        "ALTER TABLE a SET ACCESS METHOD heap",
        "ALTER TABLE a RENAME TO b",
        "alter table a\n rename column b to c",
        "ALTER TABLE a ALTER COLUMN b TYPE BIGINT",
        "ALTER TABLE a ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE a ALTER COLUMN b DROP NOT NULL",
        "-- allowed: c is not used.\nALTER TABLE a DROP COLUMN c, ALTER COLUMN b DROP NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL",
        "ALTER TABLE a ADD COLUMN b BIGINT GENERATED BY DEFAULT AS IDENTITY",
        "ALTER TABLE a ADD COLUMN b TEXT REFERENCES c (d)",
        "ALTER TABLE a ADD CONSTRAINT b CHECK (c > 0)",
        "CREATE UNIQUE INDEX a ON b (c)",
        "CREATE INDEX a ON b (c)",
        "UPDATE a SET b = 1",
        "DELETE FROM a",
        "CREATE TRIGGER a AFTER INSERT ON b BEGIN SELECT 1",
        "-- Drops nothing.\nCREATE TABLE a (b TEXT);\nDROP TABLE c",
        "-- allowed: nothing has read it since version 3.\nDROP TABLE a",
        "-- allowed: every row has it.\nALTER TABLE a ALTER COLUMN b SET NOT NULL",
        "ALTER TABLE a ADD COLUMN b TEXT DEFAULT md5(random()::text)",
        "ALTER TABLE a ADD COLUMN b TIMESTAMPTZ DEFAULT current_timestamp",
        "ALTER TABLE a ADD CHECK (b > 0)",
        "ALTER TABLE a ADD PRIMARY KEY (b)",
        "ALTER TABLE a VALIDATE CONSTRAINT b",
        "ALTER TABLE a SET TABLESPACE b",
        "REINDEX TABLE a",
        "LOCK TABLE a",
        "CREATE TABLE a (b TEXT NOT NULL REFERENCES c (d))",
        "TRUNCATE a",
        "INSERT INTO a (b) SELECT c FROM d",
        "CREATE TABLE a AS SELECT * FROM b",
    ] {
        assert_eq!(faults(refused).len(), 1, "{refused}");
    }
    for good in [
        "CREATE TABLE a (b TEXT NOT NULL, PRIMARY KEY (b))",
        "CREATE TABLE a (b TEXT NOT NULL REFERENCES c (d) ON DELETE CASCADE)",
        "ALTER TABLE a ADD COLUMN b BIGINT",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT ''",
        "-- It locks a table of ten rows.\nCREATE INDEX a ON b (c)",
        "INSERT INTO installation (name, value) VALUES ('oldest_generation', '3')
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
        \n-- allowed: nothing has read it since version 3.\nDROP TABLE a",
        "-- allowed: no row is without it before the next release.\nALTER TABLE a ALTER COLUMN b DROP NOT NULL",
        "-- allowed: it has ten rows.\nUPDATE a SET b = 1",
        "-- A comment; it goes on. ALTER TABLE a DROP b.\nALTER TABLE a ADD COLUMN b BIGINT",
        "INSERT INTO a (b) VALUES (1)",
        "-- DROP TABLE a",
    ] {
        assert_eq!(faults(good), Vec::<String>::new(), "{good}");
    }
}

/// A database as a program of an earlier time left it: migrated up to this folder, and with these rows.
pub fn database_of(up_to: &str, rows: Vec<String>) -> TestDatabase {
    filled(TestDatabase::fresh(), up_to, rows)
}

/// The same in SQLite, without rows.
pub fn database_of_sqlite(up_to: &str) -> TestDatabase {
    filled(TestDatabase::sqlite(), up_to, Vec::new())
}

fn filled(database: TestDatabase, up_to: &str, rows: Vec<String>) -> TestDatabase {
    let mut conn = database.connect();
    let dialect = if database.is_postgres() { "postgres" } else { "sqlite" };
    let up_to = up_to.to_owned();
    on_own_thread(move || {
        let mut execute = |sql: &str| {
            use diesel::connection::SimpleConnection;
            conn.batch_execute(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        };
        execute(
            "CREATE TABLE __diesel_schema_migrations (
                version VARCHAR(50) PRIMARY KEY NOT NULL,
                run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
            )",
        );
        for (name, sql) in migrations(dialect).into_iter().filter(|(name, _)| *name <= up_to) {
            execute(&sql);
            let version: String = name.split('_').next().unwrap().chars().filter(char::is_ascii_digit).collect();
            execute(&format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}')"));
        }
        rows.iter().for_each(|sql| execute(sql));
    });
    fs::write(database.folder().join("pepper"), PEPPER).unwrap();
    fs::set_permissions(database.folder().join("pepper"), fs::Permissions::from_mode(0o600)).unwrap();
    database
}

const PEPPER: [u8; 32] = *b"a pepper of thirty-two bytes ...";
/// 2026-11-23 06:00 UTC, the hour in which tests begin.
const HOUR: i64 = 1_795_413_600_000;

/// An organization with an admin and two keys, one of them revoked; and the living key's secret.
fn rows(dialect: &str) -> (Vec<String>, String) {
    let pepper = Pepper::new(PEPPER);
    let secrets: Vec<_> =
        (0..2).map(|_| Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap()).collect();
    let digests: Vec<String> = secrets
        .iter()
        .map(|secret| pepper.digest(secret.as_presented()).0.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    let blob = |hex: &str| if dialect == "sqlite" { format!("x'{hex}'") } else { format!("'\\x{hex}'") };
    let (org, user) = ("org_2wfr1fypcw3QC6quBxj2XRcuRGq", "usr_2wfr1fypcw3QC6quBxj2XRcuRGq");
    let keys = ["key_2wfr1fypcw3QC6quBxj2XRcuRG0", "key_2wfr1fypcw3QC6quBxj2XRcuRG1"];
    let mut rows = vec![
        format!("INSERT INTO organizations VALUES ('{org}', 'Acme', 1)"),
        format!(
            "INSERT INTO users (id, email, email_folded, name, password_hash, created_at)
            VALUES ('{user}', 'a@b.example', 'a@b.example', 'Maya', '', 1)"
        ),
        format!("INSERT INTO memberships VALUES ('{org}', '{user}', 'admin', 1)"),
    ];
    for (n, (id, digest)) in keys.iter().zip(&digests).enumerate() {
        let ended = if n == 0 { "NULL" } else { "1795400000000" };
        rows.push(format!(
            "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, revoked_at, version)
            VALUES ('{id}', '{org}', 'Key {n}', 'key {n}', 'talvin_live', 'x9Kq', '{user}', 1, {ended}, {n} + 1)"
        ));
        rows.push(format!("INSERT INTO key_secrets VALUES ({}, 'apikey/v1', '{id}', 1, {ended})", blob(digest)));
        rows.push(format!(
            "INSERT INTO audit_events (id, organization_id, at, action, actor_kind, key_id)
            VALUES ('evt_{n}', '{org}', 1, 'key.created', 'user', '{id}')"
        ));
        rows.push(format!("INSERT INTO key_changes (epoch, key_id) VALUES ({n} + 1, '{id}')"));
        rows.push(format!("INSERT INTO key_usage VALUES ('{id}', 86400, {}, 'VALID', 40)", HOUR - 6 * 3_600_000));
    }
    rows.push("UPDATE key_epoch SET value = 2".to_owned());
    (rows, secrets[0].expose().to_owned())
}

async fn is_whole(app: &TestApp, secret: &str) {
    assert_eq!(app.verify(secret).await, "VALID");
    for (table, count) in [
        ("organizations", 1),
        ("users", 1),
        ("memberships", 1),
        ("api_keys", 2),
        ("key_secrets", 2),
        ("key_changes", 2),
    ] {
        assert_eq!(app.count(table).await, count, "{table}");
    }
    assert_eq!(app.count("audit_events WHERE action = 'key.created'").await, 2);
    let numbers = app.lines("SELECT CAST(count(DISTINCT number) AS TEXT) AS line FROM api_keys WHERE number > 0").await;
    assert_eq!(numbers, ["2"], "each key has a number of its own");
    // Of each key what was counted in an hour that is open, with its last use.
    let open = "SELECT CAST(count AS TEXT) || ' ' || id || ' ' || address AS line
        FROM key_usage_open JOIN api_keys ON number = key_number ORDER BY id";
    let open = app.lines(open).await;
    assert_eq!(
        open,
        ["7 key_2wfr1fypcw3QC6quBxj2XRcuRG0 203.0.113.80", "8 key_2wfr1fypcw3QC6quBxj2XRcuRG1 203.0.113.80"]
    );
    assert_eq!(app.count("key_usage WHERE seconds = 86400 AND count = 40").await, 2);
}

#[tokio::test]
async fn a_database_from_before_keys_had_numbers_keeps_all_its_rows_and_counts() {
    let dialect = if TestDatabase::fresh().is_postgres() { "postgres" } else { "sqlite" };
    let (mut rows, secret) = rows(dialect);
    for (n, id) in ["key_2wfr1fypcw3QC6quBxj2XRcuRG0", "key_2wfr1fypcw3QC6quBxj2XRcuRG1"].iter().enumerate() {
        rows.push(format!(
            "INSERT INTO key_usage_open (starts_at, key_id, code, count, at, address)
            VALUES ({HOUR}, '{id}', 'VALID', {n} + 7, {HOUR}, '203.0.113.80')"
        ));
    }
    let database = database_of("2026-11-23-000002_last_use_beside_counts", rows);
    let app = TestApp::start_on(database, |_| {}).await;
    is_whole(&app, &secret).await;
}

#[tokio::test]
async fn a_database_of_2026_11_27_keeps_all_its_rows_and_counts() {
    let dialect = if TestDatabase::fresh().is_postgres() { "postgres" } else { "sqlite" };
    let (mut rows, secret) = rows(dialect);
    for n in 0..2 {
        rows.push(format!(
            "INSERT INTO key_usage_open (starts_at, key_number, code, count, at, address)
            SELECT {HOUR}, number, 'VALID', {n} + 7, {HOUR}, '203.0.113.80' FROM api_keys WHERE name = 'Key {n}'"
        ));
    }
    let database = database_of("2026-11-27-000000_key_numbers", rows);
    let app = TestApp::start_on(database, |_| {}).await;
    is_whole(&app, &secret).await;
}

/// Events of before are numbered in the order of their times, and then those of a program that knows nothing of numbers.
#[tokio::test]
async fn audit_events_without_a_number_get_one_in_their_order() {
    const IDS: &str = "SELECT id AS line FROM audit_events WHERE id LIKE 'evt\\_%\\_old' ESCAPE '\\' ORDER BY seq";
    let event = |name: &str, at: i64| {
        format!(
            "INSERT INTO audit_events (id, at, action, actor_kind) VALUES ('evt_{name}_old', {at}, 'key.created', 'user')"
        )
    };
    // Not as they lie in the table.
    let rows =
        vec![event("third", HOUR + 2), event("first", HOUR), event("fourth", HOUR + 2), event("second", HOUR + 1)];
    let app = TestApp::start_on(database_of("2026-11-28-000100_created_by", rows), |_| {}).await;
    let ids = |names: &[&str]| names.iter().map(|name| format!("evt_{name}_old")).collect::<Vec<_>>();
    assert_eq!(app.lines(IDS).await, ids(&["first", "second", "third", "fourth"]));
    app.admin().await.create_key("Production").await;
    let all = app.count("audit_events").await;
    app.execute(&event("late", HOUR + 4)).await;
    app.execute(&event("later", HOUR + 3)).await;
    let app = TestApp::start_on(app.end(), |_| {}).await;
    app.anonymous().sign_in("maya@acme.example", PASSWORD).await;
    let late = if app.database.is_postgres() { ["late", "later"] } else { ["later", "late"] };
    assert_eq!(app.lines(IDS).await, ids(&["first", "second", "third", "fourth", late[0], late[1]]));
    let newest = "SELECT id AS line FROM audit_events ORDER BY seq DESC LIMIT 1";
    assert!(!app.lines(newest).await[0].ends_with("_old"), "what comes later has a higher number");
    let numbers = "SELECT CAST(count(DISTINCT seq) - count(*) AS TEXT) AS line FROM audit_events";
    assert_eq!(app.lines(numbers).await, ["0"], "each has one, and no other has it");
    assert!(app.count("audit_events").await > all + 2);
}
