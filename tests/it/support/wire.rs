//! A wire to Postgres that loses one COMMIT, or what was answered to it, and may stay broken for a while.

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

/// COMMIT as a message of the simple protocol.
const COMMIT: &[u8] = b"COMMIT\0";

/// What the wire loses of a transaction that is about to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// COMMIT itself: the server never sees it.
    Commit,
    /// The answer: the server has committed, and nobody hears it.
    Answer,
    /// Nobody waits for the answer: the connection is gone as soon as the server has COMMIT.
    Wait,
}

/// Threads of its own, so that it works whatever the test waits for.
pub struct Wire {
    port: u16,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// What is to be lost of the next transaction that sent these words.
    next: Mutex<Option<(Lost, &'static str)>>,
    /// New connections are closed at once.
    is_down: AtomicBool,
    /// Whether the loss also takes the wire down.
    falls: AtomicBool,
    lost: AtomicUsize,
}

impl Wire {
    /// Leads to the server of this URL.
    pub fn to(database_url: &str) -> Self {
        let url = Url::parse(database_url).unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(Faults::default());
        let seen = Arc::clone(&faults);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if seen.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect((&*server.0, server.1)) else { continue };
                carry(client, server, &seen);
            }
        });
        Self { port, faults }
    }

    /// The URL of the same database by way of this.
    pub fn url(&self, database_url: &str) -> String {
        let mut url = Url::parse(database_url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// Loses this of the next transaction in which these words were sent.
    pub fn lose(&self, what: Lost, after: &'static str) {
        *self.faults.next.lock().unwrap() = Some((what, after));
    }

    /// The same, and from then on no new connection is carried until [`Wire::mend`].
    pub fn lose_and_stay_down(&self, what: Lost, after: &'static str) {
        self.faults.falls.store(true, Ordering::SeqCst);
        self.lose(what, after);
    }

    pub fn mend(&self) {
        self.faults.falls.store(false, Ordering::SeqCst);
        self.faults.is_down.store(false, Ordering::SeqCst);
    }

    /// How many it lost so far.
    pub fn lost(&self) -> usize {
        self.faults.lost.load(Ordering::SeqCst)
    }
}

fn contains(data: &[u8], words: &[u8]) -> bool {
    data.windows(words.len()).any(|window| window == words)
}

fn carry(client: TcpStream, server: TcpStream, faults: &Arc<Faults>) {
    // What is to be lost of the transaction that commits now.
    let losing: Arc<Mutex<Option<Lost>>> = Arc::default();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (there, seen) = (Arc::clone(&losing), Arc::clone(faults));
    thread::spawn(move || {
        let (mut buffer, mut has_words) = (vec![0; 1 << 16], false);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let data = &buffer[..read];
            let mut next = seen.next.lock().unwrap();
            has_words |= next.is_some_and(|(_, words)| contains(data, words.as_bytes()));
            if has_words && contains(data, COMMIT) {
                has_words = false;
                *there.lock().unwrap() = next.take().map(|(lost, _)| seen.lose(lost));
            }
            drop(next);
            let losing = *there.lock().unwrap();
            if losing == Some(Lost::Commit) || to.write_all(data).is_err() || losing == Some(Lost::Wait) {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        // Only this direction where the server is to go on by itself.
        let _ = to.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let (mut from, mut to) = (server, client);
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if losing.lock().unwrap().is_some() || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

impl Faults {
    fn lose(&self, lost: Lost) -> Lost {
        self.is_down.store(self.falls.load(Ordering::SeqCst), Ordering::SeqCst);
        self.lost.fetch_add(1, Ordering::SeqCst);
        lost
    }
}
