//! How large the database is after a year in which 10,000 keys are in use: what `docs/performance.md` says, computed from rows.
//!
//! `cargo test --test it store::size_of_a_year -- --nocapture` prints the column of its database.

use crate::support::TestApp;

/// What is in a table after a year, and how to make some of it.
struct Part {
    /// As the document calls it.
    name: &'static str,
    table: &'static str,
    rows: i64,
    sample: i64,
    /// Makes a row for each `n` of the table `n`, in the order in which they come in a year.
    insert: &'static str,
}

/// Living keys, each used at every hour, and rotated every 90 days. A tenth is revoked and made anew in a year. Ended secrets are
/// kept for 90 days, days of usage for 400, hours for 26, and audit events, all but failed sign-ins, for ever.
const KEYS: i64 = 10_000;
const ROTATIONS: i64 = KEYS * 365 / 90;
const REVOCATIONS: i64 = KEYS / 10;
/// Ten people, once a day; as many wrong passwords, of which 90 days are kept.
const SIGN_INS: i64 = 10 * 365 + 10 * 90;

const PARTS: &[Part] = &[
    Part {
        name: "usage by the day",
        table: "key_usage",
        rows: KEYS * 365,
        sample: 100 * 365,
        insert: "INSERT INTO key_usage (key_id, seconds, starts_at, code, count)
            SELECT 'key_3MUsHFt0NXDM70a4M0' || CAST(10000 + n % 100 AS TEXT) || 'k8Qz', 86400,
                1795392000000 + (n / 100) * CAST(86400000 AS BIGINT), 'VALID', 41207 + n FROM n ORDER BY n",
    },
    Part {
        name: "usage by the hour",
        table: "key_usage",
        rows: KEYS * 26,
        sample: 500 * 26,
        insert: "INSERT INTO key_usage (key_id, seconds, starts_at, code, count)
            SELECT 'key_3MUsHFt0NXDM70a4M0' || CAST(10000 + n % 500 AS TEXT) || 'k8Qz', 3600,
                1795392000000 + (n / 500) * CAST(3600000 AS BIGINT), 'VALID', 1717 + n FROM n ORDER BY n",
    },
    Part {
        name: "usage of the running hour and the one before",
        table: "key_usage_open",
        rows: KEYS * 2,
        sample: 10_000,
        insert: "INSERT INTO key_usage_open (starts_at, key_number, code, count, at, address, user_agent)
            SELECT 1795392000000 + (n / 5000) * CAST(3600000 AS BIGINT), n % 5000, 'VALID', 1717, 1795414260000 + n,
                '203.0.113.80', 'python-requests/2.32.3' FROM n ORDER BY n",
    },
    Part {
        name: "last uses",
        table: "key_last_used",
        rows: KEYS,
        sample: 5_000,
        insert: "INSERT INTO key_last_used (key_id, at, address, user_agent)
            SELECT 'key_3MUsHFt0NXDM70a4M0' || CAST(10000 + n AS TEXT) || 'k8Qz', 1795414260000 + n, '203.0.113.80',
                'python-requests/2.32.3' FROM n",
    },
    Part {
        name: "keys",
        table: "api_keys",
        rows: KEYS + REVOCATIONS * 91 / 365,
        sample: 5_000,
        insert: "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, revoked_at, version)
            SELECT 'key_3MUsHFt0NXDM70a4M0' || CAST(10000 + n AS TEXT) || 'k8Qz', organization_id,
                'Production ' || CAST(n AS TEXT), 'production ' || CAST(n AS TEXT), prefix, hint, created_by,
                1795414260000 + n, CASE WHEN n % 40 = 0 THEN 1795414260000 + n END, 5
            FROM n CROSS JOIN (SELECT * FROM api_keys LIMIT 1) AS one",
    },
    Part {
        name: "secrets, half of them ended",
        table: "key_secrets",
        rows: KEYS + ROTATIONS * 90 / 365 + REVOCATIONS * 90 / 365,
        sample: 4_000,
        insert: "INSERT INTO key_secrets (digest, digest_scheme, key_id, created_at, expires_at)
            SELECT RANDOM32, 'apikey/v1', 'key_3MUsHFt0NXDM70a4M0' || CAST(10001 + n % 5000 AS TEXT) || 'k8Qz',
                1795414260000 + n, CASE WHEN n % 2 = 0 THEN 1795414260000 + n END FROM n",
    },
    Part {
        name: "changes of keys",
        table: "key_changes",
        // Of a key that is made anew: its first day, its end, the removal of its secret and of its row.
        rows: 2 * ROTATIONS + 4 * REVOCATIONS,
        sample: 5_000,
        insert: "INSERT INTO key_changes (epoch, key_id, mark)
            SELECT 1000 + n, 'key_3MUsHFt0NXDM70a4M0' || CAST(10000 + n AS TEXT) || 'k8Qz',
                '0123456789abcdef0123456789' || CAST(100000 + n AS TEXT) FROM n",
    },
    Part {
        name: "audit events",
        table: "audit_events",
        rows: ROTATIONS + 2 * REVOCATIONS + SIGN_INS,
        sample: 5_000,
        insert: "INSERT INTO audit_events (id, organization_id, at, action, actor_kind, actor_id, actor_name, key_id, key_name,
                address, user_agent, request_id)
            SELECT 'evt_3MUsHFt0NXDM70a4M0' || CAST(10000 + n AS TEXT) || 'k8Qz', organization_id, 1795414260000 + n,
                'key.rotated', 'user', created_by, 'Maya Chen', 'key_3MUsHFt0NXDM70a4M0' || CAST(10000 + n AS TEXT) || 'k8Qz',
                'Production ' || CAST(n AS TEXT), '203.0.113.80',
                'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
                'req_0123456789abcdef0123456789' || CAST(100000 + n AS TEXT)
            FROM n CROSS JOIN (SELECT * FROM api_keys LIMIT 1) AS one",
    },
];

