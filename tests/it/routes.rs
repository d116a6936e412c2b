//! What holds for every address: methods, sizes, sessions, headers and the shape of refusals.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::support::{Answer, Key, Person, TestApp};

/// Every address of the pages, and what it takes besides HEAD.
const PAGES: [(&str, &[&str]); 13] = [
    ("/", &["GET"]),
    ("/sign-in", &["GET", "POST"]),
    ("/setup", &["GET", "POST"]),
    ("/theme", &["POST"]),
    ("/sign-out", &["POST"]),
    ("/settings", &["GET"]),
    ("/settings/integrations", &["GET"]),
    ("/settings/integrations/keys", &["GET", "POST"]),
    ("/settings/integrations/keys/new", &["GET"]),
    ("/settings/integrations/keys/{id}/rotate", &["GET", "POST"]),
    ("/settings/integrations/keys/{id}/revoke", &["GET", "POST"]),
    ("/settings/integrations/keys/{id}/revoking", &["GET"]),
    ("/settings/integrations/changes/1-00000000000000000000000000000001", &["GET"]),
];

/// Every address for programs and browsers' loaders.
const OTHERS: [(&str, &[&str]); 5] = [
    ("/livez", &["GET"]),
    ("/readyz", &["GET"]),
    ("/readyz/pages", &["GET"]),
    ("/v1/keys/verify", &["POST"]),
    ("{app.css}", &["GET"]),
];

fn path(route: &str, key: &Key) -> String {
    route.replace("{id}", &key.id).replace("{app.css}", &keystead::web::assets::url("app.css"))
}

async fn app_with_key() -> (TestApp, Person, Key) {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    (app, maya, key)
}

async fn with_body(person: &Person, path: &str, bytes: usize) -> Answer {
    let content_type = if path.starts_with("/v1/") { "application/json" } else { "application/x-www-form-urlencoded" };
    let request = person.request(Method::POST, path).header("content-type", content_type);
    person.send(request.body("x".repeat(bytes))).await
}

