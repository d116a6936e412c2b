//! The journey of an org admin, to the letter, by mouse.

use crate::harness::{Admin, Engine, HOME, Kit, Server};

#[test]
fn an_admin_creates_rotates_and_revokes_a_key() {
    creates_rotates_and_revokes_a_key(Kit::default());
}

#[test]
fn an_admin_creates_rotates_and_revokes_a_key_in_firefox() {
    creates_rotates_and_revokes_a_key(Kit { engine: Engine::Firefox, ..Kit::default() });
}

#[test]
fn an_admin_creates_rotates_and_revokes_a_key_in_webkit() {
    if Engine::WebKit.is_installed() {
        creates_rotates_and_revokes_a_key(Kit { engine: Engine::WebKit, ..Kit::default() });
    }
}

fn creates_rotates_and_revokes_a_key(kit: Kit) {
    let maya = Admin::at(Server::fresh(), kit);
    maya.visit(&maya.server.set_up_link.clone().expect("a fresh server prints a set-up link"));
    maya.set_up();
    maya.arrive_at(HOME);

    // "Settings" and "Integrations" are links that can be clicked.
    maya.click("Settings");
    maya.arrive_at(HOME);
    maya.click("Integrations");
    maya.arrive_at(HOME);
    maya.see("API Keys");

    // The organization's id, onto the clipboard.
    let organization = maya.ask("document.querySelector('#organization-id').innerText");
    let organization = organization.as_str().expect("an id").to_owned();
    assert!(organization.starts_with("org_") && organization.len() == 31, "{organization}");
    maya.see("Organization ID");
    maya.click("Copy organization ID");
    maya.hear("Organization ID copied to clipboard.");
    assert_eq!(maya.clipboard(), organization);

    // Create.
    maya.click("Create API Key");
    maya.see_dialog("Create New API Key");
    maya.see_focus_on("Name");
    maya.fill("Name", "Production API Key");
    maya.click("Create API Key");
    let first = maya.read_new_key();
    maya.see("Not saved yet");
    maya.click("Copy key");
    maya.see("Copied");
    maya.hear("API key copied to clipboard.");
    maya.see("Saved");
    assert_eq!(maya.clipboard(), first);
    check_downloads(&maya, &first, &organization, "Production API Key");
    maya.click("Done");
    maya.see_no_dialog();
    assert_eq!(maya.listed_keys(), ["Production API Key"]);
    maya.see("by Maya Chen");
    assert!(!maya.finds_anywhere(&first), "the key is nowhere on the page any more");
    assert_eq!(maya.server.verdict(&first), "VALID");

    // Rotate.
    maya.see("Actions");
    maya.click("Rotate Production API Key");
    maya.see_dialog("Rotate API Key");
    maya.see("This generates a new key for Production API Key and invalidates the old one. Update every service that uses it.");
    maya.click("Rotate Key");
    let second = maya.read_new_key();
    assert_ne!(first, second);
    assert_eq!(maya.server.verdict(&first), "ROTATED");
    assert_eq!(maya.server.verdict(&second), "VALID");
    maya.click("Copy key");
    maya.see("Saved");
    maya.click("Done");
    maya.see_no_dialog();

    // Revoke.
    maya.click("Revoke Production API Key");
    maya.see_dialog("Revoke API Key");
    maya.see("This permanently revokes Production API Key and breaks any integration that uses it. This action cannot be undone.");
    maya.click("Revoke Key");
    maya.see_no_dialog();
    maya.see("API key revoked");
    maya.see("Production API Key no longer works.");
    check_toast_stands_bottom_right(&maya);
    assert_eq!(maya.server.verdict(&second), "REVOKED");
    assert_eq!(maya.server.verdict(&first), "REVOKED");
    maya.see("Create your first API key");

    sign_out_ends_the_session(&maya);
    for secret in [&first, &second] {
        assert!(!maya.server.log().contains(secret.as_str()), "no key is ever logged");
    }
}

#[test]
fn an_admin_does_all_that_with_scripts_turned_off() {
    does_all_that_without_scripts(Kit { no_scripts: true, ..Kit::default() });
}

#[test]
fn an_admin_does_all_that_with_scripts_turned_off_in_firefox() {
    does_all_that_without_scripts(Kit { no_scripts: true, engine: Engine::Firefox });
}

#[test]
fn an_admin_does_all_that_with_scripts_turned_off_in_webkit() {
    if Engine::WebKit.is_installed() {
        does_all_that_without_scripts(Kit { no_scripts: true, engine: Engine::WebKit });
    }
}

