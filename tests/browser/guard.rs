//! A key that was not saved cannot be lost by accident.

use crate::harness::Admin;

const GUARD: &str = "Close without saving this key?";

#[test]
fn done_x_esc_and_the_backdrop_all_meet_the_guard() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Production API Key");
    let ways: [(&str, &dyn Fn()); 4] = [
        ("Done", &|| maya.click("Done")),
        ("X", &|| maya.click("Close")),
        ("Esc", &|| maya.press("Escape")),
        ("backdrop", &|| maya.click_at(5, 5)),
    ];
    for (way, try_to_close) in ways {
        try_to_close();
        maya.see_dialog(GUARD);
        maya.see("You haven't copied or downloaded it. Once closed it can't be shown again — you would have to rotate the key to get a new one.");
        maya.see_focus_on("Go back");
        maya.click("Go back");
        maya.see_dialog("Your New API Key");
        assert_eq!(maya.read_new_key(), key, "after {way}");
        maya.see("Not saved yet");
    }
}

#[test]
fn esc_pressed_again_and_again_never_loses_the_key() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Production API Key");
    for times in 1..=7 {
        maya.press("Escape");
        assert_eq!(
            maya.ask("document.querySelector('#modal').open && document.querySelector('#secret').textContent.trim()"),
            key,
            "Esc {times} times"
        );
    }
}

#[test]
fn close_anyway_closes_and_the_key_leaves_the_page() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Production API Key");
    maya.click("Done");
    maya.see_dialog(GUARD);
    maya.click("Close anyway");
    maya.see_no_dialog();
    assert!(!maya.finds_anywhere(&key));
    assert_eq!(maya.listed_keys(), ["Production API Key"]);
}

#[test]
fn once_copied_the_key_closes_at_once() {
    let maya = Admin::signed_in();
    let ways: [(&str, &dyn Fn()); 3] =
        [("Done", &|| maya.click("Done")), ("X", &|| maya.click("Close")), ("Esc", &|| maya.press("Escape"))];
    for (name, close) in ways {
        let key = maya.create_key(name);
        maya.click("Copy key");
        maya.see("Saved");
        maya.click_at(5, 5);
        maya.see_dialog("Your New API Key");
        close();
        maya.see_no_dialog();
        assert!(!maya.finds_anywhere(&key), "closed by {name}");
    }
}

#[test]
fn a_download_saves_and_so_does_copying_by_hand() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Downloaded");
    maya.click("Download as .env file");
    maya.see("Saved");
    maya.click("Done");
    maya.see_no_dialog();
    assert!(maya.downloaded("talvin-ai-downloaded.env").contains(&key));

    let key = maya.create_key("By hand");
    // One click selects the whole of it.
    maya.ask("document.querySelector('#secret').focus()");
    maya.ask("getSelection().selectAllChildren(document.querySelector('#secret'))");
    maya.press("Control+c");
    maya.see("Saved");
    assert_eq!(maya.clipboard(), key);
    maya.click("Done");
    maya.see_no_dialog();
}

#[test]
fn copying_the_example_request_saves_nothing() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Production API Key");
    maya.click("Copy example request");
    maya.hear("Example request copied to clipboard.");
    let request = maya.clipboard();
    assert!(
        request.starts_with("curl http") && request.contains("$TALVIN_AI_API_KEY") && !request.contains(&key),
        "{request}"
    );
    maya.see("Not saved yet");
}

#[test]
fn the_key_can_be_hidden_and_still_be_copied() {
    let maya = Admin::signed_in();
    let key = maya.create_key("Production API Key");
    maya.see(&key);
    maya.click("Hide");
    maya.until("the key to be masked", "getComputedStyle(document.querySelector('#secret')).userSelect !== 'all' || !!document.querySelector('[data-masked]')");
    // Its label says what it does next; a pressed state beside it would say the opposite.
    assert!(maya.has("Show") && !maya.has("Hide"));
    assert_eq!(maya.ask("document.querySelector('[data-mask]').hasAttribute('aria-pressed')"), false);
    maya.click("Copy key");
    maya.see("Saved");
    assert_eq!(maya.clipboard(), key);
    maya.click("Show");
    assert!(maya.has("Hide") && !maya.has("Show"));
}

#[test]
fn leaving_the_page_asks_first_while_the_key_is_unsaved() {
    let maya = Admin::signed_in();
    let asks = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))";
    assert_eq!(maya.ask(asks), false, "nothing to lose yet");
    maya.create_key("Production API Key");
    assert_eq!(maya.ask(asks), true, "unsaved");
    maya.click("Copy key");
    maya.see("Saved");
    assert_eq!(maya.ask(asks), false, "saved");
}

#[test]
fn the_guard_stands_on_the_page_that_opens_in_a_tab_of_its_own_too() {
    let maya = Admin::signed_in();
    maya.open("/settings/integrations/keys/new");
    maya.see_dialog("Create New API Key");
    maya.fill("Name", "Production API Key");
    maya.click("Create API Key");
    let key = maya.read_new_key();
    maya.click("Done");
    maya.see_dialog(GUARD);
    maya.click("Go back");
    maya.see_no_dialog();
    maya.click("Copy key");
    maya.see("Saved");
    assert_eq!(maya.clipboard(), key);
    maya.click("Done");
    maya.arrive_at("/settings/integrations");
    assert_eq!(maya.listed_keys(), ["Production API Key"]);
}
