//! HTTP over one connection that is kept, with nothing between the test and the bytes: a heavy client would be most of the
//! load.

use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub struct Talk {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

pub struct Reply {
    pub status: u16,
    /// In lower case.
    head: String,
    pub body: Vec<u8>,
}

impl Talk {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// Sends a request; `headers` end with a line break each.
    pub fn ask(&mut self, path: &str, headers: &str, body: &str) -> Result<()> {
        let (address, length) = (self.address, body.len());
        let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.stream.get_mut().write_all(format!("{head}{body}").as_bytes())
    }

    /// Asks for a page; `headers` end with a line break each.
    pub fn get(&mut self, path: &str, headers: &str) -> Result<()> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address);
        self.stream.get_mut().write_all(head.as_bytes())
    }

    /// Whether an answer begins to arrive in time.
    pub fn is_answered_within(&mut self, time: Duration) -> Result<bool> {
        self.stream.get_ref().set_read_timeout(Some(time))?;
        match self.stream.fill_buf() {
            Ok([]) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the answer.
    pub fn reply(&mut self) -> Result<Reply> {
        self.stream.get_ref().set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let mut reply = Reply { status: 0, head, body: Vec::new() };
        let status = reply.head.split(' ').nth(1).and_then(|status| status.parse().ok());
        reply.status = status.ok_or(Error::from(ErrorKind::InvalidData))?;
        reply.body.resize(reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0), 0);
        self.stream.read_exact(&mut reply.body)?;
        Ok(reply)
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}
