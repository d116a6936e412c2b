//! How often keys were verified, as the database keeps it and as the page asks for it.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::RunQueryDsl;
use futures_util::future::join_all;
use keystead::{
    actions::{
        flush_usage::{count_unwritten, flush_usage},
        purge_expired::purge_expired,
    },
    clock::Clock,
    domain::{
        ids::{KeyId, NodeId, OrgId},
        usage::{Count, FlushId, KeyUsage, LastUsed, UsageDelta},
    },
    key_index::Round,
    store::{StoreError, key_usage, usage_flushes},
    supervision::Part,
};

use crate::support::{Key, TestApp, TestDatabase, until};

/// 2026-11-23 06:00 UTC, the hour in which tests begin.
fn hour() -> DateTime<Utc> {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

/// What a node has counted of a key.
struct Use {
    key_id: String,
    counts: Vec<(&'static str, u64)>,
    last_used: Option<LastUsed>,
}

fn counted(key_id: &str, counts: &[(&'static str, u64)]) -> Use {
    Use { key_id: key_id.to_owned(), counts: counts.to_vec(), last_used: None }
}

fn used(key_id: &str, at: DateTime<Utc>, address: &str, agent: &str) -> Use {
    let address: Option<IpAddr> = Some(address.parse().unwrap());
    let last_used = Some(LastUsed { at, address, user_agent: Some(agent.into()) });
    Use { key_id: key_id.to_owned(), counts: vec![("VALID", 1)], last_used }
}

async fn add(app: &TestApp, hour: DateTime<Utc>, uses: Vec<Use>) {
    let mut deltas = Vec::new();
    for Use { key_id, counts, last_used } in uses {
        deltas.push(UsageDelta { key: app.key_number(&key_id).await, counts, last_used });
    }
    app.site.db.write(move |conn| key_usage::add(conn, hour, &deltas)).await.unwrap();
}

async fn close(app: &TestApp) -> usize {
    let now = app.clock.now();
    app.site.db.write(move |conn| key_usage::close_hours(conn, now)).await.unwrap()
}

/// What the worker does every ten minutes.
async fn work(app: &TestApp) {
    purge_expired(&app.site).await.unwrap();
}

async fn of_organization(app: &TestApp, organization_id: &str, keys: &[&Key]) -> HashMap<KeyId, KeyUsage> {
    let organization_id = OrgId::parse(organization_id).unwrap();
    let ids: Vec<KeyId> = keys.iter().map(|key| KeyId::parse(&key.id).unwrap()).collect();
    let now = app.clock.now();
    let read = app.site.db.read_aside(move |conn| key_usage::of_keys(conn, &organization_id, &ids, now));
    read.await.unwrap()
}

async fn usage(app: &TestApp, key: &Key) -> KeyUsage {
    of_organization(app, &key.organization_id, &[key]).await.remove(&KeyId::parse(&key.id).unwrap()).unwrap()
}

fn count(valid: u64, refused: u64) -> Count {
    Count { valid, refused }
}

#[tokio::test]
async fn a_key_nobody_used_has_zeros() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    assert_eq!(usage(&app, &key).await, KeyUsage { is_complete: true, ..KeyUsage::default() });
    add(&app, hour(), vec![counted(&key.id, &[("VALID", 0)])]).await;
    assert_eq!(app.count("key_usage_open").await, 0, "a use without a count is none");
}

#[tokio::test]
async fn counts_add_up_whoever_brings_them() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    add(&app, hour(), vec![counted(&key.id, &[("VALID", 3), ("ROTATED", 1), ("REVOKED", 0)])]).await;
    let twice = vec![counted(&key.id, &[("VALID", 2), ("VALID", 1)]), counted(&key.id, &[("VALID", 4)])];
    add(&app, hour(), twice).await;
    add(&app, hour(), Vec::new()).await;
    let usage = usage(&app, &key).await;
    assert_eq!(usage.days[29], count(10, 1));
    assert_eq!(usage.days.iter().copied().sum::<Count>(), count(10, 1));
    assert_eq!(usage.last_24_hours, count(10, 1));
    assert_eq!(app.count("key_usage_open").await, 2, "an hour and a code are a row, and nothing is no row");
}

#[tokio::test]
async fn nodes_that_add_at_once_lose_nothing_and_end_none() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(maya.create_key(&format!("Key {n}")).await.id);
    }
    let adds = (0..40).map(|n| {
        let mut deltas: Vec<_> =
            ids.iter().map(|id| used(id, app.clock.now() + TimeDelta::seconds(n), "203.0.113.80", "curl")).collect();
        if n % 2 == 0 {
            deltas.reverse();
        }
        add(&app, hour(), deltas)
    });
    join_all(adds).await;
    assert_eq!(app.count("key_usage_open WHERE count = 40").await, 20);
    let newest = (app.clock.now() + TimeDelta::seconds(39)).timestamp_millis();
    assert_eq!(app.count(&format!("key_usage_open WHERE at = {newest}")).await, 20);
}

