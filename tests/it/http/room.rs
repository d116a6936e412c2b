//! More connections than there is room for.

use std::net::SocketAddr;

use super::{Raw, blocking, question};
use crate::support::{Binary, TestApp};

const SILENT_FORM: &str = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                           Content-Length: 16000\r\n\r\n";

/// Lets silent clients of every kind come, many more than there is room for, and asks about a key over connections that were
/// there before and over new ones. Returns the silent ones.
fn flood(address: SocketAddr, secret: &str, strangers: usize) -> Vec<Raw> {
    let ask = |gateway: &mut Raw| {
        gateway.send(&question(secret, ""));
        assert!(gateway.answer().contains("\"VALID\""));
    };
    let mut kept: Vec<Raw> = (0..8).map(|_| Raw::connect(address)).collect();
    kept.iter_mut().for_each(ask);
    let mut silent = Vec::new();
    for begun in [SILENT_FORM, "", "GET / HTTP/1.1\r\n"] {
        for _ in 0..strangers {
            let mut stranger = Raw::connect(address);
            stranger.send(begun);
            silent.push(stranger);
        }
        kept.iter_mut().for_each(ask);
        (0..32).map(|_| Raw::connect(address)).for_each(|mut gateway| ask(&mut gateway));
    }
    silent
}

#[tokio::test]
async fn silent_clients_make_room_and_verification_goes_on() {
    let app = TestApp::start_with(|settings| {
        settings.max_connections = "64".to_owned();
        // Their time is not over: it is room that is missing.
        settings.request_time = "300".to_owned();
    })
    .await;
    let key = app.admin().await.create_key("Production").await;
    let address = app.address;
    blocking(move || {
        let mut silent = flood(address, &key.secret, 200);
        // Some may have been cut off before they said a word.
        let answer = silent[0].rest();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn with_few_descriptors_there_are_always_some_for_verification() {
    let keystead = Binary::new().with("KEYSTEAD_REQUEST_SECS", "300").after_shell("ulimit -n 256");
    let server = keystead.serve();
    let key = server.set_up().await.create_key("Production").await;
    let address = server.base.trim_start_matches("http://").parse().unwrap();
    let silent = blocking(move || flood(address, &key.secret, 400)).await;
    let log = server.log();
    assert_eq!(log.matches("no room for more connections").count(), 1, "{log}");
    drop(silent);
    server.stop().succeeded();
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let keystead = Binary::new().after_shell("ulimit -Sn 200");
    let server = keystead.serve();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = files.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers[0], numbers[1], "{files}");
}
