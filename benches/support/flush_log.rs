//! When a server wrote counted uses, as its log tells.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// How a node says that it has written usage: the words of the log line, and the member that says for how many
/// microseconds the database was busy with it; the line's own time is taken for the end of it.
const LINE: &str = "usage is written";
const MICROS: &str = "took_us";

/// The line is one of debugging; everything else of that level stays out of what is measured.
pub const VARIABLES: [(&str, &str); 2] =
    [("KEYSTEAD_LOG", "warn,keystead::worker=debug"), ("KEYSTEAD_LOG_FORMAT", "json")];

/// From when to when the database was busy with a flush; at least one.
pub fn flushes(log: &str) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let written = lines.filter(|line| line["message"].as_str().is_some_and(|message| message.contains(LINE)));
    let flushes: Vec<_> = written
        .filter_map(|line| {
            let end = line["timestamp"].as_str()?.parse::<DateTime<Utc>>().ok()?;
            let micros = line[MICROS].as_f64()?;
            Some((end - Duration::from_secs_f64(micros / 1e6), end))
        })
        .collect();
    assert!(!flushes.is_empty(), "no line {LINE:?} with {MICROS:?} in the log: see benches/support/flush_log.rs");
    flushes
}