#[tokio::test]
async fn the_last_use_only_moves_forward() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let now = app.clock.now();
    let (late, early) = (now - TimeDelta::milliseconds(1), now - TimeDelta::seconds(5));
    let hostile = "<script>alert(1)</script>'; DROP TABLE key_usage;-- \\u0000 \"é\u{202e}";
    add(&app, hour(), vec![used(&key.id, early, "203.0.113.80", "one")]).await;
    add(&app, hour(), vec![used(&key.id, late, "2001:db8::1", hostile), used(&key.id, early, "203.0.113.81", "two")])
        .await;
    add(&app, hour(), vec![used(&key.id, early, "203.0.113.82", "three")]).await;
    add(&app, hour(), vec![used(&key.id, late, "203.0.113.83", "four")]).await;
    let known = usage(&app, &key).await.last_used.unwrap();
    assert_eq!(known.at, late, "to the millisecond");
    assert_eq!(known.address, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(known.user_agent.as_deref(), Some(hostile));
    let nothing_known = LastUsed { at: now, address: None, user_agent: None };
    let counts = vec![("VALID", 1)];
    let delta = Use { key_id: key.id.clone(), counts, last_used: Some(nothing_known.clone()) };
    add(&app, hour(), vec![delta]).await;
    assert_eq!(usage(&app, &key).await.last_used, Some(nothing_known));
}

#[tokio::test]
async fn the_last_use_outlives_its_hour() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let now = app.clock.now();
    let an_hour_ago = now - TimeDelta::hours(1);
    add(&app, hour(), vec![used(&key.id, now, "203.0.113.80", "new"), counted(&key.id, &[("REVOKED", 1)])]).await;
    add(&app, hour() - TimeDelta::hours(1), vec![used(&key.id, an_hour_ago, "203.0.113.81", "old")]).await;
    for hours in 0..3 {
        // The older one is over first, then the newer one; and a node comes late with the older one.
        if hours == 2 {
            add(&app, hour() - TimeDelta::hours(1), vec![used(&key.id, an_hour_ago, "203.0.113.81", "old")]).await;
        }
        assert_eq!(close(&app).await, [1, 2, 1][hours]);
        let last = usage(&app, &key).await.last_used.unwrap();
        assert_eq!((last.at, last.user_agent.as_deref()), (now, Some("new")), "after {hours} hours");
        app.clock.advance(TimeDelta::hours(1));
    }
    assert_eq!(app.count("key_usage_open").await, 0);
    // Counts alone say nothing of who came.
    add(&app, hour(), vec![counted(&key.id, &[("VALID", 1)])]).await;
    assert_eq!(usage(&app, &key).await.last_used.unwrap().at, now);
}

#[tokio::test]
async fn days_are_those_of_utc_and_today_is_the_last() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    for (at, n) in [
        ("2026-11-23T00:00:00Z", 1),
        ("2026-11-22T23:00:00Z", 2),
        ("2026-11-22T00:00:00Z", 4),
        ("2026-10-25T00:00:00Z", 8),
        ("2026-10-24T23:00:00Z", 16),
        ("2026-11-24T00:00:00Z", 32),
    ] {
        add(&app, at.parse().unwrap(), vec![counted(&key.id, &[("VALID", n)])]).await;
    }
    for closed in [false, true] {
        if closed {
            work(&app).await;
        }
        let days = usage(&app, &key).await.days.map(|day| day.valid);
        assert_eq!((days[0], days[28], days[29]), (8, 6, 33), "a clock that is ahead counts for today");
        assert_eq!(days.iter().sum::<u64>(), 47, "30 days");
    }
    app.clock.advance(TimeDelta::days(1));
    work(&app).await;
    let days = usage(&app, &key).await.days.map(|day| day.valid);
    assert_eq!((days[0], days[27], days[28], days[29]), (0, 6, 1, 32));
}

