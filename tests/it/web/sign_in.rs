//! `/sign-in`

use chrono::TimeDelta;

use crate::support::{PASSWORD, Person, TestApp, without_request_ids};

const MAYA: &str = "maya@acme.example";
const WRONG: &str = "The email address or the password is wrong. Check both and try again.";

async fn app_with_maya() -> TestApp {
    let app = TestApp::start().await;
    app.admin().await;
    app
}

async fn sign_in_and_return_to(person: &Person, return_to: &str) -> String {
    let fields = [("email", MAYA), ("password", PASSWORD), ("return_to", return_to)];
    person.post("/sign-in", &fields).await.expect(303).header("location").to_owned()
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
    let signed_in = maya.post("/sign-in", &fields).await.expect(303);
    let page = maya.get(signed_in.header("location")).await.expect(200);
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

    app.clock.advance(TimeDelta::seconds(29));
    assert_eq!(visitor.try_sign_in(&MAYA.to_uppercase(), PASSWORD).await.expect(429).header("retry-after"), "1");
    app.clock.advance(TimeDelta::seconds(1));
    visitor.sign_in(MAYA, PASSWORD).await;
}

#[tokio::test]
async fn an_account_that_does_not_exist_runs_out_of_tries_like_any_other() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    for _ in 0..10 {
        visitor.try_sign_in("nobody@acme.example", PASSWORD).await.expect(422);
    }
    let refused = visitor.try_sign_in("nobody@acme.example", PASSWORD).await.expect(429);
    assert_eq!(refused.header("retry-after"), "30");
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
async fn an_address_runs_out_of_tries_over_many_accounts() {
    let app = app_with_maya().await;
    let visitor = app.anonymous();
    for n in 0..50 {
        visitor.try_sign_in(&format!("nobody{n}@acme.example"), PASSWORD).await.expect(422);
    }
    let refused = visitor.try_sign_in(MAYA, PASSWORD).await.expect(429);
    assert_eq!(refused.header("retry-after"), "6");
    app.clock.advance(TimeDelta::seconds(6));
    visitor.sign_in(MAYA, PASSWORD).await;
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
