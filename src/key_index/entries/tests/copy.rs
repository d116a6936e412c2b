//! Other entries with what is still of use.

use super::{super::copy::Copying, *};

/// It may be there a second time, as it is now.
#[test]
fn what_a_writer_left_behind_halfway_is_not_copied() {
    let index = Arc::new(Entries::default());
    let mut record = record("First", &[1, 2]);
    let (writer, half) = (Arc::clone(&index), record.clone());
    let died = std::thread::spawn(move || {
        MEANWHILE.with_borrow_mut(|meanwhile| *meanwhile = Some(Box::new(|| panic!("a test ends the writer"))));
        writer.put(&half);
    });
    died.join().unwrap_err();
    record.name = "Second".to_owned();
    index.put(&record);
    let mut copying = Copying::begin(&index);
    while !copying.go_on(&index) {}
    let verdict = copying.entries.judge(&digest(2), now(), Caller::default());
    assert_eq!(verdict.key().map(|key| key.name()), Some("Second"));
    assert_eq!((copying.entries.keys(), copying.entries.secrets(), copying.entries.made()), (1, 2, (1, 1)));
}
