//! Posts that come from elsewhere.

use reqwest::Method;

use crate::support::{Answer, Person, TestApp};

const KEYS: &str = "/settings/integrations/keys";

/// A post with an empty name: 422 says that it came through, 403 that it did not.
async fn post_from(person: &Person, site: Option<&str>, origin: Option<&str>) -> Answer {
    let mut request = person.bare_request(Method::POST, KEYS);
    if let Some(site) = site {
        request = request.header("sec-fetch-site", site);
    }
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    person.send(request.form(&[("name", ""), ("idem", &crate::support::form_token())])).await
}

#[tokio::test]
async fn every_combination_of_where_a_post_says_it_comes_from() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let port = app.address.port();
    let own = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("http://{host}:{port}"));
    let foreign = [
        "null".to_owned(),
        String::new(),
        "https://evil.example".to_owned(),
        format!("http://evil.example:{port}"),
        format!("https://localhost:{port}"),
        "http://localhost".to_owned(),
        format!("http://localhost:{}", port.wrapping_add(1)),
        format!("http://localhost:{port}.evil.example"),
        format!("http://127.0.0.2:{port}"),
        format!("http://localhost:{port}/"),
    ];
    for site in [None, Some("same-origin"), Some("same-site"), Some("cross-site"), Some("none"), Some("SAME-ORIGIN")] {
        let may_come = matches!(site, None | Some("same-origin"));
        for origin in &own {
            let expected = if may_come { 422 } else { 403 };
            assert_eq!(post_from(&maya, site, Some(origin)).await.status, expected, "{site:?} {origin}");
        }
        for origin in &foreign {
            assert_eq!(post_from(&maya, site, Some(origin)).await.status, 403, "{site:?} {origin}");
        }
        let expected = if site == Some("same-origin") { 422 } else { 403 };
        assert_eq!(post_from(&maya, site, None).await.status, expected, "{site:?} and no origin");
    }
}

#[tokio::test]
async fn every_post_route_refuses_other_sites_and_changes_nothing() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let (rotate, revoke) = (format!("{KEYS}/{}/rotate", key.id), format!("{KEYS}/{}/revoke", key.id));
    let idem = crate::support::form_token();
    let fields = [("name", "Evil"), ("idem", &idem), ("version", "1"), ("theme", "dark"), ("email", "a@b")];
    for path in [KEYS, &rotate, &revoke, "/sign-out", "/sign-in", "/theme", "/setup"] {
        for (site, origin) in [("cross-site", "https://evil.example"), ("same-site", "http://evil.localhost")] {
            let request = maya.bare_request(Method::POST, path).header("sec-fetch-site", site).header("origin", origin);
            let refused = maya.send(request.form(&fields)).await.expect(403);
            assert_eq!(refused.one("h1"), "Request refused", "{path}");
            assert_eq!(refused.header("set-cookie"), "", "{path}");
        }
    }
    assert!(maya.is_signed_in().await);
    assert_eq!(maya.listed().await, ["Production"]);
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

#[tokio::test]
async fn methods_that_change_nothing_may_come_from_anywhere() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let request = maya.bare_request(Method::GET, "/settings/integrations");
    let request = request.header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
    maya.send(request).await.expect(200);
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let request = maya.bare_request(method, KEYS).header("sec-fetch-site", "cross-site");
        maya.send(request).await.expect(403);
    }
}

#[tokio::test]
async fn a_program_without_a_session_needs_no_origin() {
    let app = TestApp::start().await;
    let program = app.anonymous();
    let request = program.bare_request(Method::POST, "/sign-in").form(&[("email", "a@b"), ("password", "x")]);
    program.send(request).await.expect(422);
    let anothers = program.bare_request(Method::POST, "/sign-in").header("cookie", "a=of-another-service-here");
    program.send(anothers.form(&[("email", "a@b"), ("password", "x")])).await.expect(422);
    let cookie = format!("a=1; {}=x", app.site.public_url.cookie_name("keystead"));
    let with_any_session = program.bare_request(Method::POST, "/sign-in").header("cookie", cookie);
    program.send(with_any_session.form(&[("email", "a@b"), ("password", "x")])).await.expect(403);
}

