//! A database whose history is another than the one that was followed: restored, forked, cut off at an older change. The
//! server notices by itself, answers nobody until it has read everything again, and then says what the rows say.

use chrono::TimeDelta;

use super::follower::until_told;
use crate::support::{Key, PASSWORD, Person, TestApp, TestDatabase, until};

/// The name of a change that nobody made.
const ANOTHER: &str = "'0123456789abcdef0123456789abcdef'";

async fn two_keys(app: &TestApp) -> (Person, Key, Key) {
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    (maya, first, second)
}

#[tokio::test]
async fn a_database_that_went_back_in_time_is_read_again() {
    let app = TestApp::start().await;
    let (maya, first, second) = two_keys(&app).await;
    maya.revoke(&first).await;
    // As before the revocation, which nobody told this server to forget.
    app.execute_all(&[
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE key_secrets SET expires_at = NULL",
        "DELETE FROM key_changes WHERE epoch = 3",
        "UPDATE key_epoch SET value = 2",
    ])
    .await;
    until("it is noticed", async || app.site.follower.progress().lost_histories == 1).await;
    until_told(&app, &second.secret, "VALID").await;
    // The log of revocations knows it.
    until_told(&app, &first.secret, "REVOKED").await;
    let third = maya.create_key("Third").await;
    assert_eq!(app.verify(&third.secret).await, "VALID", "it follows again");
    maya.revoke(&second).await;
    assert_eq!(app.verify(&second.secret).await, "REVOKED");
    assert_eq!(app.site.follower.progress().lost_histories, 1, "once");
}

/// The number of the last change is what it was: only its mark tells.
#[tokio::test]
async fn another_change_of_the_same_number_is_noticed() {
    let app = TestApp::start().await;
    let (_, first, second) = two_keys(&app).await;
    app.execute_all(&[
        "UPDATE api_keys SET revoked_at = 1 WHERE name = 'First'",
        &format!("UPDATE key_changes SET mark = {ANOTHER} WHERE epoch = 2"),
    ])
    .await;
    until_told(&app, &first.secret, "REVOKED").await;
    until_told(&app, &second.secret, "VALID").await;
    assert_eq!(app.site.follower.progress().lost_histories, 1);
}

/// By the time the server looks again, the other history is longer than its own.
#[tokio::test]
async fn a_history_that_has_overtaken_is_noticed() {
    let app = TestApp::start().await;
    let (_, first, second) = two_keys(&app).await;
    app.execute_all(&[
        "UPDATE api_keys SET revoked_at = 1 WHERE name = 'First'",
        &format!("UPDATE key_changes SET mark = {ANOTHER} WHERE epoch = 2"),
        &format!("INSERT INTO key_changes (epoch, key_id) VALUES (3, '{}')", second.id),
        "UPDATE key_epoch SET value = 3",
    ])
    .await;
    until_told(&app, &first.secret, "REVOKED").await;
    until_told(&app, &second.secret, "VALID").await;
    assert_eq!(app.site.follower.progress().lost_histories, 1);
}

/// Keys and secrets that are in memory alone.
#[tokio::test]
async fn what_the_database_does_not_have_any_more_is_not_found() {
    let app = TestApp::start().await;
    let (maya, first, second) = two_keys(&app).await;
    let rotated = maya.rotate(&first).await;
    assert_eq!(app.verify(&first.secret).await, "ROTATED");
    app.execute_all(&[
        // The second key was never made, the first never rotated.
        &format!("DELETE FROM key_secrets WHERE key_id = '{}'", second.id),
        &format!("DELETE FROM api_keys WHERE id = '{}'", second.id),
        "DELETE FROM key_secrets WHERE expires_at IS NULL",
        "UPDATE key_secrets SET expires_at = NULL",
        "DELETE FROM key_changes WHERE epoch > 1",
        "UPDATE key_epoch SET value = 1",
    ])
    .await;
    until_told(&app, &second.secret, "NOT_FOUND").await;
    until_told(&app, &rotated.secret, "NOT_FOUND").await;
    // The log of revocations knows that it was replaced, and nothing of what replaced it.
    until_told(&app, &first.secret, "ROTATED").await;
}

/// A reload because of changes that were purged takes away, too, what is not there any more.
#[tokio::test]
async fn a_gap_is_read_with_removals() {
    let app = TestApp::start().await;
    let (_, first, second) = two_keys(&app).await;
    app.execute_all(&[
        &format!("DELETE FROM key_secrets WHERE key_id = '{}'", second.id),
        &format!("DELETE FROM api_keys WHERE id = '{}'", second.id),
        "UPDATE key_epoch SET value = value + 2",
    ])
    .await;
    until_told(&app, &second.secret, "NOT_FOUND").await;
    until_told(&app, &first.secret, "VALID").await;
    let progress = app.site.follower.progress();
    assert_eq!((progress.gaps, progress.lost_histories), (1, 0));
}

