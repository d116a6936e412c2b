//! A tour of every state of the product, for whatever is true of all of them.

use chrono::TimeDelta;

use crate::{
    failures::with_a_broken_database,
    harness::{Admin, HOME, Kit, Server},
};

/// What is done in each state; the name is that of its picture.
pub type Look<'a> = dyn FnMut(&Admin, &str) + 'a;

/// Before anybody is signed in.
pub fn signed_out(prepare: impl Fn(&Admin), look: &mut Look) {
    let maya = Admin::at(Server::fresh(), Kit::default());
    prepare(&maya);
    maya.visit(&maya.server.set_up_link.clone().expect("a set-up link"));
    maya.see_focus_on("Organization name");
    look(&maya, "set-up");
    maya.click("Finish set-up");
    maya.see("Enter your name.");
    look(&maya, "set-up-errors");
    maya.open("/sign-in");
    maya.see("There is no account yet.");
    look(&maya, "sign-in-before-set-up");
    maya.visit(&maya.server.set_up_link.clone().expect("a set-up link"));
    maya.set_up();
    maya.arrive_at(HOME);
    maya.click("Sign out");
    maya.arrive_at("/sign-in");
    look(&maya, "sign-in");
    maya.fill("Email", "maya.chen@example.com");
    maya.fill("Password", "not the right password");
    maya.click("Sign in");
    maya.see("The email address or the password is wrong.");
    look(&maya, "sign-in-error");
    maya.open("/sign-in?ended=1");
    maya.see("Your session ended.");
    look(&maya, "sign-in-ended");
    maya.open("/nowhere");
    maya.see("Error 404");
    look(&maya, "error-404");
}

/// The page and its pop-ups.
pub fn with_dialogs(prepare: impl Fn(&Admin), look: &mut Look) {
    let maya = Admin::signed_in();
    prepare(&maya);
    maya.open(HOME);
    maya.see("Create your first API key");
    look(&maya, "list-empty");
    maya.click("Create API Key");
    maya.see_dialog("Create New API Key");
    look(&maya, "create");
    maya.click("Create API Key");
    maya.see("Enter a name for this key.");
    look(&maya, "create-error");
    maya.fill("Name", "Production API Key");
    with_a_broken_database(&maya, || {
        maya.click("Create API Key");
        maya.see("Request ID");
    });
    look(&maya, "create-fault");
    maya.click("Create API Key");
    maya.read_new_key();
    look(&maya, "reveal");
    maya.click("Done");
    maya.see_dialog("Close without saving this key?");
    look(&maya, "guard");
    maya.click("Go back");
    maya.click("Hide");
    look(&maya, "reveal-hidden");
    maya.click("Show");
    maya.click("Download as .txt file");
    maya.see("Saved");
    look(&maya, "reveal-saved");
    maya.click("Done");
    maya.see_no_dialog();
    maya.server.create_keys(&[
        "Staging API Key",
        "Zapier connector",
        LONG_NAME,
        "Data warehouse sync",
        "Mobile app (legacy)",
    ]);
    use_keys(&maya);
    maya.open(HOME);
    maya.see("Unused 90 days");
    look(&maya, "list");
    maya.click("Revoke Mobile app (legacy)");
    maya.see("No requests in the last 90 days.");
    look(&maya, "revoke-unused");
    maya.press("Escape");
    maya.see_no_dialog();
    maya.click("Revoke Zapier connector");
    maya.see("This key may still be in use.");
    look(&maya, "revoke-quiet");
    maya.press("Escape");
    maya.see_no_dialog();
    maya.click("HAProxy");
    maya.see("/etc/haproxy/keystead.lua");
    look(&maya, "protect");
    maya.click(&format!("Rotate {LONG_NAME}"));
    maya.see_dialog("Rotate API Key");
    look(&maya, "rotate-long-name");
    maya.press("Escape");
    maya.see_no_dialog();
    maya.click("Rotate Production API Key");
    maya.see_dialog("Rotate API Key");
    look(&maya, "rotate");
    maya.click("Rotate Key");
    maya.read_new_key();
    look(&maya, "reveal-rotated");
    maya.click("Done");
    maya.click("Close anyway");
    maya.see_no_dialog();
    maya.click("Revoke Production API Key");
    maya.see("This key is in use.");
    look(&maya, "revoke");
    maya.press("Escape");
    maya.see_no_dialog();
    maya.click("Rotate Production API Key");
    maya.see_dialog("Rotate API Key");
    maya.see("Used 2 minutes ago from 203.0.113.80");
    maya.press("Escape");
    maya.see_no_dialog();
    maya.click("Revoke Production API Key");
    maya.see_dialog("Revoke API Key");
    let here = maya.new_tab();
    maya.open(HOME);
    maya.click("Revoke Zapier connector");
    maya.see_dialog("Revoke API Key");
    maya.click("Revoke Key");
    maya.see("Zapier connector no longer works.");
    maya.close_tab(&here);
    maya.click("Revoke Key");
    maya.see("Production API Key no longer works.");
    // A toast in use stays.
    maya.ask("document.querySelector('[data-dismiss]').focus()");
    look(&maya, "toast-good");
    maya.open(HOME);
    maya.in_another_tab(|maya| maya.revoke_key("Staging API Key"));
    maya.click("Rotate Staging API Key");
    maya.see("This key no longer exists");
    look(&maya, "toast-bad");
    maya.click("Keyboard shortcuts");
    maya.see_dialog("Keyboard shortcuts");
    look(&maya, "help");
    maya.click("Close");
    let names = (1..=26).map(|number| format!("Service {number}")).collect::<Vec<_>>();
    maya.server.create_keys_from(100, &names.iter().map(String::as_str).collect::<Vec<_>>());
    maya.open(&format!("{HOME}?page=2"));
    maya.see("Previous");
    look(&maya, "list-page-2");
    maya.open(HOME);
    maya.see("Next");
    look(&maya, "list-page-1");
}

