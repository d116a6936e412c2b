//! Backups of SQLite: made while others write, put in the place of a database, and never mixed with what lay beside it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use chrono::NaiveDateTime;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types::BigInt};
use keystead::store::backup::{self, BackupError};

use crate::support::{Binary, Key, PASSWORD, Person, Server, TestApp};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn count(file: &Path, from: &str) -> i64 {
    let mut conn = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    sql_query(format!("SELECT count(*) AS n FROM {from}")).get_result::<Number>(&mut conn).unwrap().n
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn code(server: &Server, key: &Key) -> String {
    let answer = server.anonymous().post_json("/v1/keys/verify", &serde_json::json!({ "key": key.secret })).await;
    answer.expect(200).json()["code"].as_str().unwrap().to_owned()
}

async fn sign_in(server: &Server) -> Person {
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    maya
}

fn database(keystead: &Binary) -> PathBuf {
    keystead.data_dir().join("keystead.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_is_one_moment_of_a_database_that_is_written_to() {
    let app = TestApp::start_on_sqlite().await;
    let maya = app.admin().await;
    let writers = (0..3).map(|n| {
        let maya = maya.clone();
        tokio::spawn(async move {
            let mut made = 0;
            loop {
                maya.try_create_key(&format!("Writer {n} key {made}")).await;
                made += 1;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let out = tempfile::tempdir().unwrap();
    let mut last = 0;
    for n in 0..8 {
        // Something happened in between.
        while app.site.follower.progress().applied.epoch.0 < last + 5 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let (file, to) = (app.database.sqlite_file(), out.path().join(format!("backup-{n}")));
        let made = to.clone();
        let keys = tokio::task::spawn_blocking(move || backup::make(&file, &made).unwrap().keys).await.unwrap();
        assert!(keys >= last + 5, "what was answered before is in it");
        last = keys;
        for of_a_key in ["api_keys", "key_secrets", "key_changes", "audit_events WHERE action = 'key.created'"] {
            assert_eq!(count(&to, of_a_key), keys, "{of_a_key}");
        }
        assert_eq!(count(&to, &format!("key_epoch WHERE value = {keys}")), 1);
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    let (file, to) = (app.database.sqlite_file(), out.path().join("backup-0"));
    let before = fs::read(&to).unwrap();
    assert!(matches!(backup::make(&file, &to), Err(BackupError::Exists(_))));
    assert_eq!(fs::read(&to).unwrap(), before);
    assert_eq!(names_in(out.path()).len(), 8, "nothing else is left: {:?}", names_in(out.path()));
}

/// `sudo keystead restore`, where the server has a user of its own. Only root can be told apart here, so that this says nothing
/// where somebody else runs it.
#[tokio::test]
async fn what_root_restores_belongs_to_whom_it_belonged_before() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
    let keystead = Binary::on_sqlite();
    keystead.run(&["migrate"]).succeeded();
    keystead.run(&["backup", "monday"]).succeeded();
    let data = keystead.data_dir();
    chown(&data, Some(65_533), Some(65_532)).unwrap();
    for is_new in [false, true] {
        for name in names_in(&data) {
            let path = data.join(name);
            if is_new { fs::remove_file(path).unwrap() } else { chown(path, Some(65_533), Some(65_532)).unwrap() }
        }
        let done = keystead.run(&["restore", "monday"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        for name in names_in(&data) {
            assert_eq!(owner(&data.join(&name)), (65_533, 65_532), "{name}");
        }
        assert!(names_in(&data).iter().any(|name| name == "revocations.log"));
    }
}

/// The server's user owns the folder, and waits for root with a link of each name that a restore writes.
#[tokio::test]
async fn what_root_restores_is_written_through_no_link() {
    let keystead = Binary::on_sqlite();
    keystead.run(&["migrate"]).succeeded();
    keystead.run(&["backup", "monday"]).succeeded();
    let (data, secret, new) = (keystead.data_dir(), keystead.folder().join("secret"), keystead.folder().join("new"));
    let link = |name: &str, to: &Path| std::os::unix::fs::symlink(to, data.join(name)).unwrap();
    fs::write(&secret, "root's").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&secret).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(&data, Some(65_533), Some(65_532)).unwrap();
        for name in names_in(&data) {
            chown(data.join(name), Some(65_533), Some(65_532)).unwrap();
        }
    }
    for (name, what) in [("keystead.db.lock", "monday"), ("revocations.log", "--accept")] {
        let _ = fs::remove_file(data.join(name));
        for target in [&secret, &new] {
            link(name, target);
            keystead.run(&["restore", what]).refused_with(&[name, "it is a link"]);
            fs::remove_file(data.join(name)).unwrap();
        }
    }
    // A link of the name under which the database before is to be kept.
    let (keep, database) = (".before-restore-now", database(&keystead));
    link(&format!("keystead.db{keep}"), &new);
    let put = backup::put_in_place(&keystead.folder().join("monday"), &database, "now", |_| Ok(()));
    assert!(matches!(put, Err(BackupError::Io(..))), "{put:?}");
    if is_root {
        fs::remove_file(&database).unwrap();
        link("keystead.db", &secret);
        keystead.run(&["restore", "monday"]).refused_with(&["keystead.db", "uid 65533", "root does not follow"]);
        fs::remove_file(&database).unwrap();
    }
    let after = fs::metadata(&secret).unwrap();
    assert_eq!((after.uid(), after.mode(), after.ctime()), (before.uid(), before.mode(), before.ctime()));
    assert_eq!((fs::read_to_string(&secret).unwrap(), new.exists()), ("root's".to_owned(), false));
}

#[tokio::test]
async fn a_backup_comes_back_and_what_was_revoked_since_does_not() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let (kept, revoked) = (maya.create_key("Kept").await, maya.create_key("Revoked").await);
    let made = keystead.run(&["backup", "monday"]).succeeded();
    assert!(made.stdout.contains("with 2 keys, is in monday"), "{made:?}");
    keystead.run(&["backup", "monday"]).refused_with(&["monday exists", "never overwrites"]);
    keystead.run(&["restore", "monday"]).refused_with(&["another keystead server is running", "stop it first"]);
    let later = maya.create_key("Later").await;
    maya.revoke(&revoked).await;
    server.stop().succeeded();

    let done = keystead.run(&["restore", "monday"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for words in
        ["is now what monday holds, with 2 keys", "The one before is kept as", "ended again were 1 keys and 0 secrets"]
    {
        assert!(done.stdout.contains(words), "{words}: {done:?}");
    }
    let server = keystead.serve();
    for (key, expected) in [(&kept, "VALID"), (&revoked, "REVOKED"), (&later, "NOT_FOUND")] {
        assert_eq!(code(&server, key).await, expected, "{}", key.name);
    }
    server.stop().succeeded();
    let aside = names_in(&keystead.data_dir()).into_iter().find(|name| name.contains(".before-restore-")).unwrap();
    assert_eq!(count(&keystead.data_dir().join(aside), "api_keys"), 3);

    let done = keystead.run(&["restore", "monday", "--accept", "none"]);
    assert!(done.code == Some(0) && done.stdout.contains("given up"), "{done:?}");
    assert_eq!(count(&database(&keystead), "audit_events WHERE action = 'revocations.given_up'"), 1);
    let server = keystead.serve();
    assert_eq!(code(&server, &revoked).await, "VALID", "somebody wanted it so");
    server.stop().succeeded();
}

#[tokio::test]
async fn what_is_no_good_backup_is_refused_and_the_database_stays() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    let key = server.set_up().await.create_key("Production").await;
    keystead.run(&["backup", "good"]).succeeded();
    server.stop().succeeded();
    let folder = keystead.folder().to_owned();
    let good = fs::read(folder.join("good")).unwrap();
    let make = |name: &str, change: &dyn Fn(&mut SqliteConnection)| {
        fs::write(folder.join(name), &good).unwrap();
        change(&mut SqliteConnection::establish(folder.join(name).to_str().unwrap()).unwrap());
    };
    make("newer", &|conn| {
        let insert = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')";
        sql_query(insert).execute(conn).unwrap();
        // What is newer and only added can be used.
        let take_away = "INSERT INTO installation (name, value) VALUES ('oldest_generation', '2999')";
        sql_query(take_away).execute(conn).unwrap();
    });
    make("of-another-pepper", &|conn| {
        sql_query("UPDATE installation SET value = 'x' WHERE name = 'pepper_check'").execute(conn).unwrap();
    });
    make("of-another-program", &|conn| {
        sql_query("DROP TABLE __diesel_schema_migrations").execute(conn).unwrap();
    });
    make("orphaned", &|conn| {
        sql_query("PRAGMA foreign_keys = OFF").execute(conn).unwrap();
        sql_query("DELETE FROM api_keys").execute(conn).unwrap();
    });
    make("inconsistent", &|conn| {
        sql_query("PRAGMA writable_schema = ON").execute(conn).unwrap();
        // Two indexes in one place.
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'sessions_by_expiry'";
        let update = format!("UPDATE sqlite_schema SET rootpage = ({root}) WHERE name = 'form_tokens_by_age'");
        sql_query(update).execute(conn).unwrap();
    });
    fs::write(folder.join("short"), &good[..good.len() / 2]).unwrap();
    fs::write(folder.join("text"), "no database at all, however long this line may be").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    let before = names_in(&keystead.data_dir());
    for (name, words) in [
        ("newer", "newer version"),
        ("of-another-pepper", "another pepper"),
        ("of-another-program", "not a whole database of keystead"),
        ("orphaned", "not a whole database of keystead"),
        ("inconsistent", "not a whole database of keystead"),
        ("short", "not a whole database of keystead"),
        ("text", "not a whole database of keystead"),
        ("empty", "there is no database at empty"),
        ("missing", "there is no database at missing"),
    ] {
        keystead.run(&["restore", name]).refused_with(&[words]);
        assert_eq!(names_in(&keystead.data_dir()), before, "{name}");
    }
    let server = keystead.serve();
    assert_eq!(code(&server, &key).await, "VALID");
    server.stop().succeeded();
}

/// Names of what a backup or restore leaves behind if it does not clean up.
fn leftovers(folder: &Path) -> Vec<String> {
    let is_left = |name: &String| name.contains(".new-") || name.contains(".before-restore-");
    names_in(folder).into_iter().filter(is_left).collect()
}

/// A limit on the size of files is a full disk that needs no privileges.
#[test]
fn a_full_disk_is_no_bad_backup_and_leaves_the_database() {
    let keystead = Binary::on_sqlite();
    keystead.serve().stop().succeeded();
    keystead.run(&["backup", "monday"]).succeeded();
    let before = fs::read(database(&keystead)).unwrap();
    let kib = fs::metadata(keystead.folder().join("monday")).unwrap().len() / 1024;
    let full = keystead.after_shell(&format!("ulimit -f {}", (kib - 8) * 2));
    for (command, place) in [(["restore", "monday"], "keystead.db"), (["backup", "tuesday"], "tuesday")] {
        let failed = full.run(&command);
        let last = failed.stderr.lines().last().unwrap_or_default();
        assert!(failed.code == Some(1) && last.contains("no room for") && last.contains(place), "{failed:?}");
        assert!(last.contains("nothing was changed") && !last.contains("not a whole database"), "{last}");
        assert_eq!(leftovers(&full.data_dir()), [""; 0]);
    }
    assert!(!full.folder().join("tuesday").exists() && leftovers(full.folder()).is_empty());
    assert!(fs::read(database(&full)).unwrap() == before);
    full.after_shell(":").run(&["restore", "monday"]).succeeded();
}

/// Whatever is the first that does not fit. Only root may make such a disk, so that this says nothing where somebody else runs it.
#[test]
fn a_disk_that_becomes_full_anywhere_in_a_restore_is_said_to_be_full() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut keystead = Binary::on_sqlite();
    keystead.serve().stop().succeeded();
    keystead.run(&["backup", "monday"]).succeeded();
    let before = fs::read(database(&keystead)).unwrap();
    let names = names_in(&keystead.data_dir());
    let used: u64 =
        names.iter().map(|name| fs::metadata(keystead.data_dir().join(name)).unwrap().len().div_ceil(4096)).sum();
    let whole = before.len() as u64 / 4096;
    let (mut said_by_sqlite, mut free) = (0, 0);
    loop {
        let size = (used + free) * 4;
        keystead = keystead.on_a_disk_of(size);
        let done = keystead.run(&["restore", "monday"]);
        let kept = keystead.folder().join("out");
        if done.code == Some(0) {
            assert!(!leftovers(&kept).iter().any(|name| name.contains(".new-")));
            break;
        }
        let last = done.stderr.lines().last().unwrap_or_default();
        assert!(!last.contains("not a whole database"), "{free} pages free: {last}");
        // What comes after that is the first start's work.
        if !done.stdout.contains("is now what") {
            assert!(last.contains("full") || last.contains("No space left"), "{free} pages free: {done:?}");
            said_by_sqlite += u32::from(last.contains("disk is full"));
            assert!(fs::read(kept.join("keystead.db")).unwrap() == before, "{free} pages free");
            assert_eq!(leftovers(&kept), [""; 0], "{free} pages free");
        }
        // Page by page where the copy just fits.
        let fits = whole - 4..whole + 16;
        free = if free < fits.start {
            fits.start.min(free + whole / 2)
        } else {
            free + if fits.contains(&free) { 1 } else { whole }
        };
        assert!(free < 20 * whole, "it never fits");
    }
    assert!(said_by_sqlite > 0, "each failed before SQLite looked at the copy");
}

/// Also what it is read from: the files of a server that ended well, and nothing that would have to be written first.
#[test]
fn on_a_volume_that_can_only_be_read_a_backup_is_made_elsewhere_and_nothing_else_is_blamed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let keystead = Binary::on_sqlite();
    keystead.serve().stop().succeeded();
    keystead.run(&["backup", "monday"]).succeeded();
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("tuesday");
    let (keystead, to) = (keystead.on_a_read_only_volume(), to.to_str().unwrap());
    keystead.run(&["backup", "tuesday"]).refused_with(&["tuesday", "Read-only file system"]);
    keystead.run(&["restore", "monday"]).refused_with(&["keystead.db", "Read-only file system"]);
    keystead.run(&["backup", to]).succeeded();
    assert_eq!(count(Path::new(to), "installation WHERE name = 'pepper_check'"), 1);
}

#[test]
fn what_a_killed_backup_left_goes_with_the_next_one() {
    let keystead = Binary::on_sqlite();
    keystead.run(&["migrate"]).succeeded();
    let make = |name: &str| {
        let folder = keystead.folder().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("backup"), "half of it").unwrap();
        folder
    };
    let (left, another) = (make("monday.new-0123456789abcdef"), make("tuesday.new-0123456789abcdef"));
    let done = keystead.run(&["backup", "monday"]).succeeded();
    assert!(!left.exists() && another.exists(), "{done:?}");
    assert!(done.stderr.contains("removed what a backup or restore that was killed had left"), "{done:?}");
}

/// How a backup was made that is copied over the file of a server that was killed.
#[derive(Clone, Copy, Debug)]
enum Made {
    /// By `cp`, before the server was started.
    Before,
    /// By the command, since the last checkpoint.
    Just,
    /// By the command, some checkpoints ago.
    LongAgo,
}

#[tokio::test]
async fn a_wal_beside_a_restored_file_is_set_aside_and_never_mixed_in() {
    for made in [Made::Before, Made::Just, Made::LongAgo] {
        let keystead = Binary::on_sqlite();
        let server = keystead.serve();
        let kept = server.set_up().await.create_key("Kept").await;
        server.stop().succeeded();
        let wal = fs::metadata(keystead.data_dir().join("keystead.db-wal"));
        assert_eq!(wal.map_or(0, |wal| wal.len()), 0, "the file alone is all");
        let copy = keystead.folder().join("copy");
        if matches!(made, Made::Before) {
            fs::copy(database(&keystead), &copy).unwrap();
        }
        let server = keystead.serve();
        let maya = sign_in(&server).await;
        if !matches!(made, Made::Before) {
            keystead.run(&["backup", "copy"]).succeeded();
        }
        let mut later = maya.create_key("Later").await;
        if matches!(made, Made::LongAgo) {
            let mark = || fs::read(keystead.data_dir().join("keystead.db.mark")).unwrap();
            let (begun, mut changes) = (mark(), 0);
            while mark() == begun {
                maya.create_key(&format!("Later {changes}")).await;
                changes += 1;
                assert!(changes < 2_000, "no checkpoint");
            }
            later = maya.create_key("Last").await;
        }
        drop(server);
        let backup = fs::read(&copy).unwrap();
        fs::copy(&copy, database(&keystead)).unwrap();

        let server = keystead.serve();
        assert_eq!(code(&server, &kept).await, "VALID", "{made:?}");
        assert_eq!(code(&server, &later).await, "NOT_FOUND", "{made:?}");
        let log = server.stop().succeeded().stderr;
        assert!(log.contains("set aside") && log.contains("keystead restore"), "{made:?}: {log}");
        assert!(names_in(&keystead.data_dir()).iter().any(|name| name.contains("-wal.set-aside-")), "{made:?}");
        assert!(backup.len() <= fs::metadata(database(&keystead)).unwrap().len() as usize);
        // Nothing is beside it any more, and nothing is complained of.
        let log = keystead.serve().stop().succeeded().stderr;
        assert!(!log.contains("set aside"), "{log}");
    }
}

#[tokio::test]
async fn what_a_killed_server_left_in_its_wal_stays_with_the_database_that_is_kept() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let kept = maya.create_key("Kept").await;
    keystead.run(&["backup", "copy"]).succeeded();
    let later = maya.create_key("Later").await;
    server.signal("KILL");
    server.wait();
    assert!(fs::metadata(keystead.data_dir().join("keystead.db-wal")).unwrap().len() > 0);

    let done = keystead.run(&["restore", "copy"]).succeeded();
    assert!(!done.stderr.contains("set aside"), "{done:?}");
    let is_kept = |name: &String| name.contains(".before-restore-") && !name.ends_with("-wal");
    let before = names_in(&keystead.data_dir()).into_iter().find(is_kept).unwrap();
    assert_eq!(count(&keystead.data_dir().join(before), "api_keys"), 2, "with what it had not taken in yet");
    let server = keystead.serve();
    assert_eq!(code(&server, &kept).await, "VALID");
    assert_eq!(code(&server, &later).await, "NOT_FOUND");
    assert!(!server.stop().succeeded().stderr.contains("set aside"));
}

#[tokio::test]
async fn behind_a_link_a_database_is_kept_apart_from_its_old_wal_and_restored_where_it_is() {
    let keystead = Binary::on_sqlite();
    let volume = keystead.folder().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::create_dir(keystead.data_dir()).unwrap();
    // Of a file that is not there yet, and relative.
    std::os::unix::fs::symlink("../volume/keystead.db", database(&keystead)).unwrap();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let kept = maya.create_key("Kept").await;
    keystead.run(&["backup", "monday"]).succeeded();
    let later = maya.create_key("Later").await;
    drop(server);
    assert!(fs::metadata(volume.join("keystead.db-wal")).unwrap().len() > 0);

    fs::copy(keystead.folder().join("monday"), database(&keystead)).unwrap();
    let server = keystead.serve();
    assert_eq!(code(&server, &kept).await, "VALID");
    assert_eq!(code(&server, &later).await, "NOT_FOUND");
    assert!(server.stop().succeeded().stderr.contains("set aside"));

    assert_eq!(keystead.run(&["restore", "monday"]).code, Some(0));
    assert!(fs::symlink_metadata(database(&keystead)).unwrap().is_symlink(), "{:?}", names_in(&keystead.data_dir()));
    assert!(names_in(&volume).iter().any(|name| name.contains(".before-restore-")), "{:?}", names_in(&volume));
    let server = keystead.serve();
    assert_eq!(code(&server, &kept).await, "VALID");
    server.stop().succeeded();
}

#[tokio::test]
async fn what_a_killed_server_left_in_its_own_wal_is_never_taken_for_anothers() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    let mut maya = server.set_up().await;
    let mut server = Some(server);
    let mut keys = Vec::new();
    // Around each checkpoint once: so many changes that the file is brought up to date again and again.
    for round in 0..12 {
        for n in 0..5 + 9 * round {
            keys.push(maya.create_key(&format!("Key {round} {n}")).await);
        }
        drop(server.take());
        // Also when another command is the first to open it.
        if round % 3 == 0 {
            keystead.run(&["migrate"]).succeeded();
        }
        let again = keystead.serve();
        assert!(!again.log().contains("set aside"), "{}", again.log());
        for key in keys.iter().rev().take(20) {
            assert_eq!(code(&again, key).await, "VALID", "round {round}");
        }
        maya = sign_in(&again).await;
        server = Some(again);
    }
    server.take().unwrap().stop().succeeded();
    assert_eq!(count(&database(&keystead), "api_keys"), i64::try_from(keys.len()).unwrap());
}

#[tokio::test]
async fn a_file_that_is_overwritten_under_a_running_server_is_noticed_and_left_alone() {
    for by_rename in [false, true] {
        let keystead = Binary::on_sqlite();
        let server = keystead.serve();
        let maya = server.set_up().await;
        let kept = maya.create_key("Kept").await;
        keystead.run(&["backup", "copy"]).succeeded();
        let later = maya.create_key("Later").await;
        let (copy, file) = (keystead.folder().join("copy"), database(&keystead));
        let backup = fs::read(&copy).unwrap();
        if by_rename {
            fs::rename(&copy, &file).unwrap();
        } else {
            fs::copy(&copy, &file).unwrap();
        }
        assert_eq!(maya.try_create_key("Into nothing").await.status, 503);
        for path in ["/settings/integrations", "/settings/integrations/keys/new"] {
            maya.get(path).await.expect(503);
        }
        server.anonymous().get("/readyz/pages").await.expect(503);
        let log = server.stop().stderr;
        assert!(log.contains(if by_rename { "replaced while" } else { "overwritten while" }), "{log}");
        assert_eq!(fs::read(&file).unwrap(), backup, "not a byte of it was touched");

        let server = keystead.serve();
        assert_eq!(code(&server, &kept).await, "VALID");
        assert_eq!(code(&server, &later).await, "NOT_FOUND");
        server.stop().succeeded();
    }
}

#[tokio::test]
async fn while_a_server_runs_its_log_of_revocations_is_not_given_up() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let revoked = maya.create_key("Revoked").await;
    maya.revoke(&revoked).await;
    let log = keystead.data_dir().join("revocations.log");
    let before = fs::read(&log).unwrap();
    keystead.run(&["restore", "--accept", "none"]).refused_with(&["is running", "stop it first"]);
    assert_eq!(fs::read(&log).unwrap(), before);
    server.stop().succeeded();
    keystead.run(&["restore", "--accept", "none"]).succeeded();
    assert!(!log.exists());
    // It is kept, under the time, so that giving up another one later takes nothing from it.
    let aside =
        names_in(&keystead.data_dir()).into_iter().find_map(|name| Some(name.split_once(".given-up-")?.1.to_owned()));
    let stamp = aside.expect("the log was set aside");
    assert!(NaiveDateTime::parse_from_str(&stamp, "%Y%m%dT%H%M%S%3fZ").is_ok(), "{stamp}");
}

#[test]
fn postgres_backs_itself_up() {
    let keystead = Binary::new();
    if keystead.database().is_postgres() {
        keystead.run(&["backup", "monday"]).refused_with(&["pg_dump"]);
        keystead.run(&["restore", "monday"]).refused_with(&["pg_restore"]);
        let done = keystead.run(&["restore", "--accept"]).succeeded();
        assert!(done.stdout.contains("ended again were 0 keys"), "{done:?}");
    }
    keystead.run(&["restore"]).refused_with(&["--accept"]);
    keystead.run(&["restore", "--accept", "some"]).refused_with(&["all or none"]);
}
