//! Flushes usage, every second and before the end: a crash loses at most a second of counts, and never a key.

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    actions::flush_usage::flush_usage,
    app::App,
    supervision::{Failing, Part},
};

const EVERY: Duration = Duration::from_secs(1);
/// When the last flush is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Runs until it is told to stop and everything is written, or it is dropped; what it has begun it finishes.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(EVERY);
    // After a slow flush a whole second again: what waits is written at once.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = Failing::default();
    loop {
        let is_last = tokio::select! {
            _ = ticks.tick() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        app.supervision.step(Part::FlushUsage);
        let result = flush_usage(&app).await;
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
            Err(error) if failing.is_news(error.kind(), app.clock.since_boot()) => {
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
