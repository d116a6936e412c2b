//! `/v1/forward-auth` asked with headers that no library sends.

use crate::support::TestApp;

/// The status of the answer to a request with these header lines; 0 for none.
async fn status(app: &TestApp, path: &str, lines: &[u8]) -> u16 {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").into_bytes();
    request.extend_from_slice(lines);
    request.extend_from_slice(b"\r\n\r\n");
    let answer = app.raw(&request).await;
    // What a server says first that was told to.
    let answer = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    if status != 200 {
        assert!(!answer.to_ascii_lowercase().contains("x-key-id"), "{answer}");
    }
    status
}

#[tokio::test]
async fn keys_of_every_length_and_kind_are_refused_and_the_server_lives_on() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let secret = key.secret.as_bytes();
    let line = |name: &[u8], value: &[u8]| [name, b": ", value].concat();
    for path in ["/v1/forward-auth", "/v1/forward-auth/nginx/x"] {
        assert_eq!(status(&app, path, &line(b"X-API-Key", secret)).await, 200);
        // Blanks around a header's value are not its own (RFC 9110, 5.5).
        assert_eq!(status(&app, path, &line(b"x-ApI-kEy", &[b" \t", secret, b" \t"].concat())).await, 200);
        for value in [
            Vec::new(),
            b" ".to_vec(),
            b"\t\t".to_vec(),
            vec![b'a'; 96],
            vec![b'a'; 97],
            vec![b'a'; 10_000],
            [secret, &[b'a'; 40]].concat(),
            [secret, b" ", secret].concat(),
            [secret, b",", secret].concat(),
            [secret, b"\xFF"].concat(),
            [secret, "ключ".as_bytes()].concat(),
            vec![0xFF; 60],
            vec![0x80; 96],
            [b"\"", secret, b"\""].concat(),
            secret.to_ascii_uppercase(),
        ] {
            let shown = String::from_utf8_lossy(&value[..value.len().min(100)]).into_owned();
            assert_eq!(status(&app, path, &line(b"X-API-Key", &value)).await, 401, "{shown}");
            let bearer = [b"Bearer ", &*value].concat();
            assert_eq!(status(&app, path, &line(b"Authorization", &bearer)).await, 401, "{shown}");
        }
    }
    app.anonymous().get("/livez").await.expect(200);
}

#[tokio::test]
async fn what_is_no_header_is_400_or_nothing() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let secret = key.secret.as_bytes();
    for lines in [
        [b"X-API-Key: ", secret, b"\0"].concat(),
        [b"X-API-Key: \0", secret].concat(),
        [b"X-API-Key: ", &secret[..20], b"\r", &secret[20..]].concat(),
        [b"X-API-Key: ", &secret[..20], b"\n", &secret[20..]].concat(),
        // A folded line (RFC 9112, 5.2).
        [b"X-API-Key:\r\n ", secret].concat(),
        [b"X-API-Key : ", secret].concat(),
        [b"X-API-Key", secret].concat(),
        [b"X-API-Key: \x01", secret].concat(),
        [b"X-API-Key: ", secret, b"\x7F"].concat(),
        vec![b'a'; 200_000],
        [b"X-API-Key: ", &*vec![b'a'; 200_000]].concat(),
    ] {
        let shown = String::from_utf8_lossy(&lines[..lines.len().min(100)]).into_owned();
        let status = status(&app, "/v1/forward-auth", &lines).await;
        assert!(matches!(status, 0 | 400 | 401 | 413 | 431), "{shown:?}: {status}");
    }
    app.anonymous().get("/livez").await.expect(200);
}

#[tokio::test]
async fn what_a_gateway_passes_on_of_its_clients_request_does_not_matter() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let good = format!("X-API-Key: {}\r\n", key.secret);
    for line in [
        "Expect: 100-continue",
        "Content-Encoding: br",
        "Content-Type: nonsense",
        "Cookie: __Host-keystead=a; __Host-keystead=b",
        "Origin: https://evil.example",
        "Sec-Fetch-Site: cross-site",
        "HX-Request: true",
        "X-Forwarded-For: nonsense, , 1.2.3.4:5, \u{fc}",
        "X-HTTP-Method-Override: DELETE",
        "X-Forwarded-Uri: /?key=x",
        "Range: bytes=0-1",
        "If-None-Match: *",
        "Accept: text/html",
        "Accept-Encoding: br",
        "Upgrade-Insecure-Requests: 1",
    ] {
        let mut lines = good.clone().into_bytes();
        lines.extend_from_slice(line.as_bytes());
        assert_eq!(status(&app, "/v1/forward-auth", &lines).await, 200, "{line}");
    }
}
