//! Everything by keyboard alone.

use crate::harness::{Admin, Engine, HOME, Kit, Server};

#[test]
fn an_admin_makes_the_whole_journey_by_keyboard() {
    for engine in Engine::installed() {
        makes_the_whole_journey_by_keyboard(Kit { engine, ..Kit::default() });
    }
}

fn makes_the_whole_journey_by_keyboard(kit: Kit) {
    let maya = Admin::at(Server::with_an_account(), kit);
    maya.open("/");
    maya.see_focus_on("Email");
    maya.type_text(crate::harness::server::EMAIL);
    maya.press("Tab");
    maya.type_text(crate::harness::server::PASSWORD);
    maya.press("Enter");
    maya.arrive_at(HOME);

    maya.press("Tab");
    maya.see_focus_on("Skip to content");
    maya.press("Enter");
    maya.until("the focus in the content", "document.activeElement.id === 'main'");
    maya.press("Tab");
    maya.see_focus_on("Copy organization ID");
    maya.press("Enter");
    maya.hear("Organization ID copied to clipboard.");
    maya.tab_to("Create API Key");
    maya.press("Enter");
    maya.see_dialog("Create New API Key");
    maya.see_focus_on("Name");
    maya.type_text("Production API Key");
    maya.press("Enter");
    let first = maya.read_new_key();
    maya.see_focus_on("Copy key");
    maya.press("Enter");
    maya.see("Saved");
    maya.tab_to("Done");
    maya.press("Enter");
    maya.see_no_dialog();
    assert_eq!(maya.server.verdict(&first), "VALID");

    maya.tab_to("Rotate Production API Key");
    maya.press("Enter");
    maya.see_dialog("Rotate API Key");
    maya.see_focus_on("Cancel");
    maya.tab_to("Rotate Key");
    maya.press("Enter");
    let second = maya.read_new_key();
    maya.see_focus_on("Copy key");
    maya.press("Space");
    maya.see("Saved");
    maya.press("Escape");
    maya.see_no_dialog();
    maya.see_focus_on("Rotate Production API Key");
    assert_eq!(maya.server.verdict(&first), "ROTATED");

    maya.press("Tab");
    maya.see_focus_on("Revoke Production API Key");
    maya.press("Enter");
    maya.see_dialog("Revoke API Key");
    maya.see_focus_on("Cancel");
    maya.press("Tab");
    maya.see_focus_on("Revoke Key");
    maya.press("Enter");
    maya.see("Production API Key no longer works.");
    maya.until("the focus on the heading", "document.activeElement.id === 'keys-h'");
    assert_eq!(maya.server.verdict(&second), "REVOKED");
}

#[test]
fn single_keys_are_shortcuts_until_they_are_switched_off() {
    let maya = Admin::signed_in();
    maya.press("c");
    maya.see_dialog("Create New API Key");
    maya.see_focus_on("Name");
    maya.type_text("c?");
    assert_eq!(maya.value("Name"), "c?", "in a field a letter is a letter");
    maya.press("Escape");
    maya.see_no_dialog();
    maya.see_focus_on("Create API Key");
    maya.press("?");
    maya.see_dialog("Keyboard shortcuts");
    maya.press("c");
    maya.see_dialog("Keyboard shortcuts");
    maya.click("Use single-key shortcuts");
    maya.press("Escape");
    maya.see_no_dialog();
    for round in ["now", "after a reload"] {
        maya.press("c");
        maya.press("?");
        // Whatever they started would be there by the time an answer of the server is.
        maya.run_async("await fetch('/settings/integrations/keys/new')", serde_json::json!([]));
        maya.see_no_dialog();
        assert_eq!(maya.ask("document.querySelector('#modal-body').childElementCount"), 0, "{round}");
        maya.reload();
    }
    maya.click("Keyboard shortcuts");
    maya.see_dialog("Keyboard shortcuts");
    maya.click("Use single-key shortcuts");
    maya.click("Close");
    maya.see_no_dialog();
    maya.press("c");
    maya.see_dialog("Create New API Key");
}

#[test]
fn focus_returns_to_where_it_came_from() {
    let maya = Admin::signed_in();
    maya.server.create_keys(&["Production API Key"]);
    maya.open(HOME);
    for (opener, dialog) in [
        ("Create API Key", "Create New API Key"),
        ("Rotate Production API Key", "Rotate API Key"),
        ("Revoke Production API Key", "Revoke API Key"),
        ("Keyboard shortcuts", "Keyboard shortcuts"),
    ] {
        maya.click(opener);
        maya.see_dialog(dialog);
        maya.press("Escape");
        maya.see_no_dialog();
        maya.see_focus_on(opener);
    }
}

#[test]
fn a_bad_toast_stays_until_it_is_dismissed_by_keyboard() {
    let maya = Admin::signed_in();
    maya.server.create_keys(&["Production API Key"]);
    maya.open(HOME);
    maya.in_another_tab(|maya| maya.revoke_key("Production API Key"));
    maya.click("Rotate Production API Key");
    maya.see("This key no longer exists");
    maya.tab_to("Dismiss notification");
    maya.press("Enter");
    maya.see_no_more("This key no longer exists");
    maya.until("the focus on the heading", "document.activeElement.id === 'keys-h'");
}
