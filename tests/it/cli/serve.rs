//! `keystead serve`: starting, working on almost nothing, and stopping.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use diesel::{RunQueryDsl, sql_query};
use futures_util::future::join_all;
use keystead::config::DatabaseUrl;

use crate::support::{Binary, PASSWORD, Person, Server, into_a_full_pipe, until};

#[tokio::test]
async fn in_an_empty_folder_it_prints_its_address_and_a_link_that_leads_to_a_working_key() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let port = server.base.rsplit(':').next().unwrap();
    server.said(&format!("http://localhost:{port} "));
    server.said("Open this link once to set up");
    assert!(keystead.data_dir().join("pepper").is_file());

    let maya = server.anonymous();
    maya.get(&server.set_up_path()).await.expect(200);
    let maya = server.set_up().await;
    let key = maya.create_key("Production API Key").await;
    let told = maya.post_json("/v1/keys/verify", &serde_json::json!({ "key": key.secret })).await.expect(200).json();
    assert_eq!(told["code"], "VALID");
    server.stop().succeeded();

    let again = keystead.serve();
    let maya = again.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    assert_eq!(maya.listed().await, ["Production API Key"]);
    let said = again.stop().succeeded().stdout;
    assert_eq!(said.lines().count(), 1, "no link once an account exists: {said}");
}

#[tokio::test]
async fn the_set_up_link_is_the_same_after_a_restart() {
    let keystead = Binary::new();
    let first = keystead.serve();
    let token = first.set_up_token();
    first.stop().succeeded();
    assert_eq!(keystead.serve().set_up_token(), token);
}

#[tokio::test]
async fn a_session_outlives_a_restart() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let cookie = server.set_up().await.cookies();
    let port_of = |base: &str| base.rsplit(':').next().unwrap().to_owned();
    let port = port_of(&server.base);
    server.stop().succeeded();
    let server = keystead.serve();
    let maya = server.anonymous();
    // Here each server has a port of its own, which the cookie's name says.
    maya.set_cookie(&cookie.replacen(&port, &port_of(&server.base), 1));
    assert!(maya.is_signed_in().await);
}

#[test]
fn the_data_directory_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let keystead = Binary::on_sqlite();
    let _server = keystead.serve();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keystead.data_dir()), 0o700);
    assert_eq!(mode(&keystead.data_dir().join("pepper")), 0o600);
}

#[test]
fn a_database_in_a_folder_open_to_all_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let keystead = Binary::on_sqlite().with("DATABASE_URL", "sqlite:my.db").after_shell("umask 000");
    let server = keystead.serve();
    for file in ["my.db", "my.db-wal", "my.db.lock"] {
        let mode = std::fs::metadata(keystead.folder().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    assert!(!server.log().contains("mended"), "it is made so: {}", server.log());
}

#[test]
fn files_that_others_can_read_or_change_are_mended_and_it_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let keystead = Binary::on_sqlite();
    keystead.serve().stop().succeeded();
    let file = |name: &str| keystead.data_dir().join(name);
    let mode = |name: &str| std::fs::metadata(file(name)).unwrap().permissions().mode() & 0o777;
    for (loose, mended) in [(0o644, 0o600), (0o666, 0o600), (0o620, 0o600), (0o640, 0o640)] {
        for name in ["pepper", "keystead.db"] {
            std::fs::set_permissions(file(name), std::fs::Permissions::from_mode(loose)).unwrap();
        }
        let log = keystead.serve().stop().succeeded().stderr;
        for name in ["pepper", "keystead.db"] {
            assert_eq!(mode(name), mended, "{name}, which was {loose:o}");
            let is_said = log.lines().any(|line| line.contains("WARN") && line.contains(&format!("{name} ")));
            assert_eq!(is_said, loose != mended, "{name}, which was {loose:o}: {log}");
        }
    }
}

