//! One connection, one question at a time: for what is measured in milliseconds.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::http::Shape;

/// More than the longest lease and what a request may wait beyond it.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
    shape: Shape,
}

/// An answer, whole.
pub struct Reply<'a> {
    pub status: u16,
    /// Head and body.
    pub text: &'a [u8],
    pub body: &'a [u8],
}

impl Reply<'_> {
    pub fn has(&self, words: &str) -> bool {
        self.body.windows(words.len()).any(|window| window == words.as_bytes())
    }

    /// The value of a header, the first that begins so.
    pub fn header(&self, name: &str, begins: &str) -> Option<String> {
        let text = String::from_utf8_lossy(self.text).into_owned();
        let values = text.lines().filter_map(|line| line.split_once(": "));
        let mut values = values.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.find(|value| value.starts_with(begins)).map(str::to_owned)
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(self.text));
        self
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, bytes: Vec::new(), shape: Shape::default() }
    }

    pub fn ask(&mut self, request: &[u8]) -> Reply<'_> {
        self.stream.write_all(request).expect("the server reads");
        self.bytes.clear();
        let mut part = [0; 16 * 1024];
        while self.shape.read(&self.bytes).is_none() {
            let read = self.stream.read(&mut part).expect("the server answers in time");
            assert!(read > 0, "the server closed the connection");
            self.bytes.extend_from_slice(&part[..read]);
        }
        let answer = self.shape.read(&self.bytes).expect("it was whole a moment ago");
        Reply { status: answer.status, text: &self.bytes, body: answer.body }
    }
}
