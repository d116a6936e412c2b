//! Where a change is true: `/settings/integrations/changes/{change}` and `/settings/integrations/keys/{id}/revoking`

use chrono::TimeDelta;

use crate::support::TestApp;

const SETTINGS: &str = "/settings/integrations";

/// The last change of all.
async fn last_change(app: &TestApp) -> String {
    app.lines("SELECT CAST(epoch AS TEXT) || '-' || mark AS line FROM key_changes ORDER BY epoch DESC").await.remove(0)
}

#[tokio::test]
async fn a_rotation_that_is_true_everywhere_says_so_at_once_and_when_asked_again() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    for (person, version) in [(maya.clone(), 1), (maya.by_htmx(), 2)] {
        let answer = person.try_rotate(&key.id, version).await.expect(200);
        let says = answer.one("#modal-desc");
        assert!(
            says.starts_with("Production has a new key. The old one no longer works. Refused on 1 of 1 node"),
            "{says}"
        );
        assert!(!answer.has("[data-receipt]"), "nothing is to be waited for");
        let again = person.get(&format!("{SETTINGS}/changes/{}", last_change(&app).await)).await.expect(200);
        assert!(again.text().contains("Refused on 1 of 1 node after "), "{}", again.text());
        assert_eq!(again.is_page(), version == 1);
        if again.is_page() {
            assert_eq!(again.one("#modal-title"), "The old key of Production no longer works");
            assert!(!again.has("form[action*=changes]"));
        }
    }
    maya.revoke(&key).await;
    let page = maya.get(&format!("{SETTINGS}/changes/{}", last_change(&app).await)).await.expect(200);
    assert_eq!(page.one("#modal-title"), "Production no longer works");
}

#[tokio::test]
async fn a_change_of_another_organization_is_an_unknown_one() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let key = maya.create_key("Production").await;
    maya.rotate(&key).await;
    let change = last_change(&app).await;
    let other_mark = format!("{}-{}", change.split('-').next().unwrap(), "1".repeat(32));
    for person in [olga.clone(), olga.by_htmx()] {
        for change in [&*change, &other_mark, "1", "x", "-", "1-", "0-00", "%00"] {
            let answer = person.get(&format!("{SETTINGS}/changes/{change}")).await.expect(404);
            assert!(!answer.text().contains("Production") && !answer.text().contains("node"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn of_a_key_that_nobody_revokes_there_is_nothing_to_say() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let key = maya.create_key("Production").await;
    let path = format!("{SETTINGS}/keys/{}/revoking", key.id);
    assert_eq!(maya.get(&path).await.expect(200).one("[data-receipt]"), "");
    maya.revoke(&key).await;
    assert_eq!(maya.get(&path).await.expect(200).one("[data-receipt]"), "Refused on 1 of 1 node.");
    assert_eq!(olga.get(&path).await.expect(200).one("[data-receipt]"), "");
    // Nobody looks at a dialog for so long: the revocation is another one's.
    app.clock.advance(TimeDelta::minutes(10) - TimeDelta::milliseconds(1));
    assert_eq!(maya.get(&path).await.expect(200).one("[data-receipt]"), "Refused on 1 of 1 node.");
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(maya.get(&path).await.expect(200).one("[data-receipt]"), "");
    maya.get(&format!("{SETTINGS}/keys/x/revoking")).await.expect(404);
}

#[tokio::test]
async fn the_dialog_waits_longer_for_a_revocation_than_a_lease_lasts() {
    let app = TestApp::start_with(|settings| settings.lease = "60".to_owned()).await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let form = maya.by_htmx().get(&format!("{SETTINGS}/keys/{}/revoke", key.id)).await.expect(200);
    assert_eq!(form.attribute("form#revoke", "hx-config"), "timeout:75s");
    assert_eq!(form.attribute("[data-receipt]", "hx-get"), format!("{SETTINGS}/keys/{}/revoking", key.id));
}
