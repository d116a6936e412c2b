//! The last release beside this program: its statements, as it sent them, on the schema that this program makes.
//!
//! `tests/fixtures/last-release` has its schema (the newest of its migrations), its generation, and every statement that it sent
//! in the life of `journey.rs`, per database; `record` below writes them at a release. Each statement is prepared on its schema
//! after this program's migrations and after the widest one of the future: it must find what it names, and fill what must be
//! filled. It is not executed: what a statement *means* on the newer schema (a default that misleads, a row that a newer
//! program alone knows how to write) is for whoever writes the migration to see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Mutex,
};

use diesel::{
    QueryableByName, RunQueryDsl,
    connection::{Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation},
    sql_query,
    sql_types::{Integer, Text},
};
use keystead::store::{Conn, generations, migrations};

use super::{
    journey,
    older_programs::widen,
    upgrades::{database_of, migrations as folders},
};
use crate::support::{Binary, Key, PASSWORD, Person, Server, TestApp, TestDatabase, Wire, on_own_thread, until};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/last-release")
}

/// A line `name value` of the file that says which release it is.
pub fn about(name: &str) -> String {
    let text = fs::read_to_string(folder().join("release")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("tests/fixtures/last-release/release has no {name}")).to_owned()
}

/// A statement, and the types of its parameters (Postgres).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Statement {
    types: String,
    text: String,
}

fn dialect(database: &TestDatabase) -> &'static str {
    if database.is_postgres() { "postgres" } else { "sqlite" }
}

fn statements(dialect: &str) -> Vec<Statement> {
    let text = fs::read_to_string(folder().join(format!("{dialect}.sql"))).unwrap();
    let statement = |line: &str| {
        let (types, text) = line.split_once(" | ").unwrap_or_else(|| panic!("no statement: {line}"));
        Statement { types: types.to_owned(), text: text.to_owned() }
    };
    text.lines().filter(|line| !line.starts_with("--")).map(statement).collect()
}

/// Where the last release's schema is brought to this program's, and then to what a newer one might make of it.
fn on_newer_schemas(check: impl Fn(&mut Conn, &str) + Send + Sync + 'static) {
    let database = database_of(&about("schema"), Vec::new());
    let check = std::sync::Arc::new(check);
    for stage in ["this program's schema", "the widest schema of the future"] {
        if stage != "this program's schema" {
            widen(database.connect());
        }
        let (mut conn, check) = (database.connect(), std::sync::Arc::clone(&check));
        on_own_thread(move || {
            migrations::run(&mut conn).unwrap();
            check(&mut conn, stage);
        });
    }
}

#[test]
fn the_last_releases_statements_find_what_they_name() {
    let database = TestDatabase::fresh();
    let statements = statements(dialect(&database));
    assert!(statements.len() > 50, "{} statements are recorded", statements.len());
    on_newer_schemas(move |conn, stage| {
        for Statement { types, text } in &statements {
            let types = if types == "-" { String::new() } else { format!(" ({types})") };
            let prepare = match conn {
                Conn::Sqlite(_) => format!("EXPLAIN {text}"),
                Conn::Postgres(_) => format!("PREPARE statement{types} AS {text}; DEALLOCATE statement"),
            };
            conn.batch_execute(&prepare).unwrap_or_else(|error| panic!("{stage}: {error}: {text}"));
        }
    });
}

#[derive(QueryableByName)]
struct Required {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    name: String,
}

/// Columns that every INSERT has to fill.
fn required(conn: &mut Conn) -> BTreeMap<String, BTreeSet<String>> {
    let sql = match conn {
        Conn::Sqlite(_) => {
            "SELECT m.name AS of, p.name AS name FROM sqlite_master m, pragma_table_info(m.name) p
            WHERE m.type = 'table' AND p.\"notnull\" AND p.dflt_value IS NULL"
        }
        Conn::Postgres(_) => {
            "SELECT table_name::text AS of, column_name::text AS name FROM information_schema.columns
            WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"
        }
    };
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Required { of, name } in sql_query(sql).load::<Required>(conn).unwrap() {
        tables.entry(of).or_default().insert(name);
    }
    tables
}

