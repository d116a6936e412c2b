//! What a person is told when something fails, and what of theirs is still there afterwards.

use diesel::connection::SimpleConnection;
use keystead::store::connection::{Conn, DatabaseUrl};

use crate::harness::Admin;

const UNREACHABLE: &str = "We couldn't reach the server, so we don't know if your change was saved. Reload the page to check before you try again.";
const FAULT: &str = "Something went wrong on our side and nothing was changed. Please try again.";

#[test]
fn when_the_server_is_gone_the_typed_name_stays() {
    let mut maya = Admin::signed_in();
    maya.start_creating("Production API Key");
    maya.server.kill();
    maya.click("Create API Key");
    maya.see(UNREACHABLE);
    maya.see_dialog("Create New API Key");
    assert_eq!(maya.value("Name"), "Production API Key");
    maya.see_focus_on("Create API Key");
}

#[test]
fn a_lost_answer_makes_no_second_key_when_the_form_is_sent_again() {
    let (maya, line) = Admin::signed_in_over_a_line();
    maya.start_creating("Production API Key");
    line.hold();
    maya.click("Create API Key");
    line.wait_for_an_answer();
    line.cut();
    maya.see(UNREACHABLE);
    assert_eq!(maya.value("Name"), "Production API Key");
    line.mend();
    maya.click("Create API Key");
    maya.see("This key was already created. Its secret can't be shown again. Rotate it to get a new one.");
    maya.click("Back to Integrations");
    maya.see_no_dialog();
    maya.reload();
    assert_eq!(maya.listed_keys(), ["Production API Key"]);
}

#[test]
fn when_the_database_fails_the_form_stays_and_the_request_has_a_number() {
    let maya = Admin::signed_in();
    let key = maya.create_and_save_key("Production API Key");
    let dialogs = [
        ("Create API Key", "Create API Key"),
        ("Rotate Production API Key", "Rotate Key"),
        ("Revoke Production API Key", "Revoke Key"),
    ];
    for (opener, button) in dialogs {
        maya.click(opener);
        maya.see(button);
        if opener == "Create API Key" {
            maya.see_dialog("Create New API Key");
            maya.fill("Name", "Staging");
        }
        with_a_broken_database(&maya, || {
            maya.click(button);
            maya.see(FAULT);
            maya.see("Request ID: req_");
        });
        let id = maya.ask("document.querySelector('[data-failure] code').innerText");
        assert!(maya.server.log().contains(id.as_str().expect("an id")), "the log knows {id}");
        if opener == "Create API Key" {
            assert_eq!(maya.value("Name"), "Staging");
        }
        maya.press("Escape");
        maya.see_no_dialog();
        assert_eq!(maya.listed_keys(), ["Production API Key"]);
        assert_eq!(maya.server.verdict(&key), "VALID", "nothing was changed");
    }

    // And the same form works as soon as the database does.
    maya.start_creating("Staging");
    with_a_broken_database(&maya, || {
        maya.click("Create API Key");
        maya.see(FAULT);
    });
    maya.click("Create API Key");
    let key = maya.read_new_key();
    assert_eq!(maya.server.verdict(&key), "VALID");
}

#[test]
fn a_dialog_that_cannot_be_fetched_says_so_in_a_toast() {
    let mut maya = Admin::signed_in();
    maya.server.kill();
    maya.click("Create API Key");
    maya.hear("We couldn't reach the server. Check your connection and try again.");
    maya.see_no_dialog();
    maya.see_element("[data-toast]");
}

#[test]
fn a_page_that_does_not_exist_has_a_way_back() {
    let maya = Admin::signed_in();
    for path in ["/nowhere", "/settings/integrations/keys/key_unknown/rotate"] {
        maya.open(path);
        maya.see("Error 404");
        maya.click("Back to Integrations");
        maya.arrive_at("/settings/integrations");
    }
}

#[test]
fn a_name_that_cannot_be_used_is_explained_under_the_field() {
    let maya = Admin::signed_in();
    maya.click("Create API Key");
    let long = "x".repeat(65);
    let names = [
        ("", "Enter a name for this key."),
        ("   ", "Enter a name for this key."),
        (&long[..], "Use 64 characters or fewer."),
        (
            "zero\u{200B}width",
            "Something that can't be seen (U+200B) stands after “zero”. Delete it, or type the name again.",
        ),
    ];
    for (name, sentence) in names {
        maya.see_dialog("Create New API Key");
        maya.fill("Name", name);
        maya.click("Create API Key");
        maya.see(sentence);
        maya.see_focus_on("Name");
        let described =
            "document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText.trim()";
        assert_eq!(maya.ask(described), sentence);
        assert_eq!(maya.ask("document.activeElement.getAttribute('aria-invalid')"), "true");
        assert_eq!(maya.value("Name"), name);
    }
    maya.fill("Name", "Production API Key");
    maya.click("Create API Key");
    maya.read_new_key();
}

