//! Apply retention: remove what is kept for as long as somebody set, and of which nothing else remains.
//!
//! Nothing is removed while this machine's clock and the database's are far from each other, or for a day after somebody set the
//! only clock there is; and everything in pieces, each a transaction of its own.

use chrono::TimeDelta;

use super::purge_expired::in_pieces;
use crate::{
    app::App,
    store::{StoreError, audit_events},
};

/// Failed sign-ins, which strangers make, go after this time even if other events stay longer.
const FAILED_SIGN_INS_KEPT: TimeDelta = TimeDelta::days(90);

/// What went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events of the audit log.
    pub events: usize,
}

/// Removes what is older than the settings say.
///
/// # Errors
/// [`StoreError`]; the next run tries again.
pub async fn apply_retention(app: &App) -> Result<Removed, StoreError> {
    let (is_doubtful, set_by) = app.clock.is_doubtful();
    if let Some(by) = set_by {
        let minutes = by.num_minutes();
        tracing::warn!(
            minutes,
            "this machine's clock was set; for a day no old records are removed, in case it is wrong"
        );
    }
    if is_doubtful {
        return Ok(Removed::default());
    }
    let now = app.clock.now();
    let mut events = 0;
    if let Some(kept) = app.config.audit_kept {
        events += in_pieces(app, move |conn| audit_events::forget(conn, now - kept)).await?;
    }
    let before = now - FAILED_SIGN_INS_KEPT;
    events += in_pieces(app, move |conn| audit_events::forget_failed_sign_ins(conn, before)).await?;
    Ok(Removed { events })
}
