//! Password hashes: argon2id, one or two at a time, short queues, and the same work for accounts that do not exist.

mod hashers;
mod memory;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use argon2::Params;
use tokio::sync::oneshot;

use hashers::{Hashers, Turn};
use memory::Memory;

use crate::domain::password::{NewPassword, TypedPassword};

/// Memory of one hash, in KiB: 19 MiB, with two passes (OWASP Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Requests that may wait for a turn; the next one is turned away.
const QUEUE: usize = 16;

/// A hash of no password at all, so that an unknown account costs what a known one costs.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$a2V5c3RlYWQtbm9ib2R5$Yg0n0DsKM5SGLVMBeCMvYOsRTXQ0iMQnRfbJjv8XKBo";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFault {
    /// Too many sign-ins wait already.
    #[error("too many sign-ins at once")]
    Busy,
    /// The hash could not be computed or read: no memory, no thread, a damaged row.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

/// Computes and checks password hashes.
#[derive(Clone, Default)]
pub struct Passwords {
    hashers: Arc<Hashers>,
    /// Jobs that wait or run, by [`Turn`].
    first: Arc<AtomicUsize>,
    later: Arc<AtomicUsize>,
    /// Accounts that have a job in the first queue.
    accounts: Arc<Mutex<HashSet<String>>>,
}

impl Passwords {
    /// The hash to store, in PHC string format.
    ///
    /// # Errors
    /// See [`PasswordFault`].
    pub async fn hash(&self, password: NewPassword) -> Result<String, PasswordFault> {
        self.in_turn(Turn::First, (), move |memory| memory.hash(password.as_bytes(), &params()?)).await
    }

    /// Whether the password belongs to the stored hash; `None` (no such account) takes as long and is never right.
    /// `first` names the account when it is tried from a device that is known: that goes first, one try at a time, so that nobody
    /// with an account of their own can take all places of the others.
    ///
    /// # Errors
    /// See [`PasswordFault`]. A hash that could not be computed says nothing about the password.
    pub async fn verify(
        &self,
        password: TypedPassword,
        stored: Option<String>,
        first: Option<&str>,
    ) -> Result<bool, PasswordFault> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| NOBODY.to_owned());
        let first = first.and_then(|account| Account::enter(&self.accounts, account));
        let turn = if first.is_some() { Turn::First } else { Turn::Later };
        self.in_turn(turn, first, move |memory| Ok(memory.verify(password.spellings(), &stored)? && known)).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        turn: Turn,
        held: impl Send + 'static,
        work: impl FnOnce(&mut Memory) -> Result<T, String> + Send + 'static,
    ) -> Result<T, PasswordFault> {
        let waiting = match turn {
            Turn::First => &self.first,
            Turn::Later => &self.later,
        };
        let place = Place::take(waiting, self.hashers.at_once + QUEUE).ok_or(PasswordFault::Busy)?;
        let (answer, answered) = oneshot::channel();
        let job = move |memory: &mut Memory| {
            // Held by the job, not by the request: who hangs up while it runs does not make room for one more.
            let _held = (place, held);
            // Who hung up before needs no answer any more.
            if !answer.is_closed() {
                let _ = answer.send(work(memory));
            }
        };
        self.hashers.submit(Box::new(job), turn).map_err(|error| PasswordFault::Failed(error.to_string()))?;
        let stopped = |_| PasswordFault::Failed("the hash was not finished".to_owned());
        answered.await.map_err(stopped)?.map_err(PasswordFault::Failed)
    }
}

fn params() -> Result<Params, String> {
    Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| error.to_string())
}

/// A place in the queue, given up on drop.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, places: usize) -> Option<Self> {
        if waiting.fetch_add(1, Ordering::Relaxed) < places {
            Some(Self(Arc::clone(waiting)))
        } else {
            waiting.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An account's one job in the first queue, given up on drop.
struct Account {
    name: String,
    all: Arc<Mutex<HashSet<String>>>,
}

impl Account {
    /// `None` when it has one already.
    fn enter(all: &Arc<Mutex<HashSet<String>>>, name: &str) -> Option<Self> {
        let is_new = all.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        is_new.then(|| Self { name: name.to_owned(), all: Arc::clone(all) })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> TypedPassword {
        TypedPassword::new(text.to_owned().into())
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_no_other() {
        let passwords = Passwords::default();
        let hash = passwords.hash(NewPassword::parse("correct horse battery".into(), &[]).unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let verify = |text: &str| passwords.verify(typed(text), Some(hash.clone()), None);
        assert!(verify("correct horse battery").await.unwrap());
        assert!(!verify("correct horse batterz").await.unwrap());
    }

    #[tokio::test]
    async fn an_account_that_does_not_exist_is_never_right() {
        // A fault here would mean that NOBODY is no hash, and that unknown accounts answer faster.
        assert!(!Passwords::default().verify(typed(""), None, None).await.unwrap());
    }

    #[test]
    fn nobody_costs_what_an_account_costs() {
        assert!(NOBODY.starts_with(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")));
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_read_is_a_fault_and_not_a_wrong_password() {
        let passwords = Passwords::default();
        let asked = passwords.verify(typed("x"), Some("$argon2id$damaged".to_owned()), None).await;
        assert!(matches!(asked, Err(PasswordFault::Failed(_))), "{asked:?}");
    }

    #[tokio::test]
    async fn the_queue_is_short_and_that_of_known_devices_apart() {
        let passwords = Passwords::default();
        let known = (0..60).map(|n| Some(format!("maya-{n}@acme.example")));
        // Somebody with an account and a device that tries all the time is no more than one of them.
        let greedy = (0..60).map(|_| Some("greedy@acme.example".to_owned()));
        let all = (0..60).map(|_| None).chain(greedy).chain(known);
        // No hash is done before all have asked.
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        for _ in 0..passwords.hashers.at_once {
            let held = Arc::clone(&held);
            passwords
                .hashers
                .submit(Box::new(move |_| drop(held.lock().map(|held| held.recv()))), Turn::First)
                .unwrap();
        }
        let answers = futures_util::future::join_all(
            all.map(async |first: Option<String>| passwords.verify(typed("x"), None, first.as_deref()).await),
        );
        let (answers, ()) = tokio::join!(answers, async { drop(hold) });
        let busy = |answers: &[Result<bool, PasswordFault>]| {
            answers.iter().filter(|answer| matches!(answer, Err(PasswordFault::Busy))).count()
        };
        let places = passwords.hashers.at_once + QUEUE;
        assert_eq!([busy(&answers[..60]), busy(&answers[60..120])], [60 - places, 59]);
        assert_eq!(busy(&answers[120..]), 60 - (places - 1));
        assert!(passwords.accounts.lock().unwrap().is_empty());
    }
}
