//! Several real servers on one Postgres, and what is done to them: paused, killed, cut off, deafened.
//!
//! `races.rs` holds verifications against revocations while that happens, `nodes.rs` looks at what people and load balancers
//! are told, `outages.rs` stops a Postgres of its own. They belong to the run of the suite with `TEST_DATABASE_URL`,
//! and fail without it: on SQLite there is one server.

mod balancer;
mod keys;
mod load;
mod nodes;
mod outages;
pub mod postgres;
mod races;
mod talk;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use diesel::{RunQueryDsl, sql_query};
use keystead::{
    pepper_file,
    store::connection::{Conn, DatabaseUrl},
};

use self::keys::Keys;
use crate::support::{Binary, PASSWORD, Person, Server, TestDatabase, Wire, on_own_thread};

const EMAIL: &str = "maya@acme.example";

/// One node, with a wire of its own to the database.
pub struct Node {
    binary: Binary,
    pub wire: Wire,
    server: Option<Server>,
    /// Where it listens; another port after each start.
    address: Arc<RwLock<SocketAddr>>,
}

pub struct Cluster {
    pub nodes: Vec<Node>,
    url: String,
    pepper: PathBuf,
    lease: Duration,
    /// Holds the pepper, and the database if it is the suite's.
    _database: TestDatabase,
}

impl Cluster {
    /// Three nodes on the suite's Postgres and this many keys of Acme Robotics, whose admin is Maya Chen.
    pub async fn start(lease_seconds: u64, keys: usize) -> (Self, Arc<Keys>) {
        let database = TestDatabase::postgres();
        let url = database.url().unwrap();
        Self::start_on(url, database, lease_seconds, keys).await
    }

    /// The same on any Postgres.
    pub async fn start_on(url: String, database: TestDatabase, lease_seconds: u64, keys: usize) -> (Self, Arc<Keys>) {
        let pepper = database.folder().join("pepper");
        let lease = Duration::from_secs(lease_seconds);
        let mut cluster = Self { nodes: Vec::new(), url, pepper, lease, _database: database };
        let made = pepper_file::create(&cluster.pepper).unwrap();
        for _ in 0..3 {
            let node = cluster.new_node();
            cluster.nodes.push(node);
        }
        let admin = ["admin", "create", "--email", EMAIL, "--organization", "Acme Robotics", "--password-stdin"];
        let organization = cluster.nodes[0].binary.run_with_input(&admin, PASSWORD).succeeded().stdout;
        // Before anybody starts, so that the first scan reads them.
        let keys = Arc::new(Keys::insert(cluster.connect(), &made, organization.trim(), keys));
        cluster.nodes.iter_mut().for_each(|node| node.start(&[]));
        (cluster, keys)
    }

    fn new_node(&self) -> Node {
        let wire = Wire::to(&self.url);
        let binary = Binary::on_sqlite()
            .with("DATABASE_URL", &wire.url())
            .with("KEYSTEAD_PEPPER_FILE", self.pepper.to_str().unwrap())
            .with("KEYSTEAD_LEASE_SECS", &self.lease.as_secs().to_string())
            // More than a person needs, and fewer than the tests make.
            .with("KEYSTEAD_MAX_ROTATIONS_PER_DAY", "1000000")
            .with("KEYSTEAD_LOG", "warn");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        Node { binary, wire, server: None, address: Arc::new(RwLock::new(nowhere)) }
    }

    /// A connection to the database that no fault concerns.
    pub fn connect(&self) -> Conn {
        let url = DatabaseUrl::Postgres(self.url.clone());
        on_own_thread(move || url.connect().unwrap())
    }

    pub fn execute(&self, sql: &str) -> usize {
        let (mut conn, sql) = (self.connect(), sql.to_owned());
        on_own_thread(move || sql_query(sql).execute(&mut conn).unwrap())
    }

    /// What `SELECT count(*) FROM …` counts.
    pub fn count(&self, from: &str) -> i64 {
        let (mut conn, from) = (self.connect(), from.to_owned());
        on_own_thread(move || {
            let sql = format!("SELECT count(*) AS n FROM {from}");
            sql_query(sql).get_result::<keys::Number>(&mut conn).unwrap().n
        })
    }

    /// Whatever was answered: of each key everything was changed, or nothing.
    pub fn assert_every_change_is_whole(&self) {
        let secrets = "SELECT count(*) FROM key_secrets s WHERE s.key_id = k.id";
        let audited = "EXISTS (SELECT FROM audit_events a WHERE a.key_id = k.id AND a.action =";
        let halves = [
            // A revoked key has no living secret, another has exactly one.
            &*format!("api_keys k WHERE (k.revoked_at IS NULL) <> (1 = ({secrets} AND s.expires_at IS NULL))"),
            &*format!("api_keys k WHERE (k.revoked_at IS NOT NULL) <> {audited} 'key.revoked')"),
            &*format!("api_keys k WHERE (1 < ({secrets})) <> {audited} 'key.rotated')"),
            "(SELECT key_id FROM audit_events GROUP BY key_id, action HAVING key_id IS NOT NULL AND count(*) > 1) AS twice",
            "key_epoch WHERE value <> (SELECT count(*) FROM audit_events WHERE key_id IS NOT NULL)",
        ];
        for half in halves {
            assert_eq!(self.count(half), 0, "{half}");
        }
    }

    /// Waits until every node answers verifications; how long that took.
    pub async fn healthy(&self) -> Duration {
        let begun = Instant::now();
        for node in &self.nodes {
            while node.readiness().await != 200 {
                assert!(begun.elapsed() < Duration::from_secs(60), "a node does not recover: {}", node.log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        begun.elapsed()
    }

    /// Longer than any node may go on without the database, and than the others wait for it.
    pub fn beyond_the_lease(&self) -> Duration {
        self.lease * 3 / 2
    }
}

impl Node {
    /// Starts it, with these safeguards off.
    pub fn start(&mut self, off: &[&str]) {
        if !off.is_empty() {
            let binary = std::mem::replace(&mut self.binary, Binary::on_sqlite());
            self.binary = binary.with("KEYSTEAD_TEST_OFF", &off.join(","));
        }
        let server = self.binary.serve();
        *self.address.write().unwrap() = server.base.trim_start_matches("http://").parse().unwrap();
        self.server = Some(server);
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub fn log(&self) -> String {
        self.server().log()
    }

    /// Ends it, without a chance to say good-bye.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        self.server.take().expect("it runs").stop().succeeded();
    }

    /// Waits for its end, after it was asked.
    pub fn wait(&mut self) {
        self.server.take().expect("it runs").wait().succeeded();
    }

    /// Maya Chen, signed in here.
    pub async fn admin(&self) -> Person {
        let maya = self.server().anonymous();
        maya.sign_in(EMAIL, PASSWORD).await;
        maya
    }

    /// The status of `/readyz`.
    pub async fn readiness(&self) -> u16 {
        self.server().anonymous().get("/readyz").await.status
    }

    /// What a service is told about this key.
    pub async fn verify(&self, key: &str) -> crate::support::Answer {
        self.server().anonymous().post_json("/v1/keys/verify", &serde_json::json!({ "key": key })).await
    }

    /// The code a service is told; the status when there is none.
    pub async fn code(&self, key: &str) -> String {
        let answer = self.verify(key).await;
        if answer.status == 200 {
            answer.json()["code"].as_str().unwrap().to_owned()
        } else {
            answer.status.to_string()
        }
    }
}
