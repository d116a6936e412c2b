//! What an entry counts: verifications by code, and the newest of them. Nothing here waits for anybody.

use std::{
    array,
    cell::RefCell,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::{Arc, atomic::AtomicI64},
};

use chrono::{DateTime, Utc};
use crossbeam_utils::atomic::AtomicCell;

use super::{
    place::Place,
    refusals::Refusals,
    sync::{AtomicU32, AtomicU64, Ordering},
};
use crate::domain::{actor::MAX_USER_AGENT, code::Code, usage::LastUsed};

/// What a counter keeps at most of what could not be written. Above it there is room for what is counted until the next
/// flush, so that a counter of 32 bits does not begin again at 0 while the database is away.
const MOST_KEPT: u32 = 1 << 31;

/// Who came with a key, as far as it can be known without copying anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The peer, or the right-most hop that is no trusted proxy.
    pub address: Option<IpAddr>,
    /// `User-Agent`, as it came.
    pub user_agent: Option<&'a str>,
}

impl Caller<'_> {
    /// Never 0, which is nobody.
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.address, self.user_agent).hash(&mut hasher);
        hasher.finish() | 1
    }
}

/// The counters of one key since they were last taken: 32 bytes.
#[derive(Default)]
pub struct Usage {
    /// When the newest verification was, in Unix milliseconds.
    last_at: AtomicI64,
    /// How often it was good.
    valid: AtomicU32,
    /// Where it is counted how often it was refused, and why.
    refused: Place,
    /// Of whom `last_caller` is; 0 is nobody.
    caller_hash: AtomicU64,
    /// Shared by the keys that one caller brings: a million keys that were used cost no more than one that was not.
    last_caller: AtomicCell<Option<Arc<LastCaller>>>,
}

struct LastCaller {
    address: Option<IpAddr>,
    user_agent: Option<Arc<str>>,
}

impl LastCaller {
    fn is(&self, caller: Caller<'_>) -> bool {
        self.address == caller.address && self.user_agent.as_deref() == caller.user_agent
    }
}

/// Callers that a thread saw lately, each with its hash; 0 is nobody.
struct Recent {
    callers: [(u64, Arc<LastCaller>); Self::CALLERS],
    newest: usize,
}

impl Recent {
    const CALLERS: usize = 64;

    thread_local! {
        static OF_THREAD: RefCell<Recent> = RefCell::new(Recent::new());
    }

    fn new() -> Self {
        let nobody = Arc::new(LastCaller { address: None, user_agent: None });
        Self { callers: array::from_fn(|_| (0, Arc::clone(&nobody))), newest: 0 }
    }

    /// This caller, who mostly was here just now with another key: then there is nothing to hash and nothing to copy.
    fn find(&mut self, caller: Caller<'_>) -> (u64, &Arc<LastCaller>) {
        let (hash, newest) = &self.callers[self.newest];
        if *hash == 0 || !newest.is(caller) {
            let hash = caller.hash();
            // The lowest bit of a hash is always set.
            self.newest = (hash >> 1) as usize % Self::CALLERS;
            let place = &mut self.callers[self.newest];
            if place.0 != hash {
                let user_agent = caller.user_agent.map(readable);
                *place = (hash, Arc::new(LastCaller { address: caller.address, user_agent }));
            }
        }
        let (hash, found) = &self.callers[self.newest];
        (*hash, found)
    }
}

impl Usage {
    /// Milliseconds by which no thread is late.
    const WAS_AHEAD: i64 = 60_000;

    /// Counts one verification.
    pub fn count(&self, refusals: &Refusals, code: Code, at: DateTime<Utc>, caller: Caller<'_>) {
        let at = at.timestamp_millis();
        // Forward only: threads come a little late. But for a clock that was ahead and was set, whose times are no times.
        let later = |last: i64| (at > last || last - at > Self::WAS_AHEAD).then_some(at);
        let _ = self.last_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        Recent::OF_THREAD.with_borrow_mut(|recent| {
            let (hash, caller) = recent.find(caller);
            // Of two callers at once one may stay with the hash of the other; the next flush ends that.
            if self.caller_hash.load(Ordering::Relaxed) != hash {
                self.last_caller.store(Some(Arc::clone(caller)));
                self.caller_hash.store(hash, Ordering::Relaxed);
            }
        });
        // Last: who takes a count finds the use that it counts, or has taken it before.
        if let Some(count) = self.counter(refusals, code) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    fn counter<'a>(&'a self, refusals: &'a Refusals, code: Code) -> Option<&'a AtomicU32> {
        match code.place().checked_sub(1) {
            None => Some(&self.valid),
            Some(place) => refusals.make(&self.refused).get(place),
        }
    }

    /// When the newest verification was that this process counted, be it written or not.
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        Some(self.last_at.load(Ordering::Relaxed)).filter(|at| *at != 0).and_then(DateTime::from_timestamp_millis)
    }

