//! Create API Key: `/settings/integrations/keys/new` and `POST /settings/integrations/keys`

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::future::join_all;
use keystead::actions::purge_expired::purge_expired;

use crate::support::{Answer, Person, TestApp, form_token};

const KEYS: &str = "/settings/integrations/keys";
const TAKEN: &str = "A key with this name already exists. Choose a different name.";

async fn create_with(person: &Person, name: &str, idem: &str) -> Answer {
    person.post(KEYS, &[("name", name), ("idem", idem)]).await
}

#[tokio::test]
async fn the_form_opens_as_a_page_and_as_a_pop_up() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let page = maya.get("/settings/integrations/keys/new").await.expect(200);
    assert!(page.is_page());
    let fragment = maya.by_htmx().get("/settings/integrations/keys/new").await.expect(200);
    assert!(!fragment.is_page());
    for answer in [page, fragment] {
        assert_eq!(answer.one("#modal-title"), "Create New API Key");
        assert_eq!(answer.one("[data-submit]"), "Create API Key");
        assert_eq!(answer.attribute("#key-name", "placeholder"), "Production API Key");
    }
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_works_at_once() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let form = maya.get("/settings/integrations/keys/new").await;
    let answer = create_with(&maya, "Production API Key", &form.field("idem")).await.expect(200);
    assert!(answer.is_page(), "never a redirect: the key exists in this answer alone");
    assert_eq!(answer.one("#modal-title"), "Your New API Key");
    let secret = answer.secret().unwrap();
    assert!(secret.starts_with("talvin_live_"));
    assert_eq!(app.verify(&secret).await, "VALID");
    assert_eq!(maya.listed().await, ["Production API Key"]);
    for path in ["/settings/integrations", "/settings/integrations/keys/new"] {
        assert!(!maya.get(path).await.text().contains(&secret), "{path} shows the key again");
    }
}

#[tokio::test]
async fn a_form_of_one_organization_makes_no_key_in_another() {
    let app = TestApp::start().await;
    let (maya, other) = (app.admin().await, app.admin_of_another_organization().await);
    let send = async |person: &Person, form: &Answer| {
        let (idem, organization) = (form.field("idem"), form.field("organization"));
        person.post(KEYS, &[("name", "Production"), ("idem", &idem), ("organization", &organization)]).await
    };
    // The other one has signed in meanwhile, in another tab of the same browser.
    for (person, keys) in [(other.clone(), 1), (other.by_htmx(), 2)] {
        let form = maya.get("/settings/integrations/keys/new").await.expect(200);
        let again = send(&person, &form).await.expect(409);
        assert!(again.text().contains("Nothing was created"), "{}", again.text());
        assert_eq!(again.field("name"), "Production", "what was typed is there");
        assert_eq!(app.count("api_keys").await, keys - 1);
        send(&person, &form).await.expect(409);
        // Who sends the form that came back means it.
        let (idem, organization) = (again.field("idem"), again.field("organization"));
        let name = format!("Key {keys}");
        person.post(KEYS, &[("name", &*name), ("idem", &idem), ("organization", &organization)]).await.expect(200);
    }
    assert_eq!(maya.listed().await, Vec::<String>::new());
    let form = maya.get("/settings/integrations/keys/new").await.expect(200);
    send(&maya, &form).await.expect(200);
    assert_eq!(maya.listed().await, ["Production"]);
}

#[tokio::test]
async fn with_scripts_the_answer_brings_the_list_along() {
    let app = TestApp::start().await;
    let maya = app.admin().await.by_htmx();
    let answer = maya.try_create_key("Production API Key").await.expect(200);
    assert!(!answer.is_page());
    assert!(answer.secret().is_some());
    let partials = answer.attributes("hx-partial", "hx-target");
    assert_eq!(partials, ["#key-list", "#key-actions"]);
    assert_eq!(answer.one("#key-list tr.fresh .key-name strong"), "Production API Key");
    assert_eq!(answer.one("hx-partial[hx-target='#key-actions'] button"), "Create API Key");
}

