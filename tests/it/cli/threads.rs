//! Where the operating system gives no more threads: a line that says so, and never a panic.
//!
//! Root has as many as it likes, so that each test runs the program as somebody else, whom only root can become: where another
//! runs them, they say nothing.

use std::{
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::Command,
};

use crate::support::Binary;

/// The program where somebody else may run it, as this user. Two tests must not count each other's threads.
fn run_by(user: u32) -> Option<Binary> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let keystead = Binary::new();
    let program = keystead.folder().join("program");
    std::fs::copy(env!("CARGO_BIN_EXE_keystead"), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    chown(keystead.folder(), Some(user), Some(user)).unwrap();
    let path = std::path::absolute(program).unwrap();
    Some(keystead.of_program(path))
}

fn with_threads(keystead: Binary, user: u32, most: u32) -> Binary {
    let as_somebody = format!("/usr/bin/setpriv --reuid={user} --regid={user} --clear-groups");
    keystead.after_shell(&format!("exec {as_somebody} /usr/bin/prlimit --nproc={most} \"$0\" \"$@\""))
}

fn allow(process: u32, user: u32, most: u32) {
    let mut changing = Command::new("setpriv");
    changing.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "prlimit"]);
    changing.args(["--pid", &process.to_string(), &format!("--nproc={most}:1000")]);
    assert!(changing.status().unwrap().success());
}

#[test]
fn a_start_without_enough_threads_is_refused_in_one_line() {
    const USER: u32 = 64_001;
    let Some(mut keystead) = run_by(USER) else { return };
    for most in [1, 2, 3, 5, 8, 12, 15] {
        keystead = with_threads(keystead, USER, most);
        keystead.run(&["serve"]).refused_with(&["cannot start the", "threads that it needs", "ulimit -u"]);
        if most < 8 {
            keystead.run(&["migrate"]).refused_with(&["cannot start the 8 threads that it needs"]);
        }
        let checked = keystead.run(&["check"]);
        assert!(checked.code == Some(1) && checked.stdout.contains("WRONG: cannot start the"), "{checked:?}");
        assert_eq!(checked.stderr, "");
    }
    assert!(!Path::new(&keystead.data_dir()).exists(), "nothing was made");
    let keystead = with_threads(keystead, USER, 1_000);
    keystead.run(&["migrate"]).succeeded();
    keystead.serve().stop().succeeded();
}

#[tokio::test]
async fn a_server_that_gets_no_more_threads_says_so_and_goes_on() {
    const USER: u32 = 64_002;
    let Some(keystead) = run_by(USER) else { return };
    let keystead = with_threads(keystead, USER, 1_000);
    let server = keystead.serve();
    allow(server.id(), USER, 1);
    let anybody = server.anonymous();
    let path = server.set_up_path();
    let shown = anybody.get(&path).await;
    assert!(matches!(shown.status, 200 | 503), "{}", shown.status);
    let token = server.set_up_token();
    let fields = [
        ("token", &*token),
        ("organization", "Acme Robotics"),
        ("name", "Maya Chen"),
        ("email", "maya@acme.example"),
        ("password", crate::support::PASSWORD),
    ];
    anybody.post("/setup", &fields).await.expect(503);
    let asked = anybody.post_json("/v1/keys/verify", &serde_json::json!({ "key": "talvin_live_x" })).await;
    asked.expect(200);
    allow(server.id(), USER, 1_000);
    server.set_up().await.create_key("Production").await;
    let log = server.stop().succeeded().stderr;
    assert!(!log.contains("panicked"), "{log}");
}
