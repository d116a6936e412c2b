//! What an organization has of its own, instead of what is configured for all.

use crate::support::TestApp;

#[tokio::test]
async fn an_organization_goes_by_its_own_settings_from_the_next_change_on() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let key = maya.create_key("Before").await;
    assert!(key.secret.starts_with("talvin_live_"));
    let own = maya.get("/settings/integrations").await.one("#organization-id");
    app.execute(&format!(
        "UPDATE organizations SET key_prefix = 'acme_live', max_keys = 2, max_rotations_per_day = 1 WHERE id = '{own}'"
    ))
    .await;

    let second = maya.create_key("Second").await;
    assert!(second.secret.starts_with("acme_live_"), "without a restart");
    assert_eq!(app.verify(&second.secret).await, "VALID");
    maya.try_create_key("Third").await.expect(409);
    let rotated = maya.rotate(&key).await;
    assert!(rotated.secret.starts_with("acme_live_"), "a rotation takes the prefix of now");
    maya.try_rotate(&rotated.id, 2).await.expect(429);

    for name in ["One", "Two", "Three"] {
        assert!(
            olga.create_key(name).await.secret.starts_with("talvin_live_"),
            "what is configured holds for all others"
        );
    }
    app.execute("UPDATE organizations SET key_prefix = NULL, max_keys = NULL").await;
    assert!(maya.create_key("Third").await.secret.starts_with("talvin_live_"));
}

#[tokio::test]
async fn settings_that_cannot_be_read_make_no_key() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    app.execute("UPDATE organizations SET key_prefix = 'no prefix'").await;
    maya.try_create_key("Production").await.expect(503);
    assert_eq!(app.count("api_keys").await, 0);
}
