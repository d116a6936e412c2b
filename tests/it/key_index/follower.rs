//! A follower that missed changes reads everything again.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use keystead::{
    config::OlderDatabase,
    domain::{
        key_record::Epoch,
        position::{Mark, Position},
    },
    key_index::{Follower, KeyIndex, Lease, Parts, Trouble},
    store::{StoreError, in_transaction, key_records},
};

use crate::support::{Key, TestApp, TestDatabase, on_own_thread, until};

pub async fn until_told(app: &TestApp, secret: &str, code: &str) {
    let begun = Instant::now();
    loop {
        let answer = app.ask_about(secret).await;
        let told =
            if answer.status == 200 { answer.json()["code"].as_str().unwrap().to_owned() } else { "503".to_owned() };
        if told == code {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{told}, not {code}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn changes_that_were_purged_are_read_from_the_keys_themselves() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    // Both in one transaction, as if the node had been away meanwhile: two epochs later, and nobody tells what changed.
    app.execute("UPDATE api_keys SET revoked_at = 1").await;
    assert_eq!(app.verify(&first.secret).await, "VALID", "nothing is known of it");
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until_told(&app, &first.secret, "REVOKED").await;
    until_told(&app, &second.secret, "REVOKED").await;
    let third = maya.create_key("Third").await;
    assert_eq!(app.verify(&third.secret).await, "VALID", "it follows again");
}

#[tokio::test]
async fn a_gap_is_a_gap_also_when_later_changes_are_there() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    app.execute("UPDATE api_keys SET revoked_at = 1").await;
    // The change of the second key is told, at an epoch that does not follow the last one.
    let newest = "(SELECT value FROM key_epoch)";
    app.execute(&format!("INSERT INTO key_changes (epoch, key_id) VALUES ({newest} + 2, '{}')", second.id)).await;
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until_told(&app, &second.secret, "REVOKED").await;
    until_told(&app, &first.secret, "REVOKED").await;
}

/// The reading of the keys that changed fails: whoever waits for the change must not be told that it is here.
#[tokio::test]
async fn a_change_counts_as_applied_only_when_the_index_has_it() {
    let app = TestApp::start_with(|settings| settings.lease = "300".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let before = app.site.follower.progress();
    let id = &key.id;
    app.execute_all(&[
        "ALTER TABLE key_secrets RENAME TO elsewhere",
        "UPDATE api_keys SET revoked_at = 1",
        &format!("INSERT INTO key_changes (epoch, key_id, mark) VALUES (2, '{id}', '{}')", "d".repeat(32)),
        "UPDATE key_epoch SET value = 2",
    ])
    .await;
    let is_failing = async || app.site.follower.progress().trouble == Some(Trouble::Database);
    until("it fails", async || is_failing().await && app.site.follower.progress().seen == Epoch(2)).await;
    let now = app.site.follower.progress();
    assert!(now.failures > before.failures);
    assert_eq!((now.applied, now.looks), (before.applied, now.looks.min(app.site.follower.looks_begun() - 1)));
    let change = Position { epoch: Epoch(2), mark: Mark::parse(&"d".repeat(32)).unwrap() };
    assert!(!app.site.follower.has_applied(change, now.looks));
    app.execute("ALTER TABLE elsewhere RENAME TO key_secrets").await;
    until_told(&app, &key.secret, "REVOKED").await;
    until("it counts as applied", async || app.site.follower.has_applied(change, now.looks)).await;
}

/// A table that is large enough takes longer to be counted than the follower waits for an answer.
#[tokio::test]
async fn on_postgres_no_table_is_read_to_make_room_for_the_keys() {
    let database = TestDatabase::postgres();
    let app = TestApp::start_on(database, |_| {}).await;
    app.admin().await.create_key("Production").await;
    // A connection that has done nothing yet: what is counted is counted since the last report of its own.
    let mut conn = app.database.connect();
    let scans = on_own_thread(move || {
        in_transaction::<_, StoreError>(&mut conn, |conn| {
            key_records::estimate(conn)?;
            let scans = "SELECT CAST(sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0)) AS BIGINT) AS n
                FROM pg_stat_xact_user_tables WHERE relname IN ('api_keys', 'key_secrets')";
            Ok(sql_query(scans).get_result::<Scans>(conn)?.n)
        })
    });
    assert_eq!(scans.unwrap(), 0);
}

#[derive(QueryableByName)]
struct Scans {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[tokio::test]
async fn a_follower_that_has_nothing_to_do_looks_as_often_as_it_should_and_says_which_look_was_the_last() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    maya.rotate(&key).await;
    let follower = &app.site.follower;
    until("nothing is left to be done", async || follower.progress().looks == follower.looks_begun()).await;
    let (begun, before) = (Instant::now(), follower.looks_begun());
    until("it looks again", async || follower.looks_begun() >= before + 3).await;
    // The time last: more may pass in between, and not less.
    let looks = follower.looks_begun() - before;
    let most = begun.elapsed().as_millis() / if app.database.is_postgres() { 250 } else { 50 };
    assert!(u128::from(looks) <= most + 2, "{looks} looks in the time of {most}");
    let progress = follower.progress();
    assert_eq!((progress.gaps, progress.failures, progress.lost_histories), (0, 0, 0), "nothing was out of order");
}

/// It is in the database, so it is not gone; and beside it one that is gone is forgotten.
#[tokio::test]
async fn a_key_that_cannot_be_read_is_refused_until_it_can_and_one_that_is_gone_is_forgotten() {
    for damage in ["expires_at = 9223372036854775807", r#"policy = '{"scopes": ["invoices:read"]}'"#] {
        let app = TestApp::start().await;
        let maya = app.admin().await;
        let (damaged, gone) = (maya.create_key("Damaged").await, maya.create_key("Gone").await);
        let change = |epoch: i64, key: &Key, is_removal: i64| {
            let mark = epoch.to_string().repeat(32);
            format!(
                "INSERT INTO key_changes (epoch, key_id, mark, is_removal) VALUES ({epoch}, '{}', '{mark}', {is_removal})",
                key.id
            )
        };
        app.execute_all(&[
            &format!("UPDATE api_keys SET {damage} WHERE id = '{}'", damaged.id),
            &format!("DELETE FROM key_secrets WHERE key_id = '{}'", gone.id),
            &format!("DELETE FROM api_keys WHERE id = '{}'", gone.id),
            &change(3, &damaged, 1),
            &change(3, &gone, 1),
            "UPDATE key_epoch SET value = 3",
        ])
        .await;
        until("it is applied", async || app.site.follower.progress().applied.epoch == Epoch(3)).await;
        assert_eq!([app.verify(&damaged.secret).await, app.verify(&gone.secret).await], ["NOT_FOUND", "NOT_FOUND"]);
        assert_eq!((app.site.keys.index.keys(), app.site.keys.index.secrets()), (1, 1));
        app.execute_all(&[
            "UPDATE api_keys SET expires_at = NULL, policy = NULL",
            &change(4, &damaged, 0),
            "UPDATE key_epoch SET value = 4",
        ])
        .await;
        until_told(&app, &damaged.secret, "VALID").await;
        let progress = app.site.follower.progress();
        assert_eq!((progress.gaps, progress.lost_histories), (0, 0), "it followed");
    }
}

/// As a change, and by reading everything again.
#[tokio::test]
async fn another_name_of_a_known_key_is_what_a_verification_answers() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let mark = "d".repeat(32);
    for (n, how) in [
        format!("INSERT INTO key_changes (epoch, key_id, mark) VALUES (2, '{}', '{mark}')", key.id),
        "SELECT 1".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let rename = format!("UPDATE api_keys SET name = 'Zürich {n}'");
        app.execute_all(&[&rename, how, "UPDATE key_epoch SET value = value + 1"]).await;
        until("it has the new name", async || app.ask_about(&key.secret).await.json()["name"] == format!("Zürich {n}"))
            .await;
    }
    assert_eq!(app.site.follower.progress().gaps, 1, "the second was not told as a change");
}

#[tokio::test]
async fn a_follower_that_nobody_has_any_more_ends() {
    let app = TestApp::start().await;
    let index = Arc::new(KeyIndex::default());
    let parts = Parts {
        db: app.site.db.clone(),
        index: Arc::clone(&index),
        lease: Arc::new(Lease::new(true)),
        revocations: Arc::clone(&app.site.keys.revocations),
        older_database: OlderDatabase::Refuse,
        clock: app.site.clock.clone(),
        supervision: Arc::clone(&app.site.supervision),
        lock: None,
    };
    let follower = Follower::start(parts, Duration::from_secs(10), true).unwrap();
    until("it follows", async || follower.progress().is_loaded).await;
    drop(follower);
    until("its thread has ended", async || Arc::strong_count(&index) == 1).await;
}

#[tokio::test]
async fn on_postgres_whoever_stops_following_gives_its_lease_back_and_listens_no_more() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let listening = "SELECT CAST(pid AS TEXT) AS line FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let pids = RefCell::new(Vec::new());
    until("it listens", async || {
        let found = app.lines(listening).await;
        pids.replace(found);
        pids.borrow().len() == 1
    })
    .await;
    let served = app.site.clone();
    assert_eq!(app.count("nodes").await, 1);
    tokio::task::spawn_blocking(move || served.follower.stop()).await.unwrap();
    assert_eq!(app.count("nodes").await, 0, "no revocation waits for it");
    // What the connection asked last may be something else by now.
    let connection = format!("pg_stat_activity WHERE pid = {}", pids.take()[0]);
    until("its connection is gone", async || app.count(&connection).await == 0).await;
}

#[tokio::test]
async fn on_sqlite_a_server_is_alone_and_writes_nothing_of_itself() {
    let app = TestApp::start_on(TestDatabase::sqlite(), |_| {}).await;
    let looks = || app.site.follower.progress().looks;
    let before = looks();
    until("it looks again", async || looks() > before + 1).await;
    assert_eq!(app.count("nodes").await, 0);
}
