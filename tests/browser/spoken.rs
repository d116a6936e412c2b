//! What a screen reader is given to say, in every engine.

use serde_json::json;

use crate::harness::{Admin, Engine, HOME, Kit, Server};

/// The text of everything that `aria-describedby` of the element with the focus names.
const DESCRIPTION: &str = "(document.activeElement.getAttribute('aria-describedby') ?? '').split(' ')
    .map((id) => document.getElementById(id)?.innerText ?? '').join(' ')";

#[test]
fn a_new_key_is_announced_with_its_title_and_that_it_is_shown_once() {
    for engine in Engine::installed() {
        let maya = Admin::signed_in_with(Kit { engine, ..Kit::default() });
        maya.create_key("Production API Key");
        maya.see_focus_on("Copy key");
        assert_eq!(maya.spoken_focus(), ("button".to_owned(), "Copy key".to_owned()));
        let said = maya.ask(DESCRIPTION);
        let said = said.as_str().unwrap_or_default();
        for words in ["Your New API Key", "is ready to use", "you won't be able to see it again"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_field_is_said_and_a_closed_dialog_leaves_nothing_to_say() {
    for engine in Engine::installed() {
        let maya = Admin::signed_in_with(Kit { engine, ..Kit::default() });
        maya.start_creating(" ");
        maya.click("Create API Key");
        maya.until(
            "the dialog to say the mistake",
            "document.querySelector('#modal-live').textContent === 'Enter a name for this key.'",
        );
        maya.see_focus_on("Name");
        assert_eq!(maya.spoken_focus(), ("textbox".to_owned(), "Name".to_owned()));
        assert_eq!(maya.ask(DESCRIPTION), "Enter a name for this key.");
        maya.fill("Name", "Production API Key");
        maya.click("Create API Key");
        maya.read_new_key();
        maya.click("Copy key");
        maya.hear("API key copied to clipboard.");
        maya.click("Done");
        maya.see_no_dialog();
        assert_eq!(maya.ask("document.querySelector('#modal-live').textContent"), "");
    }
}

#[test]
fn a_toast_is_read_as_a_whole_and_its_title_first() {
    for engine in Engine::installed() {
        let maya = Admin::signed_in_with(Kit { engine, ..Kit::default() });
        maya.server.create_keys(&["Production API Key"]);
        maya.open(HOME);
        maya.revoke_key("Production API Key");
        let toast = "document.querySelector('#toast-live > [data-toast]')";
        assert_eq!(maya.ask(&format!("{toast}.getAttribute('aria-atomic')")), "true");
        let said = maya.ask(&format!("{toast}.innerText"));
        assert!(said.as_str().unwrap_or_default().starts_with("API key revoked"), "{said}");
    }
}

#[test]
fn tab_never_stops_on_a_dialog_itself() {
    for engine in Engine::installed() {
        let maya = Admin::signed_in_with(Kit { engine, ..Kit::default() });
        // So low that the dialog scrolls: browsers make stops of what scrolls.
        maya.resize(1360, 420);
        maya.create_key("Production API Key");
        for _ in 0..24 {
            let here = maya.ask("document.activeElement.tagName + '#' + document.activeElement.id");
            assert!(here != "DIALOG#modal" && here != "DIV#modal-body", "{here}");
            maya.press("Tab");
        }
    }
}

#[test]
fn space_presses_whatever_looks_like_a_button_with_scripts_off_too() {
    for engine in Engine::installed() {
        let maya = Admin::signed_in_with(Kit { no_scripts: true, engine });
        maya.server.create_keys(&["Production API Key"]);
        for (name, heading) in [
            ("Create API Key", "Create New API Key"),
            ("Rotate Production API Key", "Rotate API Key"),
            ("Revoke Production API Key", "Revoke API Key"),
        ] {
            maya.open(HOME);
            maya.tab_to(name);
            assert_eq!(maya.spoken_focus(), ("button".to_owned(), name.to_owned()));
            maya.press("Space");
            maya.see_dialog(heading);
            maya.tab_to("Cancel");
            maya.press("Space");
            maya.arrive_at(HOME);
        }
    }
}

#[test]
fn chromium_describes_the_button_in_its_accessibility_tree() {
    let maya = Admin::at(Server::with_an_account(), Kit::default());
    maya.open("/");
    maya.sign_in();
    maya.arrive_at(HOME);
    maya.create_key("Production API Key");
    maya.see_focus_on("Copy key");
    let tree = maya.devtools("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
    let button = nodes.iter().find(|node| node["name"]["value"] == "Copy key" && node["role"]["value"] == "button");
    let description = button.map(|node| node["description"]["value"].to_string()).unwrap_or_default();
    assert!(description.contains("Your New API Key") && description.contains("see it again"), "{description}");
}
