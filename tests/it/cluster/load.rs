//! The load: admins who revoke and rotate on every node, and services that ask every node about the same keys meanwhile.
//!
//! A *race* is one verification on one node of a key whose revocation had been answered shortly before the verification was
//! sent. None of them may say `VALID`. Verifications that were sent before that answer race with it too; what they are
//! told is open, so they are load and not counted.

use std::{
    io::Result,
    net::SocketAddr,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    Cluster,
    keys::{Key, Keys},
    talk::{Reply, Talk},
};
use crate::support::form_token;

/// How long after the answer of a revocation a verification still is a race with it.
const SHORTLY: Duration = Duration::from_secs(1);
/// Keys of one question: revoked ones, and ones to come.
const BEFORE: usize = 64;
const AFTER: usize = 16;
/// After this an answer is waited for elsewhere: a paused node gets further questions meanwhile.
const IMPATIENCE: Duration = Duration::from_millis(100);
/// Every so manieth key is rotated, not revoked.
const ROTATED: usize = 8;
/// Between two questions of one service: the nodes need their time for the revocations too.
const PACE: Duration = Duration::from_millis(10);
/// Between two changes of one admin.
const THOUGHT: Duration = Duration::from_millis(20);

/// What one node answered.
#[derive(Default)]
pub struct Counts {
    pub races: AtomicU64,
    pub stale: AtomicU64,
    /// Verifications that were told `VALID`, and rightly.
    pub valid: AtomicU64,
    /// Questions that were told 503.
    pub unavailable: AtomicU64,
    waiting: AtomicU64,
    /// Questions that were not answered at once, and are waited for elsewhere.
    pub put_off: AtomicU64,
}

/// What goes on until it is told to end.
pub struct Load {
    keys: Arc<Keys>,
    nodes: Vec<Arc<Counts>>,
    pub revoked: Arc<AtomicU64>,
    odd: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Three admins and one service a node.
    pub async fn start(cluster: &Cluster, keys: &Arc<Keys>) -> Self {
        let mut load = Self {
            keys: Arc::clone(keys),
            nodes: Vec::new(),
            revoked: Arc::default(),
            odd: Arc::default(),
            is_over: Arc::default(),
            threads: Vec::new(),
        };
        for node in &cluster.nodes {
            for _ in 0..3 {
                let cookies = node.admin().await.cookies();
                let session = cookies.split_once('=').expect("a session").1.to_owned();
                let admin = Admin { shared: load.shared(), address: Arc::clone(&node.address), session };
                let revoked = Arc::clone(&load.revoked);
                load.threads.push(std::thread::spawn(move || admin.run(&revoked)));
            }
            let counts = Arc::new(Counts::default());
            load.nodes.push(Arc::clone(&counts));
            let service = Service { shared: load.shared(), address: Arc::clone(&node.address), counts };
            load.threads.push(std::thread::spawn(move || service.run()));
        }
        load
    }

    fn shared(&self) -> Shared {
        let (keys, odd, is_over) = (Arc::clone(&self.keys), Arc::clone(&self.odd), Arc::clone(&self.is_over));
        Shared { keys, odd, is_over }
    }

    pub fn node(&self, number: usize) -> &Counts {
        &self.nodes[number]
    }

    pub fn races(&self) -> u64 {
        self.nodes.iter().map(|node| node.races.load(Ordering::Relaxed)).sum()
    }

    pub fn stale(&self) -> u64 {
        self.nodes.iter().map(|node| node.stale.load(Ordering::Relaxed)).sum()
    }

