//! Toasts: good news goes by itself, bad news stays.

use crate::harness::{Admin, HOME};

/// Eight seconds pass in a blink.
const HASTE: &str = "const { setTimeout: wait } = window;
    window.setTimeout = (deed, ms, ...rest) => wait(deed, ms === 8000 ? 400 : ms, ...rest);";

#[test]
fn good_news_goes_by_itself_but_not_while_it_is_looked_at() {
    let maya = Admin::signed_in();
    maya.before_every_page(HASTE);
    maya.server.create_keys(&["Staging", "Production API Key"]);
    maya.open(HOME);
    maya.revoke_key("Staging");
    maya.until("the toast to go", "!document.querySelector('[data-toast]')");

    maya.revoke_key("Production API Key");
    maya.ask("document.querySelector('[data-dismiss]').focus()");
    maya.run_async("await new Promise((done) => setTimeout(done, 1200))", serde_json::json!([]));
    maya.see("Production API Key no longer works.");
    maya.press("Tab");
    maya.until("the toast to go", "!document.querySelector('[data-toast]')");
}

#[test]
fn bad_news_stays_and_at_most_three_stand_at_once() {
    let maya = Admin::signed_in();
    maya.before_every_page(HASTE);
    maya.server.create_keys(&["One", "Two", "Three", "Four"]);
    maya.open(HOME);
    maya.in_another_tab(|maya| {
        for name in ["One", "Two", "Three", "Four"] {
            maya.revoke_key(name);
        }
    });
    let links = "[...document.querySelectorAll('[id^=rotate-]')].map(({ href }) => href)";
    for link in maya.ask(links).as_array().expect("four links") {
        let get = "await htmx.ajax('GET', a[0], { target: '#modal-body' })";
        maya.run_async(get, serde_json::json!([link]));
    }
    maya.until("three toasts", "document.querySelectorAll('[data-toast]').length === 3");
    maya.run_async("await new Promise((done) => setTimeout(done, 1200))", serde_json::json!([]));
    assert_eq!(maya.ask("document.querySelectorAll('[data-toast][role=alert]').length"), 3);
    maya.see_no_dialog();
}
