//! Purge what nobody needs any more: ended sessions, tokens of old forms, full buckets of the throttle.

use chrono::TimeDelta;

use crate::{
    app::App,
    store::{StoreError, form_tokens, sessions},
};

/// A form older than this can no longer be sent: its session has ended long before.
const FORM_TOKENS_KEPT: TimeDelta = TimeDelta::days(7);

/// Purges; returns how many sessions and form tokens went.
///
/// # Errors
/// [`StoreError`]; the next run tries again.
pub async fn purge_expired(app: &App) -> Result<(usize, usize), StoreError> {
    let now = app.clock.now();
    app.throttle.purge(now);
    app.db.write(move |conn| Ok((sessions::purge(conn, now)?, form_tokens::purge(conn, now - FORM_TOKENS_KEPT)?))).await
}
