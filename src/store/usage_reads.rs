//! What a page reads of usage: two statements for all of its keys.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    Conn,
    planned::{Statement, Value, json, planned},
};

struct LastUses;

impl Statement for LastUses {
    const SQL: &'static str = "
        SELECT api_keys.id, api_keys.created_at, key_last_used.at, key_last_used.address, key_last_used.user_agent
        FROM api_keys LEFT JOIN key_last_used ON key_last_used.key_id = api_keys.id
        WHERE api_keys.organization_id = ? AND api_keys.id IN ?";
}

/// A key, and when it was used last as far as that is known of hours that are over.
#[derive(QueryableByName)]
pub struct LastUseRow {
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = BigInt)]
    pub created_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub user_agent: Option<String>,
}

/// Those of the keys that are the organization's.
pub fn last_uses<'a>(
    conn: &mut Conn,
    organization_id: &str,
    key_ids: impl Iterator<Item = &'a str>,
) -> QueryResult<Vec<LastUseRow>> {
    let ids = json(&key_ids.collect::<Vec<_>>())?;
    let values = [Value::Text(organization_id), Value::List(&ids)];
    on!(conn, c => planned::<LastUses>(&values).load(c))
}

/// The open hours by leaps from one to the next, for there is no index by key: commonly two of them, with thousands of rows.
/// Each column is named with its table: a newer version may add one of the same name to the other.
macro_rules! hours {
    () => {
        "WITH RECURSIVE hours (starts_at) AS (
            SELECT min(starts_at) FROM key_usage_open
            UNION ALL
            SELECT (SELECT min(later.starts_at) FROM key_usage_open AS later WHERE later.starts_at > hours.starts_at)
            FROM hours WHERE hours.starts_at IS NOT NULL
        )
        SELECT keys.id AS key_id, CAST(0 AS BIGINT) AS seconds, open.starts_at, open.code, open.count, open.at,
            open.address, open.user_agent
        FROM hours "
    };
}

/// Closed days and hours each by ranges of the key: 30 days of a busy key are 30 rows.
macro_rules! closed {
    () => {
        "
        UNION ALL
        SELECT key_id, seconds, starts_at, code, count, NULL, NULL, NULL
        FROM key_usage WHERE key_id IN ? AND seconds = ? AND starts_at >= ?
        UNION ALL
        SELECT key_id, seconds, starts_at, code, count, NULL, NULL, NULL
        FROM key_usage WHERE key_id IN ? AND seconds = ? AND starts_at >= ?"
    };
}

struct CountsOnSqlite;

/// SQLite keeps to the order of a cross join: without an open hour no key is looked up.
impl Statement for CountsOnSqlite {
    const SQL: &'static str = concat!(
        hours!(),
        "CROSS JOIN api_keys AS keys CROSS JOIN key_usage_open AS open
        WHERE hours.starts_at IS NOT NULL AND keys.id IN ?
            AND open.starts_at = hours.starts_at AND open.key_number = keys.number",
        closed!()
    );
}

struct CountsOnPostgres;

/// Postgres joins in whatever order it thinks best, and has read all open hours for it, a million rows for 25 keys. `OFFSET 0`
/// keeps each part by itself.
impl Statement for CountsOnPostgres {
    const SQL: &'static str = concat!(
        hours!(),
        "CROSS JOIN (SELECT id, number FROM api_keys WHERE id = ANY(ARRAY?) OFFSET 0) AS keys
        CROSS JOIN LATERAL (
            SELECT * FROM key_usage_open WHERE starts_at = hours.starts_at AND key_number = keys.number OFFSET 0
        ) AS open
        WHERE hours.starts_at IS NOT NULL",
        closed!()
    );
}

/// How often a key was verified with this code in a span of so many seconds, or, with 0, in an hour that is still counted:
/// then with its newest use.
#[derive(QueryableByName)]
pub struct CountRow {
    #[diesel(sql_type = Text)]
    pub key_id: String,
    #[diesel(sql_type = BigInt)]
    pub seconds: i64,
    #[diesel(sql_type = BigInt)]
    pub starts_at: i64,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub user_agent: Option<String>,
}

/// The rows of these keys: of two lengths of span, each from its own time on, and what is still open.
pub fn counts(
    conn: &mut Conn,
    key_ids: &[String],
    (days, first_day): (i64, i64),
    (hours, first_hour): (i64, i64),
) -> QueryResult<Vec<CountRow>> {
    let ids = json(&key_ids)?;
    let ids = Value::List(&ids);
    let values = [
        ids,
        ids,
        Value::Integer(days),
        Value::Integer(first_day),
        ids,
        Value::Integer(hours),
        Value::Integer(first_hour),
    ];
    match conn {
        Conn::Sqlite(c) => planned::<CountsOnSqlite>(&values).load(c),
        Conn::Postgres(c) => planned::<CountsOnPostgres>(&values).load(c),
    }
}

#[cfg(test)]
mod tests {
    use diesel::sql_query;

    use super::*;
    use crate::store::{connection::DatabaseUrl, migrations};

    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = Text)]
        detail: String,
    }

    /// How SQLite would run a statement; it plans without statistics, so an empty database tells.
    fn plan<S: Statement>() -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        std::fs::write(&path, "").unwrap();
        let mut conn = DatabaseUrl::Sqlite(path).connect().unwrap();
        migrations::run(&mut conn).unwrap();
        let text = S::SQL.replace("IN ?", "IN (SELECT value FROM json_each('[]'))").replace('?', "0");
        let Conn::Sqlite(conn) = &mut conn else { unreachable!() };
        let steps: Vec<Step> = sql_query(format!("EXPLAIN QUERY PLAN {text}")).load(conn).unwrap();
        steps.into_iter().map(|step| step.detail).collect()
    }

    /// What is read of the open hours and of the closed ones is found by key: a scan of a table reads a million rows for 25 keys.
    /// `tests/it/store/page_plans.rs` has the same of Postgres.
    #[test]
    fn on_sqlite_a_page_finds_what_it_reads_by_key() {
        for (statement, plan) in [("last uses", plan::<LastUses>()), ("counts", plan::<CountsOnSqlite>())] {
            let scans: Vec<_> = plan.iter().filter(|step| step.starts_with("SCAN")).collect();
            let is_small =
                |step: &&&String| ["SCAN hours", "SCAN json_each"].iter().any(|small| step.starts_with(small));
            assert!(scans.iter().all(|step| is_small(&step)), "{statement}: {plan:#?}");
            assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{statement}: {plan:#?}");
        }
    }
}