#[tokio::test]
async fn a_day_is_24_hours_and_what_remains_of_the_hour_before() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    for (hours_ago, n) in [(0, 1), (23, 2), (24, 4), (25, 8)] {
        add(&app, hour() - TimeDelta::hours(hours_ago), vec![counted(&key.id, &[("VALID", n), ("REVOKED", n)])]).await;
    }
    for closed in [false, true] {
        if closed {
            work(&app).await;
        }
        assert_eq!(usage(&app, &key).await.last_24_hours, count(7, 7), "closed: {closed}");
    }
}

#[tokio::test]
async fn another_organizations_usage_is_not_found() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let (key, hers) = (maya.create_key("Production").await, olga.create_key("Production").await);
    for id in [&key.id, &hers.id] {
        add(&app, hour(), vec![used(id, app.clock.now(), "203.0.113.80", "curl")]).await;
    }
    let found = of_organization(&app, &key.organization_id, &[&key, &hers]).await;
    assert_eq!(found.keys().map(KeyId::as_str).collect::<Vec<_>>(), [key.id.as_str()]);
    assert!(of_organization(&app, &hers.organization_id, &[&key]).await.is_empty());
}

#[tokio::test]
async fn usage_of_a_revoked_key_stays() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    add(&app, hour(), vec![used(&key.id, app.clock.now(), "203.0.113.80", "curl")]).await;
    maya.revoke(&key).await;
    add(&app, hour(), vec![counted(&key.id, &[("REVOKED", 7)])]).await;
    assert_eq!(usage(&app, &key).await.days[29], count(1, 7));
}

#[tokio::test]
async fn closing_an_hour_changes_no_number() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (key, other) = (maya.create_key("Production").await, maya.create_key("Staging").await);
    for n in 0..4 {
        let deltas = vec![counted(&key.id, &[("VALID", 2), ("ROTATED", 1)]), counted(&other.id, &[("VALID", 5)])];
        add(&app, hour() - TimeDelta::hours(n), deltas).await;
    }
    let before = (usage(&app, &key).await, usage(&app, &other).await);
    assert_eq!((before.0.days[29], before.0.last_24_hours), (count(8, 4), count(8, 4)));
    assert_eq!(close(&app).await, 3 * 3, "the hour that still runs stays open");
    assert_eq!(close(&app).await, 0);
    assert_eq!((usage(&app, &key).await, usage(&app, &other).await), before);
    assert_eq!(app.count("key_usage_open").await, 3);
    assert_eq!(app.count("key_usage WHERE seconds = 3600").await, 9);
    assert_eq!(app.count("key_usage WHERE seconds = 86400 AND starts_at % 86400000 = 0").await, 3);

    // A node that comes late opens its hour once more.
    add(&app, hour() - TimeDelta::hours(2), vec![counted(&key.id, &[("VALID", 100)])]).await;
    for _ in 0..2 {
        let late = usage(&app, &key).await;
        assert_eq!((late.days[29], late.last_24_hours), (count(108, 4), count(108, 4)));
        close(&app).await;
    }
}

#[tokio::test]
async fn hours_go_when_no_page_reads_them_and_days_stay() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    for n in 0..72 {
        add(&app, hour() - TimeDelta::hours(n), vec![counted(&key.id, &[("VALID", 2), ("ROTATED", 1)])]).await;
    }
    work(&app).await;
    assert_eq!(app.count("key_usage_open").await, 2);
    assert_eq!(app.count("key_usage WHERE seconds = 3600").await, 25 * 2, "what is older was never one");
    assert_eq!(app.count("key_usage WHERE seconds = 86400").await, 4 * 2);
    app.clock.advance(TimeDelta::hours(25));
    work(&app).await;
    assert_eq!(app.count("key_usage WHERE seconds = 3600").await, 2);
    app.clock.advance(TimeDelta::hours(1));
    work(&app).await;
    assert_eq!(app.count("key_usage WHERE seconds = 3600").await, 0);
    let sums = "SELECT CAST(sum(count) AS TEXT) AS line FROM key_usage WHERE seconds = 86400";
    assert_eq!(app.lines(sums).await, ["216"]);
}