/// The rules for names may become stricter; keys that were made before go on.
#[tokio::test]
async fn a_name_that_nobody_could_choose_today_does_not_end_its_key() {
    let app = TestApp::start().await;
    let (_, first, second) = two_keys(&app).await;
    app.execute_all(&[
        "UPDATE api_keys SET name = ' two  blanks ', revoked_at = 1 WHERE name = 'First'",
        "UPDATE api_keys SET name = '' WHERE name = 'Second'",
        "UPDATE key_epoch SET value = value + 2",
    ])
    .await;
    until_told(&app, &first.secret, "REVOKED").await;
    until_told(&app, &second.secret, "VALID").await;
}

/// Nor does it keep anybody from ending the key.
#[tokio::test]
async fn a_key_with_a_name_that_nobody_could_choose_today_is_listed_rotated_and_revoked() {
    let app = TestApp::start().await;
    let (maya, first, second) = two_keys(&app).await;
    app.execute("UPDATE api_keys SET name = 'a\u{202E}b' WHERE name = 'First'").await;
    app.execute("UPDATE users SET name = ''").await;
    app.execute("UPDATE organizations SET name = 'two\u{2028}lines'").await;
    let mut listed = maya.listed().await;
    // Two of one moment come in either order.
    listed.sort();
    assert_eq!(listed, ["Second", "a\u{FFFD}b"]);
    let first = maya.rotate(&first).await;
    maya.revoke(&first).await;
    until_told(&app, &first.secret, "REVOKED").await;
    until_told(&app, &second.secret, "VALID").await;
    maya.sign_out().await;
    maya.sign_in("maya@acme.example", PASSWORD).await;
    assert_eq!(maya.listed().await, ["Second"]);
}

/// `pg_restore` fills one table after another, and gives them their primary keys last. What it leaves is a history like before.
#[tokio::test]
async fn on_postgres_a_database_that_is_half_restored_is_not_loaded() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let (_, first, second) = two_keys(&app).await;
    app.execute_all(&[
        "CREATE TABLE dumped AS SELECT * FROM key_secrets",
        "ALTER TABLE key_secrets DROP CONSTRAINT key_secrets_pkey",
        "DELETE FROM key_secrets",
        // Whatever makes it read everything again.
        "UPDATE key_epoch SET value = value + 2",
    ])
    .await;
    let failures = app.site.follower.progress().failures;
    until("it has tried", async || app.site.follower.progress().failures > failures + 1).await;
    assert_eq!(app.site.keys.index.secrets(), 2, "nothing was taken out of memory");
    app.execute_all(&[
        "INSERT INTO key_secrets SELECT * FROM dumped",
        "ALTER TABLE key_secrets ADD PRIMARY KEY (digest)",
    ])
    .await;
    app.ready().await;
    for key in [first, second] {
        until_told(&app, &key.secret, "VALID").await;
    }
}

/// Logical replication and a dump of the data alone fill tables that have their primary keys, and no change says so.
#[tokio::test]
async fn on_postgres_secrets_that_come_after_their_keys_are_taken_in() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let (_, first, second) = two_keys(&app).await;
    app.execute_all(&[
        "CREATE TABLE dumped AS SELECT * FROM key_secrets",
        &format!("DELETE FROM key_secrets WHERE key_id = '{}'", first.id),
        // Whatever makes it read everything again.
        "UPDATE key_epoch SET value = value + 2",
    ])
    .await;
    until_told(&app, &first.secret, "NOT_FOUND").await;
    until_told(&app, &second.secret, "VALID").await;
    app.execute("INSERT INTO key_secrets SELECT * FROM dumped ON CONFLICT DO NOTHING").await;
    app.clock.pass(TimeDelta::seconds(3));
    until_told(&app, &first.secret, "VALID").await;
}

#[tokio::test]
async fn on_postgres_keys_without_any_secret_are_not_loaded_at_once_nor_refused_for_ever() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let (maya, first, second) = two_keys(&app).await;
    app.execute_all(&[
        "CREATE TABLE dumped AS SELECT * FROM key_secrets",
        "DELETE FROM key_secrets",
        "UPDATE key_epoch SET value = value + 2",
    ])
    .await;
    let failures = app.site.follower.progress().failures;
    until("it has tried", async || app.site.follower.progress().failures > failures + 1).await;
    assert_eq!(app.site.keys.index.secrets(), 2, "nothing was taken out of memory");
    // It may be true.
    app.clock.pass(TimeDelta::seconds(31));
    until_told(&app, &first.secret, "NOT_FOUND").await;
    // A secret that a change tells of is no reason to read everything.
    let rotated = maya.rotate(&first).await;
    until_told(&app, &rotated.secret, "VALID").await;
    app.execute(&format!("INSERT INTO key_secrets SELECT * FROM dumped WHERE key_id = '{}'", second.id)).await;
    app.clock.pass(TimeDelta::seconds(3));
    until_told(&app, &second.secret, "VALID").await;
}

