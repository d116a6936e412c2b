//! What an entry counts: verifications by code, and the newest of them. Nothing here waits for anybody.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use crossbeam_utils::atomic::AtomicCell;

use super::sync::{AtomicU32, Ordering};
use crate::domain::{actor::MAX_USER_AGENT, usage::LastUsed, verdict::CODES};

/// Codes that name a key: the first of [`CODES`].
const COUNTED: usize = 4;

/// Who came with a key, as far as it can be known without copying anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The peer, or the right-most hop that is no trusted proxy.
    pub address: Option<IpAddr>,
    /// `User-Agent`, as it came.
    pub user_agent: Option<&'a str>,
}

/// The counters of one key since they were last taken.
#[derive(Default)]
pub struct Usage {
    counts: [AtomicU32; COUNTED],
    /// Its own box, so that a key nobody uses costs eight bytes; whoever takes it out owns it.
    last: AtomicCell<Option<Box<LastUsed>>>,
}

impl Usage {
    /// Counts one verification.
    pub fn count(&self, verdict: usize, at: DateTime<Utc>, caller: Caller<'_>) {
        if let Some(count) = self.counts.get(verdict) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // Two at once: the later `swap` stays, some nanoseconds from the newest. Taking the box out first spares making
        // one, and a copy of the same user agent, for each request.
        let mut last = self.last.take().unwrap_or_else(|| Box::new(LastUsed { at, address: None, user_agent: None }));
        last.at = last.at.max(at);
        last.address = caller.address;
        if last.user_agent.as_deref() != caller.user_agent {
            last.user_agent = caller.user_agent.map(readable);
        }
        self.last.store(Some(last));
    }

    /// Takes what was counted: code and count, and the newest use.
    pub fn take(&self) -> (Vec<(&'static str, u64)>, Option<LastUsed>) {
        let counts = self.counts.iter().zip(CODES);
        let taken = counts.map(|(count, code)| (code, u64::from(count.swap(0, Ordering::Relaxed))));
        (taken.filter(|(_, count)| *count > 0).collect(), self.last.take().map(|last| *last))
    }

    /// Puts back what could not be written.
    pub fn put_back(&self, counts: &[(&'static str, u64)], last: Option<LastUsed>) {
        for (code, count) in counts {
            if let Some(own) = CODES.iter().position(|known| known == code).and_then(|place| self.counts.get(place)) {
                own.fetch_add(u32::try_from(*count).unwrap_or(u32::MAX), Ordering::Relaxed);
            }
        }
        let newer = match (self.last.take(), last) {
            (Some(own), Some(older)) => Some(if own.at >= older.at { own } else { Box::new(older) }),
            (own, older) => own.or(older.map(Box::new)),
        };
        self.last.store(newer);
    }
}

/// What may be kept of a caller's user agent: no control characters, and not too much.
fn readable(user_agent: &str) -> String {
    if user_agent.len() <= MAX_USER_AGENT && !user_agent.bytes().any(|byte| byte.is_ascii_control()) {
        return user_agent.to_owned();
    }
    user_agent.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect()
}
