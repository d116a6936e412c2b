//! `/settings/integrations` and the list as a fragment.

use chrono::TimeDelta;

use crate::support::{Person, TestApp};

const PAGE: &str = "/settings/integrations";

async fn keys(person: &Person, count: usize) {
    for n in 1..=count {
        person.try_create_key(&format!("Key {n}")).await.expect(200);
    }
}

#[tokio::test]
async fn an_empty_list_invites_to_make_the_first_key() {
    let app = TestApp::start().await;
    let page = app.admin().await.get(PAGE).await.expect(200);
    assert_eq!(page.one("h1"), "Integrations");
    assert_eq!(page.all("main h2"), ["Organization ID", "API Keys", "Protect your API"]);
    assert_eq!(page.one("#key-list h3"), "Create your first API key");
    assert_eq!(page.one("#key-list button.primary"), "Create API Key");
    assert_eq!(page.all("main .primary").len(), 1, "the empty list alone carries the button");
    assert!(!page.has("table"));
}

#[tokio::test]
async fn another_organizations_keys_are_not_counted() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    keys(&olga, 2).await;
    keys(&maya, 1).await;
    for (person, foot) in [(maya, "1 key"), (olga, "2 keys")] {
        let shown = person.get(PAGE).await.expect(200).one(".list-foot p");
        assert_eq!(shown.split(" · ").next(), Some(foot));
    }
}

#[tokio::test]
async fn the_organization_id_stands_on_top_with_an_icon_that_copies_it() {
    let app = TestApp::start().await;
    let page = app.admin().await.get(PAGE).await;
    let id = page.one("#organization-id");
    assert!(id.starts_with("org_") && id.len() == 31, "{id}");
    assert_eq!(page.attribute("button[data-copy=organization-id]", "aria-label"), "Copy organization ID");
    assert_eq!(app.lines("SELECT id AS line FROM organizations").await, [id]);
}

#[tokio::test]
async fn a_key_is_listed_with_its_maker_its_hint_and_its_day() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production API Key").await;
    let page = maya.get(PAGE).await;
    assert_eq!(page.all("thead th"), ["Name", "Key", "Requests, 30 days", "Last used", "Actions"]);
    assert_eq!(page.one(".key-name strong"), "Production API Key");
    assert_eq!(page.one(".key-name .sub"), "by Maya Chen · Nov 23, 2026");
    let body = &key.secret[..key.secret.len() - 6];
    let last_four = &body[body.len() - 4..];
    assert_eq!(page.one("tbody code"), format!("talvin_live_•••• ending in {last_four}"));
    assert_eq!(page.attribute("tbody time", "title"), "2026-11-23 06:11:00 UTC");
    assert_eq!(page.attribute("tbody time", "datetime"), "2026-11-23T06:11:00Z");
    assert_eq!(
        page.attributes("tbody button", "aria-label"),
        ["Rotate Production API Key", "Revoke Production API Key"]
    );
    assert_eq!(page.one(".list-foot p"), "1 key");
    assert_eq!(page.one("#key-actions button"), "Create API Key");
    assert!(!page.text().contains(&key.secret));
}

#[tokio::test]
async fn a_colleague_sees_the_same_list_and_another_organization_does_not() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Acme's key").await;
    let olga = app.admin_of_another_organization().await;
    let hers = olga.create_key("Umbrella's key").await;
    assert_ne!(key.organization_id, hers.organization_id);
    let jonas = app.second_admin(&key.organization_id).await;
    jonas.create_key("Another").await;
    assert_eq!(maya.listed().await.len(), 2);
    let page = jonas.get(PAGE).await;
    let mut rows = page.all(".key-name");
    rows.sort();
    assert_eq!(rows, ["Acme's key by Maya Chen · Nov 23, 2026", "Another by Jonas Weber · Nov 23, 2026"]);
    assert_eq!(page.one("#organization-id"), key.organization_id);
    assert_eq!(olga.listed().await, ["Umbrella's key"]);
}

#[tokio::test]
async fn the_newest_key_stands_first() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for name in ["First", "Second", "Third"] {
        maya.create_key(name).await;
        app.clock.advance(TimeDelta::seconds(1));
    }
    assert_eq!(maya.listed().await, ["Third", "Second", "First"]);
}

#[tokio::test]
async fn a_rotated_key_keeps_its_place_and_a_revoked_one_is_gone() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let mut made = Vec::new();
    for name in ["First", "Second", "Third"] {
        made.push(maya.create_key(name).await);
        app.clock.advance(TimeDelta::seconds(1));
    }
    maya.rotate(&made[0]).await;
    maya.revoke(&made[1]).await;
    assert_eq!(maya.listed().await, ["Third", "First"]);
    assert_eq!(app.count("api_keys").await, 3, "revoked keys stay as rows");
}

#[tokio::test]
async fn twenty_five_keys_are_one_page() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    keys(&maya, 25).await;
    let page = maya.get(PAGE).await;
    assert_eq!(page.all("tbody tr").len(), 25);
    assert_eq!(page.one(".list-foot p"), "25 keys");
    assert!(!page.has(".list-foot a"));
}

