//! Other programs that write to the database of a running server, or copy it.

use diesel::{connection::SimpleConnection, prelude::*, sql_query};

use super::{super::*, Moment, lay_out, moment, write};

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
    file_mark.note_what_waits(&mut file_mark.state()).unwrap();
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

/// It may end the `-wal` or begin it anew between any two looks at it.
#[test]
fn a_wal_that_another_program_ends_while_it_is_read_is_no_overwritten_file() {
    for (kind, goes_on) in [("TRUNCATE", false), ("TRUNCATE", true), ("RESTART", true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        let mut conn = establish_sqlite(&path).unwrap();
        conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
        let file_mark = FileMark::begin(&path).unwrap();
        let mut another = establish_sqlite(&path).unwrap();
        write(&mut conn, 5);
        // It has brought everything into the file, and is about to end the log.
        another.batch_execute("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        let (state, wal) = (file_mark.state(), beside(&path, "-wal"));
        assert_eq!(mark::of_file(&file_mark.file).unwrap(), state.newest);
        let end_and_look = || {
            another.batch_execute(&format!("PRAGMA wal_checkpoint({kind})")).unwrap();
            if goes_on {
                write(&mut conn, 5);
            }
            let is_found = wal::has_first_page_of(&file_mark.file, &wal)?;
            assert!(!is_found, "{kind} {goes_on}");
            Ok(is_found)
        };
        assert!(wal::went_into_when(end_and_look, &wal, state.salts).unwrap(), "{kind} {goes_on}");
        drop(state);
        file_mark.check().unwrap();
    }
}

fn rows_at_the_next_start(folder: &Path, moment: &Moment) -> usize {
    let other = folder.join("other.db");
    lay_out(&other, moment);
    assert_eq!(set_foreign_wal_aside(&other).unwrap(), None);
    let mut again = establish_sqlite(&other).unwrap();
    sql_query("UPDATE things SET thing = thing").execute(&mut again).unwrap()
}

/// The checkpoint ended the log, and nobody looked before the server was killed.
#[test]
fn what_was_committed_after_another_programs_checkpoint_is_there_at_the_next_start() {
    for kind in ["PASSIVE", "RESTART", "TRUNCATE"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        let mut conn = establish_sqlite(&path).unwrap();
        conn.batch_execute("CREATE TABLE things (thing BLOB); PRAGMA wal_checkpoint(PASSIVE)").unwrap();
        let old = fs::read(&path).unwrap();
        let file_mark = FileMark::begin(&path).unwrap();
        let mut another = establish_sqlite(&path).unwrap();
        write(&mut conn, 5);
        another.batch_execute(&format!("PRAGMA wal_checkpoint({kind})")).unwrap();
        write(&mut conn, 5);
        let found = mark::of_file(&file_mark.file).unwrap();
        assert!(!Marks::read(&path).unwrap().allowed.contains(&found), "nobody has looked");
        assert_eq!(rows_at_the_next_start(folder.path(), &moment(&path)), 10, "{kind}");
        // Another mark than the one that waited there is another file's all the same.
        fs::write(&path, &old).unwrap();
        let other = folder.path().join("other.db");
        lay_out(&other, &moment(&path));
        assert!(set_foreign_wal_aside(&other).unwrap().is_some(), "{kind}");
        file_mark.check_with(|| ()).unwrap_err();
    }
}

/// Ours is done by then, and its server killed before it could say so.
#[test]
fn what_was_committed_after_a_checkpoint_that_was_not_noted_is_there_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let (mut another, mut reader) = (establish_sqlite(&path).unwrap(), establish_sqlite(&path).unwrap());
    reader.batch_execute("BEGIN; SELECT count(*) FROM things").unwrap();
    write(&mut conn, 5);
    file_mark.advance(&mut file_mark.state()).unwrap();
    reader.batch_execute("ROLLBACK").unwrap();
    let noted = fs::read(beside(&path, ".mark")).unwrap();
    file_mark.finish().unwrap();
    let (file, wal, _) = moment(&path);
    assert_eq!(rows_at_the_next_start(folder.path(), &(file, wal, noted.clone())), 5);
    another.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    write(&mut conn, 5);
    let (file, wal, _) = moment(&path);
    assert_eq!(rows_at_the_next_start(folder.path(), &(file, wal, noted)), 10);
}

/// As on a disk that is full. Until then every copy has the mark of the file.
#[test]
fn when_no_mark_could_be_written_after_a_checkpoint_the_next_write_gives_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let (mut reader, mut writer) = (establish_sqlite(&path).unwrap(), establish_sqlite(&path).unwrap());
    reader.batch_execute("BEGIN; SELECT count(*) FROM things").unwrap();
    write(&mut conn, 5);
    file_mark.advance(&mut file_mark.state()).unwrap();
    reader.batch_execute("ROLLBACK").unwrap();
    writer.batch_execute("BEGIN IMMEDIATE").unwrap();
    let mut state = file_mark.state();
    state.conn.as_mut().unwrap().batch_execute("PRAGMA busy_timeout = 0").unwrap();
    file_mark.advance(&mut state).unwrap_err();
    drop(state);
    writer.batch_execute("ROLLBACK").unwrap();
    file_mark.check().unwrap();
    let copy = folder.path().join("copy.db");
    sql_query(format!("VACUUM INTO '{}'", copy.display())).execute(&mut conn).unwrap();
    write(&mut conn, 1);
    file_mark.checkpoint_if_due().unwrap();
    file_mark.check().unwrap();
    fs::write(&path, fs::read(&copy).unwrap()).unwrap();
    file_mark.check_with(|| ()).unwrap_err();
}
