//! `/setup`: the first admin.

use keystead::{
    actions::{
        create_admin::Workplace,
        set_up::{FirstAccount, first_account},
    },
    domain::name::Name,
};

use crate::support::{Answer, PASSWORD, Person, TestApp};

fn token(app: &TestApp) -> String {
    app.set_up_link.as_ref().expect("no account exists").split_once("token=").unwrap().1.to_owned()
}

async fn set_up(person: &Person, token: &str, changed: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("token", token),
        ("organization", "Acme Robotics"),
        ("name", "Maya Chen"),
        ("email", "maya@acme.example"),
        ("password", PASSWORD),
    ];
    for (name, value) in changed {
        fields.iter_mut().find(|(known, _)| known == name).unwrap().1 = value;
    }
    person.post("/setup", &fields).await
}

#[tokio::test]
async fn the_link_leads_to_an_organization_and_its_first_admin() {
    let app = TestApp::start().await;
    let link = app.set_up_link.clone().unwrap();
    assert!(link.starts_with(&format!("http://localhost:{}/setup?token=", app.address.port())), "{link}");
    let maya = app.anonymous();
    let form = maya.get(&format!("/setup?token={}", token(&app))).await.expect(200);
    assert_eq!(form.one("h1"), "Set up Talvin AI");

    let answer = set_up(&maya, &form.field("token"), &[]).await;
    assert_eq!(maya.led_to(answer).await, "/settings/integrations");
    let page = maya.get("/settings/integrations").await.expect(200);
    assert_eq!(page.one(".who-text strong"), "Maya Chen");
    assert!(page.one(".who-text small").starts_with("Acme Robotics"));

    let again = app.anonymous();
    again.sign_in("maya@acme.example", PASSWORD).await;
}

#[tokio::test]
async fn the_link_works_once() {
    let app = TestApp::start().await;
    let token = token(&app);
    set_up(&app.anonymous(), &token, &[]).await.expect(303);
    let late = app.anonymous();
    let refused = late.get(&format!("/setup?token={token}")).await.expect(404);
    assert_eq!(refused.one("h1"), "This set-up link is not valid");
    set_up(&late, &token, &[("email", "mallory@evil.example")]).await.expect(404);
    assert_eq!(app.count("users").await, 1);
    assert_eq!(app.count("organizations").await, 1);
}

#[tokio::test]
async fn of_many_who_open_the_link_at_once_one_gets_in() {
    let app = TestApp::start().await;
    let token = token(&app);
    let people: Vec<(Person, String)> = (0..8).map(|n| (app.anonymous(), format!("p{n}@acme.example"))).collect();
    let tries = people.iter().map(|(person, email)| {
        let token = token.clone();
        async move { set_up(person, &token, &[("email", email)]).await.status }
    });
    let mut statuses = futures_util::future::join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 404, 404, 404, 404, 404, 404, 404]);
    assert_eq!(app.count("users").await, 1);
    assert_eq!(app.count("organizations").await, 1);
}

#[tokio::test]
async fn every_mistake_is_shown_at_its_field_and_nothing_typed_is_lost() {
    let app = TestApp::start().await;
    let token = token(&app);
    let long = "x".repeat(65);
    let fields = [("organization", &*long), ("name", "  "), ("email", "maya"), ("password", "too short")];
    let form = set_up(&app.anonymous(), &token, &fields).await.expect(422);
    assert_eq!(form.one("#organization-error"), "Use 64 characters or fewer.");
    assert_eq!(form.one("#name-error"), "Enter your name.");
    assert_eq!(form.one("#email-error"), "Enter an email address, such as maya@example.com.");
    assert_eq!(form.one("#password-error"), "Use at least 15 characters.");
    assert_eq!((form.field("organization"), form.field("email")), (long, "maya".to_owned()));
    assert!(!form.text().contains("too short"));
    assert_eq!(app.count("users").await, 0);
    set_up(&app.anonymous(), &form.field("token"), &[]).await.expect(303);
}

