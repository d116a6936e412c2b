//! Revoked keys and replaced secrets, which are known as such for a time and then are not known at all.

use std::cell::Cell;

use chrono::TimeDelta;
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query};
use futures_util::future::join_all;
use keystead::{
    actions::{
        apply_retention::{Removed, apply_retention},
        flush_usage::flush_usage,
        purge_expired::purge_expired,
    },
    key_index::Round,
    store::{StoreError, ended_keys, key_changes},
};

use crate::support::{Key, Person, TestApp, TestDatabase, on_own_thread, until};

async fn apply(app: &TestApp) -> Removed {
    apply_retention(&app.site).await.unwrap()
}

/// Waits until memory is as the database is.
async fn settled(app: &TestApp) {
    let newest = app.site.db.read(key_changes::current).await.unwrap();
    until("the change is applied", async || app.site.follower.progress().applied.epoch >= newest.epoch).await;
}

/// Everything is read again, as by a node that starts now.
async fn loaded_anew(app: &TestApp) {
    let gaps = app.site.follower.progress().gaps;
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until("everything is read again", async || app.site.follower.progress().gaps > gaps).await;
    app.ready().await;
    settled(app).await;
}

/// Signed in again after so long a time.
async fn back(app: &TestApp, person: &Person) {
    person.sign_in(&person.email, crate::support::PASSWORD).await;
    app.ready().await;
}

async fn codes(app: &TestApp, secrets: &[&str]) -> Vec<String> {
    let mut codes = Vec::new();
    for secret in secrets {
        codes.push(app.verify(secret).await);
    }
    codes
}

#[tokio::test]
async fn what_ended_is_forgotten_by_database_and_memory_after_90_days() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (revoked, rotated) = (maya.create_key("Revoked").await, maya.create_key("Rotated").await);
    let newer = maya.rotate(&rotated).await;
    maya.revoke(&revoked).await;
    let all = [&*revoked.secret, &rotated.secret, &newer.secret];
    assert_eq!(codes(&app, &all).await, ["REVOKED", "ROTATED", "VALID"]);
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    app.clock.advance(TimeDelta::days(90));
    purge_expired(&app.site).await.unwrap();
    assert_eq!(apply(&app).await, Removed::default());
    assert_eq!(codes(&app, &all).await, ["REVOKED", "ROTATED", "VALID"]);

    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(apply(&app).await, Removed { secrets: 2, ..Removed::default() });
    settled(&app).await;
    assert_eq!(codes(&app, &all).await, ["NOT_FOUND", "NOT_FOUND", "VALID"]);
    assert_eq!((app.count("key_secrets").await, app.site.keys.index.secrets()), (1, 1));
    // The row of the key stays for another day, for what nodes have counted until now.
    assert_eq!((app.count("api_keys").await, app.site.keys.index.keys()), (2, 2));
    assert_eq!(app.count(&format!("key_last_used WHERE key_id = '{}'", revoked.id)).await, 1);
    flush_usage(&app.site.keys, Round::All).await.unwrap();

    app.clock.advance(TimeDelta::days(1));
    purge_expired(&app.site).await.unwrap();
    assert_eq!(apply(&app).await, Removed { keys: 1, ..Removed::default() });
    settled(&app).await;
    assert_eq!((app.count("api_keys").await, app.site.keys.index.keys()), (1, 1));
    for table in ["key_usage", "key_last_used"] {
        assert_eq!(app.count(&format!("{table} WHERE key_id = '{}'", revoked.id)).await, 0, "{table}");
        assert_ne!(app.count(&format!("{table} WHERE key_id = '{}'", rotated.id)).await, 0, "{table}");
    }
    assert_eq!(app.count("audit_events WHERE action = 'key.revoked'").await, 1, "that it was revoked is history");
    assert_eq!(apply(&app).await, Removed::default());
    assert_eq!(codes(&app, &all).await, ["NOT_FOUND", "NOT_FOUND", "VALID"]);
    // Two keys were made, one rotated and one revoked, secrets were removed and a key: each is a change, and nothing else is.
    assert_eq!(app.count("key_changes WHERE is_removal = 1").await, 3);
    let progress = app.site.follower.progress();
    assert_eq!((progress.applied.epoch.0, progress.gaps), (6, 0), "nobody had to read everything again");
}