#[test]
fn a_database_is_made_with_stable_plans() {
    let keystead = Binary::on_sqlite();
    let migrated = keystead.run(&["migrate"]).succeeded();
    assert!(!migrated.stderr.contains("QPSG"), "{}", migrated.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_in_memory_becomes_a_core_file() {
    let keystead = Binary::on_sqlite().after_shell("ulimit -c unlimited 2>/dev/null");
    let server = keystead.serve();
    server.signal("ABRT");
    let exit = server.wait();
    assert!(!exit.dumped_core, "{exit:?}");
}

#[test]
fn nodes_that_make_the_pepper_at_once_have_one() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pepper");
        let all_at_once = std::sync::Barrier::new(8);
        let peppers: Vec<_> = std::thread::scope(|scope| {
            let make = || {
                all_at_once.wait();
                keystead::pepper_file::create(&path).unwrap().check_value()
            };
            let nodes: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            nodes.into_iter().map(|node| node.join().unwrap()).collect()
        });
        let kept = keystead::pepper_file::read(&path).unwrap().unwrap().check_value();
        assert!(peppers.iter().all(|pepper| *pepper == kept));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_costs_no_request() {
    let keystead = Binary::new().after_shell("exec 2>/dev/full");
    let server = keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;
    server.stop().succeeded();
}

/// Works with a server for a moment and stops it, all of which must not take long.
async fn work_with(server: Server) {
    let work = async {
        let maya = server.set_up().await;
        let key = maya.create_key("Production").await;
        for _ in 0..20 {
            let asked =
                server.anonymous().post_json("/v1/keys/verify", &serde_json::json!({ "key": key.secret })).await;
            assert_eq!(asked.expect(200).json()["code"], "VALID");
            maya.get("/settings/integrations").await.expect(200);
            // Refused, which is logged.
            server.anonymous().post_json("/v1/keys/verify", &serde_json::json!({})).await.expect(400);
        }
        maya.revoke(&key).await;
    };
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("requests wait for the reader of the log");
    server.stop().succeeded();
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_no_request_and_the_server_ends() {
    work_with(Binary::new().after_shell(&into_a_full_pipe(2)).serve()).await;
}

#[tokio::test]
async fn a_panic_waits_for_nobody_who_reads_the_log() {
    // Five times a second, on the thread that also stops the server.
    let keystead = Binary::new().with("KEYSTEAD_TEST_OFF", "purge");
    work_with(keystead.after_shell(&into_a_full_pipe(2)).serve()).await;
}

#[tokio::test]
async fn the_start_waits_for_nobody_who_reads_what_it_says() {
    let full = [1, 2].map(into_a_full_pipe).join("; ");
    work_with(Binary::new().with("KEYSTEAD_LOG_FORMAT", "json").after_shell(&full).serve_unheard()).await;
}

#[test]
fn who_refuses_to_start_waits_for_nobody_who_reads_why() {
    let keystead = Binary::new().with("KEYSTEAD_LEASE_SECS", "soon").after_shell(&into_a_full_pipe(2));
    assert_eq!(keystead.run(&["serve"]).code, Some(1));
}

#[test]
fn a_relative_pepper_and_a_database_elsewhere_are_used() {
    let keystead = Binary::on_sqlite().with("KEYSTEAD_PEPPER_FILE", "my-pepper").with("DATABASE_URL", "sqlite:my.db");
    keystead.serve().stop().succeeded();
    assert!(keystead.folder().join("my-pepper").is_file());
    assert!(keystead.folder().join("my.db").is_file());
}

/// Longer than the clients of a test take to hear that the server stops, in seconds.
const LONG_DRAIN: &str = "30";

/// Asks one thing after another over a kept connection, until the server says that it will close it. Counts the answers.
async fn ask_until_told_to_close(base: &str, answered: &AtomicU32) {
    let program = Person::new(base, base);
    loop {
        let answer = program.post_json("/v1/keys/verify", &serde_json::json!({ "key": "x" })).await.expect(200);
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.header("connection") == "close" {
            return;
        }
    }
}

/// Asks as a load balancer does: over new connections, as long as the server says that it is ready. Counts the answers.
async fn ask_while_ready(base: &str, answered: &AtomicU32) {
    while Person::new(base, base).get("/readyz").await.status != 503 {
        let program = Person::new(base, base);
        program.post_json("/v1/keys/verify", &serde_json::json!({ "key": "x" })).await.expect(200);
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn stopping_under_load_drops_no_request() {
    let keystead = Binary::new().with("KEYSTEAD_DRAIN_SECS", LONG_DRAIN);
    let server = keystead.serve();
    let base = server.base.clone();
    // As long as somebody is connected, it is not taken for quiet because a busy machine lets the clients wait.
    let connected = std::net::TcpStream::connect(base.trim_start_matches("http://")).unwrap();
    let answered: [AtomicU32; 16] = Default::default();
    let (of_kept, of_balanced) = answered.split_at(8);
    let kept = join_all(of_kept.iter().map(|answered| ask_until_told_to_close(&base, answered)));
    let balanced = join_all(of_balanced.iter().map(|answered| ask_while_ready(&base, answered)));
    tokio::join!(kept, balanced, async {
        until("each client is served", async || answered.iter().all(|count| count.load(Ordering::Relaxed) > 1)).await;
        server.terminate();
    });
    drop(connected);
    tokio::task::spawn_blocking(move || server.wait()).await.unwrap().succeeded();
}

#[tokio::test]
async fn while_it_stops_a_slow_request_is_finished_and_readiness_is_taken_back() {
    let keystead = Binary::new().with("KEYSTEAD_DRAIN_SECS", LONG_DRAIN);
    let server = keystead.serve();
    let maya = server.set_up().await;
    let base = server.base.clone();
    // Argon2 takes some 30 ms each, one or two at a time: the others are in flight when the first is answered.
    let people: Vec<Person> = (0..8).map(|_| Person::new(&base, &base)).collect();
    let answered = AtomicU32::new(0);
    let slow = join_all(people.iter().map(async |person| {
        let answer = person.try_sign_in("maya@acme.example", PASSWORD).await;
        answered.fetch_add(1, Ordering::Relaxed);
        answer
    }));
    let ready = Person::new(&base, &base);
    let (answers, not_ready) = tokio::join!(slow, async {
        until("one is signed in", async || answered.load(Ordering::Relaxed) > 0).await;
        server.terminate();
        loop {
            let answer = ready.get("/readyz").await;
            if answer.status == 503 {
                return answer;
            }
        }
    });
    assert!(answers.iter().all(|answer| answer.status == 303));
    assert_eq!(not_ready.json()["status"], "stopping");
    // Nobody is connected any more, so the rest of the time is not waited for.
    drop((maya, people, ready));
    tokio::task::spawn_blocking(move || server.wait()).await.unwrap().succeeded();
}

#[tokio::test]
async fn a_disk_without_room_makes_no_half_key() {
    // A file-size limit is the one full disk that needs no privileges.
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let first = maya.create_key("Production").await;
    server.stop().succeeded();
    let kib = std::fs::metadata(keystead.data_dir().join("keystead.db")).unwrap().len() / 1024;
    let keystead = keystead.after_shell(&format!("ulimit -f {}", (kib + 64) * 2));
    let server = keystead.serve();
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    let mut made = 1;
    let refused = loop {
        let answer = maya.try_create_key(&format!("Key {made}")).await;
        if answer.status != 200 {
            break answer;
        }
        made += 1;
        assert!(made < 2000, "the disk is never full");
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains(keystead::middleware::failure::NOTHING_CHANGED), "{}", refused.text());
    assert_eq!(refused.secret(), None);
    let told = maya.post_json("/v1/keys/verify", &serde_json::json!({ "key": first.secret })).await.expect(200).json();
    assert_eq!(told["code"], "VALID", "what needs no room goes on");
    let page = maya.get("/settings/integrations").await.expect(200);
    let total = page.one(".list-foot p");
    assert!(total.starts_with(&format!("{made} key")) || total.ends_with(&format!("of {made}")), "{total}");
    assert_eq!(server.log().matches("a file has reached the limit").count(), 1, "{}", server.log());
    server.stop().succeeded();
}

#[tokio::test]
async fn what_does_not_fit_into_the_database_stays_in_the_log() {
    let keystead = Binary::on_sqlite();
    let server = keystead.serve();
    server.set_up().await;
    server.stop().succeeded();
    // The log, which is brought into the database at 4 MB, is to have room.
    let file = keystead.data_dir().join("keystead.db");
    let mut conn = DatabaseUrl::Sqlite(file.clone()).connect().unwrap();
    sql_query("CREATE TABLE ballast AS SELECT randomblob(6000000) AS bytes").execute(&mut conn).unwrap();
    drop(conn);
    let kib = std::fs::metadata(file).unwrap().len() / 1024;
    let keystead = keystead.after_shell(&format!("ulimit -f {}", (kib + 16) * 2));
    let server = keystead.serve();
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    let mut made = 0;
    while !server.log().contains("could not be brought into the database") {
        maya.create_key(&format!("Key {made}")).await;
        made += 1;
        assert!(made < 500, "{}", server.log());
    }
    let last = maya.create_key("Last").await;
    server.signal("KILL");
    server.wait();

    // With room again.
    let server = keystead.after_shell(":").serve();
    let told = server.anonymous().post_json("/v1/keys/verify", &serde_json::json!({ "key": last.secret })).await.json();
    assert_eq!(told["code"], "VALID");
    server.stop().succeeded();
}