/// The same as pages of their own, as they are without htmx.
pub fn as_pages(kit: Kit, prepare: impl Fn(&Admin), look: &mut Look) {
    let maya = Admin::signed_in_with(kit);
    prepare(&maya);
    maya.open("/settings/integrations/keys/new");
    maya.see_dialog("Create New API Key");
    look(&maya, "page-create");
    maya.click("Create API Key");
    maya.see("Enter a name for this key.");
    look(&maya, "page-create-error");
    maya.fill("Name", "Production API Key");
    maya.click("Create API Key");
    maya.read_new_key();
    look(&maya, "page-reveal");
    maya.reload();
    maya.see("This key was already created.");
    look(&maya, "page-already-created");
    maya.open(HOME);
    for change in ["rotate", "revoke"] {
        let path = maya.ask(&format!("new URL(document.querySelector('[id^={change}-]').form.action).pathname"));
        maya.open(path.as_str().expect("a path"));
        maya.see("Cancel");
        look(&maya, &format!("page-{change}"));
        maya.open(HOME);
    }
    if kit.no_scripts {
        look(&maya, "page-list");
        maya.click("nginx");
        maya.see("/etc/nginx/conf.d/keystead.conf");
        look(&maya, "page-protect");
    }
}

/// Every kind of use: busy, refused of late, no longer, never, and unused for long.
fn use_keys(maya: &Admin) {
    let busy: Vec<(u64, u64)> = (0..30).map(|day| (900 + day * 7919 % 997, 0)).collect();
    let refused: Vec<(u64, u64)> =
        (0..30).map(|day| (40 + day * 7919 % 331, if day > 23 { day * 2 } else { 0 })).collect();
    maya.server.use_key("Production API Key", &busy, TimeDelta::seconds(125));
    maya.server.use_key("Staging API Key", &refused, TimeDelta::hours(3));
    maya.server.use_key("Zapier connector", &[&busy[..20], &[(0, 0); 5]].concat(), TimeDelta::days(5));
    maya.server.use_key(LONG_NAME, &[(1_234_567_890, 1)], TimeDelta::seconds(12));
    maya.server.use_key("Mobile app (legacy)", &[&[(3, 0)][..], &[(0, 0); 94]].concat(), TimeDelta::days(94));
}

/// As long as a name can be, without a place to break it.
pub const LONG_NAME: &str = "WarehouseSynchronizationServiceForTheEuropeanCentralDataCenter";
