//! Sessions: how long they live, and whose cookie is believed.

use actix_web::cookie::{Cookie, CookieJar, Key as CookieKey};
use chrono::TimeDelta;
use keystead::{actions::purge_expired::purge_expired, domain::pepper::Pepper};
use reqwest::Method;

use crate::support::{PASSWORD, Person, TestApp};

const PAGE: &str = "/settings/integrations";

async fn opens_with(app: &TestApp, cookie: &str) -> bool {
    let visitor = app.anonymous();
    let request = visitor.request(Method::GET, PAGE).header("cookie", cookie);
    visitor.send(request).await.status == 200
}

/// A second organization's admin, who would like Maya to work in his session.
async fn maya_and_mallory(app: &TestApp) -> (Person, Person) {
    (app.admin().await, app.admin_of_another_organization().await)
}

fn name_of(cookie: &str) -> &str {
    cookie.split_once('=').unwrap().0
}

fn value_of(cookie: &str) -> &str {
    cookie.split_once('=').unwrap().1
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
    let app = TestApp::start().await;
    let email = app.admin().await.email;
    let answer = app.anonymous().try_sign_in(&email, PASSWORD).await.expect(303);
    let cookie = answer.set_cookie(false);
    assert!(cookie.starts_with(&format!("keystead-{}=", app.address.port())), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    for attribute in ["Domain", "Max-Age", "Expires", "Secure"] {
        assert!(!cookie.contains(attribute), "{cookie}");
    }
}

#[tokio::test]
async fn on_https_the_cookie_is_bound_to_the_host() {
    let app = TestApp::start_with(|settings| settings.public_url = "https://keys.example.com".into()).await;
    let email = app.admin().await.email;
    let visitor = app.anonymous();
    let answer = visitor.try_sign_in(&email, PASSWORD).await.expect(303);
    let cookie = answer.set_cookie(false);
    assert!(cookie.starts_with("__Host-keystead="), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Secure"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert!(answer.header("strict-transport-security").starts_with("max-age=31536000"));
    assert!(opens_with(&app, cookie.split(';').next().unwrap()).await);
}

#[tokio::test]
async fn a_session_ends_after_thirty_idle_minutes_and_not_before() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for _ in 0..3 {
        app.clock.advance(TimeDelta::seconds(29 * 60 + 59));
        assert!(maya.is_signed_in().await);
    }
    app.clock.advance(TimeDelta::minutes(30));
    assert!(!maya.is_signed_in().await);
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_however_busy_it_is() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for _ in 0..47 {
        app.clock.advance(TimeDelta::minutes(15));
        assert!(maya.is_signed_in().await);
    }
    app.clock.advance(TimeDelta::seconds(15 * 60 - 1));
    assert!(maya.is_signed_in().await);
    app.clock.advance(TimeDelta::seconds(1));
    assert!(!maya.is_signed_in().await);
}

#[tokio::test]
async fn ended_sessions_are_forgotten() {
    let app = TestApp::start().await;
    app.admin().await;
    app.clock.advance(TimeDelta::minutes(29));
    let olga = app.admin_of_another_organization().await;
    app.clock.advance(TimeDelta::minutes(2));
    assert_eq!(purge_expired(&app.site).await.unwrap().sessions, 0, "a clock that is ahead must delete nobody's");
    assert!(olga.is_signed_in().await);
    app.clock.advance(TimeDelta::days(2));
    app.anonymous().sign_in("olga@umbrella.example", PASSWORD).await;
    assert_eq!(purge_expired(&app.site).await.unwrap().sessions, 1);
    app.clock.advance(TimeDelta::minutes(30));
    assert_eq!(purge_expired(&app.site).await.unwrap().sessions, 1);
    assert_eq!(app.count("sessions").await, 1);
}

#[tokio::test]
async fn setting_the_machines_clock_ends_no_session_and_lengthens_none() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    for hours in [13, -13, 0, 24 * 365] {
        app.clock.set_ahead(TimeDelta::hours(hours));
        assert!(maya.is_signed_in().await, "{hours}");
        purge_expired(&app.site).await.unwrap();
        assert!(maya.is_signed_in().await, "{hours}");
    }
    app.clock.advance(TimeDelta::minutes(30));
    assert!(!maya.is_signed_in().await);
}

