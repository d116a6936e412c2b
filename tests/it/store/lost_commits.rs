//! The wire to Postgres breaks while a transaction commits: done, not done and unknown are told apart, and each is said as
//! what it is. On SQLite there is no wire; `failed_sync.rs` has its third outcome.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use keystead::{
    actions::flush_usage::flush_usage,
    key_index::Round,
    middleware::failure::{NOTHING_CHANGED, OUTCOME_UNKNOWN},
    store::{Fault, StoreError},
};

use crate::support::{
    Answer, Flow, Key, Lost, PASSWORD, Person, TestApp, TestDatabase, Wire, form_token, on_own_thread, until,
};

/// Sent in every transaction that changes a key, and in no other.
const CHANGE: &str = "INSERT INTO \"key_changes\"";

async fn app_on_a_wire() -> (TestApp, Wire, Person) {
    let database = TestDatabase::postgres();
    let wire = Wire::to(&database.url().unwrap());
    let url = wire.url();
    let app = TestApp::start_on(database, |settings| settings.database = url).await;
    let maya = app.admin().await;
    (app, wire, maya)
}

#[track_caller]
fn assert_nothing_changed(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains(NOTHING_CHANGED), "{}", answer.text());
}

#[track_caller]
fn assert_unknown(answer: &Answer) {
    let text = answer.text().replace("&#39;", "'");
    assert_eq!(answer.status, 503, "{text}");
    assert!(text.contains(OUTCOME_UNKNOWN), "{text}");
    assert!(!text.contains("othing was changed"), "{text}");
    assert_eq!(answer.header("keystead-answer"), "outcome_unknown");
    assert_eq!(answer.header("retry-after"), "", "nobody is to send it again unseen");
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_looked_up_and_acknowledged() {
    let (app, wire, maya) = app_on_a_wire().await;
    for person in [maya.clone(), maya.by_htmx()] {
        wire.lose_at_commit(Lost::Answer, CHANGE);
        let created = person.try_create_key("Production").await.expect(200);
        let first = created.secret().expect("the key is shown");
        let id = app.lines("SELECT id AS line FROM api_keys WHERE revoked_at IS NULL").await.remove(0);
        wire.lose_at_commit(Lost::Answer, CHANGE);
        let second = person.try_rotate(&id, 1).await.expect(200).secret().expect("the new key is shown");
        assert_eq!(app.verify(&first).await, "ROTATED");
        assert_eq!(app.verify(&second).await, "VALID");
        wire.lose_at_commit(Lost::Answer, CHANGE);
        let revoked = person.try_revoke(&id, 2).await;
        assert!(matches!(revoked.status, 200 | 303), "{}", revoked.text());
        assert_eq!(app.verify(&second).await, "REVOKED");
    }
    assert_eq!(wire.lost(), 6);
    let actions = app.audited().await.into_iter().filter(|action| action.starts_with("key.")).collect::<Vec<_>>();
    assert_eq!(actions, ["key.created", "key.rotated", "key.revoked"].repeat(2));
}

#[tokio::test]
async fn a_change_whose_commit_never_arrived_has_changed_nothing() {
    let (app, wire, maya) = app_on_a_wire().await;
    let key = maya.create_key("Production").await;
    let idem = form_token();
    wire.lose_at_commit(Lost::Request, CHANGE);
    assert_nothing_changed(&maya.try_create_key("Staging").await);
    wire.lose_at_commit(Lost::Request, CHANGE);
    assert_nothing_changed(&maya.try_rotate_with(&key.id, 1, &idem).await);
    wire.lose_at_commit(Lost::Request, CHANGE);
    assert_nothing_changed(&maya.try_revoke(&key.id, 1).await);
    assert_eq!(wire.lost(), 3);
    assert_eq!(app.verify(&key.secret).await, "VALID");
    assert_eq!(maya.listed().await, ["Production"]);
    maya.try_rotate_with(&key.id, 1, &idem).await.expect(200);
}

#[tokio::test]
async fn a_commit_that_is_still_under_way_is_waited_for() {
    let (app, wire, maya) = app_on_a_wire().await;
    let key = maya.create_key("Production").await;
    let mut other = app.database.connect();
    let slow =
        "CREATE FUNCTION slow() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END' LANGUAGE plpgsql;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON key_changes DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()";
    on_own_thread(move || other.batch_execute(slow).unwrap());
    wire.lose_at_commit(Lost::Wait, CHANGE);
    let answer = maya.try_revoke(&key.id, 1).await;
    assert_eq!(wire.lost(), 1);
    answer.expect(303);
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

/// A change with a database that is gone after its COMMIT, for longer than anybody looks.
async fn with_no_database(app: &TestApp, wire: &Wire, change: impl Future<Output = Answer>) -> Answer {
    wire.lose_at_commit_and_refuse(Lost::Answer, CHANGE);
    let answer = change.await;
    wire.set(Flow::Open);
    // The follower and the pool find back by themselves.
    tokio::time::timeout(Duration::from_secs(30), async {
        while app.anonymous().get("/readyz").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it recovers");
    answer
}

#[tokio::test]
async fn what_cannot_be_found_out_at_once_is_looked_up_again() {
    let (app, wire, maya) = app_on_a_wire().await;
    wire.lose_at_commit_and_refuse(Lost::Answer, CHANGE);
    let back_soon = async {
        until("nobody could look", async || wire.refused() >= 4).await;
        wire.set(Flow::Open);
    };
    let (created, ()) = tokio::join!(maya.try_create_key("Production"), back_soon);
    let secret = created.expect(200).secret().expect("the key is shown");
    app.ready().await;
    assert_eq!(app.verify(&secret).await, "VALID");
}

async fn key_of(maya: &Person) -> Key {
    let key = maya.create_key("Production").await;
    maya.create_key("Staging").await;
    key
}

#[tokio::test]
async fn what_nobody_can_find_out_is_said_to_be_unknown() {
    let (app, wire, maya) = app_on_a_wire().await;
    let key = key_of(&maya).await;
    let htmx = maya.by_htmx();
    assert_unknown(&with_no_database(&app, &wire, htmx.try_rotate(&key.id, 1)).await);
    assert_eq!(app.verify(&key.secret).await, "ROTATED", "here it was made");
    let page = with_no_database(&app, &wire, maya.try_revoke(&key.id, 2)).await;
    assert_unknown(&page);
    assert_eq!(page.one("h1"), "We don't know whether this was saved");
    let idem = form_token();
    let fields = [("name", "Laptop"), ("idem", &*idem)];
    let form = with_no_database(&app, &wire, maya.post("/settings/integrations/keys", &fields)).await;
    assert_unknown(&form);
    assert!(form.alert().contains("Request ID: req_"));
    assert_eq!((form.field("name"), form.field("idem")), ("Laptop".to_owned(), idem.clone()), "sent again it is known");
    maya.post("/settings/integrations/keys", &fields).await.expect(409);
    let mut listed = maya.listed().await;
    listed.sort();
    assert_eq!(listed, ["Laptop", "Staging"]);
}

#[tokio::test]
async fn a_sign_in_whose_commit_is_lost_claims_nothing() {
    let (app, wire, _) = app_on_a_wire().await;
    let visitor = app.anonymous();
    wire.lose_at_commit(Lost::Answer, "session.signed_in");
    assert_unknown(&visitor.try_sign_in("maya@acme.example", PASSWORD).await);
    assert_eq!(wire.lost(), 1);
}

/// How often a key was counted, in every table.
async fn counted(app: &TestApp) -> i64 {
    let sum = "SELECT CAST(coalesce(sum(count), 0) AS TEXT) AS line FROM key_usage_open";
    app.lines(sum).await[0].parse().unwrap()
}

#[tokio::test]
async fn usage_whose_commit_is_not_answered_is_counted_once() {
    let (app, wire, maya) = app_on_a_wire().await;
    let key = maya.create_key("Production").await;
    // The worker of this test flushes too; whoever is first loses the commit, and whoever is next settles it.
    let mut sent = 0;
    for (lost, verifications) in [(Lost::Answer, 5), (Lost::Request, 7), (Lost::Wait, 11)] {
        let before = wire.lost();
        wire.lose_at_commit(lost, "nod_");
        for _ in 0..verifications {
            assert_eq!(app.verify(&key.secret).await, "VALID");
            sent += 1;
        }
        while wire.lost() == before {
            match flush_usage(&app.site.keys, Round::All).await {
                Ok(_) | Err(StoreError::Unknown(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // On the next connection; one that broke in the pool is found to be broken.
        while flush_usage(&app.site.keys, Round::All).await.is_err() {}
        assert_eq!(counted(&app).await, sent, "after {lost:?}");
    }
}

/// What two people would otherwise be told when they take one name at the same moment: that the database is broken. And whoever
/// chose nothing would be told that it is taken.
#[tokio::test]
async fn a_name_or_an_address_that_is_there_already_is_no_fault_of_the_database_and_all_else_is() {
    let app = TestApp::start().await;
    app.admin().await.create_key("Production").await;
    let again =
        async |sql: &'static str| app.site.db.write::<(), StoreError>(|conn| Ok(conn.batch_execute(sql)?)).await;
    for taken in [
        "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_at, version)
        SELECT 'key_another', organization_id, name, name_folded, prefix, hint, created_at, version FROM api_keys",
        "INSERT INTO users (id, email, email_folded, name, password_hash, created_at)
        SELECT 'usr_another', email, email_folded, name, password_hash, created_at FROM users",
    ] {
        let refused = again(taken).await;
        assert!(matches!(refused, Err(StoreError::Unique)), "{refused:?}");
    }
    for (sql, place) in [
        ("INSERT INTO installation (name, value) VALUES ('id', 'another')", "installation"),
        (
            "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_at, version)
            SELECT id, organization_id, 'Other', 'other', prefix, hint, created_at, version FROM api_keys",
            "api_keys",
        ),
    ] {
        let refused = again(sql).await;
        assert!(
            matches!(&refused, Err(StoreError::Fault(Fault::Other, words)) if words.contains(place)),
            "{refused:?}"
        );
    }
}
