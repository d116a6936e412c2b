//! Servers under test: the real binary, on a place of its own, with nothing in its environment; or this very program as
//! the bare handler.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use super::cores;

pub const EMAIL: &str = "maya@example.com";
pub const PASSWORD: &str = "correct horse battery";

const BINARY: &str = env!("CARGO_BIN_EXE_keystead");
const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory, and the database that belongs to it.
pub struct Place {
    pub data: PathBuf,
    /// `None`: SQLite in the data directory.
    pub postgres: Option<String>,
}

impl Place {
    pub fn sqlite(folder: &Path) -> Self {
        Self { data: folder.to_owned(), postgres: None }
    }

    pub fn sqlite_file(&self) -> PathBuf {
        self.data.join("keystead.db")
    }

    pub fn pepper(&self) -> PathBuf {
        self.data.join("pepper")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.env_clear().env("KEYSTEAD_DATA_DIR", &self.data).env("KEYSTEAD_LISTEN", "127.0.0.1:0");
        // At its default level: a request's span is part of what a request costs.
        command.current_dir(&self.data);
        if let Some(url) = &self.postgres {
            command.env("DATABASE_URL", url);
        }
        command
    }
}

/// By the command line, which migrates a new database.
pub fn create_admin(place: &Place) {
    let mut command = place.command();
    command.args(["admin", "create", "--organization", "Acme Robotics", "--name", "Maya Chen", "--password-stdin"]);
    command.args(["--email", EMAIL]).env("KEYSTEAD_LOG", "warn");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "no admin was created");
}

/// Where a server may run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// On the servers' cores, apart from the driver.
    ServerCores,
    AllCores,
}

/// A running server; killed on drop.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
    /// From before the process was made to the first 200 of `/readyz`.
    pub ready_after: Duration,
    pub log: PathBuf,
    /// Held open: who prints to a closed pipe gets an error.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    pub fn start(place: &Place, on: On, variables: &[(&str, &str)]) -> Self {
        let log = place.data.join("log");
        let mut command = place.command();
        command.envs(variables.iter().copied()).stderr(File::create(&log).unwrap());
        let mut server = Self::spawn(command, on, log);
        let begun = Instant::now() - server.ready_after;
        while get(server.address, "/readyz").0 != 200 {
            assert!(begun.elapsed() < PATIENCE, "not ready: {}", server.log());
            std::thread::sleep(Duration::from_millis(1));
        }
        server.ready_after = begun.elapsed();
        server
    }

    /// This program again, as `bare KEYS`.
    pub fn start_bare(folder: &Path, keys: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let log = folder.join("bare.log");
        command.args(["bare", &keys.to_string()]).stderr(File::create(&log).unwrap());
        Self::spawn(command, On::ServerCores, log)
    }

    /// Starts it and reads from its first line where it listens.
    fn spawn(mut command: Command, on: On, log: PathBuf) -> Self {
        let begun = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let started = if on == On::ServerCores { cores::spawn_on_server_cores(command) } else { command.spawn() };
        let mut process = started.expect("the program starts");
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        // A sentence, or the same in JSON.
        let port = line.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
        let Some(port) = port.and_then(|port| port.parse().ok()) else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("the server did not start: {line}{}", fs::read_to_string(&log).unwrap_or_default());
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { process, address, ready_after: begun.elapsed(), log, _stdout: Some(stdout) }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// User and system time of every thread that is alive, to the nanosecond once the server has nothing to do. A
    /// thread that ended takes its time with it: an idle pool thread of tokio, after 10 s.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("the server lives");
        let times = tasks.filter_map(|task| {
            let line = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            line.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(times.sum())
    }

    /// A line of `/proc/PID/status`, such as `VmRSS`, in megabytes.
    pub fn megabytes(&self, what: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
    }

    /// Bytes that it had sent to storage, from `/proc/PID/io`.
    pub fn written(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.process.id())).expect("the server lives");
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("Linux counts it");
        line.parse().expect("a number")
    }

    /// SIGKILL.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One request on a connection of its own: status and whole answer.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the server accepts connections");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, answer)
}
