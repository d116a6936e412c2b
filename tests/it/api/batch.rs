//! `POST /v1/keys/verify` with many keys

use std::{fmt::Write, time::Duration};

use chrono::TimeDelta;
use keystead::{
    actions::verify_keys::verify_keys,
    domain::secret::{KeyPrefix, Secret},
    key_index::Caller,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const VERIFY: &str = "/v1/keys/verify";

async fn ask(app: &TestApp, body: impl Into<reqwest::Body>) -> Answer {
    let program = app.anonymous();
    let request = program.bare_request(Method::POST, VERIFY).header("content-type", "application/json").body(body);
    program.send(request).await
}

/// The codes for these keys, in their order.
async fn codes(app: &TestApp, keys: &[&str]) -> Vec<String> {
    let answer = ask(app, json!({ "keys": keys }).to_string()).await.expect(200).json();
    let results = answer["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| {
            let code = result["code"].as_str().unwrap();
            assert_eq!(result["valid"], code == "VALID");
            code.to_owned()
        })
        .collect()
}

fn never_seen() -> String {
    Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap().expose().to_owned()
}

#[tokio::test]
async fn each_key_is_answered_as_if_it_were_alone_and_in_its_place() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let good = maya.create_key("Good").await;
    let rotated = maya.create_key("Rotated").await;
    let fresh = maya.rotate(&rotated).await;
    let revoked = maya.create_key("Revoked").await;
    maya.revoke(&revoked).await;
    let foreign = app.admin_of_another_organization().await.create_key("Foreign").await;
    let unknown = never_seen();
    let keys = [
        &*good.secret,
        &revoked.secret,
        "nonsense",
        &unknown,
        &rotated.secret,
        &good.secret,
        "",
        &fresh.secret,
        &foreign.secret,
        "ключ",
        &good.secret,
    ];
    let answer = ask(&app, json!({ "keys": keys }).to_string()).await.expect(200);
    let mut alone = Vec::new();
    for key in keys {
        alone.push(app.ask_about(key).await.expect(200).json());
    }
    assert_eq!(answer.json(), json!({ "results": alone }));
    let expected = [
        "VALID",
        "REVOKED",
        "MALFORMED",
        "NOT_FOUND",
        "ROTATED",
        "VALID",
        "MALFORMED",
        "VALID",
        "VALID",
        "MALFORMED",
        "VALID",
    ];
    assert_eq!(codes(&app, &keys).await, expected);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    for key in keys.iter().filter(|key| key.len() > 8) {
        assert!(!answer.text().contains(key), "{key} is repeated");
    }
}