#[tokio::test]
async fn forty_days_of_hours_that_an_earlier_version_kept_go() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    // More than a piece of a purge.
    app.execute(&format!(
        "INSERT INTO key_usage (key_id, seconds, starts_at, code, count)
        WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 959),
            codes (code) AS (SELECT 'VALID' UNION ALL SELECT 'REVOKED' UNION ALL SELECT 'ROTATED')
        SELECT '{}', 3600, {} - n * CAST(3600000 AS BIGINT), code, 7 FROM n CROSS JOIN codes",
        key.id,
        hour().timestamp_millis()
    ))
    .await;
    let before = usage(&app, &key).await;
    assert_eq!(before.last_24_hours, count(7 * 25, 14 * 25));
    assert_eq!(purge_expired(&app.site).await.unwrap().old_usage, (960 - 26) * 3);
    assert_eq!(app.count("key_usage").await, 26 * 3);
    assert_eq!(usage(&app, &key).await, before);
}

#[tokio::test]
async fn days_go_after_400() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    for days in 0..3 {
        add(&app, hour() - TimeDelta::days(days), vec![counted(&key.id, &[("VALID", 2), ("ROTATED", 1)])]).await;
    }
    for (days, left) in [(2, 3), (396, 3), (1, 2), (1, 1), (1, 0)] {
        app.clock.advance(TimeDelta::days(days));
        work(&app).await;
        assert_eq!(app.count("key_usage").await, left * 2, "{}", app.clock.now());
    }
    // Who comes so late is not counted any more.
    add(&app, hour() - TimeDelta::days(2), vec![used(&key.id, app.clock.now(), "203.0.113.80", "curl")]).await;
    work(&app).await;
    assert_eq!((app.count("key_usage_open").await, app.count("key_usage").await), (0, 0));
    assert_eq!(usage(&app, &key).await.days, [Count::default(); 30]);
    assert_eq!(usage(&app, &key).await.last_used.map(|last| last.at), Some(app.clock.now()));
}

/// Two keys used in hours at random, and time that passes at random; the page must show what was counted, whatever was moved and
/// forgotten in between, by two nodes whose clocks differ.
#[tokio::test]
async fn what_is_moved_and_forgotten_changes_no_number_on_the_page() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let keys = [maya.create_key("Production").await, maya.create_key("Staging").await];
    let mut seed: u64 = 20_261_128;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut all: Vec<(usize, i64, bool, u64)> = Vec::new();
    let at_hour = |time: DateTime<Utc>| time.timestamp_millis().div_euclid(3_600_000);
    for step in 0..150 {
        let now = app.clock.now();
        let uses = (0..random(4)).map(|_| {
            // Mostly now, and sometimes from a node that was cut off.
            let late = if random(4) == 0 { random(30) } else { 0 };
            let hour = now - TimeDelta::hours(late.cast_signed());
            (usize::from(random(2) == 0), hour, random(3) > 0, random(1000))
        });
        for (key, hour, is_valid, n) in uses.collect::<Vec<_>>() {
            add(&app, hour, vec![counted(&keys[key].id, &[(if is_valid { "VALID" } else { "REVOKED" }, n)])]).await;
            all.push((key, at_hour(hour), is_valid, n));
        }
        if random(2) == 0 {
            work(&app).await;
        }
        if random(4) == 0 {
            // Another node, half an hour ahead.
            let ahead = now + TimeDelta::minutes(30);
            app.site.db.write(move |conn| key_usage::close_hours(conn, ahead)).await.unwrap();
            app.site.db.write(move |conn| key_usage::forget_old(conn, ahead)).await.unwrap();
        }
        let today = at_hour(now).div_euclid(24);
        for (n, key) in keys.iter().enumerate() {
            let sum = |is_in: &dyn Fn(i64) -> bool| {
                let of = |valid| {
                    all.iter().filter(move |(key, hour, is_valid, _)| (*key, *is_valid) == (n, valid) && is_in(*hour))
                };
                count(of(true).map(|(.., n)| n).sum(), of(false).map(|(.., n)| n).sum())
            };
            let shown = usage(&app, key).await;
            let recent = at_hour(now) - 24;
            assert_eq!(shown.last_24_hours, sum(&|hour| hour >= recent), "step {step}");
            for (ago, day) in (0..30).zip(shown.days.iter().rev()) {
                assert_eq!(*day, sum(&|hour| hour.div_euclid(24) == today - ago), "step {step}, {ago} days ago");
            }
        }
        app.clock.advance(TimeDelta::minutes(random(120).cast_signed()));
    }
    assert!(app.count("key_usage WHERE seconds = 3600").await <= 26 * 4);
}

