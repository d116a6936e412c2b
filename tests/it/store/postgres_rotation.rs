//! The password of a role is changed, or the role itself, while a server runs: what `DATABASE_URL_FILE` says then is what new
//! connections are made with. On a Postgres of its own, that checks passwords.

use std::{
    fs,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use diesel::{RunQueryDsl, sql_query};
use keystead::{
    config::Settings,
    store::{StoreError, notifications::Listener},
};

use super::postgres_connections::open_connections;
use crate::{
    cluster::postgres::OwnPostgres,
    support::{Binary, Person, Server, TestApp, TestDatabase, on_own_thread},
};

const HBA: &str = "local all all trust\nhost all all all scram-sha-256\n";

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Rotated {
    postgres: OwnPostgres,
    pub keystead: Binary,
}

impl Rotated {
    /// With the roles `one` and `two`, who have the rights of a server, and the passwords `pw-first` and `pw-second`.
    fn start() -> Self {
        Self::start_with("KEYSTEAD_DRAIN_SECS", "0")
    }

    /// The same with a variable.
    pub fn start_with(name: &str, value: &str) -> Self {
        TestDatabase::postgres();
        let postgres = OwnPostgres::start();
        fs::write(postgres.folder().join("db/pg_hba.conf"), HBA).unwrap();
        let keystead = Binary::on_sqlite().with("DATABASE_URL_FILE", "url").with(name, value);
        let rotated = Self { postgres, keystead };
        for sql in [
            "CREATE ROLE owner LOGIN PASSWORD 'pw-owner'",
            "CREATE ROLE one LOGIN PASSWORD 'pw-first'",
            "CREATE ROLE two LOGIN PASSWORD 'pw-second'",
            "CREATE DATABASE keys OWNER owner",
            "SELECT pg_reload_conf()",
        ] {
            assert!(rotated.sql("postgres", sql), "{sql}");
        }
        rotated.write("owner", "pw-owner", "keys");
        rotated.keystead.run(&["migrate"]).succeeded();
        let rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO one, two";
        assert!(rotated.sql("keys", rights));
        rotated.write("one", "pw-first", "keys");
        rotated
    }

    /// Runs a statement as the superuser, who needs no password; whether it succeeded.
    pub fn sql(&self, database: &str, sql: &str) -> bool {
        let folder = self.postgres.folder().display();
        let port = self.postgres.port();
        self.postgres.shell(&format!("psql -X -h {folder} -p {port} -U postgres -c \"{sql}\" {database}"))
    }

    /// As an orchestrator does it: a new file takes the place of the old one.
    fn write(&self, role: &str, password: &str, database: &str) {
        let (new, file) = (self.keystead.folder().join("new"), self.keystead.folder().join("url"));
        let port = self.postgres.port();
        fs::write(&new, format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    pub fn end_all_connections(&self) {
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('one', 'two')";
        assert!(self.sql("postgres", ended));
    }

    /// Waits until pages and the follower are well.
    async fn is_well(&self, server: &Server, maya: &Person) {
        let begun = Instant::now();
        loop {
            let [page, ready] =
                [maya.get("/settings/integrations").await.status, maya.get("/readyz/pages").await.status];
            if (page, ready) == (200, 200) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not well ({page}, {ready}): {}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub async fn wait_for_lines(server: &Server, words: &str, count: usize) {
    let begun = Instant::now();
    while server.log().matches(words).count() < count {
        assert!(begun.elapsed() < PATIENCE, "{words:?} is not {count} times in {}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_password_and_a_role_that_are_changed_under_a_running_server_need_no_restart() {
    const LOST: &str = "changes of keys cannot be followed";
    const AGAIN: &str = "changes of keys are followed again";
    const USED: &str = "what DATABASE_URL_FILE says now";
    const PASSED_OVER: &str = "DATABASE_URL_FILE is not used";
    let rotated = Rotated::start();
    let server = rotated.keystead.serve();
    let maya = server.set_up().await;
    rotated.is_well(&server, &maya).await;

    // Another password: first in the database, then in the file.
    assert!(rotated.sql("postgres", "ALTER ROLE one PASSWORD 'pw-third'"));
    rotated.end_all_connections();
    wait_for_lines(&server, LOST, 1).await;
    assert_eq!(server.log().matches(USED).count(), 0);
    rotated.write("one", "pw-third", "keys");
    wait_for_lines(&server, AGAIN, 1).await;
    rotated.is_well(&server, &maya).await;
    assert_eq!(server.log().matches(USED).count(), 1);

    // A file that is gone, and one that names another database: as before, and a line for each.
    fs::remove_file(rotated.keystead.folder().join("url")).unwrap();
    for (database, lines) in [("keys", 1), ("postgres", 2)] {
        if database != "keys" {
            rotated.write("one", "pw-third", database);
        }
        for _ in 0..2 {
            rotated.end_all_connections();
            rotated.is_well(&server, &maya).await;
        }
        wait_for_lines(&server, PASSED_OVER, lines).await;
    }
    assert_eq!(server.log().matches(PASSED_OVER).count(), 2, "{}", server.log());

    // Another role. The one before loses its rights under connections that stay open.
    rotated.write("two", "pw-second", "keys");
    assert!(rotated.sql("keys", "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM one"));
    rotated.is_well(&server, &maya).await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;

    let log = server.stop().succeeded().stderr;
    for secret in ["pw-", "one:"] {
        assert!(!log.contains(secret), "{secret} is logged: {log}");
    }
}

#[tokio::test]
async fn notifications_come_again_with_the_new_password() {
    let rotated = Rotated::start();
    let file = rotated.keystead.folder().join("url");
    let mut settings = Settings::default();
    settings.database = fs::read_to_string(&file).unwrap().trim().to_owned();
    settings.database_url_file = file.to_str().unwrap().to_owned();
    let address = settings.check().unwrap().database_address();
    let (sender, woken) = mpsc::channel();
    // It wakes once for each connection on which it listens.
    let _listener = Listener::start(&address, &Arc::default(), move || _ = sender.send(())).unwrap();
    on_own_thread(move || {
        woken.recv_timeout(PATIENCE).unwrap();
        assert!(rotated.sql("postgres", "ALTER ROLE one PASSWORD 'pw-third'"));
        rotated.write("one", "pw-third", "keys");
        rotated.end_all_connections();
        woken.recv_timeout(PATIENCE).unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_of_a_role_that_lost_its_rights_are_left_one_by_one() {
    let rotated = Rotated::start();
    let file = rotated.keystead.folder().join("url");
    let app = TestApp::start_on(TestDatabase::sqlite(), |settings| {
        settings.database = fs::read_to_string(&file).unwrap().trim().to_owned();
        settings.database_url_file = file.to_str().unwrap().to_owned();
    })
    .await;
    open_connections(&app, 4).await;
    rotated.write("two", "pw-second", "keys");
    assert!(rotated.sql("keys", "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM one"));
    let change = || {
        app.site.db.write(|conn| {
            sql_query("UPDATE installation SET value = value").execute(conn)?;
            Ok::<_, StoreError>(())
        })
    };
    let (mut refused, begun) = (0, Instant::now());
    while let Err(error) = change().await {
        // While the follower has no connection, nobody else gets a new one.
        refused += usize::from(error.to_string().contains("SQLSTATE 42501"));
        assert!(refused <= 8, "connections are used again and again");
        assert!(begun.elapsed() < PATIENCE, "{error}");
    }
}
