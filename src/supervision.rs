//! What runs beside the requests, and what becomes of it when it ends by itself: that is logged, counted and mended by a new
//! start. A part that dies in silence would leave a server that looks well and is not.

mod failing;
mod threads;

use std::{
    any::Any,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

pub use failing::Failing;
pub use threads::{NO_THREAD, NotDone, blocking, blocking_or_here};

/// How long after its end a part is started again.
pub const AGAIN: Duration = Duration::from_millis(200);

/// What is supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The thread that keeps the index true and holds the lease.
    Follower,
    /// The task that is woken by other nodes' changes.
    Notifications,
    /// The task that writes usage to the database.
    FlushUsage,
    /// The task that removes what has expired.
    PurgeExpired,
}

impl Part {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Follower, Self::Notifications, Self::FlushUsage, Self::PurgeExpired];

    /// Its name in metrics and in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Follower => "follower",
            Self::Notifications => "notifications",
            Self::FlushUsage => "flush_usage",
            Self::PurgeExpired => "purge_expired",
        }
    }
}

/// How often each part was started again, since the process began.
#[derive(Debug, Default)]
pub struct Supervision {
    restarts: [AtomicU64; Part::ALL.len()],
    /// Bit n: part n fails at its next step. Set by tests.
    #[cfg(any(debug_assertions, feature = "test-switches"))]
    failing: AtomicU64,
}

impl Supervision {
    /// How often this part was started again.
    pub fn restarts(&self, part: Part) -> u64 {
        self.restarts[part as usize].load(Ordering::SeqCst)
    }

    /// Logs and counts that a part ended by itself and is about to be started again.
    pub fn ended(&self, part: Part, reason: &str) {
        tracing::error!(part = part.word(), reason, "a part of this server ended by itself; it is started again");
        self.restarts[part as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// Every part passes here in each of its rounds, so that a test can make it panic. In a release build nothing can.
    pub fn step(&self, part: Part) {
        #[cfg(any(debug_assertions, feature = "test-switches"))]
        assert!(self.failing.load(Ordering::SeqCst) & (1 << part as u64) == 0, "a test makes the {part:?} fail");
        let _ = part;
    }

    /// From now on this part panics in each of its rounds, or no longer does. For tests.
    #[cfg(any(debug_assertions, feature = "test-switches"))]
    pub fn make_fail(&self, part: Part, fails: bool) {
        let bit = 1 << part as u64;
        if fails {
            self.failing.fetch_or(bit, Ordering::SeqCst);
        } else {
            self.failing.fetch_and(!bit, Ordering::SeqCst);
        }
    }
}

/// Runs `work` until it returns; when it panics, it is made and run again. Dropping this ends it.
pub async fn keep_running<F>(supervision: Arc<Supervision>, part: Part, mut work: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut task = JoinSet::new();
        task.spawn(work());
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => supervision.ended(part, words_of(&*error.into_panic())),
            _ => return,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What a panic said.
pub fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn what_panics_is_started_again_until_it_returns() {
        let (supervision, runs) = (Arc::new(Supervision::default()), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&runs);
        let work = move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move { assert!(run >= 2, "run {run}") }
        };
        keep_running(Arc::clone(&supervision), Part::FlushUsage, work).await;
        assert_eq!((runs.load(Ordering::SeqCst), supervision.restarts(Part::FlushUsage)), (3, 2));
        assert_eq!(supervision.restarts(Part::Follower), 0);
    }

    #[test]
    fn each_part_has_its_own_place_and_word() {
        for (place, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part as usize, place);
            assert_eq!(Part::ALL.iter().filter(|other| other.word() == part.word()).count(), 1);
        }
    }
}
