//! `keystead keys`

use serde_json::{Value, json};

use crate::support::{Binary, Exit, Person, Server, until};

/// The command for one organization.
struct Commands<'a> {
    keystead: &'a Binary,
    organization: String,
}

impl Commands<'_> {
    fn run(&self, arguments: &[&str]) -> Exit {
        let whole = [&["keys"], arguments, &["--organization", &self.organization]].concat();
        self.keystead.run(&whole)
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let done = self.run(&[arguments, &["--json"]].concat()).succeeded();
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The ids and names that are listed.
    fn listed(&self) -> Vec<(String, String)> {
        let list = self.json(&["list"]).remove(0);
        let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
        list["data"].as_array().unwrap().iter().map(|key| (text(key, "id"), text(key, "name"))).collect()
    }
}

/// A server with an admin, and the command for their organization.
async fn set_up(keystead: &Binary) -> (Server, Person, Commands<'_>) {
    let server = keystead.serve();
    let maya = server.set_up().await;
    let organization = maya.get("/settings/integrations").await.one("#organization-id");
    (server, maya, Commands { keystead, organization })
}

async fn code(server: &Server, secret: &str) -> String {
    let told = server.anonymous().post_json("/v1/keys/verify", &json!({ "key": secret })).await.expect(200).json();
    told["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn keys_are_made_rotated_and_revoked_while_a_server_runs_and_it_knows_when_the_command_ends() {
    let keystead = Binary::new();
    let (server, maya, commands) = set_up(&keystead).await;

    let made = commands.run(&["create", "--name", "Nightly import"]).succeeded();
    let first = made.stdout.trim();
    assert_eq!(made.stdout, format!("{first}\n"), "a script takes it from there");
    assert!(made.stderr.contains("Nightly import (key_") && !made.stderr.contains(first), "{}", made.stderr);
    // The command waits a second for it at most.
    until("the server knows it", async || code(&server, first).await == "VALID").await;
    let page = maya.get("/settings/integrations").await;
    assert!(page.one("td .sub, th .sub").starts_with("by the command line"), "who made it is told");
    let listed = commands.listed();
    let (id, name) = listed.first().unwrap();
    assert_eq!((listed.len(), name.as_str()), (1, "Nightly import"));
    let lines = commands.run(&["list"]).succeeded().stdout;
    assert!(lines.starts_with(&format!("{id}  talvin_live_…")) && !lines.contains(first), "{lines}");

    let rotated = commands.run(&["rotate", id]).succeeded();
    let second = rotated.stdout.trim();
    assert!(rotated.stderr.contains("The old key no longer works. Refused on 1 of 1 node after"), "{rotated:?}");
    assert_eq!((code(&server, first).await.as_str(), code(&server, second).await.as_str()), ("ROTATED", "VALID"));

    let revoked = commands.run(&["revoke", id]).succeeded();
    assert!(revoked.stdout.starts_with("Nightly import is revoked. Refused on 1 of 1 node after"), "{revoked:?}");
    assert_eq!(code(&server, second).await, "REVOKED");
    assert_eq!(commands.listed(), []);
    let again = commands.run(&["revoke", id]).succeeded();
    assert!(again.stdout.starts_with("Nightly import is revoked. Refused on 1 of 1 node after"), "{again:?}");
    commands.run(&["rotate", id]).refused_with(&["has no living key"]);

    let audited = maya.get("/settings/integrations").await.expect(200);
    assert!(!audited.text().contains("Nightly import"));
    let log = server.stop().succeeded();
    for secret in [first, second] {
        assert!(!log.stderr.contains(secret) && !log.stdout.contains(secret));
    }
}

#[tokio::test]
async fn programs_are_told_in_json_and_the_secret_stands_in_one_place() {
    let keystead = Binary::new();
    let (server, _maya, commands) = set_up(&keystead).await;
    let made = commands.json(&["create", "--name", "CI"]).remove(0);
    assert_eq!(made["key"]["name"], "CI");
    let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let is_everywhere = |done: &Value| {
        let receipt = &done["receipt"];
        assert_eq!(
            (&receipt["everywhere"], &receipt["confirmed"], &receipt["nodes"]),
            (&true.into(), &1.into(), &1.into())
        );
        receipt["epoch"].as_i64().unwrap()
    };
    until("the server knows it", async || code(&server, secret).await == "VALID").await;
    let rotated = commands.json(&["rotate", id]);
    assert_eq!((rotated.len(), &rotated[0]["key"]["id"]), (1, &id.into()));
    let rotation = is_everywhere(&rotated[0]);
    let revoked = commands.json(&["revoke", id]).remove(0);
    assert_eq!(revoked["key"]["id"], id);
    assert_eq!(is_everywhere(&revoked), rotation + 1);
    assert_eq!(is_everywhere(&commands.json(&["revoke", id])[0]), rotation + 1, "again it is the same change");
    let again = commands.run(&["rotate", id, "--json"]);
    let refused: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&refused["code"], again.code), (&"not_found".into(), Some(1)));
}

#[tokio::test]
async fn without_a_server_nobody_is_waited_for_and_the_next_one_knows() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    let organization = maya.get("/settings/integrations").await.one("#organization-id");
    server.stop().succeeded();
    let commands = Commands { keystead: &keystead, organization };
    let revoked = commands.run(&["revoke", &key.id]).succeeded();
    assert!(revoked.stdout.contains("No server runs on this database"), "{revoked:?}");
    let log = std::fs::read_to_string(keystead.data_dir().join("revocations.log")).unwrap();
    assert!(log.contains(&format!("revoked {}", key.id)), "a restored backup does not undo it");
    let server = keystead.serve();
    let ready = async || server.anonymous().get("/readyz").await.status == 200;
    until("it is ready", ready).await;
    assert_eq!(code(&server, &key.secret).await, "REVOKED");
}

