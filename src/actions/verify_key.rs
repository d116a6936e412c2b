//! Verify a key: ask the lease, read the key, digest it, look the digest up in memory. No database, no lock, no write.

use std::time::Duration;

use crate::{
    app::Keys,
    domain::{pepper::SecretDigest, secret::PresentedKey, verdict::Verdict},
    key_index::{Caller, Reading},
    metrics::NO_LEASE,
};

/// Nobody may pass: this node does not know whether its memory is still true, or has not loaded it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node holds no lease")]
pub struct NoLease;

/// When to ask again without a lease: it comes back within a second once the database answers.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether this text is a key that may pass.
///
/// # Errors
/// [`NoLease`]: ask again, or another node.
pub fn verify_key<'a>(keys: &Keys, index: &'a Reading, text: &str, caller: Caller<'_>) -> Result<Verdict<'a>, NoLease> {
    let begun = ask_lease(keys)?;
    let digest = digest(keys, text);
    Ok(judge(keys, index, digest.as_ref(), caller, begun))
}

/// To be asked before the look-up, never after it (see `Lease`); the time since boot at which it was held.
pub(super) fn ask_lease(keys: &Keys) -> Result<Duration, NoLease> {
    let now = keys.clock.since_boot();
    if keys.lease.is_held(now) {
        return Ok(now);
    }
    keys.metrics.verified(NO_LEASE, || Duration::ZERO);
    Err(NoLease)
}

/// Nothing malformed reaches the HMAC; that also makes a digest out of a stolen database useless.
pub(super) fn digest(keys: &Keys, text: &str) -> Option<SecretDigest> {
    PresentedKey::parse(text).ok().map(|key| keys.pepper.digest(key))
}

/// `begun` is when the lease was asked.
pub(super) fn judge<'a>(
    keys: &Keys,
    index: &'a Reading,
    digest: Option<&SecretDigest>,
    caller: Caller<'_>,
    begun: Duration,
) -> Verdict<'a> {
    let verdict = match digest {
        Some(digest) => index.judge(digest, keys.clock.now(), caller),
        None => Verdict::MALFORMED,
    };
    keys.metrics.verified(verdict.code().place(), || keys.clock.since_boot().saturating_sub(begun));
    verdict
}
