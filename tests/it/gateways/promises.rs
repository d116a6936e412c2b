//! What every gateway keeps.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    CLIENT, IDENTITY, Recorder, Rehearsal, Says, Scene, Traits,
    hostile::{self, Siege},
    in_front_of, request, send, with_false_identity,
};

/// Bytes in which a lost or doubled piece shows.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

pub async fn a_good_key_passes_with_its_identity_and_no_other(traits: &Traits) {
    let scene = Scene::set(traits.start).await;
    let asking = || with_false_identity(scene.request(Method::GET, "/orders?page=2"));
    for request in [asking().bearer_auth(&scene.key.secret), asking().header("x-api-key", &scene.key.secret)] {
        send(request).await.expect(200);
        let seen = scene.api.last();
        assert_eq!((&*seen.method, &*seen.path), ("GET", "/orders?page=2"));
        assert_eq!(seen.all("x-key-id"), [&scene.key.id]);
        assert_eq!(seen.all("x-organization-id"), [&scene.key.organization_id]);
        assert_eq!(seen.all("x-key-scopes"), ["-"]);
        let [name] = seen.all("x-key-name")[..] else { panic!("{seen:?}") };
        assert_eq!(percent_decode_str(name).decode_utf8().unwrap(), "Zürich <b> 100 %");
        let [forwarded] = seen.all("x-forwarded-for")[..] else { panic!("{seen:?}") };
        assert!(forwarded.ends_with(CLIENT), "{forwarded}");
    }
    assert_eq!(scene.api.seen().len(), 2);
}

pub async fn whatever_is_no_good_key_is_turned_away(traits: &Traits) {
    let scene = Scene::set(traits.start).await;
    let code = |answer: &crate::support::Answer| answer.json()["code"].as_str().map(str::to_owned);
    let challenged = |error: &str| format!("Bearer realm=\"api\"{error}");
    let invalid = challenged(", error=\"invalid_token\"");
    let old = scene.key.secret.clone();
    let new = scene.maya.rotate(&scene.key).await;
    scene.ask(&new.secret).await.expect(200);
    scene.maya.revoke(&new).await;
    for (key, expected) in [(&*old, "REVOKED"), (&*new.secret, "REVOKED"), ("nonsense", "MALFORMED")] {
        let answer = scene.ask(key).await.expect(401);
        assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 1);
        assert_eq!(answer.header("www-authenticate"), invalid);
        assert_eq!(code(&answer).as_deref(), Some(expected));
    }

    let another = scene.maya.create_key("Another").await.secret;
    for path in ["/".to_owned(), format!("/?api_key={another}&key={another}&access_token={another}")] {
        let answer = send(with_false_identity(scene.request(Method::GET, &path))).await.expect(401);
        assert_eq!(answer.header("www-authenticate"), challenged(""));
        assert_eq!(code(&answer).as_deref(), Some("MISSING"));
    }

    let two = scene.request(Method::GET, "/").bearer_auth(&another).header("x-api-key", "another");
    let answer = send(two).await.expect(400);
    assert_eq!(answer.header("www-authenticate"), challenged(", error=\"invalid_request\""));
    assert_eq!(code(&answer).as_deref(), Some("INVALID_REQUEST"));
    let twice = send(scene.request(Method::GET, "/").bearer_auth(&another).bearer_auth("another")).await;
    // Some make one line of two.
    assert!(matches!(twice.status, 400 | 401), "{}", twice.status);

    // A gateway may answer before it has read everything, which some clients take for a failure.
    send(scene.request(Method::POST, "/").bearer_auth("nonsense").body(bytes(10_000))).await.expect(401);
    send(scene.request(Method::HEAD, "/").bearer_auth("nonsense")).await.expect(401);
    assert_eq!(scene.api.seen().len(), 1, "nothing but the good key came through");
}

