//! `/sign-in`

use chrono::TimeDelta;
use futures_util::future::join_all;
use keystead::{
    actions::{
        create_admin::{CreateAdminError, NewAdmin, Workplace, create_admin},
        purge_expired::purge_expired,
        reset_password::reset_password,
    },
    clock::Clock,
    domain::{email::Email, name::Name, password::NewPassword},
    passwords::Passwords,
    throttle::Caller,
};

use crate::support::{PASSWORD, Person, TestApp, without_request_ids};

const MAYA: &str = "maya@acme.example";
const WRONG: &str = "The email address or the password is wrong. Check both and try again.";

async fn app_with_maya() -> TestApp {
    let app = TestApp::start().await;
    app.clock.stop();
    app.admin().await;
    app
}

async fn sign_in_and_return_to(person: &Person, return_to: &str) -> String {
    let fields = [("email", MAYA), ("password", PASSWORD), ("return_to", return_to)];
    let answer = person.post("/sign-in", &fields).await;
    person.led_to(answer).await
}

#[tokio::test]
async fn a_visitor_is_led_from_the_root_over_sign_in_to_the_integrations_page() {
    let app = app_with_maya().await;
    let maya = app.anonymous();
    let to_settings = maya.get("/").await.expect(303);
    let to_sign_in = maya.get(to_settings.header("location")).await.expect(303);
    let form = maya.get(to_sign_in.header("location")).await.expect(200);
    assert_eq!(form.one("h1"), "Sign in");
    assert_eq!(form.one("title"), "Sign in · Talvin AI");
    assert!(!form.has("[role=status] p"), "whoever never signed in has no session that ended");
    let fields = [("email", MAYA), ("password", PASSWORD), ("return_to", &*form.field("return_to"))];
    let signed_in = maya.post("/sign-in", &fields).await;
    let page = maya.get(&maya.led_to(signed_in).await).await.expect(200);
    assert_eq!(page.one("h1"), "Integrations");
    assert_eq!(page.one("title"), "Integrations · Settings · Talvin AI");
}

#[tokio::test]
async fn an_address_is_the_same_in_any_case_and_with_blanks_around() {
    let app = app_with_maya().await;
    let maya = app.anonymous();
    maya.sign_in(" Maya@ACME.example ", PASSWORD).await;
    assert!(maya.is_signed_in().await);
}

#[tokio::test]
async fn an_address_is_the_same_however_it_is_spelled() {
    let app = TestApp::start().await;
    let acme = Workplace::New(Name::parse("Acme Robotics").unwrap());
    app.account(acme, "Maya Chen", "maya@münchen.example").await;
    for spelled in [
        "maya@münchen.example",
        "maya@xn--mnchen-3ya.example",
        "maya@mu\u{308}nchen.example",
        "ｍａｙａ＠MÜNCHEN．example",
        "maya@münchen.example.",
        "\u{FEFF}maya@münchen.example\u{200B}",
    ] {
        app.anonymous().sign_in(spelled, PASSWORD).await;
        assert_eq!(second_account(&app, spelled).await, Err(()), "{spelled} is a second account");
    }
    // One throttle for all of them.
    for n in 0..10 {
        let spelled = ["maya@münchen.example", "maya@xn--mnchen-3ya.example"][n % 2];
        app.anonymous().try_sign_in(spelled, "wrong horse battery").await.expect(422);
    }
    app.anonymous().try_sign_in("maya@MÜNCHEN.example", PASSWORD).await.expect(429);
}

