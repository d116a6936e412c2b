//! The audit log: every change writes its event, in its own transaction.

use chrono::TimeDelta;
use keystead::{
    actions::create_admin::{CreateAdminError, NewAdmin, Workplace, create_admin},
    clock::Clock,
    domain::{email::Email, ids::OrgId, name::Name, password::NewPassword},
};

use serde_json::json;

use crate::support::{AuditRow, PASSWORD, Person, TestApp};

const AGENT: Option<&str> = Some("Mozilla/5.0 (keystead tests)");

/// What, by what kind of actor, by whom, to which key, from which address, by which program.
type Told<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn told(row: &AuditRow) -> Told<'_> {
    (
        &row.action,
        &row.actor_kind,
        row.actor_name.as_deref(),
        row.key_name.as_deref(),
        row.address.as_deref(),
        row.user_agent.as_deref(),
    )
}

#[tokio::test]
async fn every_deed_is_written_with_who_what_when_and_from_where() {
    let app = TestApp::start().await;
    let token = app.set_up_link.clone().unwrap().split_once("token=").unwrap().1.to_owned();
    let maya = app.anonymous();
    let fields = [
        ("token", &*token),
        ("organization", "Acme Robotics"),
        ("name", "Maya Chen"),
        ("email", "Maya@acme.example"),
        ("password", PASSWORD),
    ];
    maya.post("/setup", &fields).await.expect(303);
    app.clock.advance(TimeDelta::seconds(1));
    let key = maya.create_key("Production").await;
    app.clock.advance(TimeDelta::seconds(1));
    let key = maya.rotate(&key).await;
    app.clock.advance(TimeDelta::seconds(1));
    maya.revoke(&key).await;
    app.clock.advance(TimeDelta::seconds(1));
    maya.sign_out().await;
    app.clock.advance(TimeDelta::seconds(1));
    let page = maya.try_sign_in("maya@ACME.example", "wrong horse battery").await.expect(422);
    maya.try_sign_in("nobody@acme.example", PASSWORD).await.expect(422);
    maya.try_sign_in("no address", PASSWORD).await.expect(422);
    maya.sign_in("maya@acme.example", PASSWORD).await;

    let log = app.audit().await;
    let here = Some("127.0.0.1");
    let (chen, production) = (Some("Maya Chen"), Some("Production"));
    let told: Vec<_> = log.iter().map(told).collect();
    assert_eq!(
        told,
        [
            ("installation.set_up", "user", chen, None, here, AGENT),
            ("session.signed_in", "user", chen, None, here, AGENT),
            ("key.created", "user", chen, production, here, AGENT),
            ("key.rotated", "user", chen, production, here, AGENT),
            ("key.revoked", "user", chen, production, here, AGENT),
            ("session.signed_out", "user", chen, None, here, AGENT),
            ("session.sign_in_failed", "anonymous", Some("maya@ACME.example"), None, here, AGENT),
            ("session.sign_in_failed", "anonymous", Some("nobody@acme.example"), None, here, AGENT),
            ("session.sign_in_failed", "anonymous", None, None, here, AGENT),
            ("session.signed_in", "user", chen, None, here, AGENT),
        ]
    );
    let organization = Some(&*key.organization_id);
    let organizations: Vec<Option<&str>> = log.iter().map(|row| row.organization_id.as_deref()).collect();
    assert_eq!(&organizations[..7], [organization; 7], "a wrong password at a known account stands in its log");
    assert_eq!(&organizations[7..], [None, None, organization]);
    for row in &log[2..5] {
        assert_eq!(row.key_id.as_deref(), Some(&*key.id));
    }
    let user_id = app.lines("SELECT id AS line FROM users").await.remove(0);
    for row in log.iter().filter(|row| row.actor_kind == "user") {
        assert_eq!(row.actor_id.as_deref(), Some(&*user_id));
    }
    let now = app.clock.now().timestamp_millis();
    let seconds: Vec<i64> = log.iter().map(|row| (now - row.at) / 1000).collect();
    assert_eq!(seconds, [5, 5, 4, 3, 2, 1, 0, 0, 0, 0]);
    assert!(log.iter().all(|row| row.request_id.as_deref().is_some_and(|id| id.starts_with("req_"))));
    assert_eq!(log[6].request_id.as_deref(), Some(page.header("x-request-id")));
}

#[tokio::test]
async fn what_is_refused_is_not_written() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let key = maya.create_key("Production").await;
    let before = app.audited().await;
    maya.try_create_key("production").await.expect(422);
    maya.try_create_key("").await.expect(422);
    maya.try_rotate(&key.id, 7).await.expect(409);
    maya.try_revoke(&key.id, 7).await.expect(409);
    olga.try_rotate(&key.id, 1).await.expect(404);
    olga.try_revoke(&key.id, 1).await.expect(404);
    app.anonymous().post("/sign-out", &[]).await.expect(303);
    assert_eq!(app.audited().await, before);
}

#[tokio::test]
async fn a_long_or_odd_user_agent_is_cut_and_cleaned() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    let agent = [b"evil\t\xFF\xFE ".as_slice(), "x".repeat(2000).as_bytes()].concat();
    let request = visitor.request(reqwest::Method::POST, "/sign-in").header("user-agent", agent);
    visitor.send(request.form(&[("email", "a@b"), ("password", "x")])).await.expect(422);
    let kept = app.audit().await.remove(0).user_agent.unwrap();
    assert_eq!(kept.chars().count(), 256);
    assert!(kept.starts_with("evil\u{FFFD}\u{FFFD} x"), "{kept}");
}

