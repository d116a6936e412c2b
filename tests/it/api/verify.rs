//! `POST /v1/keys/verify`

use chrono::TimeDelta;
use diesel::{QueryableByName, RunQueryDsl, sql_types::Binary};
use futures_util::future::join_all;
use keystead::{
    domain::secret::{KeyPrefix, PresentedKey, Secret},
    store::StoreError,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const VERIFY: &str = "/v1/keys/verify";

async fn ask_with(app: &TestApp, body: impl Into<reqwest::Body>) -> Answer {
    let program = app.anonymous();
    let request = program.bare_request(Method::POST, VERIFY).header("content-type", "application/json").body(body);
    program.send(request).await
}

fn never_seen() -> String {
    Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap().expose().to_owned()
}

#[tokio::test]
async fn a_good_key_tells_whose_it_is() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production <API> Key").await;
    let answer = app.ask_about(&key.secret).await.expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "valid": true,
            "code": "VALID",
            "key_id": key.id,
            "organization_id": key.organization_id,
            "name": "Production <API> Key",
        })
    );
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.text().contains(&key.secret));
}

#[tokio::test]
async fn a_rotated_and_a_revoked_key_say_which_key_they_were() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let old = maya.create_key("Production").await;
    let new = maya.rotate(&old).await;
    let told = app.ask_about(&old.secret).await.expect(200).json();
    assert_eq!((&told["valid"], &told["code"], &told["key_id"]), (&json!(false), &json!("ROTATED"), &json!(old.id)));
    maya.revoke(&new).await;
    let told = app.ask_about(&new.secret).await.expect(200).json();
    assert_eq!((&told["valid"], &told["code"], &told["key_id"]), (&json!(false), &json!("REVOKED"), &json!(old.id)));
}

#[tokio::test]
async fn an_unknown_key_is_not_found() {
    let app = TestApp::start().await;
    let answer = app.ask_about(&never_seen()).await.expect(200);
    assert_eq!(answer.json(), json!({ "valid": false, "code": "NOT_FOUND" }));
}

#[tokio::test]
async fn what_cannot_be_a_key_is_malformed() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let secret = &key.secret;
    let checksum_wrong = format!("{}{}", &secret[..secret.len() - 1], if secret.ends_with('0') { '1' } else { '0' });
    for text in [
        "",
        " ",
        "x",
        &checksum_wrong,
        &secret.replace("_live_", "_test_"),
        &secret.to_uppercase(),
        &format!(" {secret}"),
        &format!("{secret}\n"),
        &format!("{secret}\0"),
        &format!("Bearer {secret}"),
        &secret.replace("talvin", "tаlvin"),
        &"a".repeat(10_000),
        "' OR 1=1 --",
        "\u{202E}",
    ] {
        let answer = app.ask_about(text).await.expect(200);
        assert_eq!(answer.json(), json!({ "valid": false, "code": "MALFORMED" }), "{text}");
    }
}

#[tokio::test]
async fn keys_of_another_prefix_that_were_given_out_still_work() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    assert!(key.secret.starts_with("talvin_live_"));
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

#[tokio::test]
async fn a_stored_digest_is_no_key_in_any_form() {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        digest: Vec<u8>,
    }

    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let read = app
        .site
        .db
        .read::<_, StoreError>(|conn| Ok(diesel::sql_query("SELECT digest FROM key_secrets").get_result::<Row>(conn)?));
    let digest = read.await.unwrap().digest;
    assert_eq!(digest, app.site.keys.pepper.digest(PresentedKey::parse(&key.secret).unwrap()).0);

    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let latin: String = digest.iter().map(|&byte| char::from(byte)).collect();
    let forms = [
        hex.clone(),
        hex.to_uppercase(),
        format!("0x{hex}"),
        format!("\\x{hex}"),
        base64(&digest, b"+/", true),
        base64(&digest, b"-_", false),
        latin,
        format!("talvin_live_{hex}"),
        format!("talvin_live_{}", &hex[..49]),
        format!("talvin_live_{}{}", base64(&digest, b"00", false), &key.secret[key.secret.len() - 6..]),
    ];
    for form in forms {
        assert_eq!(app.verify(&form).await, "MALFORMED", "{form}");
    }
}