#[tokio::test]
async fn who_opened_the_site_at_another_address_is_told_what_to_set() {
    let app = TestApp::start_with(|settings| settings.public_url = "https://keys.example.com".into()).await;
    let visitor = app.anonymous();
    let here = format!("192.168.1.5:{}", app.address.port());
    let request = visitor.bare_request(Method::POST, "/sign-in").header("host", &here);
    let request = request.header("origin", format!("http://{here}")).header("sec-fetch-site", "same-origin");
    let refused = visitor.send(request.form(&[("email", "a@b")])).await.expect(403);
    assert_eq!(refused.one("h1"), "This site has another address");
    let said = refused.one(".lead");
    for words in [&*format!("KEYSTEAD_PUBLIC_URL=http://{here}"), "https://keys.example.com", "Nothing was changed."] {
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn with_a_public_url_no_loopback_name_is_the_site() {
    let app = TestApp::start_with(|settings| settings.public_url = "https://keys.example.com".into()).await;
    let visitor = app.anonymous();
    for origin in [app.base(), format!("http://localhost:{}", app.address.port())] {
        let request = visitor.bare_request(Method::POST, "/sign-in").header("origin", &origin);
        visitor.send(request.form(&[("email", "a@b")])).await.expect(403);
    }
    visitor.try_sign_in("a@b", "x").await.expect(422);
}

#[tokio::test]
async fn a_page_elsewhere_that_names_our_host_is_not_told_how_to_open_us_up() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let request = maya.bare_request(Method::POST, KEYS).header("host", "evil.example");
    let request = request.header("origin", "http://evil.example").header("sec-fetch-site", "cross-site");
    let refused = maya.send(request.form(&[("name", "x")])).await.expect(403);
    assert!(!refused.text().contains("KEYSTEAD_PUBLIC_URL"));
}

#[tokio::test]
async fn a_header_that_comes_twice_tells_nothing() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let own = app.base();
    for (name, values) in [
        ("sec-fetch-site", ["same-origin", "cross-site"]),
        ("sec-fetch-site", ["same-origin", "same-origin"]),
        ("origin", [&*own, "https://evil.example"]),
        ("origin", [&*own, &*own]),
    ] {
        let mut request = maya.bare_request(Method::POST, KEYS);
        for value in values {
            request = request.header(name, value);
        }
        maya.send(request.form(&[("name", ""), ("idem", &crate::support::form_token())])).await.expect(403);
    }
}

#[tokio::test]
async fn under_a_name_that_is_not_ours_there_is_no_page() {
    let app = TestApp::start_with(|settings| settings.public_url = "https://keys.example.com".to_owned()).await;
    let visitor = app.anonymous();
    let under = |method: Method, path: &'static str, host: &'static str| {
        visitor.send(visitor.request(method, path).header("host", host))
    };
    for host in
        ["keys.example.com", "keys.example.com:443", "KEYS.EXAMPLE.COM", "keystead:8080", "10.0.0.7", "[::1]:80"]
    {
        under(Method::GET, "/sign-in", host).await.expect(200);
    }
    for host in ["evil.example", "evil.example:8080", "keys.example.com.evil.example"] {
        for (method, path) in [(Method::GET, "/sign-in"), (Method::GET, "/"), (Method::POST, "/theme")] {
            let refused = under(method, path, host).await.expect(421);
            assert_eq!(refused.one("h1"), "This site has another address");
            assert!(refused.one(".lead").contains("https://keys.example.com"), "{}", refused.text());
        }
        // Programs, gateways and health checks call us as they like.
        under(Method::GET, "/livez", host).await.expect(200);
        under(Method::GET, "/readyz", host).await.expect(200);
        under(Method::GET, "/v1/forward-auth", host).await.expect(401);
    }
}

#[tokio::test]
async fn a_trusted_proxy_may_call_us_as_it_likes() {
    let app = TestApp::start_with(|settings| {
        settings.public_url = "https://keys.example.com".to_owned();
        settings.trusted_proxies = "localhost".to_owned();
    })
    .await;
    let visitor = app.anonymous();
    let request = visitor.request(Method::GET, "/sign-in").header("host", "keystead.internal.example:8080");
    visitor.send(request).await.expect(200);
}

#[tokio::test]
async fn while_it_is_not_known_what_we_are_called_every_name_is_good() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    visitor.send(visitor.request(Method::GET, "/sign-in").header("host", "keys.example.com")).await.expect(200);
}

#[tokio::test]
async fn a_browser_that_verifies_for_a_page_elsewhere_is_refused() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let program = app.anonymous();
    let ask = |origins: Vec<String>| {
        let mut request = program.bare_request(Method::POST, "/v1/keys/verify");
        for origin in origins {
            request = request.header("origin", origin);
        }
        program.send(request.json(&serde_json::json!({ "key": key.secret })))
    };
    let evil = "http://evil.example:8080".to_owned();
    for origins in [vec![evil.clone()], vec!["null".to_owned()], vec![app.base(), evil]] {
        let refused = ask(origins).await.expect(403);
        assert_eq!(refused.problem()["code"], "cross_site");
    }
    ask(vec![]).await.expect(200);
    ask(vec![app.base()]).await.expect(200);
}