#[tokio::test]
async fn a_node_that_loads_anew_and_one_that_follows_agree() {
    let app = TestApp::start_with(|settings| settings.ended_keys_kept = "1".to_owned()).await;
    let maya = app.admin().await;
    let mut secrets = Vec::new();
    for name in ["Living", "Rotated", "Rotated twice", "Revoked", "Rotated and revoked"] {
        let mut key = maya.create_key(name).await;
        secrets.push(key.secret.clone());
        for _ in 0..name.matches("otated").count() + name.matches("twice").count() {
            key = maya.rotate(&key).await;
            secrets.push(key.secret.clone());
        }
        if name.contains("evoked") {
            maya.revoke(&key).await;
        }
    }
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let living = [true, false, true, false, false, true, false, false, false];
    assert_eq!(secrets.len(), living.len());
    for days in 1..4 {
        app.clock.advance(TimeDelta::hours(25));
        apply(&app).await;
        settled(&app).await;
        let (followed, counts) =
            (codes(&app, &secrets).await, (app.site.keys.index.keys(), app.site.keys.index.secrets()));
        let expected: Vec<_> = living.map(|lives| if lives { "VALID" } else { "NOT_FOUND" }).to_vec();
        assert_eq!(followed, expected, "after {days} days");
        loaded_anew(&app).await;
        assert_eq!(codes(&app, &secrets).await, followed, "after {days} days");
        assert_eq!((app.site.keys.index.keys(), app.site.keys.index.secrets()), counts, "after {days} days");
        let keys = app.count("api_keys").await;
        assert_eq!((keys, keys), (i64::try_from(counts.0).unwrap(), if days == 1 { 5 } else { 3 }));
    }
}

/// One node removes, another follows, and a third begins afterwards.
#[tokio::test]
async fn on_postgres_every_node_forgets_what_one_removes() {
    let database = TestDatabase::postgres();
    let (url, pepper) = (database.url().unwrap(), database.folder().join("pepper"));
    let another = || {
        TestApp::start_on(TestDatabase::sqlite(), |settings| {
            settings.database.clone_from(&url);
            settings.pepper_file = pepper.to_str().unwrap().to_owned();
        })
    };
    let one = TestApp::start_on(database, |_| {}).await;
    let other = another().await;
    let maya = one.admin().await;
    let (revoked, rotated) = (maya.create_key("Revoked").await, maya.create_key("Rotated").await);
    let newer = maya.rotate(&rotated).await;
    maya.revoke(&revoked).await;
    let all = [&*revoked.secret, &rotated.secret, &newer.secret];
    assert_eq!(codes(&other, &all).await, ["REVOKED", "ROTATED", "VALID"]);
    for days in [91, 1] {
        one.clock.advance(TimeDelta::days(days));
        apply(&one).await;
    }
    settled(&one).await;
    settled(&other).await;
    let third = another().await;
    for app in [&one, &other, &third] {
        assert_eq!(codes(app, &all).await, ["NOT_FOUND", "NOT_FOUND", "VALID"]);
        assert_eq!((app.site.keys.index.keys(), app.site.keys.index.secrets()), (1, 1));
    }
}

#[tokio::test]
async fn a_forgotten_secret_never_lives_again() {
    let app = TestApp::start_with(|settings| settings.ended_keys_kept = "1".to_owned()).await;
    let maya = app.admin().await;
    let (revoked, rotated) = (maya.create_key("Production").await, maya.create_key("Staging").await);
    let mut newer = maya.rotate(&rotated).await;
    maya.revoke(&revoked).await;
    app.clock.advance(TimeDelta::days(3));
    assert_eq!(apply(&app).await, Removed { secrets: 2, keys: 1, ..Removed::default() });
    settled(&app).await;
    let old = [&*revoked.secret, &rotated.secret];
    assert_eq!(codes(&app, &old).await, ["NOT_FOUND", "NOT_FOUND"]);
    // Others take their places in memory, their names and, on SQLite, their numbers.
    back(&app, &maya).await;
    let again = maya.create_key("Production").await;
    for _ in 0..3 {
        newer = maya.rotate(&newer).await;
        assert_eq!(codes(&app, &old).await, ["NOT_FOUND", "NOT_FOUND"]);
        assert_eq!(codes(&app, &[&again.secret, &newer.secret]).await, ["VALID", "VALID"]);
    }
    loaded_anew(&app).await;
    assert_eq!(codes(&app, &old).await, ["NOT_FOUND", "NOT_FOUND"]);
    // What nobody knows is counted for nobody.
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    app.clock.advance(TimeDelta::hours(2));
    purge_expired(&app.site).await.unwrap();
    assert_eq!(app.count(&format!("key_usage WHERE key_id = '{}'", revoked.id)).await, 0);
    assert_eq!(
        app.count(&format!("key_usage WHERE key_id = '{}' AND seconds = 3600 AND count = 3", again.id)).await,
        1
    );
}

