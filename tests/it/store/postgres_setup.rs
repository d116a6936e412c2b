//! Databases that somebody else made: their encoding, their other programs, and the rights they give. These tests need
//! `TEST_DATABASE_URL`.

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use keystead::store::{
    connection::{Conn, DatabaseUrl},
    migrations::{self, MigrationError},
};

use crate::support::{Binary, TestDatabase, on_own_thread};

fn execute(conn: &mut Conn, statements: &[String]) {
    for statement in statements {
        sql_query(statement).execute(conn).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

fn count(conn: &mut Conn, table: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    sql_query(format!("SELECT count(*) AS n FROM {table}")).get_result::<Count>(conn).unwrap().n
}

#[test]
fn a_database_that_is_not_utf8_is_refused_before_anything_is_made_in_it() {
    let database = TestDatabase::postgres();
    let url = database.url().unwrap();
    let mut conn = database.connect();
    let name = format!("keystead_latin_{}", std::process::id());
    let other = DatabaseUrl::Postgres(url.replacen(url.rsplit('/').next().unwrap(), &name, 1));
    let refused = on_own_thread(move || {
        let made = format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        execute(&mut conn, &[made]);
        let refused = migrations::run(&mut other.connect().unwrap());
        execute(&mut conn, &[format!("DROP DATABASE {name} WITH (FORCE)")]);
        refused
    });
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("LATIN1") && words.contains("UTF8"), "{words}");
}

#[test]
fn another_programs_list_of_migrations_is_called_so() {
    let database = TestDatabase::postgres();
    let mut conn = database.connect();
    let refused = on_own_thread(move || {
        let table = "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY, run_on TIMESTAMP)";
        let row = "INSERT INTO __diesel_schema_migrations VALUES ('20180114171611', now())";
        execute(&mut conn, &[table.to_owned(), row.to_owned()]);
        migrations::run(&mut conn)
    });
    assert!(matches!(&refused, Err(MigrationError::Foreign(version)) if version == "20180114171611"), "{refused:?}");
}

#[test]
fn a_role_without_the_right_to_create_finds_a_schema_that_is_up_to_date() {
    let database = TestDatabase::postgres();
    let (mut conn, another) = (database.connect(), database.connect());
    on_own_thread(move || {
        let role = format!("keystead_role_{}", std::process::id());
        let (as_role, as_owner) = (format!("SET ROLE {role}"), "RESET ROLE".to_owned());
        execute(&mut conn, &[format!("CREATE ROLE {role}"), "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned()]);
        execute(&mut conn, std::slice::from_ref(&as_role));
        let refused = migrations::run(&mut conn);
        // A connection that was refused something is given up.
        let mut conn = another;
        let made = migrations::run(&mut conn).unwrap();
        let rights = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}");
        execute(&mut conn, &[rights, as_role]);
        let nothing = migrations::run(&mut conn);
        execute(&mut conn, &[as_owner, format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")]);
        assert!(matches!(refused, Err(MigrationError::Forbidden(_))), "{refused:?}");
        assert!(made.ran > 0);
        assert_eq!(nothing.unwrap().ran, 0);
    });
}

/// A row of its own would be one too many when the restore goes on, which then fails.
#[test]
fn a_start_writes_nothing_into_a_database_that_is_half_restored() {
    TestDatabase::postgres();
    let keystead = Binary::new();
    keystead.run(&["migrate"]).succeeded();
    let mut conn = keystead.database().connect();
    let (mut conn, before) = on_own_thread(move || {
        execute(&mut conn, &["ALTER TABLE installation DROP CONSTRAINT installation_pkey".to_owned()]);
        let before = count(&mut conn, "installation");
        (conn, before)
    });
    for command in [&["serve"][..], &["restore", "--accept"]] {
        let refused = keystead.run(command);
        assert!(refused.code != Some(0) && refused.stderr.contains("no primary key on installation"), "{refused:?}");
    }
    assert_eq!(on_own_thread(move || count(&mut conn, "installation")), before);
}