/// Makes an account as the command line does.
async fn second_account(app: &TestApp, email: &str) -> Result<(), ()> {
    let admin = NewAdmin {
        name: Name::parse("Maya Chen").unwrap(),
        email: Email::parse(email).unwrap(),
        password: NewPassword::parse(PASSWORD.to_owned(), &[]).unwrap(),
    };
    let elsewhere = Workplace::New(Name::parse("Again").unwrap());
    let made = create_admin(&app.site.db, &*app.clock, &app.site.passwords, elsewhere, admin).await;
    match made {
        Ok(_) => Ok(()),
        Err(CreateAdminError::EmailTaken) => Err(()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn accounts_stored_before_addresses_had_one_spelling_go_on_working() {
    let app = app_with_maya().await;
    for (stored, spelled) in [
        ("maya@münchen.example", ["maya@münchen.example", "maya@xn--mnchen-3ya.example"]),
        ("maya@mu\u{308}nchen.example", ["maya@münchen.example", "maya@mu\u{308}nchen.example"]),
        ("maya@acme.example.", ["Maya@acme.example.", "maya@ACME.example."]),
    ] {
        app.execute(&format!("UPDATE users SET email = '{stored}', email_folded = '{stored}'")).await;
        for spelled in spelled {
            app.anonymous().sign_in(spelled, PASSWORD).await;
            assert_eq!(second_account(&app, spelled).await, Err(()), "{spelled} is a second account");
        }
    }
}

#[tokio::test]
async fn two_accounts_of_one_address_made_before_each_have_their_own_spelling() {
    let app = app_with_maya().await;
    app.admin_of_another_organization().await;
    let spellings = [("Maya Chen", "maya@münchen.example"), ("Olga Ray", "maya@xn--mnchen-3ya.example")];
    for (name, spelling) in spellings {
        app.execute(&format!("UPDATE users SET email_folded = '{spelling}' WHERE name = '{name}'")).await;
    }
    for (name, spelling) in spellings {
        let person = app.anonymous();
        person.sign_in(spelling, PASSWORD).await;
        assert_eq!(person.get("/settings/integrations").await.one(".who-text strong"), name);
    }
}

#[tokio::test]
async fn a_password_is_the_same_however_it_is_spelled() {
    let app = TestApp::start().await;
    app.admin().await;
    let (composed, decomposed) = ("Gr\u{fc}ße aus M\u{fc}nchen", "Gru\u{308}ße aus Mu\u{308}nchen");
    let set = async |password: &str| {
        let hash = app.site.passwords.hash(NewPassword::parse(password.to_owned(), &[]).unwrap()).await.unwrap();
        app.execute(&format!("UPDATE users SET password_hash = '{hash}'")).await;
    };
    for chosen in [composed, decomposed] {
        set(chosen).await;
        for typed in [composed, decomposed, "Ｇrüße\u{a0}aus\u{3000}München"] {
            app.anonymous().sign_in(MAYA, typed).await;
        }
        app.anonymous().try_sign_in(MAYA, "Grusse aus Munchen").await.expect(422);
    }
}

#[tokio::test]
async fn signing_in_leads_back_to_where_one_wanted_to_go() {
    let app = app_with_maya().await;
    let maya = app.anonymous();
    let sent = maya.get("/settings/integrations?page=2&x=a%26b").await.expect(303);
    let form = maya.get(sent.header("location")).await.expect(200);
    assert_eq!(form.field("return_to"), "/settings/integrations?page=2&x=a%26b");
    assert_eq!(sign_in_and_return_to(&maya, &form.field("return_to")).await, "/settings/integrations?page=2&x=a%26b");
}

#[tokio::test]
async fn a_return_path_never_leads_to_another_site() {
    let app = app_with_maya().await;
    for elsewhere in [
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        "/\n/evil.example",
        "/%0d%0aSet-Cookie:x=1\r\n",
        "javascript:alert(1)",
        "evil.example",
        " /settings",
        "/é",
        "",
    ] {
        let maya = app.anonymous();
        assert_eq!(sign_in_and_return_to(&maya, elsewhere).await, "/settings/integrations", "{elsewhere:?}");
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", elsewhere).finish();
        let already = maya.get(&format!("/sign-in?{query}")).await.expect(303);
        assert_eq!(already.header("location"), "/settings/integrations", "{elsewhere:?}");
    }
}

#[tokio::test]
async fn an_ended_session_is_said_to_have_ended() {
    let app = app_with_maya().await;
    let maya = app.anonymous();
    maya.sign_in(MAYA, PASSWORD).await;
    app.clock.advance(TimeDelta::minutes(31));
    let sent = maya.get("/settings/integrations").await.expect(303);
    let form = maya.get(sent.header("location")).await.expect(200);
    assert_eq!(form.one("[role=status] p"), "Your session ended. Sign in to continue.");
}

#[tokio::test]
async fn without_an_account_the_form_points_to_the_set_up_link() {
    let app = TestApp::start().await;
    let form = app.anonymous().get("/sign-in").await.expect(200);
    assert!(form.one("[role=status] p").contains("set-up link"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    let known = visitor.try_sign_in(MAYA, "wrong horse battery").await.expect(422);
    let unknown = visitor.try_sign_in("nobody@acme.example", PASSWORD).await.expect(422);
    assert_eq!(known.alert(), WRONG);
    assert_eq!(known.text().replace(MAYA, "…"), unknown.text().replace("nobody@acme.example", "…"));
    let names = |answer: &crate::support::Answer| {
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(&known), names(&unknown));
    assert!(!visitor.is_signed_in().await);
}

#[tokio::test]
async fn what_was_typed_comes_back_as_text_and_the_password_not_at_all() {
    let app = app_with_maya().await;
    let typed = "\"><img src=x onerror=alert(1)>@acme.example";
    let answer = app.anonymous().try_sign_in(typed, "a very wrong password").await.expect(422);
    assert_eq!(answer.field("email"), typed);
    assert!(!answer.has("img"));
    assert!(!answer.text().contains("a very wrong password"));
}

#[tokio::test]
async fn what_cannot_be_an_address_or_a_password_is_merely_wrong() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    for body in [
        "",
        "email=&password=",
        "email=maya",
        "password=x",
        "email=maya%00%40acme.example&password=%00",
        "email=%ED%A0%80%40acme.example&password=%ED%A0%80",
        "email=maya%40acme.example&password=%FF%FE",
    ] {
        visitor.post_raw("/sign-in", body).await.expect(422);
    }
    let long = "x".repeat(15_000);
    visitor.try_sign_in(MAYA, &long).await.expect(422);
}

#[tokio::test]
async fn what_is_no_form_is_refused_with_a_page() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    let json = visitor.request(reqwest::Method::POST, "/sign-in").json(&serde_json::json!({ "email": MAYA }));
    let refused = visitor.send(json).await.expect(415);
    assert!(refused.is_page());
    visitor.post_raw("/sign-in", "email=a%40b&email=c%40d").await.expect(400);
    visitor.get("/sign-in?return_to=a&return_to=b").await.expect(400);
}

#[tokio::test]
async fn ten_wrong_tries_at_an_account_are_enough_for_a_while() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    for _ in 0..10 {
        visitor.try_sign_in(MAYA, "wrong horse battery").await.expect(422);
    }
    let refused = visitor.try_sign_in(MAYA, PASSWORD).await.expect(429);
    assert_eq!(refused.header("retry-after"), "30");
    assert_eq!(refused.alert(), "Too many attempts. Wait 30 seconds and try again.");
    assert_eq!(refused.field("email"), MAYA);

    app.clock.pass(TimeDelta::seconds(29));
    assert_eq!(visitor.try_sign_in(&MAYA.to_uppercase(), PASSWORD).await.expect(429).header("retry-after"), "1");
    app.clock.pass(TimeDelta::seconds(1));
    visitor.sign_in(MAYA, PASSWORD).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    app.clock.set_ahead(TimeDelta::hours(8));
    for _ in 0..10 {
        visitor.try_sign_in(MAYA, "wrong horse battery").await.expect(422);
    }
    app.clock.set_ahead(TimeDelta::zero());
    let refused = visitor.try_sign_in(MAYA, PASSWORD).await.expect(429);
    assert_eq!(refused.header("retry-after"), "30");
    app.clock.pass(TimeDelta::seconds(30));
    visitor.sign_in(MAYA, PASSWORD).await;
}

#[tokio::test]
async fn a_purge_gives_no_tries_back() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    for _ in 0..10 {
        visitor.try_sign_in(MAYA, "wrong horse battery").await.expect(422);
    }
    purge_expired(&app.site).await.unwrap();
    visitor.try_sign_in(MAYA, PASSWORD).await.expect(429);
}

#[tokio::test]
async fn an_account_that_does_not_exist_runs_out_of_tries_like_any_other() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    for _ in 0..10 {
        visitor.try_sign_in("nobody@acme.example", PASSWORD).await.expect(422);
    }
    visitor.try_sign_in("nobody@acme.example", PASSWORD).await.expect(429);
}

