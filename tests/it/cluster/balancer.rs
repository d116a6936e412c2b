//! Three nodes behind a real HAProxy that routes by `/readyz`, while Postgres restarts: verification does without a database
//! for as long as a lease, so nobody behind the balancer may notice.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::{Cluster, outages::own_postgres, postgres::OwnPostgres};
use crate::support::{Answer, TestDatabase, until};

/// Longer than everything here takes on the busiest machine.
const LEASE_SECONDS: u64 = 120;

struct Balancer {
    address: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Balancer {
    fn start(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             frontend f\n bind {address}\n default_backend nodes\n\
             backend nodes\n option httpchk GET /readyz\n http-check expect status 200\n \
             default-server check inter 100ms fastinter 100ms downinter 100ms fall 2 rise 1 init-addr none\n"
        );
        for (number, node) in cluster.nodes.iter().enumerate() {
            config += &format!(" server node{number} {}\n", node.server().base.trim_start_matches("http://"));
        }
        fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
        let found =
            ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].map(PathBuf::from).into_iter().find(|p| p.exists());
        let mut command = Command::new(found.unwrap_or_else(|| "haproxy".into()));
        command.args(["-db", "-f", "haproxy.cfg"]).current_dir(folder.path()).stdin(Stdio::null());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child =
            command.stdout(Stdio::null()).stderr(log).spawn().expect("haproxy is installed: tests/run does that");
        Self { address, child, folder }
    }

    /// What HAProxy said of servers that went up or down.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_restarts_no_verification_behind_a_balancer_fails() {
    let postgres = own_postgres(OwnPostgres::start);
    let (cluster, keys) = Cluster::start_on(postgres.url(), TestDatabase::sqlite(), LEASE_SECONDS, 10).await;
    cluster.healthy().await;
    let (key, balancer) = (keys.take().unwrap(), Balancer::start(&cluster));
    let url = format!("http://{}/v1/keys/verify", balancer.address);
    // A connection for each question: each is routed anew.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
    let ask = async |client: reqwest::Client| {
        let sent = client.post(&url).json(&json!({ "key": key.secret })).timeout(Duration::from_secs(60)).send();
        let answer = Answer::read(sent.await.map_err(|error| error.to_string())?).await;
        if answer.status == 200 && answer.json()["valid"] == true { Ok(()) } else { Err(answer.text().to_owned()) }
    };
    until("the balancer listens", async || ask(client.clone()).await.is_ok()).await;

    let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let driving = async {
        let mut failed = Vec::new();
        while !is_over.load(Ordering::SeqCst) {
            failed.extend(ask(client.clone()).await.err());
            asked.fetch_add(1, Ordering::SeqCst);
        }
        failed
    };
    let restarting = async {
        for how in ["fast", "immediate"] {
            let before = asked.load(Ordering::SeqCst);
            assert!(postgres.down(how), "{}", postgres.log());
            // Long enough for the balancer to see each node many times.
            until("many are asked without Postgres", async || asked.load(Ordering::SeqCst) > before + 500).await;
            for node in &cluster.nodes {
                let person = node.server().anonymous();
                until("people are sent elsewhere", async || person.get("/readyz/pages").await.status == 503).await;
                assert_eq!(node.readiness().await, 200);
            }
            assert!(postgres.up(), "{}", postgres.log());
            for node in &cluster.nodes {
                let person = node.server().anonymous();
                until("people may come again", async || person.get("/readyz/pages").await.status == 200).await;
            }
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let (failed, ()) = tokio::join!(driving, restarting);
    assert_eq!(failed, [""; 0], "of {}; {}", asked.load(Ordering::SeqCst), balancer.log());
    assert!(!balancer.log().contains("is DOWN"), "{}", balancer.log());
}
