//! What was revoked or rotated stays so, also when the database goes back to a time before.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use keystead::{
    actions::apply_retention::{Removed, apply_retention},
    clock::Clock,
    revocation_log::FILE_NAME,
};

use crate::support::{Binary, Key, PASSWORD, Server, TestApp, TestDatabase};

fn log_of(app: &TestApp) -> String {
    std::fs::read_to_string(app.database.folder().join(FILE_NAME)).unwrap()
}

async fn until(app: &TestApp, what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    app.ready().await;
}

/// What a backup from before every revocation and rotation has, for keys that were never rotated twice.
const BACK: [&str; 3] = [
    "UPDATE key_secrets SET expires_at = NULL",
    "UPDATE api_keys SET revoked_at = NULL, version = 1",
    "DELETE FROM audit_events WHERE action IN ('key.revoked', 'key.rotated')",
];

#[tokio::test]
async fn a_change_is_in_the_log_before_it_is_answered_also_when_nobody_follows() {
    let app = TestApp::start_with(|settings| settings.lease = "1".to_owned()).await;
    let maya = app.admin().await;
    let (revoked, rotated) = (maya.create_key("Revoked").await, maya.create_key("Rotated").await);
    let served = app.site.clone();
    tokio::task::spawn_blocking(move || served.follower.stop()).await.unwrap();
    maya.try_revoke(&revoked.id, 1).await;
    maya.try_rotate(&rotated.id, 1).await;
    let log = log_of(&app);
    assert!(log.contains(&format!(" revoked {}", revoked.id)), "{log}");
    assert!(log.contains(&format!(" rotated {}", rotated.id)), "{log}");
    let hex = if app.database.is_postgres() { "encode(digest, 'hex')" } else { "lower(hex(digest))" };
    let ended = app.lines(&format!("SELECT {hex} AS line FROM key_secrets WHERE expires_at IS NOT NULL")).await;
    assert!(ended.len() == 2 && ended.iter().all(|digest| log.contains(digest.as_str())), "{log}");
}

#[tokio::test]
async fn what_another_node_revokes_is_in_the_log_before_this_one_says_that_it_has_it() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    app.execute("UPDATE key_secrets SET expires_at = 1").await;
    app.execute("UPDATE api_keys SET revoked_at = 1").await;
    app.execute(&format!("INSERT INTO key_changes (epoch, key_id) SELECT value + 1, '{}' FROM key_epoch", key.id))
        .await;
    app.execute("UPDATE key_epoch SET value = value + 1").await;
    until(&app, "the change is applied", async || app.site.follower.progress().applied.epoch.0 == 2).await;
    assert!(log_of(&app).contains(&format!(" revoked {}", key.id)), "{}", log_of(&app));
}

#[tokio::test]
async fn a_reload_ends_again_what_the_log_knows_and_tells_the_audit_log() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (revoked, rotated) = (maya.create_key("Revoked").await, maya.create_key("Rotated").await);
    let living = maya.create_key("Living").await;
    maya.revoke(&revoked).await;
    let newer = maya.rotate(&rotated).await;
    for sql in BACK {
        app.execute(sql).await;
    }
    let applied = app.site.follower.progress().applied.epoch.0;
    // Two changes that nobody tells of: everything is read again.
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until(&app, "everything is read again", async || app.site.follower.progress().applied.epoch.0 > applied + 2).await;
    assert_eq!(app.verify(&revoked.secret).await, "REVOKED");
    assert_eq!(app.verify(&rotated.secret).await, "ROTATED");
    assert_eq!(app.verify(&newer.secret).await, "VALID", "it was never ended");
    assert_eq!(app.verify(&living.secret).await, "VALID");
    assert_eq!(app.count("api_keys WHERE revoked_at IS NULL").await, 2);
    assert_eq!(app.count("key_secrets WHERE expires_at IS NOT NULL").await, 2, "in the database too");
    let audit = app.audit().await;
    let told: Vec<_> = audit.iter().filter(|row| row.actor_kind == "revocation_log").collect();
    let told: Vec<_> = told.iter().map(|row| (row.action.as_str(), row.key_id.as_deref())).collect();
    assert_eq!(told, [("key.revoked", Some(&*revoked.id)), ("key.secret_ended", Some(&*rotated.id))]);
}

