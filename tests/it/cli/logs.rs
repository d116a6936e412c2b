//! The log: what stands in it, and what must not.

use crate::support::{Binary, PASSWORD};

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    for format in ["text", "json"] {
        let keystead = Binary::new().with("KEYSTEAD_LOG", "trace").with("KEYSTEAD_LOG_FORMAT", format);
        let server = keystead.serve();
        let token = server.set_up_token();
        let visitor = server.anonymous();
        visitor.get(&server.set_up_path()).await.expect(200);
        let maya = server.set_up().await;
        let mut cookies = vec![maya.cookies()];
        let first = maya.create_key("Production").await;
        let second = maya.by_htmx().rotate(&first).await;
        for secret in [&first.secret, &second.secret] {
            let told = maya.post_json("/v1/keys/verify", &serde_json::json!({ "key": secret })).await.expect(200);
            assert!(!told.text().contains(secret));
        }
        maya.post_json("/v1/keys/verify", &serde_json::json!({ "key": [&first.secret] })).await.expect(400);
        maya.get(&format!("/v1/keys/verify?key={}", first.secret)).await.expect(405);
        maya.get(&format!("/v1/keys/{}/verify", first.secret)).await.expect(404);
        maya.get(&format!("/{}", first.secret)).await.expect(404);
        maya.revoke(&second).await;
        maya.sign_out().await;
        maya.try_sign_in("maya@acme.example", "another wrong password").await.expect(422);
        maya.sign_in("maya@acme.example", PASSWORD).await;
        cookies.push(maya.cookies());
        let log = server.stop().succeeded().stderr;
        assert!(log.lines().count() > 20, "this test reads the right log: {log}");

        // The Postgres client would print what is bound to a statement, as bytes that no search for a text finds.
        assert!(!log.contains("with parameters"), "{log}");

        let mut secrets = vec![token, PASSWORD.to_owned(), PASSWORD.replace(' ', "+"), "another wrong".to_owned()];
        secrets.extend([first.secret, second.secret]);
        secrets.push("another+wrong".to_owned());
        for cookie in cookies {
            let value = cookie.split_once('=').unwrap().1;
            let decoded = percent_encoding::percent_decode_str(value).decode_utf8().unwrap();
            secrets.push(decoded[decoded.len() - 64..].to_owned());
        }
        for secret in secrets {
            let line = log.lines().find(|line| line.contains(&secret));
            assert_eq!(line, None, "{secret} is logged");
        }
    }
}

#[tokio::test]
async fn in_json_the_set_up_link_is_in_no_line_but_in_a_file_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let keystead = Binary::new().with("KEYSTEAD_LOG_FORMAT", "json").with("KEYSTEAD_LOG", "trace");
    let server = keystead.serve();
    let (file, token) = (server.set_up_link_file.clone(), server.set_up_token());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let line: serde_json::Value = serde_json::from_str(&server.said("set_up_link_file")).unwrap();
    assert!(line["set_up_link_file"].as_str().is_some_and(|path| path.ends_with("/set-up-link")), "{line}");
    server.set_up().await;
    assert!(!file.exists(), "the link has worked");
    let exit = server.stop().succeeded();
    for line in exit.stdout.lines().chain(exit.stderr.lines()) {
        assert!(!line.contains(&token), "{line}");
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not JSON: {line}");
    }
    // A node that was down meanwhile takes its own away when it starts.
    std::fs::write(&file, "an old link").unwrap();
    let again = keystead.serve();
    assert_eq!(again.stop().succeeded().stdout.lines().count(), 1);
    assert!(!file.exists());
}

