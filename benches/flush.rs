//! What writing counted uses costs: bytes on the disk, and whether verifications feel it on one core.
//! `cargo bench --bench flush`, or `cargo bench --bench flush -- 1200` for as many seconds.
//!
//! The real server on one core, on SQLite with 10,000 keys, of which 3,000 chosen at random are verified each second. What was
//! written is what /proc says that the process had sent to storage (Linux only); latencies are those of one question after the
//! other, beside those of a bare handler on the same core.

mod support;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use keystead::clock::{Clock, SystemClock};

use support::{
    bare,
    client::Client,
    cores,
    fill::fill,
    flush_log,
    http::{Question, Request},
    keys::{Random, key},
    report::{Goal, figure, percentile},
    server::{On, Place, Server},
};

const KEYS: u64 = 10_000;
/// Three batches a second; the rest of 3,000 are the questions whose latency is taken.
const BATCH: usize = 700;
const BATCHES_A_SECOND: u32 = 3;
const WARM_UP: Duration = Duration::from_secs(60);
const WATCHED: Duration = Duration::from_secs(300);
/// How long the bare handler is asked.
const BESIDE: Duration = Duration::from_secs(20);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(1);
/// Too few to speak of a p99.
const FEWEST: usize = 200;

/// When a question was asked, and how long its answer took.
type Sample = (DateTime<Utc>, Duration);

fn main() {
    if let Some(keys) = bare::asked_for() {
        return bare::serve(keys);
    }
    let watched = std::env::args().find_map(|argument| argument.parse().ok()).map_or(WATCHED, Duration::from_secs);
    println!("{}", cores::described());
    let folder = tempfile::tempdir().unwrap();
    let place = Place::sqlite(folder.path());
    fill(&place, KEYS);
    let bare = Server::start_bare(folder.path(), KEYS);
    let of_bare = ask(&bare, Request::new(Question::ForwardAuth), BESIDE);
    bare.kill();

    let server = Server::start(&place, On::ServerCores, &flush_log::VARIABLES);
    let stop = AtomicBool::new(false);
    let (samples, written, took) = thread::scope(|scope| {
        let using = scope.spawn(|| use_keys(&server, &stop));
        thread::sleep(WARM_UP);
        let (before, begun) = (server.written(), Instant::now());
        let samples = ask(&server, Request::new(Question::ForwardAuth), watched);
        let (written, took) = (server.written() - before, begun.elapsed());
        stop.store(true, Ordering::Relaxed);
        using.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (samples, written, took)
    });
    let a_day = written as f64 / took.as_secs_f64() * 86_400.0 / 1e9;
    println!("      ({:.1} MB written in {:.0} s)", written as f64 / 1e6, took.as_secs_f64());
    figure("written to the disk a day, 3,000 verifications/s", a_day, "GB", Goal::AtMost(15.0));

    let flushes = flush_log::flushes(&server.log());
    let is_during = |&(asked, took): &Sample| flushes.iter().any(|&(from, to)| asked < to && from < asked + took);
    let (during, without): (Vec<Sample>, Vec<Sample>) = samples.into_iter().partition(is_during);
    assert!(during.len() >= FEWEST, "only {} questions were asked during a flush: no p99", during.len());
    let (count, during, without, of_bare) = (during.len(), p99(during), p99(without), p99(of_bare));
    println!("      (p99: {during:.0} µs in {count} during a flush, {without:.0} µs without, {of_bare:.0} µs bare)");
    figure("p99 of forward-auth during a flush / bare handler", during / of_bare, "×", Goal::AtMost(2.0));
}

fn p99(samples: Vec<Sample>) -> f64 {
    let mut micros: Vec<f64> = samples.into_iter().map(|(_, took)| took.as_secs_f64() * 1e6).collect();
    micros.sort_by(f64::total_cmp);
    percentile(&micros, 0.99)
}

/// Some batches a second, evenly.
fn use_keys(server: &Server, stop: &AtomicBool) {
    let (mut client, mut random) = (Client::connect(server.address), Random::new(7));
    let mut request = Request::new(Question::Batch(BATCH));
    let begun = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        request.fill(|| key(random.below(KEYS)));
        let reply = client.ask(&request.bytes).expect(200);
        assert!(reply.has(r#"{"results":[{"valid":true"#), "the keys of a batch are good");
        sent += 1;
        let due = begun + Duration::from_secs(1) * sent / BATCHES_A_SECOND;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// One question after the other.
fn ask(server: &Server, mut request: Request, length: Duration) -> Vec<Sample> {
    let (mut client, mut random) = (Client::connect(server.address), Random::new(2));
    let mut samples = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < length {
        request.fill(|| key(random.below(KEYS)));
        let (asked, sent) = (SystemClock.now(), Instant::now());
        client.ask(&request.bytes).expect(200);
        samples.push((asked, sent.elapsed()));
        thread::sleep(PAUSE);
    }
    samples
}
