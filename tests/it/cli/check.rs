//! `keystead check` says what a start would say, and leaves everything as it is.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::support::{Binary, Exit, PASSWORD};

/// Every file below a folder, and what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push((path.clone(), fs::read(path).unwrap())) }
        }
    }
    found.sort();
    found
}

fn assert_wrong(checked: &Exit, words: &[&str]) {
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let is_it = |line: &str| line.contains("WRONG: ") && words.iter().all(|word| line.contains(word));
    assert!(checked.stdout.lines().any(is_it), "{words:?}: {checked:?}");
}

/// Of the same thing, and a start of it is refused with these words; the check goes first and changes nothing.
fn assert_refused_by_both(keystead: &Binary, words: &[&str]) {
    let before = files(keystead.folder());
    let checked = keystead.check();
    assert_wrong(&checked, words);
    assert!(files(keystead.folder()) == before, "check changes nothing");
    keystead.run(&["serve"]).refused_with(words);
    let line = keystead.run(&["serve"]).stderr;
    let line = line.lines().find_map(|line| line.strip_prefix("keystead: ")).expect("a line that tells why");
    assert!(checked.stdout.contains(&format!("WRONG: {line}")), "in other words than {line}: {checked:?}");
}

#[test]
fn a_server_that_could_start_passes_before_its_first_start_and_after() {
    let keystead = Binary::new();
    keystead.check().succeeded();
    assert!(!keystead.data_dir().exists());
    let server = keystead.serve();
    keystead.check().succeeded();
    server.stop().succeeded();
    let before = files(keystead.folder());
    let checked = keystead.check().succeeded();
    assert!(!checked.stdout.contains("WRONG"), "{checked:?}");
    assert!(files(keystead.folder()) == before);
}

#[test]
fn a_pepper_that_is_lost_or_anothers() {
    let keystead = Binary::new();
    keystead.serve().stop().succeeded();
    let pepper = keystead.data_dir().join("pepper");
    fs::write(&pepper, [7; 32]).unwrap();
    assert_refused_by_both(&keystead, &["pepper", "not the one this database was made with"]);
    fs::remove_file(&pepper).unwrap();
    assert_refused_by_both(&keystead, &["pepper", "missing", "restore it"]);
}

#[test]
fn a_log_of_revocations_that_is_damaged() {
    let keystead = Binary::new();
    keystead.serve().stop().succeeded();
    let log = keystead.data_dir().join("revocations.log");
    fs::write(&log, "1795414260000 revoked key_ something\n").unwrap();
    assert_refused_by_both(&keystead, &["revocations.log is damaged at line 1", "keystead restore --accept"]);
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    assert_wrong(&keystead.check(), &["revocations.log"]);
}

#[test]
fn a_file_of_the_database_that_cannot_be_one() {
    let with = |url: &str| Binary::on_sqlite().with("DATABASE_URL", url);
    assert_refused_by_both(&with("sqlite:no/such/folder/k.db"), &["no/such/folder/k.db", "No such file"]);
    let folder = with("sqlite:folder");
    fs::create_dir(folder.folder().join("folder")).unwrap();
    assert_wrong(&folder.check(), &["folder", "directory"]);
    folder.run(&["serve"]).refused_with(&["folder", "directory"]);
    let text = with("sqlite:text");
    fs::write(text.folder().join("text"), "this is a text file, and a long one at that".repeat(100)).unwrap();
    fs::set_permissions(text.folder().join("text"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_wrong(&text.check(), &["file is not a database"]);
    text.run(&["serve"]).refused_with(&["file is not a database"]);
    let nowhere = Binary::new().with("KEYSTEAD_DATA_DIR", "/dev/null/keystead");
    assert_refused_by_both(&nowhere, &["/dev/null/keystead", "Not a directory"]);
}

/// Only root may make one, so that this says nothing where somebody else runs it.
#[test]
fn a_volume_that_can_only_be_read() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for has_started in [false, true] {
        let keystead = Binary::new();
        fs::create_dir(keystead.data_dir()).unwrap();
        if has_started {
            keystead.serve().stop().succeeded();
        }
        let keystead = keystead.on_a_read_only_volume();
        let checked = keystead.check();
        assert_wrong(&checked, &["revocations.log", "Read-only file system"]);
        if !keystead.database().is_postgres() {
            assert_wrong(&checked, &["cannot open", "keystead.db", "Read-only file system"]);
        }
        keystead.run(&["serve"]).refused_with(&["Read-only file system"]);
    }
}

#[tokio::test]
async fn a_database_that_is_older_than_the_log() {
    let keystead = Binary::new().with("KEYSTEAD_OLDER_DATABASE", "refuse");
    let server = keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;
    server.stop().succeeded();
    keystead.check().succeeded();
    let log = fs::read(keystead.data_dir().join("revocations.log")).unwrap();
    // As if the database were from before this key was revoked.
    let server = keystead.serve();
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    let living = maya.create_key("Living").await;
    server.stop().succeeded();
    let words = format!("1795414260000 revoked {} {}", living.id, "0".repeat(64));
    let line = format!("{words} {:08x}\n", crc32fast::hash(words.as_bytes()));
    fs::write(keystead.data_dir().join("revocations.log"), [log, line.into_bytes()].concat()).unwrap();
    assert_refused_by_both(&keystead, &["1 key revoked and 0 secrets rotated", "keystead restore --accept"]);
    let keystead = keystead.with("KEYSTEAD_OLDER_DATABASE", "");
    let checked = keystead.check().succeeded();
    assert!(checked.stdout.contains("Note: the database is older"), "{checked:?}");
    assert!(!checked.stdout.contains("WRONG"), "{checked:?}");
}
