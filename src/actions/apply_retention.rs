//! Apply retention: remove what is kept for as long as somebody set, and of which nothing else remains.
//!
//! In pieces, each a transaction of its own; and nothing while this node's clock is in doubt.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::purge_expired::in_pieces;
use crate::{
    app::{Site, time_to_remove_by},
    store::{
        StoreError, audit_events,
        ended_keys::{self, ForgottenKeys},
        installation,
    },
    supervision::blocking_or_here,
};

/// Failed sign-ins, which strangers make, go after this time even if other events stay longer.
const FAILED_SIGN_INS_KEPT: TimeDelta = TimeDelta::days(90);

/// How much later than its last secret the row of a revoked key goes: longer than any node that still knew the secret can take to
/// write what it counted of it.
const KEYS_KEPT_LONGER: TimeDelta = TimeDelta::days(1);

/// How much longer than ended secrets lines of the log of revocations are kept: a database that is older than this and the time of
/// ended secrets together can bring keys back that had been revoked.
const LOG_KEPT_LONGER: TimeDelta = TimeDelta::days(400);

/// What went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events of the audit log.
    pub events: usize,
    /// Secrets that had ended.
    pub secrets: usize,
    /// Keys that had been revoked.
    pub keys: usize,
    /// Lines of the log of revocations.
    pub lines: usize,
}

/// Removes what is older than the settings say.
///
/// # Errors
/// [`StoreError`]; the next run tries again.
pub async fn apply_retention(site: &Site) -> Result<Removed, StoreError> {
    let Some(now) = time_to_remove_by(&site.clock) else { return Ok(Removed::default()) };
    let mut removed = Removed::default();
    site.db.write(move |conn| installation::note_alive(conn, now)).await?;
    if let Some(kept) = site.config.audit_kept {
        removed.events += in_pieces(site, move |conn| audit_events::forget(conn, now - kept)).await?;
    }
    let before = now - FAILED_SIGN_INS_KEPT;
    removed.events += in_pieces(site, move |conn| audit_events::forget_failed_sign_ins(conn, before)).await?;
    if let Some(kept) = site.config.ended_keys_kept {
        let before = now - kept;
        removed.secrets = in_pieces(site, move |conn| ended_keys::forget_secrets(conn, before)).await?;
        removed.keys = forget_keys(site, before - KEYS_KEPT_LONGER).await?;
        removed.lines = forget_lines(site, before - LOG_KEPT_LONGER).await;
    }
    Ok(removed)
}

async fn forget_keys(site: &Site, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let mut keys = 0;
    loop {
        let piece = site.db.write(move |conn| ended_keys::forget_keys(conn, before)).await?;
        if piece == ForgottenKeys::default() {
            return Ok(keys);
        }
        keys += piece.keys;
    }
}

/// A log that cannot be written anew stays as it is, which harms nobody; the next run tries again.
async fn forget_lines(site: &Site, before: DateTime<Utc>) -> usize {
    let log = Arc::clone(&site.keys.revocations);
    match blocking_or_here(move || log.forget(before)).await {
        Some(Ok(lines)) => lines,
        Some(Err(error)) => {
            tracing::warn!(%error, "old lines of the log of revocations could not be removed");
            0
        }
        None => 0,
    }
}