#[tokio::test]
async fn what_is_counted_of_a_key_that_is_gone_goes_too() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (gone, key) = (maya.create_key("Gone").await, maya.create_key("Production").await);
    let deltas = [&gone, &key].map(|key| used(&key.id, app.clock.now(), "203.0.113.80", "curl")).into();
    add(&app, hour(), deltas).await;
    app.execute(&format!("DELETE FROM key_secrets WHERE key_id = '{}'", gone.id)).await;
    app.execute(&format!("DELETE FROM api_keys WHERE id = '{}'", gone.id)).await;
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(close(&app).await, 2);
    assert_eq!(app.count("key_usage_open").await, 0);
    assert_eq!((app.count("key_usage").await, app.count("key_last_used").await), (2, 1));
    assert_eq!(usage(&app, &key).await.days[29], count(1, 0));
}

#[tokio::test]
async fn on_postgres_a_page_reads_the_open_rows_of_its_keys_alone() {
    let database = TestDatabase::postgres();
    let app = TestApp::start_on(database, |_| {}).await;
    let key = app.admin().await.create_key("Production").await;
    app.execute(
        "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, version)
        SELECT 'key_' || lpad(CAST(n AS TEXT), 27, '0'), organization_id, name || n, name || n, prefix, hint, created_by,
            created_at, 1
        FROM api_keys, generate_series(2, 20000) AS n",
    )
    .await;
    app.execute(
        "INSERT INTO key_usage_open (starts_at, key_number, code, count)
        SELECT hour * CAST(3600000 AS BIGINT), number, 'VALID', 1 FROM generate_series(498600, 498601) AS hour,
            generate_series(1, 20000) AS number",
    )
    .await;
    app.execute("ANALYZE").await;
    let organization_id = OrgId::parse(&key.organization_id).unwrap();
    let ids = (2..=25).map(|n| KeyId::parse(&format!("key_{n:027}")).unwrap()).collect::<Vec<_>>();
    let now = app.clock.now();
    let read = app.site.db.write::<_, StoreError>(move |conn| {
        key_usage::of_keys(conn, &organization_id, &ids, now)?;
        let sql =
            "SELECT seq_tup_read + idx_tup_fetch AS n FROM pg_stat_xact_user_tables WHERE relname = 'key_usage_open'";
        Ok(diesel::sql_query(sql).get_result::<Rows>(conn)?.n)
    });
    let read = read.await.unwrap();
    assert!((48..=150).contains(&read), "{read} rows of 40,000 were read");
}

#[derive(diesel::QueryableByName)]
struct Rows {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

#[tokio::test]
async fn nodes_that_close_hours_at_once_count_nothing_twice() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let mut ids = Vec::new();
    for n in 0..11 {
        ids.push(maya.create_key(&format!("Key {n}")).await.id);
    }
    for n in 1..=100 {
        let counts = [("VALID", 1), ("REVOKED", 1), ("ROTATED", 1)];
        let uses = ids.iter().map(|id| counted(id, &counts)).collect();
        add(&app, hour() - TimeDelta::hours(n), uses).await;
    }
    let closed: usize = join_all((0..8).map(|_| close(&app))).await.into_iter().sum();
    assert_eq!(closed + close(&app).await + close(&app).await, 3300);
    assert_eq!(app.count("key_usage_open").await, 0);
    for (seconds, all) in [(3600, "825"), (86400, "3300")] {
        let sum = format!("SELECT CAST(sum(count) AS TEXT) AS line FROM key_usage WHERE seconds = {seconds}");
        assert_eq!(app.lines(&sum).await, [all]);
    }
}

#[tokio::test]
async fn a_flush_is_claimed_once_and_in_the_order_of_its_writer() {
    let app = TestApp::start().await;
    let (one, other) = (NodeId::generate(app.clock.now()), NodeId::generate(app.clock.now()));
    for (writer, number, is_free) in
        [(&one, 1, true), (&one, 1, false), (&one, 3, true), (&one, 2, false), (&other, 1, true), (&one, 4, true)]
    {
        let (flush, now) = (FlushId { writer: writer.clone(), number }, app.clock.now());
        let claimed = app.site.db.write(move |conn| usage_flushes::claim(conn, &flush, now)).await.unwrap();
        assert_eq!(claimed, is_free, "{writer} {number}");
    }
    // Rolled back, it is free again.
    let (flush, now) = (FlushId { writer: one, number: 5 }, app.clock.now());
    for _ in 0..2 {
        let flush = flush.clone();
        let crash = app.site.db.write(move |conn| {
            assert!(usage_flushes::claim(conn, &flush, now)?);
            Err::<(), _>(StoreError::Unique)
        });
        assert!(crash.await.is_err());
    }
}