fn base64(bytes: &[u8], last_two: &[u8; 2], padded: bool) -> String {
    let alphabet = [b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".as_slice(), last_two].concat();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for n in 0..=chunk.len() {
            text.push(char::from(alphabet[(bits >> (18 - 6 * n)) as usize & 63]));
        }
    }
    while padded && !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

#[tokio::test]
async fn a_digest_written_by_somebody_without_the_pepper_lets_nobody_in() {
    use sha2::{Digest, Sha256};
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let minted = never_seen();
    let plain: String = Sha256::digest(minted.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let literal = if app.database.is_postgres() { format!("'\\x{plain}'") } else { format!("X'{plain}'") };
    app.execute(&format!("INSERT INTO key_secrets VALUES ({literal}, 'apikey/v1', '{}', 0, NULL)", key.id)).await;
    assert_eq!(app.verify(&minted).await, "NOT_FOUND");
}

#[tokio::test]
async fn further_members_of_the_question_are_ignored() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let body = json!({ "key": key.secret, "tags": ["a"], "n": 1 }).to_string();
    assert_eq!(ask_with(&app, body).await.expect(200).json()["code"], "VALID");
}

#[tokio::test]
async fn a_byte_order_mark_before_the_question_is_passed_over() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let body = json!({ "key": key.secret }).to_string();
    assert_eq!(ask_with(&app, format!("\u{feff}{body}")).await.expect(200).json()["code"], "VALID");
    for refused in [format!("\u{feff}\u{feff}{body}"), format!("{body}\u{feff}"), "\u{feff}".to_owned()] {
        assert_eq!(ask_with(&app, refused).await.expect(400).problem()["code"], "bad_request");
    }
}

#[tokio::test]
async fn members_nested_without_end_exhaust_nothing() {
    let app = TestApp::start().await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 2000;
        let body = format!("{{\"key\":\"x\",\"deep\":{}1{}}}", open.repeat(depth), close.repeat(depth));
        let answer = ask_with(&app, body).await;
        assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    }
}

#[tokio::test]
async fn many_questions_at_once_are_all_answered() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let codes = join_all((0..200).map(|_| app.verify(&key.secret))).await;
    assert!(codes.iter().all(|code| code == "VALID"));
}

#[tokio::test]
async fn a_question_that_cannot_be_read_is_a_problem_and_not_repeated() {
    let app = TestApp::start().await;
    let secret = app.admin().await.create_key("Production").await.secret;
    let deep = format!("{{\"key\":{}\"{secret}\"{}}}", "[".repeat(5000), "]".repeat(5000));
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        secret.clone().into_bytes(),
        format!("\"{secret}\"").into_bytes(),
        format!("[\"{secret}\"]").into_bytes(),
        format!("[\"{secret}\",\"{secret}\"]").into_bytes(),
        format!("{{\"Key\":\"{secret}\"}}").into_bytes(),
        format!("{{\"key\":[\"{secret}\"]}}").into_bytes(),
        format!("{{\"key\":{{\"{secret}\":1}}}}").into_bytes(),
        b"{\"key\":1}".to_vec(),
        b"{\"key\":null}".to_vec(),
        b"{\"key\":true}".to_vec(),
        format!("{{\"key\":\"{secret}\",\"key\":\"{secret}\"}}").into_bytes(),
        format!("{{\"key\":\"x\",\"key\":\"{secret}\"}}").into_bytes(),
        format!("{{\"key\":\"{secret}\"}} {secret}").into_bytes(),
        format!("{{\"{secret}\":\"x\",}}").into_bytes(),
        format!("key={secret}").into_bytes(),
        b"{\"key\":\"\\uD800\"}".to_vec(),
        b"{\"key\":\"\xFF\xFE\"}".to_vec(),
        b"{\"key\":\"\xED\xA0\x80\"}".to_vec(),
        deep.into_bytes(),
    ];
    for body in bodies {
        let sent = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let answer = ask_with(&app, body).await.expect(400);
        assert_eq!(answer.problem()["code"], "bad_request", "{sent}");
        assert!(!answer.text().contains(&secret), "{sent} is repeated");
        assert!(!answer.all_headers().contains(&secret));
    }
}

