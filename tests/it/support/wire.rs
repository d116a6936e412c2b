//! A wire to Postgres that a test can stall or cut, and that fails at a message of the server or at words of a client.

use std::{
    collections::HashMap,
    io::{self, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use url::Url;

/// What the wire does with every connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Open,
    /// Nothing arrives, in either direction, and nobody is told: what was sent comes late.
    Stalled,
    /// Every connection breaks, also new ones.
    Cut,
    /// New connections are closed at once; the others go on.
    Refusing,
}

/// When a connection fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Messages of the server that arrive whole, from the beginning of the connection.
    pub messages: usize,
    pub failure: Failure,
}

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

/// What is lost when a client sends certain words, and its connection with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The request: the server never sees it.
    Request,
    /// The same, but the connection seems to stand.
    RequestSilently,
    /// The answer: the server has done what it was told, and nobody hears it.
    Answer,
    /// Nobody waits for the answer: the connection is gone as soon as the server has the request.
    Wait,
}

/// What is to be lost next, once.
struct Trap {
    words: &'static str,
    /// Not these words are lost, but the COMMIT after them.
    at_commit: bool,
    lost: Lost,
    /// What becomes of the other connections with it.
    then: Flow,
}

/// COMMIT as a message of the simple protocol.
const COMMIT: &[u8] = b"COMMIT\0";

/// An empty statement, which asks whether a server is there.
const PING: &[u8] = b"Q\0\0\0\x05\0";

/// A port of its own that leads to a Postgres server. Threads of its own, so that it works whatever the test waits for.
pub struct Wire {
    url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    server: String,
    flow: Mutex<Flow>,
    flow_changed: Condvar,
    plan: Mutex<Option<Plan>>,
    trap: Mutex<Option<Trap>>,
    lost: AtomicUsize,
    refused: AtomicUsize,
    /// How many connections were made, and how many of the first carry no question any more.
    made: AtomicUsize,
    silent: AtomicUsize,
    pings: AtomicUsize,
    /// What each client has sent, if it is kept.
    sent: Mutex<Option<Vec<Vec<u8>>>>,
    /// Both ends of the connections that stand.
    open: Mutex<HashMap<usize, [TcpStream; 2]>>,
}

impl Wire {
    /// Leads to the server of this URL.
    pub fn to(database_url: &str) -> Self {
        let mut url = Url::parse(database_url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        // Messages must be readable here.
        url.set_query(Some("sslmode=disable"));
        let wire = Self { url: url.into(), state: Arc::new(State { server, ..State::default() }) };
        let state = Arc::clone(&wire.state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if matches!(*state.flow.lock().unwrap(), Flow::Cut | Flow::Refusing) {
                    state.refused.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let (number, plan) = (state.made.fetch_add(1, Ordering::SeqCst), *state.plan.lock().unwrap());
                let state = Arc::clone(&state);
                thread::spawn(move || {
                    let _ = state.carry(number, client, plan);
                    state.open.lock().unwrap().remove(&number);
                });
            }
        });
        wire
    }

    /// The URL of the same database by way of this.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// What is done from now on with every connection.
    pub fn set(&self, flow: Flow) {
        self.state.set(flow);
    }

    /// What happens to connections that are made from now on.
    pub fn plan(&self, plan: Plan) {
        *self.state.plan.lock().unwrap() = Some(plan);
    }

    /// Loses this when these words are sent next.
    pub fn lose(&self, lost: Lost, words: &'static str) {
        self.trap(Trap { words, at_commit: false, lost, then: Flow::Open });
    }

    /// Loses this of the next COMMIT of a transaction in which these words were sent.
    pub fn lose_at_commit(&self, lost: Lost, words: &'static str) {
        self.trap(Trap { words, at_commit: true, lost, then: Flow::Open });
    }

    /// The same, and from then on no new connection is carried until the wire is set to be open.
    pub fn lose_at_commit_and_refuse(&self, lost: Lost, words: &'static str) {
        self.trap(Trap { words, at_commit: true, lost, then: Flow::Refusing });
    }

    fn trap(&self, trap: Trap) {
        *self.state.trap.lock().unwrap() = Some(trap);
    }

    /// How many it lost so far.
    pub fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// How many connections it refused.
    pub fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// From now on no connection that was made before carries a question, and nobody is told.
    pub fn silence(&self) {
        self.state.silent.store(self.state.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How often a silenced connection was asked whether the server is there, notifications' aside.
    pub fn pings_into_silence(&self) -> usize {
        self.state.pings.load(Ordering::SeqCst)
    }

    /// From now on what clients send is kept. To be called before the first one connects.
    pub fn keep_what_is_sent(&self) {
        *self.state.sent.lock().unwrap() = Some(Vec::new());
    }

    /// What was kept, a connection each.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.state.sent.lock().unwrap().clone().unwrap_or_default()
    }
}

impl State {
    fn set(&self, flow: Flow) {
        *self.flow.lock().unwrap() = flow;
        self.flow_changed.notify_all();
        if flow == Flow::Cut {
            self.open.lock().unwrap().values().flatten().for_each(close);
        }
    }

