//! Verify a key: ask the lease, read the key, digest it, look the digest up in memory. No database, no lock, no write.

use std::time::Duration;

use crate::{
    app::AppState,
    domain::{secret::PresentedKey, verdict::Verdict},
    key_index::Caller,
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
pub fn verify_key<'a>(app: &'a AppState, text: &str, caller: Caller<'_>) -> Result<Verdict<'a>, NoLease> {
    // Before the look-up, never after it (see `Lease`).
    let begun = app.clock.since_boot();
    if !app.lease.is_held(begun) {
        app.metrics.verified(NO_LEASE, || Duration::ZERO);
        return Err(NoLease);
    }
    let verdict = judge(app, text, caller);
    app.metrics.verified(verdict.number(), || app.clock.since_boot().saturating_sub(begun));
    Ok(verdict)
}

fn judge<'a>(app: &'a AppState, text: &str, caller: Caller<'_>) -> Verdict<'a> {
    // Nothing malformed reaches the HMAC; that also makes a digest out of a stolen database useless.
    let Ok(key) = PresentedKey::parse(text) else { return Verdict::Malformed };
    let digest = app.pepper.digest(key);
    app.index.judge(&digest, app.clock.now(), caller)
}
