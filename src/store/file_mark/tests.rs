use diesel::sql_query;

use super::*;

mod other_programs;

type Moment = (Vec<u8>, Vec<u8>, Vec<u8>);

fn files(path: &Path) -> [PathBuf; 3] {
    [path.to_owned(), beside(path, "-wal"), beside(path, ".mark")]
}

/// What a power cut at this moment leaves.
fn moment(path: &Path) -> Moment {
    let [file, wal, mark] = files(path).map(|path| fs::read(path).unwrap_or_default());
    (file, wal, mark)
}

fn lay_out(path: &Path, moment: &Moment) {
    for (path, bytes) in files(path).iter().zip([&moment.0, &moment.1, &moment.2]) {
        fs::write(path, bytes).unwrap();
    }
}

fn write(conn: &mut SqliteConnection, rows: usize) {
    for _ in 0..rows {
        conn.batch_execute("INSERT INTO things VALUES (randomblob(3000))").unwrap();
    }
}

#[test]
fn a_mark_is_not_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    fs::write(folder.path().join("theirs"), "theirs").unwrap();
    std::os::unix::fs::symlink("theirs", beside(&path, ".mark")).unwrap();
    let marks = Marks { allowed: [1; 3], waiting: 2, salts: 0 };
    let refused = marks.write(&path).unwrap_err().to_string();
    assert!(refused.contains("keystead.db.mark: it is a link"), "{refused}");
    assert_eq!(fs::read_to_string(folder.path().join("theirs")).unwrap(), "theirs");
}

#[test]
fn a_wal_belongs_to_the_file_of_its_own_moment_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let (mut moments, mut backups) = (Vec::new(), Vec::new());
    for n in 0..12 {
        write(&mut conn, 3 + n);
        moments.push(moment(&path));
        let backup = folder.path().join(format!("backup-{n}"));
        sql_query(format!("VACUUM INTO '{}'", backup.display())).execute(&mut conn).unwrap();
        backups.push(fs::read(backup).unwrap());
        if n % 2 == 1 {
            let before = Marks::read(&path);
            file_mark.advance(&mut file_mark.state()).unwrap();
            assert_ne!(Marks::read(&path), before, "a checkpoint gives another mark");
            moments.push(moment(&path));
        }
        file_mark.check().unwrap();
    }
    let other = folder.path().join("other.db");
    for (n, own) in moments.iter().enumerate() {
        assert!(!own.1.is_empty());
        lay_out(&other, own);
        assert_eq!(set_foreign_wal_aside(&other).unwrap(), None, "moment {n}");
        let files = moments.iter().map(|moment| &moment.0).chain(&backups);
        for file in files.filter(|file| **file != own.0) {
            lay_out(&other, &(file.clone(), own.1.clone(), own.2.clone()));
            let aside = set_foreign_wal_aside(&other).unwrap().expect("another file");
            assert_eq!(fs::read(aside).unwrap(), own.1, "nothing is lost");
            assert_eq!((wal_length(&other), fs::read(&other).unwrap()), (0, file.clone()));
        }
    }
}

#[test]
fn while_a_checkpoint_is_held_up_the_file_before_and_after_are_both_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    write(&mut conn, 20);
    // A reader of an older moment holds the checkpoint up.
    let mut reader = establish_sqlite(&path).unwrap();
    reader.batch_execute("BEGIN; SELECT count(*) FROM things").unwrap();
    write(&mut conn, 20);
    let before = moment(&path);
    file_mark.advance(&mut file_mark.state()).unwrap();
    let after = moment(&path);
    let other = folder.path().join("other.db");
    for file in [&before.0, &after.0] {
        lay_out(&other, &(file.clone(), after.1.clone(), after.2.clone()));
        assert_eq!(set_foreign_wal_aside(&other).unwrap(), None);
    }
    file_mark.check().unwrap();
    reader.batch_execute("ROLLBACK").unwrap();
    file_mark.finish().unwrap();
    let [one, two, three] = Marks::read(&path).unwrap().allowed;
    assert!(one == two && two == three, "it is done");
}

/// A backup that was made before the start has the mark of the file as it was then.
#[test]
fn a_start_gives_the_file_another_mark_as_soon_as_nobody_reads_an_older_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let mark_now = || mark::of_file(&File::open(&path).unwrap()).unwrap();
    let mut reader = establish_sqlite(&path).unwrap();
    reader.batch_execute("BEGIN; SELECT count(*) FROM things").unwrap();
    write(&mut conn, 20);
    let (before, mut pauses) = (mark_now(), 0);
    let begun = FileMark::begin_with(&path, || {
        pauses += 1;
        if pauses == 3 {
            reader.batch_execute("ROLLBACK").unwrap();
        }
    });
    assert_eq!(pauses, 3);
    assert_ne!(mark_now(), before);
    drop(begun.unwrap());
    FileMark::begin_with(&path, || panic!("there is nobody to wait for")).unwrap();
}

