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