#[tokio::test]
async fn a_session_of_a_clock_that_was_ahead_lives_no_longer_than_others() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let eight_hours = 8 * 3_600_000;
    let ahead =
        format!("UPDATE sessions SET created_at = created_at + {eight_hours}, expires_at = expires_at + {eight_hours}");
    app.execute(&ahead).await;
    assert!(maya.is_signed_in().await);
    app.clock.advance(TimeDelta::minutes(30));
    assert!(!maya.is_signed_in().await, "idle");

    maya.sign_in(&maya.email, PASSWORD).await;
    app.execute(&ahead).await;
    for _ in 0..12 * 4 {
        assert!(maya.is_signed_in().await);
        app.clock.advance(TimeDelta::minutes(15));
    }
    assert!(!maya.is_signed_in().await, "twelve hours");
}

#[tokio::test]
async fn signing_in_begins_a_new_session_and_ends_the_old_one() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let before = maya.cookies();
    maya.sign_in(&maya.email, PASSWORD).await;
    assert_ne!(maya.cookies(), before);
    assert!(maya.is_signed_in().await);
    assert!(!opens_with(&app, &before).await, "the session from before lives on");
}

#[tokio::test]
async fn a_session_of_somebody_else_planted_before_sign_in_is_not_taken_over() {
    let app = TestApp::start().await;
    let (maya, mallory) = maya_and_mallory(&app).await;
    let planted = mallory.cookies();
    let victim = app.anonymous();
    victim.set_cookie(&planted);
    victim.sign_in(&maya.email, PASSWORD).await;
    assert_ne!(victim.cookies(), planted);
    assert!(!opens_with(&app, &planted).await, "Mallory's cookie is a key to Maya's session");
}

#[tokio::test]
async fn a_removed_member_is_out_at_once() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    app.execute("DELETE FROM memberships").await;
    assert!(!maya.is_signed_in().await);
    maya.try_create_key("Too late").await.expect(303);
    maya.try_sign_in(&maya.email, PASSWORD).await.expect(422);
}

#[tokio::test]
async fn a_member_of_another_organization_only_is_out_at_once() {
    let app = TestApp::start().await;
    let (maya, olga) = maya_and_mallory(&app).await;
    app.execute(
        "UPDATE memberships SET organization_id = (SELECT id FROM organizations WHERE name = 'Umbrella Foods')
         WHERE user_id = (SELECT id FROM users WHERE name = 'Maya Chen')",
    )
    .await;
    assert!(!maya.is_signed_in().await, "her session is of an organization that she left");
    assert!(olga.is_signed_in().await);
    maya.sign_in(&maya.email, PASSWORD).await;
    assert!(maya.get(PAGE).await.expect(200).one(".who-text small").starts_with("Umbrella Foods"));
}

#[tokio::test]
async fn a_cookie_that_was_changed_or_made_up_opens_nothing() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let cookie = maya.cookies();
    assert!(opens_with(&app, &cookie).await);
    let value = value_of(&cookie);
    let cut = &cookie[..cookie.len() - 1];
    let unsigned: String = value.chars().rev().take(64).collect::<Vec<_>>().into_iter().rev().collect();
    let name = name_of(&cookie);
    for made_up in ["", "=", "=x", &format!("={unsigned}")].map(|rest| format!("{name}{rest}")) {
        assert!(!opens_with(&app, &made_up).await, "{made_up}");
    }
    for made_up in [cut, &"x".repeat(4000)] {
        assert!(!opens_with(&app, made_up).await, "{made_up}");
    }
}

/// Whatever the tables say: what opens a session is made with this installation's pepper alone.
#[tokio::test]
async fn a_cookie_signed_under_another_pepper_opens_nothing() {
    let app = TestApp::start().await;
    let cookie = app.admin().await.cookies();
    let session_key: String = value_of(&cookie).chars().skip(value_of(&cookie).chars().count() - 64).collect();
    let signed_with = |key: &[u8]| {
        let mut jar = CookieJar::new();
        jar.signed_mut(&CookieKey::from(key)).add(Cookie::new(name_of(&cookie).to_owned(), session_key.clone()));
        jar.get(name_of(&cookie)).unwrap().encoded().to_string()
    };
    let own = signed_with(app.site.keys.pepper.cookie_key().as_slice());
    assert!(opens_with(&app, &own).await, "the test signs as the server does");
    let another = Pepper::new([7; 32]).cookie_key();
    for key in [another.as_slice(), &[0; 64], &[1; 64]] {
        assert!(!opens_with(&app, &signed_with(key)).await);
    }
}

