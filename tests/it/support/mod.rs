//! Everything a test needs, and the first thing to read about them.
//!
//! A test starts a whole server of its own, asks people to do things, and looks at the answers:
//!
//! ```ignore
//! #[tokio::test]
//! async fn a_revoked_key_is_refused() {
//!     let app = TestApp::start().await;          // real HTTP on a port of its own, a database of its own
//!     let maya = app.admin().await;              // signed in, with a cookie jar, as a browser would be
//!     let key = maya.create_key("Production API Key").await;
//!     maya.revoke(&key).await;
//!     assert_eq!(app.verify(&key.secret).await, "REVOKED");
//! }
//! ```
//!
//! * [`TestApp`] is the server. Time stands still in it until `app.clock.advance(…)`. `app.count(…)`, `app.audit()` and
//!   `app.execute(…)` look behind the HTTP interface.
//! * [`Person`] is somebody with a browser: `app.anonymous()`, `app.admin()`, `app.second_admin()`,
//!   `app.admin_of_another_organization()`. What must work (`create_key`, `rotate`, `revoke`, `sign_out`) panics
//!   when it does not; its twin `try_…` returns the [`Answer`] whatever it is. `maya.by_htmx()` is the same person in
//!   the same session with scripts on. Redirects are not followed, so that a test sees them.
//! * [`Answer`] is a response, read to its end: `answer.expect(422).one(".field-error")`.
//! * [`Binary`] is the real program in an empty folder, for what only a process can show.
//!
//! The database is SQLite in a temporary folder, or, where `TEST_DATABASE_URL=postgres://…` is set, a fresh database on
//! that Postgres server for every [`TestApp`]. Tests of one database's own faults live in `store/sqlite_faults.rs`, which
//! always runs, and `store/postgres_faults.rs`, which needs the variable. Tests share nothing and run in parallel.

mod answer;
mod app;
mod binary;
mod clock;
mod database;
mod person;
mod snapshot;
mod wire;

pub use answer::Answer;
pub use app::{AuditRow, TestApp};
pub use binary::{Binary, Exit, Server, into_a_full_pipe};
pub use clock::TestClock;
pub use database::{TestDatabase, on_own_thread};
pub use person::{Key, PASSWORD, Person, form_token};
pub use snapshot::assert_snapshot;
pub use wire::{Failure, Flow, Lost, Plan, Wire};

/// Waits until this holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "waited in vain: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// The text with everything in it that is random or new each time replaced, so that two answers can be compared.
pub fn without_request_ids(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("req_") {
        kept.push_str(before);
        kept.push_str("req_…");
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    kept + rest
}
