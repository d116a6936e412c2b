//! SQLite locked, full or gone: 503 with what to do, no half-made key, and everything works again afterwards.
//!
//! These tests run on SQLite whatever the rest of the suite runs on.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query,
    sql_types::BigInt,
};
use futures_util::future::join_all;
use keystead::store::{Conn, StoreError};
use tokio::runtime::Handle;

use crate::support::{Answer, Key, Person, TestApp, until};

async fn app_with_key() -> (TestApp, Person, Key) {
    let app = TestApp::start_on_sqlite().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    (app, maya, key)
}

#[track_caller]
pub fn assert_says(answer: &Answer, advice: &str) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.secret(), None);
    assert!(answer.text().contains(keystead::middleware::failure::NOTHING_CHANGED), "{}", answer.text());
    assert!(answer.text().replace("&#39;", "'").contains(advice), "{}", answer.text());
}

#[tokio::test]
async fn while_another_process_holds_the_lock_changes_wait_and_then_say_so() {
    let (app, maya, key) = app_with_key().await;
    let mut other = app.database.connect();
    sql_query("BEGIN IMMEDIATE").execute(&mut other).unwrap();

    let by_htmx = maya.by_htmx();
    let (created, rotated, revoked, verified, page) = tokio::join!(
        maya.try_create_key("Staging"),
        by_htmx.try_rotate(&key.id, 1),
        maya.try_revoke(&key.id, 1),
        app.verify(&key.secret),
        maya.get("/settings/integrations"),
    );
    for answer in [&created, &rotated, &revoked] {
        assert_says(answer, "The database is busy or locked by another program; wait a few seconds.");
    }
    assert_eq!(created.field("name"), "Staging", "what was typed is kept");
    assert_eq!(verified, "VALID", "reading goes on");
    page.expect(200);

    sql_query("ROLLBACK").execute(&mut other).unwrap();
    assert_eq!(app.count("api_keys").await, 1);
    assert_eq!(app.count("key_secrets").await, 1);
    assert_eq!(app.count("form_tokens").await, 1);
    assert_eq!(app.verify(&key.secret).await, "VALID");
    maya.create_key("Staging").await;
    maya.rotate(&key).await;
}

