//! Whether what is about to be read of Postgres is all there is.
//!
//! Trap, reproduced: `pg_restore` commits table by table, and gives them their primary keys when their rows are in. A node that
//! loads in between finds keys without secrets, in a history that is the right one afterwards, so that it would never look again.
//! And where row level security hides rows from a role, a table reads as empty. Logical replication and a dump of the data alone
//! fill tables that have their primary keys: then keys without secrets are all that tells, and they may be true.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text},
};

use super::{
    Conn, StoreError,
    error::Fault,
    schema::{api_keys, key_secrets},
};

/// The tables that say which keys are good, and where in the history the database is.
const TABLES: [&str; 6] = ["organizations", "api_keys", "key_secrets", "key_changes", "key_epoch", "installation"];

/// By which tables are known: others have another one, also of the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables(String);

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    files: String,
    #[diesel(sql_type = Text)]
    without_key: String,
    #[diesel(sql_type = Bool)]
    is_filtered: bool,
}

/// The tables as they are now. The same before and after a reading, they are those that were read.
///
/// # Errors
/// A fault that says what is missing; [`StoreError`] when the database cannot be asked.
pub fn check(conn: &mut Conn) -> Result<Tables, StoreError> {
    let Conn::Postgres(conn) = conn else { return Ok(Tables(String::new())) };
    let names = TABLES.map(|table| format!("('{table}')")).join(", ");
    let found: Found = sql_query(format!(
        "SELECT string_agg(name || ' ' || pg_relation_filenode(name::regclass)::text, ', ' ORDER BY name) AS files,
            coalesce(string_agg(name, ', ' ORDER BY name) FILTER (WHERE NOT EXISTS (
                SELECT 1 FROM pg_index WHERE indrelid = name::regclass AND indisprimary AND indisvalid
            )), '') AS without_key,
            bool_or(row_security_active(name)) AS is_filtered
        FROM (VALUES {names}) AS tables (name)"
    ))
    .get_result(conn)?;
    if found.is_filtered {
        let words = "row level security hides rows from this role; keystead needs all of them: ALTER TABLE … DISABLE ROW LEVEL SECURITY, \
                     or give the role BYPASSRLS";
        return Err(StoreError::Fault(Fault::Other, words.to_owned()));
    }
    if !found.without_key.is_empty() {
        let words = format!(
            "the database is not whole: no primary key on {}; a backup that is being restored gets them last, and one whose restore \
             failed has to be restored again",
            found.without_key
        );
        return Err(StoreError::Fault(Fault::Other, words));
    }
    Ok(Tables(found.files))
}

/// A fault when the tables are not those any more.
///
/// # Errors
/// As [`check`].
pub fn check_still(conn: &mut Conn, before: &Tables) -> Result<(), StoreError> {
    if check(conn)? == *before {
        return Ok(());
    }
    Err(StoreError::Fault(Fault::Other, "the tables were replaced while they were read".to_owned()))
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    is_so: bool,
}

/// Whether there are living keys, and no secret of any. Nobody could pass then, so that nothing is lost by waiting for them.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub fn has_keys_alone(conn: &mut Conn) -> Result<bool, StoreError> {
    let Conn::Postgres(conn) = conn else { return Ok(false) };
    let found: Answer = sql_query(
        "SELECT EXISTS (SELECT 1 FROM api_keys WHERE revoked_at IS NULL)
            AND NOT EXISTS (SELECT 1 FROM key_secrets) AS is_so",
    )
    .get_result(conn)?;
    Ok(found.is_so)
}

/// Living keys that have no secret. A few are possible: a restore brought an older one back whose secrets are forgotten.
#[derive(Clone, Debug, Default)]
pub struct KeysAlone {
    /// The newest of them.
    pub ids: Vec<String>,
    /// How many there are.
    pub count: i64,
}

#[derive(QueryableByName)]
struct KeyAlone {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// The keys that have no secret; none on SQLite, whose file is whole.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub fn keys_alone(conn: &mut Conn) -> Result<KeysAlone, StoreError> {
    let Conn::Postgres(conn) = conn else { return Ok(KeysAlone::default()) };
    let found: Vec<KeyAlone> = sql_query(
        "SELECT id, count(*) OVER () AS count FROM api_keys
        WHERE revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM key_secrets WHERE key_secrets.key_id = api_keys.id)
        ORDER BY id DESC LIMIT 500",
    )
    .load(conn)?;
    let count = found.first().map_or(0, |key| key.count);
    Ok(KeysAlone { ids: found.into_iter().map(|key| key.id).collect(), count })
}

/// Whether one of these keys has a secret now.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub fn has_secret_of_any(conn: &mut Conn, ids: &[String]) -> Result<bool, StoreError> {
    let first: Option<String> = key_secrets::table
        .filter(key_secrets::key_id.eq_any(ids))
        .select(key_secrets::key_id)
        .first(conn)
        .optional()?;
    Ok(first.is_some())
}

/// Whether there is any key.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub fn has_keys(conn: &mut Conn) -> Result<bool, StoreError> {
    let first: Option<String> = api_keys::table.select(api_keys::id).first(conn).optional()?;
    Ok(first.is_some())
}
