//! A wire to Postgres that knows where each message of the protocol ends, and fails at one of them.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use url::Url;

/// What happens after so many messages of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection is closed.
    Cut,
    /// The beginning of the next message arrives, so many bytes of it, then the connection is closed.
    Truncated(usize),
    /// Nothing arrives any more, and nobody is told.
    Stalled,
    /// Everything arrives, a byte at a time.
    Dripped,
}

/// When a connection fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Messages of the server that arrive whole, from the beginning of the connection.
    pub messages: usize,
    pub failure: Failure,
}

/// A port of its own that leads to a Postgres server, until the test ends.
pub struct WireProxy {
    url: String,
    plan: Arc<Mutex<Option<Plan>>>,
    question: Question,
    is_silent: Arc<AtomicBool>,
    sent: Sent,
    silence: Arc<Silence>,
}

/// What each client has sent, if it is kept.
type Sent = Arc<Mutex<Option<Vec<Vec<u8>>>>>;

/// Connections that carry no question any more, and nobody is told.
#[derive(Default)]
struct Silence {
    made: AtomicUsize,
    /// Those made before so many.
    before: AtomicUsize,
    pings: AtomicUsize,
}

/// An empty statement, which asks whether a server is there.
const PING: &[u8] = b"Q\0\0\0\x05\0";

/// Words of a client, and what then happens to its connection, once.
type Question = Arc<Mutex<Option<(&'static str, Failure)>>>;

impl WireProxy {
    /// Leads to the server of this URL.
    pub fn start(database_url: &str) -> Self {
        let mut url = Url::parse(database_url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        // Messages must be readable here.
        url.set_query(Some("sslmode=disable"));
        let plan: Arc<Mutex<Option<Plan>>> = Arc::default();
        let (question, silence) = (Question::default(), Arc::<Silence>::default());
        let (of_connections, of_questions) = (Arc::clone(&plan), Arc::clone(&question));
        let is_silent = Arc::new(AtomicBool::new(false));
        let of_all = Arc::clone(&is_silent);
        let sent = Sent::default();
        let kept = Arc::clone(&sent);
        let of_silence = Arc::clone(&silence);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let plan = *of_connections.lock().unwrap();
                carry(
                    client,
                    server,
                    plan,
                    Arc::clone(&of_questions),
                    &of_all,
                    Arc::clone(&kept),
                    Arc::clone(&of_silence),
                );
            }
        });
        Self { url: url.into(), plan, question, is_silent, sent, silence }
    }

    /// From now on what clients send is kept. To be called before the first one connects.
    pub fn keep_what_is_sent(&self) {
        *self.sent.lock().unwrap() = Some(Vec::new());
    }

    /// What was kept, a connection each.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone().unwrap_or_default()
    }

    /// From now on everything is accepted, connections included, and nothing is carried either way.
    pub fn go_silent(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// The URL of the same database by way of this.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The connection on which these words are sent next is cut, or goes silent.
    pub fn fail_at(&self, words: &'static str, failure: Failure) {
        *self.question.lock().unwrap() = Some((words, failure));
    }

    /// Whether that has happened.
    pub fn has_failed(&self) -> bool {
        self.question.lock().unwrap().is_none()
    }

    /// From now on no connection that was made before carries a question.
    pub fn silence(&self) {
        self.silence.before.store(self.silence.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How often a connection that carries nothing was asked whether the server is there, notifications' aside.
    pub fn pings_into_silence(&self) -> usize {
        self.silence.pings.load(Ordering::SeqCst)
    }

    /// What happens to connections that are made from now on.
    pub fn set(&self, plan: Option<Plan>) {
        *self.plan.lock().unwrap() = plan;
    }
}

fn carry(
    client: TcpStream,
    server: TcpStream,
    plan: Option<Plan>,
    question: Question,
    is_silent: &Arc<AtomicBool>,
    sent: Sent,
    silence: Arc<Silence>,
) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (silent_there, silent_back) = (Arc::clone(is_silent), Arc::clone(is_silent));
    let number = silence.made.fetch_add(1, Ordering::SeqCst);
    thread::spawn(move || {
        let mut listens = false;
        let mut buffer = vec![0; 1 << 16];
        let place = sent.lock().unwrap().as_mut().map(|connections| {
            connections.push(Vec::new());
            connections.len() - 1
        });
        while let Ok(read @ 1..) = from_client.read(&mut buffer) {
            if let (Some(place), Some(connections)) = (place, sent.lock().unwrap().as_mut()) {
                connections[place].extend_from_slice(&buffer[..read]);
            }
            if silent_there.load(Ordering::SeqCst) {
                continue;
            }
            if number < silence.before.load(Ordering::SeqCst) {
                let is_ping = !listens && buffer[..read] == *PING;
                silence.pings.fetch_add(usize::from(is_ping), Ordering::SeqCst);
                continue;
            }
            listens |= buffer.starts_with(b"Q") && buffer[..read].windows(6).any(|window| window == b"LISTEN");
            let has = |words: &str| buffer[..read].windows(words.len()).any(|window| window == words.as_bytes());
            let failure = question.lock().unwrap().take_if(|(words, _)| has(words));
            match failure {
                None if to_server.write_all(&buffer[..read]).is_ok() => {}
                // The server never hears it, and nobody tells the client.
                Some((_, Failure::Stalled)) => while let Ok(1..) = from_client.read(&mut buffer) {},
                _ => break,
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = copy_messages(&server, &client, plan, &silent_back);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

fn copy_messages(
    mut server: &TcpStream,
    mut client: &TcpStream,
    plan: Option<Plan>,
    is_silent: &AtomicBool,
) -> std::io::Result<()> {
    let mut arrived = 0;
    loop {
        let mut message = vec![0; 5];
        server.read_exact(&mut message)?;
        let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
        message.resize(1 + length, 0);
        server.read_exact(&mut message[5..])?;
        if is_silent.load(Ordering::SeqCst) {
            continue;
        }
        match plan {
            Some(Plan { messages, failure }) if messages == arrived => {
                return match failure {
                    Failure::Cut => Ok(()),
                    Failure::Truncated(bytes) => client.write_all(&message[..bytes.min(message.len() - 1)]),
                    // Until the client hangs up, which ends the server's connection too.
                    Failure::Stalled => {
                        while server.read(&mut message)? > 0 {}
                        Ok(())
                    }
                    Failure::Dripped => drip(server, client, &message),
                };
            }
            _ => client.write_all(&message)?,
        }
        arrived += 1;
    }
}

fn drip(mut server: &TcpStream, mut client: &TcpStream, begun: &[u8]) -> std::io::Result<()> {
    for byte in begun {
        client.write_all(&[*byte])?;
    }
    let mut buffer = [0; 512];
    loop {
        let read = server.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        for byte in &buffer[..read] {
            client.write_all(&[*byte])?;
        }
    }
}
