//! A database for one test: a file in a temporary folder, or a fresh database on a Postgres server.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use diesel::RunQueryDsl;
use keystead::store::connection::{Conn, DatabaseUrl};
use tempfile::TempDir;

/// Removed with everything in it on drop.
pub struct TestDatabase {
    folder: TempDir,
    postgres: Option<Postgres>,
}

struct Postgres {
    server: String,
    name: String,
}

#[allow(clippy::disallowed_methods)] // tests are told where Postgres is by their environment
fn postgres_server() -> Option<String> {
    std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty())
}

impl TestDatabase {
    /// On whatever this run of the suite is about.
    pub fn fresh() -> Self {
        if postgres_server().is_some() { Self::postgres() } else { Self::sqlite() }
    }

    pub fn sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), postgres: None }
    }

    /// For a test that is about Postgres. Without a server the test fails: a green that did not run is red.
    pub fn postgres() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = postgres_server().expect(
            "this test is about Postgres: set TEST_DATABASE_URL=postgres://…, or run tests/run, which brings one",
        );
        let name = format!("keystead_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        execute_on(&server, format!("CREATE DATABASE {name}"));
        Self { folder: tempfile::tempdir().unwrap(), postgres: Some(Postgres { server, name }) }
    }

    /// For `DATABASE_URL`; `None` for the default, a file in the data directory.
    pub fn url(&self) -> Option<String> {
        self.postgres.as_ref().map(|postgres| in_database(&postgres.server, &postgres.name))
    }

    pub fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// The data directory: the pepper is here, and on SQLite the database.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn sqlite_file(&self) -> PathBuf {
        assert!(!self.is_postgres(), "this test is about SQLite");
        self.folder.path().join("keystead.db")
    }

    /// A connection of one's own, beside those of the server.
    pub fn connect(&self) -> Conn {
        let url = match self.url() {
            Some(url) => DatabaseUrl::Postgres(url),
            None => DatabaseUrl::Sqlite(self.sqlite_file()),
        };
        on_own_thread(move || url.connect().unwrap())
    }

    /// The first column, called `line`, of every row, on a connection of its own.
    pub fn lines(&self, sql: &str) -> Vec<String> {
        let (mut conn, sql) = (self.connect(), sql.to_owned());
        let lines: Vec<Line> = on_own_thread(move || diesel::sql_query(sql).load(&mut conn).unwrap());
        lines.into_iter().map(|line| line.line).collect()
    }

    /// Runs a statement on a connection of its own.
    pub fn execute(&self, sql: &str) {
        let (mut conn, sql) = (self.connect(), sql.to_owned());
        on_own_thread(move || diesel::sql_query(sql).execute(&mut conn).unwrap());
    }
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(Postgres { server, name }) = self.postgres.take() {
            execute_on(&server, format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

/// The URL of another database on the same server.
fn in_database(server: &str, name: &str) -> String {
    let (before, query) = server.split_once('?').map_or((server, None), |(before, query)| (before, Some(query)));
    let (scheme, rest) = before.split_once("://").expect("TEST_DATABASE_URL is a URL");
    let authority = rest.split('/').next().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{authority}/{name}{query}")
}

fn execute_on(server: &str, sql: String) {
    let url = DatabaseUrl::Postgres(server.to_owned());
    on_own_thread(move || {
        let mut conn = url.connect().expect("TEST_DATABASE_URL can be reached");
        diesel::sql_query(sql).execute(&mut conn).unwrap();
    });
}

/// A Postgres connection must not be used on a thread that runs async code.
pub fn on_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}
