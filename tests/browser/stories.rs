//! Stories that others paid for.

use crate::harness::{Admin, HOME, Kit};

#[test]
fn closing_while_the_request_runs_does_not_lose_the_key() {
    let (maya, line) = Admin::signed_in_over_a_line();
    let ways: [(&str, &dyn Fn()); 3] =
        [("Esc", &|| maya.press("Escape")), ("Cancel", &|| maya.click("Cancel")), ("X", &|| maya.click("Close"))];
    for (name, close) in ways {
        maya.start_creating(name);
        line.hold();
        maya.click("Create API Key");
        line.wait_for_an_answer();
        close();
        maya.see_no_dialog();
        line.release();
        let key = maya.read_new_key();
        assert_eq!(maya.server.verdict(&key), "VALID");
        maya.click("Copy key");
        maya.see("Saved");
        maya.click("Done");
        maya.see_no_dialog();
    }
    assert_eq!(maya.listed_keys().len(), 3);
}

#[test]
fn another_dialog_opened_while_the_request_runs_does_not_lose_the_key() {
    let (maya, line) = Admin::signed_in_over_a_line();
    maya.create_and_save_key("Staging");
    maya.start_creating("Production API Key");
    line.hold();
    maya.click("Create API Key");
    line.wait_for_an_answer();
    maya.press("Escape");
    maya.see_no_dialog();
    maya.click("Rotate Staging");
    line.release();
    let key = maya.read_new_key();
    assert_eq!(maya.server.verdict(&key), "VALID");
    maya.see("Production API Key is ready to use.");
}

#[test]
fn a_double_click_makes_one_key() {
    let maya = Admin::signed_in();
    maya.start_creating("Production API Key");
    maya.double_click("Create API Key");
    let key = maya.read_new_key();
    maya.click("Copy key");
    maya.click("Done");
    maya.see_no_dialog();
    assert_eq!(maya.listed_keys(), ["Production API Key"]);

    maya.click("Rotate Production API Key");
    maya.see_dialog("Rotate API Key");
    maya.double_click("Rotate Key");
    let rotated = maya.read_new_key();
    assert_eq!(maya.server.verdict(&key), "ROTATED");
    assert_eq!(maya.server.verdict(&rotated), "VALID");
}

#[test]
fn a_double_click_makes_one_key_without_htmx_too() {
    for kit in [Kit::default(), Kit { no_scripts: true, ..Kit::default() }] {
        let maya = Admin::signed_in_with(kit);
        maya.open("/settings/integrations/keys/new");
        maya.fill("Name", "Production API Key");
        maya.double_click("Create API Key");
        if kit.no_scripts {
            // The browser drops the first answer in favour of the second, and the second never shows a key.
            maya.until("an answer", "!document.querySelector('[name=idem]')");
        } else {
            let key = maya.read_new_key();
            assert_eq!(maya.server.verdict(&key), "VALID");
        }
        maya.open(HOME);
        assert_eq!(maya.listed_keys(), ["Production API Key"]);
    }
}

#[test]
fn refreshing_the_list_never_touches_the_dialog() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Production API Key");
    maya.server.create_keys(&["Made elsewhere"]);
    maya.run_async(
        "await htmx.ajax('GET', '/settings/integrations/keys', { target: '#key-rows', swap: 'outerHTML' })",
        serde_json::json!([]),
    );
    maya.until("the list to be fresh", "document.querySelectorAll('#key-list .key-name').length === 2");
    assert_eq!(maya.read_new_key(), key);
    maya.see("Not saved yet");
    maya.click("Done");
    maya.see_dialog("Close without saving this key?");
}

