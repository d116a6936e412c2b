//! An fsync that fails, on SQLite whatever the rest of the suite runs on: nothing is acknowledged after it. The process says
//! why and ends, and the next start decides from the file. If the disk takes the log after all, the change is taken back.

use std::{path::PathBuf, process::Command};

use reqwest::Method;

use keystead::middleware::failure::NOTHING_CHANGED;

use crate::support::{Binary, Key, Person, form_token};

const KEYS: &str = "/settings/integrations/keys";

/// The real program, whose syncs of SQLite's log fail while the returned file exists.
fn binary() -> (Binary, PathBuf) {
    failing_for("-wal$")
}

/// The same for files with this in their path, or with a `$` at its end.
fn failing_for(files: &str) -> (Binary, PathBuf) {
    let binary = Binary::on_sqlite();
    let (library, switch) = (binary.folder().join("failing_sync.so"), binary.folder().join("fail"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/store/failing_sync.c");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(made.expect("a C compiler, which building needs too").success());
    let binary = binary.with("LD_PRELOAD", library.to_str().unwrap());
    let binary = binary.with("FAIL_SYNC", switch.to_str().unwrap()).with("FAIL_SYNC_OF", files);
    (binary, switch)
}

/// Whether there was an answer.
async fn is_answered(maya: &Person, path: &str, fields: &[(&str, &str)]) -> bool {
    maya.request(Method::POST, path).form(fields).send().await.is_ok()
}

#[tokio::test]
async fn no_change_is_acknowledged_after_a_failed_sync() {
    let (binary, switch) = binary();
    let mut server = binary.serve();
    let maya = server.set_up().await;
    let key: Key = maya.create_key("Production").await;
    let (revoke, idem) = (format!("{KEYS}/{}/revoke", key.id), form_token());
    let new = [("name", "Staging"), ("idem", &*idem)];
    for (path, fields) in [(KEYS, &new[..]), (&revoke, &[("version", "1")])] {
        let maya = server.anonymous();
        maya.sign_in("maya@acme.example", crate::support::PASSWORD).await;
        std::fs::write(&switch, "").unwrap();
        assert!(!is_answered(&maya, path, fields).await, "{path} was answered");
        let end = server.wait();
        assert_eq!(end.code, Some(74), "{end:?}");
        assert!(end.stderr.contains("it is not known whether the last change was saved; keystead ends"), "{end:?}");

        // As long as the disk fails, nothing is read from what may not be on it.
        let refused = binary.run(&["serve"]);
        assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
        assert!(refused.stderr.contains("cannot open the database"), "{refused:?}");
        std::fs::remove_file(&switch).unwrap();
        server = binary.serve();
    }
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", crate::support::PASSWORD).await;
    let code = server.anonymous().post_json("/v1/keys/verify", &serde_json::json!({ "key": key.secret })).await.json();
    // The kernel had written what it could not sync, so here the file holds both changes.
    assert_eq!(code["code"], "REVOKED");
    assert_eq!(maya.listed().await, ["Staging"]);
    maya.post(KEYS, &new).await.expect(409);
    server.stop().succeeded();
}

#[tokio::test]
async fn a_change_whose_sync_failed_once_is_taken_back_for_good() {
    let (binary, switch) = binary();
    let server = binary.serve();
    let maya = server.set_up().await;
    let key: Key = maya.create_key("Production").await;
    std::fs::write(&switch, "once").unwrap();
    let refused = maya.try_create_key("Staging").await.expect(503);
    assert!(refused.text().contains(NOTHING_CHANGED), "{}", refused.text());
    assert!(!switch.exists(), "a sync failed");
    // The log held all of it, and whoever starts reads the log.
    server.signal("KILL");
    server.wait();

    let server = binary.serve();
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", crate::support::PASSWORD).await;
    assert_eq!(maya.listed().await, ["Production"]);
    // And a server that goes on does so.
    std::fs::write(&switch, "once").unwrap();
    maya.try_revoke(&key.id, 1).await.expect(503);
    maya.rotate(&key).await;
    maya.create_key("Staging").await;
    server.signal("KILL");
    server.wait();
    let server = binary.serve();
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", crate::support::PASSWORD).await;
    assert_eq!(maya.listed().await.len(), 2);
    let told = maya.post_json("/v1/keys/verify", &serde_json::json!({ "key": key.secret })).await.json();
    assert_eq!(told["code"], "ROTATED");
    server.stop().succeeded();
}

#[tokio::test]
async fn a_revocation_that_is_not_synced_to_its_log_is_told() {
    let (binary, switch) = failing_for("revocations.log$");
    let server = binary.serve();
    let maya = server.set_up().await;
    let key: Key = maya.create_key("Production").await;
    std::fs::write(&switch, "").unwrap();
    maya.revoke(&key).await;
    std::fs::remove_file(&switch).unwrap();
    let log = server.stop().succeeded().stderr;
    assert!(log.contains("a revocation is not in its log"), "{log}");
}

#[test]
fn a_pepper_that_is_not_synced_is_not_used() {
    // The file, and then its name.
    for files in ["pepper.new-", "keystead-data$"] {
        let (binary, switch) = failing_for(files);
        std::fs::write(&switch, "").unwrap();
        binary.run(&["serve"]).refused_with(&["cannot write the pepper file"]);
        std::fs::remove_file(&switch).unwrap();
        binary.serve().stop().succeeded();
    }
}

#[test]
fn a_copy_that_is_not_synced_takes_nobodys_place() {
    let (binary, switch) = failing_for("/backup$");
    binary.run(&["migrate"]).succeeded();
    let monday = binary.folder().join("monday");
    std::fs::write(&switch, "").unwrap();
    binary.run(&["backup", "monday"]).refused_with(&["monday"]);
    assert!(!monday.exists());
    std::fs::remove_file(&switch).unwrap();
    binary.run(&["backup", "monday"]).succeeded();

    let binary = binary.with("FAIL_SYNC_OF", "/database$");
    let database = binary.data_dir().join("keystead.db");
    let before = std::fs::read(&database).unwrap();
    std::fs::write(&switch, "").unwrap();
    binary.run(&["restore", "monday"]).refused_with(&["Input/output error"]);
    assert_eq!(std::fs::read(&database).unwrap(), before);
    std::fs::remove_file(&switch).unwrap();
    binary.run(&["restore", "monday"]).succeeded();
}