#[tokio::test]
async fn every_address_names_the_methods_it_takes_when_it_is_asked_with_another() {
    let (_app, maya, key) = app_with_key().await;
    for (route, takes) in PAGES.into_iter().chain(OTHERS) {
        let path = path(route, &key);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            if takes.contains(&method) {
                continue;
            }
            let answer = maya.send(maya.request(method.parse().unwrap(), &path)).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let allowed: BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
            let allowed: BTreeSet<&str> = allowed.into_iter().filter(|method| *method != "HEAD").collect();
            assert_eq!(allowed, takes.iter().copied().collect(), "{method} {path}");
            if path.starts_with("/v1/") || path == "/livez" || path.starts_with("/readyz") {
                assert_eq!(answer.problem()["code"], "method_not_allowed");
                let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
                assert_eq!(
                    detail,
                    format!("This endpoint answers {} only.", answer.header("allow")),
                    "{method} {path}"
                );
            } else if !path.starts_with("/static/") {
                assert_eq!(answer.one("h1"), "Wrong kind of request", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn whatever_answers_get_answers_head_without_a_body() {
    let (_app, maya, key) = app_with_key().await;
    for (route, takes) in PAGES.into_iter().chain(OTHERS) {
        let path = path(route, &key);
        let head = maya.send(maya.request(Method::HEAD, &path)).await;
        assert!(head.bytes.is_empty(), "{path}");
        if takes.contains(&"GET") {
            let get = maya.get(&path).await;
            assert_eq!(head.status, get.status, "{path}");
            assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        } else {
            assert_eq!(head.status, 405, "{path}");
        }
    }
}

#[tokio::test]
async fn every_post_takes_16_kib_and_no_more() {
    let (app, maya, key) = app_with_key().await;
    let posts = PAGES.into_iter().chain(OTHERS).filter(|(_, takes)| takes.contains(&"POST"));
    // A question may be of a thousand keys; it has a limit and a test of its own.
    for (route, _) in posts.filter(|(route, _)| *route != "/v1/keys/verify") {
        let path = path(route, &key);
        for bytes in [16 * 1024 + 1, 1024 * 1024] {
            let refused = with_body(&maya, &path, bytes).await;
            assert_eq!(refused.status, 413, "{bytes} bytes to {path}");
            let by_htmx = with_body(&maya.by_htmx(), &path, bytes).await;
            assert_eq!(by_htmx.status, 413, "{bytes} bytes to {path}");
        }
    }
    assert!(maya.is_signed_in().await);
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

#[tokio::test]
async fn without_a_session_every_address_of_the_settings_leads_to_sign_in() {
    let (app, maya, key) = app_with_key().await;
    let ended = app.anonymous();
    ended.set_cookie(&maya.cookies());
    maya.sign_out().await;
    let guarded = PAGES.iter().filter(|(route, _)| route.starts_with("/settings") || *route == "/sign-out");
    let unknown = [("/settings/nothing", ["GET", "POST"].as_slice())];
    for (person, was_signed_in) in [(app.anonymous(), false), (ended, true)] {
        for (route, takes) in guarded.clone().chain(&unknown) {
            let path = path(route, &key);
            for method in *takes {
                let method: Method = method.parse().unwrap();
                let answer = person.send(person.request(method.clone(), &path)).await.expect(303);
                let back = if method == Method::GET { &*path } else { "/settings/integrations" };
                let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", back).finish();
                // A post comes from a page that stood open, and so does htmx: there was a session.
                let ended = if was_signed_in || method != Method::GET { "&ended=1" } else { "" };
                assert_eq!(answer.header("location"), format!("/sign-in?{query}{ended}"), "{method} {path}");

                let htmx = person.by_htmx();
                let answer = htmx.send(htmx.request(method.clone(), &path)).await.expect(401);
                let location = "/sign-in?return_to=%2Fsettings%2Fintegrations&ended=1";
                assert_eq!(answer.header("hx-redirect"), location, "{method} {path}");
                assert!(answer.bytes.is_empty());
            }
        }
    }
    assert_eq!(app.verify(&key.secret).await, "VALID");
    assert_eq!(app.count("api_keys").await, 1);
}

#[track_caller]
fn assert_safe(answer: &Answer, what: &str) {
    let csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
               font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
               require-trusted-types-for 'script'; trusted-types htmx";
    assert_eq!(answer.header("content-security-policy"), csp, "{what}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    // A program has no windows to keep apart.
    let opener = if answer.header("content-type").starts_with("text/html") { "same-origin" } else { "" };
    assert_eq!(answer.header("cross-origin-opener-policy"), opener, "{what}");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{what}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    for feature in ["camera=()", "geolocation=()", "microphone=()"] {
        assert!(answer.header("permissions-policy").contains(feature), "{what}");
    }
    assert!(answer.header("x-request-id").starts_with("req_"), "{what}");
    assert_eq!(answer.header("server"), "", "{what}");
    assert_eq!(answer.headers.get_all("content-security-policy").iter().count(), 1, "{what}");
}

#[tokio::test]
async fn every_kind_of_answer_carries_the_security_headers() {
    let (app, maya, key) = app_with_key().await;
    let keys = "/settings/integrations/keys";
    let mut answers = vec![
        ("200 page", maya.get("/settings/integrations").await.expect(200)),
        ("200 fragment", maya.by_htmx().get(keys).await.expect(200)),
        ("200 key", maya.try_create_key("Another").await.expect(200)),
        ("303", maya.get("/").await.expect(303)),
        ("303 to sign-in", app.anonymous().get("/settings").await.expect(303)),
        ("400", maya.post_raw("/theme", "theme=a&theme=b").await.expect(400)),
        ("401", app.anonymous().by_htmx().get("/settings").await.expect(401)),
        ("403", maya.send(maya.bare_request(Method::POST, keys)).await.expect(403)),
        ("404 page", maya.get("/nowhere").await.expect(404)),
        ("404 in the settings", maya.get("/settings/nowhere").await.expect(404)),
        ("404 toast", maya.by_htmx().get(&format!("{keys}/x/rotate")).await.expect(404)),
        ("404 problem", maya.get("/v1/nothing").await.expect(404)),
        ("404 file", maya.get("/static/0/nothing.css").await.expect(404)),
        ("405 page", maya.post("/", &[]).await.expect(405)),
        ("405 problem", maya.post("/livez", &[]).await.expect(405)),
        ("409", maya.try_rotate(&key.id, 9).await.expect(409)),
        ("413", with_body(&maya, "/theme", 20_000).await.expect(413)),
        ("415", maya.send(maya.request(Method::POST, "/theme").body("x")).await.expect(415)),
        ("422", maya.try_create_key("").await.expect(422)),
        ("verify", app.ask_about(&key.secret).await.expect(200)),
        ("verify 400", with_body(&maya, "/v1/keys/verify", 1).await.expect(400)),
        ("livez", maya.get("/livez").await.expect(200)),
        ("sign-in", app.anonymous().get("/sign-in").await.expect(200)),
    ];
    app.execute("ALTER TABLE api_keys RENAME TO hidden").await;
    app.execute("ALTER TABLE installation RENAME TO hidden_too").await;
    answers.push(("503 page", maya.get("/settings/integrations").await.expect(503)));
    answers.push(("503 htmx", maya.by_htmx().get(&format!("{keys}/new")).await));
    answers.push(("503 problem", maya.get("/readyz/pages").await.expect(503)));
    for (what, answer) in &answers {
        assert_safe(answer, what);
        assert_eq!(answer.header("cache-control"), "no-store", "{what}");
        // No script reads an answer to a verification.
        if !what.starts_with("verify") {
            let mark = answer.header("keystead-answer");
            assert!(mark == "ok" || answer.status >= 400 && !mark.is_empty(), "{what}: {mark}");
        }
        assert_eq!(answer.header("strict-transport-security"), "", "{what}: not on plain http");
    }
    let file = maya.get(&keystead::web::assets::url("app.css")).await.expect(200);
    assert_safe(&file, "a static file");
}

#[tokio::test]
async fn a_fault_of_ours_says_so_with_its_request_id_and_without_the_databases_words() {
    let (app, maya, key) = app_with_key().await;
    app.execute("ALTER TABLE api_keys RENAME TO hidden").await;
    let page = maya.get("/settings/integrations").await.expect(503);
    assert!(page.one(".lead").starts_with(keystead::middleware::failure::NOTHING_CHANGED));
    assert_eq!(page.one(".request-id code"), page.header("x-request-id"));
    assert_eq!(page.header("retry-after"), "5");
    for answer in [page, maya.by_htmx().try_create_key("x").await.expect(503), app.ask_about(&key.secret).await] {
        for word in ["api_keys", "table", "SELECT", "relation", "sqlite"] {
            assert!(!answer.text().contains(word), "{word} in {}", answer.text());
        }
    }
    let form = maya.try_create_key("Typed with care").await.expect(503);
    assert_eq!(form.field("name"), "Typed with care", "what was typed is kept");
    assert!(form.alert().starts_with(keystead::middleware::failure::NOTHING_CHANGED));
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_a_page_with_a_way_out() {
    let (_app, maya, _key) = app_with_key().await;
    for path in [
        "/nowhere",
        "/blitz",
        "/settings/jazz",
        "/settings/integrations/",
        "/settings/integrations/keys/",
        "/settings/integrations/keys/x",
        "/%00",
        "/%FF",
        "/static/",
        "/static/x",
        "/static/x/../../Cargo.toml",
        "/static/x/..%2f..%2fCargo.toml",
        "/.git/config",
    ] {
        let page = maya.get(path).await.expect(404);
        assert!(page.is_page(), "{path}: {}", page.text());
        assert_eq!(page.attribute("main a.primary", "href"), "/settings/integrations", "{path}");
    }
}

#[tokio::test]
async fn odd_requests_get_an_answer_and_the_server_lives_on() {
    let app = TestApp::start().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    for request in [
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET //evil.example/%2e%2e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: x\r\nCookie: \x01\r\n\r\n",
        &long,
    ] {
        let answer = app.raw(request.as_bytes()).await;
        let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(400);
        assert!((200..500).contains(&status) || status == 505, "{request:.60}: {answer:.200}");
    }
    app.anonymous().get("/livez").await.expect(200);
}

#[tokio::test]
async fn cookies_that_are_no_text_are_no_cookies() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    let mut cookies = app.site.public_url.cookie_name("keystead").into_bytes();
    cookies.extend_from_slice(b"=\xFF\xFE; theme=\x80");
    let request = visitor.request(Method::GET, "/sign-in").header("cookie", cookies.as_slice());
    visitor.send(request).await.expect(200);
}

#[tokio::test]
async fn static_files_come_compressed_as_the_browser_likes_and_are_kept_for_ever() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    let url = keystead::web::assets::url("app.css");
    let source = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/static/app.css")).unwrap();
    for (accepts, encoding) in [
        ("br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("identity", ""),
        ("", ""),
        ("zstd", ""),
    ] {
        let file =
            visitor.send(visitor.request(Method::GET, &url).header("accept-encoding", accepts)).await.expect(200);
        assert_eq!(file.header("content-encoding"), encoding, "{accepts:?}");
        assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(file.header("content-type"), "text/css; charset=utf-8");
        assert_eq!(file.header("vary").to_ascii_lowercase(), "accept-encoding");
        match encoding {
            "" => assert_eq!(file.bytes, source),
            "br" => {
                let mut plain = Vec::new();
                brotli::BrotliDecompress(&mut &file.bytes[..], &mut plain).unwrap();
                assert_eq!(plain, source);
            }
            _ => assert!(file.bytes.starts_with(&[0x1F, 0x8B]) && file.bytes.len() < source.len() / 2),
        }
    }
    let plain = visitor.get(&url).await.expect(200);
    assert_eq!(plain.header("content-encoding"), "");
}

#[tokio::test]
async fn every_file_the_pages_name_is_there_with_its_type() {
    let (_app, maya, _key) = app_with_key().await;
    let page = maya.get("/settings/integrations").await;
    let mut files = page.attributes("link", "href");
    files.extend(page.attributes("script", "src"));
    files.extend(page.attributes("use", "href").into_iter().map(|url| url.split('#').next().unwrap().to_owned()));
    assert!(files.len() > 10);
    for url in BTreeSet::from_iter(files) {
        let file = maya.get(&url).await.expect(200);
        let expected = match url.rsplit('.').next().unwrap() {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            "woff2" => "font/woff2",
            other => panic!("{other}"),
        };
        assert_eq!(file.header("content-type"), expected, "{url}");
    }
}

#[tokio::test]
async fn a_file_of_another_version_is_served_but_not_kept() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    let file = visitor.get("/static/0123456789abcdef/app.css").await.expect(200);
    assert_eq!(file.header("cache-control"), "no-cache");
    visitor.get("/static/0123456789abcdef/nothing.css").await.expect(404);
}

#[tokio::test]
async fn a_compressed_body_is_refused_before_it_is_inflated() {
    let app = TestApp::start().await;
    let nobody = app.anonymous();
    for coding in ["br", "gzip", "deflate", "br, gzip", "zstd"] {
        for path in ["/v1/keys/verify", "/sign-in", "/setup", "/theme"] {
            let request = nobody.request(reqwest::Method::POST, path).header("content-encoding", coding);
            let form = "application/x-www-form-urlencoded";
            let kind = if path.starts_with("/v1/") { "application/json" } else { form };
            let answer = nobody.send(request.header("content-type", kind).body("\u{1b}\u{0}")).await.expect(415);
            assert!(answer.text().contains("without Content-Encoding"), "{path} {coding}: {}", answer.text());
        }
    }
    let plain = nobody.request(reqwest::Method::POST, "/v1/keys/verify").header("content-encoding", "identity");
    nobody.send(plain.json(&serde_json::json!({ "key": "x" }))).await.expect(200);
}

#[tokio::test]
async fn a_gateways_question_is_403_at_every_other_address() {
    let app = TestApp::start_with(|settings| settings.metrics_listen = "127.0.0.1:0".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let nowhere =
        [("/nothing", ["GET"].as_slice()), ("/v1", &["GET"]), ("/v1/", &["GET"]), ("/v1/forward-authx", &["GET"])];
    for (route, _) in PAGES.into_iter().chain(OTHERS).chain(nowhere) {
        let path = path(route, &key);
        for method in ["GET", "HEAD", "POST", "PUT", "OPTIONS"] {
            let asking = maya.request(method.parse().unwrap(), &path).header("keystead-asker", "gateway");
            // Also where the method is not allowed.
            assert_eq!(maya.send(asking).await.status, 403, "{method} {path}");
        }
    }
    let verify = maya.request(Method::POST, "/v1/keys/verify").header("keystead-asker", "");
    let answer = maya.send(verify.json(&serde_json::json!({ "key": key.secret }))).await.expect(403);
    assert_eq!(answer.problem()["code"], "lost_question");
    let metrics = format!("http://{}/metrics", app.metrics_address.unwrap());
    let asking = reqwest::Client::new().get(metrics).header("keystead-asker", "gateway");
    assert_eq!(asking.send().await.unwrap().status(), 403);
    let asking = app.anonymous().bare_request(Method::GET, "/v1/forward-auth/x").bearer_auth(&key.secret);
    app.anonymous().send(asking.header("keystead-asker", "gateway")).await.expect(200);
}

#[tokio::test]
async fn programs_that_ask_at_a_wrong_address_are_told_the_right_ones() {
    let app = TestApp::start().await;
    let program = app.anonymous();
    for path in ["/v1", "/v1/", "/v1/keys", "/v1/keys/verify/", "/v1/nothing"] {
        let refused = program.get(path).await.expect(404);
        let detail = refused.problem()["detail"].as_str().unwrap().to_owned();
        for address in ["POST /v1/keys/verify", "/v1/forward-auth", "/livez", "/readyz", "/readyz/pages"] {
            assert!(detail.contains(address), "{path}: {detail}");
        }
        assert!(!detail.contains("address"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn on_plain_http_nothing_is_sent_that_a_browser_complains_of() {
    for (url, expected) in [("http://192.168.1.5:8080", ""), ("https://keys.example.com", "same-origin")] {
        let app = TestApp::start_with(|settings| settings.public_url = url.to_owned()).await;
        let page = app.anonymous().get("/sign-in").await.expect(200);
        assert_eq!(page.header("cross-origin-opener-policy"), expected, "{url}");
    }
}
