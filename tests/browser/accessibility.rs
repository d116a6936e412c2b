//! No violation that axe-core can find, in any state, in either theme, on a desk and on a phone.

use serde_json::json;

use crate::{
    harness::{Admin, Kit},
    tour,
};

const AXE: &str = include_str!("vendor/axe-core/axe.min.js");

#[test]
fn signed_out_pages_are_accessible() {
    check(|look| tour::signed_out(bring_axe, look));
}

#[test]
fn the_page_and_its_dialogs_are_accessible() {
    check(|look| tour::with_dialogs(bring_axe, look));
}

#[test]
fn pages_without_htmx_are_accessible() {
    check(|look| tour::as_pages(Kit::default(), bring_axe, look));
}

#[test]
fn the_drawer_on_a_phone_is_accessible() {
    let maya = Admin::signed_in();
    bring_axe(&maya);
    maya.resize(390, 844);
    maya.reload();
    maya.click("Open settings menu");
    maya.see_element("#side");
    for theme in ["light", "dark"] {
        maya.theme(theme);
        maya.settle();
        assert_eq!(violations(&maya), Vec::<String>::new(), "{theme}");
    }
}

fn bring_axe(maya: &Admin) {
    maya.before_every_page(AXE);
}

fn check(tour: impl FnOnce(&mut tour::Look)) {
    let mut found = Vec::new();
    tour(&mut |maya, state| {
        for (width, height) in [(1360, 900), (390, 844)] {
            for theme in ["light", "dark"] {
                maya.resize(width, height);
                maya.theme(theme);
                maya.settle();
                found.extend(violations(maya).into_iter().map(|what| format!("{state}, {theme}, {width} px: {what}")));
            }
        }
        maya.resize(1360, 900);
        maya.theme("light");
    });
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

fn violations(maya: &Admin) -> Vec<String> {
    let tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    let script = "const { violations, passes } = await axe.run(document, { runOnly: a[0], resultTypes: ['violations'] });
        if (passes.length < 10) throw new Error('axe saw next to nothing');
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, any }) => `${target} ${any.map((x) => x.message)}`).join(' | ')}`)";
    let found = maya.run_async(script, json!([tags]));
    found.as_array().into_iter().flatten().filter_map(|what| what.as_str().map(str::to_owned)).collect()
}