/// Bytes of a table with its indexes; of SQLite, where nothing else is written meanwhile, of the whole file.
async fn bytes(app: &TestApp, table: &str) -> i64 {
    let size = if app.database.is_postgres() {
        format!("SELECT CAST(pg_total_relation_size('{table}') AS TEXT) AS line")
    } else {
        "SELECT CAST(page_count * page_size AS TEXT) AS line FROM pragma_page_count, pragma_page_size".to_owned()
    };
    app.lines(&size).await[0].parse().unwrap()
}

/// Bytes of so many rows, as large as these.
async fn in_a_year(app: &TestApp, part: &Part) -> i64 {
    let before = bytes(app, part.table).await;
    let random = if app.database.is_postgres() {
        "sha256(CAST(CAST(n AS TEXT) AS BYTEA))"
    } else {
        "CAST(printf('%032d', n * 2654435761 % 4294967296) AS BLOB)"
    };
    let (insert, select) = part.insert.split_once("SELECT").unwrap();
    let select = select.replace("RANDOM32", random);
    let numbers = format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {})", part.sample);
    app.execute(&format!("{insert} {numbers} SELECT {select}")).await;
    (bytes(app, part.table).await - before) * part.rows / part.sample
}

#[tokio::test]
async fn a_year_of_ten_thousand_active_keys_is_as_large_as_the_document_says() {
    let app = TestApp::start().await;
    app.admin().await.create_key("Production").await;
    let column = if app.database.is_postgres() { 3 } else { 2 };
    let rows = rows_of_the_document();
    let (mut sum, mut wrong) = (0, Vec::new());
    for part in PARTS {
        let bytes = in_a_year(&app, part).await;
        sum += bytes;
        println!("{}: {} rows, {:.1} MB", part.name, part.rows, bytes as f64 / 1e6);
        let told = rows.iter().find(|row| row[0] == part.name);
        let number = |text: &str| text.replace([',', ' '], "").trim_end_matches("MB").parse::<f64>().unwrap();
        let is_told = told.is_some_and(|told| {
            number(&told[1]) == part.rows as f64 && is_about(number(&told[column]), bytes as f64 / 1e6)
        });
        if !is_told {
            wrong.push(part.name);
        }
    }
    println!("all: {:.0} MB", sum as f64 / 1e6);
    assert!(wrong.is_empty(), "docs/performance.md is not right about {wrong:?}");
    let all = rows.iter().find(|row| row[0] == "all").expect("a sum");
    let told = all[column].trim_end_matches(" MB").replace(',', "").parse::<f64>().unwrap();
    assert!(is_about(told, sum as f64 / 1e6), "docs/performance.md says {told} MB in all, and it is {sum} bytes");
}

/// A twentieth, for another version of the database; and half of what is rounded away.
fn is_about(told: f64, measured: f64) -> bool {
    (told - measured).abs() <= measured * 0.05 + 0.06
}

/// The cells of the table about a year.
fn rows_of_the_document() -> Vec<Vec<String>> {
    let document = include_str!("../../../docs/performance.md");
    let (_, section) = document.split_once("## A year of 10,000 active keys").expect("a section about it");
    let lines = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with('|'));
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}
