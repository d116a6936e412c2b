//! What verifications leave behind: counts and the last use, written within seconds and before the end.

use keystead::actions::read_metrics::read_metrics;
use reqwest::Client;
use serde_json::json;

use crate::support::{Binary, Person, TestApp, until};

const PAGE: &str = "/settings/integrations";

/// Asks about a key as a gateway does, so many times.
async fn verify(base: &str, secret: &str, times: usize) {
    for _ in 0..times {
        let request = Client::new().post(format!("{base}/v1/keys/verify")).header("user-agent", "acme-gateway/1.0");
        let request = request.header("x-forwarded-for", "198.51.100.7, 203.0.113.80");
        request.json(&json!({ "key": secret })).send().await.unwrap().error_for_status().unwrap();
    }
}

/// What the page says of its only key's requests, once it says so.
async fn wait_for_requests(maya: &Person, expected: &str) {
    until(expected, async || {
        maya.get(PAGE).await.expect(200).one("td[data-label='30-day requests']").contains(expected)
    })
    .await;
}

#[tokio::test]
async fn verifications_show_on_the_page_and_from_where_they_came() {
    let app = TestApp::start_with(|settings| settings.trusted_proxies = "127.0.0.1".to_owned()).await;
    let maya = app.admin().await;
    let old = maya.create_key("Production").await;
    verify(&app.base(), &old.secret, 5).await;
    wait_for_requests(&maya, "5").await;
    let last = maya.get(PAGE).await.attribute("td[data-label='Last used'] time", "title");
    assert!(last.contains("203.0.113.80"), "{last}");

    // Those who come with the old key are counted, apart.
    maya.rotate(&old).await;
    verify(&app.base(), &old.secret, 3).await;
    wait_for_requests(&maya, "8").await;
    assert_eq!(app.count("key_usage_open WHERE code = 'VALID' AND count = 5").await, 1);
    assert_eq!(app.count("key_usage_open WHERE code = 'ROTATED' AND count = 3").await, 1);
    assert_eq!(app.count("key_usage_open WHERE user_agent = 'acme-gateway/1.0'").await, 2);
}

#[tokio::test]
async fn nobody_who_is_not_trusted_says_from_where_they_came() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    verify(&app.base(), &key.secret, 1).await;
    wait_for_requests(&maya, "1").await;
    assert_eq!(app.count("key_usage_open WHERE address = '127.0.0.1'").await, 1);
}

#[tokio::test]
async fn what_could_not_be_written_is_written_later_and_once() {
    let app = TestApp::start_with(|settings| settings.metrics_listen = "127.0.0.1:0".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    app.execute("ALTER TABLE key_usage_open RENAME TO hidden").await;
    verify(&app.base(), &key.secret, 4).await;
    const FAILED: &str = "keystead_usage_flushes_total{result=\"error\"} ";
    until("writing fails", async || {
        let metrics = read_metrics(&app.site).unwrap();
        metrics.lines().filter_map(|line| line.strip_prefix(FAILED)).any(|count| count != "0")
    })
    .await;
    verify(&app.base(), &key.secret, 2).await;
    app.execute("ALTER TABLE hidden RENAME TO key_usage_open").await;
    wait_for_requests(&maya, "6").await;
    assert_eq!(app.count("key_usage_open WHERE count = 6").await, 1);
}

#[tokio::test]
async fn the_last_second_is_written_before_the_end() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    verify(&server.base, &key.secret, 7).await;
    server.stop().succeeded();
    let server = keystead.serve();
    let again = server.anonymous();
    again.sign_in("maya@acme.example", crate::support::PASSWORD).await;
    wait_for_requests(&again, "7").await;
}
