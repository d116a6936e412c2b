//! What the pop-ups say while a node is silent. A browser test has one server, so the answers of another that waits are put
//! into its place here; what is under test is what the page does with them.

use crate::harness::Admin;

/// Answers the questions of `data-receipt` elements from a list, one after the other; null is a proxy's 502. What was asked
/// for is answered when the list grows, and `sayNext` makes it grow.
const ANSWERS: &str = "const { fetch: real } = window;
    const answers = [];
    let waiting;
    const answer = (words) => words === null
        ? new Response('Bad gateway', { status: 502 })
        : new Response(words + '<i data-end hidden></i>', { headers: { 'Keystead-Answer': 'ok', 'Content-Type': 'text/html' } });
    window.sayNext = (words) => waiting ? (waiting(answer(words)), waiting = undefined) : answers.push(words);
    window.asked = () => !!waiting;
    window.fetch = async (url, options) => {
        const path = String(url);
        if (path.includes('/changes/') || path.endsWith('/revoking')) {
            return answers.length ? answer(answers.shift()) : new Promise((say) => (waiting = say));
        }
        if (path.endsWith('/revoke') && options.method === 'POST') await new Promise((go) => (window.letRevoke = go));
        const response = await real(url, options);
        if (!path.endsWith('/rotate') || options.method !== 'POST') return response;
        const text = (await response.text()).replace(/<span>The old one no longer works[^<]*<.span>/, window.first);
        return new Response(text, { status: response.status, headers: response.headers });
    };
    window.first = '<span data-receipt hx-get=\"/settings/integrations/changes/1\" hx-trigger=\"load delay:1ms\" \
        hx-swap=\"outerHTML\">The old one stops working. Refused on 1 of 2 nodes; the other answers nobody in at most 9 seconds.</span>';";

const SO_FAR: &str = "<span data-receipt hx-get=\"/settings/integrations/changes/1\" hx-trigger=\"load delay:1ms\" \
    hx-swap=\"outerHTML\">Refused on 1 of 2 nodes; the other answers nobody in at most 4 seconds.</span>";

fn rotating() -> Admin {
    let maya = Admin::signed_in();
    maya.before_every_page(ANSWERS);
    maya.server.create_keys(&["Production API Key"]);
    maya.open(crate::harness::HOME);
    maya.click("Rotate Production API Key");
    maya.click("Rotate Key");
    maya.read_new_key();
    maya.see("The old one stops working. Refused on 1 of 2 nodes; the other answers nobody in at most 9 seconds.");
    maya
}

fn say_next(maya: &Admin, words: Option<&str>) {
    maya.until("the page to ask", "asked()");
    maya.run("sayNext(arguments[0])", serde_json::json!([words]));
}

#[test]
fn a_new_key_does_not_wait_and_the_dialog_goes_on_to_say_where_the_old_one_is_refused() {
    let maya = rotating();
    say_next(&maya, Some(SO_FAR));
    maya.see("Refused on 1 of 2 nodes; the other answers nobody in at most 4 seconds.");
    say_next(&maya, Some("<span>The old one no longer works. Refused on 2 of 2 nodes after 8.0 s.</span>"));
    maya.see("The old one no longer works. Refused on 2 of 2 nodes after 8.0 s.");
    assert_eq!(maya.ask("document.querySelectorAll('[data-receipt]').length"), 0, "nothing is asked any more");
    maya.see("Not saved yet");
    maya.see_focus_on("Copy key");
}

#[test]
fn a_receipt_that_cannot_be_had_takes_no_key_away_and_claims_nothing() {
    let maya = rotating();
    say_next(&maya, None);
    maya.see("We can't tell right now where it is refused.");
    maya.see("Not saved yet");
    maya.read_new_key();
    assert_eq!(maya.ask("document.querySelectorAll('[data-failure]').length"), 0);
}

#[test]
fn closing_the_dialog_ends_the_questions() {
    let maya = rotating();
    maya.click("Copy key");
    maya.click("Done");
    maya.see_no_dialog();
    say_next(&maya, Some(SO_FAR));
    // Nothing of the answer comes back: the element it was for is gone.
    maya.run_async("await new Promise((done) => setTimeout(done, 0))", serde_json::json!([]));
    maya.see_no_dialog();
    assert_eq!(maya.ask("document.querySelectorAll('[data-receipt]').length"), 0);
}

#[test]
fn a_revocation_that_waits_says_what_for_and_cannot_be_cancelled_any_more() {
    let maya = Admin::signed_in();
    maya.before_every_page(ANSWERS);
    maya.server.create_keys(&["Production API Key"]);
    maya.open(crate::harness::HOME);
    maya.click("Revoke Production API Key");
    maya.see_dialog("Revoke API Key");
    assert!(maya.has("Cancel"));
    maya.click("Revoke Key");
    say_next(&maya, Some(SO_FAR));
    maya.see("Refused on 1 of 2 nodes; the other answers nobody in at most 4 seconds.");
    assert!(!maya.has("Cancel"));
    maya.ask("letRevoke()");
    maya.see("Production API Key no longer works.");
    maya.see_no_dialog();
}