#[tokio::test]
async fn weak_passwords_are_refused_with_a_reason() {
    let app = TestApp::start().await;
    let token = token(&app);
    let too_long = "x y".repeat(43);
    for (password, reason) in [
        ("", "Use at least 15 characters."),
        ("fourteen chars", "Use at least 15 characters."),
        (&*too_long, "Use 128 characters or fewer."),
        ("passwordpassword", "This password is easy to guess. Choose another one."),
        ("maya@acme.example", "This password is easy to guess. Choose another one."),
    ] {
        let form = set_up(&app.anonymous(), &token, &[("password", password)]).await.expect(422);
        assert_eq!(form.one("#password-error"), reason);
    }
}

#[tokio::test]
async fn names_are_text_wherever_they_are_shown() {
    let app = TestApp::start().await;
    let maya = app.anonymous();
    let (organization, name) = ("<b>Acme</b> & \"Söhne\"", "<img src=x onerror=alert(1)>");
    set_up(&maya, &token(&app), &[("organization", organization), ("name", name)]).await.expect(303);
    maya.create_key("Production").await;
    let page = maya.get("/settings/integrations").await;
    assert_eq!(page.one(".who-text strong"), name);
    assert_eq!(page.one(".who-text small span"), organization);
    assert_eq!(page.one(".key-name .sub"), format!("by {name} · Nov 23, 2026"));
    assert!(!page.has("img") && !page.has("main b"));
}

#[tokio::test]
async fn without_the_token_there_is_no_page() {
    let app = TestApp::start().await;
    let visitor = app.anonymous();
    for path in ["/setup", "/setup?token=", "/setup?token=0123456789abcdef0123456789abcdef", "/setup?token=%00"] {
        let refused = visitor.get(path).await.expect(404);
        assert_eq!(refused.one("h1"), "This set-up link is not valid", "{path}");
        assert!(!refused.has("form.stack"));
    }
    set_up(&visitor, "0123456789abcdef0123456789abcdef", &[]).await.expect(404);
    assert_eq!(app.count("users").await, 0);
}

#[tokio::test]
async fn an_admin_from_the_command_line_closes_the_link() {
    let app = TestApp::start().await;
    let token = token(&app);
    let acme = Workplace::New(Name::parse("Acme Robotics").unwrap());
    app.account(acme, "Maya Chen", "maya@acme.example").await;
    app.anonymous().get(&format!("/setup?token={token}")).await.expect(404);
    set_up(&app.anonymous(), &token, &[]).await.expect(404);
}

#[tokio::test]
async fn the_link_works_once_also_when_all_accounts_were_removed() {
    let app = TestApp::start().await;
    let token = token(&app);
    set_up(&app.anonymous(), &token, &[]).await.expect(303);
    for table in ["sessions", "memberships", "users"] {
        app.execute(&format!("DELETE FROM {table}")).await;
    }
    assert_eq!(first_account(&app.site).await.unwrap(), FirstAccount::ByCommand, "no link is offered that cannot work");
    app.anonymous().get(&format!("/setup?token={token}")).await.expect(404);
    set_up(&app.anonymous(), &token, &[]).await.expect(404);
    // What it says instead works.
    app.admin().await;
    assert_eq!(first_account(&app.site).await.unwrap(), FirstAccount::Exists);
}

#[tokio::test]
async fn the_link_of_one_installation_opens_no_other() {
    let (app, other) = tokio::join!(TestApp::start(), TestApp::start());
    assert_ne!(token(&app), token(&other));
    set_up(&other.anonymous(), &token(&app), &[]).await.expect(404);
}

/// The account is made by then, and the link is used up.
#[tokio::test]
async fn whoever_gets_no_session_after_setting_up_signs_in() {
    let app = TestApp::start().await;
    let maya = app.anonymous();
    app.execute("ALTER TABLE sessions RENAME TO sessions_away").await;
    let answer = set_up(&maya, &token(&app), &[]).await.expect(303);
    assert_eq!(answer.header("location"), "/sign-in");
    app.execute("ALTER TABLE sessions_away RENAME TO sessions").await;
    maya.sign_in("maya@acme.example", PASSWORD).await;
}