    /// Waits until something may pass; whether it may, or the wire is cut.
    fn passes(&self) -> bool {
        let flow = self.flow_changed.wait_while(self.flow.lock().unwrap(), |flow| *flow == Flow::Stalled).unwrap();
        *flow != Flow::Cut
    }

    fn carry(self: &Arc<Self>, number: usize, client: TcpStream, plan: Option<Plan>) -> io::Result<()> {
        let ends =
            |client: &TcpStream, server: &TcpStream| Ok::<_, io::Error>([client.try_clone()?, server.try_clone()?]);
        self.passes();
        let server = TcpStream::connect(&self.server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.open.lock().unwrap().insert(number, ends(&client, &server)?);
        let losing = Arc::<Mutex<Option<Lost>>>::default();
        let ([from_client, to_server], there, seen) = (ends(&client, &server)?, Arc::clone(self), Arc::clone(&losing));
        // Only once it is among those that a cut ends.
        if self.passes() {
            let questions = thread::spawn(move || there.carry_questions(number, from_client, to_server, &seen));
            let _ = self.carry_answers(&server, &client, plan, &losing);
            [&client, &server].into_iter().for_each(close);
            let _ = questions.join();
        }
        Ok(())
    }

    fn carry_questions(
        &self,
        number: usize,
        mut client: TcpStream,
        mut server: TcpStream,
        losing: &Mutex<Option<Lost>>,
    ) {
        let place = self.sent.lock().unwrap().as_mut().map(|connections| {
            connections.push(Vec::new());
            connections.len() - 1
        });
        let (mut buffer, mut is_listener, mut had_words) = (vec![0; 1 << 16], false, false);
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            let data = &buffer[..read];
            if let (Some(place), Some(connections)) = (place, self.sent.lock().unwrap().as_mut()) {
                connections[place].extend_from_slice(data);
            }
            if number < self.silent.load(Ordering::SeqCst) {
                self.pings.fetch_add(usize::from(!is_listener && data == PING), Ordering::SeqCst);
                continue;
            }
            if !self.passes() {
                break;
            }
            is_listener |= data.starts_with(b"Q") && contains(data, b"LISTEN");
            let lost = self.spring(data, &mut had_words);
            if lost.is_some() {
                // Before the server can answer.
                *losing.lock().unwrap() = lost;
            }
            match lost {
                Some(Lost::Request) => break,
                Some(Lost::RequestSilently) => while let Ok(1..) = client.read(&mut buffer) {},
                _ if server.write_all(data).is_err() || lost == Some(Lost::Wait) => break,
                _ => {}
            }
        }
        close(&client);
        // Only this direction: what the server was told it is to do by itself.
        let _ = server.shutdown(Shutdown::Write);
    }

    /// What is lost of this, if the trap was set for it.
    fn spring(&self, data: &[u8], had_words: &mut bool) -> Option<Lost> {
        let mut trap = self.trap.lock().unwrap();
        *had_words |= trap.as_ref().is_some_and(|trap| contains(data, trap.words.as_bytes()));
        let Trap { lost, then, .. } = trap.take_if(|trap| *had_words && (!trap.at_commit || contains(data, COMMIT)))?;
        *had_words = false;
        if then != Flow::Open {
            self.set(then);
        }
        self.lost.fetch_add(1, Ordering::SeqCst);
        Some(lost)
    }

    fn carry_answers(
        &self,
        server: &TcpStream,
        mut client: &TcpStream,
        plan: Option<Plan>,
        losing: &Mutex<Option<Lost>>,
    ) -> io::Result<()> {
        let mut server = BufReader::new(server);
        for arrived in 0.. {
            let mut message = vec![0; 5];
            server.read_exact(&mut message)?;
            let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
            message.resize(1 + length, 0);
            server.read_exact(&mut message[5..])?;
            if !self.passes() || losing.lock().unwrap().is_some() {
                break;
            }
            let Some(Plan { failure, .. }) = plan.filter(|plan| plan.messages == arrived) else {
                client.write_all(&message)?;
                continue;
            };
            return match failure {
                Failure::Cut => Ok(()),
                Failure::Truncated(bytes) => client.write_all(&message[..bytes.min(message.len() - 1)]),
                // Until the client hangs up, which ends the server's connection too.
                Failure::Stalled => io::copy(&mut server, &mut io::sink()).map(drop),
                Failure::Dripped => message.chain(server).bytes().try_for_each(|byte| client.write_all(&[byte?])),
            };
        }
        Ok(())
    }
}

fn contains(data: &[u8], words: &[u8]) -> bool {
    data.windows(words.len()).any(|window| window == words)
}

fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
