//! Password hashes: argon2id, two at a time, a short queue, and the same work for accounts that do not exist.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::domain::password::NewPassword;

/// Memory of one hash, in KiB: 19 MiB, with two passes (OWASP Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes computed at once; each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
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
    /// The hash could not be computed or read.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

/// Computes and checks password hashes.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::default() }
    }
}

impl Passwords {
    /// The hash to store, in PHC string format.
    ///
    /// # Errors
    /// See [`PasswordFault`].
    pub async fn hash(&self, password: NewPassword) -> Result<String, PasswordFault> {
        self.in_turn(move |argon2| {
            argon2.hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(|e| e.to_string())
        })
        .await
    }

    /// Whether the password belongs to the stored hash; `None` (no such account) takes as long and is never right.
    ///
    /// # Errors
    /// See [`PasswordFault`].
    pub async fn verify(&self, password: Zeroizing<String>, stored: Option<String>) -> Result<bool, PasswordFault> {
        self.in_turn(move |argon2| {
            let known = stored.is_some();
            let stored = stored.unwrap_or_else(|| NOBODY.to_owned());
            let hash = PasswordHash::new(&stored).map_err(|error| error.to_string())?;
            Ok(argon2.verify_password(password.as_bytes(), &hash).is_ok() && known)
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> Result<T, String> + Send + 'static,
    ) -> Result<T, PasswordFault> {
        let place = Place::take(&self.waiting).ok_or(PasswordFault::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|e| PasswordFault::Failed(e.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the request: who hangs up does not make room for a third hash.
            let _held = (place, turn);
            let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| error.to_string())?;
            work(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
        });
        done.await.map_err(|error| PasswordFault::Failed(error.to_string()))?.map_err(PasswordFault::Failed)
    }
}

/// A place in the queue, given up on drop.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        if waiting.fetch_add(1, Ordering::Relaxed) < AT_ONCE + QUEUE {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_knows_its_password_and_no_other() {
        let passwords = Passwords::default();
        let hash = passwords.hash(NewPassword::parse("correct horse battery".into(), &[]).unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let verify = |text: &str| passwords.verify(Zeroizing::new(text.to_owned()), Some(hash.clone()));
        assert!(verify("correct horse battery").await.unwrap());
        assert!(!verify("correct horse batterz").await.unwrap());
    }

    #[tokio::test]
    async fn an_account_that_does_not_exist_is_never_right() {
        // A fault here would mean that NOBODY is no hash, and that unknown accounts answer faster.
        assert!(!Passwords::default().verify(Zeroizing::new(String::new()), None).await.unwrap());
    }

    #[test]
    fn nobody_costs_what_an_account_costs() {
        assert!(NOBODY.starts_with(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")));
    }

    #[tokio::test]
    async fn the_queue_is_short() {
        let passwords = Passwords::default();
        let tries = (0..60).map(|_| passwords.verify(Zeroizing::new("x".to_owned()), None));
        let answers = futures_util::future::join_all(tries).await;
        let busy = answers.iter().filter(|answer| matches!(answer, Err(PasswordFault::Busy))).count();
        assert_eq!(busy, 60 - AT_ONCE - QUEUE);
    }
}
