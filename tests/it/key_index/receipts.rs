//! Receipts while the database does not say which nodes there are: none that was not heard of is taken for none at all.

use std::time::Duration;

use crate::support::{TestApp, until};

/// Another node, which never does anything.
fn another(lease: Duration) -> String {
    let columns = "(id, started_at, applied_epoch, renewal, lease_ms, lease_until)";
    format!("INSERT INTO nodes {columns} VALUES ('nod_another', 0, 0, 0, {}, 0)", lease.as_millis())
}
const HIDE: &str = "ALTER TABLE nodes RENAME TO nodes_elsewhere";
const SHOW: &str = "ALTER TABLE nodes_elsewhere RENAME TO nodes";

#[tokio::test]
async fn on_postgres_while_the_nodes_cannot_be_read_a_revocation_waits_for_the_longest_lease_met() {
    let app = TestApp::start_with(|settings| settings.lease = "1".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let longest = Duration::from_millis(1_500);
    app.execute(&another(longest)).await;
    until("the other node is met", async || app.site.follower.progress().longest_lease == longest).await;
    app.execute(HIDE).await;

    let begun = app.site.clock.since_boot();
    maya.revoke(&key).await.expect(303);
    assert!(app.site.clock.since_boot() - begun >= longest, "the receipt was given before anybody could know");
    let toast = maya.get("/settings/integrations").await.one("#toast-live .toast-body");
    assert!(
        toast.contains("Refused on this node after ") && toast.contains("cannot be asked about the other nodes"),
        "{toast}"
    );

    app.execute(SHOW).await;
    app.ready().await;
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

#[tokio::test]
async fn on_postgres_while_the_nodes_cannot_be_read_nobody_is_told_that_an_old_key_no_longer_works() {
    // A lease that does not end during the test.
    let app = TestApp::start_with(|settings| settings.lease = "300".to_owned()).await;
    let maya = app.admin().await.by_htmx();
    let key = maya.create_key("Production").await;
    app.execute(HIDE).await;
    let says = maya.try_rotate(&key.id, 1).await.expect(200).one("[data-receipt]");
    let waits = "The old one stops working. Refused on this node; nodes without this change answer nobody in at most ";
    assert!(says.starts_with(waits), "{says}");
    app.execute(SHOW).await;
}

/// As when a standby is promoted that has not seen it.
#[tokio::test]
async fn on_postgres_a_revocation_that_the_database_loses_meanwhile_is_said_to_be_lost() {
    // A lease that does not end during the test: another node is waited for, and nothing when there is none.
    let (lease, soon) = (Duration::from_secs(300), Duration::from_secs(60));
    let app = TestApp::start_with(|settings| settings.lease = lease.as_secs().to_string()).await;
    let maya = app.admin().await;
    let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
    tokio::time::timeout(soon, maya.revoke(&first)).await.expect("every node has confirmed");
    app.execute(&another(lease)).await;
    let losing = async {
        until("it is committed", async || app.count("api_keys WHERE revoked_at IS NOT NULL").await == 2).await;
        app.execute("UPDATE key_changes SET mark = '0123456789abcdef0123456789abcdef' WHERE epoch = 4").await;
    };
    let both = async { tokio::join!(maya.revoke(&second), losing) };
    tokio::time::timeout(soon, both).await.expect("nobody is waited for").0.expect(303);
    let page = maya.get("/settings/integrations").await;
    assert_eq!(page.one("#toast-live .toast-title"), "This revocation may be lost");
    let toast = page.one("#toast-live .toast-body");
    assert!(!toast.contains("no longer works"), "{toast}");
    assert!(
        toast.contains("The database was restored or replaced meanwhile, and this change may not be in it"),
        "{toast}"
    );
}
