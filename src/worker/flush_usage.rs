//! Flushes usage: every second of keys that were not used for a while, every ten seconds of all, and before the end. A crash loses
//! what was counted since then, and never a key.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    actions::flush_usage::flush_usage,
    app::Site,
    key_index::Round,
    supervision::{Failing, Part},
};

const EVERY: Duration = Duration::from_secs(1);
/// Each time this many seconds are over, whatever was used is written.
const ALL: u64 = 10;
/// When the last flush is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Runs until it is told to stop and everything is written, or it is dropped; what it has begun it finishes.
pub async fn run(site: Arc<Site>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(EVERY);
    // After a slow flush a whole second again: what waits is written at once.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = Failing::default();
    let (mut rounds, mut is_all_due) = ((1..).map(round), false);
    loop {
        let is_last = tokio::select! {
            _ = ticks.tick() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        site.supervision.step(Part::FlushUsage);
        let next = rounds.next();
        let round = if is_last || is_all_due { Round::All } else { next.unwrap_or(Round::All) };
        let result = flush_usage(&site.keys, round).await;
        // One that failed is due until it succeeds.
        is_all_due = round == Round::All && result.is_err();
        let is_written = result.is_ok();
        match result {
            Ok(flushed) => {
                if failing.is_over() {
                    tracing::info!("usage is written again");
                }
                // As in the log of requests: a number in JSON too.
                let took_us = u64::try_from(flushed.took.as_micros()).unwrap_or(u64::MAX);
                tracing::debug!(keys = flushed.keys, took_us, "usage is written");
            }
            Err(error) if failing.is_news(error.kind(), site.clock.since_boot()) => {
                tracing::warn!(%error, "usage could not be written; it is kept in memory until it can");
            }
            Err(_) => {}
        }
        if is_last && is_written {
            return;
        }
        if is_last {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn round(number: u64) -> Round {
    if number.is_multiple_of(ALL) { Round::All } else { Round::Idle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_round_is_of_all() {
        let all: Vec<u64> = (1..=30).filter(|number| round(*number) == Round::All).collect();
        assert_eq!(all, [10, 20, 30]);
    }
}
