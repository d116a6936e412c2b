//! Usage of 10,000 busy keys is written: what that costs the database, and whether verification feels it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use keystead::clock::{Clock, SystemClock};

use super::nodes::{Cluster, KEYS};
use crate::support::{
    client::Client,
    flush_log,
    http::{Question, Request},
    keys::{Random, key},
    report::{Goal, figure, percentile},
    server::Server,
};

/// Long enough for several flushes.
const WATCHED: Duration = Duration::from_secs(60);
const BATCH: u64 = 1000;
/// Between two questions of the one who measures.
const PAUSE: Duration = Duration::from_millis(1);
/// Too few to speak of a p99.
const FEWEST: usize = 200;

/// When a question was asked, and how long its answer took.
type Sample = (DateTime<Utc>, Duration);

pub fn measure(cluster: &Cluster) {
    let server = cluster.node(0);
    let stop = AtomicBool::new(false);
    let samples = thread::scope(|scope| {
        let busy = scope.spawn(|| use_every_key(server, &stop));
        let samples = ask(server, &busy);
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        samples
    });
    let flushes = flush_log::flushes(&server.log());
    let mut times: Vec<f64> = flushes.iter().map(|(from, to)| (*to - *from).as_seconds_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let (median, most) = (percentile(&times, 0.5), percentile(&times, 1.0));
    let count = flushes.len();
    println!("      (database time of a flush, {KEYS} active keys: most {most:.1} ms of {count} flushes)");
    figure("database time of a flush, median", median, "ms", Goal::AtMost(50.0));

    let is_during = |&(asked, took): &Sample| flushes.iter().any(|&(from, to)| asked < to && from < asked + took);
    let (during, without): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(is_during);
    assert!(during.len() >= FEWEST, "only {} questions were asked during a flush: no p99", during.len());
    let p99 = |samples: Vec<Sample>| {
        let mut micros: Vec<f64> = samples.into_iter().map(|(_, took)| took.as_secs_f64() * 1e6).collect();
        micros.sort_by(f64::total_cmp);
        percentile(&micros, 0.99)
    };
    let count = during.len();
    let (during, without) = (p99(during), p99(without));
    println!("      (p99 of POST /v1/keys/verify: {during:.0} µs in {count} during a flush, {without:.0} µs without)");
    figure("p99 of verify, during a flush / without", during / without, "×", Goal::AtMost(2.0));
}

/// Every key once a second, a batch of a thousand at a time, evenly.
fn use_every_key(server: &Server, stop: &AtomicBool) {
    let mut client = Client::connect(server.address);
    let mut request = Request::new(Question::Batch(BATCH as usize));
    let mut next = 0;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        request.fill(|| {
            next = (next + 1) % KEYS;
            key(next)
        });
        let reply = client.ask(&request.bytes).expect(200);
        assert!(reply.has(r#"{"results":[{"valid":true"#), "the keys of a batch are good");
        due += Duration::from_secs(1) / (KEYS / BATCH) as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// One question after the other, while the keys are busy.
fn ask(server: &Server, busy: &thread::ScopedJoinHandle<'_, ()>) -> Vec<Sample> {
    let mut client = Client::connect(server.address);
    let mut request = Request::new(Question::Verify);
    let mut random = Random::new(2);
    let mut samples = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < WATCHED && !busy.is_finished() {
        request.fill(|| key(random.below(KEYS)));
        let (asked, sent) = (SystemClock.now(), Instant::now());
        let reply = client.ask(&request.bytes).expect(200);
        assert!(reply.has(r#""code":"VALID""#), "the key is good");
        samples.push((asked, sent.elapsed()));
        thread::sleep(PAUSE);
    }
    samples
}
