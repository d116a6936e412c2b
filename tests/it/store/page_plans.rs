//! How much the page reads: rows of its own keys, however many there are.

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use keystead::{
    domain::ids::{KeyId, OrgId},
    store::{Conn, StoreError, key_usage},
};

use crate::support::TestApp;

/// Other keys, each with a row in the open hour.
const OTHERS: i64 = 100_000;

#[derive(QueryableByName)]
struct Read {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// On Postgres the planner chooses by statistics, so the tables are full and analyzed; what it read is counted by Postgres itself,
/// for this transaction. (`src/store/usage_reads.rs` has the same of SQLite, which plans without statistics.)
#[tokio::test]
async fn a_page_reads_what_is_open_of_its_own_keys_and_of_no_others() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let keys = [maya.create_key("One").await, maya.create_key("Two").await];
    for key in &keys {
        app.verify(&key.secret).await;
    }
    let organization: OrgId = OrgId::parse(&maya.get("/settings/integrations").await.one("#organization-id")).unwrap();
    let now = app.site.clock.now();
    let hour = now.timestamp_millis() / 3_600_000 * 3_600_000;
    app.execute(&format!(
        "INSERT INTO api_keys
            (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, version, number)
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {OTHERS})
        SELECT 'key_' || CAST(n AS TEXT), '{organization}', CAST(n AS TEXT), CAST(n AS TEXT), 'talvin_live', 'x9Kq',
            (SELECT min(id) FROM users), {hour}, 1, 1000000 + n
        FROM n"
    ))
    .await;
    app.execute(&format!(
        "INSERT INTO key_usage_open (starts_at, key_number, code, count)
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {OTHERS})
        SELECT {hour}, 1000000 + n, 'VALID', 1 FROM n"
    ))
    .await;
    let ids: Vec<KeyId> = keys.iter().map(|key| KeyId::parse(&key.id).unwrap()).collect();
    app.execute("ANALYZE").await;
    let read = app.site.db.write::<_, StoreError>(move |conn| {
        let usages = key_usage::of_keys(conn, &organization, &ids, now)?;
        assert_eq!(usages.len(), 2);
        let Conn::Postgres(conn) = conn else { return Ok(None) };
        let read = sql_query(
            "SELECT CAST(coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) AS BIGINT) AS rows
            FROM pg_stat_xact_user_tables WHERE relname IN ('key_usage_open', 'key_usage', 'api_keys')",
        );
        Ok(Some(read.get_result::<Read>(conn)?.rows))
    });
    if let Some(rows) = read.await.unwrap() {
        assert!(rows < 200, "{rows} rows for two keys");
    }
}