/// One name that would not be accepted today must not keep a node from following all other keys.
#[tokio::test]
async fn a_reload_ends_a_key_again_whatever_its_name_is() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let (revoked, rotated) = (maya.create_key("Revoked").await, maya.create_key("Rotated").await);
    let living = maya.create_key("Living").await;
    maya.revoke(&revoked).await;
    maya.rotate(&rotated).await;
    for sql in BACK {
        app.execute(sql).await;
    }
    app.execute(&format!("UPDATE api_keys SET name = '{}' WHERE name = 'Revoked'", "n".repeat(300))).await;
    app.execute("UPDATE api_keys SET name = 'a\u{202E}b' WHERE name = 'Rotated'").await;
    let applied = app.site.follower.progress().applied.epoch.0;
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until(&app, "everything is read again", async || app.site.follower.progress().applied.epoch.0 > applied + 2).await;
    assert_eq!(app.verify(&revoked.secret).await, "REVOKED");
    assert_eq!(app.verify(&rotated.secret).await, "ROTATED");
    assert_eq!(app.verify(&living.secret).await, "VALID");
}

/// A server with its log, on a database from before that log's last lines.
struct Older {
    keystead: Binary,
    /// With what is said of them once the log was held against the database.
    keys: [(Key, &'static str); 3],
}

/// With the database where a test finds it.
fn with_own_database() -> Binary {
    let keystead = Binary::new();
    if keystead.database().is_postgres() {
        return keystead;
    }
    let url = format!("sqlite:{}", keystead.database().sqlite_file().display());
    keystead.with("DATABASE_URL", &url)
}

/// What stands in the database, to see whether it was changed.
fn content(keystead: &Binary) -> Vec<String> {
    if !keystead.database().is_postgres() {
        let path = keystead.database().sqlite_file();
        let file = std::fs::read(&path).unwrap();
        let wal = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |wal| wal.len());
        return vec![format!("{file:?}"), wal.to_string()];
    }
    let tables = ["installation", "audit_events", "key_changes", "key_epoch", "api_keys", "key_secrets", "nodes"];
    tables
        .iter()
        .flat_map(|table| keystead.database().lines(&format!("SELECT t::text AS line FROM {table} t")))
        .collect()
}

impl Older {
    /// `loses_its_log`: and starts again, so that its log is one that a start made.
    async fn new(loses_its_log: bool) -> Self {
        let keystead = with_own_database();
        let server = keystead.serve();
        let maya = server.set_up().await;
        let (revoked, rotated) = (maya.create_key("Revoked").await, maya.create_key("Rotated").await);
        let living = maya.create_key("Living").await;
        server.stop().succeeded();
        let copy = keystead.folder().join("backup");
        if !keystead.database().is_postgres() {
            std::fs::copy(keystead.database().sqlite_file(), &copy).unwrap();
        }

        let server = keystead.serve();
        let maya = server.anonymous();
        maya.sign_in("maya@acme.example", PASSWORD).await;
        maya.revoke(&revoked).await;
        maya.rotate(&rotated).await;
        server.stop().succeeded();
        if loses_its_log {
            std::fs::remove_file(keystead.data_dir().join(FILE_NAME)).unwrap();
            keystead.serve().stop().succeeded();
        }

        if keystead.database().is_postgres() {
            BACK.into_iter().for_each(|sql| keystead.database().execute(sql));
            keystead.database().execute("DELETE FROM key_changes");
            keystead.database().execute("UPDATE key_epoch SET value = 3");
        } else {
            std::fs::copy(&copy, keystead.database().sqlite_file()).unwrap();
        }
        let keystead = keystead.with("KEYSTEAD_OLDER_DATABASE", "refuse");
        Self { keystead, keys: [(revoked, "REVOKED"), (rotated, "ROTATED"), (living, "VALID")] }
    }