#[tokio::test]
async fn the_log_of_a_request_carries_the_id_that_its_answer_shows() {
    let keystead = Binary::new().with("KEYSTEAD_LOG_FORMAT", "json");
    let server = keystead.serve();
    let answer = server.anonymous().get("/nowhere").await.expect(404);
    let id = answer.header("x-request-id").to_owned();
    let log = server.stop().succeeded().stderr;
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["path"] == "/nowhere").expect("the request is logged");
    assert_eq!((&line["status"], &line["method"]), (&404.into(), &"GET".into()));
    assert_eq!(line["span"]["id"], *id);
    assert!(line["took_us"].is_u64(), "a number and not a text: {line}");
}

#[tokio::test]
async fn a_line_cannot_be_forged() {
    let keystead = Binary::new();
    let server = keystead.serve();
    server.anonymous().get("/a%0a2026-01-01T00:00:00Z%20ERROR%20forged%1b[31m").await.expect(404);
    let log = server.stop().succeeded().stderr;
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01")), "{log}");
}

#[tokio::test]
async fn a_gateway_that_asks_with_its_clients_path_is_told_of_once() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let gateway = server.anonymous();
    let ask = async |path: &str, asker: bool| {
        let request = gateway.bare_request(reqwest::Method::GET, path);
        let request = if asker { request.header("keystead-asker", "gateway") } else { request };
        gateway.send(request).await.expect(401)
    };
    ask("/v1/forward-auth", false).await;
    ask("/v1/forward-auth/nginx", false).await;
    ask("/v1/forward-auth/orders", true).await;
    assert!(!server.log().contains("Keystead-Asker"), "{}", server.log());
    for path in ["/v1/forward-auth/orders", "/v1/forward-auth/nginx/secret", "/v1/forward-auth/..%2f..%2flivez"] {
        ask(path, false).await;
    }
    let log = server.stop().succeeded().stderr;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("Keystead-Asker")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("Protect your API") && !lines[0].contains("orders"), "{log}");
}

/// Sends these bytes on a connection of its own and waits for the end of the answer.
fn send(server: &crate::support::Server, bytes: &[u8]) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server.base.trim_start_matches("http://")).unwrap();
    // Who is refused early may be cut off while it sends.
    let _ = stream.write_all(bytes).and_then(|()| stream.read_to_end(&mut Vec::new()));
}

#[tokio::test]
async fn a_stranger_writes_short_lines_without_keys() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let key = server.set_up().await.create_key("Production").await.secret;
    let before = server.log().len();
    let from_elsewhere = "Host: x\r\nConnection: close\r\nOrigin: https://evil.example\r\nContent-Length: 0\r\n\r\n";
    for path in [format!("/v1x/{key}"), format!("/{key}/x"), format!("/{}", "a".repeat(60_000)), "/a".repeat(30_000)] {
        send(&server, format!("POST {path} HTTP/1.1\r\n{from_elsewhere}").as_bytes());
        send(&server, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    }
    for _ in 0..50 {
        send(&server, b"nonsense\r\n\r\n");
    }
    let log = server.stop().succeeded().stderr;
    let lines: Vec<&str> = log[before..].lines().collect();
    assert!(lines.iter().filter(|line| line.contains("cross_site")).count() == 4, "{log}");
    for line in &lines {
        assert!(line.len() < 500 && !line.contains(&key[12..]) && !line.contains("ERROR"), "{line:.600}");
    }
    assert!(lines.len() < 30, "nonsense is no event: {log}");
}

#[tokio::test]
async fn a_flood_of_requests_is_no_flood_of_lines() {
    // A page elsewhere, an address of nobody, and a question that cannot be read: each has lines of its own.
    for request in [
        "POST /x HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nContent-Length: 0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/keys/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
    ] {
        let keystead = Binary::new();
        let server = keystead.serve();
        let address = server.base.trim_start_matches("http://").to_owned();
        let requests = request.repeat(10);
        tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            for _ in 0..300 {
                stream.write_all(requests.as_bytes()).unwrap();
                let (mut answers, mut piece) = (Vec::new(), [0; 65536]);
                while answers.windows(10).filter(|window| window == b"HTTP/1.1 4").count() < 10 {
                    let read = stream.read(&mut piece).unwrap();
                    assert!(read > 0, "the server closed the connection");
                    answers.extend_from_slice(&piece[..read]);
                }
            }
        })
        .await
        .unwrap();
        let log = server.stop().succeeded().stderr;
        // A line for each of 3,000 requests would be 3,000.
        assert!(log.lines().count() < 3_000, "{} lines of {request}", log.lines().count());
    }
}

