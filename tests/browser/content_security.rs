//! The content security policy is never run into: not once over the whole journey.

use serde_json::json;

use crate::harness::{Admin, HOME, Kit, Server};

/// Counts in a place that outlives the page.
const COUNTER: &str = "addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) => {
    sessionStorage.violations = (sessionStorage.violations ?? '') + `${violatedDirective} ${blockedURI} ${sample}\\n`;
})";

#[test]
fn the_journey_breaks_no_rule_and_the_console_stays_silent() {
    let maya = Admin::at(Server::fresh(), Kit::default());
    maya.before_every_page(COUNTER);
    maya.visit(&maya.server.set_up_link.clone().expect("a set-up link"));
    maya.set_up();
    maya.arrive_at(HOME);
    maya.click("Copy organization ID");
    maya.hear("Organization ID copied to clipboard.");
    maya.create_key("Production API Key");
    maya.click("Done");
    maya.click("Go back");
    maya.click("Hide");
    maya.click("Show");
    maya.click("Copy key");
    maya.see("Saved");
    maya.click("Download as .env file");
    maya.click("Done");
    maya.see_no_dialog();
    maya.click("Rotate Production API Key");
    maya.click("Rotate Key");
    maya.read_new_key();
    maya.click("Done");
    maya.click("Close anyway");
    maya.see_no_dialog();
    maya.revoke_key("Production API Key");
    maya.click("Dismiss notification");
    maya.press("?");
    maya.see_dialog("Keyboard shortcuts");
    maya.click("Close");
    // The page has the same address before and after.
    maya.click("Switch to dark theme");
    maya.until("the dark theme", "document.documentElement.dataset.theme === 'dark'");
    maya.click("Switch to light theme");
    maya.until("the light theme", "document.documentElement.dataset.theme === 'light'");
    maya.open("/settings/integrations/keys/new");
    maya.fill("Name", "Staging");
    maya.click("Create API Key");
    maya.read_new_key();
    maya.click("Copy key");
    maya.see("Saved");
    maya.click("Done");
    maya.arrive_at(HOME);
    maya.click("Sign out");
    maya.arrive_at("/sign-in");
    maya.sign_in();
    maya.arrive_at(HOME);
    assert_eq!(maya.ask("sessionStorage.violations ?? ''"), "");
    assert_eq!(maya.console_errors(), Vec::<String>::new());

    // The counter does count, and the console does speak.
    maya.run("document.body.setAttribute('style', 'color: red')", json!([]));
    maya.until("the violation to be counted", "sessionStorage.violations?.includes('style-src')");
    assert_eq!(maya.console_errors().len(), 1);
    maya.run("try { document.body.innerHTML = '<b>no</b>' } catch {}", json!([]));
    maya.until("Trusted Types to be enforced", "sessionStorage.violations?.includes('require-trusted-types-for')");
}
