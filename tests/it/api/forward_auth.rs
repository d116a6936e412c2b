//! `/v1/forward-auth` and `/v1/forward-auth/nginx`

use chrono::TimeDelta;
use keystead::domain::secret::{KeyPrefix, Secret};
use percent_encoding::percent_decode_str;
use reqwest::Method;

use crate::support::{Answer, Key, TestApp};

const ASK: &str = "/v1/forward-auth";
const ASK_FOR_NGINX: &str = "/v1/forward-auth/nginx";

async fn ask(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Answer {
    let gateway = app.anonymous();
    let request = headers
        .iter()
        .fold(gateway.bare_request(Method::GET, path), |request, (name, value)| request.header(*name, *value));
    gateway.send(request).await
}

async fn app_with_key() -> (TestApp, Key) {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production API Key").await;
    (app, key)
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// Exactly 200, no body, and who calls.
#[track_caller]
fn assert_allowed(answer: &Answer, key: &Key, what: &str) {
    assert_eq!(answer.status, 200, "{what}");
    assert!(answer.bytes.is_empty(), "{what}");
    assert_eq!(answer.header("x-key-id"), key.id, "{what}");
    assert_eq!(answer.header("x-organization-id"), key.organization_id, "{what}");
    let name = percent_decode_str(answer.header("x-key-name")).decode_utf8().unwrap();
    assert_eq!(name, key.name, "{what}");
    assert_eq!(answer.header("x-key-scopes"), "-", "{what}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    for name in ["x-key-id", "x-organization-id", "x-key-name", "x-key-scopes"] {
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}, {what}");
    }
}

/// A problem document with this code and challenge, and nobody's identity.
#[track_caller]
fn assert_denied(answer: &Answer, status: u16, code: &str, challenge: &str) {
    assert_eq!(answer.status, status, "{code}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!((&problem["type"], &problem["code"]), (&"about:blank".into(), &code.into()));
    for text in ["title", "detail"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    assert_eq!(answer.header("www-authenticate"), challenge, "{code}");
    assert_eq!(answer.header("cache-control"), "no-store");
    for name in ["x-key-id", "x-organization-id", "x-key-name", "x-key-scopes"] {
        assert_eq!(answer.header(name), "", "{code}");
    }
}

const MISSING: &str = "Bearer realm=\"api\"";
const INVALID_TOKEN: &str = "Bearer realm=\"api\", error=\"invalid_token\"";
const INVALID_REQUEST: &str = "Bearer realm=\"api\", error=\"invalid_request\"";

#[tokio::test]
async fn a_good_key_is_200_without_a_body_and_with_every_identity_header() {
    let (app, key) = app_with_key().await;
    for path in [ASK, ASK_FOR_NGINX] {
        let answer = ask(&app, path, &[("authorization", &bearer(&key.secret))]).await;
        assert_allowed(&answer, &key, path);
        assert_eq!(answer.header("content-length"), "0", "Envoy and nginx count on it");
        assert_eq!(answer.header("x-auth-code"), "");
    }
}

#[tokio::test]
async fn any_method_and_any_path_behind_it_will_do() {
    let (app, key) = app_with_key().await;
    let gateway = app.anonymous();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        for tail in
            ["", "/", "/orders/7", "/nginx", "/nginx/", "/nginx/orders?a=b", "/%00%FF", "//x/../..", "?q", "/a?b=c"]
        {
            let request = gateway.bare_request(method.parse().unwrap(), &format!("{ASK}{tail}"));
            let answer = gateway.send(request.header("x-api-key", &key.secret)).await;
            assert_allowed(&answer, &key, &format!("{method} {tail}"));
        }
    }
}

#[tokio::test]
async fn either_header_carries_the_key_and_both_may_carry_the_same() {
    let (app, key) = app_with_key().await;
    let secret = &*key.secret;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer   ", "Bearer\t"] {
        let value = format!("{scheme} {secret}");
        assert_allowed(&ask(&app, ASK, &[("authorization", &value)]).await, &key, scheme);
    }
    assert_allowed(&ask(&app, ASK, &[("x-api-key", secret)]).await, &key, "X-API-Key");
    let both = [("authorization", &*bearer(secret)), ("x-api-key", secret)];
    assert_allowed(&ask(&app, ASK, &both).await, &key, "both");
    let basic = [("authorization", "Basic dTpw"), ("x-api-key", secret)];
    assert_allowed(&ask(&app, ASK, &basic).await, &key, "another scheme is somebody else's");
}

#[tokio::test]
async fn a_body_is_not_looked_at() {
    let (app, key) = app_with_key().await;
    let gateway = app.anonymous();
    for bytes in [0, 1, 100_000] {
        let request = gateway.bare_request(Method::POST, ASK).bearer_auth(&key.secret).body("x".repeat(bytes));
        assert_allowed(&gateway.send(request).await, &key, &format!("{bytes} bytes"));
    }
}

#[tokio::test]
async fn a_name_is_percent_encoded_into_its_header() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for name in ["Zürich <b> %", "a\"b,c;d=e", "本番 🔑", "X-Key-Id: key_x"] {
        let key = maya.create_key(name).await;
        assert_eq!(key.name, name);
        let answer = ask(&app, ASK, &[("x-api-key", &key.secret)]).await;
        assert_allowed(&answer, &key, name);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
        assert!(answer.header("x-key-name").chars().all(plain), "{}", answer.header("x-key-name"));
    }
}

