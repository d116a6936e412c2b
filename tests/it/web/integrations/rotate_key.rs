//! Rotate API Key: `/settings/integrations/keys/{id}/rotate`

use futures_util::future::join_all;

use crate::support::{Answer, TestApp, form_token};

const KEYS: &str = "/settings/integrations/keys";

#[tokio::test]
async fn the_form_warns_and_names_the_key() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    for person in [maya.clone(), maya.by_htmx()] {
        let form = person.get(&format!("{KEYS}/{}/rotate?page=2", key.id)).await.expect(200);
        assert_eq!(form.one("#modal-title"), "Rotate API Key");
        assert_eq!(
            form.one("#modal-desc"),
            "This generates a new key for Production and invalidates the old one. Update every service that uses it."
        );
        assert_eq!(form.one("[data-submit]"), "Rotate Key");
        assert_eq!(form.field("version"), "1");
        assert_eq!(form.field("page"), "2");
        assert_eq!(form.secret(), None);
    }
}

#[tokio::test]
async fn the_new_key_works_and_the_old_one_is_refused_from_that_moment() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let old = maya.create_key("Production").await;
    let new = maya.rotate(&old).await;
    assert_eq!((&new.id, &new.name), (&old.id, &old.name));
    assert_ne!(new.secret, old.secret);
    assert_eq!(app.verify(&old.secret).await, "ROTATED");
    assert_eq!(app.verify(&new.secret).await, "VALID");

    let newest = maya.by_htmx().rotate(&new).await;
    assert_eq!(app.verify(&old.secret).await, "ROTATED");
    assert_eq!(app.verify(&new.secret).await, "ROTATED");
    assert_eq!(app.verify(&newest.secret).await, "VALID");
    let hint = maya.get("/settings/integrations").await.one("tbody code");
    let body = &newest.secret[..newest.secret.len() - 6];
    assert!(hint.ends_with(&body[body.len() - 4..]), "{hint}");
}

#[tokio::test]
async fn the_old_key_stays_refused_when_the_clock_goes_back() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let old = maya.create_key("Production").await;
    maya.rotate(&old).await;
    app.clock.advance(chrono::TimeDelta::hours(-1));
    assert_eq!(app.verify(&old.secret).await, "ROTATED");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_does_not_lose_the_new_key() {
    let app = TestApp::start().await;
    let maya = app.admin().await.by_htmx();
    maya.create_key("Damaged").await;
    let key = maya.create_key("Production").await;
    app.execute("UPDATE api_keys SET hint = '' WHERE name = 'Damaged'").await;
    let rotated = maya.rotate(&key).await;
    assert_eq!(app.verify(&rotated.secret).await, "VALID");
    let created = maya.create_key("Another").await;
    assert_eq!(app.verify(&created.secret).await, "VALID");
    maya.revoke(&rotated).await;
    assert_eq!(app.verify(&rotated.secret).await, "REVOKED");
}

#[tokio::test]
async fn with_scripts_the_answer_brings_the_list_along() {
    let app = TestApp::start().await;
    let maya = app.admin().await.by_htmx();
    let key = maya.create_key("Production").await;
    let answer = maya.try_rotate(&key.id, 1).await.expect(200);
    assert!(!answer.is_page());
    assert_eq!(answer.one("#modal-title"), "Your New API Key");
    assert_eq!(answer.attributes("hx-partial", "hx-target"), ["#key-list", "#key-actions"]);
    assert_eq!(answer.one("tr.fresh .key-name strong"), "Production");
}

#[tokio::test]
async fn a_form_sent_again_rotates_once_and_shows_the_key_once() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let idem = form_token();
    let secret = maya.try_rotate_with(&key.id, 1, &idem).await.expect(200).secret().unwrap();
    for (person, version) in [(maya.clone(), 1), (maya.by_htmx(), 2)] {
        let again = person.try_rotate_with(&key.id, version, &idem).await.expect(409);
        assert_eq!(again.secret(), None);
        assert!(again.one("#modal-desc").contains("Its secret can't be shown again."));
    }
    assert_eq!(app.verify(&secret).await, "VALID");
}

#[tokio::test]
async fn a_form_from_before_another_rotation_is_asked_again() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let new = maya.rotate(&key).await;
    for person in [maya.clone(), maya.by_htmx()] {
        let form = person.try_rotate(&key.id, 1).await.expect(409);
        assert_eq!(form.one("#modal-title"), "Rotate API Key");
        assert!(form.alert().starts_with("This key was rotated in the meantime"));
        assert_eq!(form.field("version"), "2");
    }
    assert_eq!(app.verify(&new.secret).await, "VALID");
    let form = maya.try_rotate(&key.id, 1).await;
    maya.try_rotate_with(&key.id, 2, &form.field("idem")).await.expect(200);
}

async fn a_hundred_at_once(app: &TestApp, token: impl Fn() -> String) -> Vec<Answer> {
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let tokens: Vec<String> = (0..100).map(|_| token()).collect();
    let answers = join_all(tokens.iter().map(|token| maya.try_rotate_with(&key.id, 1, token))).await;
    let new: Vec<String> = answers.iter().filter_map(Answer::secret).collect();
    assert_eq!(new.len(), 1);
    assert_eq!(app.verify(&key.secret).await, "ROTATED");
    assert_eq!(app.verify(&new[0]).await, "VALID");
    assert_eq!(app.count("key_secrets").await, 2);
    assert_eq!(app.count("key_secrets WHERE expires_at IS NULL").await, 1);
    assert_eq!(app.count("api_keys WHERE version = 2").await, 1);
    assert_eq!(app.count("audit_events WHERE action = 'key.rotated'").await, 1);
    answers
}

#[tokio::test]
async fn of_a_hundred_rotations_of_one_version_one_succeeds() {
    let app = TestApp::start().await;
    let answers = a_hundred_at_once(&app, form_token).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 99);
}

#[tokio::test]
async fn of_one_form_sent_a_hundred_times_at_once_one_succeeds() {
    let app = TestApp::start().await;
    let idem = form_token();
    let answers = a_hundred_at_once(&app, || idem.clone()).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 99);
}

#[tokio::test]
async fn a_form_with_missing_or_odd_fields_is_incomplete() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let path = format!("{KEYS}/{}/rotate", key.id);
    let idem = form_token();
    for (version, idem) in [("", &*idem), ("x", &idem), ("1.0", &idem), ("99999999999999999999", &idem), ("1", "")] {
        let form = maya.post(&path, &[("version", version), ("idem", idem)]).await.expect(422);
        assert_eq!(form.alert(), "This form is incomplete. Reload the page and try again.");
    }
    maya.post(&path, &[]).await.expect(422);
    for version in [0, -1, 2, i64::MAX, i64::MIN] {
        maya.try_rotate(&key.id, version).await.expect(409);
    }
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

#[tokio::test]
async fn a_revoked_key_cannot_be_rotated() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;
    for version in [1, 2] {
        maya.try_rotate(&key.id, version).await.expect(404);
    }
    maya.get(&format!("{KEYS}/{}/rotate", key.id)).await.expect(404);
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

#[tokio::test]
async fn snapshot_of_the_pop_up() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production API Key").await;
    let answer = maya.by_htmx().get(&format!("{KEYS}/{}/rotate", key.id)).await.expect(200);
    crate::support::assert_snapshot(&app, "rotate_api_key", &answer);
}