    async fn assert_told_by(&self, server: &Server) {
        for (key, code) in &self.keys {
            assert_eq!(code_of(server, key).await, *code, "{}", key.name);
        }
    }
}

/// As soon as it knows: on a busy machine a node may lose its lease for a moment.
async fn code_of(server: &Server, key: &Key) -> String {
    let begun = Instant::now();
    loop {
        let answer = server.anonymous().post_json("/v1/keys/verify", &serde_json::json!({ "key": key.secret })).await;
        if answer.status != 503 {
            return answer.expect(200).json()["code"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never knows");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const REFUSED: [&str; 4] = [
    "1 key revoked and 1 secret rotated between 20",
    "would work again",
    "revocations.log",
    "keystead restore --accept",
];
const MERGED: &str = "the database is older than the log of revocations";

#[tokio::test]
async fn an_older_database_is_refused_until_somebody_says_which_revocations_are_kept() {
    for loses_its_log in [false, true] {
        let older = Older::new(loses_its_log).await;
        let keystead = &older.keystead;
        let before = content(keystead);
        for _ in 0..2 {
            let refused = keystead.run(&["serve"]);
            refused.refused_with(&REFUSED);
            assert_eq!(refused.stdout, "", "nobody is told that keys are served");
            assert!(content(keystead) == before, "it was changed");
        }
        let told = keystead.run(&["restore", "--accept"]).succeeded().stdout;
        assert!(told.contains("ended again were 1 keys and 1 secrets"), "{told}");
        let server = keystead.serve();
        older.assert_told_by(&server).await;
        let log = server.stop().succeeded().stderr;
        assert!(!log.contains(MERGED), "{log}");
    }
}

#[tokio::test]
async fn an_older_database_is_made_good_where_nobody_said_that_it_is_to_be_refused() {
    let mut older = Older::new(false).await;
    older.keystead = older.keystead.with("KEYSTEAD_OLDER_DATABASE", "");
    for restart in 0..2 {
        let server = older.keystead.serve();
        older.assert_told_by(&server).await;
        let log = server.stop().succeeded().stderr;
        assert_eq!(log.contains(MERGED), restart == 0, "{log}");
        assert!(restart > 0 || log.contains("keys=1") && log.contains("secrets=1"), "{log}");
    }
    older.keystead.serve().stop().succeeded();
}

/// The start could not look, or the database went back just afterwards: then the first load of the index refuses it.
#[tokio::test]
async fn an_older_database_is_refused_by_the_first_load_if_not_before() {
    let mut older = Older::new(false).await;
    older.keystead = older.keystead.with("KEYSTEAD_TEST_OFF", "look_first");
    let count =
        |from: &str| older.keystead.database().lines(&format!("SELECT CAST(count(*) AS TEXT) AS line FROM {from}"));
    let refused = older.keystead.run(&["serve"]);
    refused.refused_with(&REFUSED);
    assert_eq!(refused.code, Some(1));
    assert_eq!(count("api_keys WHERE revoked_at IS NOT NULL"), ["0"]);
    assert_eq!(count("key_secrets WHERE expires_at IS NOT NULL"), ["0"]);
    older.keystead.run(&["restore", "--accept"]).succeeded();
    let server = older.keystead.serve();
    older.assert_told_by(&server).await;
    server.stop().succeeded();
}

/// Another node, which saw nothing of it, serves what the database says; it learns it from the node that knows.
#[tokio::test]
async fn on_postgres_what_is_kept_is_said_while_another_node_runs() {
    TestDatabase::postgres();
    let older = Older::new(false).await;
    let flags = ["--data-dir", "second", "--pepper-file", "keystead-data/pepper"];
    let second = older.keystead.serve_with(&flags);
    assert_eq!(code_of(&second, &older.keys[0].0).await, "VALID");
    older.keystead.run(&["serve"]).refused_with(&REFUSED);
    older.keystead.run(&["restore", "--accept"]).succeeded();
    let begun = Instant::now();
    while code_of(&second, &older.keys[0].0).await != "REVOKED" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the other node does not learn it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let first = older.keystead.serve();
    for server in [first, second] {
        older.assert_told_by(&server).await;
        server.stop().succeeded();
    }
}

#[test]
fn a_damaged_log_is_no_empty_log() {
    let keystead = Binary::new();
    keystead.serve().stop().succeeded();
    let path = keystead.data_dir().join(FILE_NAME);
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("1795414260000 revoked key_ something\n");
    std::fs::write(&path, text).unwrap();
    keystead.run(&["serve"]).refused_with(&["revocations.log is damaged at line 2", "keystead restore --accept"]);
    keystead.run(&["restore", "--accept"]);
    keystead.serve().stop().succeeded();
}

/// The log goes on for 400 days more than the database: what it still knows must stay ended in any backup of that time.
#[tokio::test]
async fn lines_of_the_log_go_400_days_after_the_secrets() {
    let app = TestApp::start_with(|settings| settings.ended_keys_kept = "30".to_owned()).await;
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    maya.revoke(&first).await;
    for days in [31, 399] {
        app.clock.advance(TimeDelta::days(days));
        assert_eq!(apply_retention(&app.site).await.unwrap().lines, 0);
        assert!(log_of(&app).contains(&format!(" revoked {}", first.id)), "after {days} days more");
    }
    maya.sign_in(&maya.email, PASSWORD).await;
    app.ready().await;
    maya.revoke(&second).await;
    app.clock.advance(TimeDelta::days(1) + TimeDelta::milliseconds(1));
    assert_eq!(apply_retention(&app.site).await.unwrap().lines, 1);
    let log = log_of(&app);
    assert!(!log.contains(&first.id) && log.contains(&format!(" revoked {}", second.id)), "{log}");
    // By which another day can tell that this database is no older than that.
    let alive_at = app.lines("SELECT value AS line FROM installation WHERE name = 'alive_at'").await;
    assert_eq!(alive_at, [app.clock.now().timestamp_millis().to_string()]);
    let complete_from = app.clock.now() - TimeDelta::days(430);
    assert!(log.contains(&format!("\n# complete from {}\n", complete_from.timestamp_millis())), "{log}");
}

#[tokio::test]
async fn no_line_of_the_log_goes_where_keys_are_never_forgotten() {
    let app = TestApp::start_with(|settings| settings.ended_keys_kept = "never".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;
    app.clock.advance(TimeDelta::days(4_000));
    assert_eq!(apply_retention(&app.site).await.unwrap(), Removed::default());
    assert!(log_of(&app).contains(&key.id));
}

#[tokio::test]
async fn a_database_from_before_what_the_log_has_is_said_to_be_one() {
    let keystead = with_own_database();
    let server = keystead.serve();
    server.set_up().await.create_key("Production").await;
    server.stop().succeeded();
    let path = keystead.data_dir().join(FILE_NAME);
    let begins = |year: &str| {
        let at: DateTime<Utc> = format!("{year}-03-01T00:00:00Z").parse().unwrap();
        std::fs::write(&path, format!("# a log\n# complete from {}\n", at.timestamp_millis())).unwrap();
    };
    let alive = |at: &str| {
        let at: DateTime<Utc> = format!("{at}T00:00:00Z").parse().unwrap();
        keystead.database().execute("DELETE FROM installation WHERE name = 'alive_at'");
        let row = format!("INSERT INTO installation (name, value) VALUES ('alive_at', '{}')", at.timestamp_millis());
        keystead.database().execute(&row);
    };
    // The key is older than the log, and the database does not tell how old it is itself.
    begins("2100");
    let words = ["nobody can tell which", "begins at 2100-03-01"];
    let log = keystead.serve().stop().succeeded().stderr;
    assert!(words.iter().all(|words| log.contains(words)) && log.contains("from an unknown time"), "{log}");
    alive("2100-02-28");
    let log = keystead.serve().stop().succeeded().stderr;
    assert!(words.iter().all(|words| log.contains(words)) && log.contains("from 2100-02-28"), "{log}");
    let told = keystead.run(&["restore", "--accept"]).succeeded().stdout;
    assert!(words.iter().all(|words| told.contains(words)), "{told}");
    // It was in use when the log was complete; or the key is newer than the log's beginning.
    alive("2100-03-02");
    let log = keystead.serve().stop().succeeded().stderr;
    assert!(!log.contains("nobody can tell"), "{log}");
    keystead.database().execute("DELETE FROM installation WHERE name = 'alive_at'");
    begins("2020");
    let log = keystead.serve().stop().succeeded().stderr;
    assert!(!log.contains("nobody can tell"), "{log}");
    let told = keystead.run(&["restore", "--accept"]).succeeded().stdout;
    assert!(!told.contains("nobody can tell"), "{told}");
}

/// A server that was started anew remembers of no digest that it wrote it, but its index knows what has ended.
#[tokio::test]
async fn what_is_in_the_log_is_not_written_again_by_a_change_of_the_same_key() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    maya.rotate(&key).await;
    server.stop().succeeded();
    let server = keystead.serve();
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    let newest = maya.try_rotate(&key.id, 2).await.expect(200).secret().expect("the new key is shown");
    let answer = maya.post_json("/v1/keys/verify", &serde_json::json!({ "key": newest })).await;
    assert_eq!(answer.expect(200).json()["code"], "VALID");
    server.stop().succeeded();
    let log = std::fs::read_to_string(keystead.data_dir().join(FILE_NAME)).unwrap();
    assert_eq!(log.matches(" rotated ").count(), 2, "{log}");
}

/// What `logrotate`, a cleaner or somebody may do to it. It is whole again before anything else is revoked, and says so once.
#[tokio::test]
async fn a_log_that_is_lost_under_a_running_server_is_written_anew() {
    type Lose = fn(&Path);
    let ways: [(&str, Lose); 4] = [
        ("moved", |log| std::fs::rename(log, log.with_extension("1")).unwrap()),
        ("moved, and another made", |log| {
            std::fs::rename(log, log.with_extension("1")).unwrap();
            std::fs::write(log, "").unwrap();
        }),
        ("removed", |log| std::fs::remove_file(log).unwrap()),
        ("emptied", |log| std::fs::write(log, "").unwrap()),
    ];
    for (how, lose) in ways {
        let keystead = Binary::new();
        let server = keystead.serve();
        let maya = server.set_up().await;
        let (early, rotated) = (maya.create_key("Early").await, maya.create_key("Rotated").await);
        let (late, living) = (maya.create_key("Late").await, maya.create_key("Living").await);
        server.stop().succeeded();
        let (file, copy) = (keystead.data_dir().join("keystead.db"), keystead.folder().join("backup"));
        if !keystead.database().is_postgres() {
            std::fs::copy(&file, &copy).unwrap();
        }

        let server = keystead.serve();
        let maya = server.anonymous();
        maya.sign_in("maya@acme.example", PASSWORD).await;
        maya.revoke(&early).await;
        maya.rotate(&rotated).await;
        let path = keystead.data_dir().join(FILE_NAME);
        lose(&path);
        let begun = Instant::now();
        let is_whole = || {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            log.contains(&format!(" revoked {}", early.id)) && log.contains(&format!(" rotated {}", rotated.id))
        };
        while !is_whole() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{how}: it never becomes whole again");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        maya.revoke(&late).await;
        let log = server.stop().succeeded().stderr;
        let told = log.lines().filter(|line| line.contains("was moved, removed or emptied under the running server"));
        assert!(told.clone().count() == 1 && told.clone().all(|line| line.contains("ERROR")), "{how}: {log}");

        if keystead.database().is_postgres() {
            BACK.into_iter().for_each(|sql| keystead.database().execute(sql));
            keystead.database().execute("DELETE FROM key_changes");
            keystead.database().execute("UPDATE key_epoch SET value = 4");
        } else {
            std::fs::copy(&copy, &file).unwrap();
        }
        let server = keystead.serve_with(&["--older-database", "accept"]);
        for (key, code) in [(&early, "REVOKED"), (&rotated, "ROTATED"), (&late, "REVOKED"), (&living, "VALID")] {
            assert_eq!(code_of(&server, key).await, code, "{how}");
        }
        let log = server.stop().succeeded().stderr;
        assert!(
            log.contains("keys=2") && log.contains("secrets=1") && !log.contains("nobody can tell"),
            "{how}: {log}"
        );
    }
}

/// The line of a key that the database has forgotten, or never had, goes with an emptied log: it must not claim to be complete.
#[tokio::test]
async fn an_emptied_log_does_not_claim_what_the_database_did_not_know() {
    let app = TestApp::start_with(|settings| settings.ended_keys_kept = "never".to_owned()).await;
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    maya.revoke(&first).await;
    let path = app.database.folder().join(FILE_NAME);
    let empty = async || {
        std::fs::write(&path, "").unwrap();
        until(&app, "it is whole again", async || log_of(&app).contains(" revoked key_")).await;
    };
    empty().await;
    assert!(!log_of(&app).contains("complete from"), "the database knows all of it: {}", log_of(&app));
    maya.revoke(&second).await;
    // As in a backup from before the key was made, on which the index is read again.
    for sql in ["DELETE FROM key_secrets", "DELETE FROM api_keys"] {
        app.execute(&format!("{sql} WHERE {} = '{}'", if sql.ends_with("keys") { "id" } else { "key_id" }, first.id))
            .await;
    }
    let applied = app.site.follower.progress().applied.epoch.0;
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until(&app, "everything is read again", async || app.site.follower.progress().applied.epoch.0 > applied).await;
    empty().await;
    let log = log_of(&app);
    assert!(!log.contains(&first.id) && log.contains(&second.id), "{log}");
    let complete_from = app.clock.now().timestamp_millis() + 1;
    assert!(log.contains(&format!("\n# complete from {complete_from}\n")), "{log}");
}
