//! `/livez` and `/readyz`

use crate::support::TestApp;

#[tokio::test]
async fn a_running_server_is_alive_and_ready() {
    let app = TestApp::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = app.anonymous().get(path).await.expect(200);
        assert_eq!(answer.json(), serde_json::json!({ "status": "ok" }), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_server_about_to_stop_is_alive_and_not_ready() {
    let app = TestApp::start().await;
    app.app.drain();
    app.anonymous().get("/livez").await.expect(200);
    let answer = app.anonymous().get("/readyz").await.expect(503);
    assert_eq!(answer.json()["status"], "stopping");
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn without_its_tables_a_server_is_alive_and_not_ready() {
    let app = TestApp::start().await;
    app.execute("DROP TABLE installation").await;
    app.anonymous().get("/livez").await.expect(200);
    let answer = app.anonymous().get("/readyz").await.expect(503);
    assert!(!answer.text().contains("installation"), "the database's own words are for the log");
}

#[tokio::test]
async fn other_methods_are_refused_as_problems() {
    let app = TestApp::start().await;
    for path in ["/livez", "/readyz"] {
        let refused = app.anonymous().post(path, &[]).await.expect(405);
        assert_eq!(refused.problem()["code"], "method_not_allowed");
        assert_eq!(refused.header("allow"), "GET");
    }
}
