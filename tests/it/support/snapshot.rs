//! Snapshots of fragments and JSON, with everything that is new each time replaced after a look at its form.

use insta::Settings;

use super::{Answer, TestApp};

/// Compares the body with `tests/it/snapshots/{name}.snap`.
#[track_caller]
pub fn assert_snapshot(app: &TestApp, name: &str, answer: &Answer) {
    let mut text = answer.text().to_owned();
    if let Some(secret) = answer.secret() {
        assert_eq!(text.matches(&secret).count(), 4, "shown once, and in three downloads");
        text = text.replace(&secret, "[a key with a good checksum]");
    }
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(&format!(":{}/", app.address.port()), ":[port]/");
    settings.add_filter(r"(key|org)_[0-9A-Za-z]{27}\b", "${1}_[ksuid]");
    settings.add_filter(r"ending in </span>[0-9A-Za-z]{4}<", "ending in </span>[4 characters]<");
    settings.add_filter(r#"name="idem" value="[0-9a-f]{32}""#, r#"name="idem" value="[32 digits]""#);
    settings.add_filter(r"/static/[0-9a-f]{16}/", "/static/[hash]/");
    settings.add_filter(r"after \d+ ms\.", "after [n] ms.");
    settings.add_filter(r"req_[0-9a-f]{16}", "req_[16 digits]");
    settings.bind(|| insta::assert_snapshot!(name, text));
}