#[tokio::test]
async fn a_question_in_another_format_is_a_problem() {
    let app = TestApp::start().await;
    let program = app.anonymous();
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("nonsense")] {
        let mut request = program.bare_request(Method::POST, VERIFY).body("{\"key\":\"x\"}");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = program.send(request).await.expect(415);
        assert!(answer.problem()["detail"].as_str().unwrap().contains("application/json"));
    }
}

#[tokio::test]
async fn a_question_of_more_than_128_kib_is_too_much() {
    let app = TestApp::start().await;
    let padded = |bytes: usize| format!("{{\"key\":\"x\",\"pad\":\"{}\"}}", "p".repeat(bytes));
    let fits = padded(128 * 1024 - padded(0).len());
    assert_eq!(fits.len(), 128 * 1024);
    ask_with(&app, fits).await.expect(200);
    for bytes in [128 * 1024, 1024 * 1024] {
        assert_eq!(ask_with(&app, padded(bytes)).await.expect(413).problem()["code"], "payload_too_large");
    }
    // Without a Content-Length the server must count.
    let head = format!("POST {VERIFY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    let chunks = format!("400\r\n{}\r\n", "p".repeat(1024)).repeat(140);
    let answer = app.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_key_in_the_address_is_not_looked_at() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production").await;
    let program = app.anonymous();
    let path = format!("{VERIFY}?key={}", key.secret);
    let answer = program.send(program.bare_request(Method::POST, &path)).await;
    assert!(matches!(answer.status, 400 | 415), "{}", answer.status);
    assert!(!answer.text().contains(&key.secret));
}

#[tokio::test]
async fn other_methods_and_addresses_are_problems() {
    let app = TestApp::start().await;
    let refused = app.anonymous().get(VERIFY).await.expect(405);
    assert_eq!(refused.problem()["code"], "method_not_allowed");
    assert_eq!(refused.header("allow"), "POST");
    for path in [
        "/v1",
        "/v1/",
        "/v1/keys",
        "/v1/keys/verify/",
        "/v1/nothing",
        "/v1/keys/%00",
        "//v1/keys/verify",
        "/readyz/",
        "//readyz/pages",
    ] {
        assert_eq!(app.anonymous().get(path).await.expect(404).problem()["code"], "not_found", "{path}");
    }
}

#[tokio::test]
async fn without_its_table_it_goes_on_from_memory_until_its_lease_ends_and_comes_back_by_itself() {
    let app = TestApp::start_with(|settings| settings.lease = "300".to_owned()).await;
    let key = app.admin().await.create_key("Production").await;
    app.execute("ALTER TABLE key_epoch RENAME TO hidden").await;
    assert_eq!(app.verify(&key.secret).await, "VALID");
    app.clock.pass(TimeDelta::seconds(300));
    let answer = app.ask_about(&key.secret).await.expect(503);
    let problem = answer.problem();
    assert_eq!(problem["code"], "no_lease");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(problem.get("valid"), None::<&Value>);
    assert!(!answer.text().contains("key_epoch"), "the database's own words are for the log");
    app.anonymous().get("/readyz").await.expect(503);
    app.execute("ALTER TABLE hidden RENAME TO key_epoch").await;
    app.ready().await;
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

#[tokio::test]
async fn snapshot_of_a_good_key() {
    let app = TestApp::start().await;
    let key = app.admin().await.create_key("Production API Key").await;
    crate::support::assert_snapshot(&app, "verify_valid", &app.ask_about(&key.secret).await);
}

#[tokio::test]
async fn snapshot_of_a_problem() {
    let app = TestApp::start().await;
    crate::support::assert_snapshot(&app, "verify_problem", &ask_with(&app, "{\"key\":1}").await);
}