pub async fn bodies_arrive_as_they_were_sent(traits: &Traits) {
    let scene = Scene::set(traits.start).await;
    let body = bytes(1 << 20);
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let sent = scene.request(method.clone(), "/orders").bearer_auth(&scene.key.secret).body(body.clone());
        send(sent).await.expect(200);
        let seen = scene.api.last();
        assert_eq!(seen.method, method.as_str());
        assert!(seen.body == body, "{} bytes arrived", seen.body.len());
    }
    let (host, secret) = (scene.gateway.address, &scene.key.secret);
    let head = |further: &str| {
        format!(
            "POST /orders HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {secret}\r\n{further}\
             Connection: close\r\n\r\n"
        )
    };
    let mut chunked = Vec::new();
    for chunk in body.chunks(30_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let length = format!("Content-Length: {}\r\n", body.len());
    let in_chunks = "Transfer-Encoding: chunked\r\n";
    for (further, sent) in [
        (format!("{length}Expect: 100-continue\r\n"), &body),
        (in_chunks.to_owned(), &chunked),
        (format!("{in_chunks}Expect: 100-continue\r\n"), &chunked),
    ] {
        let before = scene.api.seen().len();
        let answer = scene.gateway.raw(&head(&further), sent).await;
        assert!(answer.contains("HTTP/1.1 200 "), "{further}: {answer}");
        assert_eq!(scene.api.seen().len(), before + 1);
        let arrived = scene.api.last().body;
        assert!(arrived == body, "{further}: {} bytes arrived", arrived.len());
    }
    let answer = send(scene.request(Method::HEAD, "/orders").bearer_auth(secret)).await.expect(200);
    assert!(answer.bytes.is_empty());
    assert_eq!(scene.api.last().method, "HEAD");
}

pub async fn two_thousand_hostile_requests_leave_the_identity_alone(traits: &Traits) {
    let outcome = Siege::lay(traits.start, &[]).await.storm(0x2026_1128, 2_000).await;
    let first: Vec<&String> = outcome.faults.iter().take(5).collect();
    assert!(outcome.faults.is_empty(), "{} faults, such as {first:#?}", outcome.faults.len());
    assert_eq!(outcome.by_http2 > 0, traits.speaks_http2, "{} good answers by HTTP/2", outcome.by_http2);
    assert_eq!(outcome.trailers == 0, traits.drops_trailers, "{} trailers", outcome.trailers);
    // Refusing everybody would be no protection.
    assert!(outcome.sent >= 2_000 && outcome.arrived > outcome.sent / 3, "{} of {}", outcome.arrived, outcome.sent);
}

pub async fn what_a_snippet_does_is_missed_when_it_is_taken_away(traits: &Traits) {
    for protection in traits.protections {
        let outcome = Siege::lay(traits.start, &[*protection]).await.storm(0x2026_1128, 400).await;
        assert!(!outcome.faults.is_empty(), "nobody misses {protection:?}");
    }
}

