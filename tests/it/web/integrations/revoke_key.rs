//! Revoke API Key: `/settings/integrations/keys/{id}/revoke`

use crate::support::{Answer, Person, TestApp, without_request_ids};

const KEYS: &str = "/settings/integrations/keys";

#[tokio::test]
async fn the_form_says_that_there_is_no_way_back() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    for person in [maya.clone(), maya.by_htmx()] {
        let form = person.get(&format!("{KEYS}/{}/revoke", key.id)).await.expect(200);
        assert_eq!(form.one("#modal-title"), "Revoke API Key");
        assert_eq!(
            form.one("#modal-desc"),
            "This permanently revokes Production and breaks any integration that uses it. This action cannot be undone."
        );
        assert_eq!(form.one("[data-submit]"), "Revoke Key");
    }
}

#[tokio::test]
async fn the_key_is_refused_from_that_moment() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let old = maya.create_key("Production").await;
    let new = maya.rotate(&old).await;
    let answer = maya.revoke(&new).await;
    assert_eq!(answer.header("location"), "/settings/integrations");
    assert_eq!(app.verify(&new.secret).await, "REVOKED");
    assert_eq!(app.verify(&old.secret).await, "REVOKED");
}

#[tokio::test]
async fn the_next_page_says_so_once() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;
    let page = maya.get("/settings/integrations").await;
    assert_eq!(page.one("#toast-live .toast-title"), "API key revoked");
    let toast = page.one("#toast-live .toast-body");
    assert!(toast.starts_with("Production no longer works. Refused on 1 of 1 node after "), "{toast}");
    assert!(toast.ends_with(" ms."), "{toast}");
    assert!(!maya.get("/settings/integrations").await.has("#toast-live .toast"));
}

#[tokio::test]
async fn with_scripts_the_answer_brings_the_list_and_a_toast() {
    let app = TestApp::start().await;
    let maya = app.admin().await.by_htmx();
    let key = maya.create_key("Production").await;
    maya.create_key("Staging").await;
    let answer = maya.revoke(&key).await;
    assert_eq!(answer.header("hx-trigger"), "modal:close");
    assert_eq!(answer.attributes("hx-partial", "hx-target"), ["#key-list", "#key-actions", "#toast-live"]);
    assert_eq!(answer.all("#key-list .key-name strong"), ["Staging"]);
    assert_eq!(answer.one(".toast-title"), "API key revoked");
    assert!(!maya.get("/settings/integrations").await.has("#toast-live .toast"), "the toast was shown already");
}

#[tokio::test]
async fn the_last_key_leaves_the_invitation_to_make_the_first() {
    let app = TestApp::start().await;
    let maya = app.admin().await.by_htmx();
    let key = maya.create_key("Production").await;
    let answer = maya.revoke(&key).await;
    assert_eq!(answer.one("#key-list h3"), "Create your first API key");
    assert_eq!(answer.one("hx-partial[hx-target='#key-actions']"), "");
}

#[tokio::test]
async fn a_revocation_wins_over_a_rotation_that_came_between() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let old = maya.create_key("Production").await;
    let new = maya.rotate(&old).await;
    maya.try_revoke(&old.id, 1).await.expect(303);
    assert_eq!(app.verify(&new.secret).await, "REVOKED");
}

#[tokio::test]
async fn a_rotation_racing_a_revocation_always_ends_revoked() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for round in 0..30 {
        let key = maya.create_key(&format!("Key {round}")).await;
        let (rotated, revoked) = if round % 2 == 0 {
            tokio::join!(maya.try_rotate(&key.id, 1), maya.try_revoke(&key.id, 1))
        } else {
            let (revoked, rotated) = tokio::join!(maya.try_revoke(&key.id, 1), maya.try_rotate(&key.id, 1));
            (rotated, revoked)
        };
        revoked.expect(303);
        assert!(matches!(rotated.status, 200 | 404), "{}", rotated.status);
        assert_eq!(app.verify(&key.secret).await, "REVOKED");
        if let Some(secret) = rotated.secret() {
            assert_eq!(app.verify(&secret).await, "REVOKED");
        }
    }
    assert_eq!(maya.listed().await, [""; 0]);
    assert_eq!(app.count("key_secrets WHERE expires_at IS NULL").await, 0);
}

#[tokio::test]
async fn revoking_twice_says_that_the_key_is_gone() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    maya.revoke(&key).await;
    for version in [1, 2] {
        maya.try_revoke(&key.id, version).await.expect(404);
    }
    assert_eq!(app.count("audit_events WHERE action = 'key.revoked'").await, 1);
}

