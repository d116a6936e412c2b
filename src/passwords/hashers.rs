//! The threads that compute hashes: one or two, started when there is work for them, each with memory of its own that it
//! keeps.
//!
//! Trap, measured: with 19 MiB from the allocator for every hash, 50 wrong sign-ins left 811 MB in its arenas for good, and
//! the time of a sign-in told by its memory whether the account exists. And a thread of the runtime's pool cannot be used:
//! these run below the priority of verifications, and a thread that gave its priority up cannot take it back.

use std::{
    collections::VecDeque,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{MEMORY_KIB, memory::Memory};

/// Hashes computed at once, at most; each takes 19 MiB and a core.
const AT_MOST: usize = 2;
/// Added to the nice value of the threads (Linux): beside a verification a hash gets about a thirtieth of a core.
const NICE: i32 = 15;

/// Work for one of the threads.
pub type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Who goes first: with places of its own in the queue, nobody is kept out by strangers who fill the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Somebody whose device is known, or who runs this server.
    First,
    /// Anybody else.
    Later,
}

/// The threads; they end when this is dropped and the work they have is done.
pub struct Hashers {
    shared: Arc<Shared>,
    at_once: usize,
}

impl Default for Hashers {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self { shared: Arc::default(), at_once: at_once(cores) }
    }
}

/// How many hashes are computed at once on so many cores: at most on every second one. A low priority alone leaves a
/// verification waiting for some milliseconds now and then (measured), so there must be a core that it can go to.
fn at_once(cores: usize) -> usize {
    (cores / 2).clamp(1, AT_MOST)
}

#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    arrived: Condvar,
}

#[derive(Default)]
struct Work {
    first: VecDeque<Job>,
    later: VecDeque<Job>,
    /// Threads that run, and those of them that have their memory and those that wait for work.
    threads: usize,
    ready: usize,
    idle: usize,
    ended: bool,
}

impl Hashers {
    /// How many jobs are done at once.
    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// Has a job done.
    ///
    /// # Errors
    /// The operating system's words when no thread runs and none can be started.
    pub fn submit(&self, job: Job, turn: Turn) -> Result<(), std::io::Error> {
        let mut work = self.shared.lock();
        if work.threads < self.at_once && work.idle <= work.first.len() + work.later.len() {
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new().name("passwords".to_owned()).spawn(move || shared.run());
            work.started(started.map(drop))?;
        }
        match turn {
            Turn::First => work.first.push_back(job),
            Turn::Later => work.later.push_back(job),
        }
        drop(work);
        self.shared.arrived.notify_one();
        Ok(())
    }
}

impl Work {
    /// Counts a thread that was started. Without it there is a fault only where no other one runs: one thread is slower, and
    /// the next job tries again.
    fn started(&mut self, started: std::io::Result<()>) -> std::io::Result<()> {
        match started {
            Ok(()) => self.threads += 1,
            Err(_) if self.threads > 0 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Drop for Hashers {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        give_way();
        let mut memory = Memory::default();
        if !self.is_needed(memory.reserve(MEMORY_KIB as usize).is_ok()) {
            return;
        }
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
                tracing::error!("a password hash panicked; whoever waited for it is told of a fault");
            }
        }
    }

    /// Whether this thread stays: one that got no memory leaves the work to one that has some. Without any it stays, and each
    /// of its jobs tries again and fails with the reason.
    fn is_needed(&self, has_memory: bool) -> bool {
        let mut work = self.lock();
        if !has_memory && work.ready > 0 {
            work.threads -= 1;
            return false;
        }
        work.ready += usize::from(has_memory);
        true
    }

    /// Waits for the next job; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut work = self.lock();
        loop {
            if let Some(job) = work.first.pop_front().or_else(|| work.later.pop_front()) {
                return Some(job);
            }
            if work.ended {
                return None;
            }
            work.idle += 1;
            work = self.arrived.wait(work).unwrap_or_else(PoisonError::into_inner);
            work.idle -= 1;
        }
    }
}

