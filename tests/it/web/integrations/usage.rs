//! How much a key is used: two columns of the list, and what the pop-ups say of it before a key ends.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use keystead::{
    actions::purge_expired::purge_expired,
    clock::Clock,
    domain::usage::{LastUsed, UsageDelta},
    store::key_usage,
};

use crate::support::{Answer, Key, PASSWORD, Person, TestApp};

const PAGE: &str = "/settings/integrations";

/// Verifications at a time, as a node writes them down.
async fn used_by(app: &TestApp, key: &Key, at: DateTime<Utc>, counts: &[(&'static str, u64)], client: (&str, &str)) {
    let address: Option<IpAddr> = Some(client.0.parse().unwrap());
    let last_used = Some(LastUsed { at, address, user_agent: Some(client.1.into()) });
    let delta = UsageDelta { key: app.key_number(&key.id).await, counts: counts.to_vec(), last_used };
    app.site.db.write(move |conn| key_usage::add(conn, at, &[delta])).await.unwrap();
    purge_expired(&app.site).await.unwrap();
}

async fn used(app: &TestApp, key: &Key, at: DateTime<Utc>, counts: &[(&'static str, u64)]) {
    used_by(app, key, at, counts, ("203.0.113.80", "python-requests/2.32")).await;
}

async fn dialog(person: &Person, key: &Key, change: &str) -> Answer {
    person.get(&format!("{PAGE}/keys/{}/{change}", key.id)).await.expect(200)
}

/// Of the pop-up; behind a whole page there are others, such as the list of shortcuts.
fn facts(answer: &Answer, part: &str) -> Vec<String> {
    answer.all(&format!("{} .facts {part}", if answer.is_page() { "main" } else { "form" }))
}

async fn one_key() -> (TestApp, Person, Key) {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    (app, maya, key)
}

#[tokio::test]
async fn a_new_key_has_no_requests_and_was_never_used() {
    let (_app, maya, key) = one_key().await;
    for answer in [maya.get(PAGE).await, maya.by_htmx().get("/settings/integrations/keys").await] {
        assert_eq!(answer.one("td[data-label='30-day requests']"), "No requests");
        assert_eq!(answer.one("td[data-label='Last used']"), "Never");
        assert!(!answer.has(".sparkline") && !answer.has(".badge"));
    }
    assert_eq!(dialog(&maya, &key, "rotate").await.one(".hint"), "No requests yet");
    let revoke = dialog(&maya, &key, "revoke").await;
    assert_eq!(facts(&revoke, "dt"), ["Key", "Last used", "Requests, last 24 h"]);
    assert_eq!(facts(&revoke, "dd")[1..], ["Never", "0"]);
    assert_eq!(revoke.one(".dialog-body > .alert.ok"), "No requests yet. Revoking it should not affect anything.");
}

/// Uses are written some seconds later, or when the database can be written again; until then nobody may read that there are none.
#[tokio::test]
async fn a_use_that_is_not_written_yet_is_known_where_a_key_is_ended() {
    let (app, maya, key) = one_key().await;
    assert_eq!(app.verify(&key.secret).await, "VALID");
    let list = maya.get(PAGE).await;
    assert_eq!(list.one("td[data-label='Last used']"), "Just now");
    assert_eq!(list.one("td[data-label='30-day requests']"), "Not counted yet");
    for change in ["revoke", "rotate"] {
        let answer = dialog(&maya, &key, change).await;
        assert!(!answer.text().contains("No requests yet"), "{change}: {}", answer.text());
    }
    let revoke = dialog(&maya, &key, "revoke").await;
    assert!(revoke.one(".dialog-body > .alert.bad").starts_with("This key is in use."));
    assert_eq!(facts(&revoke, "dd")[1..], ["Just now", "Not counted yet"]);
    assert_eq!(dialog(&maya, &key, "rotate").await.one(".hint"), "Used just now · not counted yet");
    assert_eq!(app.count("key_usage_open").await, 0, "nobody has written it");
}

#[tokio::test]
async fn requests_are_a_sparkline_with_their_number_and_words_for_both() {
    let (app, maya, key) = one_key().await;
    let now = app.clock.now();
    used(&app, &key, now - TimeDelta::days(1), &[("VALID", 41_000)]).await;
    used(&app, &key, now, &[("VALID", 150), ("ROTATED", 50), ("REVOKED", 7)]).await;
    for answer in [
        maya.get(PAGE).await,
        maya.by_htmx().get("/settings/integrations/keys").await,
        maya.by_htmx().try_create_key("Another").await,
    ] {
        let words = "41,207 requests in the last 30 days, 57 of them refused";
        assert_eq!(answer.one(".requests .number"), "41,207");
        assert_eq!(answer.attribute("svg.sparkline", "role"), "img");
        assert_eq!(answer.attribute("svg.sparkline", "aria-label"), words);
        assert_eq!(answer.attributes("svg.sparkline path", "d"), ["M114 24v-24m4 24v-2", "M118 24v-1"]);
    }
}

#[tokio::test]
async fn the_last_use_is_told_to_the_second() {
    let (app, maya, key) = one_key().await;
    let at = app.clock.now() + TimeDelta::milliseconds(500);
    used(&app, &key, at, &[("VALID", 1)]).await;
    let cell = "td[data-label='Last used'] time";
    for (later, words) in
        [(0, "Just now"), (12, "11 seconds ago"), (90, "1 minute ago"), (7000, "1 hour ago"), (90_000, "Yesterday")]
    {
        app.clock.advance(TimeDelta::seconds(later));
        maya.sign_in(&maya.email, PASSWORD).await;
        let page = maya.get(PAGE).await.expect(200);
        assert_eq!(page.one(cell), words, "{later}");
        assert_eq!(page.attribute(cell, "datetime"), "2026-11-23T06:11:00Z");
        assert_eq!(page.attribute(cell, "title"), "2026-11-23 06:11:00 UTC from 203.0.113.80");
    }
}

#[tokio::test]
async fn rotating_shows_the_evidence() {
    let (app, maya, key) = one_key().await;
    used(&app, &key, app.clock.now(), &[("VALID", 540)]).await;
    app.clock.advance(TimeDelta::minutes(14));
    for person in [maya.clone(), maya.by_htmx()] {
        let form = dialog(&person, &key, "rotate").await;
        assert_eq!(form.one(".hint"), "Used 14 minutes ago from 203.0.113.80 · 540 requests in the last 24 hours");
        let title = form.attribute(".hint time", "title");
        assert_eq!(title, "2026-11-23 06:11:00 UTC from 203.0.113.80 by python-requests/2.32");
    }
    maya.rotate(&key).await;
    let again = maya.try_rotate(&key.id, 1).await.expect(409);
    assert!(again.one(".hint").starts_with("Used 14 minutes ago"), "also in the form that comes back");
}

#[tokio::test]
async fn revoking_a_key_in_use_is_warned_of() {
    let (app, maya, key) = one_key().await;
    used(&app, &key, app.clock.now(), &[("VALID", 1000), ("ROTATED", 482)]).await;
    app.clock.advance(TimeDelta::minutes(2));
    for person in [maya.clone(), maya.by_htmx()] {
        let form = dialog(&person, &key, "revoke").await;
        assert_eq!(facts(&form, "dd")[1..], ["2 minutes ago from 203.0.113.80", "1,482"]);
        assert_eq!(
            form.one(".dialog-body > .alert.bad"),
            "This key is in use. Requests made with it will start failing with 401 at once. To switch without downtime, \
             create a second key, move over to it, and revoke this one when it is no longer used."
        );
        assert!(!form.has("form [role=alert]"), "it is no news, so it does not interrupt");
    }
    let again = maya.try_revoke(&key.id, 7).await.expect(409);
    assert_eq!(facts(&again, "dd")[2], "1,482", "also in the form that comes back");
}

#[tokio::test]
async fn a_key_that_rests_is_told_from_one_that_is_unused() {
    let (app, maya, key) = one_key().await;
    let begun = app.clock.now();
    used(&app, &key, begun, &[("VALID", 1)]).await;
    for (days, last_used, note, badge) in [
        (2, "2 days ago", ".alert.warn", false),
        (30, "4 weeks ago", ".alert.warn", false),
        (89, "89 days ago", ".alert.warn", false),
        (94, "94 days ago", ".alert.ok", true),
    ] {
        app.clock.advance(begun + TimeDelta::days(days) - app.clock.now());
        maya.sign_in(&maya.email, PASSWORD).await;
        let page = maya.get(PAGE).await;
        assert_eq!(page.one("td[data-label='Last used']"), last_used);
        assert_eq!(page.all(".badge"), if badge { vec!["Unused 90 days"] } else { vec![] }, "{days}");
        assert_eq!(page.has(".sparkline"), days < 30, "{days}");
        let form = dialog(&maya, &key, "revoke").await;
        assert_eq!(form.all("main .alert").len(), 1);
        assert!(form.has(&format!("main {note}")), "{days}: {}", form.one("main .alert"));
        assert_eq!(facts(&form, "dd")[2], "0");
        let evidence = dialog(&maya, &key, "rotate").await.one(".hint");
        assert_eq!(evidence, format!("Used {last_used} from 203.0.113.80 · no requests in the last 24 hours"));
    }
    let form = dialog(&maya, &key, "revoke").await;
    assert_eq!(
        form.one(".dialog-body > .alert.ok"),
        "No requests in the last 90 days. Revoking it should not affect anything."
    );
}

#[tokio::test]
async fn a_key_that_was_never_used_is_called_unused_after_90_days() {
    let (app, maya, _) = one_key().await;
    app.clock.advance(TimeDelta::days(90) - TimeDelta::seconds(1));
    maya.sign_in(&maya.email, PASSWORD).await;
    assert!(!maya.get(PAGE).await.has(".badge"));
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(maya.get(PAGE).await.one(".badge"), "Unused 90 days");
}

#[tokio::test]
async fn a_key_from_before_the_counting_is_never_called_unused() {
    let (app, maya, key) = one_key().await;
    app.execute("INSERT INTO installation (name, value) SELECT 'last_uncounted_key_at', CAST(max(created_at) AS TEXT) FROM api_keys").await;
    app.clock.advance(TimeDelta::days(400));
    maya.sign_in(&maya.email, PASSWORD).await;
    let page = maya.get(PAGE).await;
    assert_eq!(page.one("td[data-label='Last used']"), "Not known");
    assert!(!page.has(".badge"));
    assert!(dialog(&maya, &key, "revoke").await.has(".alert.info"));
    assert_eq!(dialog(&maya, &key, "rotate").await.one(".hint"), "No requests since uses are counted");
}

#[tokio::test]
async fn what_strangers_call_their_programs_stays_text() {
    let (app, maya, key) = one_key().await;
    let hostile = "\"><img src=x onerror=alert(1)><script>alert(1)</script> ' & {{7*7}}";
    used_by(&app, &key, app.clock.now(), &[("VALID", 1)], ("2001:db8::1", hostile)).await;
    for person in [maya.clone(), maya.by_htmx()] {
        for change in ["rotate", "revoke"] {
            let form = dialog(&person, &key, change).await;
            let title = form.attributes("time[datetime][title*=' by ']", "title").remove(0);
            assert_eq!(title, format!("2026-11-23 06:11:00 UTC from 2001:db8::1 by {hostile}"));
            assert!(!form.has("img") && !form.has("main script") && !form.text().contains("<script>alert"));
        }
    }
    assert!(!maya.get(PAGE).await.text().contains("onerror"), "the list has no room for it");
}

#[tokio::test]
async fn the_address_of_an_ipv4_client_is_shown_as_one() {
    let (app, maya, key) = one_key().await;
    used_by(&app, &key, app.clock.now(), &[("VALID", 1)], ("::ffff:203.0.113.9", "curl")).await;
    assert_eq!(dialog(&maya, &key, "rotate").await.one(".hint code"), "203.0.113.9");
}

#[tokio::test]
async fn another_organizations_usage_never_shows() {
    let (app, maya, key) = one_key().await;
    let olga = app.admin_of_another_organization().await;
    let hers = olga.create_key("Production").await;
    used_by(&app, &key, app.clock.now(), &[("VALID", 7_654_321)], ("203.0.113.80", "acme-agent")).await;
    for person in [olga.clone(), olga.by_htmx()] {
        let mut texts = Vec::new();
        for path in [PAGE.to_owned(), format!("{PAGE}/keys")] {
            texts.push(person.get(&path).await);
        }
        for change in ["rotate", "revoke"] {
            texts.push(dialog(&person, &hers, change).await);
            texts.push(person.get(&format!("{PAGE}/keys/{}/{change}", key.id)).await.expect(404));
        }
        for answer in texts {
            for leak in ["7,654,321", "7654321", "203.0.113.80", "acme-agent"] {
                assert!(!answer.text().contains(leak), "{leak} in {}", answer.text());
            }
        }
    }
    assert!(maya.get(PAGE).await.text().contains("7,654,321"));
}

/// 25 keys, each of them used at every hour of 30 days, and some of it refused.
#[tokio::test]
async fn a_page_of_busy_keys_stays_small() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let size = async || {
        let request = maya.request(reqwest::Method::GET, PAGE).header("accept-encoding", "br");
        maya.send(request).await.bytes.len()
    };
    let without_keys = size().await;
    let mut keys = Vec::new();
    for n in 0..25 {
        keys.push(maya.create_key(&format!("Service {n}")).await);
    }
    for day in 0..30 {
        let at = app.clock.now() - TimeDelta::days(day);
        for (n, key) in (0..).zip(&keys) {
            let noise = (n * 7919 + day.unsigned_abs() * 104_729) % 997;
            used(&app, key, at, &[("VALID", noise * 13), ("ROTATED", noise % 31)]).await;
        }
    }
    let keys = size().await - without_keys;
    assert!(keys <= 5 * 1024, "{keys} bytes");
}

#[tokio::test]
async fn a_damaged_row_is_an_error_and_not_a_lie() {
    let (app, maya, key) = one_key().await;
    used(&app, &key, app.clock.now(), &[("VALID", 1)]).await;
    for (damage, repair) in [
        ("UPDATE key_usage_open SET address = '<b>'", "UPDATE key_usage_open SET address = NULL"),
        ("UPDATE key_usage_open SET count = -1", "UPDATE key_usage_open SET count = 1"),
    ] {
        app.execute(damage).await;
        maya.get(PAGE).await.expect(503);
        app.execute(repair).await;
        maya.get(PAGE).await.expect(200);
    }
}