fn does_all_that_without_scripts(kit: Kit) {
    let maya = Admin::at(Server::fresh(), kit);
    maya.visit(&maya.server.set_up_link.clone().expect("a fresh server prints a set-up link"));
    maya.set_up();
    maya.arrive_at(HOME);
    maya.click("Settings");
    maya.arrive_at(HOME);
    maya.click("Integrations");
    maya.arrive_at(HOME);
    let organization = maya.ask("document.querySelector('#organization-id').innerText");
    let organization = organization.as_str().expect("an id").to_owned();
    assert!(!maya.has("Copy organization ID"), "nothing is drawn that does nothing");

    maya.click("Create API Key");
    maya.arrive_at("/settings/integrations/keys/new");
    maya.see_dialog("Create New API Key");
    maya.see_focus_on("Name");
    maya.click("Create API Key");
    maya.see("Enter a name for this key.");
    maya.fill("Name", "Production API Key");
    maya.click("Create API Key");
    let first = maya.read_new_key();
    assert!(!maya.has("Copy key") && !maya.has("Hide"), "nothing is drawn that does nothing");
    check_downloads(&maya, &first, &organization, "Production API Key");
    maya.click("Done");
    maya.arrive_at(HOME);
    assert_eq!(maya.listed_keys(), ["Production API Key"]);
    assert_eq!(maya.server.verdict(&first), "VALID");

    maya.click("Rotate Production API Key");
    maya.see_dialog("Rotate API Key");
    maya.see("This generates a new key for Production API Key and invalidates the old one. Update every service that uses it.");
    maya.click("Rotate Key");
    let second = maya.read_new_key();
    assert_eq!(maya.server.verdict(&first), "ROTATED");
    assert_eq!(maya.server.verdict(&second), "VALID");
    maya.click("Done");
    maya.arrive_at(HOME);

    maya.click("Revoke Production API Key");
    maya.see_dialog("Revoke API Key");
    maya.see("This permanently revokes Production API Key and breaks any integration that uses it. This action cannot be undone.");
    maya.click("Revoke Key");
    maya.arrive_at(HOME);
    maya.see("API key revoked");
    maya.see("Production API Key no longer works.");
    check_toast_stands_bottom_right(&maya);
    assert_eq!(maya.server.verdict(&second), "REVOKED");
    maya.reload();
    maya.see("Create your first API key");
    maya.see_no_more("API key revoked");

    sign_out_ends_the_session(&maya);
}

/// The three files hold what their names promise, to the byte.
fn check_downloads(maya: &Admin, key: &str, organization: &str, name: &str) {
    for kind in ["env", "txt", "json"] {
        maya.click(&format!("Download as .{kind} file"));
    }
    let file = |kind: &str| maya.downloaded(&format!("talvin-ai-production-api-key.{kind}"));
    assert_eq!(file("env"), format!("TALVIN_AI_API_KEY={key}\nTALVIN_AI_ORG_ID={organization}\n"));
    assert_eq!(file("txt"), format!("{key}\n"));
    let json: serde_json::Value = serde_json::from_str(&file("json")).expect("the file is JSON");
    let id = json["id"].as_str().expect("an id").to_owned();
    let expected = serde_json::json!({ "name": name, "id": id, "organization_id": organization, "api_key": key });
    assert_eq!(json, expected);
    assert!(id.starts_with("key_"), "{id}");
}

fn check_toast_stands_bottom_right(maya: &Admin) {
    let box_of_toast = "document.querySelector('[data-toast]').getBoundingClientRect()";
    let gaps = maya.ask(&format!("[innerWidth - {box_of_toast}.right, innerHeight - {box_of_toast}.bottom]"));
    let gap = |index: usize| gaps[index].as_f64().expect("a number");
    assert!((0.0..=40.0).contains(&gap(0)) && (0.0..=40.0).contains(&gap(1)), "at the bottom right: {gaps}");
}

/// The cookie from before is worthless afterwards, wherever a copy of it may lie.
fn sign_out_ends_the_session(maya: &Admin) {
    let cookies = maya.cookies();
    maya.click("Sign out");
    maya.arrive_at("/sign-in");
    for cookie in &cookies {
        maya.set_cookie(cookie);
    }
    assert!(!cookies.is_empty());
    maya.open(HOME);
    maya.see("Sign in");
    assert!(maya.url().contains("/sign-in?return_to="), "{}", maya.url());
}
