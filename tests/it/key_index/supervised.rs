//! What becomes of a server whose follower or workers fail: a test makes them panic.

use keystead::supervision::Part;

use crate::support::{TestApp, until};

#[tokio::test]
async fn a_follower_that_fails_loses_the_lease_at_once_and_comes_back_by_itself() {
    // A lease that does not end during the test.
    let app = TestApp::start_with(|settings| settings.lease = "300".to_owned()).await;
    let maya = app.admin().await;
    let (living, revoked) = (maya.create_key("Living").await, maya.create_key("Revoked").await);
    let supervision = &app.site.supervision;

    supervision.make_fail(Part::Follower, true);
    until("it fails for the second time", async || supervision.restarts(Part::Follower) >= 2).await;
    app.ask_about(&living.secret).await.expect(503);
    let answer = app.anonymous().get("/readyz").await.expect(503);
    assert!(!answer.text().is_empty());

    // A revocation meanwhile waits: until the follower has it, no receipt says anything.
    let (app_of_it, sender) = (app.site.clone(), maya.clone());
    let revoking = tokio::spawn(async move { (sender.revoke(&revoked).await, revoked, app_of_it) });
    until("it is committed", async || app.count("api_keys WHERE revoked_at IS NOT NULL").await == 1).await;
    let failures = supervision.restarts(Part::Follower);
    until("it fails again", async || supervision.restarts(Part::Follower) > failures + 1).await;
    assert!(!revoking.is_finished(), "a receipt was given that nobody can know to be true");

    supervision.make_fail(Part::Follower, false);
    let (answer, revoked, _) = revoking.await.unwrap();
    assert_eq!(answer.status, 303);
    // The lease may take another look to come back; VALID it never is.
    assert_ne!(app.ask_about(&revoked.secret).await.json()["code"], "VALID");
    app.ready().await;
    assert_eq!(
        (app.verify(&revoked.secret).await, app.verify(&living.secret).await),
        ("REVOKED".into(), "VALID".into())
    );
    app.anonymous().get("/readyz").await.expect(200);
    let toast = maya.get("/settings/integrations").await.one("#toast-live .toast-body");
    assert!(toast.contains("Refused on 1 of 1 node after "), "{toast}");
}

#[tokio::test]
async fn while_the_follower_is_dead_a_receipt_waits_until_the_lease_is_certainly_over() {
    let app = TestApp::start_with(|settings| settings.lease = "1".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let supervision = &app.site.supervision;
    supervision.make_fail(Part::Follower, true);
    let begun = app.site.clock.since_boot();
    let revoked = maya.revoke(&key).await;
    assert!(app.site.clock.since_boot() - begun >= app.site.config.lease, "it was given before anybody could know");
    assert_eq!(revoked.status, 303);
    app.ask_about(&key.secret).await.expect(503);
    let toast = maya.get("/settings/integrations").await.one("#toast-live .toast-body");
    // The second one when the rows of the nodes could not be read in time.
    let says = ["until it can, it answers nobody", "those without this change answer nobody"];
    assert!(says.iter().any(|says| toast.contains(says)), "{toast}");
    supervision.make_fail(Part::Follower, false);
    app.ready().await;
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

#[tokio::test]
async fn workers_and_notifications_are_started_again() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let supervision = &app.site.supervision;
    supervision.make_fail(Part::FlushUsage, true);
    until("flushing fails", async || supervision.restarts(Part::FlushUsage) >= 2).await;
    app.verify(&key.secret).await;
    supervision.make_fail(Part::FlushUsage, false);
    until("usage is written", async || app.count("key_usage_open").await == 1).await;
    assert_eq!(supervision.restarts(Part::PurgeExpired) + supervision.restarts(Part::Follower), 0);
    if app.database.is_postgres() {
        supervision.make_fail(Part::Notifications, true);
        app.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE 'LISTEN%'",
        )
        .await;
        until("listening fails", async || supervision.restarts(Part::Notifications) >= 2).await;
        supervision.make_fail(Part::Notifications, false);
        let listens = "pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        until("it listens again", async || app.count(listens).await == 1).await;
    }
}