#[test]
fn when_the_last_connection_is_closed_nothing_is_left_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    write(&mut conn, 5);
    drop(conn);
    drop(file_mark);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_known_of_the_file_is_never_half_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    assert_eq!(Marks::read(&path), None);
    let marks = Marks { allowed: [7, 8, u32::MAX], waiting: 9, salts: Salts::MAX - 1 };
    marks.write(&path).unwrap();
    assert_eq!(Marks::read(&path), Some(marks));
    let line = fs::read(beside(&path, ".mark")).unwrap();
    for at in 0..line.len() - 1 {
        let mut bad = line.clone();
        bad[at] ^= 1;
        fs::write(beside(&path, ".mark"), &bad).unwrap();
        assert_eq!(Marks::read(&path), None, "byte {at}");
    }
}

#[test]
fn a_file_without_a_first_page_has_no_mark_and_one_that_cannot_be_read_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let only_to_write = File::create(&path).unwrap();
    assert_eq!(mark::of_file(&File::open(&path).unwrap()).unwrap(), 0);
    assert!(mark::of_file(&only_to_write).is_err());
    fs::write(&path, [7; 64]).unwrap();
    assert_eq!(mark::of_file(&File::open(&path).unwrap()).unwrap(), 0x0707_0707);
}

/// A checkpoint gives the file another mark, and the list is told before: who looks in between finds neither.
#[test]
fn a_mark_that_a_checkpoint_makes_between_two_looks_is_no_overwritten_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    establish_sqlite(&path).unwrap().batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let allowed = file_mark.allowed.each_ref().map(|mark| mark.swap(u32::MAX, Ordering::SeqCst));
    std::thread::scope(|threads| {
        let checkpoint = file_mark.state();
        let looking = threads.spawn(|| file_mark.check());
        // It looks once, and then it waits for the end of the checkpoint; had it not begun, it would find the new marks only.
        std::thread::sleep(Duration::from_millis(100));
        for (mark, before) in file_mark.allowed.iter().zip(allowed) {
            mark.store(before, Ordering::SeqCst);
        }
        drop(checkpoint);
        looking.join().unwrap().unwrap();
    });
    file_mark.check().unwrap();
}

/// Of a page that is just being written somebody may read half.
#[test]
fn a_file_is_looked_at_again_before_it_is_anothers_and_never_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    establish_sqlite(&path).unwrap().batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let (ours, others) = (fs::read(&path).unwrap(), vec![7; 4096]);
    fs::write(&path, &others).unwrap();
    let mut pauses = 0;
    let put_back = || {
        pauses += 1;
        if pauses == LOOKS - 1 {
            fs::write(&path, &ours).unwrap();
        }
    };
    file_mark.check_with(put_back).unwrap();
    fs::write(&path, &others).unwrap();
    let mut pauses = 0;
    file_mark.check_with(|| pauses += 1).unwrap_err();
    assert_eq!(pauses, LOOKS - 1);
    fs::write(&path, &ours).unwrap();
    file_mark.check_with(|| panic!("it is known")).unwrap_err();
}

#[test]
fn a_file_that_was_overwritten_is_not_synced_as_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    establish_sqlite(&path).unwrap().batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    file_mark.sync().unwrap();
    fs::write(&path, vec![7; 4096]).unwrap();
    assert!(file_mark.sync().is_err());
}

#[test]
fn a_copy_gets_a_mark_that_the_file_it_was_made_of_does_not_have() {
    let mut conn = SqliteConnection::establish(":memory:").unwrap();
    let mut marks = std::collections::BTreeSet::from([0]);
    for _ in 0..3 {
        mark_anew(&mut conn).unwrap();
        marks.insert(mark::newest(&mut conn).unwrap());
    }
    assert_eq!(marks.len(), 4);
}

#[test]
fn a_checkpoint_is_made_when_a_thousand_pages_wait_for_it_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    let is_made = || {
        let before = Marks::read(&path);
        file_mark.checkpoint_if_due().unwrap();
        Marks::read(&path) != before
    };
    write(&mut conn, 300);
    assert!(!is_made());
    write(&mut conn, 1_000);
    assert!(is_made());
    assert!(!is_made());
}

#[test]
fn into_a_file_that_is_anothers_nothing_is_brought() {
    for is_noticed_before_the_end in [true, false] {
        nothing_is_brought_into_anothers(is_noticed_before_the_end);
    }
}

fn nothing_is_brought_into_anothers(is_noticed_before_the_end: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let mut conn = establish_sqlite(&path).unwrap();
    conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
    let file_mark = FileMark::begin(&path).unwrap();
    write(&mut conn, 20);
    let others = vec![7; 8192];
    fs::write(&path, &others).unwrap();
    let before = moment(&path);
    let is_untouched = || moment(&path) == before;
    file_mark.advance(&mut file_mark.state()).unwrap();
    assert!(is_untouched());
    if is_noticed_before_the_end {
        file_mark.check().unwrap_err();
    }
    file_mark.close();
    assert!(is_untouched());
}