/// Stopped in the middle, it can confirm nothing. It may answer again when its lease is over, and not before it has read.
#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_until_its_lease_is_over() {
    let keystead = Binary::new().with("KEYSTEAD_LEASE_SECS", "2");
    let (server, maya, commands) = set_up(&keystead).await;
    let key = maya.create_key("Production").await;
    server.signal("STOP");
    let revoked = commands.run(&["revoke", &key.id]).succeeded();
    server.signal("CONT");
    let told = server.anonymous().post_json("/v1/keys/verify", &json!({ "key": key.secret })).await;
    assert!(told.status == 503 || told.json()["code"] == "REVOKED", "{}", told.text());
    assert!(revoked.stdout.contains("No server has confirmed it"), "{revoked:?}");
    assert!(revoked.stderr.contains("it answers nobody in at most"), "{revoked:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_one_line() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let own = maya.get("/settings/integrations").await.one("#organization-id");
    let unknown_key = format!("key_{}", "0".repeat(27));
    let unknown = format!("org_{}", "0".repeat(27));
    maya.create_key("Production").await;
    for (arguments, words, code) in [
        (vec!["list", "--organization", "acme"], "--organization: not an organization's id", 2),
        (vec!["list", "--organization", &unknown], &*unknown, 1),
        (vec!["create", "--organization", &own, "--name", ""], "--name", 2),
        (vec!["create", "--organization", &own, "--name", "production"], "already exists", 1),
        (vec!["revoke", "production", "--organization", &own], "not a key's id", 2),
        (vec!["rotate", &unknown_key, "--organization", &own], "has no living key", 1),
        (vec!["revoke", &unknown_key, "--organization", &own], "has no key", 1),
    ] {
        let refused = keystead.run(&[&["keys"], &arguments[..]].concat());
        refused.refused_with(&[words]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(code), ""));
    }
}

/// A script's disk is full, or it has closed its output.
#[tokio::test]
async fn a_secret_that_cannot_be_printed_is_no_success() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let organization = maya.get("/settings/integrations").await.one("#organization-id");
    let keystead = keystead.after_shell("exec >/dev/full");
    let create = ["keys", "create", "--organization", &organization, "--name"];
    let lost = keystead.run(&[&create[..], &["Lost"]].concat());
    lost.refused_with(&["Lost (key_", "it is lost", "Rotate the key"]);
    let keystead = keystead.after_shell("exec >&-");
    keystead.run(&[&create[..], &["Not made"]].concat()).refused_with(&["nothing was changed"]);
    let keystead = keystead.after_shell("exec >/dev/null");
    keystead.run(&[&create[..], &["Not made"]].concat()).refused_with(&["nothing was changed"]);
    assert_eq!(maya.listed().await, ["Lost"]);
}

/// The wrong directory, or one that no server has used: nothing is made there.
#[tokio::test]
async fn where_no_server_was_nothing_is_made() {
    let keystead = Binary::on_sqlite();
    let list = ["keys", "list", "--organization", &format!("org_{}", "0".repeat(27))];
    keystead.run(&list).refused_with(&["there is no database of keystead", "KEYSTEAD_DATA_DIR"]);
    assert!(!keystead.data_dir().exists());
}

#[tokio::test]
async fn a_database_that_a_server_would_refuse_is_refused() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    let organization = maya.get("/settings/integrations").await.one("#organization-id");
    server.stop().succeeded();
    let (database, backup) = (keystead.data_dir().join("keystead.db"), keystead.folder().join("backup"));
    std::fs::copy(&database, &backup).unwrap();
    let commands = Commands { keystead: &keystead, organization };
    commands.run(&["revoke", &key.id]).succeeded();
    std::fs::copy(&backup, &database).unwrap();
    for arguments in [vec!["list"], vec!["rotate", &key.id]] {
        commands.run(&arguments).refused_with(&["is older than", "restore --accept"]);
    }
}

#[tokio::test]
async fn where_the_log_is_json_every_line_is() {
    let keystead = Binary::new().with("KEYSTEAD_LOG_FORMAT", "json");
    let (_server, _maya, commands) = set_up(&keystead).await;
    let made = commands.run(&["create", "--name", "CI"]).succeeded();
    let listed = commands.run(&["list"]).succeeded();
    let refused = commands.run(&["create", "--name", "ci"]);
    assert_eq!(refused.code, Some(1));
    for line in [made, listed, refused].iter().flat_map(|exit| exit.stdout.lines().chain(exit.stderr.lines())) {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// A backup was copied over the file of a server that was killed: its `-wal` is not the backup's.
#[tokio::test]
async fn what_a_killed_server_left_beside_another_file_is_not_read() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    let organization = maya.get("/settings/integrations").await.one("#organization-id");
    let backup = keystead.folder().join("backup");
    keystead.run(&["backup", backup.to_str().unwrap()]).succeeded();
    maya.revoke(&key).await;
    server.signal("KILL");
    server.wait();
    std::fs::copy(&backup, keystead.data_dir().join("keystead.db")).unwrap();
    let commands = Commands { keystead: &keystead, organization };
    let refused = commands.run(&["rotate", &key.id]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("set aside") && refused.stderr.contains("is older than"), "{refused:?}");
}