/// A backup from when they were alive comes back after they were forgotten: the log of revocations still knows them.
#[tokio::test]
async fn a_forgotten_secret_does_not_come_back_with_an_old_database() {
    let app = TestApp::start_with(|settings| settings.ended_keys_kept = "30".to_owned()).await;
    let maya = app.admin().await;
    let (revoked, rotated) = (maya.create_key("Revoked").await, maya.create_key("Rotated").await);
    let rows = |table: &'static str, columns: &'static str| {
        format!("CREATE TABLE old_{table} AS SELECT {columns} FROM {table}")
    };
    app.execute(&rows("api_keys", "*")).await;
    app.execute(&rows("key_secrets", "*")).await;
    maya.rotate(&rotated).await;
    maya.revoke(&revoked).await;
    app.clock.advance(TimeDelta::days(32));
    assert_eq!(apply(&app).await, Removed { secrets: 2, keys: 1, ..Removed::default() });
    settled(&app).await;
    app.execute_all(&[
        "DELETE FROM key_secrets",
        "DELETE FROM api_keys",
        "INSERT INTO api_keys SELECT * FROM old_api_keys",
        "INSERT INTO key_secrets SELECT * FROM old_key_secrets",
        "UPDATE key_epoch SET value = value + 2",
    ])
    .await;
    let both = [&*revoked.secret, &rotated.secret];
    until("everything is read again", async || app.site.follower.progress().gaps > 0).await;
    app.ready().await;
    settled(&app).await;
    assert_eq!(codes(&app, &both).await, ["REVOKED", "ROTATED"]);
    // And they are forgotten again, as old as they are.
    assert_eq!(apply(&app).await.secrets, 2);
    settled(&app).await;
    assert_eq!(codes(&app, &both).await, ["NOT_FOUND", "NOT_FOUND"]);
}

#[tokio::test]
async fn what_ended_is_kept_where_somebody_said_never() {
    let app = TestApp::start_with(|settings| settings.ended_keys_kept = "never".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Revoked").await;
    maya.revoke(&key).await;
    app.clock.advance(TimeDelta::days(3_000));
    assert_eq!(apply(&app).await, Removed::default());
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

/// Neither is any secret removed that has no end, nor by a clock that is in doubt.
#[tokio::test]
async fn a_clock_in_doubt_forgets_no_key() {
    let app = TestApp::start_on_sqlite().await;
    let maya = app.admin().await;
    let key = maya.create_key("Revoked").await;
    maya.revoke(&key).await;
    app.clock.set_ahead(TimeDelta::days(365));
    assert_eq!(apply(&app).await, Removed::default());
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

/// Makes many of one: keys that were revoked long ago, each with this many ended secrets and days of usage.
async fn multiply(app: &TestApp, key: &Key, keys: i64, secrets: i64, days: i64) {
    let digest = if app.database.is_postgres() {
        "sha256(CAST(api_keys.id || n AS BYTEA))"
    } else {
        "CAST(substr(n || '-' || api_keys.id, 1, 32) AS BLOB)"
    };
    app.execute(&format!(
        "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_by, created_at, revoked_at, version)
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {keys})
        SELECT 'key_' || CAST(100000 + n AS TEXT) || substr(id, 11), organization_id, name, name_folded, prefix, hint, created_by, 1, 2, 2
        FROM api_keys CROSS JOIN n WHERE id = '{}'",
        key.id
    ))
    .await;
    app.execute(&format!(
        "INSERT INTO key_secrets (digest, digest_scheme, key_id, created_at, expires_at)
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {secrets})
        SELECT {digest}, 'apikey/v1', api_keys.id, 1, 2 FROM api_keys CROSS JOIN n WHERE revoked_at = 2 AND n <= {secrets}"
    ))
    .await;
    app.execute(&format!(
        "INSERT INTO key_usage (key_id, seconds, starts_at, code, count)
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {days})
        SELECT api_keys.id, 86400, n, 'VALID', 1 FROM api_keys CROSS JOIN n WHERE revoked_at = 2"
    ))
    .await;
}

#[tokio::test]
async fn much_goes_in_pieces_and_two_nodes_share_it() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    multiply(&app, &key, 150, 2, 30).await;
    loaded_anew(&app).await;
    assert_eq!((app.site.keys.index.keys(), app.site.keys.index.secrets()), (151, 301));
    let now = app.site.clock.now();
    let piece = app.site.db.write(move |conn| ended_keys::forget_secrets(conn, now)).await.unwrap();
    assert_eq!(piece, 100);
    let runs = join_all((0..3).map(|_| apply(&app))).await;
    // A node may find nothing left but what another has just taken.
    let leftover = apply(&app).await;
    let sum = |count: fn(&Removed) -> usize| runs.iter().chain([&leftover]).map(count).sum::<usize>();
    assert_eq!((sum(|removed| removed.secrets), sum(|removed| removed.keys)), (200, 150));
    assert_eq!((app.count("api_keys").await, app.count("key_secrets").await, app.count("key_usage").await), (1, 1, 0));
    settled(&app).await;
    assert_eq!((app.site.keys.index.keys(), app.site.keys.index.secrets()), (1, 1));
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