    /// The newest use is not before that of another one, which it takes the place of.
    pub fn was_used_like(&self, other: &Self) {
        self.last_at.fetch_max(other.last_at.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Takes what was counted, code and count, and the newest use. Where nothing was counted yet the last caller stays: a
    /// verification stores its caller before it adds its count, so it may be in between.
    pub fn take(&self, refusals: &Refusals) -> (Vec<(&'static str, u64)>, Option<LastUsed>) {
        let refused = refusals.get(&self.refused);
        let counts: [u32; Code::NAMING] = array::from_fn(|place| match place.checked_sub(1) {
            None => self.valid.swap(0, Ordering::Acquire),
            Some(place) => refused.map_or(0, |refused| refused[place].swap(0, Ordering::Acquire)),
        });
        // As long as it must be, mostly one: collecting makes room for four, and here may be a million keys.
        let mut taken = Vec::with_capacity(counts.iter().filter(|&&count| count > 0).count());
        taken.extend(Code::all().map(Code::word).zip(counts.map(u64::from)).filter(|(_, count)| *count > 0));
        if taken.is_empty() {
            return (taken, None);
        }
        let last = self.last_caller.take();
        // After the caller: who came in between and found the old hash left none, and who finds none now leaves one.
        self.caller_hash.store(0, Ordering::Relaxed);
        let at = DateTime::from_timestamp_millis(self.last_at.load(Ordering::Relaxed));
        let last_used =
            last.zip(at).map(|(last, at)| LastUsed { at, address: last.address, user_agent: last.user_agent.clone() });
        (taken, last_used)
    }

    /// Puts back what could not be written, as far as there is room: [`MOST_KEPT`] of a code.
    pub fn put_back(&self, refusals: &Refusals, counts: &[(&'static str, u64)], last: Option<LastUsed>) {
        for (code, count) in counts {
            if let Some(own) = Code::of(code).and_then(|code| self.counter(refusals, code)) {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                // What was counted in the meantime stays, also when it is more than that.
                let kept = |own: u32| Some(own.max(own.saturating_add(count).min(MOST_KEPT)));
                let _ = own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, kept);
            }
        }
        // Somebody who came in the meantime is newer.
        if let Some(last) = last.filter(|_| self.caller_hash.load(Ordering::Relaxed) == 0) {
            let caller = LastCaller { address: last.address, user_agent: last.user_agent };
            self.last_caller.store(Some(Arc::new(caller)));
        }
    }
}

/// What may be kept of a caller's user agent: no control characters, and not too much.
fn readable(user_agent: &str) -> Arc<str> {
    if user_agent.len() <= MAX_USER_AGENT && !user_agent.bytes().any(|byte| byte.is_ascii_control()) {
        return user_agent.into();
    }
    user_agent.chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_for_long_stops_growing_instead_of_beginning_at_0() {
        let (usage, refusals) = (Usage::default(), Refusals::new());
        usage.put_back(&refusals, &[("VALID", 3_000_000_000), ("REVOKED", 7)], None);
        usage.put_back(&refusals, &[("VALID", u64::MAX), ("REVOKED", 1)], None);
        usage.count(&refusals, Code::Valid, DateTime::UNIX_EPOCH, Caller::default());
        assert_eq!(usage.take(&refusals).0, [("VALID", u64::from(MOST_KEPT) + 1), ("REVOKED", 8)]);
    }

    fn caller(user_agent: &str) -> Caller<'_> {
        Caller { address: None, user_agent: Some(user_agent) }
    }

    /// When the newest use was, in milliseconds, and whose.
    fn last(usage: &Usage) -> (i64, String) {
        let last = usage.take(&Refusals::new()).1.unwrap();
        (last.at.timestamp_millis(), last.user_agent.unwrap().to_string())
    }

    #[test]
    fn a_use_that_could_not_be_written_comes_back_unless_there_is_a_newer_one() {
        let (usage, at) = (Usage::default(), DateTime::UNIX_EPOCH);
        usage.count(&Refusals::new(), Code::Valid, at, caller("first"));
        let (counts, first) = usage.take(&Refusals::new());
        usage.put_back(&Refusals::new(), &counts, first.clone());
        assert_eq!(last(&usage), (0, "first".to_owned()));
        usage.count(&Refusals::new(), Code::Valid, at, caller("second"));
        usage.put_back(&Refusals::new(), &counts, first);
        assert_eq!(last(&usage), (0, "second".to_owned()));
    }

    #[test]
    fn the_newest_time_stays_unless_it_was_of_a_clock_that_was_ahead() {
        let usage = Usage::default();
        for (at, expected) in [(100_000, 100_000), (40_000, 100_000), (39_999, 39_999), (40_000, 40_000)] {
            usage.count(&Refusals::new(), Code::Valid, DateTime::from_timestamp_millis(at).unwrap(), caller("a"));
            assert_eq!(last(&usage).0, expected, "{at}");
        }
    }

    /// On a thread of its own, which has seen nobody yet.
    #[test]
    fn a_caller_of_whom_nothing_is_known_is_one_all_the_same() {
        std::thread::spawn(|| {
            let usage = Usage::default();
            usage.count(&Refusals::new(), Code::Valid, DateTime::UNIX_EPOCH, Caller::default());
            let last = usage.take(&Refusals::new()).1.expect("it was used");
            assert_eq!((last.address, last.user_agent), (None, None));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn of_a_user_agent_is_kept_what_can_be_read() {
        assert_eq!(*readable("curl/8 é"), *"curl/8 é");
        assert_eq!(*readable("a\u{7}b\u{85}\n"), *"ab");
        assert_eq!(*readable(&"é".repeat(MAX_USER_AGENT + 1)), "é".repeat(MAX_USER_AGENT));
    }

    #[test]
    fn a_caller_is_told_from_the_one_before_by_address_and_by_user_agent() {
        let usage = Usage::default();
        let (one, another) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
        for (address, user_agent) in [(one, "a"), (another, "a"), (another, "b"), (another, "b"), (one, "b")] {
            usage.count(&Refusals::new(), Code::Valid, DateTime::UNIX_EPOCH, Caller { address, ..caller(user_agent) });
            let last = usage.take(&Refusals::new()).1.unwrap();
            assert_eq!((last.address, last.user_agent.as_deref()), (address, Some(user_agent)));
        }
    }
}
