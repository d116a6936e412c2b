//! What the server costs before anybody uses it: `cargo bench --bench footprint`.
//!
//! Size of the binary, time from start to ready and resident memory with 10,000 keys on SQLite, and bytes of the first
//! view. Linux only: memory is read from /proc.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use keystead::{
    clock::{Clock, SystemClock},
    domain::{
        api_key::ApiKey,
        email::Email,
        ids::{KeyId, OrgId},
        name::Name,
        organization::Organization,
        pepper::Pepper,
        secret::{KeyPrefix, Secret},
        user::{Role, User},
    },
    store::{StoreError, api_keys, connection::DatabaseUrl, in_transaction, key_secrets, organizations, users},
};

const KEYS: usize = 10_000;

#[actix_web::main]
async fn main() {
    let binary = Path::new(env!("CARGO_BIN_EXE_keystead"));
    let megabytes = fs::metadata(binary).unwrap().len() as f64 / 1e6;
    println!("binary                                  {megabytes:>8.1} MB   (goal 25)");

    let folder = tempfile::tempdir().unwrap();
    // A first start makes the database and the pepper.
    Server::start(binary, folder.path()).await.stop();
    fill(&folder.path().join("keystead-data"));
    let mut starts = Vec::new();
    for _ in 0..9 {
        let server = Server::start(binary, folder.path()).await;
        starts.push(server.ready_after);
        server.stop();
    }
    starts.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let (median, most) = (milliseconds(starts[starts.len() / 2]), milliseconds(starts[starts.len() - 1]));
    println!("start to ready, {KEYS} keys            {median:>8.1} ms   (max {most:.1}; goal 100)");

    let server = Server::start(binary, folder.path()).await;
    for _ in 0..200 {
        reqwest::get(format!("{}/sign-in", server.address)).await.unwrap();
    }
    println!("resident memory after 200 pages         {:>8.1} MB   (goal 30)", server.resident_megabytes());
    first_view(&server.address).await;
    server.stop();
}

/// Bytes on the wire of a first visit, compressed as a browser on https gets them, without fonts.
async fn first_view(address: &str) {
    let client = reqwest::Client::new();
    let get = async |path: &str| {
        let request = client.get(format!("{address}{path}")).header("accept-encoding", "br");
        request.send().await.unwrap().bytes().await.unwrap()
    };
    let plain = client.get(format!("{address}/sign-in")).send().await.unwrap().text().await.unwrap();
    let mut total = get("/sign-in").await.len();
    print!("first view: page {total} B");
    let mut files: Vec<&str> =
        plain.split('"').filter(|part| part.starts_with("/static/") && !part.contains("/fonts/")).collect();
    for file in &mut files {
        *file = file.split('#').next().unwrap();
    }
    files.sort_unstable();
    files.dedup();
    for file in files {
        let bytes = get(file).await.len();
        total += bytes;
        print!(", {} {bytes} B", file.rsplit('/').next().unwrap());
    }
    println!("\nfirst view in all                       {:>8.1} kB   (goal 30)", total as f64 / 1e3);
}

/// Puts the keys into the database directly: the page would take one transaction for each.
fn fill(data: &Path) {
    let url = DatabaseUrl::Sqlite(data.join("keystead.db"));
    let pepper = Pepper::new(fs::read(data.join("pepper")).unwrap().try_into().unwrap());
    let now = SystemClock.now();
    let name = |text: &str| Name::parse(text).unwrap();
    let organization = Organization { id: OrgId::generate(now), name: name("Acme Robotics"), created_at: now };
    let email = Email::parse("maya@example.com").unwrap();
    let user =
        User { id: keystead::domain::ids::UserId::generate(now), email, name: name("Maya Chen"), created_at: now };
    let prefix = KeyPrefix::parse("talvin_live").unwrap();
    in_transaction(&mut url.connect().unwrap(), |conn| {
        organizations::insert(conn, &organization)?;
        users::insert(conn, &user, "no password")?;
        users::insert_membership(conn, &organization.id, &user.id, Role::Admin, now)?;
        for n in 0..KEYS {
            let secret = Secret::generate(&prefix).unwrap();
            let key = ApiKey {
                id: KeyId::generate(now),
                organization_id: organization.id.clone(),
                name: name(&format!("Key {n}")),
                prefix: prefix.clone(),
                hint: secret.hint(),
                creator: user.name.clone(),
                created_at: now,
                revoked_at: None,
                version: 1,
            };
            api_keys::insert(conn, &key, &user.id)?;
            key_secrets::insert(conn, pepper.digest(secret.as_presented()), &key.id, now)?;
        }
        Ok::<_, StoreError>(())
    })
    .unwrap();
}

struct Server {
    process: Child,
    address: String,
    ready_after: Duration,
}

impl Server {
    async fn start(binary: &Path, folder: &Path) -> Self {
        let begun = Instant::now();
        let mut process = Command::new(binary)
            .current_dir(folder)
            .env("KEYSTEAD_LISTEN", "127.0.0.1:0")
            .env("KEYSTEAD_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        let ready = reqwest::get(format!("{address}/readyz")).await.unwrap();
        assert!(ready.status().is_success());
        Self { process, address, ready_after: begun.elapsed() }
    }

    fn resident_megabytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
    }

    fn stop(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