/// What must be as it was when a change's event could not be written.
async fn state(app: &TestApp) -> Vec<i64> {
    let mut counts = Vec::new();
    for from in [
        "api_keys",
        "api_keys WHERE revoked_at IS NULL AND version = 1",
        "key_secrets WHERE expires_at IS NULL",
        "key_secrets",
        "form_tokens",
        "sessions",
        "users",
        "organizations",
    ] {
        counts.push(app.count(from).await);
    }
    counts
}

#[tokio::test]
async fn a_change_whose_event_cannot_be_written_is_undone() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let before = state(&app).await;
    app.execute("ALTER TABLE audit_events RENAME TO hidden").await;

    for person in [maya.clone(), maya.by_htmx()] {
        let refused = person.try_create_key("Staging").await.expect(503);
        assert_eq!(refused.secret(), None);
        let refused = person.try_rotate(&key.id, 1).await.expect(503);
        assert_eq!(refused.secret(), None);
        person.try_revoke(&key.id, 1).await.expect(503);
        person.post("/sign-out", &[]).await.expect(503);
    }
    app.anonymous().try_sign_in(&maya.email, PASSWORD).await.expect(503);
    app.anonymous().try_sign_in(&maya.email, "wrong horse battery").await.expect(503);
    assert_eq!(state(&app).await, before);
    assert!(maya.is_signed_in().await);
    assert_eq!(app.verify(&key.secret).await, "VALID");

    app.execute("ALTER TABLE hidden RENAME TO audit_events").await;
    maya.create_key("Staging").await;
    maya.revoke(&key).await;
    maya.sign_out().await;
}

async fn make_jonas(app: &TestApp) -> Result<OrgId, CreateAdminError> {
    let admin = NewAdmin {
        name: Name::parse("Jonas Weber").unwrap(),
        email: Email::parse("jonas@acme.example").unwrap(),
        password: NewPassword::parse(PASSWORD.to_owned(), &[]).unwrap(),
    };
    let workplace = Workplace::New(Name::parse("Acme Robotics").unwrap());
    create_admin(&app.site.db, &*app.clock, &app.site.passwords, workplace, admin).await
}

#[tokio::test]
async fn an_admin_from_the_command_line_is_written_too_or_not_made() {
    let app = TestApp::start().await;
    app.execute("ALTER TABLE audit_events RENAME TO hidden").await;
    assert!(matches!(make_jonas(&app).await, Err(CreateAdminError::Store(_))));
    assert_eq!(state(&app).await, [0; 8]);
    app.execute("ALTER TABLE hidden RENAME TO audit_events").await;

    let organization_id = make_jonas(&app).await.unwrap().to_string();
    let log = app.audit().await;
    assert_eq!(log.len(), 1);
    assert_eq!(told(&log[0]), ("admin.created", "command_line", None, None, None, None));
    assert_eq!(log[0].organization_id, Some(organization_id));
    let users =
        "audit_events JOIN users ON users.id = user_id AND users.name = user_name WHERE user_name = 'Jonas Weber'";
    assert_eq!(app.count(users).await, 1);
}

#[tokio::test]
async fn a_set_up_whose_event_cannot_be_written_is_undone_and_can_be_tried_again() {
    let app = TestApp::start().await;
    let token = app.set_up_link.clone().unwrap().split_once("token=").unwrap().1.to_owned();
    let set_up = async |person: &Person| {
        let fields = [
            ("token", &*token),
            ("organization", "Acme Robotics"),
            ("name", "Maya Chen"),
            ("email", "maya@acme.example"),
            ("password", PASSWORD),
        ];
        person.post("/setup", &fields).await
    };
    app.execute("ALTER TABLE audit_events RENAME TO hidden").await;
    set_up(&app.anonymous()).await.expect(503);
    assert_eq!(state(&app).await, [0; 8]);
    app.execute("ALTER TABLE hidden RENAME TO audit_events").await;
    set_up(&app.anonymous()).await.expect(303);
}

#[tokio::test]
async fn events_are_numbered_in_their_order_and_no_number_comes_twice() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let keys = [maya.create_key("First").await, maya.create_key("Second").await];
    futures_util::future::join_all(keys.iter().map(|key| maya.revoke(key))).await;
    let seqs = app.audit().await.into_iter().map(|row| row.seq.expect("a number")).collect::<Vec<_>>();
    assert_eq!(seqs.len(), 6);
    assert!(seqs.is_sorted_by(|one, next| one < next) || app.database.is_postgres(), "{seqs:?}");
    assert_eq!(seqs.iter().collect::<std::collections::BTreeSet<_>>().len(), seqs.len(), "{seqs:?}");
    app.execute("DELETE FROM audit_events").await;
    maya.create_key("Third").await;
    let next = app.audit().await.remove(0).seq.unwrap();
    assert!(seqs.iter().all(|seq| *seq < next), "{seqs:?}, {next}");
}

#[tokio::test]
async fn an_event_tells_what_was_changed_and_no_secret() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let hint = async || app.lines("SELECT hint AS line FROM api_keys").await.remove(0);
    let key = maya.create_key("Production").await;
    let first = hint().await;
    let key = maya.rotate(&key).await;
    let second = hint().await;
    maya.revoke(&key).await;
    assert!(key.secret.contains(&second) && first != second);
    let of_keys = app.audit().await.into_iter().filter(|row| row.action.starts_with("key."));
    let details: Vec<Option<serde_json::Value>> =
        of_keys.map(|row| row.detail.map(|detail| serde_json::from_str(&detail).unwrap())).collect();
    assert_eq!(
        details,
        [
            Some(json!({
                "prefix": { "before": null, "after": "talvin_live" },
                "hint": { "before": null, "after": first }
            })),
            Some(json!({ "hint": { "before": first, "after": second } })),
            None,
        ]
    );
}
