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
    check(|look| tour::as_pages(Kit { no_scripts: true, ..Kit::default() }, |_| {}, look));
}

#[test]
fn a_chosen_theme_is_kept() {
    let maya = Admin::signed_in();
    let background = "getComputedStyle(document.documentElement).backgroundColor";
    let light = maya.ask(background);
    maya.click("Switch to dark theme");
    maya.until("the dark theme", "document.documentElement.dataset.theme === 'dark'");
    assert_ne!(maya.ask(background), light);
    maya.open("/sign-in?again");
    assert_ne!(maya.ask(background), light, "on every page");
    maya.click("Switch to light theme");
    maya.until("the light theme", "document.documentElement.dataset.theme === 'light'");
    assert_eq!(maya.ask(background), light);
}

#[test]
fn a_page_that_fits_the_window_does_not_scroll() {
    let maya = Admin::signed_in();
    maya.resize(1360, 1300);
    let fits = "document.documentElement.scrollHeight <= innerHeight";
    assert_eq!(maya.ask(fits), true, "the empty list, {}", maya.ask("document.documentElement.scrollHeight"));
    maya.click("Sign out");
    maya.arrive_at("/sign-in");
    assert_eq!(maya.ask(fits), true, "sign-in, {}", maya.ask("document.documentElement.scrollHeight"));
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
    let toast = maya.ask("(({ left, right }) => [left, document.documentElement.clientWidth - right])(document.querySelector('[data-toast]').getBoundingClientRect())");
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

/// Whatever can be scrolled sideways, with what is to blame. Code may scroll; a screen reader's text is never seen.
fn sticking_out(maya: &Admin) -> serde_json::Value {
    maya.run(
        "const page = document.documentElement;
        const scrolls = (box) => box === page || /auto|scroll/.test(getComputedStyle(box).overflowX);
        return [page, ...document.querySelectorAll('body *:not(pre, .sr)')]
            .filter((box) => scrolls(box) && box.getClientRects().length && box.scrollWidth > box.clientWidth)
            .map((box) => {
                const edge = box.getBoundingClientRect().right + 1;
                const beyond = [...box.querySelectorAll('*')].filter((part) => part.getBoundingClientRect().right > edge);
                const blame = beyond.slice(0, 3).map((part) => `${part.tagName}.${part.getAttribute('class')}`);
                return `${box.tagName}.${box.className} ${box.scrollWidth} > ${box.clientWidth} ${blame}`;
            })",
        serde_json::json!([]),
    )
}