    /// Ends it and waits for every answer that is still to come.
    pub async fn end(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().unwrap())).await.unwrap();
        while self.nodes.iter().any(|node| node.waiting.load(Ordering::SeqCst) > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(*self.odd.lock().unwrap(), [""; 0], "answers that nobody may get");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Shared {
    keys: Arc<Keys>,
    odd: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn note_odd(&self, who: &str, reply: &Reply) {
        let words = String::from_utf8_lossy(&reply.body).into_owned();
        self.odd.lock().unwrap().push(format!("{who}: {} {words}", reply.status));
    }
}

/// Somebody who revokes and rotates one key after the other.
struct Admin {
    shared: Shared,
    address: Arc<RwLock<SocketAddr>>,
    session: String,
}

impl Admin {
    fn run(&self, revoked: &AtomicU64) {
        let mut talk = None;
        let mut number = 0;
        while self.shared.goes_on() {
            std::thread::sleep(THOUGHT);
            // Who cannot reach the node takes no key: it would be neither living nor revoked.
            let Some(open) = open(&mut talk, &self.address) else { continue };
            let Some(key) = self.shared.keys.take() else { return };
            number += 1;
            match self.change(open, key, number % ROTATED == 0) {
                Ok(true) => {
                    self.shared.keys.note_refused(key);
                    revoked.fetch_add(1, Ordering::Relaxed);
                }
                // A fault, or an answer that got lost: it was done or not, so nothing is known of this key.
                Ok(false) => {}
                Err(_) => talk = None,
            }
        }
    }

    /// Whether the answer says that it was done.
    fn change(&self, talk: &mut Talk, key: &Key, is_rotation: bool) -> Result<bool> {
        let (change, body, done) = if is_rotation {
            ("rotate", format!("version=1&page=1&idem={}", form_token()), 200)
        } else {
            ("revoke", "version=1&page=1".to_owned(), 303)
        };
        let headers = format!(
            "Cookie: {}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n",
            self.cookie()
        );
        talk.ask(&format!("/settings/integrations/keys/{}/{change}", key.id), &headers, &body)?;
        let reply = talk.reply()?;
        let is_to_sign_in = reply.header("location").is_some_and(|place| place.contains("sign-in"));
        if reply.status == done && !is_to_sign_in {
            return if is_rotation { self.follow(talk, reply) } else { Ok(true) };
        }
        let is_unknown = reply.header("keystead-answer") == Some("outcome_unknown");
        if reply.status != 503 || reply.header("retry-after").is_none() && !is_unknown {
            self.shared.note_odd(change, &reply);
        }
        Ok(false)
    }
}

impl Admin {
    /// Named by the port, which is another one after a node was started again.
    fn cookie(&self) -> String {
        let port = self.address.read().unwrap().port();
        format!("keystead-{port}={}", self.session)
    }

    /// A rotation shows its key at once, and says later that the old one is refused everywhere: whether it did.
    fn follow(&self, talk: &mut Talk, mut reply: Reply) -> Result<bool> {
        const CHANGES: &str = "/settings/integrations/changes/";
        loop {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            if reply.status != 200 || text.contains("The old one no longer works. ") {
                return Ok(reply.status == 200);
            }
            let Some((_, next)) = text.split_once(CHANGES) else {
                self.shared.note_odd("rotate", &reply);
                return Ok(false);
            };
            let next = next.split('"').next().unwrap_or_default();
            talk.get(&format!("{CHANGES}{next}"), &format!("Cookie: {}\r\nHX-Request: true\r\n", self.cookie()))?;
            reply = talk.reply()?;
        }
    }
}

/// Somebody who asks one node about many keys all the time.
#[derive(Clone)]
struct Service {
    shared: Shared,
    address: Arc<RwLock<SocketAddr>>,
    counts: Arc<Counts>,
}

/// What a question was about: of each key, for how long it must have been refused when the question was sent.
type Asked = Vec<Option<Duration>>;

impl Service {
    fn run(&self) {
        let mut talk = None;
        while self.shared.goes_on() {
            let Some(open) = open(&mut talk, &self.address) else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            std::thread::sleep(PACE);
            let asked = self.ask(open);
            match asked.and_then(|asked| Ok((asked, open.is_answered_within(IMPATIENCE)?))) {
                Ok((asked, true)) => {
                    if self.hear(open, &asked).is_err() {
                        talk = None;
                    }
                }
                Ok((asked, false)) => {
                    // The question waits in the node's socket; another connection asks on.
                    if let Some(talk) = talk.take() {
                        self.wait_elsewhere(talk, asked);
                    }
                }
                Err(_) => talk = None,
            }
        }
    }

    fn ask(&self, talk: &mut Talk) -> Result<Asked> {
        let keys = self.shared.keys.around_now(BEFORE, AFTER);
        let asked = keys.iter().rev().map(|key| self.shared.keys.refused_for(key)).collect();
        // The newest first: a node that was paused answers them before it has read anything.
        let texts: Vec<String> = keys.iter().rev().map(|key| format!("\"{}\"", key.secret)).collect();
        let body = format!("{{\"keys\":[{}]}}", texts.join(","));
        // Only now: what was noted as refused was so before the first byte left.
        talk.ask("/v1/keys/verify", "Content-Type: application/json\r\n", &body)?;
        Ok(asked)
    }

    fn hear(&self, talk: &mut Talk, asked: &Asked) -> Result<()> {
        let reply = talk.reply()?;
        match reply.status {
            200 => self.count(asked, &reply),
            503 if reply.header("retry-after").is_some() => {
                self.counts.unavailable.fetch_add(1, Ordering::Relaxed);
                // As it was told.
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => self.shared.note_odd("verify", &reply),
        }
        Ok(())
    }

    fn count(&self, asked: &Asked, reply: &Reply) {
        let answers: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let Some(results) = answers["results"].as_array().filter(|results| results.len() == asked.len()) else {
            return self.shared.note_odd("verify", reply);
        };
        for (refused_for, result) in asked.iter().zip(results) {
            let is_valid = result["valid"] == true || result["code"] == "VALID";
            let counter = match refused_for {
                Some(_) if is_valid => &self.counts.stale,
                None if is_valid => &self.counts.valid,
                Some(time) if *time <= SHORTLY => &self.counts.races,
                _ => continue,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait_elsewhere(&self, mut talk: Talk, asked: Asked) {
        self.counts.waiting.fetch_add(1, Ordering::SeqCst);
        self.counts.put_off.fetch_add(1, Ordering::SeqCst);
        let service = self.clone();
        std::thread::spawn(move || {
            // A node that was killed does not answer.
            let _ = service.hear(&mut talk, &asked);
            service.counts.waiting.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// The connection at hand, or a new one, to where the node is now.
fn open<'a>(talk: &'a mut Option<Talk>, address: &RwLock<SocketAddr>) -> Option<&'a mut Talk> {
    if talk.is_none() {
        let address = *address.read().unwrap();
        *talk = Talk::open(address).ok();
    }
    talk.as_mut()
}
