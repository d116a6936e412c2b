//! Keys with all their secrets, as the index takes them over: tables `api_keys` and `key_secrets`, of every organization.

use std::{collections::HashMap, ops::ControlFlow};

use chrono::DateTime;
use diesel::{
    connection::{DefaultLoadingMode, SimpleConnection},
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};

use super::{
    Conn, StoreError,
    columns::{Digest32, Millis},
    dialect,
    error::Fault,
    schema::{api_keys, key_secrets},
    wholeness::{self, KeysAlone},
};
use crate::domain::{
    ids::{KeyId, OrgId},
    key_record::{KeyNumber, KeyRecord, SecretRecord},
    pepper::SecretDigest,
    policy::Policy,
};

/// Rows a step of a scan on Postgres, whose cursors stand in a transaction.
const STEP: usize = 5_000;
/// How many keys are looked for with one statement.
const AT_ONCE: usize = 500;

/// Shows each row of a query: SQLite's as the database comes upon it, Postgres' through a cursor, because its connection would
/// keep all rows in memory.
macro_rules! on_rows {
    ($conn:expr, $query:expr, $row:ty, $by_name:ty, $sql:literal, $each:expr) => {
        match $conn {
            Conn::Sqlite(conn) => {
                for row in $query.load_iter::<$row, DefaultLoadingMode>(conn)? {
                    if $each(row?).is_break() {
                        return Ok(());
                    }
                }
            }
            Conn::Postgres(conn) => {
                let is_over = conn.transaction::<bool, StoreError, _>(|conn| {
                    conn.batch_execute(concat!("DECLARE scan NO SCROLL CURSOR FOR ", $sql))?;
                    loop {
                        let rows: Vec<$by_name> = diesel::sql_query(format!("FETCH {STEP} FROM scan")).load(conn)?;
                        if rows.is_empty() {
                            return Ok(false);
                        }
                        for row in rows {
                            if $each(<$row>::from(row)).is_break() {
                                return Ok(true);
                            }
                        }
                    }
                })?;
                if is_over {
                    return Ok(());
                }
            }
        }
    };
}

type KeyRow = (String, String, String, Option<Millis>, Option<Millis>, i64, Option<String>);
type SecretRow = (String, Digest32, Option<Millis>);

/// About how many keys and secrets there are. Postgres says what it estimated last: to count it would read both tables whole,
/// which takes longer than the follower waits for an answer when they are large enough.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub fn estimate(conn: &mut Conn) -> Result<(usize, usize), StoreError> {
    let keys = match dialect::estimated_rows(conn, "api_keys")? {
        Some(keys) => keys,
        None => api_keys::table.count().get_result(conn)?,
    };
    let secrets = match dialect::estimated_rows(conn, "key_secrets")? {
        Some(secrets) => secrets,
        None => key_secrets::table.count().get_result(conn)?,
    };
    Ok((usize::try_from(keys).unwrap_or(0), usize::try_from(secrets).unwrap_or(0)))
}

/// What a scan comes upon.
pub enum Scanned<'a> {
    /// A key without its secrets, which come later.
    Key(KeyRecord),
    /// The id of a key that cannot be read: nobody may pass with it, and the others work.
    Unreadable(&'a str),
    /// Keys that were shown and have no secret yet. Asked between the two: whatever secret comes later is shown after it, or was
    /// not there.
    Alone(KeysAlone),
    /// A secret of the key with this id.
    Secret(&'a str, SecretRecord),
}

/// Shows every key, then every secret, as they lie in the database, a row at a time: in any other order a million keys are
/// a million places to read from. Ends early when `each` says so.
///
/// # Errors
/// [`StoreError`]; what was shown until then is true.
pub fn scan(conn: &mut Conn, mut each: impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<(), StoreError> {
    let mut key = |row: KeyRow| match read(&row, Vec::new()) {
        Ok(record) => each(Scanned::Key(record)),
        Err(error) => {
            tracing::error!(%error, key_id = row.0, "this key is refused");
            each(Scanned::Unreadable(&row.0))
        }
    };
    let keys = api_keys::table.select(KEY_COLUMNS);
    on_rows!(
        conn,
        keys,
        KeyRow,
        KeyByName,
        "SELECT id, organization_id, name, revoked_at, expires_at, number, policy FROM api_keys",
        key
    );
    if each(Scanned::Alone(wholeness::keys_alone(conn)?)).is_break() {
        return Ok(());
    }
    let mut secret = |(key_id, digest, ended): SecretRow| {
        let record = SecretRecord { digest: SecretDigest(digest.0), is_replaced: ended.is_some() };
        each(Scanned::Secret(&key_id, record))
    };
    let secrets = key_secrets::table.select(SECRET_COLUMNS);
    on_rows!(conn, secrets, SecretRow, SecretByName, "SELECT key_id, digest, expires_at FROM key_secrets", secret);
    Ok(())
}

#[derive(QueryableByName)]
struct KeyByName {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    organization_id: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    revoked_at: Option<Millis>,
    #[diesel(sql_type = Nullable<BigInt>)]
    expires_at: Option<Millis>,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Text>)]
    policy: Option<String>,
}