#[tokio::test]
async fn two_installations_on_one_host_live_side_by_side() {
    let (app, other) = tokio::join!(TestApp::start(), TestApp::start());
    let (maya, olga) = (app.admin().await, other.admin_of_another_organization().await);
    // A browser sends what it has for the host to both.
    let both = format!("{}; {}", maya.cookies(), olga.cookies());
    assert!(opens_with(&app, &both).await && opens_with(&other, &both).await);
}

#[tokio::test]
async fn a_cookie_of_another_installation_opens_nothing() {
    let (app, other) = tokio::join!(TestApp::start(), TestApp::start());
    let maya = app.admin().await;
    other.admin().await;
    assert!(!opens_with(&other, &maya.cookies()).await);
}

#[tokio::test]
async fn a_planted_cookie_with_an_encoded_name_is_not_ours() {
    let app = TestApp::start().await;
    let (maya, mallory) = maya_and_mallory(&app).await;
    let (own, his) = (value_of(&maya.cookies()).to_owned(), value_of(&mallory.cookies()).to_owned());
    let (person, cookie) = (app.anonymous(), maya.cookies());
    let ours = name_of(&cookie);
    let rest = &ours[1..];
    for name in
        ["%6b", "%6B", "\u{3000}k", "K"].map(|k| format!("{k}{rest}")).into_iter().chain([format!("{ours}\u{a0}")])
    {
        assert!(!opens_with(&app, &format!("{name}={his}")).await, "{name} alone is believed");
        for cookie in [format!("{name}={his}; {ours}={own}"), format!("{ours}={own}; {name}={his}")] {
            let page = person.send(person.request(Method::GET, PAGE).header("cookie", cookie.as_bytes())).await;
            assert_eq!(page.expect(200).one(".who-text strong"), "Maya Chen", "{cookie}");
        }
    }
}

#[tokio::test]
async fn a_planted_host_cookie_with_an_encoded_name_is_not_ours() {
    let app = TestApp::start_with(|settings| settings.public_url = "https://keys.example.com".into()).await;
    let (maya, mallory) = maya_and_mallory(&app).await;
    let mut cookies = Vec::new();
    for person in [maya, mallory] {
        let answer = app.anonymous().try_sign_in(&person.email, PASSWORD).await.expect(303);
        cookies.push(value_of(answer.set_cookie(false).split(';').next().unwrap()).to_owned());
    }
    let person = app.anonymous();
    for name in ["__%48ost-keystead", "%5f_Host-keystead", "__host-keystead", "keystead"] {
        let cookie = format!("{name}={}; __Host-keystead={}", cookies[1], cookies[0]);
        let page = person.send(person.request(Method::GET, PAGE).header("cookie", &cookie)).await;
        assert_eq!(page.expect(200).one(".who-text strong"), "Maya Chen", "{name}");
        assert!(!opens_with(&app, &format!("{name}={}", cookies[1])).await, "{name} alone is believed");
    }
}

#[tokio::test]
async fn two_cookies_of_our_name_are_no_session() {
    let app = TestApp::start().await;
    let (maya, mallory) = maya_and_mallory(&app).await;
    let (own, his) = (maya.cookies(), mallory.cookies());
    for both in [format!("{own}; {his}"), format!("{his}; {own}"), format!("{own}; {own}")] {
        assert!(!opens_with(&app, &both).await, "{both}");
    }
    let visitor = app.anonymous();
    let request = visitor.request(Method::GET, PAGE).header("cookie", &own).header("cookie", &his);
    visitor.send(request).await.expect(303);
}

#[tokio::test]
async fn the_session_table_signs_nobody_in() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = value_of(&maya.cookies()).to_owned();
    let stored = app.everything_stored().await;
    let percent_decoded = percent_encoding::percent_decode_str(&key).decode_utf8().unwrap().into_owned();
    assert!(!stored.contains(&percent_decoded));
    let session_key = &percent_decoded[percent_decoded.len() - 64..];
    // A part of it would be as bad, also as Postgres shows bytes.
    for part in session_key.as_bytes().chunks(8) {
        let text = std::str::from_utf8(part).unwrap();
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!stored.contains(text) && !stored.contains(&hex), "{text}");
    }
}