#[tokio::test]
async fn the_downloads_hold_the_key() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let answer = maya.try_create_key("Production API Key").await.expect(200);
    let secret = answer.secret().unwrap();
    let organization_id = maya.get("/settings/integrations").await.one("#organization-id");
    let content = |extension: &str| answer.attribute(&format!("button[data-download$='.{extension}']"), "data-content");
    for extension in ["env", "txt", "json"] {
        let href = answer.attribute(&format!("a.without-script[download$='.{extension}']"), "href");
        let data = href.split_once(',').unwrap().1;
        let plain = percent_encoding::percent_decode_str(data).decode_utf8().unwrap();
        assert_eq!(plain, content(extension), "the same without scripts");
    }
    assert_eq!(content("env"), format!("TALVIN_AI_API_KEY={secret}\nTALVIN_AI_ORG_ID={organization_id}\n"));
    assert_eq!(content("txt"), format!("{secret}\n"));
    let json: serde_json::Value = serde_json::from_str(&content("json")).unwrap();
    assert_eq!(json["api_key"], *secret);
    assert_eq!(json["organization_id"], *organization_id);
    assert_eq!(json["name"], "Production API Key");
    assert_eq!(answer.attribute("a[download$='.env']", "download"), "talvin-ai-production-api-key.env");
}

#[tokio::test]
async fn with_scripts_no_link_carries_the_key() {
    let app = TestApp::start().await;
    let answer = app.admin().await.by_htmx().try_create_key("Production API Key").await.expect(200);
    // Browsers keep the address of what was downloaded.
    assert!(!answer.has("[href^='data:']"));
    assert!(answer.has("button[data-download]"));
}

#[tokio::test]
async fn the_example_request_uses_a_variable_and_not_the_key() {
    let app = TestApp::start().await;
    let answer = app.admin().await.try_create_key("Production API Key").await.expect(200);
    let example = answer.one("#curl");
    let url = format!("http://localhost:{}/v1/keys/verify", app.address.port());
    assert!(example.starts_with(&format!("curl {url}")), "{example}");
    assert!(example.contains("$TALVIN_AI_API_KEY") && !example.contains("talvin_live_"), "{example}");
}

#[tokio::test]
async fn the_configured_brand_and_prefix_are_used() {
    let app = TestApp::start_with(|settings| {
        "Umbrella & Söhne".clone_into(&mut settings.brand);
        "umb_test_eu".clone_into(&mut settings.key_prefix);
    })
    .await;
    let maya = app.admin().await;
    let answer = maya.try_create_key("Production").await.expect(200);
    assert!(answer.secret().unwrap().starts_with("umb_test_eu_"));
    assert!(answer.one("#curl").contains("$UMBRELLA_S_HNE_API_KEY"));
    let page = maya.get("/settings/integrations").await;
    assert_eq!(page.one("title"), "Integrations · Settings · Umbrella & Söhne");
    assert!(page.one("tbody code").starts_with("umb_test_eu_"));
}

