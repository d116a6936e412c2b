//! Nothing sticks out at the side, from the smallest phone to a wide screen.

use crate::{
    harness::{Admin, Kit},
    tour,
};

#[test]
fn signed_out_pages_fit_every_screen() {
    check(|look| tour::signed_out(|_| {}, look));
}

#[test]
fn the_page_and_its_dialogs_fit_every_screen() {
    check(|look| tour::with_dialogs(|_| {}, look));
}

#[test]
fn pages_without_scripts_fit_every_screen() {
    check(|look| tour::as_pages(Kit { no_scripts: true }, |_| {}, look));
}

#[test]
fn on_a_phone_the_menu_is_a_drawer() {
    let maya = Admin::signed_in();
    maya.resize(320, 640);
    assert!(!maya.has("Sign out"));
    maya.click("Open settings menu");
    maya.see_element("#side a[href='/settings/integrations']");
    assert_eq!(sticking_out(&maya), serde_json::json!([]));
    maya.press("Escape");
    maya.until("the drawer to close", "!document.querySelector('#side').matches(':popover-open')");
    maya.create_and_save_key("Production API Key");
    maya.revoke_key("Production API Key");
    let toast = maya.ask("(({ left, right }) => [left, innerWidth - right])(document.querySelector('[data-toast]').getBoundingClientRect())");
    assert!(
        toast[0].as_f64() < Some(24.0) && toast[1].as_f64() < Some(24.0),
        "the toast takes the whole width: {toast}"
    );
    maya.click("Open settings menu");
    maya.click("Sign out");
    maya.arrive_at("/sign-in");
}

fn check(tour: impl FnOnce(&mut tour::Look)) {
    let mut found = Vec::new();
    tour(&mut |maya, state| {
        for width in [320, 390, 768, 901, 1920] {
            maya.resize(width, 800);
            let out = sticking_out(maya);
            if out != serde_json::json!([]) {
                found.push(format!("{state} at {width} px: {out}"));
            }
        }
        maya.resize(1360, 900);
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The page and its dialogs, where they can be scrolled sideways, with what is to blame.
fn sticking_out(maya: &Admin) -> serde_json::Value {
    maya.run(
        "const boxes = [document.documentElement, ...document.querySelectorAll('dialog[open], dialog[open] *, .standalone, .standalone *')]
            .filter((box) => !box.closest('pre'));
        return boxes.filter((box) => box === document.documentElement || /auto|scroll|hidden/.test(getComputedStyle(box).overflowX))
            .filter((box) => !box.classList.contains('sr') && box.scrollWidth > box.clientWidth + (box === document.documentElement ? 0 : 1))
            .map((box) => `${box.tagName}.${box.className} ${box.scrollWidth} > ${box.clientWidth}: ` +
                [...box.querySelectorAll('*')].filter((part) => part.getBoundingClientRect().right > box.getBoundingClientRect().right + 1)
                    .slice(0, 3).map((part) => `${part.tagName}.${part.className}`))",
        serde_json::json!([]),
    )
}
