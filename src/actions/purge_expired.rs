//! Purge what nobody needs any more: ended sessions, tokens of old forms, full buckets of the throttle; and
//! close the hours of usage that are over, and forget what is too old to be read.

use chrono::TimeDelta;

use crate::{
    app::{Site, follow_database_clock, time_to_remove_by},
    store::{Conn, StoreError, form_tokens, half_sessions, key_changes, key_usage, late_uses, sessions, usage_flushes},
};

/// A form older than this can no longer be sent: its session has ended long before.
const FORM_TOKENS_KEPT: TimeDelta = TimeDelta::days(7);

/// Longer than any process is cut off from the database with a flush that may be written already.
const WRITERS_KEPT: TimeDelta = TimeDelta::days(90);

/// How many rows were removed.
#[derive(Debug, Default)]
pub struct Purged {
    /// Sessions that had ended.
    pub sessions: usize,
    /// Tokens of forms too old to be sent.
    pub form_tokens: usize,
    /// Rows of usage whose hour was over.
    pub hours: usize,
    /// Rows of usage of hours and days that were too old.
    pub old_usage: usize,
}

/// Further in the future nobody's clock is by chance.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);

/// Mends last uses that lie in the future; how many. By a clock that is behind, all times of today do: so not while it is in
/// doubt.
///
/// # Errors
/// [`StoreError`]; the next run tries again.
pub async fn mend_last_uses(site: &Site) -> Result<usize, StoreError> {
    let Some(now) = time_to_remove_by(&site.clock) else { return Ok(0) };
    site.db.write(move |conn| late_uses::mend(conn, now + CLOCKS_DIFFER, now)).await
}

/// Purges, and closes hours; nothing in the database while this node's clock is in doubt.
///
/// # Errors
/// [`StoreError`]; the next run tries again.
pub async fn purge_expired(site: &Site) -> Result<Purged, StoreError> {
    site.throttle.purge(site.clock.since_boot());
    site.keys.change_throttle.purge(site.clock.since_boot());
    follow_database_clock(&site.db, &site.clock).await?;
    let Some(now) = time_to_remove_by(&site.clock) else { return Ok(Purged::default()) };
    let steady = site.clock.steady();
    let purge = site.db.write::<_, StoreError>(move |conn| {
        key_changes::purge(conn)?;
        usage_flushes::purge(conn, now - WRITERS_KEPT)?;
        half_sessions::purge(conn, steady)?;
        Ok((sessions::purge(conn, steady)?, form_tokens::purge(conn, now - FORM_TOKENS_KEPT)?))
    });
    let (sessions, form_tokens) = purge.await?;
    let hours = in_pieces(site, move |conn| key_usage::close_hours(conn, now)).await?;
    let old_usage = in_pieces(site, move |conn| key_usage::forget_old(conn, now)).await?;
    Ok(Purged { sessions, form_tokens, hours, old_usage })
}

/// Until there is nothing left; each piece in a transaction of its own, so that other writers get their turn in between. How much
/// went.
pub(super) async fn in_pieces(
    site: &Site,
    piece: impl Fn(&mut Conn) -> Result<usize, StoreError> + Copy + Send + 'static,
) -> Result<usize, StoreError> {
    let mut gone = 0;
    loop {
        match site.db.write(move |conn| piece(conn)).await? {
            0 => return Ok(gone),
            some => gone += some,
        }
    }
}
