//! A thread for work that nobody waits for. Whatever else wants the core goes first: a verification that comes while ten thousand
//! counts are written would otherwise wait for the end of the other thread's slice of time, which is milliseconds.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError, mpsc},
};

use tokio::sync::oneshot;

use super::threads::blocking;

type Job = Box<dyn FnOnce() + Send>;

/// It is started when it is needed first, and ends with its last owner.
#[derive(Debug, Default)]
pub struct QuietThread(Mutex<Option<mpsc::Sender<Job>>>);

impl QuietThread {
    /// Does this there, after what was asked before; `None` if it panicked or could not be done. Where there is no such thread it
    /// is done where others block.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, told) = oneshot::channel();
        let job: Job = Box::new(move || drop(done.send(work())));
        let left = match self.jobs() {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(job) = left {
            let _ = blocking(job).await;
        }
        told.await.ok()
    }

    fn jobs(&self) -> Option<mpsc::Sender<Job>> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.is_none() {
            let (sender, received) = mpsc::channel::<Job>();
            let thread = std::thread::Builder::new().name("quiet".to_owned()).spawn(move || {
                give_way();
                for job in received {
                    // Unwind safe: whoever asked learns that it was not done, and what it had is gone with it.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            });
            *jobs = thread.is_ok().then_some(sender);
        }
        jobs.clone()
    }
}

/// As little of the core as there is, when others want it. It cannot be taken back without rights, so it is for threads that do
/// nothing else.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LOWEST) {
        tracing::debug!(%error, "a thread could not be told to give way");
    }
}

/// The weakest claim to a core that there is (`setpriority(2)`).
#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_is_done_one_after_another_and_a_panic_ends_nothing() {
        let quiet = QuietThread::default();
        let name = || std::thread::current().name().map(str::to_owned);
        assert_eq!(quiet.run(name).await, Some(Some("quiet".to_owned())));
        assert_eq!(quiet.run(|| panic!("as when a bug is met")).await, None::<()>);
        assert_eq!(quiet.run(|| 7).await, Some(7));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_gives_way_to_all_others() {
        let own = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = own();
        assert_eq!(QuietThread::default().run(own).await, Some(LOWEST));
        assert_eq!(own(), before, "and nobody else does");
    }
}
