//! A server for one test.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Nullable, Text},
};
use keystead::{
    actions::create_admin::{NewAdmin, Workplace, create_admin},
    app::Site,
    config::Settings,
    domain::key_record::KeyNumber,
    domain::{email::Email, ids::OrgId, name::Name, password::NewPassword},
    passwords::Passwords,
    server,
    store::{Conn, StoreError},
};
use serde_json::json;

use super::{Answer, PASSWORD, Person, TestClock, TestDatabase};

pub struct TestApp {
    pub site: Arc<Site>,
    pub clock: Arc<TestClock>,
    pub address: SocketAddr,
    pub metrics_address: Option<SocketAddr>,
    pub set_up_link: Option<String>,
    pub database: TestDatabase,
    handle: server::Handle,
    thread: Option<JoinHandle<()>>,
}

/// One line of the audit log.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
pub struct AuditRow {
    #[diesel(sql_type = Nullable<Text>)]
    pub organization_id: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub at: i64,
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = Text)]
    pub actor_kind: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub actor_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub actor_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub key_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub key_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub user_agent: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub request_id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub seq: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub detail: Option<String>,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    line: Option<String>,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_on(TestDatabase::fresh(), |_| {}).await
    }

    /// On SQLite, whatever the rest of the suite runs on.
    pub async fn start_on_sqlite() -> Self {
        Self::start_on(TestDatabase::sqlite(), |_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_on(TestDatabase::fresh(), change).await
    }

    pub async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_at(TestClock::default(), database, change).await
    }

    /// At a time, such as a wrong one.
    pub async fn start_at(clock: TestClock, database: TestDatabase, change: impl FnOnce(&mut Settings)) -> Self {
        // Whatever the developer's environment holds, it is not looked at.
        let mut settings = Settings::default();
        settings.listen = "127.0.0.1:0".to_owned();
        settings.database = database.url().unwrap_or_default();
        settings.data_dir = database.folder().to_str().expect("a path in UTF-8").to_owned();
        change(&mut settings);
        let config = settings.check().unwrap();
        let clock = Arc::new(clock);
        let server_clock = Arc::clone(&clock);
        let (started, starting) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let running = server::start(config, server_clock).await.unwrap();
                let addresses = (running.addresses[0], running.metrics_addresses.first().copied());
                let seen = (running.site.clone(), addresses, running.set_up_link.clone(), running.handle());
                started.send(seen).ok().expect("the test waits");
                running.run().await.unwrap();
            });
        });
        let (site, (address, metrics_address), set_up_link, handle) = starting.await.expect("the server starts");
        let app = Self { site, clock, address, metrics_address, set_up_link, database, handle, thread: Some(thread) };
        app.ready().await;
        app
    }

    /// Stops it; the database stays, for another server.
    pub fn end(mut self) -> TestDatabase {
        let database = std::mem::replace(&mut self.database, TestDatabase::sqlite());
        drop(self);
        database
    }

    /// Waits until it answers verifications.
    pub async fn ready(&self) {
        let begun = std::time::Instant::now();
        while !self.site.keys.lease.is_held(self.site.clock.since_boot()) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Where the server listens, as a URL.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Somebody who has not signed in.
    pub fn anonymous(&self) -> Person {
        let public_url = &self.site.public_url;
        let origin = if public_url.is_own_origin(&self.base()) { self.base() } else { public_url.as_str().to_owned() };
        Person::new(&self.base(), &origin)
    }

    /// Maya Chen of Acme Robotics, signed in.
    pub async fn admin(&self) -> Person {
        let acme = Workplace::New(Name::parse("Acme Robotics").unwrap());
        self.signed_in(acme, "Maya Chen", "maya@acme.example").await.0
    }

    /// Jonas Weber, a colleague of whoever is in this organization, signed in.
    pub async fn second_admin(&self, organization_id: &str) -> Person {
        let acme = Workplace::Existing(OrgId::parse(organization_id).unwrap());
        self.signed_in(acme, "Jonas Weber", "jonas@acme.example").await.0
    }

    /// Olga Ray of Umbrella Foods, signed in.
    pub async fn admin_of_another_organization(&self) -> Person {
        let umbrella = Workplace::New(Name::parse("Umbrella Foods").unwrap());
        self.signed_in(umbrella, "Olga Ray", "olga@umbrella.example").await.0
    }

    /// An account, and nobody signed in; returns its organization's id.
    pub async fn account(&self, workplace: Workplace, name: &str, email: &str) -> String {
        let admin = NewAdmin {
            name: Name::parse(name).unwrap(),
            email: Email::parse(email).unwrap(),
            password: NewPassword::parse(PASSWORD.to_owned(), &[]).unwrap(),
        };
        let created = create_admin(&self.site.db, &*self.clock, &Passwords::default(), workplace, admin).await;
        created.unwrap().to_string()
    }

    async fn signed_in(&self, workplace: Workplace, name: &str, email: &str) -> (Person, String) {
        let organization_id = self.account(workplace, name, email).await;
        let mut person = self.anonymous();
        email.clone_into(&mut person.email);
        person.sign_in(email, PASSWORD).await;
        (person, organization_id)
    }

    /// Sends these bytes over a connection of its own and reads until the server closes it or is silent for a second.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let (address, bytes) = (self.address, bytes.to_vec());
        let talk = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            // The server may answer and close before it has read everything.
            let _ = stream.write_all(&bytes);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        });
        talk.await.unwrap()
    }

    /// What a service is told about a key.
    pub async fn ask_about(&self, key: &str) -> Answer {
        let request = reqwest::Client::new().post(format!("{}/v1/keys/verify", self.base()));
        Answer::read(request.json(&json!({ "key": key })).send().await.unwrap()).await
    }

    /// The code a service is told about a key, such as `VALID`.
    pub async fn verify(&self, key: &str) -> String {
        let answer = self.ask_about(key).await.expect(200).json();
        let code = answer["code"].as_str().unwrap().to_owned();
        assert_eq!(answer["valid"], code == "VALID");
        code
    }

    /// The number of rows that `SELECT count(*) FROM …` counts.
    pub async fn count(&self, from: &str) -> i64 {
        let sql = format!("SELECT count(*) AS n FROM {from}");
        let read = self
            .site
            .db
            .read::<_, StoreError>(move |conn| Ok(diesel::sql_query(sql.as_str()).get_result::<Number>(conn)?));
        read.await.unwrap().n
    }

    pub async fn execute(&self, sql: &str) {
        let sql = sql.to_owned();
        let done = self.site.db.write::<_, StoreError>(move |conn| Ok(diesel::sql_query(sql).execute(conn)?));
        done.await.unwrap();
    }

    /// All of these in one transaction, which the follower sees at once.
    pub async fn execute_all(&self, statements: &[&str]) {
        let statements: Vec<String> = statements.iter().map(|sql| (*sql).to_owned()).collect();
        let done = self.site.db.write::<_, StoreError>(move |conn| {
            statements.iter().try_for_each(|sql| Ok(diesel::sql_query(sql).execute(conn).map(drop)?))
        });
        done.await.unwrap();
    }

    /// The first column, called `line`, of every row.
    pub async fn lines(&self, sql: &str) -> Vec<String> {
        let sql = sql.to_owned();
        let read =
            self.site.db.read::<_, StoreError>(move |conn| Ok(diesel::sql_query(sql.as_str()).load::<Line>(conn)?));
        read.await.unwrap().into_iter().filter_map(|line| line.line).collect()
    }

    /// What the usage of a key is written by.
    pub async fn key_number(&self, id: &str) -> KeyNumber {
        let number = self.lines(&format!("SELECT CAST(number AS TEXT) AS line FROM api_keys WHERE id = '{id}'")).await;
        KeyNumber(number.first().expect("a key with this id").parse().unwrap())
    }

    /// The audit log in the order of writing.
    pub async fn audit(&self) -> Vec<AuditRow> {
        let read = self.site.db.read::<_, StoreError>(|conn| {
            let order = match conn {
                Conn::Sqlite(_) => "rowid",
                Conn::Postgres(_) => "ctid",
            };
            Ok(diesel::sql_query(format!("SELECT * FROM audit_events ORDER BY {order}")).load(conn)?)
        });
        read.await.unwrap()
    }

    /// The actions of the audit log in the order of writing.
    pub async fn audited(&self) -> Vec<String> {
        self.audit().await.into_iter().map(|row| row.action).collect()
    }

    /// Everything the database holds, as text, to look for what must not be in it.
    pub async fn everything_stored(&self) -> String {
        let mut all = String::new();
        if !self.database.is_postgres() {
            for entry in std::fs::read_dir(self.database.folder()).unwrap() {
                let bytes = std::fs::read(entry.unwrap().path()).unwrap();
                all.extend(bytes.iter().map(|&byte| char::from(byte)));
            }
            return all;
        }
        for table in self.lines("SELECT tablename AS line FROM pg_tables WHERE schemaname = 'public'").await {
            all.extend(self.lines(&format!("SELECT t::text AS line FROM {table} t")).await);
        }
        all
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.handle.abort();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}