#[tokio::test]
async fn nothing_is_answered_with_nothing() {
    let app = TestApp::start().await;
    assert_eq!(ask(&app, r#"{"keys": []}"#).await.expect(200).json(), json!({ "results": [] }));
}

#[tokio::test]
async fn a_thousand_keys_are_answered_and_one_more_is_too_many() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let mut keys = vec!["x"; 1_000];
    keys[0] = &key.secret;
    keys[999] = &key.secret;
    let told = codes(&app, &keys).await;
    assert_eq!(told.len(), 1_000);
    assert_eq!((&*told[0], &*told[1], &*told[999]), ("VALID", "MALFORMED", "VALID"));
    keys.push("x");
    let refused = ask(&app, json!({ "keys": keys }).to_string()).await.expect(400);
    assert_eq!(refused.problem()["code"], "bad_request");
    assert!(refused.problem()["detail"].as_str().unwrap().contains("1,000"), "{}", refused.text());
    // As many as a body holds.
    ask(&app, format!(r#"{{"keys":["x"{}]}}"#, r#","x""#.repeat(30_000))).await.expect(400);
}

#[tokio::test]
async fn a_thousand_of_the_longest_keys_fit_into_a_body() {
    let app = TestApp::start().await;
    let prefix = KeyPrefix::parse("acme0123456789ab_staging1_eu000001").unwrap();
    let longest = Secret::generate(&prefix).unwrap();
    let told = codes(&app, &vec![longest.expose(); 1_000]).await;
    assert!(told.iter().all(|code| code == "NOT_FOUND"));
    let blank = format!("{{\"keys\":[\"x\"]{}}}", " ".repeat(128 * 1024));
    assert_eq!(ask(&app, blank).await.expect(413).problem()["code"], "payload_too_large");
}

#[tokio::test]
async fn escapes_are_read() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let escaped = key.secret.chars().fold(String::new(), |mut text, c| {
        write!(text, "\\u{:04x}", u32::from(c)).unwrap();
        text
    });
    let body = format!(r#"{{"\u006beys": ["{escaped}", "{}"]}}"#, key.secret);
    let answer = ask(&app, body).await.expect(200).json();
    assert!(answer["results"].as_array().unwrap().iter().all(|result| result["code"] == "VALID"), "{answer}");
}

#[tokio::test]
async fn a_question_that_cannot_be_read_is_a_problem_as_a_whole_and_not_repeated() {
    let app = TestApp::start().await;
    let secret = app.admin().await.create_key("Production").await.secret;
    let deep = |open: &str, close: &str| format!("{}\"{secret}\"{}", open.repeat(10_000), close.repeat(10_000));
    for body in [
        format!(r#"{{"keys": "{secret}"}}"#),
        format!(r#"{{"keys": {{"{secret}": 1}}}}"#),
        format!(r#"{{"keys": ["{secret}", 1]}}"#),
        format!(r#"{{"keys": ["{secret}", null]}}"#),
        format!(r#"{{"keys": ["{secret}", ["{secret}"]]}}"#),
        format!(r#"{{"keys": ["{secret}", {{"key": "{secret}"}}]}}"#),
        format!(r#"{{"keys": ["{secret}",]}}"#),
        format!(r#"{{"keys": ["{secret}""#),
        format!(r#"{{"keys": ["{secret}"], "keys": ["{secret}"]}}"#),
        format!(r#"{{"keys": ["{secret}"], "key": "{secret}"}}"#),
        format!(r#"{{"key": "{secret}", "keys": []}}"#),
        format!(r#"{{"Keys": ["{secret}"]}}"#),
        format!(r#"{{"keys": {}}}"#, deep("[", "]")),
        format!(r#"{{"deep": {}}}"#, deep("{\"a\":", "}")),
        deep("[", "]"),
        r#"{"keys": null}"#.to_owned(),
        r#"{"keys": 1e999}"#.to_owned(),
        r#"{"keys": ["\uD800"]}"#.to_owned(),
    ] {
        let answer = ask(&app, body.clone()).await;
        assert_eq!(answer.status, 400, "{:.100}: {}", body, answer.text());
        assert_eq!(answer.problem()["code"], "bad_request");
        assert!(!answer.text().contains(&secret), "{body:.100} is repeated");
    }
    assert_eq!(app.verify(&secret).await, "VALID");
}

#[tokio::test]
async fn further_members_are_ignored_however_deep_they_are() {
    let app = TestApp::start().await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let answer = ask(&app, format!(r#"{{"deep": {deep}, "keys": ["x"], "key_id": 1}}"#)).await.expect(200);
    assert_eq!(answer.json(), json!({ "results": [{ "valid": false, "code": "MALFORMED" }] }));
}

#[tokio::test]
async fn without_a_lease_no_key_is_answered() {
    let app = TestApp::start_with(|settings| settings.lease = "300".to_owned()).await;
    let key = app.admin().await.create_key("Production").await;
    app.execute("ALTER TABLE key_epoch RENAME TO hidden").await;
    app.clock.pass(TimeDelta::seconds(300));
    let answer = ask(&app, json!({ "keys": [key.secret, "x"] }).to_string()).await.expect(503);
    assert_eq!(answer.problem()["code"], "no_lease");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.problem().get("results"), None::<&Value>);
}

#[tokio::test]
async fn a_batch_whose_node_is_paused_in_the_middle_tells_nothing_of_any_key() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let keys = vec![key.secret.as_str(); 100];
    let caller = || Caller { address: None, user_agent: None };
    assert!(verify_keys(&app.site.keys, &app.site.keys.index.read(), &keys, caller()).is_ok());
    app.clock.pause_this_thread_after(1, Duration::from_secs(3600));
    assert!(verify_keys(&app.site.keys, &app.site.keys.index.read(), &keys, caller()).is_err());
}
