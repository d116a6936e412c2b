//! The real program, in an empty folder and with nothing in its environment.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{Person, TestDatabase};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to run, and where.
pub struct Binary {
    database: TestDatabase,
    variables: Vec<(String, String)>,
    shell: Option<String>,
    program: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub struct Exit {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub dumped_core: bool,
}

/// A running server.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    greeting: Arc<Mutex<Vec<String>>>,
    /// Where the set-up link is when it is not printed.
    pub set_up_link_file: PathBuf,
    child: Child,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Binary {
    /// On whatever this run of the suite is about.
    pub fn new() -> Self {
        Self::on(TestDatabase::fresh())
    }

    pub fn on_sqlite() -> Self {
        Self::on(TestDatabase::sqlite())
    }

    fn on(database: TestDatabase) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_keystead"));
        let binary = Self { variables: Vec::new(), shell: None, program, database };
        let url = binary.database.url();
        // No load balancer looks: nothing is to be waited for when it stops.
        let binary = binary.with("KEYSTEAD_LISTEN", "127.0.0.1:0").with("KEYSTEAD_DRAIN_SECS", "0");
        match url {
            Some(url) => binary.with("DATABASE_URL", &url),
            None => binary,
        }
    }

    /// With a variable, which may replace an earlier one.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Started by a shell that runs these commands first.
    pub fn after_shell(mut self, commands: &str) -> Self {
        self.shell = Some(commands.to_owned());
        self
    }

    /// Started where its folder and everything in it can only be read. Only root may make that so.
    pub fn on_a_read_only_volume(self) -> Self {
        let inside = "mount --bind . . && mount -o remount,ro,bind . && cd \"$PWD\" && exec \"$0\" \"$@\"";
        let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        self.after_shell(&format!("exec env {path} unshare -m sh -c '{inside}' \"$0\" \"$@\""))
    }

    /// Started with its data directory on a disk of so many KiB, which is copied to `out` when it ends. Only root may make one.
    pub fn on_a_disk_of(self, kib: u64) -> Self {
        let mount = format!("rm -rf disk out; mkdir disk; mount -t tmpfs -o size={kib}k none disk");
        let fill = "cp -a keystead-data/. disk/; mount --bind disk keystead-data";
        let inside = format!("{mount} && {fill} && \"$0\" \"$@\"; code=$?; cp -a keystead-data out; exit $code");
        let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        self.after_shell(&format!("exec env {path} unshare -m sh -c '{inside}' \"$0\" \"$@\""))
    }

    /// Another program than this one.
    pub fn of_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.database.folder()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("keystead-data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.shell {
            None => Command::new(&self.program),
            Some(first) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]).arg(&self.program);
                command
            }
        };
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Exit {
        self.run_with_input(arguments, "")
    }

    /// `keystead check`, again where the database of a busy machine did not answer in its time: of that it makes no mistake.
    pub fn check(&self) -> Exit {
        loop {
            let checked = self.run(&["check"]);
            if !checked.stdout.contains("the database was not asked") {
                return checked;
            }
        }
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Exit {
        let mut child = self.command(arguments).spawn().unwrap();
        // Who refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let id = child.id();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(child.wait_with_output()));
        let Ok(output) = ended.recv_timeout(PATIENCE) else {
            signal("KILL", id);
            panic!("keystead {arguments:?} does not end");
        };
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let dumped_core = output.status.core_dumped();
        Exit { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr), dumped_core }
    }

    /// Starts the server and waits until it has said where it listens.
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// Starts the server where nobody reads what it says. With JSON, and as long as there is no account: where it listens stands
    /// in the file of the set-up link then.
    pub fn serve_unheard(&self) -> Server {
        let begun = Instant::now();
        let mut child = self.command(&[]).spawn().unwrap();
        let set_up_link_file = self.data_dir().join("set-up-link");
        let link = loop {
            if let Ok(link) = std::fs::read_to_string(&set_up_link_file) {
                break link;
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("the server waits for whoever reads what it says");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let port = link.trim_start_matches("http://localhost:").split('/').next().unwrap();
        wait_until_ready(port);
        let base = format!("http://127.0.0.1:{port}");
        let (greeting, stderr, readers) = (Arc::default(), Arc::default(), Vec::new());
        Server { base, greeting, set_up_link_file, child, stderr, readers }
    }

    pub fn serve_with(&self, arguments: &[&str]) -> Server {
        let mut child = self.command(arguments).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&stderr);
        let mut pipe = child.stderr.take().unwrap();
        let log_reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                log.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let (line, lines) = mpsc::channel();
        let greeting = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&greeting);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let output_reader = std::thread::spawn(move || {
            for text in stdout.lines().map_while(Result::ok) {
                heard.lock().unwrap().push(text.clone());
                let _ = line.send(text);
            }
        });
        let Ok(first) = lines.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("the server does not start: {}", stderr.lock().unwrap());
        };
        // As text and as JSON.
        let port = first.rsplit_once("127.0.0.1:").expect(&first).1;
        let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().to_owned();
        let base = format!("http://127.0.0.1:{port}");
        wait_until_ready(&port);
        let set_up_link_file = self.data_dir().join("set-up-link");
        Server { base, greeting, set_up_link_file, child, stderr, readers: vec![log_reader, output_reader] }
    }
}

