//! `/livez`, `/readyz` and `/readyz/pages`

use keystead::supervision::Part;

use crate::support::{TestApp, until};

#[tokio::test]
async fn a_running_server_is_alive_and_ready() {
    let app = TestApp::start().await;
    until("pages are ready", async || app.anonymous().get("/readyz/pages").await.status == 200).await;
    for path in ["/livez", "/readyz"] {
        let answer = app.anonymous().get(path).await.expect(200);
        assert_eq!(answer.json(), serde_json::json!({ "status": "ok" }), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_server_about_to_stop_is_alive_and_not_ready() {
    let app = TestApp::start().await;
    app.site.drain();
    app.anonymous().get("/livez").await.expect(200);
    let answer = app.anonymous().get("/readyz").await.expect(503);
    assert_eq!(answer.json()["status"], "stopping");
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn without_its_tables_a_server_is_ready_for_verifications_and_not_for_people() {
    let app = TestApp::start().await;
    until("pages are ready", async || app.anonymous().get("/readyz/pages").await.status == 200).await;
    app.execute("DROP TABLE installation").await;
    app.anonymous().get("/livez").await.expect(200);
    app.anonymous().get("/readyz").await.expect(200);
    let answer = app.anonymous().get("/readyz/pages").await.expect(503);
    assert!(!answer.text().contains("installation"), "the database's own words are for the log");
}

#[tokio::test]
async fn what_keeps_a_server_from_being_ready_is_said() {
    let app = TestApp::start().await;
    app.site.supervision.make_fail(Part::Follower, true);
    until("it fails", async || app.site.supervision.restarts(Part::Follower) > 0).await;
    for path in ["/readyz", "/readyz/pages"] {
        let answer = app.anonymous().get(path).await.expect(503).json();
        assert!(answer["status"].as_str().unwrap().contains("failed; reading every key again"), "{answer}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_as_problems() {
    let app = TestApp::start().await;
    for path in ["/livez", "/readyz", "/readyz/pages"] {
        let refused = app.anonymous().post(path, &[]).await.expect(405);
        assert_eq!(refused.problem()["code"], "method_not_allowed");
        assert_eq!(refused.header("allow"), "GET");
    }
}