#[tokio::test]
async fn from_twenty_six_keys_on_there_are_pages() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    keys(&maya, 26).await;
    let first = maya.get(PAGE).await;
    assert_eq!(first.all("tbody tr").len(), 25);
    assert_eq!(first.one(".list-foot p"), "Showing 1–25 of 26");
    assert!(!first.has("a[rel=prev]"));
    let second = maya.get(&first.attribute("a[rel=next]", "href")).await.expect(200);
    assert_eq!(second.all("tbody tr").len(), 1);
    assert_eq!(second.one(".list-foot p"), "Showing 26–26 of 26");
    assert!(!second.has("a[rel=next]"));
    assert_eq!(second.attribute("a[rel=prev]", "href"), "/settings/integrations?page=1");

    let mut all = [first.all(".key-name strong"), second.all(".key-name strong")].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 26, "each key stands on one page");
    assert_eq!(second.attribute("tbody form[action$='/rotate'] input[name=page]", "value"), "2");
    assert!(!first.has("tbody input[name=page]"));
}

#[tokio::test]
async fn fifty_one_keys_are_three_pages_and_a_page_past_the_end_is_the_last() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    keys(&maya, 51).await;
    let foot = async |page: &str| maya.get(&format!("{PAGE}?page={page}")).await.expect(200).one(".list-foot p");
    assert_eq!(foot("2").await, "Showing 26–50 of 51");
    assert_eq!(foot("3").await, "Showing 51–51 of 51");
    for past in ["4", "1000", "9223372036854775807"] {
        assert_eq!(foot(past).await, "Showing 51–51 of 51", "{past}");
    }
    for odd in ["abc", "", "0", "-1", "1.5", "99999999999999999999", "%00", "%FF", "2'--", "1&page=2"] {
        assert_eq!(foot(odd).await, "Showing 1–25 of 51", "{odd}");
    }
}

#[tokio::test]
async fn the_last_key_of_a_page_leaves_the_page_before_it() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    keys(&maya, 26).await;
    let id = app.lines("SELECT id AS line FROM api_keys ORDER BY created_at, id LIMIT 1").await.remove(0);
    let fields = [("version", "1"), ("page", "2")];
    let answer = maya.post(&format!("{PAGE}/keys/{id}/revoke"), &fields).await.expect(303);
    assert_eq!(answer.header("location"), "/settings/integrations?page=2");
    assert_eq!(maya.get(answer.header("location")).await.expect(200).one(".list-foot p"), "25 keys");
}

#[tokio::test]
async fn htmx_gets_the_rows_alone() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    maya.create_key("Production").await;
    let rows = maya.by_htmx().get("/settings/integrations/keys?page=1").await.expect(200);
    assert!(!rows.is_page());
    assert_eq!(rows.one("#key-rows .key-name strong"), "Production");
}

#[tokio::test]
async fn without_htmx_the_rows_lead_to_the_page_with_the_same_query() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let answer = maya.get("/settings/integrations/keys?page=2&sort=name").await.expect(303);
    assert_eq!(answer.header("location"), "/settings/integrations?page=2&sort=name");
    assert_eq!(maya.get("/settings/integrations/keys").await.header("location"), "/settings/integrations");
}

#[tokio::test]
async fn settings_and_integrations_are_links() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let page = maya.get(PAGE).await;
    assert_eq!(page.all("nav[aria-label=Breadcrumb] a"), ["Settings", "Integrations"]);
    assert_eq!(page.attributes("nav[aria-label=Breadcrumb] a", "href"), ["/settings", PAGE]);
    assert_eq!(maya.get("/settings").await.expect(303).header("location"), PAGE);
    for link in page.attributes("a[href^='/']", "href") {
        assert!(matches!(maya.get(&link).await.status, 200 | 303), "{link} leads nowhere");
    }
}

#[tokio::test]
async fn answers_that_differ_for_htmx_say_so_also_when_compressed() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let paths = [
        PAGE.to_owned(),
        format!("{PAGE}/keys"),
        format!("{PAGE}/keys/new"),
        format!("{PAGE}/keys/{}/rotate", key.id),
        format!("{PAGE}/keys/{}/revoke", key.id),
    ];
    for path in &paths {
        for person in [maya.clone(), maya.by_htmx()] {
            for encoding in ["identity", "br", "gzip, deflate, br"] {
                let request = person.request(reqwest::Method::GET, path).header("accept-encoding", encoding);
                let answer = person.send(request).await;
                let vary: Vec<String> = answer
                    .headers
                    .get_all("vary")
                    .iter()
                    .flat_map(|value| value.to_str().unwrap().split(','))
                    .map(|name| name.trim().to_ascii_lowercase())
                    .collect();
                assert!(vary.contains(&"hx-request".to_owned()), "{path} as {encoding}: {vary:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_damaged_row_hides_its_own_key_and_no_other() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    keys(&maya, 3).await;
    let id = app.lines("SELECT id AS line FROM api_keys WHERE name = 'Key 2'").await.remove(0);
    app.execute(&format!("UPDATE api_keys SET hint = 'not four characters' WHERE id = '{id}'")).await;
    let page = maya.get(PAGE).await.expect(200);
    let mut shown = page.all(".key-name strong");
    shown.sort_unstable();
    assert_eq!(shown, ["Key 1", "Key 3"], "made in one moment, in no order");
    let foot = page.all(".list-foot p");
    assert!(foot[0].starts_with("1 key can’t be shown: the database is damaged there."), "{foot:?}");
    assert_eq!(foot[1], "3 keys");
    maya.get(&format!("{PAGE}/keys/{id}/revoke")).await.expect(503);
}