/// Takes a table away that every change writes to.
pub fn with_a_broken_database(maya: &Admin, change: impl FnOnce()) {
    let url = DatabaseUrl::Sqlite(maya.server.database());
    let rename = |from: &str, to: &str| {
        let Ok(Conn::Sqlite(mut conn)) = url.connect() else { panic!("the database opens") };
        conn.batch_execute(&format!("ALTER TABLE {from} RENAME TO {to}")).expect("the table is renamed");
    };
    rename("audit_events", "audit_events_away");
    change();
    rename("audit_events_away", "audit_events");
}

/// What proxies, firewalls and sign-on portals answer in our place, with the status that a person is told.
const STRANGERS: [(&str, &str); 8] = [
    ("HTTP/1.1 200 OK", "200"),
    ("HTTP/1.1 401 Unauthorized", "401"),
    ("HTTP/1.1 403 Forbidden", "403"),
    ("HTTP/1.1 413 Content Too Large", "413"),
    ("HTTP/1.1 429 Too Many Requests", "429"),
    ("HTTP/1.1 502 Bad Gateway", "502"),
    ("HTTP/1.1 503 Service Unavailable", "503"),
    ("HTTP/1.1 504 Gateway Timeout\r\nHX-Trigger: modal:close\r\nHX-Retarget: #main", "504"),
];

fn page_of_a_stranger(head: &str) -> String {
    let body = "<!doctype html><html><body><h1>Company login</h1></body></html>";
    format!("{head}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn what_somebody_else_answers_to_a_form_is_not_believed() {
    let (maya, line) = Admin::signed_in_over_a_line();
    maya.start_creating("Production API Key");
    for (head, status) in STRANGERS {
        line.answer_instead("POST /settings/integrations/keys ", &page_of_a_stranger(head));
        maya.click("Create API Key");
        maya.see(&format!(
            "Something between you and this site answered in its place ({status}). \
             We don't know whether this was saved. Reload the page to see."
        ));
        maya.see_dialog("Create New API Key");
        maya.see_focus_on("Create API Key");
        assert_eq!(maya.value("Name"), "Production API Key");
        assert!(!maya.finds_anywhere("Company login"), "{status}");
        assert!(!maya.finds_anywhere("nothing was changed"), "{status}");
        maya.run("document.querySelector('[data-failure]').remove()", serde_json::json!([]));
    }
    // A portal on another site, to which no script may go.
    line.answer_instead(
        "POST /settings/integrations/keys ",
        &page_of_a_stranger("HTTP/1.1 302 Found\r\nLocation: //portal.test/"),
    );
    maya.click("Create API Key");
    maya.see("Something between you and this site answered in its place. We don't know whether this was saved.");
    line.mend();
    maya.click("Create API Key");
    maya.read_new_key();
}

#[test]
fn an_answer_that_was_cut_short_or_replaced_does_not_enter_the_dialog() {
    let (maya, line) = Admin::signed_in_over_a_line();
    maya.start_creating("Production API Key");
    for body in
        ["<div data-secret=\"unsaved\"><h2 id=\"modal-title\">Your New", "<h1>Company login</h1>", "<main id=\"main\">"]
    {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nKeystead-Answer: ok\r\nConnection: close";
        line.answer_instead(
            "POST /settings/integrations/keys ",
            &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        );
        maya.click("Create API Key");
        maya.see("We don't know whether this was saved.");
        maya.see_dialog("Create New API Key");
        maya.run("document.querySelector('[data-failure]').remove()", serde_json::json!([]));
    }
    // The connection breaks in the middle: the browser itself notices.
    line.answer_instead(
        "POST /settings/integrations/keys ",
        "HTTP/1.1 200 OK\r\nKeystead-Answer: ok\r\nContent-Length: 5000\r\n\r\n<div data-end>",
    );
    maya.click("Create API Key");
    maya.see(UNREACHABLE);
    maya.see_dialog("Create New API Key");
}

#[test]
fn a_pop_up_that_somebody_else_answers_opens_as_a_page() {
    for head in [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 401 Unauthorized",
        "HTTP/1.1 502 Bad Gateway",
        "HTTP/1.1 302 Found\r\nLocation: /portal",
    ] {
        let (maya, line) = Admin::signed_in_over_a_line();
        line.answer_instead("GET /settings/integrations/keys/new", &page_of_a_stranger(head));
        maya.click("Create API Key");
        if head.contains("Location") {
            maya.arrive_at("/portal");
        } else {
            maya.see("Company login");
            maya.arrive_at("/settings/integrations/keys/new");
        }
    }
}