#[tokio::test]
async fn accepted_names_come_back_byte_for_byte_and_inert() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let longest = "é".repeat(64);
    let names = [
        "a",
        "<img src=x onerror=alert(1)>",
        "\"><script>alert(1)</script>",
        "</strong></td></table>{{7*7}}{% raw %}",
        "'; DROP TABLE api_keys;--",
        "a&amp;b & c",
        "${jndi:ldap://x} %s %n \\u0000",
        "本番 مفتاح Ключ עברית",
        "Prod ⚠️ 🔑",
        "e\u{301} é",
        "=cmd|' /C calc'!A0",
        "a  b",
        &longest,
    ];
    for name in names {
        for person in [maya.clone(), maya.by_htmx()] {
            let answer = person.try_create_key(name).await.expect(200);
            assert_eq!(answer.one("#modal-desc strong"), collapsed(name));
            assert!(!answer.has("img") && !answer.has("main script") && !answer.has("hx-partial script"), "{name}");
            let secret = answer.secret().unwrap();
            let said = app.ask_about(&secret).await.json();
            assert_eq!(said["name"], name);
            let id = said["key_id"].as_str().unwrap();
            for change in ["rotate", "revoke"] {
                let form = person.get(&format!("{KEYS}/{id}/{change}")).await.expect(200);
                assert_eq!(form.one("#modal-desc strong"), collapsed(name));
            }
            let page = maya.get("/settings/integrations").await;
            assert!(page.text().contains(&escaped(name)), "{name}");
            assert_eq!(page.attribute("tbody button[aria-label^=Revoke]", "aria-label"), format!("Revoke {name}"));
            let revoked = maya.by_htmx().try_revoke(id, 1).await.expect(200);
            let toast = revoked.one(".toast-body");
            assert!(
                toast.starts_with(&collapsed(&format!("{name} no longer works. Refused on 1 of 1 node"))),
                "{toast}"
            );
            let logged = app.audit().await;
            for action in ["key.created", "key.revoked"] {
                let row = logged.iter().find(|row| row.action == action && row.key_id.as_deref() == Some(id)).unwrap();
                assert_eq!(row.key_name.as_deref(), Some(name));
            }
        }
    }
}

fn collapsed(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&#60;"),
            '>' => escaped.push_str("&#62;"),
            '&' => escaped.push_str("&#38;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[tokio::test]
async fn blanks_around_a_name_are_cut() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    maya.create_key(" \t Production\u{a0}\u{3000}").await;
    assert_eq!(maya.listed().await, ["Production"]);
}

#[tokio::test]
async fn a_name_that_cannot_be_used_is_explained_under_the_field() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let too_long = "é".repeat(65);
    for (name, sentence) in [
        ("", "Enter a name for this key."),
        ("   \t\r\n ", "Enter a name for this key."),
        ("\u{3000}\u{a0}", "Enter a name for this key."),
        (&*too_long, "Use 64 characters or fewer."),
        ("a\0b", "Something that can't be seen (U+0000) stands after “a”. Delete it, or type the name again."),
        ("a\nb", "Remove the line break after “a”: a name is one line."),
        (
            "\u{202E}drowssap",
            "Something that can't be seen (U+202E) stands at the beginning. Delete it, or type the name again.",
        ),
        (
            "a\u{2066}b\u{2069}",
            "Something that can't be seen (U+2066) stands after “a”. Delete it, or type the name again.",
        ),
        ("a\u{200B}b", "Something that can't be seen (U+200B) stands after “a”. Delete it, or type the name again."),
        ("a\u{200D}b", "Something that can't be seen (U+200D) stands after “a”. Delete it, or type the name again."),
        (
            "\u{FEFF}a",
            "Something that can't be seen (U+FEFF) stands at the beginning. Delete it, or type the name again.",
        ),
        ("a\u{FFFD}b", "A character after “a” can't be read. Type the name again."),
        ("a\u{E0041}b", "Something that can't be seen (U+E0041) stands after “a”. Delete it, or type the name again."),
        ("a\u{FE0F}", "Something that can't be seen (U+FE0F) stands after “a”. Delete it, or type the name again."),
        (
            "\u{1b}[31m",
            "Something that can't be seen (U+001B) stands at the beginning. Delete it, or type the name again.",
        ),
        ("\u{7f}", "Something that can't be seen (U+007F) stands at the beginning. Delete it, or type the name again."),
        ("x\u{85}y", "Remove the line break after “x”: a name is one line."),
    ] {
        for person in [maya.clone(), maya.by_htmx()] {
            let idem = form_token();
            let form = create_with(&person, name, &idem).await.expect(422);
            assert_eq!(form.one("#key-name-error"), sentence, "{name:?}");
            assert_eq!(form.attribute("#key-name", "aria-invalid"), "true");
            assert_eq!(form.attribute("#key-name", "aria-describedby"), "key-name-error");
            assert_eq!(form.field("idem"), idem, "the same form, to be sent again");
            assert_eq!(form.one("#modal-title"), "Create New API Key");
        }
    }
    assert_eq!(app.count("api_keys").await, 0);
}