#[tokio::test]
async fn who_guesses_at_one_account_does_not_lock_out_another() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    for _ in 0..11 {
        visitor.try_sign_in("nobody@acme.example", PASSWORD).await;
    }
    visitor.sign_in(MAYA, PASSWORD).await;
}

#[tokio::test]
async fn behind_a_proxy_that_hides_all_addresses_a_stranger_keeps_nobody_out() {
    let app = app_with_maya().await;
    for n in 0..90 {
        app.anonymous().try_sign_in(&format!("nobody{n}@acme.example"), PASSWORD).await.expect(422);
    }
    app.anonymous().sign_in(MAYA, PASSWORD).await;
}

#[tokio::test]
async fn an_address_runs_out_of_tries_over_many_accounts() {
    let app = app_with_maya().await;
    let here = Some("127.0.0.1".parse().unwrap());
    for n in 0..1000 {
        let caller = Caller { account: Some(&format!("nobody{n}@acme.example")), address: here, device: None };
        let _ = app.site.throttle.take(caller, app.clock.since_boot()).unwrap();
    }
    app.anonymous().try_sign_in(MAYA, PASSWORD).await.expect(429);
    app.clock.pass(TimeDelta::seconds(2));
    app.anonymous().sign_in(MAYA, PASSWORD).await;
}

