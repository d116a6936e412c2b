//! What one organization may make.

use chrono::TimeDelta;
use futures_util::future::join_all;
use keystead::{clock::Clock, domain::ids::UserId};

use crate::support::{Answer, PASSWORD, Person, TestApp};

async fn app_with(keys: &str, rotations: &str) -> TestApp {
    let (keys, rotations) = (keys.to_owned(), rotations.to_owned());
    TestApp::start_with(|settings| (settings.max_keys, settings.max_rotations_per_day) = (keys, rotations)).await
}

#[track_caller]
fn says(answer: &Answer, heading: &str, sentence: &str) {
    assert_eq!(answer.one("#modal-title"), heading);
    assert!(answer.text().contains(sentence), "{}", answer.text());
    assert_eq!(answer.secret(), None);
}

#[tokio::test]
async fn an_organization_has_so_many_living_keys_and_no_more() {
    let app = app_with("3", "100").await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let first = maya.create_key("Key 1").await;
    for n in 2..=3 {
        maya.create_key(&format!("Key {n}")).await;
    }
    let before = app.audited().await;
    for person in [maya.clone(), maya.by_htmx()] {
        let refused = person.try_create_key("Key 4").await.expect(409);
        says(&refused, "No more keys", "Your organization has 3 API keys, which is as many as it may have. Revoke one");
    }
    assert_eq!((app.count("api_keys").await, app.audited().await), (3, before));
    olga.create_key("Key 1").await;
    assert_eq!(maya.rotate(&first).await.id, first.id, "a rotation is no new key");
    maya.revoke(&first).await;
    maya.create_key("Key 4").await;
}

#[tokio::test]
async fn of_many_keys_made_at_once_no_more_than_the_limit_are_made() {
    let app = app_with("5", "100").await;
    let maya = app.admin().await;
    let tries = (0..40).map(|n| {
        let maya = maya.clone();
        async move { maya.try_create_key(&format!("Key {n}")).await.status }
    });
    let mut statuses = join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 5].as_slice(), &[409; 35]].concat());
    assert_eq!(app.count("api_keys").await, 5);
}

#[tokio::test]
async fn who_makes_and_revokes_keys_all_day_comes_to_an_end_too() {
    let app = app_with("5", "100").await;
    let maya = app.admin().await;
    let key = maya.create_key("Key").await;
    app.execute("UPDATE organization_today SET keys_created = 999").await;
    maya.revoke(&key).await;
    let key = maya.create_key("Key").await;
    maya.revoke(&key).await;
    let refused = maya.try_create_key("Key").await.expect(429);
    says(&refused, "No more keys today", "created 1,000 API keys today");
    assert_eq!(refused.header("retry-after"), "64140", "from 06:11 to midnight");
}

/// Rotates until it is refused; how often it was not.
async fn rotations(person: &Person, id: &str, version: &mut i64) -> (usize, Answer) {
    for n in 0..50 {
        let answer = person.try_rotate(id, *version).await;
        if answer.status != 200 {
            return (n, answer);
        }
        *version += 1;
    }
    panic!("never refused");
}

#[tokio::test]
async fn an_organization_rotates_so_often_a_day() {
    let app = app_with("100", "3").await;
    let (maya, olga) = (app.admin().await, app.admin_of_another_organization().await);
    let (key, hers) = (maya.create_key("Key").await, olga.create_key("Key").await);
    let mut version = 1;
    let (done, refused) = rotations(&maya, &key.id, &mut version).await;
    assert_eq!((done, refused.status), (3, 429));
    let sentence = "Your organization rotated API keys 3 times today, which is as often as it may in a day. The next day \
        begins at midnight UTC, in 18 hours. To stop a key from working now, revoke it.";
    says(&refused, "No more rotations today", sentence);
    olga.rotate(&hers).await;
    // A form that is refused for another reason costs nothing.
    maya.try_rotate(&key.id, 1).await.expect(409);

    // A clock that is behind, here or on another node, begins no new day and goes back to no old one.
    app.clock.set_ahead(-TimeDelta::days(2));
    assert_eq!(rotations(&maya, &key.id, &mut version).await.0, 0);
    app.clock.set_ahead(TimeDelta::zero());
    app.clock.advance(TimeDelta::days(1));
    maya.sign_in(&maya.email, PASSWORD).await;
    assert_eq!(rotations(&maya, &key.id, &mut version).await.0, 3);
    maya.revoke(&key).await;
}

#[tokio::test]
async fn of_many_rotations_at_once_no_more_than_the_limit_are_made() {
    let app = app_with("100", "5").await;
    let maya = app.admin().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(maya.create_key(&format!("Key {n}")).await.id);
    }
    let tries = ids.iter().map(|id| async { maya.try_rotate(id, 1).await.status });
    let mut statuses = join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 5].as_slice(), &[429; 15]].concat());
    assert_eq!(app.count("api_keys WHERE version = 2").await, 5);
}

#[tokio::test]
async fn a_script_that_runs_wild_is_slowed_down_and_may_still_revoke() {
    let app = app_with("100000", "100000").await;
    app.clock.stop();
    let maya = app.admin().await;
    let key = maya.create_key("Key").await;
    let user = UserId::parse(&app.lines("SELECT id AS line FROM users").await[0]).unwrap();
    while app.site.keys.change_throttle.take(&user, app.clock.since_boot()).is_ok() {}
    for refused in [maya.try_create_key("Another").await, maya.try_rotate(&key.id, 1).await] {
        let refused = refused.expect(429);
        assert_eq!(refused.header("retry-after"), "1");
        says(&refused, "Too many changes", "Wait 1 second and try again.");
    }
    maya.revoke(&key).await;
    app.clock.pass(TimeDelta::seconds(1));
    maya.create_key("Another").await;
}
