//! Purge what nobody needs any more: ended sessions, tokens of old forms, full buckets of the throttle; and
//! close the hours of usage that are over, and forget those older than 40 days.

use chrono::TimeDelta;

use crate::{
    app::App,
    store::{StoreError, form_tokens, key_changes, key_usage, sessions, usage_flushes},
};

/// A form older than this can no longer be sent: its session has ended long before.
const FORM_TOKENS_KEPT: TimeDelta = TimeDelta::days(7);

/// Longer than any process is cut off from the database with a flush that may be written already.
const WRITERS_KEPT: TimeDelta = TimeDelta::days(90);

/// What went.
#[derive(Debug)]
pub struct Purged {
    /// Sessions that had ended.
    pub sessions: usize,
    /// Tokens of forms too old to be sent.
    pub form_tokens: usize,
    /// Rows of usage whose hour was over.
    pub hours: usize,
}

/// Purges, and closes hours.
///
/// # Errors
/// [`StoreError`]; the next run tries again.
pub async fn purge_expired(app: &App) -> Result<Purged, StoreError> {
    let now = app.clock.now();
    app.throttle.purge(now);
    let purge = app.db.write::<_, StoreError>(move |conn| {
        key_changes::purge(conn)?;
        usage_flushes::purge(conn, now - WRITERS_KEPT)?;
        Ok((sessions::purge(conn, now)?, form_tokens::purge(conn, now - FORM_TOKENS_KEPT)?))
    });
    let (sessions, form_tokens) = purge.await?;
    let mut hours = 0;
    // Each time in a transaction of its own, so that other writers get their turn in between.
    loop {
        match app.db.write(move |conn| key_usage::close_hours(conn, now)).await? {
            0 => break,
            closed => hours += closed,
        }
    }
    while app.db.write(move |conn| key_usage::forget_hours(conn, now)).await? > 0 {}
    Ok(Purged { sessions, form_tokens, hours })
}