pub async fn a_websocket_is_opened_and_outlives_its_key(traits: &Traits) {
    let scene = Scene::set(traits.start).await;
    let host = scene.gateway.address;
    let head = |key: &str| {
        format!(
            "GET /live HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nConnection: Upgrade\r\n\
             Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    };
    let refused = scene.gateway.raw(&head("nonsense").replace("Connection: ", "Connection: close, "), b"").await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert_eq!(scene.api.seen().len(), 0);
    let mut opened = hostile::connect(host).await;
    opened.write_all(head(&scene.key.secret).as_bytes()).await.unwrap();
    let answer = until(&mut opened, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(scene.api.last().all("x-key-id"), [&scene.key.id]);
    assert!(scene.api.last().all("upgrade")[0].eq_ignore_ascii_case("websocket"));
    opened.write_all(b"before").await.unwrap();
    assert_eq!(until(&mut opened, "before").await, "before");

    // As docs/api.md says: nobody is asked about what is open.
    scene.maya.revoke(&scene.key).await;
    opened.write_all(b"after").await.unwrap();
    assert_eq!(until(&mut opened, "after").await, "after");
    let again = scene.gateway.raw(&head(&scene.key.secret).replace("Connection: ", "Connection: close, "), b"").await;
    assert!(again.starts_with("HTTP/1.1 401 "), "{again}");

    let Some(bound) = traits.ends_websocket else { return };
    let siege = Siege::lay(traits.start, &[bound]).await;
    let mut opened = hostile::connect(siege.address()).await;
    opened.write_all(head(siege.key()).as_bytes()).await.unwrap();
    let answer = until(&mut opened, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    ends(opened).await;
}

pub async fn an_event_stream_outlives_its_key(traits: &Traits) {
    let head = |siege: &Siege, path: &str| {
        let (host, key) = (siege.address(), siege.key());
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n")
    };
    let siege = Siege::lay(traits.start, &[]).await;
    let mut opened = hostile::connect(siege.address()).await;
    opened.write_all(head(&siege, "/events").as_bytes()).await.unwrap();
    let answer = until(&mut opened, "data: 1\n\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    siege.revoke().await;
    // What was on its way when the key ended is long read by then.
    for _ in 0..10 {
        until(&mut opened, "data: 1\n\n\r\n").await;
    }
    let mut again = hostile::connect(siege.address()).await;
    again.write_all(head(&siege, "/events").as_bytes()).await.unwrap();
    let answer = until(&mut again, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    let Some(bound) = traits.ends_event_stream else { return };
    let siege = Siege::lay(traits.start, &[bound]).await;
    let mut opened = hostile::connect(siege.address()).await;
    opened.write_all(head(&siege, "/events/silent").as_bytes()).await.unwrap();
    let answer = until(&mut opened, "data: 1\n\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    ends(opened).await;
}

/// Whoever never ends it is stopped by the suite's own patience.
async fn ends(mut opened: tokio::net::TcpStream) {
    let ended = tokio::time::timeout(Duration::from_secs(60), opened.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it is still open");
}

/// Reads until these bytes have come.
async fn until(stream: &mut tokio::net::TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.windows(end.len()).any(|window| window == end.as_bytes()) {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "it ends after {}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

pub async fn too_many_requests_are_429(traits: &Traits) {
    // Keystead has no limits yet. What its answer will be is known: `Denial::into_response_for_nginx` has the rule.
    let says = Says::status(traits.limited).header("x-auth-code", "RATE_LIMITED").header("retry-after", "7");
    let rehearsal = Rehearsal::set(traits.start, says).await;
    let answer = send(rehearsal.request(Method::POST, "/").bearer_auth("k").body("x")).await.expect(429);
    assert_eq!(answer.header("retry-after"), "7");
    assert_eq!(rehearsal.api.seen().len(), 0);
}

pub async fn keystead_is_asked_for_nothing_but_the_key_and_over_kept_connections(traits: &Traits) {
    let rehearsal = Rehearsal::set(traits.start, Says::status(401)).await;
    for number in 0..20 {
        let mut asking = rehearsal.request(Method::POST, "/orders?page=2").bearer_auth("k").header("cookie", "a=b");
        for hop in 0..number % 5 {
            asking = asking.header("x-forwarded-for", format!("6.6.6.{hop}"));
        }
        asking = asking.header("keystead-asker", "false").header("connection", "keystead-asker, x-key-id");
        send(asking.header("upgrade", "websocket").body("body")).await.expect(401);
    }
    // As they are: reqwest would resolve them.
    for path in ["/../../livez", "/%2e%2e/%2e%2e/livez", "/..%2f..%2flivez", "//livez", "/v1/forward-auth/../../livez"]
    {
        let host = rehearsal.gateway.address;
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer k\r\nConnection: close\r\n\r\n");
        let mut stream = hostile::connect(host).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    for (number, seen) in rehearsal.stand_in.seen().into_iter().enumerate() {
        assert!(matches!(&*seen.method, "GET" | "POST"), "{seen:?}");
        assert!(matches!(&*seen.path, "/v1/forward-auth" | "/v1/forward-auth/nginx"), "{seen:?}");
        assert!(seen.body.is_empty() && seen.all("cookie").is_empty(), "{seen:?}");
        for absent in ["transfer-encoding", "upgrade", "http2-settings"] {
            assert!(seen.all(absent).is_empty(), "{seen:?}");
        }
        assert_eq!(seen.all("keystead-asker"), ["gateway"], "{seen:?}");
        assert_eq!(seen.all("authorization"), ["Bearer k"]);
        if traits.asks_by_name {
            assert_eq!(seen.all("host"), [rehearsal.stand_in.address.to_string()]);
        }
        let told = seen.all("x-forwarded-for").join(",");
        let hops: Vec<&str> = told.split(',').map(str::trim).filter(|hop| !hop.is_empty()).collect();
        let sent: Vec<String> =
            (0..if number < 20 { number % 5 } else { 0 }).map(|hop| format!("6.6.6.{hop}")).collect();
        assert_eq!(
            hops,
            sent.iter().map(String::as_str).chain([CLIENT]).collect::<Vec<_>>(),
            "in order, the client last"
        );
    }
    let connections = rehearsal.stand_in.connections();
    assert!(connections <= 3 || !traits.keeps_connections, "{connections} connections");
    assert_eq!(rehearsal.api.seen().len(), 0);
}

pub async fn an_allowance_without_identity_lets_no_false_one_through(traits: &Traits) {
    let rehearsal = Rehearsal::set(traits.start, Says::status(200)).await;
    let answer = send(with_false_identity(rehearsal.request(Method::GET, "/")).bearer_auth("k")).await;
    assert!(matches!(answer.status, 200 | 503), "{}", answer.status);
    for seen in rehearsal.api.seen() {
        for name in IDENTITY {
            assert!(!seen.all(name).contains(&"false"), "{seen:?}");
        }
    }
}

pub async fn without_a_lease_it_is_503(traits: &Traits) {
    let scene = Scene::set_with(traits.start, |settings| settings.lease = "1".to_owned()).await;
    scene.keystead.execute("ALTER TABLE key_epoch RENAME TO hidden").await;
    while scene.ask(&scene.key.secret).await.status == 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let passed = scene.api.seen().len();
    let answer = scene.ask(&scene.key.secret).await.expect(503);
    if traits.hands_on_503 {
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.json()["code"], Value::from("NO_LEASE"));
    }
    assert_eq!(scene.api.seen().len(), passed);
}

pub async fn while_keystead_is_silent_nobody_passes(traits: &Traits) {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (api, gateway) = in_front_of(traits.start, &format!("http://{nobody}")).await;
    send(with_false_identity(request(&gateway, Method::GET, "/")).bearer_auth("k")).await.expect(traits.silent);
    assert_eq!(api.seen().len(), 0);

    let says = Says { after: Duration::from_secs(30), ..Says::status(200) };
    let rehearsal = Rehearsal::set(traits.start, says).await;
    let answer = send(rehearsal.request(Method::GET, "/").bearer_auth("k")).await;
    assert!(matches!(answer.status, 502..=504), "{}", answer.status);
    assert_eq!(rehearsal.api.seen().len(), 0);

    for status in [302, 500] {
        let rehearsal = Rehearsal::set(traits.start, Says::status(status)).await;
        let answer = send(rehearsal.request(Method::GET, "/").bearer_auth("k")).await;
        assert!(answer.status >= 300, "{status} became {}", answer.status);
        assert_eq!(rehearsal.api.seen().len(), 0);
    }
}

pub async fn an_address_on_https_is_not_believed_without_a_certificate(traits: &Traits) {
    let impostor = Recorder::start(Says::status(200).header("x-key-id", "key_false"));
    let (api, gateway) = in_front_of(traits.start, &format!("https://{}", impostor.address)).await;
    send(request(&gateway, Method::GET, "/").bearer_auth("k")).await.expect(traits.silent);
    assert_eq!(api.seen().len(), 0);
    assert_eq!(impostor.seen().len(), 0);
}