#[tokio::test]
async fn a_version_that_never_was_is_asked_again() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    for version in [0, -1, 2, i64::MAX] {
        let form = maya.try_revoke(&key.id, version).await.expect(409);
        assert_eq!(form.field("version"), "1");
    }
    for version in ["", "x", "1.0"] {
        let form = maya.post(&format!("{KEYS}/{}/revoke", key.id), &[("version", version)]).await.expect(422);
        assert_eq!(form.alert(), "This form is incomplete. Reload the page and try again.");
    }
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

/// All four requests about a key that is not there for this person.
async fn every_deed(person: &Person, id: &str) -> Vec<Answer> {
    vec![
        person.get(&format!("{KEYS}/{id}/rotate")).await,
        person.try_rotate(id, 1).await,
        person.get(&format!("{KEYS}/{id}/revoke")).await,
        person.try_revoke(id, 1).await,
        person.post(&format!("{KEYS}/{id}/rotate"), &[]).await,
        person.post(&format!("{KEYS}/{id}/revoke"), &[]).await,
    ]
}

/// Status, headers and body, without what is new in every answer.
fn shape(answer: &Answer) -> String {
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    format!("{}\n{}\n\n{}", answer.status, headers.join("\n"), without_request_ids(answer.text()))
}

#[tokio::test]
async fn another_organizations_key_answers_exactly_like_an_unknown_one_to_every_deed() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let key = maya.create_key("Production").await;
    let gone = olga.create_key("Gone").await;
    olga.revoke(&gone).await;
    olga.get("/settings/integrations").await;
    let unknown = format!("key_{}", "0".repeat(27));
    for person in [olga.clone(), olga.by_htmx()] {
        let foreign = every_deed(&person, &key.id).await;
        let others = [every_deed(&person, &unknown).await, every_deed(&person, &gone.id).await];
        for (n, answer) in foreign.iter().enumerate() {
            assert_eq!(answer.status, 404);
            for other in &others {
                assert_eq!(shape(answer), shape(&other[n]), "request {n}");
            }
            assert!(!answer.text().contains("Production"));
        }
    }
    assert_eq!(app.verify(&key.secret).await, "VALID");
    assert_eq!(maya.listed().await, ["Production"]);
    assert_eq!(app.count("api_keys WHERE version = 1 AND revoked_at IS NULL").await, 1);
}

#[tokio::test]
async fn a_missing_key_is_a_page_with_a_way_back_or_a_toast() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let unknown = format!("key_{}", "0".repeat(27));
    for page in every_deed(&maya, &unknown).await {
        assert!(page.is_page());
        assert_eq!(page.one("h1"), "This key no longer exists");
        assert_eq!(page.attribute("main a.primary", "href"), "/settings/integrations");
        assert_eq!(page.one(".request-id code"), page.header("x-request-id"));
    }
    for toast in every_deed(&maya.by_htmx(), &unknown).await {
        assert!(!toast.is_page());
        assert_eq!(toast.header("hx-retarget"), "#toast-live");
        assert_eq!(toast.header("hx-reswap"), "beforeend");
        assert_eq!(toast.one(".toast-title"), "This key no longer exists");
    }
}

#[tokio::test]
async fn a_malformed_id_is_a_missing_key() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let ids = [
        "x",
        "key_",
        "KEY_000000000000000000000000000",
        "org_000000000000000000000000000",
        "key_00000000000000000000000000%27",
        "key_0000000000000000000000000000",
        "%00",
        "%FF",
        "%ED%A0%80",
        "..%2f..%2f",
        "%E2%80%AE",
        &"x".repeat(5000),
    ];
    for id in ids {
        for answer in every_deed(&maya, id).await {
            assert_eq!(answer.status, 404, "{id}");
            assert!(answer.is_page(), "{id}");
        }
        for answer in every_deed(&maya.by_htmx(), id).await {
            assert_eq!((answer.status, answer.header("hx-retarget")), (404, "#toast-live"), "{id}");
        }
    }
}

#[tokio::test]
async fn snapshot_of_the_answer_with_list_and_toast() {
    let app = TestApp::start().await;
    let maya = app.admin().await.by_htmx();
    let key = maya.create_key("Production API Key").await;
    maya.create_key("Staging").await;
    let answer = maya.revoke(&key).await;
    crate::support::assert_snapshot(&app, "revoked", &answer);
}