#[test]
fn a_name_full_of_html_stays_text_everywhere() {
    const NAME: &str = "<img src=x onerror=alert(1)>\"'&amp;{{7*7}}";
    let maya = Admin::signed_in();
    maya.before_every_page("window.alert = () => document.documentElement.setAttribute('data-alerted', '')");
    maya.open(HOME);
    let is_inert = |place: &str| {
        let harmful = maya
            .ask("[document.querySelectorAll('img, [onerror]').length, 'alerted' in document.documentElement.dataset]");
        assert_eq!(harmful, serde_json::json!([0, false]), "{place}");
    };
    maya.create_key(NAME);
    maya.see(&format!("{NAME} is ready to use."));
    is_inert("the new key");
    maya.click("Download as .json file");
    let json: serde_json::Value =
        serde_json::from_str(&maya.downloaded("talvin-ai-img-src-x-onerror-alert-1-amp-7-7.json")).expect("JSON");
    assert_eq!(json["name"], NAME);
    maya.click("Done");
    maya.see_no_dialog();
    assert_eq!(maya.listed_keys(), [NAME]);
    is_inert("the list");

    maya.start_creating(NAME);
    maya.click("Create API Key");
    maya.see("A key with this name already exists. Choose a different name.");
    assert_eq!(maya.value("Name"), NAME);
    is_inert("the form that comes back");
    maya.press("Escape");
    maya.see_no_dialog();

    maya.click(&format!("Rotate {NAME}"));
    maya.see(&format!("This generates a new key for {NAME} and invalidates the old one."));
    is_inert("the rotate dialog");
    maya.click("Rotate Key");
    maya.see_dialog("Your New API Key");
    maya.see(&format!("{NAME} has a new key."));
    is_inert("the rotated key");
    maya.click("Copy key");
    maya.see("Saved");
    maya.click("Done");

    maya.click(&format!("Revoke {NAME}"));
    maya.see(&format!("This permanently revokes {NAME} and breaks any integration that uses it."));
    is_inert("the revoke dialog");
    maya.click("Revoke Key");
    maya.see(&format!("{NAME} no longer works."));
    is_inert("the toast");
}

#[test]
fn a_key_revoked_in_another_tab_is_missed_politely() {
    let maya = Admin::signed_in();
    maya.server.create_keys(&["Staging", "Production API Key"]);
    maya.open(HOME);
    maya.in_another_tab(|maya| maya.revoke_key("Production API Key"));

    maya.click("Rotate Production API Key");
    maya.see("This key no longer exists");
    maya.see_no_dialog();
    maya.click("Dismiss notification");
    maya.see_no_more("This key no longer exists");
    assert_eq!(maya.listed_keys(), ["Staging"], "the list is as it now is");
    maya.click("Rotate Staging");
    maya.see_dialog("Rotate API Key");
    maya.press("Escape");
    maya.see_no_dialog();
}

#[test]
fn a_key_revoked_in_another_tab_while_its_dialog_is_open_is_missed_politely() {
    for (change, button) in [("Rotate", "Rotate Key"), ("Revoke", "Revoke Key")] {
        let maya = Admin::signed_in();
        maya.server.create_keys(&["Staging", "Production API Key"]);
        maya.open(HOME);
        maya.click(&format!("{change} Production API Key"));
        maya.see(button);
        maya.in_another_tab(|maya| maya.revoke_key("Production API Key"));
        maya.click(button);
        maya.see("This key no longer exists");
        maya.see_no_dialog();
    }
}

#[test]
fn a_key_rotated_in_another_tab_is_not_rotated_again_unasked() {
    let maya = Admin::signed_in();
    let first = maya.create_and_save_key("Production API Key");
    maya.click("Rotate Production API Key");
    maya.see_dialog("Rotate API Key");
    maya.in_another_tab(|maya| {
        maya.click("Rotate Production API Key");
        maya.click("Rotate Key");
        maya.read_new_key();
        maya.click("Copy key");
        maya.see("Saved");
    });
    maya.click("Rotate Key");
    maya.hear("This key was rotated in the meantime, perhaps in another tab.");
    maya.see_dialog("Rotate API Key");
    maya.click("Rotate Key");
    let third = maya.read_new_key();
    assert_eq!(maya.server.verdict(&third), "VALID");
    assert_eq!(maya.server.verdict(&first), "ROTATED");
}

#[test]
fn a_session_ended_in_another_tab_leads_to_sign_in_and_back() {
    let maya = Admin::signed_in();
    maya.in_another_tab(|maya| {
        maya.click("Sign out");
        maya.see("Email");
    });
    maya.click("Create API Key");
    maya.see("Your session ended. Sign in to continue.");
    maya.sign_in();
    maya.arrive_at(HOME);
    maya.see("Create your first API key");
}

