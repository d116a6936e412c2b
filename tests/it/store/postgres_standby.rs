//! A synchronous standby that is gone. It needs `TEST_DATABASE_URL`, and Postgres' programs.

use crate::{
    cluster::postgres::OwnPostgres,
    support::{TestApp, TestDatabase, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_synchronous_standby_is_gone_changes_are_made_all_the_same() {
    TestDatabase::postgres();
    let postgres = OwnPostgres::start();
    let url = postgres.url();
    let app = TestApp::start_on(TestDatabase::sqlite(), |settings| settings.database = url).await;
    let maya = app.admin().await;
    let first = maya.create_key("First").await;
    for sql in ["ALTER SYSTEM SET synchronous_standby_names = 'gone'", "SELECT pg_reload_conf()"] {
        let port = postgres.port();
        assert!(postgres.shell(&format!("psql -X -h 127.0.0.1 -p {port} -U postgres -c \"{sql}\"")), "{sql}");
    }
    let waits = || postgres.log().matches("canceling wait for synchronous replication").count();
    until("it counts", async || {
        app.lines("SELECT current_setting('synchronous_standby_names') AS line").await == ["gone"]
    })
    .await;
    // Its only secret does not depend on it.
    let second = maya.try_create_key("Second").await.expect(200).secret().expect("the key is shown");
    maya.revoke(&first).await.expect(303);
    let told = app.ask_about(&first.secret).await;
    assert!(told.status == 503 || told.json()["code"] == "REVOKED", "{}", told.text());
    assert!(waits() >= 2, "both waited for it: {}", postgres.log());
    for sql in ["ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"] {
        let port = postgres.port();
        assert!(postgres.shell(&format!("psql -X -h 127.0.0.1 -p {port} -U postgres -c \"{sql}\"")), "{sql}");
    }
    // It is not counted any more, and verification goes on by itself.
    until("the new key is known", async || app.ask_about(&second).await.text().contains("VALID")).await;
}
