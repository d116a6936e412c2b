//! Time in the database for counting uses and for showing them: `cargo bench --bench usage`.
//!
//! On SQLite in a temporary folder, with every commit synced to disk; on Postgres where `TEST_DATABASE_URL` names an empty
//! database.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::RunQueryDsl;
use keystead::{
    config::DatabaseUrl,
    domain::{
        ids::{KeyId, OrgId, UserId},
        key_record::KeyNumber,
        usage::{LastUsed, UsageDelta},
    },
    store::{Conn, StoreError, in_transaction, key_usage, migrations},
};

const ACTIVE_KEYS: i64 = 10_000;
const FLUSH_GOAL: Duration = Duration::from_millis(50);
const PAGE: usize = 25;
/// Rows of the running hour.
const MANY_OPEN: i64 = 1_000_000;
const PAGE_GOAL: Duration = Duration::from_millis(25);

#[allow(clippy::disallowed_methods)] // no setting of the server
fn main() {
    let folder = tempfile::tempdir().unwrap();
    let url = match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => DatabaseUrl::Postgres(url),
        Err(_) => DatabaseUrl::Sqlite(folder.path().join("keystead.db")),
    };
    let mut conn = url.connect().unwrap();
    migrations::run(&mut conn).unwrap();
    let now: DateTime<Utc> = "2026-11-23T06:11:00Z".parse().unwrap();
    let organization_id = OrgId::generate(now);
    let ids: Vec<KeyId> = (0..ACTIVE_KEYS).map(|_| KeyId::generate(now)).collect();
    insert_keys(&mut conn, &organization_id, &ids, now);

    // A month of busy keys, among it two bad days.
    for hours in 0..720 {
        let hour = now - TimeDelta::hours(hours);
        add(&mut conn, hour, &flush_of(1..=PAGE as i64, hour, if hours < 48 { 2 } else { 1 }));
    }
    while in_transaction(&mut conn, |conn| key_usage::close_hours(conn, now)).unwrap() > 0 {}
    let mut made = Vec::new();
    let mut added = Vec::new();
    for hours in 1..=10 {
        let hour = now + TimeDelta::hours(hours);
        made.push(add(&mut conn, hour, &flush_of(1..=ACTIVE_KEYS, hour, 1)));
        for second in 1..=10 {
            let at = hour + TimeDelta::seconds(second);
            added.push(add(&mut conn, hour, &flush_of(1..=ACTIVE_KEYS, at, 1)));
        }
    }
    report("10,000 active keys, first flush of an hour", made, Some(FLUSH_GOAL));
    report("10,000 active keys, every other flush", added, Some(FLUSH_GOAL));

    let show = |conn: &mut Conn, ids: &[KeyId]| {
        let begun = Instant::now();
        let found = key_usage::of_keys(conn, &organization_id, ids, now).unwrap();
        assert!(found.len() == ids.len() && found.values().all(|usage| usage.days[0].total() > 0));
        begun.elapsed()
    };
    let page = (0..100).map(|_| show(&mut conn, &ids[..PAGE])).collect();
    report("the page: 25 keys used at every hour of 30 days", page, None);
    let pop_up = (0..100).map(|_| show(&mut conn, &ids[..1])).collect();
    report("a pop-up: one such key", pop_up, None);

    let later = now + TimeDelta::days(1);
    let mut closings = Vec::new();
    loop {
        let begun = Instant::now();
        if in_transaction(&mut conn, |conn| key_usage::close_hours(conn, later)).unwrap() == 0 {
            break;
        }
        closings.push(begun.elapsed());
    }
    report("closing an hour, 2,000 rows at once", closings, None);

    // As after a full hour in which a million keys were used; the page is of 25 of them.
    for chunk in 0..MANY_OPEN / ACTIVE_KEYS {
        let first = chunk * ACTIVE_KEYS + 1;
        add(&mut conn, now, &flush_of(first..=first + ACTIVE_KEYS - 1, now, 1));
    }
    let analyze = match conn {
        Conn::Sqlite(_) => "PRAGMA optimize",
        Conn::Postgres(_) => "VACUUM ANALYZE",
    };
    diesel::sql_query(analyze).execute(&mut conn).unwrap();
    let page = (0..100).map(|_| show(&mut conn, &ids[..PAGE])).collect();
    report("the page: 25 keys, a million rows open", page, Some(PAGE_GOAL));
}

/// Of keys with these numbers.
fn flush_of(numbers: RangeInclusive<i64>, at: DateTime<Utc>, codes: usize) -> Vec<UsageDelta> {
    let used = LastUsed { at, address: "203.0.113.80".parse().ok(), user_agent: Some("python-requests/2.32".into()) };
    let delta = |number| UsageDelta {
        key: KeyNumber(number),
        counts: [("VALID", 17), ("ROTATED", 3)][..codes].to_vec(),
        last_used: Some(used.clone()),
    };
    numbers.map(delta).collect()
}

fn add(conn: &mut Conn, hour: DateTime<Utc>, deltas: &[UsageDelta]) -> Duration {
    let begun = Instant::now();
    in_transaction::<_, StoreError>(conn, |conn| key_usage::add(conn, hour, deltas)).unwrap();
    begun.elapsed()
}

fn insert_keys(conn: &mut Conn, organization_id: &OrgId, ids: &[KeyId], now: DateTime<Utc>) {
    let (user_id, at) = (UserId::generate(now), now.timestamp_millis());
    let mut statements = vec![
        format!("INSERT INTO organizations (id, name, created_at) VALUES ('{organization_id}', 'Acme', {at})"),
        format!(
            "INSERT INTO users (id, email, email_folded, name, password_hash, created_at) \
             VALUES ('{user_id}', 'a@b', 'a@b', 'Maya', '', {at})"
        ),
    ];
    for id in ids {
        statements.push(format!(
            "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, version) \
             VALUES ('{id}', '{organization_id}', '{id}', '{id}', 'talvin_live', 'x9Kq', '{user_id}', {at}, 1)"
        ));
    }
    for statement in statements {
        diesel::sql_query(statement).execute(conn).unwrap();
    }
}

fn report(what: &str, mut times: Vec<Duration>, goal: Option<Duration>) {
    times.sort();
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    let goal = goal.map(|goal| format!("; goal {goal:?}")).unwrap_or_default();
    println!("{what:<50} median {median:>8.1?}  (min {least:.1?}, max {most:.1?}{goal})");
}