/// Lets every other thread of this process go first. Where that is not allowed hashes only disturb more.
fn give_way() {
    // On Linux "no process" is the calling thread; elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Ok(nice) = rustix::process::getpriority_process(None) {
        let _ = rustix::process::setpriority_process(None, nice + NICE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn tell<T: Send + 'static>(to: &mpsc::Sender<T>, what: T) -> Job {
        let to = to.clone();
        Box::new(move |_| to.send(what).unwrap())
    }

    #[test]
    fn whoever_goes_first_overtakes_the_queue_of_all_others() {
        let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
        let (hold, held) = (Arc::new(std::sync::Barrier::new(hashers.at_once + 1)), Arc::new(Mutex::new(())));
        let waiting = held.lock().unwrap();
        for _ in 0..hashers.at_once {
            let (hold, held) = (Arc::clone(&hold), Arc::clone(&held));
            let busy = Box::new(move |_: &mut Memory| {
                hold.wait();
                drop(held.lock());
            });
            hashers.submit(busy, Turn::Later).unwrap();
        }
        // Every thread is busy now.
        hold.wait();
        // The lock is given up after the order was read, so one thread does all that follows.
        hashers.submit(tell(&done, "a stranger"), Turn::Later).unwrap();
        hashers.submit(tell(&done, "somebody known"), Turn::First).unwrap();
        let next = || hashers.shared.next().map(|job| job(&mut Memory::default()));
        next();
        next();
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["somebody known", "a stranger"]);
        drop(waiting);
    }

    #[test]
    fn a_thread_without_memory_leaves_the_work_to_one_that_has_some() {
        let shared = Shared::default();
        shared.lock().threads = 3;
        assert!(shared.is_needed(false), "the first stays, to say what is missing");
        assert!(shared.is_needed(true));
        assert!(!shared.is_needed(false));
        assert_eq!(shared.lock().threads, 2);
    }

    #[test]
    fn a_thread_that_cannot_be_started_is_a_fault_where_no_other_one_runs() {
        let (mut work, refused) = (Work::default(), || Err(std::io::ErrorKind::OutOfMemory.into()));
        assert!(work.started(refused()).is_err());
        work.started(Ok(())).unwrap();
        work.started(refused()).unwrap();
        assert_eq!(work.threads, 1);
    }

    #[test]
    fn there_is_a_core_without_a_hash_where_there_are_two_or_more() {
        assert_eq!([1, 2, 3, 4, 64].map(at_once), [1, 1, 1, 2, 2]);
        let (mut hashers, (done, told)) = (Hashers::default(), mpsc::channel());
        hashers.at_once = 1;
        (0..20).for_each(|_| hashers.submit(tell(&done, ()), Turn::Later).unwrap());
        assert_eq!(hashers.shared.lock().threads, 1);
        (0..20).for_each(|_| told.recv().unwrap());
    }

    #[test]
    fn one_after_the_other_needs_one_thread() {
        let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
        for _ in 0..20 {
            hashers.submit(tell(&done, ()), Turn::Later).unwrap();
            told.recv().unwrap();
            // It has told, and is on its way back to wait.
            while hashers.shared.lock().idle == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(hashers.shared.lock().threads, 1);
    }

    #[test]
    fn a_panic_ends_one_hash_and_no_thread() {
        let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
        for _ in 0..hashers.at_once * 3 {
            hashers.submit(Box::new(|_| panic!("a test's own")), Turn::Later).unwrap();
        }
        hashers.submit(tell(&done, ()), Turn::Later).unwrap();
        told.recv().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hashes_give_way_to_everything_else() {
        let (hashers, (done, told)) = (Hashers::default(), mpsc::channel());
        let to = done.clone();
        let ask = move |_: &mut Memory| to.send(rustix::process::getpriority_process(None).unwrap()).unwrap();
        let before = rustix::process::getpriority_process(None).unwrap();
        hashers.submit(Box::new(ask), Turn::Later).unwrap();
        assert_eq!(told.recv().unwrap(), (before + NICE).min(19));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before, "and nobody else does");
    }
}
