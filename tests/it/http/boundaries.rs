//! Where one request ends and the next begins: whoever is in between must have the same opinion.

use diesel::connection::SimpleConnection;
use keystead::store::Conn;

use super::{Raw, blocking, question};
use crate::support::{TestApp, form_token, on_own_thread};

/// Looks like a head to whoever takes it for one, and like an offer to upgrade that is to be taken out.
const LIKE_A_HEAD: &str = "X: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n";

/// Requests that are answered before their body is read.
const ANSWERED_EARLY: [&str; 5] = [
    "POST /nowhere HTTP/1.1\r\nHost: localhost\r\n",
    "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n",
    "POST /v1/keys/verify HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n",
    "GET /v1/forward-auth HTTP/1.1\r\nHost: x\r\n",
    "GET /livez HTTP/1.1\r\nHost: x\r\n",
];

#[tokio::test]
async fn a_body_that_comes_after_its_answer_is_not_taken_for_a_head() {
    let app = TestApp::start().await;
    let address = app.address;
    blocking(move || {
        for head in ANSWERED_EARLY {
            let mut raw = Raw::connect(address);
            raw.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
            let answer = raw.answer();
            assert!(!answer.contains("connection: close"), "{head}: {answer}");
            // Taken for a head it would be shorter, and the next request a part of it.
            raw.send(&format!("{:x}\r\n{LIKE_A_HEAD}\r\n0\r\n\r\n", LIKE_A_HEAD.len()));
            raw.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(raw.answer().starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            raw.send("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let rest = raw.rest();
            assert!(
                rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.matches("HTTP/1.1 ").count() == 1,
                "{head}: {rest}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_comes_in_two_parts_behind_another_is_left_as_it_is() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let mut raw = Raw::to(&app);
    blocking(move || {
        let (first, second) = (question("x", ""), question(&key.secret, "X: a\r\n"));
        // Within its head; with a part of the body the library closes the connection, and says so.
        for cut in 1..second.find("\r\n\r\n").unwrap() + 4 {
            let (begun, rest) = second.split_at(cut);
            raw.send(&format!("{first}{begun}"));
            assert!(raw.answer().contains("\"MALFORMED\""), "cut at {cut}");
            raw.send(rest);
            assert!(raw.answer().contains("\"VALID\""), "cut at {cut}");
        }
    })
    .await;
}

#[tokio::test]
async fn two_opinions_on_the_length_of_a_body_end_the_connection() {
    let app = TestApp::start().await;
    let address = app.address;
    blocking(move || {
        let body = "b\r\n{\"key\":\"x\"}\r\n0\r\n\r\n";
        for (version, lengths) in [
            ("1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            ("1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            ("1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"),
        ] {
            let mut raw = Raw::connect(address);
            let head = format!("POST /v1/keys/verify HTTP/{version}\r\nHost: x\r\nContent-Type: application/json\r\n");
            raw.send(&format!("{head}{lengths}\r\n{body}GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
            let rest = raw.rest();
            assert!(rest.contains("\r\nconnection: close\r\n"), "{version} {lengths:?}: {rest}");
            assert_eq!(rest.matches("HTTP/1.").count(), 1, "{version} {lengths:?}: {rest}");
        }
    })
    .await;
}

/// Holds up every change until the sender is dropped.
fn hold_up_changes(app: &TestApp) -> std::sync::mpsc::Sender<()> {
    let mut conn = app.database.connect();
    let (held, is_held) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        conn.batch_execute(match &conn {
            Conn::Sqlite(_) => "BEGIN IMMEDIATE",
            Conn::Postgres(_) => "BEGIN; LOCK TABLE form_tokens IN EXCLUSIVE MODE",
        })
        .unwrap();
        held.send(()).unwrap();
        let _ = released.recv();
    });
    on_own_thread(move || is_held.recv().unwrap());
    release
}

#[tokio::test]
async fn a_change_that_takes_longer_than_a_request_may_is_told_as_it_ended() {
    let app = TestApp::start_with(|settings| settings.request_time = "1".to_owned()).await;
    let maya = app.admin().await;
    let lock = hold_up_changes(&app);
    let form = format!("name=Production&idem={}", form_token());
    let head = format!(
        "POST /settings/integrations/keys HTTP/1.1\r\nHost: x\r\nOrigin: {}\r\nCookie: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n",
        app.base(),
        maya.cookies()
    );
    let mut raw = Raw::to(&app);
    let answer = blocking(move || {
        raw.send(&format!("{head}{:x}\r\n{form}\r\n0\r\n\r\n", form.len()));
        raw.answer()
    })
    .await;
    drop(lock);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(!answer.contains("connection: close"), "{answer}");
}
