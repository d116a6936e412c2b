//! Last uses that a clock wrote which was ahead.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    schema::{key_last_used, key_usage_open},
};

/// Puts last uses that lie after `limit`, which nobody has reached yet, to `now`; how many. Otherwise a clock that was an
/// hour ahead once would show a key in use for an hour too long, since a last use never moves back.
pub fn mend(conn: &mut Conn, limit: DateTime<Utc>, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let (limit, now) = (limit.timestamp_millis(), now.timestamp_millis());
    let open = diesel::update(key_usage_open::table.filter(key_usage_open::at.gt(limit)));
    let open = open.set(key_usage_open::at.eq(now)).execute(conn)?;
    let closed = diesel::update(key_last_used::table.filter(key_last_used::at.gt(limit)));
    Ok(open + closed.set(key_last_used::at.eq(now)).execute(conn)?)
}
