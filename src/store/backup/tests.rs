use super::*;

#[test]
fn a_name_that_somebody_else_took_meanwhile_is_left_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, to) = (folder.path().join("copy"), folder.path().join("to"));
    fs::write(&copy, "ours").unwrap();
    fs::write(&to, "theirs").unwrap();
    let taken = give_name(&copy, &to);
    assert!(matches!(taken, Err(BackupError::Exists(_))), "{taken:?}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "theirs");
    let nowhere = give_name(&copy, &folder.path().join("none/to"));
    assert!(matches!(nowhere, Err(BackupError::Io(..))), "{nowhere:?}");
    fs::remove_file(&to).unwrap();
    give_name(&copy, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "ours");
}

#[test]
fn an_empty_file_is_no_database_that_was_kept_and_one_complaint_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (from, database) = (folder.path().join("from"), folder.path().join("keystead.db"));
    let mut conn = establish_sqlite(&from).unwrap();
    migrations::run(&mut crate::store::Conn::Sqlite(establish_sqlite(&from).unwrap())).unwrap();
    fs::write(&database, "").unwrap();
    let (kept, _) = put_in_place(&from, &database, "now", |_| Ok(())).unwrap();
    assert_eq!(kept, None);
    let (kept, _) = put_in_place(&from, &database, "later", |_| Ok(())).unwrap();
    assert!(kept.is_some_and(|kept| kept.exists()));
    conn.batch_execute(
        "CREATE TABLE things (thing TEXT); INSERT INTO things VALUES (NULL); PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE TABLE things (thing TEXT NOT NULL)' WHERE name = 'things'",
    )
    .unwrap();
    let refused = put_in_place(&from, &database, "damaged", |_| Ok(())).unwrap_err().to_string();
    assert!(refused.contains("NULL value in things.thing"), "{refused}");
}

/// Nothing can be linked to a folder, as on a file system without links nothing can be to a file.
#[test]
fn where_nothing_can_be_linked_the_copy_itself_gets_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (copy, to) = (folder.path().join("copy"), folder.path().join("to"));
    fs::create_dir(&copy).unwrap();
    give_name(&copy, &to).unwrap();
    assert!(to.is_dir() && !copy.exists());
}