/// The copy of the keys comes after that of their changes.
#[tokio::test]
async fn on_postgres_keys_that_come_after_their_changes_are_taken_in() {
    let app = TestApp::start_on(TestDatabase::postgres(), |_| {}).await;
    let (_, first, _) = two_keys(&app).await;
    app.execute_all(&[
        "CREATE TABLE dumped_keys AS SELECT * FROM api_keys",
        "CREATE TABLE dumped AS SELECT * FROM key_secrets",
        "DELETE FROM key_secrets",
        "DELETE FROM api_keys",
        "UPDATE key_epoch SET value = value + 2",
    ])
    .await;
    until_told(&app, &first.secret, "NOT_FOUND").await;
    app.execute_all(&[
        "INSERT INTO api_keys SELECT * FROM dumped_keys",
        "INSERT INTO key_secrets SELECT * FROM dumped",
    ])
    .await;
    app.clock.pass(TimeDelta::seconds(3));
    until_told(&app, &first.secret, "VALID").await;
}

/// The database went back in time just after the log of revocations was held against it.
#[tokio::test]
async fn what_the_log_of_revocations_knows_is_refused_whatever_the_database_says() {
    let app = TestApp::start().await;
    let (maya, first, second) = two_keys(&app).await;
    let newer = maya.rotate(&first).await;
    maya.revoke(&second).await;
    // As if it were done before the reading and undone after it: what is ended again does not stay.
    if app.database.is_postgres() {
        app.execute("CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$").await;
    }
    app.execute_all(&[
        &format!("UPDATE key_secrets SET expires_at = NULL WHERE key_id = '{}'", second.id),
        &format!("UPDATE key_secrets SET expires_at = NULL WHERE key_id = '{}'", first.id),
        "UPDATE api_keys SET revoked_at = NULL",
    ])
    .await;
    for table in ["key_secrets", "api_keys"] {
        app.execute(&if app.database.is_postgres() {
            format!("CREATE TRIGGER stays_{table} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION stays()")
        } else {
            format!("CREATE TRIGGER stays_{table} BEFORE UPDATE ON {table} BEGIN SELECT RAISE(IGNORE); END")
        })
        .await;
    }
    let applied = app.site.follower.progress().applied;
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until("everything was read again", async || app.site.follower.progress().applied != applied).await;
    app.ready().await;
    assert_eq!(app.verify(&first.secret).await, "ROTATED");
    assert_ne!(app.verify(&second.secret).await, "VALID");
    assert_eq!(app.verify(&newer.secret).await, "VALID", "it was never ended");
}

/// `pg_restore -t`, or somebody's UPDATE: the history is as before.
#[tokio::test]
async fn a_change_brings_nothing_back_that_had_ended() {
    let app = TestApp::start().await;
    let (maya, first, second) = two_keys(&app).await;
    let newer = maya.rotate(&first).await;
    maya.revoke(&second).await;
    // Each table by itself, and then a change of both keys.
    app.execute_all(&["UPDATE key_secrets SET expires_at = NULL", "UPDATE api_keys SET revoked_at = NULL"]).await;
    let epoch = app.site.follower.progress().applied.epoch.0;
    app.execute_all(&[
        &format!("INSERT INTO key_changes (epoch, key_id) VALUES ({}, '{}')", epoch + 1, first.id),
        &format!("INSERT INTO key_changes (epoch, key_id) VALUES ({}, '{}')", epoch + 2, second.id),
        &format!("UPDATE key_epoch SET value = {}", epoch + 2),
    ])
    .await;
    until("they are ended again", async || {
        for secret in [&first.secret, &second.secret] {
            assert_ne!(app.verify(secret).await, "VALID");
        }
        let ended = app.count("key_secrets WHERE expires_at IS NOT NULL").await;
        ended == 2 && app.count("api_keys WHERE revoked_at IS NOT NULL").await == 1
    })
    .await;
    until_told(&app, &first.secret, "ROTATED").await;
    until_told(&app, &second.secret, "REVOKED").await;
    until_told(&app, &newer.secret, "VALID").await;
    assert_eq!(app.site.follower.progress().lost_histories, 0);
}