#[tokio::test]
async fn the_request_id_of_a_refused_verification_is_in_the_log() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let program = server.anonymous();
    let mut ids = Vec::new();
    for (body, status) in [("{", 400), ("{}", 400)] {
        let request = program.bare_request(reqwest::Method::POST, "/v1/keys/verify");
        let request = request.header("content-type", "application/json").body(body);
        ids.push(program.send(request).await.expect(status).problem()["request_id"].as_str().unwrap().to_owned());
    }
    let untyped = program.bare_request(reqwest::Method::POST, "/v1/keys/verify").body("x");
    ids.push(program.send(untyped).await.expect(415).header("x-request-id").to_owned());
    ids.push(program.get("/v1/keys/verify").await.expect(405).header("x-request-id").to_owned());
    let log = server.stop().succeeded().stderr;
    for id in ids {
        assert_eq!(log.lines().filter(|line| line.contains(&id)).count(), 1, "{id} in {log}");
    }
}

#[tokio::test]
async fn a_proxy_that_nobody_named_is_told_of_once() {
    for (trusted, path, header, expected) in [
        ("", "/sign-in", "x-forwarded-for", 1),
        ("", "/v1/forward-auth", "x-forwarded-for", 1),
        ("localhost", "/sign-in", "x-forwarded-for", 0),
        ("", "/sign-in", "x-request-id", 0),
    ] {
        let keystead = Binary::new().with("KEYSTEAD_TRUSTED_PROXIES", trusted);
        let server = keystead.serve();
        for _ in 0..3 {
            let visitor = server.anonymous();
            let request = visitor.request(reqwest::Method::GET, path).header(header, "203.0.113.9");
            visitor.send(request).await;
        }
        let log = server.stop().succeeded().stderr;
        assert_eq!(log.matches("KEYSTEAD_TRUSTED_PROXIES").count(), expected, "{path} {header} {log}");
    }
}

#[test]
fn who_is_behind_a_proxy_and_named_none_is_told_at_the_start() {
    let url = "https://keys.example.com";
    let told = |trusted: &str| {
        let keystead = Binary::new().with("KEYSTEAD_PUBLIC_URL", url).with("KEYSTEAD_TRUSTED_PROXIES", trusted);
        let server = keystead.serve();
        // Said last.
        server.set_up_token();
        server.stop().succeeded().stdout.contains("KEYSTEAD_TRUSTED_PROXIES is empty")
    };
    assert!(told(""));
    assert!(!told("10.0.0.0/8"));
}

#[test]
fn a_panic_is_a_line_of_the_log() {
    for (format, backtrace) in [("text", "0"), ("text", "1"), ("json", "0"), ("json", "1")] {
        let keystead = Binary::new().with("KEYSTEAD_TEST_OFF", "purge").with("KEYSTEAD_LOG_FORMAT", format);
        let server = keystead.with("RUST_BACKTRACE", backtrace).serve();
        let begun = std::time::Instant::now();
        while !server.log().contains("it is started again") {
            assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{}", server.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let log = server.stop().succeeded().stderr;
        let panic = log.lines().find(|line| line.contains("panicked at")).expect("a line about it");
        assert!(panic.contains("ERROR") && panic.contains("a test makes the PurgeExpired fail"), "{panic}");
        assert_eq!(log.contains("keystead::supervision::Supervision::step"), backtrace == "1", "{log}");
        if format == "json" {
            assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
        }
    }
}
