//! A hostile client before a gateway, a lenient API behind it, and a real Keystead: whatever is written, the API must see
//! only requests that were asked about, with the identity that Keystead gave and no other.

use std::{net::SocketAddr, time::Duration};

use actix_web::web::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    CLIENT, IDENTITY, Shown, Start,
    grammar::{Dice, Hostile, Keys, hostile},
    program::Gateway,
    upstream::{Arrived, Upstream},
};
use crate::support::{Key, Person, TestApp};

/// How many talk at the same time, each over a connection of its own.
const CLIENTS: usize = 16;
/// How long a gateway is waited for that may never answer, because it waits itself: nothing is concluded from its silence.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long any other answer may take.
const LONG: Duration = Duration::from_secs(60);

/// A gateway that a hostile client may try.
pub struct Siege {
    gateway: Gateway,
    upstream: Upstream,
    keys: Keys,
    identity: Vec<(&'static str, String)>,
    _keystead: TestApp,
    maya: Person,
    key: Key,
}

/// What became of the requests.
#[derive(Default)]
pub struct Outcome {
    /// What must not have happened.
    pub faults: Vec<String>,
    pub sent: usize,
    /// Requests that the API saw.
    pub arrived: usize,
    /// Lines that it saw behind bodies in chunks.
    pub trailers: usize,
    /// Good answers to good keys by HTTP/2.
    pub by_http2: usize,
}

/// The head of an answer.
struct Answer {
    status: u16,
    head: String,
}

impl Siege {
    /// With these changes to what is shown, each of which must be possible in one of the files.
    pub async fn lay(start: Start, changes: &[(&str, &str)]) -> Self {
        let keystead = TestApp::start().await;
        let maya = keystead.admin().await;
        let revoked = maya.create_key("Old").await;
        maya.revoke(&revoked).await;
        let key = maya.create_key("Mine").await;
        let upstream = Upstream::start();
        let shown = Shown::to(&maya).await.changed(changes);
        let gateway = start(&shown, upstream.address);
        let keys = Keys { good: key.secret.clone(), revoked: revoked.secret };
        Self { gateway, upstream, keys, identity: identity(&key), _keystead: keystead, maya, key }
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// A key that is good.
    pub fn key(&self) -> &str {
        &self.keys.good
    }

    /// Ends the key that was good.
    pub async fn revoke(&self) {
        self.maya.revoke(&self.key).await;
    }

    /// Sends this many requests of the grammar.
    pub async fn storm(self, seed: u64, requests: usize) -> Outcome {
        let address = self.gateway.address;
        let clients = (0..CLIENTS).map(|number| {
            let keys = Keys { good: self.keys.good.clone(), revoked: self.keys.revoked.clone() };
            let mut dice = Dice::new(seed ^ ((number as u64) << 32));
            tokio::spawn(async move {
                let mut client = Client { address, stream: None, faults: Vec::new() };
                for _ in 0..requests.div_ceil(CLIENTS) {
                    client.send(&hostile(&mut dice, &address.to_string(), &keys)).await;
                }
                client.faults
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut outcome = Outcome { sent: requests.div_ceil(CLIENTS) * CLIENTS, ..Outcome::default() };
        for client in clients {
            outcome.faults.extend(client.await.unwrap());
        }
        outcome.by_http2 = over_http2(address, &self.keys.good, seed).await;
        connect_over_http2(address, &self.keys.good).await;
        // Nothing comes any more once it has ended.
        drop(self.gateway);
        let arrived = self.upstream.arrived();
        outcome.arrived = arrived.iter().filter(|arrived| arrived.trailers == 0).count();
        outcome.trailers = arrived.iter().map(|arrived| arrived.trailers).sum();
        outcome.faults.extend(arrived.iter().filter_map(|arrived| fault(arrived, &self.identity)));
        outcome
    }
}

fn identity(key: &Key) -> Vec<(&'static str, String)> {
    let values = [&*key.id, &*key.name, &*key.organization_id, "-"];
    IDENTITY.into_iter().zip(values.map(str::to_owned)).collect()
}

/// What is wrong with a request that the API saw.
fn fault(arrived: &Arrived, identity: &[(&str, String)]) -> Option<String> {
    let variables = arrived.variables();
    let wrong = |what: &str| Some(format!("{what}: {arrived:?}"));
    if arrived.is_http2 {
        return wrong("HTTP/2, which no gateway speaks to it");
    }
    for (name, value) in identity {
        let variable = name.replace('-', "_").to_ascii_uppercase();
        if variables.get(&variable).map(Vec::as_slice) != Some(&[value.as_str()]) {
            return wrong(&format!("{name} is not {value} alone"));
        }
    }
    let known = |token: &String| matches!(&**token, "close" | "keep-alive" | "upgrade");
    if !arrived.tokens("connection").iter().all(known) {
        return wrong("a header would be taken away behind the gateway");
    }
    if !matches!(arrived.tokens("upgrade").as_slice(), [] | [_])
        || arrived.tokens("upgrade").iter().any(|p| p != "websocket")
    {
        return wrong("an offer to speak something else");
    }
    if variables.contains_key("HTTP2_SETTINGS") {
        return wrong("HTTP2-Settings");
    }
    if arrived.tokens("x-forwarded-for").last().map(String::as_str) != Some(CLIENT) {
        return wrong("the last hop is not the client");
    }
    None
}

struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    faults: Vec<String>,
}

impl Client {
    async fn send(&mut self, hostile: &Hostile) {
        let answer = if hostile.is_ambiguous { self.send_apart(hostile).await } else { self.send_on(hostile).await };
        let shown = || String::from_utf8_lossy(&hostile.bytes).into_owned();
        match answer {
            Some(answer) if answer.status == 101 && !answer.says("upgrade", "websocket") => {
                self.faults.push(format!("{} after {:?}", answer.head, shown()));
            }
            // On a busy machine a gateway may lose its patience with Keystead: that lets nobody in.
            Some(answer) if hostile.must_pass && !matches!(answer.status, 200 | 502..=504) => {
                self.faults.push(format!("{} after {:?}", answer.head, shown()));
            }
            None if hostile.must_pass => self.faults.push(format!("no answer after {:?}", shown())),
            _ => {}
        }
    }

    /// Over the connection that is open, if it still is.
    async fn send_on(&mut self, hostile: &Hostile) -> Option<Answer> {
        for _ in 0..2 {
            let (mut stream, was_open) = match self.stream.take() {
                Some(stream) => (stream, true),
                None => (connect(self.address).await, false),
            };
            let sent = stream.write_all(&hostile.bytes).await;
            let answer = if sent.is_ok() { answer(&mut stream, hostile.is_head, LONG).await } else { None };
            match answer {
                Some((answer, is_whole)) => {
                    if is_whole && !answer.says("connection", "close") {
                        self.stream = Some(stream);
                    }
                    return Some(answer);
                }
                // It was closed meanwhile, as a server may.
                None if was_open => {}
                None => return None,
            }
        }
        None
    }

    async fn send_apart(&mut self, hostile: &Hostile) -> Option<Answer> {
        let mut stream = connect(self.address).await;
        let _ = stream.write_all(&hostile.bytes).await;
        let (answer, _) = answer(&mut stream, hostile.is_head, PATIENCE).await?;
        if answer.status == 101 {
            let _ = stream.write_all(TUNNELLED).await;
        }
        // One more, in which nobody can be mistaken, ends the connection.
        let _ = stream
            .write_all(format!("GET /last HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).as_bytes())
            .await;
        if answer.status != 101 {
            let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        }
        Some(answer)
    }
}

/// A request in HTTP/2: what a client says first, no settings, and `GET /` of nobody as the frame HEADERS of stream 3.
const TUNNELLED: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x03\x82\x86\x84";

impl Answer {
    fn says(&self, name: &str, token: &str) -> bool {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.any(|value| value.split(',').any(|value| value.trim().eq_ignore_ascii_case(token)))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(CLIENT.parse().unwrap(), 0)).unwrap();
    let stream = socket.connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One answer, and whether it was read to its end.
async fn answer(stream: &mut TcpStream, is_head: bool, patience: Duration) -> Option<(Answer, bool)> {
    tokio::time::timeout(patience, read_answer(stream, is_head)).await.ok().flatten()
}

async fn read_answer(stream: &mut TcpStream, is_head: bool) -> Option<(Answer, bool)> {
    let mut buffer = Vec::new();
    let answer = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            let status = head.split(' ').nth(1)?.parse().ok()?;
            if status == 101 || status >= 200 {
                break Answer { status, head };
            }
        } else if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    };
    if is_head || answer.status == 101 {
        return Some((answer, true));
    }
    if answer.says("transfer-encoding", "chunked") {
        while !buffer.ends_with(b"0\r\n\r\n") {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return Some((answer, false));
            }
        }
        return Some((answer, true));
    }
    let Some(length) = answer.header("content-length").and_then(|length| length.parse::<usize>().ok()) else {
        return Some((answer, false));
    };
    while buffer.len() < length {
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return Some((answer, false));
        }
    }
    let is_whole = buffer.len() == length;
    Some((answer, is_whole))
}

/// The same by HTTP/2 from the first byte on, for a gateway that speaks it unasked; how many good answers came.
async fn over_http2(address: SocketAddr, key: &str, seed: u64) -> usize {
    let Some(mut sender) = http2(address).await else { return 0 };
    let mut dice = Dice::new(seed);
    let mut good = 0;
    for number in 0..200 {
        let mut request = http::Request::get(format!("http://{address}/orders"));
        if number % 2 == 0 {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for _ in 0..3 {
            // Here names are in lower case.
            request = request.header(dice.alias().to_ascii_lowercase(), "key_FORGED");
        }
        let request = request.header("x-forwarded-for", "6.6.6.6").body(()).unwrap();
        let Ok(mut ready) = sender.clone().ready().await else { break };
        let Ok((answer, _)) = ready.send_request(request, true) else { break };
        match tokio::time::timeout(LONG, answer).await {
            Ok(Ok(answer)) if answer.status() == 200 => good += 1,
            Ok(Ok(_)) => {}
            _ => break,
        }
        sender = ready;
    }
    good
}

/// Offers to speak something else as HTTP/2 does (RFC 8441), each over a connection of its own.
async fn connect_over_http2(address: SocketAddr, key: &str) {
    for protocol in ["h2c", "websocket", "h2c, websocket", "connect-udp"] {
        let Some(sender) = http2(address).await else { return };
        let request = http::Request::builder().method("CONNECT").uri(format!("http://{address}/live"));
        let request = request.header("authorization", format!("Bearer {key}")).header("x.key.id", "key_FORGED");
        let request = request.extension(h2::ext::Protocol::from_static(protocol)).body(()).unwrap();
        let Ok(mut ready) = sender.ready().await else { continue };
        let Ok((answer, mut body)) = ready.send_request(request, false) else { continue };
        if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, answer).await {
            let _ = body.send_data(TUNNELLED.into(), true);
        }
    }
}

async fn http2(address: SocketAddr) -> Option<h2::client::SendRequest<Bytes>> {
    let connecting = h2::client::Builder::new().handshake(connect(address).await);
    let (sender, connection) = tokio::time::timeout(LONG, connecting).await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(sender)
}
