//! How long Postgres may keep somebody waiting. It limits its own statements, but a server or pooler that hangs, or a wire
//! that loses what was sent, limits nothing: without this, whoever asked would wait for ever.

use std::{
    future::Future,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Longer than the longest statement and than the longest wait for a lock (`connection.rs`).
const LONGEST: Duration = Duration::from_secs(12);
/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Since when somebody has been waiting on one connection.
#[derive(Clone, Default)]
pub struct Patience(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Milliseconds since [`START`]; 0 is nobody.
    since: AtomicU64,
    is_endless: AtomicBool,
}

impl Patience {
    /// Does something that waits for the server.
    pub fn wait<T>(&self, work: impl FnOnce() -> T) -> T {
        self.0.since.store(now(), Ordering::Relaxed);
        let done = work();
        self.0.since.store(0, Ordering::Relaxed);
        done
    }

    /// From here on any wait is right: for another node's migrations, and for one's own.
    pub fn have_no_end(&self) {
        self.0.is_endless.store(true, Ordering::Relaxed);
    }

    fn has_ended(&self) -> bool {
        let since = self.0.since.load(Ordering::Relaxed);
        let waited = Duration::from_millis(now().saturating_sub(since));
        since != 0 && waited > LONGEST && !self.0.is_endless.load(Ordering::Relaxed)
    }

    /// Carries a connection until it ends, or until somebody has waited for too long: dropping it ends the wait.
    pub async fn carry<E: std::fmt::Display>(self, connection: impl Future<Output = Result<(), E>>) {
        let mut connection = std::pin::pin!(connection);
        loop {
            match tokio::time::timeout(LOOK, &mut connection).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => return tracing::debug!(%error, "a database connection ended"),
                Err(_) if self.has_ended() => {
                    return tracing::warn!("the database does not answer; a connection to it is given up");
                }
                Err(_) => {}
            }
        }
    }
}

fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}