#[tokio::test]
async fn changes_that_wait_for_the_lock_do_not_keep_verification_waiting() {
    let (app, maya, key) = app_with_key().await;
    // The one whose turn it is waits for as long as this test takes.
    on_every_connection(&app, |conn| {
        sql_query("PRAGMA busy_timeout = 600000").execute(conn)?;
        Ok(())
    })
    .await;
    let mut other = app.database.connect();
    sql_query("BEGIN IMMEDIATE").execute(&mut other).unwrap();
    let ended = AtomicUsize::new(0);
    let changes = join_all((0..8).map(|n| {
        let (maya, ended) = (maya.clone(), &ended);
        async move {
            maya.try_create_key(&format!("Key {n}")).await;
            ended.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let questions = async {
        // They have waited for their turn until they gave it up.
        until("changes wait", async || ended.load(Ordering::Relaxed) > 0).await;
        let code = app.verify(&key.secret).await;
        let ended = ended.load(Ordering::Relaxed);
        sql_query("ROLLBACK").execute(&mut other).unwrap();
        (code, ended)
    };
    let (_, (code, ended)) = tokio::join!(changes, questions);
    assert_eq!(code, "VALID");
    assert!(ended < 8, "a change still waited");
}

#[tokio::test]
async fn a_change_that_waits_for_a_short_lock_succeeds() {
    let (app, maya, _key) = app_with_key().await;
    let mut other = app.database.connect();
    for name in (1..).map(|n| format!("Staging {n}")) {
        let begun = Instant::now();
        sql_query("BEGIN IMMEDIATE").execute(&mut other).unwrap();
        let (created, held) = tokio::join!(maya.try_create_key(&name), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            sql_query("COMMIT").execute(&mut other).unwrap();
            begun.elapsed()
        });
        // On a busy machine it may have been a long one, of which nothing is promised.
        if held < Duration::from_secs(4) {
            created.expect(200);
            break;
        }
    }
}

#[derive(QueryableByName)]
struct Pages {
    #[diesel(sql_type = BigInt)]
    page_count: i64,
}

/// Lets the database grow by so many pages and no further, on every connection of the pool.
async fn limit_growth(app: &TestApp, pages: i64) {
    on_every_connection(app, move |conn| {
        let now = sql_query("PRAGMA page_count").get_result::<Pages>(conn)?.page_count;
        sql_query(format!("PRAGMA max_page_count = {}", now + pages)).execute(conn)?;
        Ok(())
    })
    .await;
}

/// Each of four reads, on a thread of its own, holds its connection until all four are taken.
async fn on_every_connection(
    app: &TestApp,
    work: impl Fn(&mut Conn) -> Result<(), StoreError> + Copy + Send + 'static,
) {
    let all_connections = Arc::new(Barrier::new(4));
    let reads = (0..4).map(|_| {
        let (db, all_connections, runtime) = (app.site.db.clone(), Arc::clone(&all_connections), Handle::current());
        tokio::task::spawn_blocking(move || {
            runtime.block_on(db.read(move |conn| {
                work(conn)?;
                all_connections.wait();
                Ok::<_, StoreError>(())
            }))
        })
    });
    for done in join_all(reads).await {
        done.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_full_database_makes_no_half_key_and_works_again_with_room() {
    let (app, maya, key) = app_with_key().await;
    limit_growth(&app, 2).await;
    let mut made = 1;
    let refused = loop {
        let answer = maya.try_create_key(&format!("Key {made}")).await;
        if answer.status != 200 {
            break answer;
        }
        made += 1;
        assert!(made < 500, "the database is never full");
    };
    assert_says(&refused, "The server's disk is full; whoever runs this server must make room.");
    assert_eq!(app.count("api_keys").await, made);
    assert_eq!(app.count("key_secrets").await, made);
    assert_eq!(app.count("audit_events WHERE action = 'key.created'").await, made);
    assert_eq!(app.verify(&key.secret).await, "VALID");
    maya.get("/settings/integrations").await.expect(200);
    assert_eq!(app.count("form_tokens").await, made, "the refused form can be sent again");

    limit_growth(&app, 100_000).await;
    maya.create_key("With room").await;
}

#[tokio::test]
async fn a_database_file_that_is_gone_makes_no_key_that_nobody_will_ever_find() {
    let (app, maya, key) = app_with_key().await;
    let file = app.database.sqlite_file();
    let hidden = file.with_extension("hidden");
    std::fs::rename(&file, &hidden).unwrap();
    for person in [maya.clone(), maya.by_htmx()] {
        assert_eq!(person.try_create_key("Staging").await.status, 503);
        assert_eq!(person.try_rotate(&key.id, 1).await.status, 503);
        assert_eq!(person.get("/settings/integrations").await.status, 503);
    }
    // From memory, as long as that is certain.
    assert_eq!(app.verify(&key.secret).await, "VALID");
    app.anonymous().get("/readyz/pages").await.expect(503);
    app.anonymous().get("/livez").await.expect(200);
    assert!(!file.exists(), "a new, empty database was made in its place");
    // What it has open still reads well, and nobody else's change will ever stand there.
    until("the follower notices", async || app.site.follower.progress().failures > 0).await;

    std::fs::rename(&hidden, &file).unwrap();
    assert_eq!(app.verify(&key.secret).await, "VALID");
    maya.create_key("Staging").await;
}

#[tokio::test]
async fn a_database_that_can_only_be_read_says_so_and_goes_on_verifying() {
    let (app, maya, key) = app_with_key().await;
    on_every_connection(&app, |conn| {
        sql_query("PRAGMA query_only = ON").execute(conn)?;
        Ok(())
    })
    .await;
    let refused = maya.try_create_key("Staging").await.expect(503);
    assert_says(&refused, "The database can't be reached; wait a minute.");
    assert_eq!(app.verify(&key.secret).await, "VALID");
}

#[tokio::test]
async fn a_damaged_row_is_a_fault_and_no_lie() {
    let (app, maya, key) = app_with_key().await;
    let other = maya.create_key("Staging").await;
    app.execute(&format!("UPDATE api_keys SET expires_at = 9223372036854775807 WHERE id = '{}'", key.id)).await;
    // The row that changed cannot be read any more: its key is refused, and the others are not.
    app.execute("UPDATE key_epoch SET value = value + 1").await;
    app.execute(&format!("INSERT INTO key_changes (epoch, key_id) SELECT value, '{}' FROM key_epoch", key.id)).await;
    until("its key is refused", async || app.verify(&key.secret).await == "NOT_FOUND").await;
    assert_eq!(app.verify(&other.secret).await, "VALID");
}

/// An operator changes something by hand while the server runs: any SQLite tool makes a checkpoint after a thousand pages.
#[tokio::test]
async fn another_program_may_write_to_the_database_and_make_checkpoints_while_the_server_runs() {
    let (app, maya, key) = app_with_key().await;
    let file = app.database.sqlite_file();
    let by_hand = async |statements: &'static str| {
        let file = file.clone();
        let run =
            move || SqliteConnection::establish(file.to_str().unwrap()).unwrap().batch_execute(statements).unwrap();
        tokio::task::spawn_blocking(run).await.unwrap();
    };
    for name in ["First", "Second", "Third"] {
        by_hand("CREATE TABLE by_hand (a BLOB); INSERT INTO by_hand VALUES (zeroblob(6000000)); DROP TABLE by_hand")
            .await;
        by_hand("PRAGMA wal_checkpoint(TRUNCATE)").await;
        let made = maya.create_key(name).await;
        assert_eq!(app.verify(&made.secret).await, "VALID");
    }
    maya.revoke(&key).await;
    let app = TestApp::start_on(app.end(), |_| {}).await;
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
    assert_eq!(app.count("api_keys").await, 4, "nothing was set aside");
}