#[tokio::test]
async fn a_key_in_the_query_or_in_the_path_is_no_key() {
    let (app, key) = app_with_key().await;
    let secret = &key.secret;
    for tail in ["?key=", "?api_key=", "?access_token=", "?authorization=Bearer%20", "?x-api-key=", "/"] {
        let answer = ask(&app, &format!("{ASK}{tail}{secret}"), &[]).await;
        assert_denied(&answer, 401, "MISSING", MISSING);
        assert!(!answer.text().contains(secret));
    }
    let answer = ask(&app, ASK, &[("cookie", &format!("api_key={secret}"))]).await;
    assert_denied(&answer, 401, "MISSING", MISSING);
}

#[tokio::test]
async fn what_is_no_good_key_is_401_and_says_why() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let old = maya.create_key("Production").await;
    let new = maya.rotate(&old).await;
    let revoked = maya.create_key("Revoked").await;
    maya.revoke(&revoked).await;
    let unknown = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap();
    assert_allowed(&ask(&app, ASK, &[("x-api-key", &new.secret)]).await, &new, "the new one");
    for (key, code) in [
        (&*old.secret, "ROTATED"),
        (&revoked.secret, "REVOKED"),
        (unknown.expose(), "NOT_FOUND"),
        ("nonsense", "MALFORMED"),
        ("", "MALFORMED"),
    ] {
        for path in [ASK, ASK_FOR_NGINX] {
            let answer = ask(&app, path, &[("authorization", &bearer(key))]).await;
            assert_denied(&answer, 401, code, INVALID_TOKEN);
            let told = if path == ASK { "" } else { code };
            assert_eq!(answer.header("x-auth-code"), told, "{path}");
            assert!(key.is_empty() || !answer.text().contains(key), "{key} is repeated");
        }
    }
    for headers in [&[][..], &[("authorization", "Basic dTpw")], &[("authorization", "Digest x")]] {
        assert_denied(&ask(&app, ASK, headers).await, 401, "MISSING", MISSING);
        let for_nginx = ask(&app, ASK_FOR_NGINX, headers).await;
        assert_denied(&for_nginx, 401, "MISSING", MISSING);
        assert_eq!(for_nginx.header("x-auth-code"), "MISSING");
    }
}

#[tokio::test]
async fn two_keys_are_refused_even_if_one_is_good() {
    let (app, key) = app_with_key().await;
    let (good, bad) = (bearer(&key.secret), bearer("nonsense"));
    for headers in [
        [("authorization", &*good), ("x-api-key", "nonsense")],
        [("authorization", &bad), ("x-api-key", &key.secret)],
        [("authorization", &good), ("authorization", &bad)],
        [("authorization", &good), ("authorization", &good)],
        [("authorization", "Basic dTpw"), ("authorization", &good)],
        [("x-api-key", &key.secret), ("x-api-key", "nonsense")],
        [("x-api-key", &key.secret), ("x-api-key", &key.secret)],
    ] {
        assert_denied(&ask(&app, ASK, &headers).await, 400, "INVALID_REQUEST", INVALID_REQUEST);
        let for_nginx = ask(&app, ASK_FOR_NGINX, &headers).await;
        assert_denied(&for_nginx, 403, "INVALID_REQUEST", INVALID_REQUEST);
        assert_eq!(for_nginx.header("x-auth-code"), "INVALID_REQUEST");
    }
}

#[tokio::test]
async fn without_a_lease_it_is_503_and_for_nginx_403() {
    let app = TestApp::start_with(|settings| settings.lease = "300".to_owned()).await;
    let key = app.admin().await.create_key("Production").await;
    app.execute("ALTER TABLE key_epoch RENAME TO hidden").await;
    app.clock.pass(TimeDelta::seconds(300));
    for key in [&*key.secret, "nonsense"] {
        let answer = ask(&app, ASK, &[("x-api-key", key)]).await;
        assert_denied(&answer, 503, "NO_LEASE", "");
        assert_eq!(answer.header("retry-after"), "1");
        let answer = ask(&app, ASK_FOR_NGINX, &[("x-api-key", key)]).await;
        assert_denied(&answer, 403, "NO_LEASE", "");
        assert_eq!((answer.header("retry-after"), answer.header("x-auth-code")), ("1", "NO_LEASE"));
    }
    app.execute("ALTER TABLE hidden RENAME TO key_epoch").await;
    app.ready().await;
    assert_allowed(&ask(&app, ASK, &[("x-api-key", &key.secret)]).await, &key, "with a lease");
}

#[tokio::test]
async fn a_server_about_to_stop_answers_and_closes() {
    let (app, key) = app_with_key().await;
    app.site.drain();
    let answer = ask(&app, ASK, &[("x-api-key", &key.secret)]).await;
    assert_allowed(&answer, &key, "draining");
    assert_eq!(answer.header("connection"), "close");
}
