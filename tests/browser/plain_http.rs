//! Plain http on a name of the local network: no `navigator.clipboard` there.

use std::net::TcpListener;

use crate::harness::{Admin, HOME, Kit, Server, Wish};

/// Signed in at `http://keystead.test`, which the browser believes to be an ordinary host.
fn maya_on_the_local_network() -> Admin {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let server = Server::start(Wish {
        public_url: Some(format!("http://keystead.test:{port}")),
        listen: Some(format!("127.0.0.1:{port}")),
        ..Wish::default()
    });
    let maya = Admin::at(server, Kit::default());
    maya.open("/");
    maya.sign_in();
    maya.arrive_at(HOME);
    assert_eq!(maya.ask("[isSecureContext, typeof navigator.clipboard]"), serde_json::json!([false, "undefined"]));
    maya
}

#[test]
fn copying_works_without_the_clipboard_interface() {
    let maya = maya_on_the_local_network();
    let organization = maya.ask("document.querySelector('#organization-id').innerText");
    maya.click("Copy organization ID");
    maya.hear("Organization ID copied to clipboard.");
    assert_eq!(maya.clipboard(), organization);

    let key = maya.create_key("Production API Key");
    maya.click("Copy key");
    maya.see("Copied");
    maya.see("Saved");
    assert_eq!(maya.clipboard(), key);
    maya.click("Hide");
    maya.click("Copy example request");
    maya.hear("Example request copied to clipboard.");
    maya.until("the button to be ready again", "!document.querySelector('[data-copy=secret][data-done]')");
    maya.click("Copy key");
    maya.hear("API key copied to clipboard.");
    assert_eq!(maya.clipboard(), key, "a masked key is copied, too");
    maya.click("Done");
    maya.see_no_dialog();
}

#[test]
fn a_copy_that_fails_says_what_to_press_and_saves_nothing() {
    let maya = maya_on_the_local_network();
    let key = maya.create_key("Production API Key");
    maya.ask("document.execCommand = () => false");
    maya.click("Copy key");
    maya.hear("Copy failed. The text is selected: press Ctrl+C or Command+C.");
    assert_eq!(maya.ask("getSelection().toString().trim()"), key);
    maya.see("Not saved yet");
    maya.press("Escape");
    maya.see_dialog("Close without saving this key?");
    maya.click("Go back");

    // What it says is true.
    maya.ask("getSelection().selectAllChildren(document.querySelector('#secret'))");
    maya.press("Control+c");
    maya.see("Saved");
    assert_eq!(maya.clipboard(), key);
}

#[test]
fn the_other_name_of_the_server_explains_itself() {
    let maya = Admin::at(Server::with_an_account(), Kit::default());
    let elsewhere = maya.server.address.replace("127.0.0.1", "keystead.test");
    maya.visit(&elsewhere);
    maya.sign_in();
    maya.see(&format!("You opened this site at {elsewhere}, but it is set up for"));
    maya.see("KEYSTEAD_PUBLIC_URL");
}