#[tokio::test]
async fn what_was_typed_stands_in_the_field_again() {
    let app = TestApp::start().await;
    let typed = format!("\"><b>{}", "x".repeat(65));
    let form = app.admin().await.try_create_key(&typed).await.expect(422);
    assert_eq!(form.field("name"), typed);
    assert!(!form.has("main b"));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_like_invisible_characters() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for name in ["%ED%A0%80", "a%ED%BF%BFb", "%FF%FE", "%C0%80", "%F4%90%80%80", "a%80"] {
        let form = maya.post_raw(KEYS, format!("name={name}&idem={}", form_token())).await.expect(422);
        let sentence = form.one("#key-name-error");
        assert!(
            sentence.starts_with("A character ") && sentence.ends_with("can't be read. Type the name again."),
            "{sentence}"
        );
    }
    let raw = [b"name=".as_slice(), b"\xED\xA0\x80", format!("&idem={}", form_token()).as_bytes()].concat();
    maya.post_raw(KEYS, raw).await.expect(422);
}

#[tokio::test]
async fn names_that_people_have_are_taken_as_they_are() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let names = ["داده\u{200C}پردازان", "👩\u{200D}💻 Laptop", "1\u{FE0F}\u{20E3} first", "क्\u{200D}ष", "O’Brien's"];
    for name in names {
        assert_eq!(maya.create_key(name).await.name, name);
    }
    assert_eq!(maya.listed().await.len(), names.len());
    // Without what cannot be seen it is the same name.
    maya.try_create_key("دادهپردازان").await.expect(422);
}

#[tokio::test]
async fn a_name_stored_before_blanks_and_selectors_were_left_out_is_still_taken() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Prod  ⚠\u{FE0F}").await;
    app.execute(&format!("UPDATE api_keys SET name_folded = 'prod  ⚠\u{FE0F}' WHERE id = '{}'", key.id)).await;
    maya.try_create_key("PROD  ⚠\u{FE0F}").await.expect(422);
}

#[tokio::test]
async fn a_name_is_free_once_among_living_keys_whatever_its_case() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Straße Production").await;
    for twin in [
        "Straße Production",
        "STRAßE PRODUCTION",
        "straße production",
        "Straße Ｐroduction",
        " Straße Production ",
        "Straße\u{3000}Production",
        "Straße  Production",
    ] {
        let form = maya.try_create_key(twin).await.expect(422);
        assert_eq!(form.one("#key-name-error"), TAKEN, "{twin}");
        assert_eq!(form.field("name"), twin);
    }
    app.admin_of_another_organization().await.create_key("Straße Production").await;
    maya.revoke(&key).await;
    maya.create_key("straße PRODUCTION").await;
}

#[tokio::test]
async fn the_corrected_form_makes_the_key() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    maya.create_key("Production").await;
    let form = maya.try_create_key("production").await.expect(422);
    create_with(&maya, "Production 2", &form.field("idem")).await.expect(200);
    assert_eq!(maya.listed().await.len(), 2);
}

#[tokio::test]
async fn of_many_who_want_one_name_at_once_one_gets_it() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let answers = join_all((0..20).map(|_| maya.try_create_key("Production"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(refused.status, 422, "{}", refused.text());
        assert_eq!(refused.one("#key-name-error"), TAKEN);
    }
    assert_eq!(app.count("api_keys").await, 1);
    assert_eq!(app.count("key_secrets").await, 1);
    assert_eq!(app.count("audit_events WHERE action = 'key.created'").await, 1);
}

#[tokio::test]
async fn one_form_sent_fifty_times_at_once_makes_one_key_and_shows_it_once() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let form = maya.get("/settings/integrations/keys/new").await;
    let idem = form.field("idem");
    let people: Vec<Person> = (0..50).map(|n| if n % 2 == 0 { maya.clone() } else { maya.by_htmx() }).collect();
    let answers = join_all(people.iter().map(|person| create_with(person, "Production", &idem))).await;
    let shown: BTreeSet<String> = answers.iter().filter_map(Answer::secret).collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    let secret = shown.first().unwrap();
    for late in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(late.status, 409, "{}", late.text());
        assert!(!late.text().contains("talvin_live_"));
        assert_eq!(
            late.one("#modal-desc"),
            "This key was already created. Its secret can't be shown again. Rotate it to get a new one."
        );
    }
    assert_eq!(app.count("api_keys").await, 1);
    assert_eq!(app.count("audit_events WHERE action = 'key.created'").await, 1);
    assert_eq!(app.verify(secret).await, "VALID");
}

