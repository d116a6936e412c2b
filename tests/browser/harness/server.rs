//! The real program, started as a person would start it: in an empty folder, on a free port.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use chrono::TimeDelta;
use diesel::{
    QueryableByName, RunQueryDsl, sql_query,
    sql_types::{BigInt, Text},
};
use keystead::{
    clock::{Clock, SystemClock},
    config::DatabaseUrl,
    domain::{
        key_record::KeyNumber,
        usage::{LastUsed, UsageDelta},
    },
    store::{StoreError, in_transaction, key_usage},
};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use super::http;

/// The account that [`Server::with_an_account`] makes.
pub const EMAIL: &str = "maya.chen@example.com";
pub const PASSWORD: &str = "correct horse battery";
pub const PERSON: &str = "Maya Chen";
pub const ORGANIZATION: &str = "Acme Robotics";

/// A running server. It ends when this is dropped, also when a test panics.
pub struct Server {
    child: Child,
    folder: TempDir,
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub address: String,
    /// What it believes to be its address; the same unless a test chose another one.
    pub public_url: String,
    /// While no account exists.
    pub set_up_link: Option<String>,
}

#[derive(QueryableByName)]
struct KeyNumberRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// How a server differs from the usual one.
#[derive(Default)]
pub struct Wish {
    pub public_url: Option<String>,
    pub listen: Option<String>,
    pub no_account: bool,
}

impl Server {
    /// A server on which nobody has an account yet.
    pub fn fresh() -> Self {
        Self::start(Wish { no_account: true, ..Wish::default() })
    }

    /// A server with one organization and its admin.
    pub fn with_an_account() -> Self {
        Self::start(Wish::default())
    }

    pub fn start(wish: Wish) -> Self {
        let folder = TempDir::new().expect("a folder for the server");
        if !wish.no_account {
            create_admin(folder.path());
        }
        let mut command = program(folder.path());
        command.env("KEYSTEAD_LISTEN", wish.listen.as_deref().unwrap_or("127.0.0.1:0"));
        if let Some(url) = &wish.public_url {
            command.env("KEYSTEAD_PUBLIC_URL", url);
        }
        let log = std::fs::File::create(folder.path().join("log")).expect("a file for the log");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("keystead starts");
        let (send, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let mut server = Self { child, folder, address: String::new(), public_url: String::new(), set_up_link: None };
        let next = |what: &str| {
            let line = lines.recv_timeout(Duration::from_secs(20));
            line.unwrap_or_else(|_| panic!("keystead did not print {what}; its log:\n{}", server.log()))
        };
        let line = next("its address");
        let served = between(&line, "served at ", " ");
        let address = format!("http://{}", between(&line, "listening on ", ")"));
        let link = wish.no_account.then(|| next("a set-up link").rsplit(' ').next().unwrap_or_default().to_owned());
        // A browser lets nobody read the clipboard of `localhost` and `127.0.0.1` differently, but posts of the two
        // differ: whoever chose no name gets the loopback address throughout.
        server.public_url = if wish.public_url.is_some() { served } else { address.clone() };
        server.set_up_link = link.map(|link| match wish.public_url {
            Some(_) => link,
            None => format!("{address}{}", &link[link.find("/setup").expect("a set-up link")..]),
        });
        server.address = address;
        server
    }

    /// What a program is told about a key: `VALID`, or why not.
    pub fn verdict(&self, key: &str) -> String {
        let url = format!("{}/v1/keys/verify", self.address);
        let answer = http::call(&http::client(false), Method::POST, &url, Some(&json!({ "key": key })));
        let answer = answer.expect("the server answers").json();
        assert_eq!(answer["valid"], answer["code"] == "VALID", "{answer}");
        answer["code"].as_str().expect("a code").to_owned()
    }

    /// Signs in as a program and creates keys, faster than any person could.
    pub fn create_keys(&self, names: &[&str]) {
        self.create_keys_from(0, names);
    }

    /// The same a second time: forms are told apart by numbers from `first` on.
    pub fn create_keys_from(&self, first: usize, names: &[&str]) {
        let client = http::client(true);
        let post = |path: &str, form: &[(&str, &str)]| {
            let request = client.post(format!("{}{path}", self.address)).header("Origin", &self.public_url).form(form);
            http::send(request).expect("the server answers")
        };
        let answer = post("/sign-in", &[("email", EMAIL), ("password", PASSWORD)]);
        assert!(answer.url.ends_with("/settings/integrations"), "signed in: {} {}", answer.url, answer.status);
        for (number, name) in names.iter().enumerate() {
            let idem = format!("{:032x}", first + number);
            let answer = post("/settings/integrations/keys", &[("name", name), ("idem", &idem)]);
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }

    /// Has a key used on each of these days, today last: how often it was let through, and how often refused. The last use
    /// is this long ago.
    pub fn use_key(&self, name: &str, days: &[(u64, u64)], last_used: TimeDelta) {
        let mut conn = DatabaseUrl::Sqlite(self.database()).connect().expect("the database opens");
        let key = sql_query("SELECT number FROM api_keys WHERE name = ?").bind::<Text, _>(name);
        let key: KeyNumberRow = key.get_result(&mut conn).expect("a key of this name");
        let now = SystemClock.now();
        for (ago, (valid, refused)) in (0..).zip(days.iter().rev()) {
            // The last use once more: of several the newest is kept.
            let used = LastUsed {
                at: now - last_used,
                address: "203.0.113.80".parse().ok(),
                user_agent: Some("python-requests/2.32".into()),
            };
            let counts = vec![("VALID", *valid), ("ROTATED", *refused)];
            let delta = UsageDelta { key: KeyNumber(key.number), counts, last_used: Some(used) };
            let day = now - TimeDelta::days(ago);
            in_transaction::<_, StoreError>(&mut conn, |conn| key_usage::add(conn, day, &[delta])).expect("written");
        }
        in_transaction::<_, StoreError>(&mut conn, |conn| key_usage::close_hours(conn, now)).expect("closed");
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("keystead-data").join("keystead.db")
    }

    /// What the server wrote to stderr so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends the server at once, as a crash or a pulled plug would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines = log.lines().collect::<Vec<_>>();
            eprintln!("the server's last words:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// The program, with an environment of its own: a variable of the developer's must not change a test.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keystead"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

fn create_admin(folder: &Path) {
    let arguments =
        ["admin", "create", "--email", EMAIL, "--name", PERSON, "--organization", ORGANIZATION, "--password-stdin"];
    let mut command = program(folder);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("keystead starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    std::io::Write::write_all(&mut stdin, format!("{PASSWORD}\n").as_bytes()).expect("keystead reads the password");
    drop(stdin);
    assert!(child.wait().expect("keystead ends").success(), "`keystead admin create` failed");
}

fn between(line: &str, before: &str, after: &str) -> String {
    let start = line.find(before).map(|at| at + before.len());
    let rest = start.map(|start| &line[start..]).unwrap_or_else(|| panic!("no {before:?} in {line:?}"));
    rest.split(after).next().unwrap_or(rest).to_owned()
}
