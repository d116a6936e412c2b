//! `/sign-out`

use keystead::{
    domain::ids::{SessionId, UserId},
    store::{StoreError, sessions},
};

use crate::support::{PASSWORD, TestApp};

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let cookie = maya.cookies();
    let page = maya.get("/settings/integrations").await;
    assert_eq!(page.attribute("form[action='/sign-out']", "method"), "post");

    let answer = maya.post("/sign-out", &[]).await.expect(303);
    assert_eq!(answer.header("location"), "/sign-in");
    assert_eq!(answer.header("clear-site-data"), "\"cache\", \"storage\"");
    assert_eq!(maya.cookies(), "", "the browser forgets the cookie");
    assert_eq!(app.count("sessions").await, 0);

    let thief = app.anonymous();
    thief.set_cookie(&cookie);
    assert!(!thief.is_signed_in().await, "the old cookie still opens the settings");
    thief.try_create_key("Stolen").await.expect(303);
    assert_eq!(app.count("api_keys").await, 0);
}

#[tokio::test]
async fn other_sessions_of_the_same_person_go_on() {
    let app = TestApp::start().await;
    let laptop = app.admin().await;
    let phone = app.anonymous();
    phone.sign_in(&laptop.email, PASSWORD).await;
    laptop.sign_out().await;
    assert!(!laptop.is_signed_in().await);
    assert!(phone.is_signed_in().await);
}

#[tokio::test]
async fn without_a_session_one_is_led_to_sign_in() {
    let app = TestApp::start().await;
    let answer = app.anonymous().post("/sign-out", &[]).await.expect(303);
    assert!(answer.header("location").starts_with("/sign-in"));
}

#[tokio::test]
async fn a_link_does_not_sign_out() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let answer = maya.get("/sign-out").await.expect(405);
    assert_eq!(answer.header("allow"), "POST");
    assert!(maya.is_signed_in().await);
}

/// As when two tabs sign out at once: the second one writes no event.
#[tokio::test]
async fn a_session_that_is_gone_already_is_not_ended_again() {
    let app = TestApp::start().await;
    app.admin().await;
    let now = app.site.clock.now();
    let ended = app.site.db.write::<_, StoreError>(move |conn| {
        sessions::delete_of_user(conn, &UserId::generate(now), &SessionId::generate(now))
    });
    assert!(!ended.await.unwrap());
}