#[tokio::test]
async fn a_form_sent_again_makes_no_second_key_even_under_another_name() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let idem = form_token();
    create_with(&maya, "Production", &idem).await.expect(200);
    for name in ["Production", "Staging"] {
        let again = create_with(&maya, name, &idem).await.expect(409);
        assert_eq!(again.secret(), None);
    }
    assert_eq!(app.count("api_keys").await, 1);
}

#[tokio::test]
async fn the_token_of_one_organization_is_nothing_to_another() {
    let app = TestApp::start().await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let idem = form_token();
    create_with(&maya, "Production", &idem).await.expect(200);
    create_with(&olga, "Production", &idem).await.expect(200);
}

#[tokio::test]
async fn a_form_without_a_good_token_is_incomplete() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for idem in ["", "x", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde'", &"0".repeat(33)] {
        let form = create_with(&maya, "Production", idem).await.expect(422);
        assert_eq!(form.alert(), "This form is incomplete. Reload the page and try again.");
        assert_eq!(form.field("name"), "Production");
        assert_ne!(form.field("idem"), idem);
    }
    assert_eq!(app.count("api_keys").await, 0);
}

#[tokio::test]
async fn a_name_of_a_megabyte_is_too_much_and_the_dialog_stays() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for person in [maya.clone(), maya.by_htmx()] {
        let form = create_with(&person, &"x".repeat(1024 * 1024), &form_token()).await.expect(413);
        assert_eq!(form.one("#key-name-error"), "Use 64 characters or fewer.");
        assert_eq!(form.one("#modal-title"), "Create New API Key");
    }
    assert_eq!(app.count("api_keys").await, 0);
}

#[tokio::test]
async fn the_answer_with_a_key_must_not_be_stored_anywhere() {
    let app = TestApp::start().await;
    let answer = app.admin().await.try_create_key("Production").await.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let secret = answer.secret().unwrap();
    assert!(!answer.all_headers().contains(&secret));
    assert!(!answer.text().contains(&format!("/{secret}")), "no URL the server sees holds it");
}

#[tokio::test]
async fn snapshot_of_the_pop_up_with_the_key() {
    let app = TestApp::start().await;
    let answer = app.admin().await.by_htmx().try_create_key("Production API Key").await.expect(200);
    crate::support::assert_snapshot(&app, "your_new_api_key", &answer);
}

#[tokio::test]
async fn snapshot_of_the_form_with_a_mistake() {
    let app = TestApp::start().await;
    let answer = app.admin().await.by_htmx().try_create_key("\"><b>\u{202E}").await.expect(422);
    crate::support::assert_snapshot(&app, "create_key_with_a_mistake", &answer);
}

#[tokio::test]
async fn a_purge_leaves_the_tokens_of_forms_that_can_still_be_sent_and_no_others() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let fields = [("name", "Production"), ("idem", &*form_token())];
    maya.post(KEYS, &fields).await.expect(200);
    let purged = async || purge_expired(&app.site).await.unwrap().form_tokens;
    assert_eq!(purged().await, 0);
    maya.post(KEYS, &fields).await.expect(409);
    assert_eq!(app.count("api_keys").await, 1);
    app.clock.advance(TimeDelta::days(7));
    assert_eq!(purged().await, 0);
    app.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!((purged().await, app.count("form_tokens").await), (1, 0));
}