/// Whoever is at a row, another node or a change, is not waited for: the other rows go.
#[tokio::test]
async fn on_postgres_rows_that_somebody_holds_are_left_to_the_next_run() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let key = app.admin().await.create_key("Production").await;
    multiply(&app, &key, 3, 1, 1).await;
    let mut conn = app.database.connect();
    // As somebody else's program: ours would not be left to idle.
    let hold = "SET idle_in_transaction_session_timeout = 0; BEGIN";
    let now = app.site.clock.now();
    for (held, expected) in [
        (Some("key_secrets WHERE key_id LIKE 'key_100002%'"), (2, 0)),
        (None, (1, 0)),
        (Some("api_keys WHERE id LIKE 'key_100002%'"), (0, 2)),
        (None, (0, 1)),
    ] {
        let holding = move || {
            conn.batch_execute(hold).unwrap();
            if let Some(rows) = held {
                assert_eq!(sql_query(format!("SELECT 1 FROM {rows} FOR UPDATE")).execute(&mut conn).unwrap(), 1);
            }
            conn
        };
        conn = on_own_thread(holding);
        let removing = app.site.db.write::<_, StoreError>(move |conn| {
            let secrets = if expected.0 > 0 { ended_keys::forget_secrets(conn, now)? } else { 0 };
            let keys = if expected.1 > 0 { ended_keys::forget_keys(conn, now)?.keys } else { 0 };
            Ok((secrets, keys))
        });
        assert_eq!(removing.await.unwrap(), expected, "{held:?} is held");
        conn = on_own_thread(move || {
            conn.batch_execute("ROLLBACK").unwrap();
            conn
        });
    }
    assert_eq!((app.count("api_keys").await, app.count("key_secrets").await), (1, 1));
}

#[tokio::test]
async fn a_piece_removes_some_thousand_rows_of_usage_at_most() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    multiply(&app, &key, 7, 0, 900).await;
    let now = app.site.clock.now();
    let mut pieces = Vec::new();
    for _ in 0..5 {
        let piece = app.site.db.write(move |conn| ended_keys::forget_keys(conn, now)).await.unwrap();
        pieces.push((piece.usage, piece.keys));
    }
    assert_eq!(pieces, [(2_000, 2), (2_000, 2), (2_000, 2), (300, 1), (0, 0)]);
    assert_eq!((app.count("api_keys").await, app.count("key_usage").await), (1, 0));
}

#[tokio::test]
async fn the_page_of_a_change_of_a_forgotten_key_says_that_it_is_too_long_ago() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;
    let change = app.site.db.read(key_changes::current).await.unwrap();
    let page = format!("/settings/integrations/changes/{change}");
    app.clock.advance(TimeDelta::days(90) + TimeDelta::milliseconds(1));
    assert_eq!(apply(&app).await.secrets, 1);
    settled(&app).await;
    back(&app, &maya).await;
    assert_eq!(maya.get(&page).await.expect(200).one("#modal-title"), "Production no longer works");
    app.clock.advance(TimeDelta::days(1));
    assert_eq!(apply(&app).await.keys, 1);
    back(&app, &maya).await;
    let told = maya.get(&page).await.expect(404);
    assert!(told.text().contains("It is too long ago"), "{}", told.text());
}

/// Five thousand of five thousand and one.
#[tokio::test]
async fn the_memory_of_many_forgotten_keys_is_given_back_while_keys_are_verified() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    multiply(&app, &key, 5_000, 1, 0).await;
    loaded_anew(&app).await;
    assert_eq!((app.site.keys.index.keys(), app.site.keys.index.generation()), (5_001, 0));
    app.execute("DELETE FROM key_secrets WHERE expires_at = 2").await;
    app.execute("DELETE FROM api_keys WHERE revoked_at = 2").await;
    loaded_anew(&app).await;
    let asked = Cell::new(0);
    until("others have taken the place of the entries", async || {
        assert_eq!(app.verify(&key.secret).await, "VALID");
        asked.set(asked.get() + 1);
        app.site.keys.index.generation() == 1
    })
    .await;
    assert_eq!((app.site.keys.index.keys(), app.site.keys.index.secrets()), (1, 1));
    // What was counted before and after is there, and a change is followed.
    assert_eq!(app.verify(&key.secret).await, "VALID");
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    let counted = "SELECT CAST(sum(count) AS TEXT) AS line FROM key_usage_open";
    assert_eq!(app.lines(counted).await, [(asked.get() + 1).to_string()]);
    maya.revoke(&key).await;
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}
