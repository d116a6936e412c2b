//! `keystead admin create`

use keystead::{
    actions::reset_password::reset_password,
    domain::{email::Email, password::NewPassword},
    passwords::Passwords,
};

use crate::support::{Binary, PASSWORD, TestApp};

fn arguments<'a>(email: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["admin", "create", "--email", email, "--password-stdin"], rest].concat()
}

#[tokio::test]
async fn an_admin_is_made_without_a_browser_and_signs_in() {
    let keystead = Binary::new();
    let arguments = arguments("maya@acme.example", &["--organization", "Acme Robotics", "--name", "Maya Chen"]);
    let made = keystead.run_with_input(&arguments, &format!("{PASSWORD}\n")).succeeded();
    let id = made.stdout.trim();
    assert!(id.starts_with("org_") && id.len() == 31, "{id}");

    let server = keystead.serve();
    let maya = server.anonymous();
    maya.sign_in("maya@acme.example", PASSWORD).await;
    let page = maya.get("/settings/integrations").await.expect(200);
    assert_eq!(page.one("#organization-id"), id);
    assert_eq!(page.one(".who-text strong"), "Maya Chen");
    let said = server.stop().succeeded().stdout;
    assert_eq!(said.lines().count(), 1, "no set-up link any more: {said}");
}

#[tokio::test]
async fn a_second_admin_joins_an_organization_while_the_server_runs() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    maya.create_key("Production").await;
    let id = maya.get("/settings/integrations").await.one("#organization-id");
    let arguments = arguments("jonas@acme.example", &["--organization-id", &id]);
    let made = keystead.run_with_input(&arguments, PASSWORD).succeeded();
    assert_eq!(made.stdout.trim(), id);

    let jonas = server.anonymous();
    jonas.sign_in("jonas@acme.example", PASSWORD).await;
    assert_eq!(jonas.listed().await, ["Production"]);
    assert_eq!(jonas.get("/settings/integrations").await.one(".who-text strong"), "jonas");
}

#[test]
fn what_cannot_be_used_is_refused_with_one_line() {
    let keystead = Binary::new();
    let acme = ["--organization", "Acme"];
    let unknown = format!("org_{}", "0".repeat(27));
    for (arguments, password, words) in [
        (arguments("maya", &acme), PASSWORD, "--email"),
        (arguments("maya@acme.example", &["--organization", " "]), PASSWORD, "--organization"),
        (arguments("maya@acme.example", &["--organization", "a\u{202E}b"]), PASSWORD, "--organization"),
        (arguments("maya@acme.example", &["--organization-id", "acme"]), PASSWORD, "--organization-id"),
        (arguments("maya@acme.example", &["--organization-id", &unknown]), PASSWORD, &*unknown),
        (arguments("maya@acme.example", &["--organization", "Acme", "--name", ""]), PASSWORD, "--name"),
        (arguments("maya@acme.example", &acme), "too short", "at least 15 characters"),
        (arguments("maya@acme.example", &acme), "", "at least 15 characters"),
        (arguments("maya@acme.example", &acme), "passwordpassword", "too easy to guess"),
        (
            vec!["admin", "create", "--email", "maya@acme.example", "--organization", "Acme"],
            PASSWORD,
            "--password-stdin",
        ),
    ] {
        let refused = keystead.run_with_input(&arguments, password);
        refused.refused_with(&[words]);
        assert_eq!(refused.stdout, "");
        assert!(!refused.stderr.contains(PASSWORD) && !refused.stderr.contains("passwordpassword"));
    }
}

#[test]
fn an_address_has_one_account() {
    let keystead = Binary::new();
    keystead.run_with_input(&arguments("maya@acme.example", &["--organization", "Acme"]), PASSWORD).succeeded();
    let again = keystead.run_with_input(&arguments("MAYA@acme.example", &["--organization", "Other"]), PASSWORD);
    again.refused_with(&["already an account"]);
}

#[test]
fn an_organization_must_be_named_one_way() {
    let keystead = Binary::new();
    for rest in [vec![], vec!["--organization", "Acme", "--organization-id", "org_x"]] {
        let refused = keystead.run_with_input(&arguments("maya@acme.example", &rest), PASSWORD);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("--organization"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_password_is_reset_while_the_server_runs_and_every_session_ends() {
    const NEW: &str = "another horse battery";
    let keystead = Binary::new();
    let server = keystead.serve();
    let maya = server.set_up().await;
    let elsewhere = server.anonymous();
    elsewhere.sign_in("maya@acme.example", PASSWORD).await;

    let reset = ["admin", "reset-password", "--email", "MAYA@acme.example", "--password-stdin"];
    let done = keystead.run_with_input(&reset, &format!("{NEW}\n")).succeeded();
    assert!(!done.stdout.contains(NEW) && !done.stderr.contains(NEW));
    assert!(!maya.is_signed_in().await && !elsewhere.is_signed_in().await);
    maya.try_sign_in("maya@acme.example", PASSWORD).await.expect(422);
    maya.sign_in("maya@acme.example", NEW).await;
}

/// As editors and PowerShell write what is piped in.
#[tokio::test]
async fn a_password_is_the_text_and_not_how_it_was_saved() {
    let keystead = Binary::new();
    let reset = ["admin", "reset-password", "--email", "maya@acme.example", "--password-stdin"];
    let server = keystead.serve();
    let maya = server.set_up().await;
    let new = "another horse battery";
    keystead.run_with_input(&reset, &format!("\u{FEFF}{new}\r\n")).succeeded();
    maya.sign_in("maya@acme.example", new).await;
    let utf16: String = new.chars().flat_map(|c| [c, '\0']).collect();
    let refused = keystead.run_with_input(&reset, &utf16);
    refused.refused_with(&["password", "standard input", "UTF-16", "UTF-8"]);
    assert!(!refused.stderr.contains("horse"));
    maya.sign_in("maya@acme.example", new).await;
}

#[tokio::test]
async fn resetting_a_password_is_audited() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let jonas = app.second_admin(&maya.get("/settings/integrations").await.one("#organization-id")).await;
    let (email, password) = (Email::parse(&maya.email).unwrap(), NewPassword::parse(PASSWORD.to_owned(), &[]).unwrap());
    let ended = reset_password(&app.site.db, &*app.clock, &Passwords::default(), email, password).await.unwrap();
    assert_eq!(ended, 1);
    assert!(!maya.is_signed_in().await && jonas.is_signed_in().await, "nobody else's sessions end");
    let event = app.audit().await.pop().unwrap();
    assert_eq!((&*event.action, &*event.actor_kind), ("admin.password_reset", "command_line"));
    assert!(event.organization_id.is_some());
}

#[test]
fn a_password_that_cannot_be_reset() {
    let keystead = Binary::new();
    let reset = |email| ["admin", "reset-password", "--email", email, "--password-stdin"];
    keystead.run_with_input(&reset("nobody@acme.example"), PASSWORD).refused_with(&["no account"]);
    keystead.run_with_input(&reset("nobody"), PASSWORD).refused_with(&["--email"]);
    keystead.run_with_input(&reset("maya@acme.example"), "short").refused_with(&["at least 15 characters"]);
}