/// The table and the columns of an INSERT.
fn filled(statement: &str) -> Option<(String, BTreeSet<String>)> {
    let rest = statement.replace(['"', '`'], "");
    let (table, rest) = rest.strip_prefix("INSERT INTO ")?.split_once('(')?;
    let (columns, _) = rest.split_once(')')?;
    Some((table.trim().to_owned(), columns.split(',').map(|name| name.trim().to_owned()).collect()))
}

#[test]
fn the_last_releases_inserts_fill_what_must_be_filled() {
    let database = TestDatabase::fresh();
    let inserts: Vec<_> = statements(dialect(&database)).iter().filter_map(|line| filled(&line.text)).collect();
    assert!(inserts.len() > 8, "{inserts:?}");
    on_newer_schemas(move |conn, stage| {
        let required = required(conn);
        for (table, columns) in &inserts {
            let missing: Vec<_> = required[table].difference(columns).collect();
            assert!(missing.is_empty(), "{stage}: the last release does not fill {missing:?} of {table}");
        }
    });
}

#[tokio::test]
async fn a_database_of_the_last_release_is_brought_up_to_date_and_serves() {
    let app = TestApp::start_on(database_of(&about("schema"), Vec::new()), |_| {}).await;
    let maya = journey::set_up(&app).await;
    journey::live(&app, &maya).await;
}

#[allow(clippy::disallowed_methods)] // told by whoever runs this
fn last_program() -> PathBuf {
    std::env::var_os("KEYSTEAD_LAST_RELEASE").expect("KEYSTEAD_LAST_RELEASE names the last release's program").into()
}

async fn code(server: &Server, key: &Key) -> String {
    let question = serde_json::json!({ "key": key.secret });
    let answer = server.anonymous().post_json("/v1/keys/verify", &question).await.expect(200).json();
    answer["code"].as_str().unwrap().to_owned()
}

async fn maya_at(server: &Server) -> Person {
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    maya
}

/// The program itself, which no repository can hold: whoever releases has it.
#[tokio::test]
#[ignore = "needs the last release's program: KEYSTEAD_LAST_RELEASE=FILE"]
async fn the_last_releases_program_serves_beside_this_one_and_after_it() {
    let old = Binary::new().of_program(last_program());
    let before = old.serve();
    let maya = before.set_up().await;
    let (revoked, kept) = (maya.create_key("Revoked").await, maya.create_key("Kept").await);
    let url = old.database().url();
    let url = url.unwrap_or_else(|| format!("sqlite:{}", old.data_dir().join("keystead.db").display()));
    let pepper = old.data_dir().join("pepper");
    let new = Binary::on_sqlite().with("DATABASE_URL", &url).with("KEYSTEAD_PEPPER_FILE", pepper.to_str().unwrap());

    // It goes on while its schema changes.
    new.run(&["migrate"]).succeeded();
    maya.revoke(&revoked).await;
    let rotated = maya.rotate(&kept).await;
    let as_it_should_be = async |server: &Server| {
        for (key, expected) in [(&revoked, "REVOKED"), (&kept, "ROTATED"), (&rotated, "VALID")] {
            until(expected, async || code(server, key).await == expected).await;
        }
    };
    as_it_should_be(&before).await;
    if old.database().is_postgres() {
        let beside = new.serve();
        as_it_should_be(&beside).await;
        let there = maya_at(&beside).await;
        for (one, maker, other, ender) in [(&before, &maya, &beside, &there), (&beside, &there, &before, &maya)] {
            let key = maker.create_key("Of one").await;
            until("the other one knows it", async || code(other, &key).await == "VALID").await;
            ender.revoke(&key).await;
            assert_eq!(code(one, &key).await, "REVOKED", "it was answered when both had it");
        }
        beside.stop().succeeded();
    }
    before.stop().succeeded();
    for (turn, keystead) in [&new, &old, &new].into_iter().enumerate() {
        let server = keystead.serve();
        as_it_should_be(&server).await;
        maya_at(&server).await.create_key(&format!("Turn {turn}")).await;
        server.stop().succeeded();
    }
}

// Recording: at a release, on each of the two databases,
//     cargo test --test it last_release::record -- --ignored
//     TEST_DATABASE_URL=postgres://… cargo test --test it last_release::record -- --ignored

static OF_SQLITE: Mutex<BTreeSet<Statement>> = Mutex::new(BTreeSet::new());

struct Recorder;

impl Instrumentation for Recorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let text = text.split(" -- binds: ").next().unwrap_or_default();
            note(&mut OF_SQLITE.lock().unwrap(), "-", text);
        }
    }
}

