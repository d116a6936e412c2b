//! Read this first.
//!
//! A browser test tells what a person does and sees, with the real program behind a real browser:
//!
//! ```text
//! let maya = Admin::signed_in();
//! let key = maya.create_key("Production API Key");
//! maya.click("Done");
//! maya.see("Close without saving this key?");
//! ```
//!
//! * [`Server`] is the program, started in an empty folder on a free port. Every test has its own.
//! * [`Browser`] is Chromium, or another [`Engine`], in a fresh profile. It finds controls by their accessible names and
//!   waits for what it is asked to see; it never sleeps for a fixed time. At most two run at once.
//! * [`Admin`] is a person with both: what she does with the product is a method here, what she does with any page
//!   (`click`, `fill`, `see`, `press`) she does through the browser, to which an `Admin` dereferences.
//! * [`line::Line`] is a network between the two that can be held up.
//!
//! When a test fails it prints what the page read, the server's last log lines, and where the screenshot lies.
//! Environment: `CHROMIUM`, `CHROMEDRIVER`, `FIREFOX`, `GECKODRIVER`, `WEBKITWEBDRIVER` and `XVFB` name the programs if they
//! are not on the path; without the last two nothing runs in WebKitGTK, and that is said. `KEYSTEAD_SCREENSHOTS` names a
//! folder into which `pictures.rs` draws every state.

pub mod browser;
mod engine;
mod http;
pub mod line;
pub mod server;

pub use browser::{Browser, Kit};
pub use engine::Engine;
pub use line::Line;
use server::{EMAIL, ORGANIZATION, PASSWORD, PERSON};
pub use server::{Server, Wish};

/// Where the page is.
pub const HOME: &str = "/settings/integrations";

/// An organization's admin at her browser.
pub struct Admin {
    // Dropped in this order: first the browser, then what it looks at.
    pub browser: Browser,
    pub server: Server,
}

impl std::ops::Deref for Admin {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Admin {
    /// Somebody who has yet to sign in.
    pub fn at(server: Server, kit: Kit) -> Self {
        Self { browser: Browser::open(kit), server }
    }

    /// Signed in and looking at the Integrations page of an organization without keys.
    pub fn signed_in() -> Self {
        Self::signed_in_with(Kit::default())
    }

    pub fn signed_in_with(kit: Kit) -> Self {
        let maya = Self::at(Server::with_an_account(), kit);
        maya.open("/");
        maya.sign_in();
        maya.arrive_at(HOME);
        maya
    }

    /// The same over a line that can be held up.
    pub fn signed_in_over_a_line() -> (Self, Line) {
        let line = Line::lay();
        let server = Server::start(Wish { public_url: Some(line.address.clone()), ..Wish::default() });
        line.lead_to(&server.address);
        let maya = Self::at(server, Kit::default());
        maya.open("/");
        maya.sign_in();
        maya.arrive_at(HOME);
        (maya, line)
    }

    /// Does something in another tab, in which the Integrations page is open, and comes back.
    pub fn in_another_tab(&self, change: impl FnOnce(&Self)) {
        let here = self.new_tab();
        self.open(HOME);
        change(self);
        self.close_tab(&here);
    }

    /// Revokes a key.
    pub fn revoke_key(&self, name: &str) {
        self.click(&format!("Revoke {name}"));
        self.see_dialog("Revoke API Key");
        self.click("Revoke Key");
        self.see(&format!("{name} no longer works."));
    }

    /// Goes to a path of the site.
    pub fn open(&self, path: &str) {
        self.visit(&format!("{}{path}", self.server.public_url));
    }

    /// Fills the set-up form, which is open, and sends it.
    pub fn set_up(&self) {
        self.fill("Organization name", ORGANIZATION);
        self.fill("Your name", PERSON);
        self.fill("Email", EMAIL);
        self.fill("Password", PASSWORD);
        self.click("Finish set-up");
    }

    /// Fills the sign-in form, which is open, and sends it.
    pub fn sign_in(&self) {
        self.fill("Email", EMAIL);
        self.fill("Password", PASSWORD);
        self.click("Sign in");
    }

    /// Opens Create New API Key and types a name.
    pub fn start_creating(&self, name: &str) {
        self.click("Create API Key");
        self.see_dialog("Create New API Key");
        self.fill("Name", name);
    }

    /// Creates a key; the pop-up that shows it stays open.
    pub fn create_key(&self, name: &str) -> String {
        self.start_creating(name);
        self.click("Create API Key");
        self.read_new_key()
    }

    /// Creates a key, saves it and closes the pop-up.
    pub fn create_and_save_key(&self, name: &str) -> String {
        let key = self.create_key(name);
        self.click("Copy key");
        self.see("Saved");
        self.click("Done");
        self.see_no_dialog();
        key
    }

    /// What stands in Your New API Key.
    pub fn read_new_key(&self) -> String {
        self.see_dialog("Your New API Key");
        let key = self.ask("document.querySelector('#secret').textContent.trim()");
        let key = key.as_str().unwrap_or_default().to_owned();
        assert!(key.starts_with("talvin_live_"), "a key: {key}");
        key
    }

    /// Whether any part of the document, its address or what the browser keeps for the site holds this text.
    pub fn finds_anywhere(&self, text: &str) -> bool {
        // A page that says the browser has nothing to show has no storage and no cookies either.
        let kept = "(() => { try { return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie]) } \
             catch { return '' } })()";
        let fields = "[...document.querySelectorAll('input, textarea')].map(({ value }) => value)";
        let page = "document.documentElement.outerHTML, location.href, JSON.stringify(history.state)";
        let everything = self.ask(&format!("[{page}, {kept}, ...{fields}].join('\\n')"));
        everything.as_str().unwrap_or_default().contains(text)
    }

    /// The names in the list, from top to bottom.
    pub fn listed_keys(&self) -> Vec<String> {
        let names =
            self.ask("[...document.querySelectorAll('#key-list .key-name strong')].map((name) => name.innerText)");
        names.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }
}
