//! What holds below the routes: heads, slow clients, many connections, and the end of the server.

mod addresses;
mod boundaries;
mod heads;
mod room;
mod slow_clients;
mod stopping;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::TestApp;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection without a library.
struct Raw(TcpStream);

impl Raw {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn to(app: &TestApp) -> Self {
        Self::connect(app.address)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// One whole answer: its head and the body of the length that it names.
    fn answer(&mut self) -> String {
        let mut text = String::new();
        let mut piece = [0; 4096];
        loop {
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    return text;
                }
            }
            let read = self.0.read(&mut piece).expect("an answer");
            assert!(read > 0, "closed after {text:?}");
            text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    }

    /// Everything until the server closes the connection.
    fn rest(&mut self) -> String {
        let mut text = Vec::new();
        // A reset is an end, too.
        if let Err(error) = self.0.read_to_end(&mut text) {
            assert!(error.kind() != std::io::ErrorKind::WouldBlock, "the server does not close the connection");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A question about this key, with more header lines.
fn question(key: &str, more: &str) -> String {
    let body = format!("{{\"key\":\"{key}\"}}");
    let length = body.len();
    format!(
        "POST /v1/keys/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Runs what blocks beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