impl From<KeyByName> for KeyRow {
    fn from(row: KeyByName) -> Self {
        (row.id, row.organization_id, row.name, row.revoked_at, row.expires_at, row.number, row.policy)
    }
}

#[derive(QueryableByName)]
struct SecretByName {
    #[diesel(sql_type = Text)]
    key_id: String,
    #[diesel(sql_type = Binary)]
    digest: Digest32,
    #[diesel(sql_type = Nullable<BigInt>)]
    expires_at: Option<Millis>,
}

impl From<SecretByName> for SecretRow {
    fn from(row: SecretByName) -> Self {
        (row.key_id, row.digest, row.expires_at)
    }
}

/// Keys that were looked for, in no order.
#[derive(Default)]
pub struct Found {
    /// Those that are there.
    pub records: Vec<KeyRecord>,
    /// Ids of those that are there and cannot be read.
    pub unreadable: Vec<String>,
}

/// Looks for these keys.
pub fn find(conn: &mut Conn, ids: &[&str]) -> Result<Found, StoreError> {
    let mut found = Found::default();
    for ids in ids.chunks(AT_ONCE) {
        let keys: Vec<KeyRow> = api_keys::table.filter(api_keys::id.eq_any(ids)).select(KEY_COLUMNS).load(conn)?;
        let secrets: Vec<SecretRow> =
            key_secrets::table.filter(key_secrets::key_id.eq_any(ids)).select(SECRET_COLUMNS).load(conn)?;
        join(keys, secrets, &mut found);
    }
    Ok(found)
}

const KEY_COLUMNS: (
    api_keys::id,
    api_keys::organization_id,
    api_keys::name,
    api_keys::revoked_at,
    api_keys::expires_at,
    api_keys::number,
    api_keys::policy,
) = (
    api_keys::id,
    api_keys::organization_id,
    api_keys::name,
    api_keys::revoked_at,
    api_keys::expires_at,
    api_keys::number,
    api_keys::policy,
);
const SECRET_COLUMNS: (key_secrets::key_id, key_secrets::digest, key_secrets::expires_at) =
    (key_secrets::key_id, key_secrets::digest, key_secrets::expires_at);

fn join(keys: Vec<KeyRow>, secrets: Vec<SecretRow>, found: &mut Found) {
    let mut of_key: HashMap<String, Vec<SecretRecord>> = HashMap::with_capacity(keys.len());
    for (key_id, digest, ended) in secrets {
        let secret = SecretRecord { digest: SecretDigest(digest.0), is_replaced: ended.is_some() };
        of_key.entry(key_id).or_default().push(secret);
    }
    for row in keys {
        match read(&row, of_key.remove(&row.0).unwrap_or_default()) {
            Ok(record) => found.records.push(record),
            Err(error) => {
                tracing::error!(%error, key_id = row.0, "this key is refused");
                found.unreadable.push(row.0);
            }
        }
    }
}

fn read(row: &KeyRow, secrets: Vec<SecretRecord>) -> Result<KeyRecord, StoreError> {
    let (id, organization_id, name, revoked_at, expires_at, number, policy) = row;
    let damaged = StoreError::damaged;
    Ok(KeyRecord {
        id: KeyId::parse(id).ok_or_else(|| damaged("api_keys.id"))?,
        number: KeyNumber(*number),
        organization_id: OrgId::parse(organization_id).ok_or_else(|| damaged("api_keys.organization_id"))?,
        name: name.clone(),
        is_revoked: revoked_at.is_some(),
        expires_at: expires_at.map(DateTime::try_from).transpose()?,
        policy: Policy::parse(policy.as_deref())
            .map_err(|unknown| StoreError::Fault(Fault::Damaged, unknown.to_string()))?,
        secrets,
    })
}