/// Maya's browser, which signed in once and is signed out now.
async fn device_of_maya(app: &TestApp) -> Person {
    let maya = app.anonymous();
    maya.sign_in(MAYA, PASSWORD).await;
    maya.sign_out().await;
    assert_ne!(maya.device_cookie(), "", "a device stays known");
    maya
}

async fn use_up_all_tries(app: &TestApp) {
    for _ in 0..10 {
        app.anonymous().try_sign_in(MAYA, "wrong horse battery").await.expect(422);
    }
    app.anonymous().try_sign_in(MAYA, PASSWORD).await.expect(429);
}

#[tokio::test]
async fn a_stranger_keeps_nobody_out_of_a_device_that_signed_in_before() {
    let app = app_with_maya().await;
    let maya = device_of_maya(&app).await;
    use_up_all_tries(&app).await;
    maya.sign_in(MAYA, PASSWORD).await;
    assert!(maya.is_signed_in().await);
}

#[tokio::test]
async fn a_stolen_device_cookie_allows_few_guesses() {
    let app = app_with_maya().await;
    let maya = device_of_maya(&app).await;
    let thief = app.anonymous();
    thief.set_cookie(&maya.device_cookie());
    use_up_all_tries(&app).await;
    for _ in 0..10 {
        thief.try_sign_in(MAYA, "wrong horse battery").await.expect(422);
    }
    thief.try_sign_in(MAYA, PASSWORD).await.expect(429);
}

#[tokio::test]
async fn a_device_of_somebody_else_is_like_any_other() {
    let app = app_with_maya().await;
    let olga = app.admin_of_another_organization().await;
    use_up_all_tries(&app).await;
    let made_up = app.anonymous();
    let nothing = "0".repeat(32);
    let name = format!("keystead-{}-device", app.address.port());
    made_up.set_cookie(&format!("{name}=20000.0.{nothing}.{nothing}"));
    for stranger in [olga, made_up] {
        stranger.try_sign_in(MAYA, PASSWORD).await.expect(429);
    }
}

#[tokio::test]
async fn devices_can_be_forgotten() {
    let app = app_with_maya().await;
    let maya = device_of_maya(&app).await;
    use_up_all_tries(&app).await;
    app.execute("UPDATE users SET device_epoch = device_epoch + 1").await;
    maya.try_sign_in(MAYA, PASSWORD).await.expect(429);
    app.clock.pass(TimeDelta::seconds(30));
    maya.sign_in(MAYA, PASSWORD).await;
    maya.sign_out().await;
    app.anonymous().try_sign_in(MAYA, "wrong horse battery").await.expect(422);
    maya.sign_in(MAYA, PASSWORD).await;
}

#[tokio::test]
async fn with_a_new_password_every_device_is_forgotten() {
    let app = app_with_maya().await;
    let maya = device_of_maya(&app).await;
    let (email, password) = (Email::parse(MAYA).unwrap(), NewPassword::parse(PASSWORD.to_owned(), &[]).unwrap());
    reset_password(&app.site.db, &*app.clock, &Passwords::default(), email, password).await.unwrap();
    use_up_all_tries(&app).await;
    maya.try_sign_in(MAYA, PASSWORD).await.expect(429);
}

#[tokio::test]
async fn the_cookie_of_a_device_is_out_of_reach_of_scripts_and_of_other_sites() {
    for url in [None, Some("https://keys.example.com")] {
        let app = TestApp::start_with(|settings| settings.public_url = url.unwrap_or_default().to_owned()).await;
        app.admin().await;
        let cookie = app.anonymous().try_sign_in(MAYA, PASSWORD).await.expect(303).set_cookie(true);
        let name = url.map_or(format!("keystead-{}-device=", app.address.port()), |_| "__Host-keystead-device=".into());
        assert!(cookie.starts_with(&name), "{cookie}");
        for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=34560000"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert_eq!(cookie.contains("; Secure"), url.is_some(), "{cookie}");
        assert!(!cookie.contains("Domain") && !cookie.contains("maya"), "{cookie}");
    }
}

#[tokio::test]
async fn a_device_cookie_signs_nobody_in() {
    let app = app_with_maya().await;
    let maya = device_of_maya(&app).await;
    let thief = app.anonymous();
    thief.set_cookie(&maya.device_cookie());
    assert!(!thief.is_signed_in().await);
}