/// Commands of a shell before it starts the program, after which this descriptor leads into a pipe that is full and that nobody
/// reads, as when the daemon of the log has stopped.
pub fn into_a_full_pipe(descriptor: u32) -> String {
    let (pipe, open) = (format!("pipe-{descriptor}"), descriptor + 4);
    let fill = format!("dd if=/dev/zero of={pipe} oflag=nonblock conv=notrunc bs=512 2>/dev/null");
    format!("mkfifo {pipe}; exec {open}<>{pipe}; {fill}; exec {descriptor}>&{open}")
}

/// What a set-up link has behind the server's address, before its token.
const SET_UP: &str = "/setup?token=";

/// Looks until it is there.
fn until_found(what: &str, look: impl Fn() -> Option<String>) -> String {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks `/readyz` until it says yes.
fn wait_until_ready(port: &str) {
    let begun = Instant::now();
    loop {
        let mut answer = String::new();
        if let Ok(mut stream) = std::net::TcpStream::connect(format!("127.0.0.1:{port}")) {
            let _ = stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
        }
        if answer.contains(" 200 ") {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the server does not become ready: {answer}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Server {
    pub fn anonymous(&self) -> Person {
        Person::new(&self.base, &self.base)
    }

    /// The path and token of the link it printed.
    pub fn set_up_path(&self) -> String {
        let line = until_found("a set-up link", || {
            let printed = self.greeting.lock().unwrap().iter().find(|line| line.contains(SET_UP)).cloned();
            // With JSON it stands in a file.
            printed
                .or_else(|| std::fs::read_to_string(&self.set_up_link_file).ok().filter(|link| link.contains(SET_UP)))
        });
        line[line.find(SET_UP).unwrap()..].trim().to_owned()
    }

    /// Waits for the line on standard output that holds these words.
    pub fn said(&self, words: &str) -> String {
        until_found(words, || self.greeting.lock().unwrap().iter().find(|line| line.contains(words)).cloned())
    }

    pub fn set_up_token(&self) -> String {
        self.set_up_path().trim_start_matches(SET_UP).to_owned()
    }

    /// Sets up Acme Robotics with Maya Chen, who is signed in then.
    pub async fn set_up(&self) -> Person {
        let maya = self.anonymous();
        let token = self.set_up_token();
        let fields = [
            ("token", &*token),
            ("organization", "Acme Robotics"),
            ("name", "Maya Chen"),
            ("email", "maya@acme.example"),
            ("password", super::PASSWORD),
        ];
        maya.post("/setup", &fields).await.expect(303);
        maya
    }

    /// What it has logged until now.
    pub fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Exit {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let dumped_core = status.core_dumped();
        Exit { code: status.code(), stdout: self.greeting.lock().unwrap().join("\n"), stderr: self.log(), dumped_core }
    }

    pub fn stop(self) -> Exit {
        self.terminate();
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Exit {
    /// It worked and had nothing to complain about.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It was refused with one line that holds these words, and did not panic. What the log told before, at its level
    /// `INFO`, is no complaint.
    #[track_caller]
    pub fn refused_with(&self, words: &[&str]) {
        assert!(self.code.is_some_and(|code| code != 0 && code != 101), "{self:?}");
        let complaints: Vec<&str> = self.stderr.lines().filter(|line| !line.contains("  INFO ")).collect();
        assert_eq!(complaints.len(), 1, "not one line: {self:?}");
        assert!(complaints[0].starts_with("keystead: "), "{self:?}");
        for word in words {
            assert!(complaints[0].contains(word), "{word:?} is missing: {self:?}");
        }
    }
}

fn signal(name: &str, id: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
    assert!(sent.success());
}
