//! Two servers in turns: A-B-A-B…
//!
//! A machine's speed changes from second to second, with its neighbours and its heat. What two servers did within two
//! seconds can be compared all the same, so each round gives one ratio, and the median of these is the result.

use std::time::Duration;

use super::{
    driver::{Driver, Load, Slice},
    report::{self, Goal, Spread, percentile},
    server::Server,
};

const ROUNDS: usize = 12;
const SLICE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(700);

/// What takes its turns.
pub struct Side<'a> {
    pub name: &'a str,
    pub server: &'a Server,
    pub load: Load,
    pub is_bare: bool,
}

/// One slice, as figures.
struct Turn {
    micros_per_request: f64,
    requests_per_second: f64,
    driver_busy: f64,
}

/// What the turns of one side came to.
pub struct Outcome {
    turns: Vec<Turn>,
    latencies: Vec<u32>,
}

/// Both sides, measured in turns and printed.
pub struct Pair {
    pub a: Outcome,
    pub b: Outcome,
}

pub fn alternate(a: &Side<'_>, b: &Side<'_>) -> Pair {
    let connect = |side: &Side<'_>| Driver::connect(side.server.address, side.load, side.is_bare);
    let (mut driver_a, mut driver_b) = (connect(a), connect(b));
    driver_a.slice(WARM_UP);
    driver_b.slice(WARM_UP);
    let empty = || Outcome { turns: Vec::new(), latencies: Vec::new() };
    let mut pair = Pair { a: empty(), b: empty() };
    for _ in 0..ROUNDS {
        pair.a.take_turn(a, &mut driver_a);
        pair.b.take_turn(b, &mut driver_b);
    }
    pair.a.print(a.name);
    pair.b.print(b.name);
    pair
}

impl Outcome {
    fn take_turn(&mut self, side: &Side<'_>, driver: &mut Driver) {
        let before = side.server.cpu();
        let Slice { elapsed, latencies, driver } = driver.slice(SLICE);
        let cpu = side.server.cpu().saturating_sub(before);
        let requests = latencies.len() as f64;
        self.turns.push(Turn {
            micros_per_request: cpu.as_secs_f64() * 1e6 / requests,
            requests_per_second: requests / elapsed.as_secs_f64(),
            driver_busy: driver.as_secs_f64() / elapsed.as_secs_f64() / super::cores::drivers() as f64,
        });
        self.latencies.extend(latencies);
    }

    /// CPU time of the server, in microseconds a request.
    pub fn cpu(&self) -> Spread {
        Spread::of(self.turns.iter().map(|turn| turn.micros_per_request))
    }

    fn print(&mut self, name: &str) {
        let Spread { low, median, high } = self.cpu();
        let rate = Spread::of(self.turns.iter().map(|turn| turn.requests_per_second)).median;
        let busy = Spread::of(self.turns.iter().map(|turn| turn.driver_busy)).median * 100.0;
        self.latencies.sort_unstable();
        let micros = |part| f64::from(percentile(&self.latencies, part)) / 1e3;
        let (p50, p99, p999) = (micros(0.5), micros(0.99), micros(0.999));
        println!(
            "  {name:<34} CPU {median:>7.2} µs ({low:.2}–{high:.2})  {rate:>8.0} req/s  \
             p50 {p50:.0} p99 {p99:.0} p99.9 {p999:.0} µs  driver {busy:.0} % busy"
        );
    }
}

impl Pair {
    /// CPU time of A over that of B, of each round.
    pub fn cpu_ratio(&self) -> Spread {
        self.ratio(|turn| turn.micros_per_request)
    }

    /// Differences of CPU time, A less B, in microseconds.
    pub fn cpu_difference(&self) -> Spread {
        Spread::of(self.turns().map(|(a, b)| a.micros_per_request - b.micros_per_request))
    }

    pub fn print_cpu_ratio(&self, what: &str, goal: f64) {
        report::spread(what, self.cpu_ratio(), "×", Goal::AtMost(goal));
    }

    /// Where the driver had no rest, a fast server waited for it, and the ratio flatters the slower one.
    pub fn print_throughput_ratio(&self, what: &str, goal: f64) {
        report::spread(what, self.ratio(|turn| turn.requests_per_second), "×", Goal::AtLeast(goal));
        let busiest = Spread::of(self.turns().map(|(a, b)| a.driver_busy.max(b.driver_busy))).median;
        if busiest > 0.9 {
            println!("      (the driver was {:.0} % busy: take 1 / CPU ratio for the throughput)", busiest * 100.0);
        }
    }

    fn ratio(&self, figure: impl Fn(&Turn) -> f64) -> Spread {
        Spread::of(self.turns().map(|(a, b)| figure(a) / figure(b)))
    }

    fn turns(&self) -> impl Iterator<Item = (&Turn, &Turn)> {
        self.a.turns.iter().zip(&self.b.turns)
    }
}