#[test]
fn back_reload_and_history_show_no_key_again() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Production API Key");
    maya.click("Copy key");
    maya.see("Saved");
    let leaves: [(&str, &dyn Fn()); 3] = [
        ("reload", &|| maya.reload()),
        ("back", &|| {
            maya.open("/sign-in?there");
            maya.back();
        }),
        ("forward", &|| {
            maya.back();
            maya.forward();
        }),
    ];
    for (way, leave) in leaves {
        leave();
        maya.until("the page to be ready", "document.readyState === 'complete'");
        assert!(!maya.finds_anywhere(&key), "after {way}");
    }
}

#[test]
fn without_scripts_back_reload_and_history_show_no_key_again_either() {
    for kit in [Kit::default(), Kit { no_scripts: true, ..Kit::default() }] {
        let maya = Admin::signed_in_with(kit);
        maya.open("/settings/integrations/keys/new");
        maya.fill("Name", "Production API Key");
        maya.click("Create API Key");
        let key = maya.read_new_key();
        // Sends the form once more.
        maya.reload();
        maya.see("This key was already created. Its secret can't be shown again. Rotate it to get a new one.");
        assert!(!maya.finds_anywhere(&key), "after reload");

        maya.click("Back to Integrations");
        maya.arrive_at(HOME);
        assert_eq!(maya.listed_keys(), ["Production API Key"]);
        maya.click("Rotate Production API Key");
        maya.click("Rotate Key");
        let key = maya.read_new_key();
        maya.click("Download as .txt file");
        maya.downloaded("talvin-ai-production-api-key.txt");
        maya.click("Done");
        maya.arrive_at(HOME);
        maya.back();
        assert!(!maya.finds_anywhere(&key), "after going back to it");
        assert_eq!(maya.server.verdict(&key), "VALID", "looking back changes nothing");
    }
}

#[test]
fn the_first_key_of_an_empty_list_brings_the_list() {
    let maya = Admin::signed_in();
    maya.see("Create your first API key");
    maya.see("A key lets your code call the Talvin AI API on behalf of your organization. You can rotate or revoke it at any time.");
    let buttons = "[...document.querySelectorAll('#new-key')].map((button) => !!button.closest('#key-list'))";
    assert_eq!(maya.ask(buttons), serde_json::json!([true]), "the empty list carries the button");
    maya.create_and_save_key("Production API Key");
    assert_eq!(maya.listed_keys(), ["Production API Key"]);
    assert_eq!(maya.ask(buttons), serde_json::json!([false]), "the heading carries it now");
    maya.see_focus_on("Create API Key");
    maya.see("1 key");
    maya.revoke_key("Production API Key");
    maya.see("Create your first API key");
    assert_eq!(maya.ask(buttons), serde_json::json!([true]), "and back again");
}

#[test]
fn twenty_six_keys_make_two_pages_and_a_dialog_leaves_you_where_you_were() {
    let maya = Admin::signed_in();
    let names = (1..=27).map(|number| format!("Key {number}")).collect::<Vec<_>>();
    maya.server.create_keys(&names.iter().map(String::as_str).collect::<Vec<_>>());
    maya.open(HOME);
    maya.see("Showing 1–25 of 27");
    assert!(!maya.has("Previous"));
    maya.click("Next");
    maya.see("Showing 26–27 of 27");
    assert!(!maya.has("Next"));
    let last = maya.listed_keys();
    maya.revoke_key(&last[0]);
    maya.see("Showing 26–26 of 26");
    maya.revoke_key(&last[1]);
    maya.see("25 keys");
    assert_eq!(maya.listed_keys().len(), 25, "an emptied last page gives way to the one before");
}

#[test]
fn a_gateways_configuration_is_copied_whole_and_one_is_open_at_a_time() {
    let maya = Admin::signed_in();
    maya.click("HAProxy");
    maya.click("Copy /etc/haproxy/haproxy.cfg");
    maya.hear("/etc/haproxy/haproxy.cfg copied to clipboard.");
    let copied = maya.clipboard();
    assert!(copied.starts_with("global\n"), "{copied}");
    assert!(copied.ends_with('\n'), "HAProxy refuses a file without the end of its last line");
    maya.click("nginx");
    maya.until("the others to close", "document.querySelectorAll('details[open]').length === 1");
    maya.click("Copy example request for nginx");
    maya.hear("Example request copied to clipboard.");
    let path = "/v1/forward-auth/nginx -H \"Authorization: Bearer $TALVIN_AI_API_KEY\"";
    assert!(maya.clipboard().ends_with(path), "{}", maya.clipboard());
}
