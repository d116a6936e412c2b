//! Toasts: good news goes by itself, bad news stays.

use crate::harness::{Admin, HOME};

/// Eight seconds pass when the test says so, by `passEightSeconds()`, and not before.
const CLOCK: &str = "const { setTimeout: wait, clearTimeout: forget } = window;
    const due = new Map();
    window.setTimeout = (callback, ms, ...rest) => {
        if (ms !== 8000) return wait(callback, ms, ...rest);
        due.set(`eight ${due.size} ${Math.random()}`, callback);
        return [...due.keys()].pop();
    };
    window.clearTimeout = (id) => due.delete(id) || forget(id);
    window.passEightSeconds = () => {
        const callbacks = [...due.values()];
        due.clear();
        callbacks.forEach((callback) => callback());
        return callbacks.length;
    };";

const PASS: &str = "passEightSeconds()";

#[test]
fn good_news_goes_by_itself_but_not_while_it_is_looked_at() {
    let maya = Admin::signed_in();
    maya.before_every_page(CLOCK);
    maya.server.create_keys(&["Staging", "Production API Key"]);
    maya.open(HOME);
    maya.revoke_key("Staging");
    maya.until("its clock to run", PASS);
    maya.until("the toast to go", "!document.querySelector('[data-toast]')");

    maya.revoke_key("Production API Key");
    maya.ask("document.querySelector('[data-dismiss]').focus()");
    assert_eq!(maya.ask(PASS), 0, "nothing runs out while it has the focus");
    maya.see("Production API Key no longer works.");
    maya.press("Tab");
    maya.until("its clock to run again", PASS);
    maya.until("the toast to go", "!document.querySelector('[data-toast]')");
}

#[test]
fn bad_news_stays_and_at_most_three_stand_at_once() {
    let maya = Admin::signed_in();
    maya.before_every_page(CLOCK);
    maya.server.create_keys(&["One", "Two", "Three", "Four"]);
    maya.open(HOME);
    maya.in_another_tab(|maya| {
        for name in ["One", "Two", "Three", "Four"] {
            maya.revoke_key(name);
        }
    });
    let links = "[...document.querySelectorAll('[id^=rotate-]')].map(({ form }) => form.action)";
    for link in maya.ask(links).as_array().expect("four links") {
        let get = "await htmx.ajax('GET', a[0], { target: '#modal-body' })";
        maya.run_async(get, serde_json::json!([link]));
    }
    maya.until("three toasts", "document.querySelectorAll('[data-toast]').length === 3");
    maya.ask(PASS);
    assert_eq!(maya.ask("document.querySelectorAll('[data-toast][role=alert]').length"), 3);
    maya.see_no_dialog();
}
