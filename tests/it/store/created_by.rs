//! Who made a key: kept with kind, id and name, also where it was nobody with an account.

use super::upgrades;
use crate::support::{Person, TestApp, on_own_thread};

async fn creator_shown(person: &Person) -> String {
    let answer = person.get("/settings/integrations").await.expect(200);
    let (_, rest) = answer.text().split_once("by <span dir=\"auto\" translate=\"no\">").unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_key_keeps_who_made_it_with_the_name_of_that_time() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    maya.create_key("Production").await;
    let stored = "SELECT created_by_kind || ' ' || created_by_name || ' ' || CASE WHEN created_by_id = created_by THEN 'same' END
        AS line FROM api_keys";
    assert_eq!(app.lines(stored).await, ["user Maya Chen same"]);
    app.execute("UPDATE users SET name = 'Maya Sato'").await;
    assert_eq!(creator_shown(&maya).await, "Maya Chen");
}

/// A program from before there were other actors writes the account alone.
#[tokio::test]
async fn a_key_that_an_older_program_made_has_its_person() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    app.execute("UPDATE api_keys SET created_by_kind = NULL, created_by_id = NULL, created_by_name = NULL").await;
    assert_eq!(creator_shown(&maya).await, "Maya Chen");
    let key = maya.rotate(&key).await;
    maya.revoke(&key).await;
}

#[tokio::test]
async fn a_key_that_nobody_with_an_account_made_is_listed_rotated_and_revoked_like_any() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    for (kind, label) in [("command_line", "the command line"), ("of_a_newer_version", "a program")] {
        app.execute(&format!(
            "UPDATE api_keys SET created_by = NULL, created_by_kind = '{kind}', created_by_id = NULL, created_by_name = NULL"
        ))
        .await;
        assert_eq!(creator_shown(&maya).await, label);
    }
    let key = maya.rotate(&key).await;
    assert_eq!(app.verify(&key.secret).await, "VALID");
    maya.revoke(&key).await;
    assert_eq!(app.verify(&key.secret).await, "REVOKED");
}

/// The definition of the table is changed in place there, also under a program that has it open.
#[test]
fn on_sqlite_the_table_is_whole_after_its_definition_was_changed_and_who_has_it_open_learns_it() {
    use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::Text};
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let database = upgrades::database_of_sqlite("2026-11-28-000080_node_generations");
    let (mut older, mut newer) = (database.connect(), database.connect());
    let insert = "INSERT INTO api_keys (id, organization_id, name, name_folded, prefix, hint, created_at, version)
        VALUES ('key', 'org', 'Name', 'name', 'talvin_live', 'x9Kq', 1, 1)";
    on_own_thread(move || {
        older.batch_execute("INSERT INTO organizations VALUES ('org', 'Acme', 1)").unwrap();
        assert!(older.batch_execute(insert).unwrap_err().to_string().contains("NOT NULL"));
        keystead::store::migrations::run(&mut newer).unwrap();
        older.batch_execute(insert).unwrap();
        let mut lines = |sql: &str| -> Vec<String> {
            sql_query(sql).load::<Line>(&mut older).unwrap().into_iter().map(|line| line.line).collect()
        };
        assert_eq!(lines("SELECT integrity_check AS line FROM pragma_integrity_check"), ["ok"]);
        let optional =
            "SELECT name AS line FROM pragma_table_info('api_keys') WHERE name LIKE 'created%' AND \"notnull\" = 0";
        assert_eq!(lines(optional), ["created_by", "created_by_kind", "created_by_id", "created_by_name"]);
        let points_to = "SELECT \"table\" || '.' || \"to\" AS line FROM pragma_foreign_key_list('api_keys')";
        assert!(lines(points_to).contains(&"users.id".to_owned()), "who is there must have an account");
    });
}
