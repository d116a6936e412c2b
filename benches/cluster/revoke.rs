//! A revoke on the first node, and when the others refuse.

use std::{
    cell::Cell,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::nodes::{Admin, Cluster, NODES};
use crate::support::{
    client::Client,
    http::{Question, Request},
    keys::key,
    report::{Goal, figure, percentile},
    server::Server,
};

const REVOCATIONS: u64 = 300;
/// Between two questions: the resolution of what is measured, and what keeps those who ask from using up the cores.
const PAUSE: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(25);

/// One revocation, from the moment its request was sent.
struct Seen {
    /// Its answer, which says where the key is refused.
    answered: Duration,
    /// The last of the other nodes refused.
    refused: Duration,
    /// Another node let the key pass when it was asked after the answer had come.
    passed_after_answer: bool,
}

/// Many revocations in a row; `goal` in seconds.
pub fn measure(cluster: &Cluster, goal: f64) {
    let admin = Admin::sign_in(cluster.node(0));
    let others: Vec<&Server> = (1..NODES).map(|node| cluster.node(node)).collect();
    let seen: Vec<Seen> = (0..REVOCATIONS).map(|n| revoke(cluster, &admin, n, &others)).collect();
    let sorted = |figure: fn(&Seen) -> Duration| {
        let mut times: Vec<f64> = seen.iter().map(|seen| figure(seen).as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let (refused, answered) = (sorted(|seen| seen.refused), sorted(|seen| seen.answered));
    let goal = Goal::AtMost(goal * 1e3);
    figure("revoke sent to refused on both others, p99", percentile(&refused, 0.99), "ms", goal);
    let at = |times: &[f64], part| percentile(times, part);
    println!(
        "      (p50 {:.1} ms, most {:.1} ms, of {REVOCATIONS}; the revoke's answer: p50 {:.1}, p99 {:.1} ms)",
        at(&refused, 0.5),
        at(&refused, 1.0),
        at(&answered, 0.5),
        at(&answered, 0.99)
    );
    report_passed(&seen);
}

/// The third node is killed and the first revokes at once: its answer must wait for the dead node's lease, and no longer.
pub fn with_dead_node(cluster: &mut Cluster, lease: u32, times: u64) {
    let admin = Admin::sign_in(cluster.node(0));
    let mut seen = Vec::new();
    for n in 0..times {
        cluster.kill_node(NODES - 1);
        seen.push(revoke(cluster, &admin, n, &[cluster.node(1)]));
        cluster.start_node(NODES - 1);
    }
    let most = |figure: fn(&Seen) -> Duration| seen.iter().map(figure).max().unwrap_or_default().as_secs_f64();
    let what = format!("one node dead, lease {lease} s: longest of {times} answers");
    figure(&what, most(|seen| seen.answered), "s", Goal::AtMost(f64::from(lease) + 0.5));
    // Who answers before the dead node's lease has lapsed promises what it cannot know. The last renewal was at most a
    // second before.
    let least = seen.iter().map(|seen| seen.answered).min().unwrap_or_default().as_secs_f64();
    figure("and the shortest, which has to wait", least, "s", Goal::AtLeast(f64::from(lease) - 1.5));
    println!("      (the living node refused after at most {:.1} ms)", most(|seen| seen.refused) * 1e3);
    report_passed(&seen);
}

fn report_passed(seen: &[Seen]) {
    let passed = seen.iter().filter(|seen| seen.passed_after_answer).count();
    figure("keys that passed after the revoke's answer", passed as f64, "", Goal::AtMost(0.0));
}

fn revoke(cluster: &Cluster, admin: &Admin, n: u64, others: &[&Server]) -> Seen {
    let ready = Barrier::new(others.len() + 1);
    let request = admin.revocation(&cluster.ids[n as usize]);
    let mut client = Client::connect(cluster.node(0).address);
    thread::scope(|scope| {
        let watchers: Vec<_> = others.iter().map(|server| scope.spawn(|| watch(server, n, &ready))).collect();
        ready.wait();
        let sent = Instant::now();
        client.ask(request.as_bytes()).expect(303);
        let answered = Instant::now();
        let seen = watchers.into_iter().map(|watcher| watcher.join().expect("the other nodes answer"));
        let (passed, refused): (Vec<Instant>, Vec<Instant>) = seen.unzip();
        Seen {
            answered: answered - sent,
            refused: refused.into_iter().max().expect("somebody watched") - sent,
            passed_after_answer: passed.into_iter().any(|asked| asked > answered),
        }
    })
}

/// Asks until the key is refused: when the last question was asked that let it pass, and when the first refusal came.
fn watch(server: &Server, n: u64, ready: &Barrier) -> (Instant, Instant) {
    let mut request = Request::new(Question::Verify);
    request.fill(|| key(n));
    // A watcher that fails must not leave the others waiting for it.
    let waits = Cell::new(true);
    let _arrive = Arrive(ready, &waits);
    let mut client = Client::connect(server.address);
    let mut passed = Instant::now();
    assert!(client.ask(&request.bytes).has(r#""code":"VALID""#), "the key is good before it is revoked");
    ready.wait();
    waits.set(false);
    let begun = Instant::now();
    loop {
        let asked = Instant::now();
        let reply = client.ask(&request.bytes);
        // 503: a node that does not know refuses as well.
        if reply.status == 503 || reply.has(r#""code":"REVOKED""#) {
            return (passed, Instant::now());
        }
        assert!(reply.has(r#""code":"VALID""#), "{}", String::from_utf8_lossy(reply.text));
        assert!(begun.elapsed() < PATIENCE, "the key is never refused");
        passed = asked;
        thread::sleep(PAUSE);
    }
}

/// Arrives at the barrier when its thread panics before it does.
struct Arrive<'a>(&'a Barrier, &'a Cell<bool>);

impl Drop for Arrive<'_> {
    fn drop(&mut self) {
        if self.1.get() {
            self.0.wait();
        }
    }
}
