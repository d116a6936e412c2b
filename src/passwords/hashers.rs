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
    /// How many jobs are done at once.
    pub at_once: usize,
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
mod tests;
