//! An API that is as lenient as a hostile client could wish: it speaks HTTP/1.1, h2c (by upgrade, or from the first byte on)
//! and websocket, says 101 to whatever it understands, and remembers everything.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

/// What a client says first that speaks HTTP/2 without having been asked (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request that reached it.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// As a name for it, such as `GET /orders HTTP/1.1`.
    pub line: String,
    pub is_http2: bool,
    /// As they came, in order.
    pub headers: Vec<(String, String)>,
    /// Lines behind a body in chunks, which are no headers (RFC 9110, 6.5.1).
    pub trailers: usize,
}

pub struct Upstream {
    pub address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Arrived {
    /// The headers as a CGI program finds them (RFC 3875, 4.1.18): every character but letters and digits is `_`, and several
    /// lines of what becomes one name are all there.
    pub fn variables(&self) -> BTreeMap<String, Vec<&str>> {
        let mut variables = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in &self.headers {
            let variable = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            variables.entry(name.trim().chars().map(variable).collect()).or_default().push(&**value);
        }
        variables
    }

    /// The values of a header, divided at commas, in lower case.
    pub fn tokens(&self, name: &str) -> Vec<String> {
        let lines = self.headers.iter().filter(|(header, _)| header.trim().eq_ignore_ascii_case(name));
        let tokens = lines.flat_map(|(_, value)| value.split(','));
        tokens.map(|token| token.trim().to_ascii_lowercase()).filter(|token| !token.is_empty()).collect()
    }
}

impl Upstream {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let log = Arc::clone(&arrived);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, log) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, arrived, stop: Some(stop), thread: Some(thread) }
    }

    /// Everything that arrived until now.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Log = Arc<Mutex<Vec<Arrived>>>;

async fn accept(listener: std::net::TcpListener, log: Log) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, Arc::clone(&log)));
    }
}

fn note(log: &Log, arrived: Arrived) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(arrived);
}

/// Answers until the other side has had enough; `None` is the end of the connection.
async fn serve(mut stream: TcpStream, log: Log) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(end) = head(&mut stream, &mut buffer).await else {
            return http2(stream, buffer, log).await;
        };
        let head: Vec<u8> = buffer.drain(..end).collect();
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let parsed = lines.take_while(|line| !line.is_empty()).map(|line| match line.split_once(':') {
            Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
            None => (line.to_owned(), String::new()),
        });
        let request = Arrived { line, is_http2: false, headers: parsed.collect(), trailers: 0 };
        note(&log, request.clone());

        let offered = request.tokens("upgrade");
        if offered.iter().any(|protocol| protocol == "h2c") {
            stream.write_all(b"HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await.ok()?;
            return http2(stream, buffer, log).await;
        }
        if offered.iter().any(|protocol| protocol == "websocket") {
            // The answer to the key of RFC 6455's example.
            let accept = "HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(accept.as_bytes()).await.ok()?;
            return echo(stream, buffer).await;
        }
        let trailers = body(&mut stream, &mut buffer, &request).await?;
        if trailers > 0 {
            note(&log, Arrived { trailers, ..request.clone() });
        }
        if request.line.starts_with("GET /events") {
            return events(stream, request.line.starts_with("GET /events/silent")).await;
        }
        if request.line.starts_with("HEAD ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await.ok()?;
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.ok()?;
        }
        if request.tokens("connection").iter().any(|token| token == "close") || request.line.ends_with("HTTP/1.0") {
            return None;
        }
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(buffer).await {
        Ok(read) if read > 0 => Some(()),
        _ => None,
    }
}

/// Where the next head ends; `None` if it is HTTP/2, or the end.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        if buffer.starts_with(&PREFACE[..16]) {
            return None;
        }
        // Lines may end without a carriage return.
        let ends = [&b"\r\n\r\n"[..], b"\n\n", b"\n\r\n"];
        let ends = ends.iter().filter_map(|end| Some(find(buffer, end)? + end.len()));
        if let Some(end) = ends.min() {
            return Some(end);
        }
        more(stream, buffer).await?;
    }
}

fn find(buffer: &[u8], what: &[u8]) -> Option<usize> {
    buffer.windows(what.len()).position(|window| window == what)
}

/// Reads a body away, as its head says, and counts the trailers.
async fn body(stream: &mut TcpStream, buffer: &mut Vec<u8>, request: &Arrived) -> Option<usize> {
    if !request.tokens("transfer-encoding").is_empty() {
        loop {
            let line = line(stream, buffer).await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).ok()?;
            if size == 0 {
                break;
            }
            while buffer.len() < size {
                more(stream, buffer).await?;
            }
            buffer.drain(..size);
            self::line(stream, buffer).await?;
        }
        // Trailers, up to an empty line.
        let mut trailers = 0;
        while !line(stream, buffer).await?.is_empty() {
            trailers += 1;
        }
        return Some(trailers);
    }
    let length = request.tokens("content-length").first().map_or(Some(0), |length| length.parse().ok())?;
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    buffer.drain(..length);
    Some(0)
}

async fn line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = find(buffer, b"\n") {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        more(stream, buffer).await?;
    }
}

/// A stream of events, or of one and then silence, until nobody listens.
async fn events(mut stream: TcpStream, is_silent: bool) -> Option<()> {
    // nginx would keep events back until its buffer is full.
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    loop {
        stream.write_all(b"9\r\ndata: 1\n\n\r\n").await.ok()?;
        if is_silent {
            return more(&mut stream, &mut Vec::new()).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn echo(mut stream: TcpStream, mut buffer: Vec<u8>) -> Option<()> {
    loop {
        stream.write_all(&buffer).await.ok()?;
        buffer.clear();
        more(&mut stream, &mut buffer).await?;
    }
}

/// Speaks HTTP/2, if that is what comes.
async fn http2(stream: TcpStream, buffer: Vec<u8>, log: Log) -> Option<()> {
    let (reader, writer) = stream.into_split();
    let reader = std::io::Cursor::new(buffer).chain(reader);
    let mut connection = h2::server::handshake(tokio::io::join(reader, writer)).await.ok()?;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        let line = format!("{} {} HTTP/2", request.method(), request.uri());
        note(&log, Arrived { line, is_http2: true, headers: headers.collect(), trailers: 0 });
        let answer = http::Response::new(());
        if let Ok(mut body) = respond.send_response(answer, false) {
            let _ = body.send_data("ok".into(), true);
        }
    }
    Some(())
}
