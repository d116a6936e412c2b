//! A gateway's own program, run in the foreground in a folder of its own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const ENVOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/envoy/bin");

/// Ended with everything in its folder on drop.
pub struct Gateway {
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// Where a program is: in the variable of its name, on the path, where Debian puts what only root may need, or where
/// `tests/run` puts Envoy, which Debian does not have.
#[allow(clippy::disallowed_methods)] // tests are told where programs are by their environment
pub fn find(name: &str) -> PathBuf {
    let variable = name.to_uppercase();
    if let Some(path) = std::env::var_os(&variable).filter(|path| !path.is_empty()) {
        return PathBuf::from(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", ENVOY].map(PathBuf::from));
    let found = places.map(|place| place.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: tests/run installs it, or {variable} says where it is"))
}

impl Gateway {
    /// Starts what `prepare` makes of a folder and an address to listen on, and waits until it listens.
    pub fn start(prepare: impl Fn(&Path, SocketAddr) -> Command) -> Self {
        let mut complaints = String::new();
        // The port may be somebody else's by the time the program asks for it.
        for _ in 0..5 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            let folder = tempfile::tempdir().unwrap();
            let log = File::create(folder.path().join("log")).unwrap();
            let mut command = prepare(folder.path(), address);
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut gateway = Self { address, child: command.spawn().unwrap(), folder };
            if gateway.listens() {
                return gateway;
            }
            complaints = gateway.log();
        }
        panic!("the gateway does not start: {complaints}");
    }

    fn listens(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            let connected = TcpStream::connect(self.address).is_ok();
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if connected {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request's head, and its body as soon as the gateway answers 100; reads until the end.
    pub async fn raw(&self, head: &str, body: &[u8]) -> String {
        let (address, head, body) = (self.address, head.to_owned(), body.to_vec());
        let talk = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = Vec::new();
            if head.contains("100-continue") {
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).unwrap();
                answer.extend_from_slice(&buffer[..read]);
                assert!(answer.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&answer));
            }
            // Who refuses need not read everything.
            let _ = stream.write_all(&body);
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        });
        talk.await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// A copy of a shown text with the reader's own places in it: each must be there.
#[track_caller]
pub fn fill_in(shown: &str, places: &[(&str, &str)]) -> String {
    places.iter().fold(shown.to_owned(), |text, (place, own)| {
        assert!(text.contains(place), "{place} is not in {text}");
        text.replace(place, own)
    })
}
