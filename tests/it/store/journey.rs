//! What a program does with its database, from the first account to what is forgotten after years: every statement that it has
//! in its everyday life, and what must come of each.

use chrono::TimeDelta;
use keystead::{
    actions::{
        apply_retention::apply_retention,
        flush_usage::flush_usage,
        purge_expired::{mend_last_uses, purge_expired},
        read_metrics::read_metrics,
        reset_password::reset_password,
    },
    domain::{email::Email, password::NewPassword},
    key_index::Round,
    passwords::Passwords,
};

use crate::support::{PASSWORD, Person, TestApp, until};

/// Of a database without an account.
pub async fn set_up(app: &TestApp) -> Person {
    let link = app.set_up_link.as_deref().expect("no account exists");
    let (_, token) = link.split_once("token=").unwrap();
    let maya = app.anonymous();
    maya.get(&format!("/setup?token={token}")).await.expect(200);
    let fields = [
        ("token", token),
        ("organization", "Acme Robotics"),
        ("name", "Maya Chen"),
        ("email", "maya@acme.example"),
        ("password", PASSWORD),
    ];
    maya.post("/setup", &fields).await.expect(303);
    maya
}

/// Everything that people, services and time do; `maya` is an admin, and signed in.
pub async fn live(app: &TestApp, maya: &Person) {
    let names = maya.listed().await.len();
    let (kept, ended) = (maya.create_key("Kept").await, maya.create_key("Ended").await);
    let rotated = maya.rotate(&kept).await;
    assert_eq!(maya.try_create_key("Kept").await.status, 422, "the name is taken");
    let colleague = app.second_admin(&kept.organization_id).await;
    assert_eq!(colleague.listed().await.len(), names + 2);
    for (secret, code) in [(&kept.secret, "ROTATED"), (&rotated.secret, "VALID"), (&ended.secret, "VALID")] {
        assert_eq!(app.verify(secret).await, code);
    }
    maya.by_htmx().revoke(&ended).await;
    assert_eq!(app.verify(&ended.secret).await, "REVOKED");
    flush_usage(&app.site.keys, Round::All).await.unwrap();
    let used = format!(
        "SELECT CAST(sum(key_usage_open.count) AS TEXT) AS line FROM key_usage_open \
         JOIN api_keys ON api_keys.number = key_usage_open.key_number WHERE api_keys.id IN ('{}', '{}')",
        kept.id, ended.id
    );
    assert_eq!(app.lines(&used).await, ["4"]);

    // Everything is read again, and the log of revocations held against it.
    app.execute(&format!("UPDATE key_secrets SET expires_at = NULL WHERE key_id = '{}'", ended.id)).await;
    app.execute(&format!("UPDATE api_keys SET revoked_at = NULL WHERE id = '{}'", ended.id)).await;
    let applied = app.site.follower.progress().applied.epoch.0;
    app.execute("UPDATE key_epoch SET value = value + 2").await;
    until("everything is read again", async || app.site.follower.progress().applied.epoch.0 > applied + 2).await;
    app.ready().await;
    assert_eq!(app.verify(&ended.secret).await, "REVOKED", "it was ended again");

    // Hours are closed, last uses mended, and what is old forgotten.
    app.clock.advance(TimeDelta::hours(2));
    purge_expired(&app.site).await.unwrap();
    mend_last_uses(&app.site).await.unwrap();
    assert_eq!(app.count("key_usage_open WHERE count > 1").await, 0);
    colleague.sign_in("jonas@acme.example", PASSWORD).await;
    assert_eq!(colleague.listed().await.len(), names + 1);
    app.clock.advance(TimeDelta::days(3));
    purge_expired(&app.site).await.unwrap();
    app.ready().await;

    assert!(!maya.is_signed_in().await, "the session has ended");
    assert_eq!(maya.try_sign_in("maya@acme.example", "another password").await.status, 422);
    let password = NewPassword::parse("a new and long password".to_owned(), &[]).unwrap();
    let email = Email::parse("maya@acme.example").unwrap();
    reset_password(&app.site.db, &*app.clock, &Passwords::default(), email, password).await.unwrap();
    maya.sign_in("maya@acme.example", "a new and long password").await;
    let shown = maya.get("/settings/integrations").await.expect(200);
    assert!(shown.all(".key-name strong").contains(&"Kept".to_owned()));
    assert_eq!(app.verify(&rotated.secret).await, "VALID");
    read_metrics(&app.site).unwrap();

    // What ended is forgotten: the secrets, a day later the key.
    app.clock.advance(TimeDelta::days(87));
    assert!(apply_retention(&app.site).await.unwrap().secrets >= 2);
    app.clock.advance(TimeDelta::days(1));
    assert!(apply_retention(&app.site).await.unwrap().keys >= 1);
    until("it is unknown", async || app.ask_about(&ended.secret).await.text().contains("NOT_FOUND")).await;
    assert_eq!(app.verify(&kept.secret).await, "NOT_FOUND");
    assert_eq!(app.verify(&rotated.secret).await, "VALID");
    maya.sign_in("maya@acme.example", "a new and long password").await;
    app.anonymous().get("/readyz/pages").await.expect(200);
    maya.sign_out().await;
    assert!(!maya.is_signed_in().await);
    assert!(app.count("audit_events").await > 8);
}
