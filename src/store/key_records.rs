//! Keys with all their secrets, as the index takes them over: tables `api_keys` and `key_secrets`, of every organization.

use std::collections::HashMap;

use chrono::DateTime;
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    columns::{Digest32, Millis},
    schema::{api_keys, key_secrets},
};
use crate::domain::{
    ids::{KeyId, OrgId},
    key_record::{KeyRecord, SecretRecord},
    name::Name,
    pepper::SecretDigest,
};

type KeyRow = (String, String, String, Option<Millis>, Option<Millis>);
type SecretRow = (String, Digest32, Option<Millis>);

/// How many keys and secrets there are.
pub fn count(conn: &mut Conn) -> Result<(usize, usize), StoreError> {
    let keys: i64 = api_keys::table.count().get_result(conn)?;
    let secrets: i64 = key_secrets::table.count().get_result(conn)?;
    Ok((usize::try_from(keys).unwrap_or(0), usize::try_from(secrets).unwrap_or(0)))
}

/// The next keys in the order of their ids.
pub struct Page {
    /// As they stand in the database.
    pub records: Vec<KeyRecord>,
    /// Ids of those that cannot be read: nobody may pass with them, and the others work.
    pub unreadable: Vec<String>,
    /// The last id of the page.
    pub last: String,
}

/// At most `limit` keys; `after` is the last id of those before, or empty. `None` at the end.
pub fn page(conn: &mut Conn, after: &str, limit: i64) -> Result<Option<Page>, StoreError> {
    let keys: Vec<KeyRow> = api_keys::table
        .filter(api_keys::id.gt(after))
        .order(api_keys::id)
        .limit(limit)
        .select(KEY_COLUMNS)
        .load(conn)?;
    let Some(last) = keys.last().map(|(id, ..)| id.clone()) else { return Ok(None) };
    let secrets: Vec<SecretRow> = key_secrets::table
        .filter(key_secrets::key_id.gt(after))
        .filter(key_secrets::key_id.le(&last))
        .select(SECRET_COLUMNS)
        .load(conn)?;
    let (records, unreadable) = join(keys, secrets);
    Ok(Some(Page { records, unreadable, last }))
}

/// These keys, in no order. One that cannot be read is left out.
pub fn find(conn: &mut Conn, ids: &[&str]) -> Result<Vec<KeyRecord>, StoreError> {
    let keys: Vec<KeyRow> = api_keys::table.filter(api_keys::id.eq_any(ids)).select(KEY_COLUMNS).load(conn)?;
    let secrets: Vec<SecretRow> =
        key_secrets::table.filter(key_secrets::key_id.eq_any(ids)).select(SECRET_COLUMNS).load(conn)?;
    Ok(join(keys, secrets).0)
}

const KEY_COLUMNS: (
    api_keys::id,
    api_keys::organization_id,
    api_keys::name,
    api_keys::revoked_at,
    api_keys::expires_at,
) = (api_keys::id, api_keys::organization_id, api_keys::name, api_keys::revoked_at, api_keys::expires_at);
const SECRET_COLUMNS: (key_secrets::key_id, key_secrets::digest, key_secrets::expires_at) =
    (key_secrets::key_id, key_secrets::digest, key_secrets::expires_at);

/// By a map: databases order texts by their own rules, and a key may come between two statements.
fn join(keys: Vec<KeyRow>, secrets: Vec<SecretRow>) -> (Vec<KeyRecord>, Vec<String>) {
    let mut of_key: HashMap<String, Vec<SecretRecord>> = HashMap::with_capacity(keys.len());
    for (key_id, digest, ended) in secrets {
        let secret = SecretRecord { digest: SecretDigest(digest.0), is_replaced: ended.is_some() };
        of_key.entry(key_id).or_default().push(secret);
    }
    let (mut records, mut unreadable) = (Vec::with_capacity(keys.len()), Vec::new());
    for row in keys {
        let secrets = of_key.remove(&row.0).unwrap_or_default();
        match read(&row, secrets) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::error!(%error, key_id = row.0, "this key is refused");
                unreadable.push(row.0);
            }
        }
    }
    (records, unreadable)
}

fn read(row: &KeyRow, secrets: Vec<SecretRecord>) -> Result<KeyRecord, StoreError> {
    let (id, organization_id, name, revoked_at, expires_at) = row;
    let damaged = StoreError::damaged;
    Ok(KeyRecord {
        id: KeyId::parse(id).ok_or_else(|| damaged("api_keys.id"))?,
        organization_id: OrgId::parse(organization_id).ok_or_else(|| damaged("api_keys.organization_id"))?,
        name: Name::parse(name).map_err(|_| damaged("api_keys.name"))?,
        is_revoked: revoked_at.is_some(),
        expires_at: expires_at.map(DateTime::try_from).transpose()?,
        secrets,
    })
}
