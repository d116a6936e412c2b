//! What comes out of a printer.

use serde_json::json;

use crate::harness::{Admin, HOME};

#[test]
fn twenty_five_keys_are_one_sheet() {
    let maya = Admin::signed_in();
    let names = (1..=25).map(|n| format!("Key number {n}")).collect::<Vec<_>>();
    maya.server.create_keys(&names.iter().map(String::as_str).collect::<Vec<_>>());
    maya.open(HOME);
    let pdf = maya.print();
    // An object a page, and one for their tree.
    let objects = pdf.windows(11).filter(|window| window.starts_with(b"/Type /Page"));
    assert_eq!(objects.count() - pdf.windows(12).filter(|window| window.starts_with(b"/Type /Pages")).count(), 1);
}

#[test]
fn a_new_key_is_on_no_paper() {
    let maya = Admin::signed_in();
    maya.create_key("Production API Key");
    let is_drawn = "document.querySelector('#secret').checkVisibility()";
    assert_eq!(maya.ask(is_drawn), true);
    maya.devtools("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    assert_eq!(maya.ask(is_drawn), false, "in the dialog");
    maya.devtools("Emulation.setEmulatedMedia", json!({ "media": "" }));
    maya.click("Copy key");
    maya.see("Saved");
    maya.open("/settings/integrations/keys/new");
    maya.fill("Name", "Staging");
    maya.click("Create API Key");
    maya.read_new_key();
    maya.devtools("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    assert_eq!(maya.ask(is_drawn), false, "on a page of its own");
}