#[tokio::test]
async fn many_at_once_are_turned_away_whether_the_account_exists_or_not() {
    let app = app_with_maya().await;
    for account in ["maya", "nobody"] {
        let visitor = app.anonymous();
        let tries = (0..60).map(|n| {
            let email =
                if account == "maya" && n < 10 { MAYA.to_owned() } else { format!("{account}{n}@acme.example") };
            let visitor = visitor.clone();
            async move { visitor.try_sign_in(&email, "wrong horse battery").await.status }
        });
        let statuses = join_all(tries).await;
        // An answer without a hash would never be turned away.
        assert!(statuses.contains(&429), "{account}: {statuses:?}");
    }
}

#[tokio::test]
async fn a_fault_is_no_wrong_password_and_counts_no_try() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    let hash = app.lines("SELECT password_hash AS line FROM users").await.remove(0);
    // Four TiB, which nobody has; and a row that cannot be read.
    for damaged in [hash.replace("m=19456", "m=4294967295"), "$argon2id$damaged".to_owned()] {
        app.execute(&format!("UPDATE users SET password_hash = '{damaged}'")).await;
        for _ in 0..12 {
            let refused = visitor.try_sign_in(MAYA, PASSWORD).await.expect(503);
            assert!(refused.alert().contains("Something went wrong on our side"), "{}", refused.alert());
        }
    }
    app.execute(&format!("UPDATE users SET password_hash = '{hash}'")).await;
    visitor.sign_in(MAYA, PASSWORD).await;
    assert!(!app.audited().await.contains(&"session.sign_in_failed".to_owned()));
}

/// Nobody is signed in, and somebody who was stays so.
#[tokio::test]
async fn a_session_that_cannot_be_opened_is_a_fault_that_changed_nothing() {
    let app = app_with_maya().await;
    let maya = app.anonymous();
    maya.sign_in(MAYA, PASSWORD).await;
    let before = (app.audited().await, app.count("sessions").await);
    let cookies = maya.cookies();
    app.execute("ALTER TABLE audit_events RENAME TO audit_events_away").await;
    let refused = maya.try_sign_in(MAYA, PASSWORD).await.expect(503);
    assert!(refused.alert().contains("nothing was changed"), "{}", refused.alert());
    app.execute("ALTER TABLE audit_events_away RENAME TO audit_events").await;
    assert_eq!(maya.cookies(), cookies);
    assert!(maya.is_signed_in().await, "the session from before lives on");
    assert_eq!((app.audited().await, app.count("sessions").await), before);
}

#[tokio::test]
async fn a_browser_that_keeps_no_cookies_is_told_so() {
    let app = app_with_maya().await;
    let forgetful = || app.anonymous();
    let fields = [("email", MAYA), ("password", PASSWORD), ("return_to", "/settings/integrations?page=2")];
    let sent = forgetful().post("/sign-in", &fields).await.expect(303);
    let page = forgetful().get(sent.header("location")).await.expect(200);
    assert!(page.alert().starts_with("Your browser did not keep the cookie that signing in needs"), "{}", page.alert());
    assert_eq!(page.field("return_to"), "/settings/integrations?page=2");
    // One that keeps them is not bothered, and from the second time on not even sent round.
    let maya = app.anonymous();
    assert_eq!(sign_in_and_return_to(&maya, "/settings/integrations?page=2").await, "/settings/integrations?page=2");
    maya.sign_out().await;
    let again = maya.post("/sign-in", &fields).await.expect(303);
    assert_eq!(again.header("location"), "/settings/integrations?page=2");
}

#[tokio::test]
async fn right_passwords_cost_nothing() {
    let app = app_with_maya().await;
    for _ in 0..12 {
        app.anonymous().sign_in(MAYA, PASSWORD).await;
    }
}

#[tokio::test]
async fn a_forwarded_address_is_believed_only_from_a_trusted_proxy() {
    for (trusted, expected) in [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")] {
        let app = TestApp::start_with(|settings| settings.trusted_proxies = trusted.to_owned()).await;
        let visitor = app.anonymous();
        let request = visitor.request(reqwest::Method::POST, "/sign-in").header("x-forwarded-for", "203.0.113.9");
        visitor.send(request.form(&[("email", MAYA), ("password", "x")])).await.expect(422);
        assert_eq!(app.audit().await[0].address.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_refusal_says_where_to_look_in_the_log() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    let page = visitor.get("/nowhere").await.expect(404);
    assert_eq!(page.one(".request-id code"), page.header("x-request-id"));
    let again = visitor.get("/nowhere").await;
    assert_ne!(page.header("x-request-id"), again.header("x-request-id"));
    assert_eq!(without_request_ids(page.text()), without_request_ids(again.text()));
}