/// Not what begins, ends and limits transactions, which no schema changes.
fn note(statements: &mut BTreeSet<Statement>, types: &str, text: &str) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // A cursor is prepared by its query.
    let text = text.split_once(" CURSOR FOR ").map_or(text.clone(), |(_, query)| query.to_owned());
    let is_about_tables =
        ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|verb| text.starts_with(verb));
    // Not the tests' own, and nothing that is asked about the database itself.
    let foreign =
        ["pg_", "sqlite_", "__diesel", "SELECT;", "current_setting", " AS line", " AS n FROM", "'key_", "value + 2"];
    let is_ours = !foreign.iter().any(|words| text.contains(words));
    if is_about_tables && is_ours {
        statements.insert(Statement { types: types.to_owned(), text });
    }
}

/// The statements among the messages that a client sent: Parse, and simple queries.
fn of_messages(mut sent: &[u8], statements: &mut BTreeSet<Statement>, type_names: &BTreeMap<u32, String>) {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
    // The first message has no letter.
    sent = sent.get(number(sent) as usize..).unwrap_or_default();
    while sent.len() >= 5 {
        let (letter, end) = (sent[0], 1 + number(&sent[1..]) as usize);
        let Some(body) = sent.get(5..end) else { return };
        let mut texts = body.split(|byte| *byte == 0);
        if letter == b'P' {
            let (name, query) = (texts.next().unwrap(), texts.next().unwrap());
            let types = &body[name.len() + query.len() + 2..];
            let types = types[2..].chunks_exact(4).map(number);
            let types: Vec<&str> = types.map(|oid| type_names.get(&oid).map_or("unknown", String::as_str)).collect();
            let types = if types.is_empty() { "-".to_owned() } else { types.join(", ") };
            note(statements, &types, std::str::from_utf8(query).unwrap());
        } else if letter == b'Q' {
            note(statements, "-", std::str::from_utf8(texts.next().unwrap()).unwrap());
        }
        sent = &sent[end..];
    }
}

#[derive(QueryableByName)]
struct TypeName {
    #[diesel(sql_type = Integer)]
    oid: i32,
    #[diesel(sql_type = Text)]
    name: String,
}

fn type_names(database: &TestDatabase) -> BTreeMap<u32, String> {
    let mut conn = database.connect();
    on_own_thread(move || {
        let names = sql_query("SELECT oid::int AS oid, format_type(oid, NULL) AS name FROM pg_type WHERE oid < 10000");
        let names: Vec<TypeName> = names.load(&mut conn).unwrap();
        names.into_iter().map(|TypeName { oid, name }| (oid.cast_unsigned(), name)).collect()
    })
}

/// Does everything once, on the schema of this program, and writes down which statements that took.
#[tokio::test]
#[ignore = "writes the fixture of a release"]
async fn record() {
    let newest = folders("sqlite").pop().unwrap().0;
    let database = TestDatabase::fresh();
    let dialect = dialect(&database);
    let recorded = if let Some(url) = database.url() {
        let names = type_names(&database);
        let wire = Wire::to(&url);
        wire.keep_what_is_sent();
        let url = wire.url();
        let app = TestApp::start_on(database, |settings| settings.database = url).await;
        let maya = journey::set_up(&app).await;
        journey::live(&app, &maya).await;
        drop(app);
        let mut recorded = BTreeSet::new();
        wire.sent().iter().for_each(|sent| of_messages(sent, &mut recorded, &names));
        recorded
    } else {
        set_default_instrumentation(|| Some(Box::new(Recorder))).unwrap();
        let app = TestApp::start_on(database, |_| {}).await;
        let maya = journey::set_up(&app).await;
        journey::live(&app, &maya).await;
        drop(app);
        std::mem::take(&mut *OF_SQLITE.lock().unwrap())
    };
    let mut text =
        "-- Statements of the last release: types of the parameters | text. See tests/it/store/last_release.rs.\n"
            .to_owned();
    for Statement { types, text: statement } in &recorded {
        text += &format!("{types} | {statement}\n");
    }
    fs::create_dir_all(folder()).unwrap();
    fs::write(folder().join(format!("{dialect}.sql")), text).unwrap();
    let release = format!("schema {newest}\ngeneration {}\n", generations::OWN);
    fs::write(folder().join("release"), release).unwrap();
}
