//! Heads as real programs send them.

use super::{Raw, blocking, question};
use crate::support::TestApp;

#[tokio::test]
async fn an_offer_to_upgrade_is_ignored_and_the_connection_stays() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let mut raw = Raw::to(&app);
    blocking(move || {
        for offer in [
            // Java's HttpClient, with every request over plain http.
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            "Upgrade: websocket\r\n",
            "connection: upgrade\r\n",
            "",
        ] {
            raw.send(&question(&key.secret, offer));
            let answer = raw.answer();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"VALID\""), "{offer}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("\r\nconnection:"), "{offer}: {answer}");
            raw.send(&format!("GET /v1/forward-auth HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\n{offer}\r\n", key.secret));
            assert!(raw.answer().starts_with("HTTP/1.1 200 OK\r\n"), "{offer}");
        }
        raw.send(&question(&key.secret, "Connection: Upgrade, close\r\nUpgrade: h2c\r\n"));
        let last = raw.rest();
        assert!(last.contains("connection: close") && last.contains("\"VALID\""), "{last}");
    })
    .await;
}

#[tokio::test]
async fn header_lines_that_nobody_reads_are_no_reason_to_refuse() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let mut raw = Raw::to(&app);
    blocking(move || {
        let lines = |n: usize| (0..n).map(|i| format!("X-Trace-{i}: v\r\n")).collect::<String>();
        for n in [0, 90, 94, 97, 103, 500, 3_000] {
            let head = format!("GET /v1/forward-auth HTTP/1.1\r\nHost: x\r\n{}", lines(n));
            raw.send(&format!("{head}Authorization: Bearer {}\r\n\r\n", key.secret));
            assert!(raw.answer().starts_with("HTTP/1.1 200 OK\r\n"), "{n} lines");
            // What is read counts, wherever it stands: two keys are still two.
            raw.send(&format!("{head}X-API-Key: a\r\n{}X-API-Key: b\r\n\r\n", lines(n)));
            assert!(raw.answer().starts_with("HTTP/1.1 400 "), "{n} lines");
            raw.send(&question(&key.secret, &lines(n)));
            assert!(raw.answer().contains("\"VALID\""), "{n} lines");
        }
        // A head has an end: 128 KiB.
        raw.send(&format!("GET / HTTP/1.1\r\nHost: x\r\n{}", lines(9_000)));
        assert!(raw.rest().starts_with("HTTP/1.1 431 "));
    })
    .await;
}

#[tokio::test]
async fn heads_and_bodies_may_come_in_pieces_and_in_a_row() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let mut raw = Raw::to(&app);
    blocking(move || {
        let one = question(&key.secret, "Connection: Upgrade\r\nUpgrade: h2c\r\n");
        for piece in one.as_bytes().chunks(5) {
            raw.send(std::str::from_utf8(piece).unwrap());
        }
        assert!(raw.answer().contains("\"VALID\""));
        let plain = question(&key.secret, "");
        raw.send(&plain.repeat(3));
        let mut answers = String::new();
        while answers.matches("\"VALID\"").count() < 3 {
            answers.push_str(&raw.answer());
        }
    })
    .await;
}
