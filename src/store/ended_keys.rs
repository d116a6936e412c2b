//! Forgets what ended long ago, so that neither the database nor the memory of nodes grows with every rotation for ever: tables
//! `key_secrets` and `api_keys`, and the usage of such keys, of every organization.
//!
//! First the secrets, of which every node learns by the change, and then answers `NOT_FOUND`. The row of a key goes later, when no
//! node counts uses of it any more that could come to lie beside a row that is gone.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{
    Conn, StoreError, key_changes,
    schema::{api_keys, key_last_used},
    usage_rows,
};

/// What one call removes at most: other changes wait for the epoch of this one.
const AT_ONCE: i64 = 100;
/// Rows of usage that one call removes at most.
const USAGE_AT_ONCE: i64 = 2000;

#[derive(QueryableByName)]
struct KeyIdRow {
    #[diesel(sql_type = Text)]
    key_id: String,
}

/// Forgets secrets that ended before a time, the oldest first, a hundred in a call; how many went. A living secret has no end.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn forget_secrets(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let skip = skip_locked(conn);
    let removed: Vec<KeyIdRow> = diesel::sql_query(format!(
        "DELETE FROM key_secrets WHERE digest IN (
            SELECT digest FROM key_secrets WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 {skip}
        ) RETURNING key_id"
    ))
    .bind::<BigInt, _>(before.timestamp_millis())
    .bind::<BigInt, _>(AT_ONCE)
    .load(conn)?;
    let keys: BTreeSet<&str> = removed.iter().map(|row| row.key_id.as_str()).collect();
    if !keys.is_empty() {
        key_changes::record_removal(conn, &keys.into_iter().collect::<Vec<_>>())?;
    }
    Ok(removed.len())
}

/// What a call of [`forget_keys`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForgottenKeys {
    /// Keys, with all that was known of their use.
    pub keys: usize,
    /// Rows of usage, also of keys that go with the next call.
    pub usage: usize,
}

/// Forgets keys that were revoked before a time and have no secret any more, with their usage: at most a hundred keys and some
/// thousand rows in a call.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn forget_keys(conn: &mut Conn, before: DateTime<Utc>) -> Result<ForgottenKeys, StoreError> {
    let skip = skip_locked(conn);
    let ended: Vec<KeyIdRow> = diesel::sql_query(format!(
        "SELECT id AS key_id FROM api_keys
        WHERE revoked_at < $1 AND NOT EXISTS (SELECT 1 FROM key_secrets WHERE key_id = api_keys.id)
        ORDER BY revoked_at LIMIT $2 {skip}"
    ))
    .bind::<BigInt, _>(before.timestamp_millis())
    .bind::<BigInt, _>(AT_ONCE)
    .load(conn)?;
    let (mut gone, mut usage) = (Vec::new(), 0);
    for KeyIdRow { key_id } in &ended {
        let room = USAGE_AT_ONCE - i64::try_from(usage).unwrap_or(USAGE_AT_ONCE);
        usage += usage_rows::forget_of_key(conn, key_id, room)?;
        if usage >= USAGE_AT_ONCE.unsigned_abs() as usize {
            break;
        }
        diesel::delete(key_last_used::table.find(key_id)).execute(conn)?;
        diesel::delete(api_keys::table.find(key_id)).execute(conn)?;
        gone.push(key_id.as_str());
    }
    if !gone.is_empty() {
        key_changes::record_removal(conn, &gone)?;
    }
    Ok(ForgottenKeys { keys: gone.len(), usage })
}

/// Of two nodes at once each gets rows of its own. SQLite has one writer, so nothing to skip.
fn skip_locked(conn: &Conn) -> &'static str {
    match conn {
        Conn::Sqlite(_) => "",
        Conn::Postgres(_) => "FOR UPDATE SKIP LOCKED",
    }
}
