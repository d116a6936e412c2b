//! Databases full of keys, in seconds: as statements of thousands of rows, and not through the page.

use std::fs;

use actix_web::web::Bytes;
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_types::Text};
use futures_util::SinkExt;
use keystead::{
    clock::{Clock, SystemClock},
    domain::{
        ids::KeyId,
        pepper::{DIGEST_SCHEME, Pepper},
    },
    store::connection::DatabaseUrl,
};

use super::{
    keys::{PREFIX, secret},
    server::{Place, create_admin},
};

/// For what goes into one statement.
const BATCH: u64 = 10_000;

/// A new database at this place, with an admin and keys 0 to `keys`; their ids.
pub fn fill(place: &Place, keys: u64) -> Vec<KeyId> {
    let pepper = [0x5a; 32];
    fs::create_dir_all(&place.data).unwrap();
    fs::write(place.pepper(), pepper).unwrap();
    create_admin(place);
    let pepper = Pepper::new(pepper);
    let ids = match &place.postgres {
        None => fill_sqlite(place, &pepper, keys),
        Some(url) => super::block_on(fill_postgres(url, &pepper, keys)),
    };
    assert_eq!(ids.len() as u64, keys);
    ids
}

/// What a row of either table is made of.
struct Row {
    id: KeyId,
    name: String,
    hint: String,
    digest: String,
    number: u64,
}

fn row(pepper: &Pepper, n: u64) -> Row {
    let secret = secret(n);
    let digest = hex(&pepper.digest(secret.as_presented()).0);
    let id = KeyId::generate(SystemClock.now());
    Row { id, name: format!("Key {n}"), hint: secret.hint().as_str().to_owned(), digest, number: n + 1 }
}

/// Without a `format!` a byte, which took longer than the HMAC.
fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).expect("four bits are a digit");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn batches(keys: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..keys).step_by(BATCH as usize).map(move |from| from..(from + BATCH).min(keys))
}

/// No journal and no waiting for the disk: nobody needs this file after a power cut. The server sets its own mode again.
const FAST: &str = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; PRAGMA foreign_keys = OFF; BEGIN";

/// Those that a statement made, and not those of primary keys.
const INDEXES: &str = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('api_keys', 'key_secrets') AND sql IS NOT NULL";

#[derive(diesel::QueryableByName)]
struct Index {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    sql: String,
}

fn fill_sqlite(place: &Place, pepper: &Pepper, keys: u64) -> Vec<KeyId> {
    let mut conn = DatabaseUrl::Sqlite(place.sqlite_file()).connect().unwrap();
    conn.batch_execute(FAST).unwrap();
    // Built at the end in one sort, an index takes a fraction of what a million insertions into it take.
    let indexes: Vec<Index> = diesel::sql_query(INDEXES).load(&mut conn).unwrap();
    for index in &indexes {
        conn.batch_execute(&format!("DROP INDEX {}", index.name)).unwrap();
    }
    let now = SystemClock.now().timestamp_millis();
    let insert_keys = format!(
        "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, version, number)
         SELECT value->>0, (SELECT organization_id FROM memberships), value->>1, lower(value->>1), '{PREFIX}',
                value->>2, (SELECT user_id FROM memberships), {now}, 1, value->>4
         FROM json_each(?)"
    );
    let insert_secrets = format!(
        "INSERT INTO key_secrets (digest, digest_scheme, key_id, created_at)
         SELECT unhex(value->>3), '{DIGEST_SCHEME}', value->>0, {now} FROM json_each(?)"
    );
    let mut ids = Vec::new();
    for batch in batches(keys) {
        let rows: Vec<Row> = batch.map(|n| row(pepper, n)).collect();
        let fields: Vec<_> =
            rows.iter().map(|row| (row.id.as_str(), &row.name, &row.hint, &row.digest, row.number)).collect();
        let json = serde_json::to_string(&fields).unwrap();
        for insert in [&insert_keys, &insert_secrets] {
            diesel::sql_query(insert).bind::<Text, _>(&json).execute(&mut conn).unwrap();
        }
        ids.extend(rows.into_iter().map(|row| row.id));
    }
    for index in &indexes {
        conn.batch_execute(&index.sql).unwrap();
    }
    conn.batch_execute("COMMIT; PRAGMA journal_mode = WAL").unwrap();
    ids
}

async fn fill_postgres(url: &str, pepper: &Pepper, keys: u64) -> Vec<KeyId> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let owner = client.query_one("SELECT organization_id, user_id FROM memberships", &[]).await.unwrap();
    let (organization, user): (String, String) = (owner.get(0), owner.get(1));
    let now = SystemClock.now().timestamp_millis();
    let mut ids = Vec::new();
    for batch in batches(keys) {
        let rows: Vec<Row> = batch.map(|n| row(pepper, n)).collect();
        let line = |row: &Row| {
            let Row { id, name, hint, .. } = row;
            let folded = name.to_lowercase();
            format!("{id}\t{organization}\t{name}\t{folded}\t{PREFIX}\t{hint}\t{user}\t{now}\t1\n")
        };
        let columns = "id, organization_id, name, name_folded, prefix, hint, created_by, created_at, version";
        copy(&client, &format!("api_keys ({columns})"), rows.iter().map(line).collect()).await;
        let line = |row: &Row| format!("\\\\x{}\t{DIGEST_SCHEME}\t{}\t{now}\n", row.digest, row.id);
        let table = "key_secrets (digest, digest_scheme, key_id, created_at)";
        copy(&client, table, rows.iter().map(line).collect()).await;
        ids.extend(rows.into_iter().map(|row| row.id));
    }
    // As after some time of use: the first start must not meet a table nobody has looked at.
    client.batch_execute("VACUUM ANALYZE api_keys; ").await.unwrap();
    client.batch_execute("VACUUM ANALYZE key_secrets").await.unwrap();
    ids
}

async fn copy(client: &tokio_postgres::Client, table: &str, rows: String) {
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from(rows)).await.unwrap();
    sink.finish().await.unwrap();
}
