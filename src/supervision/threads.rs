//! Work that waits, on a thread that may: also where the operating system gives no more threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

/// Why work has no result.
#[derive(Debug)]
pub enum NotDone<F> {
    /// There is no thread for it. It was not begun and never will be: here it is.
    NoThread(F),
    /// The server ends, and it was not begun.
    Cancelled,
    /// It failed on the way, with these words.
    Panicked(String),
}

/// What is said where there is no thread for what somebody asked.
pub const NO_THREAD: &str = "the operating system gives no more threads (ulimit -u, TasksMax, a limit of pids)";

/// Does work that waits, on a thread for that.
///
/// Trap: where no thread runs and none can be started, tokio panics, and still has the work in its queue: a change would be made
/// later of which somebody was told that nothing was changed. So the work is taken back.
///
/// # Errors
/// See [`NotDone`].
pub async fn blocking<T, F>(work: F) -> Result<T, NotDone<F>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let held = Arc::new(Mutex::new(Some(work)));
    let take = |held: &Mutex<Option<F>>| held.lock().unwrap_or_else(PoisonError::into_inner).take();
    let queued = Arc::clone(&held);
    let begun = move || tokio::task::spawn_blocking(move || take(&queued).map(|work| work()));
    // Unwind safe: what it leaves behind is the queue, with work that does nothing any more.
    let Ok(handle) = catch_unwind(AssertUnwindSafe(begun)) else {
        return Err(take(&held).map_or(NotDone::Cancelled, NotDone::NoThread));
    };
    match handle.await {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(NotDone::Cancelled),
        Err(error) if error.is_cancelled() => Err(NotDone::Cancelled),
        Err(error) => Err(NotDone::Panicked(error.to_string())),
    }
}

/// The same for work that is short, which is done here where there is no thread for it; none if it failed or the server ends.
pub async fn blocking_or_here<T, F>(work: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match blocking(work).await {
        Ok(done) => Some(done),
        Err(NotDone::NoThread(work)) => Some(work()),
        Err(NotDone::Cancelled | NotDone::Panicked(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn runtime(stack: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().thread_stack_size(stack).build().unwrap()
    }

    #[test]
    fn work_for_which_there_is_no_thread_is_given_back_and_never_done() {
        // No machine has so much memory for one thread.
        let (runtime, done) = (runtime(1 << 60), Arc::new(AtomicU32::new(0)));
        let count = || {
            let done = Arc::clone(&done);
            move || done.fetch_add(1, Ordering::SeqCst)
        };
        let Err(NotDone::NoThread(work)) = runtime.block_on(blocking(count())) else { panic!("there was a thread") };
        assert_eq!(runtime.block_on(blocking_or_here(count())), Some(0));
        drop(runtime);
        assert_eq!(done.load(Ordering::SeqCst), 1, "what was given back");
        work();
        assert_eq!(done.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn work_is_done_or_said_to_have_failed() {
        let runtime = runtime(1 << 20);
        assert!(matches!(runtime.block_on(blocking(|| 7)), Ok(7)));
        let failed = runtime.block_on(blocking(|| -> u8 { panic!("on purpose") }));
        assert!(matches!(&failed, Err(NotDone::Panicked(words)) if words.contains("panic")));
        assert_eq!(runtime.block_on(blocking_or_here(|| -> u8 { panic!("on purpose") })), None);
    }
}
