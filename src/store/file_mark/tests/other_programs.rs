//! Other programs that write to the database of a running server, or copy it.

use diesel::{connection::SimpleConnection, prelude::*, sql_query};

use super::{super::*, lay_out, moment, write};

/// Somebody looks something up with another program, which makes a checkpoint after a thousand pages or when it is told to.
#[test]
fn a_checkpoint_that_another_program_makes_is_no_overwritten_file() {
    for kind in ["PASSIVE", "RESTART", "TRUNCATE"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        let mut conn = establish_sqlite(&path).unwrap();
        conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
        let file_mark = FileMark::begin(&path).unwrap();
        let mut another = establish_sqlite(&path).unwrap();
        for n in 0..4 {
            write(&mut conn, 5);
            another.batch_execute(&format!("PRAGMA wal_checkpoint({kind})")).unwrap();
            if n % 2 == 0 {
                write(&mut conn, 5);
            }
            // Whatever looks first: a use, a checkpoint of ours, or the end.
            match n {
                0 => file_mark.check().unwrap(),
                1 => file_mark.advance(&mut file_mark.state()).unwrap(),
                _ => another.batch_execute(&format!("PRAGMA wal_checkpoint({kind})")).unwrap(),
            }
            file_mark.check().unwrap();
            let other = folder.path().join("other.db");
            lay_out(&other, &moment(&path));
            assert_eq!(set_foreign_wal_aside(&other).unwrap(), None, "{kind} {n}: its -wal is its own");
        }
        write(&mut conn, 5);
        another.batch_execute(&format!("PRAGMA wal_checkpoint({kind})")).unwrap();
        write(&mut conn, 5);
        drop((conn, another));
        file_mark.close();
        assert_eq!(wal_length(&path), 0, "{kind}: everything is in the file at the end");
    }
}

#[test]
fn another_programs_checkpoint_just_after_ours_is_no_overwritten_file_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    establish_sqlite(&path).unwrap().batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let mut another = establish_sqlite(&path).unwrap();
    another.batch_execute("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    // Ours has given the next mark by then, and notes how far it came.
    file_mark.note_progress(&mut file_mark.state()).unwrap();
    file_mark.check().unwrap();
}

/// It has the mark that waits in the `-wal`, as the file has after another program's checkpoint.
#[test]
fn a_copy_made_since_the_last_checkpoint_is_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    write(&mut conn, 5);
    let copy = folder.path().join("copy.db");
    sql_query(format!("VACUUM INTO '{}'", copy.display())).execute(&mut conn).unwrap();
    write(&mut conn, 5);
    fs::write(&path, fs::read(&copy).unwrap()).unwrap();
    file_mark.advance(&mut file_mark.state()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&copy).unwrap(), "nothing is brought into it");
    file_mark.check().unwrap_err();
}

/// What a program leaves that dies in the middle of a checkpoint: the first page is in the file, and nothing says so.
#[test]
fn a_checkpoint_that_another_program_did_not_finish_is_finished_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    write(&mut conn, 5);
    let interrupted = || {
        let wal = fs::read(beside(&path, "-wal")).unwrap();
        let size = usize::try_from(u32::from_be_bytes(wal[8..12].try_into().unwrap())).unwrap();
        let frames =
            wal[32..].chunks(size + 24).filter(|frame| frame[8..16] == wal[16..24] && frame[..4] == [0, 0, 0, 1]);
        let page = &frames.collect::<Vec<_>>().pop().expect("a frame of the first page")[24..];
        std::os::unix::fs::FileExt::write_all_at(&fs::OpenOptions::new().write(true).open(&path).unwrap(), page, 0)
            .unwrap();
    };
    // Killed before it looked: a start, or a backup, plays the log back.
    interrupted();
    let other = folder.path().join("other.db");
    lay_out(&other, &moment(&path));
    assert_eq!(set_foreign_wal_aside(&other).unwrap(), None);
    let mut again = establish_sqlite(&other).unwrap();
    assert_eq!(sql_query("UPDATE things SET thing = thing").execute(&mut again).unwrap(), 5);
    // Or it goes on, and ends as always.
    file_mark.check().unwrap();
    write(&mut conn, 5);
    file_mark.checkpoint_if_due().unwrap();
    file_mark.check().unwrap();
    drop(conn);
    file_mark.close();
    assert_eq!(wal_length(&path), 0);
}

/// After another program's checkpoint the file, and whatever is copied from it, has the mark that was in our `-wal`.
#[test]
fn a_copy_made_after_another_programs_checkpoint_is_another_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let mut another = establish_sqlite(&path).unwrap();
    for (n, again) in [false, true].into_iter().enumerate() {
        write(&mut conn, 5);
        another.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        file_mark.check().unwrap();
        let copied = fs::read(&path).unwrap();
        let vacuumed = folder.path().join(format!("copy-{n}.db"));
        sql_query(format!("VACUUM INTO '{}'", vacuumed.display())).execute(&mut conn).unwrap();
        write(&mut conn, 5);
        file_mark.checkpoint_if_due().unwrap();
        if again {
            another.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            write(&mut conn, 5);
            file_mark.check().unwrap();
            file_mark.checkpoint_if_due().unwrap();
        }
        write(&mut conn, 5);
        let (_, wal, mark) = moment(&path);
        let other = folder.path().join("other.db");
        for copy in [copied, fs::read(vacuumed).unwrap()] {
            lay_out(&other, &(copy.clone(), wal.clone(), mark.clone()));
            assert!(set_foreign_wal_aside(&other).unwrap().is_some(), "{n}: a -wal of another file");
            assert_eq!(fs::read(&other).unwrap(), copy);
        }
    }
}
