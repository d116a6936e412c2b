//! What is to be copied is selected as a whole by one click, for whoever copies by hand.

use serde_json::json;

use crate::harness::{Admin, Engine, HOME, Kit};

#[test]
fn one_click_selects_a_whole_id_and_a_whole_key_but_no_hidden_one() {
    for engine in Engine::installed() {
        let maya = Admin::signed_in_with(Kit { engine, ..Kit::default() });
        let id = maya.ask("document.querySelector('#organization-id').innerText");
        assert_eq!(selected_by_a_click(&maya, "#organization-id"), id, "{engine:?}");
        maya.open("/nowhere");
        let id = maya.ask("document.querySelector('.request-id code').innerText");
        assert_eq!(selected_by_a_click(&maya, ".request-id code"), id, "{engine:?}");
        maya.open(HOME);
        let key = maya.create_key("Production API Key");
        assert_eq!(selected_by_a_click(&maya, "#secret"), key.as_str(), "{engine:?}");
        maya.click("Hide");
        assert_eq!(selected_by_a_click(&maya, "#secret"), "", "{engine:?}");
    }
}

/// What is selected after a click into the middle of an element.
fn selected_by_a_click(maya: &Admin, selector: &str) -> serde_json::Value {
    let middle = "getSelection().removeAllRanges();
        const { x, y, width, height } = document.querySelector(arguments[0]).getBoundingClientRect();
        return [Math.round(x + width / 2), Math.round(y + height / 2)]";
    let middle = maya.run(middle, json!([selector]));
    let at = |index: usize| middle[index].as_i64().expect("a whole number");
    maya.click_at(at(0), at(1));
    maya.ask("getSelection().toString().trim()")
}
