//! 32 connections that are always waiting for an answer, each checked.
//!
//! Blocking sockets and one epoll a thread: a write, a wait for many and a read are all that a request costs here.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    io::Errno,
};

use super::{
    cores,
    http::{Question, Request, Shape},
    keys::{Random, key, unknown_key},
};

pub const CONNECTIONS: usize = 32;

/// An answer that takes longer is none.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// What is asked, of which keys.
#[derive(Clone, Copy)]
pub struct Load {
    pub question: Question,
    /// Keys 0 to this are in the database; each request takes one at random.
    pub keys: u64,
    pub unknown_percent: u64,
}

/// One server, and the connections that ask it.
pub struct Driver {
    threads: Vec<Thread>,
}

/// What a thread drives, from slice to slice.
struct Thread {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    load: Load,
    random: Random,
    is_bare: bool,
}

struct Connection {
    stream: TcpStream,
    request: Request,
    is_unknown: bool,
    sent: Instant,
    answer: Vec<u8>,
    filled: usize,
    shape: Shape,
}

/// What was seen in one slice.
#[derive(Default)]
pub struct Slice {
    pub elapsed: Duration,
    /// Of every request, in nanoseconds.
    pub latencies: Vec<u32>,
    /// CPU time of the driver's threads.
    pub driver: Duration,
}

impl Driver {
    /// `is_bare`: answers are a status and nothing else.
    pub fn connect(address: SocketAddr, load: Load, is_bare: bool) -> Self {
        let count = cores::drivers();
        let connect = |number| {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
            let share = CONNECTIONS / count + usize::from(number < CONNECTIONS % count);
            let connections: Vec<_> = (0..share).map(|_| Connection::open(address, load.question)).collect();
            for (index, connection) in connections.iter().enumerate() {
                let data = epoll::EventData::new_u64(index as u64);
                epoll::add(&epoll, &connection.stream, data, epoll::EventFlags::IN).expect("a socket can be polled");
            }
            Thread { epoll, connections, load, random: Random::new(number as u64), is_bare }
        };
        Self { threads: (0..count).map(connect).collect() }
    }

    /// Asks for this long, then waits for the answers that are under way.
    pub fn slice(&mut self, length: Duration) -> Slice {
        let begun = Instant::now();
        let end = begun + length;
        let seen = thread::scope(|scope| {
            let threads = self.threads.iter_mut().enumerate();
            let running: Vec<_> = threads
                .map(|(number, thread)| {
                    scope.spawn(move || {
                        cores::pin_driver(number);
                        let cpu = cpu_time::ThreadTime::now();
                        let latencies = thread.run(end);
                        (latencies, cpu.elapsed())
                    })
                })
                .collect();
            running.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let mut slice = Slice { elapsed: begun.elapsed(), ..Slice::default() };
        for part in seen {
            // With the words of the thread that failed.
            let (latencies, cpu) = part.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            slice.latencies.extend(latencies);
            slice.driver += cpu;
        }
        slice
    }
}

impl Thread {
    fn run(&mut self, end: Instant) -> Vec<u32> {
        let mut latencies = Vec::with_capacity(1 << 18);
        let mut events = Vec::with_capacity(CONNECTIONS);
        for connection in &mut self.connections {
            connection.ask(self.load, &mut self.random);
        }
        let mut waiting = self.connections.len();
        while waiting > 0 {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&PATIENCE)) {
                Ok(0) => panic!("{:?}: no answer for {} s", self.load.question, PATIENCE.tv_sec),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => panic!("cannot wait for answers: {error}"),
            }
            for event in events.drain(..) {
                let connection = &mut self.connections[event.data.u64() as usize];
                if !connection.has_answer(self.load.question, self.is_bare) {
                    continue;
                }
                let now = Instant::now();
                latencies.push((now - connection.sent).as_nanos().min(u128::from(u32::MAX)) as u32);
                if now < end {
                    connection.ask(self.load, &mut self.random);
                } else {
                    waiting -= 1;
                }
            }
        }
        latencies
    }
}

impl Connection {
    fn open(address: SocketAddr, question: Question) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts connections");
        stream.set_nodelay(true).expect("Nagle can be switched off");
        let answer = vec![0; if let Question::Batch(size) = question { 4096 + 512 * size } else { 4096 }];
        let (request, shape) = (Request::new(question), Shape::default());
        Self { stream, request, is_unknown: false, sent: Instant::now(), answer, filled: 0, shape }
    }

    fn ask(&mut self, load: Load, random: &mut Random) {
        self.is_unknown = load.unknown_percent > 0 && random.below(100) < load.unknown_percent;
        let is_unknown = self.is_unknown;
        self.request.fill(|| {
            let n = random.below(load.keys);
            if is_unknown { unknown_key(n) } else { key(n) }
        });
        self.filled = 0;
        self.sent = Instant::now();
        self.stream.write_all(&self.request.bytes).expect("the server reads");
    }

    /// Reads what has come; whether it is a whole answer.
    fn has_answer(&mut self, question: Question, is_bare: bool) -> bool {
        let read = self.stream.read(&mut self.answer[self.filled..]).expect("the server answers");
        assert!(read > 0, "{question:?}: the server closed the connection (or an answer was too long)");
        self.filled += read;
        let Some(answer) = self.shape.read(&self.answer[..self.filled]) else { return false };
        let (status, begins) = expected(question, self.is_unknown, is_bare);
        let is_right = answer.status == status
            && begins.map_or(answer.body.is_empty(), |begins| answer.body.starts_with(begins.as_bytes()));
        if !is_right {
            let body = &answer.body[..answer.body.len().min(300)];
            panic!(
                "{question:?} (unknown key: {}) was answered with {} {:?}, expected {status} {begins:?}",
                self.is_unknown,
                answer.status,
                String::from_utf8_lossy(body)
            );
        }
        true
    }
}

/// Status, and what the body begins with; `None`: it is empty.
fn expected(question: Question, is_unknown: bool, is_bare: bool) -> (u16, Option<&'static str>) {
    match (question, is_unknown, is_bare) {
        (_, false, true) | (Question::ForwardAuth, false, false) => (200, None),
        (_, true, true) => (401, None),
        // A problem document.
        (Question::ForwardAuth, true, false) => (401, Some("")),
        (Question::Verify, false, false) => (200, Some(r#"{"valid":true,"code":"VALID""#)),
        (Question::Verify, true, false) => (200, Some(r#"{"valid":false,"code":"NOT_FOUND""#)),
        (Question::Batch(_), false, false) => (200, Some(r#"{"results":[{"valid":true,"code":"VALID""#)),
        (Question::Batch(_), true, false) => (200, Some(r#"{"results":[{"valid":false,"code":"NOT_FOUND""#)),
    }
}
