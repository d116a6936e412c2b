//! Clients that take their time, or never come to an end.

use std::time::Duration;

use super::{Raw, blocking};
use crate::support::TestApp;

/// A server that waits a second for a request, and for the next one.
async fn impatient() -> TestApp {
    TestApp::start_with(|settings| {
        settings.request_time = "1".to_owned();
        settings.keep_alive = "1".to_owned();
    })
    .await
}

/// The beginning of a form or a question, whose body is longer than what comes.
fn begun(path: &str, body: &str) -> String {
    let kind = if path.starts_with("/v1/") { "application/json" } else { "application/x-www-form-urlencoded" };
    let origin = "Sec-Fetch-Site: same-origin\r\n";
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{origin}Content-Type: {kind}\r\n{body}")
}

#[tokio::test]
async fn half_a_body_is_408_on_every_route_and_the_connection_ends() {
    let app = impatient().await;
    for path in ["/v1/keys/verify", "/sign-in", "/setup", "/theme"] {
        for body in [
            "Content-Length: 16000\r\n\r\n",
            "Content-Length: 16000\r\n\r\n{",
            "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        ] {
            let mut raw = Raw::to(&app);
            let request = begun(path, body);
            let answer = blocking(move || {
                raw.send(&request);
                raw.rest()
            })
            .await;
            assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{path} {body:?}: {answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{path} {body:?}: {answer}");
            assert!(answer.contains("did not arrive in time"), "{path} {body:?}: {answer}");
        }
    }
}

/// It came in time, and no part of it that is still to come would mend it.
#[tokio::test]
async fn a_body_that_is_no_body_is_400_and_not_408() {
    let app = TestApp::start().await;
    let mut raw = Raw::to(&app);
    let request = begun("/v1/keys/verify", "Transfer-Encoding: chunked\r\n\r\nno length\r\n");
    let answer = blocking(move || {
        raw.send(&request);
        raw.rest()
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("The body could not be read."), "{answer}");
}

#[tokio::test]
async fn whoever_sends_drop_by_drop_is_not_waited_for() {
    let app = impatient().await;
    let address = app.address;
    let drips = [
        ("GET / HTTP/1.1\r\nHost: x\r\n".to_owned(), "X-a: b\r\n"),
        ("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n".to_owned(), "X-a: b\r\n"),
        (begun("/sign-in", "Content-Length: 16000\r\n\r\n"), "a"),
        (begun("/theme", "Transfer-Encoding: chunked\r\n\r\n"), "1\r\na\r\n"),
        (begun("/v1/keys/verify", "Content-Length: 16000\r\n\r\n"), " "),
        ("GET /v1/forward-auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "1\r\na\r\n"),
        (begun("/livez", "Transfer-Encoding: chunked\r\n\r\n"), "1\r\na\r\n"),
    ];
    let dripping = drips.into_iter().map(|(first, drop)| {
        blocking(move || {
            use std::io::{Read, Write};
            let Raw(mut stream) = Raw::connect(address);
            stream.write_all(first.as_bytes()).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut ended = false;
            for _ in 0..600 {
                let _ = stream.write_all(drop.as_bytes());
                match stream.read(&mut [0; 4096]) {
                    Ok(0) => ended = true,
                    Ok(_) => {}
                    Err(error) => ended = error.kind() != std::io::ErrorKind::WouldBlock,
                }
                if ended {
                    break;
                }
            }
            assert!(ended, "{first:?} is waited for");
        })
    });
    futures_util::future::join_all(dripping).await;
    app.anonymous().get("/livez").await.expect(200);
}

#[tokio::test]
async fn silent_connections_end_before_their_first_request_and_between_two() {
    let app = impatient().await;
    let mut silent = Raw::to(&app);
    let address = app.address;
    blocking(move || {
        assert_eq!(silent.rest(), "");
        let mut idle = Raw::connect(address);
        idle.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(idle.answer().starts_with("HTTP/1.1 200 OK"));
        assert_eq!(idle.rest(), "");
    })
    .await;
}

#[tokio::test]
async fn whoever_reads_no_answer_is_cut_off() {
    let app = impatient().await;
    let url = keystead::web::assets::url("htmx.min.js");
    let address = app.address;
    let unread = blocking(move || {
        use std::io::Write;
        let Raw(mut stream) = Raw::connect(address);
        let request = format!("GET {url} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n");
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        // Until the server, which cannot write, has closed the connection.
        for _ in 0..1_000_000 {
            if let Err(error) = stream.write_all(request.as_bytes()) {
                return error.kind();
            }
        }
        panic!("the server reads on and on");
    })
    .await;
    assert!(matches!(unread, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe), "{unread}");
}