/// For so long a flush may be on its way that is written already.
#[tokio::test]
async fn the_last_flush_of_a_process_is_known_for_90_days() {
    let app = TestApp::start().await;
    let flush = FlushId { writer: NodeId::generate(app.clock.now()), number: 1 };
    let claim = async || {
        let (flush, now) = (flush.clone(), app.clock.now());
        app.site.db.write(move |conn| usage_flushes::claim(conn, &flush, now)).await.unwrap()
    };
    assert!(claim().await);
    for (time, is_known) in [(TimeDelta::days(90), true), (TimeDelta::milliseconds(1), false)] {
        app.clock.advance(time);
        work(&app).await;
        assert_eq!(app.count("usage_flushes").await, i64::from(is_known));
        assert_eq!(claim().await, !is_known);
    }
}

/// The rows of this key are refused from now on.
fn refuse_rows_of(app: &TestApp, number: i64) {
    let statements = if app.database.is_postgres() {
        vec![
            "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'refused'; END $$ LANGUAGE plpgsql".to_owned(),
            format!(
                "CREATE TRIGGER refusing BEFORE INSERT ON key_usage_open FOR EACH ROW WHEN (new.key_number = {number})
                EXECUTE FUNCTION refuse()"
            ),
        ]
    } else {
        vec![format!(
            "CREATE TRIGGER refusing BEFORE INSERT ON key_usage_open WHEN new.key_number = {number}
            BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )]
    };
    statements.iter().for_each(|sql| app.database.execute(sql));
}

#[tokio::test]
async fn a_flush_is_written_whole_or_leaves_nothing_and_counts_once() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    refuse_rows_of(&app, app.key_number(&second.id).await.0);
    for key in [&first, &second, &first, &first, &second] {
        app.verify(&key.secret).await;
    }
    for _ in 0..3 {
        flush_usage(&app.site.keys, Round::All).await.unwrap_err();
        assert_eq!(app.count("key_usage_open").await, 0, "the first key's row goes with the second's");
        assert_eq!(app.count("usage_flushes").await, 0, "what says that it is written too");
    }
    let all = if app.database.is_postgres() { " ON key_usage_open" } else { "" };
    app.database.execute(&format!("DROP TRIGGER refusing{all}"));
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    let counts = app.lines("SELECT CAST(count AS TEXT) AS line FROM key_usage_open ORDER BY key_number").await;
    assert_eq!(counts, ["3", "2"]);
    assert_eq!(app.site.keys.flushes.unsettled(), 0);
}

#[tokio::test]
async fn a_closing_that_is_rolled_back_has_changed_nothing() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    add(&app, hour(), vec![counted(&key.id, &[("VALID", 3)])]).await;
    app.clock.advance(TimeDelta::days(100));
    let now = app.clock.now();
    let crash = app.site.db.write(move |conn| {
        assert_eq!(key_usage::close_hours(conn, now)?, 1);
        Err::<(), _>(StoreError::Unique)
    });
    assert!(crash.await.is_err());
    assert_eq!(app.count("key_usage_open WHERE count = 3").await, 1);
    assert_eq!(app.count("key_usage").await, 0);
}

#[tokio::test]
async fn of_a_key_older_than_the_counting_silence_says_nothing() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let old = maya.create_key("Old").await;
    app.clock.advance(TimeDelta::seconds(1));
    let new = maya.create_key("New").await;
    // What the migration finds in a database with keys.
    app.execute(
        "INSERT INTO installation (name, value)
        SELECT 'last_uncounted_key_at', CAST(min(created_at) AS TEXT) FROM api_keys HAVING count(*) > 0",
    )
    .await;
    assert!(!usage(&app, &old).await.is_complete);
    assert!(usage(&app, &new).await.is_complete);
}

/// What the log says when a server has to end without another flush.
#[tokio::test]
async fn what_is_not_known_to_be_written_is_what_was_counted_and_what_is_under_way() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    // Nobody else takes what is counted.
    app.site.supervision.make_fail(Part::FlushUsage, true);
    until("nothing is flushed", async || app.site.supervision.restarts(Part::FlushUsage) > 0).await;
    for _ in 0..3 {
        app.verify(&key.secret).await;
    }
    app.site.keys.flushes.taken(&app.site.keys.index.take_usage().deltas);
    app.verify(&key.secret).await;
    assert_eq!(count_unwritten(&app.site.keys), 4);
    assert_eq!(count_unwritten(&app.site.keys), 3, "it takes what was counted");
}
