//! Three nodes on one Postgres: `cargo bench --bench cluster`, or one section of it: `… -- revoke`.
//!
//! How soon a revoke on one node is known to the others, with notifications, without, and with a dead node; and what
//! writing usage does to verification. Linux only. Writes to temporary folders alone.

mod support;

/// In a folder of their own; cargo would take files beside this one for benchmarks.
mod cluster {
    pub mod flush;
    pub mod nodes;
    pub mod revoke;
}

use std::process::ExitCode;

use cluster::{flush, nodes::Cluster, revoke};
use support::{postgres::Postgres, sections};

/// The variable that sets how long one renewal lets a node answer, in seconds.
pub const LEASE: &str = "KEYSTEAD_LEASE_SECS";
/// What it is when it is not set.
pub const DEFAULT_LEASE: u32 = 10;

/// The variable, and the value that keeps a node from listening, so that it
/// learns of changes by asking alone; known to a release build with `--features test-switches`.
pub const WITHOUT_NOTIFICATIONS: (&str, &str) = ("KEYSTEAD_TEST_OFF", "notifications");

fn main() -> ExitCode {
    let mut postgres = match Postgres::find() {
        Ok(postgres) => postgres,
        Err(reason) => {
            println!("SKIPPED, all of it: no Postgres: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    println!("{}; three nodes; nothing is pinned", postgres.described());
    let mut cluster = |variables: &[(&str, &str)]| Cluster::start(postgres.new_database(), variables);
    let cluster = std::cell::RefCell::new(&mut cluster);
    let start = |variables: &[(&str, &str)]| (cluster.borrow_mut())(variables);
    sections::run(&mut [
        ("revoke-notified", &mut || revoke::measure(&start(&[]), 0.1)),
        ("revoke-polling", &mut || {
            let (variable, value) = WITHOUT_NOTIFICATIONS;
            assert!(!variable.is_empty(), "WITHOUT_NOTIFICATIONS in benches/cluster.rs is not filled in");
            revoke::measure(&start(&[(variable, value)]), 0.6);
        }),
        ("revoke-dead-node", &mut || revoke::with_dead_node(&mut start(&[(LEASE, "3")]), 3, 5)),
        ("revoke-dead-node-default", &mut || revoke::with_dead_node(&mut start(&[]), DEFAULT_LEASE, 1)),
        ("flush", &mut || flush::measure(&start(&support::flush_log::VARIABLES))),
    ])
}
