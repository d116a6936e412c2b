//! How many connections there may be, and who comes first.

use std::{
    fs::{self, File},
    panic::{AssertUnwindSafe, catch_unwind},
};

use diesel::{Connection, connection::TransactionManager};
use tempfile::TempDir;

use super::*;

fn seats(most: usize, taken: usize) -> Arc<Seats> {
    let seats = Seats::new(most);
    (0..taken).for_each(|_| seats.take(true).unwrap());
    seats
}

fn is_refused(seats: &Seats) -> bool {
    let Err(error) = seats.take(true) else { return false };
    // Nobody looks for another process that holds a lock.
    assert!(error.to_string().starts_with("no connection is free: the "), "{error}");
    true
}

#[test]
fn there_are_no_more_than_the_server_allows_and_one_more_is_tried_after_a_while() {
    let seats = seats(3, 3);
    assert!(is_refused(&seats) && !seats.are_too_many());
    seats.with(|state| state.lowered = Instant::now().checked_sub(MORE_AGAIN).unwrap());
    seats.take(true).unwrap();
    assert!(is_refused(&seats), "one, and not one after the other");
    assert!(!seats.are_too_many(), "and it may stay");
}

#[test]
fn when_the_server_is_full_there_is_one_fewer_from_then_on() {
    let seats = seats(8, 3);
    seats.leave_room();
    assert!(seats.are_too_many(), "one of the three has to go");
    seats.with(|state| state.open -= 1);
    assert!(!seats.are_too_many() && is_refused(&seats));
    // Never none: then no page could be served even when there is room.
    seats.with(|state| state.open = 0);
    seats.leave_room();
    seats.take(true).unwrap();
    assert!(is_refused(&seats));
}

#[test]
fn while_the_follower_has_lost_its_connection_nobody_else_takes_one() {
    let seats = seats(3, 0);
    let conn = || DatabaseUrl::Sqlite(":memory:".into()).connect().unwrap();
    let apart = Apart::new(conn(), &seats);
    assert!(!is_refused(&seats));
    drop(apart);
    assert!(is_refused(&seats));
    seats.take(false).expect("a file has room for everybody");
    let _apart = Apart::new(conn(), &seats);
    assert!(!is_refused(&seats));
}

/// The pool itself says only that it waited, and whatever failed in it last, however long ago.
#[test]
fn why_no_connection_was_had_is_said_as_it_is_now() {
    let (folder, mut manager) = manager(1);
    let fault = |manager: &Manager, in_use| match manager.seats.why_none(in_use) {
        StoreError::Fault(fault, _) => fault,
        other => panic!("{other}"),
    };
    assert_eq!(fault(&manager, 1), Fault::NoConnection, "others have them");
    assert_eq!(fault(&manager, 0), Fault::Unreachable, "it takes too long to make one");
    manager.address = DatabaseUrl::Sqlite(folder.path().join("missing/keystead.db")).into();
    assert!(manager.connect().is_err());
    assert_eq!(fault(&manager, 1), Fault::Unreachable);
    manager.address = DatabaseUrl::Sqlite(folder.path().join("keystead.db")).into();
    let one = manager.connect().unwrap();
    assert_eq!(fault(&manager, 1), Fault::NoConnection, "that is over");
    assert!(manager.connect().is_err());
    assert_eq!(fault(&manager, 1), Fault::NoConnection, "no more are allowed");
    drop(one);
    // Where nobody listens, and whose follower has lost its connection there.
    manager.address = DatabaseUrl::Postgres("postgres://127.0.0.1:1/keys".to_owned()).into();
    drop(Apart::new(DatabaseUrl::Sqlite(":memory:".into()).connect().unwrap(), &manager.seats));
    assert!(manager.connect().is_err());
    assert_eq!(fault(&manager, 0), Fault::Unreachable);
    let full = StoreError::Fault(Fault::Unreachable, "trop de clients (SQLSTATE 53300)".to_owned());
    manager.seats.follower_was_refused(&full);
    assert!(manager.connect().is_err());
    assert_eq!(fault(&manager, 0), Fault::NoConnection);
}

fn manager(most: usize) -> (TempDir, Manager) {
    let folder = tempfile::tempdir().unwrap();
    let address = DatabaseUrl::Sqlite(folder.path().join("keystead.db")).into();
    (folder, Manager { address, seats: Seats::new(most) })
}

#[test]
fn one_too_many_is_neither_handed_out_nor_kept() {
    let (_folder, manager) = manager(3);
    let (mut one, other) = (manager.connect().unwrap(), manager.connect().unwrap());
    assert!(manager.is_valid(&mut one).is_ok() && !manager.has_broken(&mut one));
    manager.seats.leave_room();
    assert!(manager.is_valid(&mut one).is_err() && manager.has_broken(&mut one));
    drop(other);
    assert!(manager.is_valid(&mut one).is_ok() && !manager.has_broken(&mut one));
}

#[test]
fn a_connection_in_the_middle_of_a_transaction_is_neither_handed_out_nor_kept() {
    let (_folder, manager) = manager(3);
    let mut pooled = manager.connect().unwrap();
    <Conn as Connection>::TransactionManager::begin_transaction(&mut *pooled).unwrap();
    assert!(manager.is_valid(&mut pooled).is_err() && manager.has_broken(&mut pooled));
}

/// Work that panicked may have left anything behind.
#[test]
fn a_connection_is_not_kept_when_its_work_panicked() {
    struct Returned<'a>(&'a Manager, Pooled, &'a Mutex<Option<bool>>);
    impl Drop for Returned<'_> {
        fn drop(&mut self) {
            *self.2.lock().unwrap() = Some(self.0.has_broken(&mut self.1));
        }
    }
    let ((_folder, manager), has_broken) = (manager(3), Mutex::new(None));
    let ended: std::thread::Result<()> = catch_unwind(AssertUnwindSafe(|| {
        let _returned = Returned(&manager, manager.connect().unwrap(), &has_broken);
        panic!("a test's own");
    }));
    assert!(ended.is_err());
    assert_eq!(*has_broken.lock().unwrap(), Some(true));
}

#[test]
fn why_there_is_no_connection_is_said_once_for_each_reason() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let subscriber = tracing_subscriber::fmt().with_writer(Arc::new(File::create(&log).unwrap())).finish();
    let errors = LogConnectionErrors { seats: Seats::new(3), begun: Instant::now() };
    tracing::subscriber::with_default(subscriber, || {
        for words in ["refused (SQLSTATE 28P01)", "starting (SQLSTATE 57P03)"] {
            (0..3).for_each(|_| errors.handle_error(StoreError::Fault(Fault::Unreachable, words.to_owned())));
        }
    });
    let log = fs::read_to_string(log).unwrap();
    for code in ["28P01", "57P03"] {
        assert_eq!(log.matches(code).count(), 1, "{log}");
    }
}

#[test]
fn a_full_server_is_told_from_other_faults() {
    let says = |words: &str| is_full(&StoreError::Fault(Fault::Unreachable, words.to_owned()));
    assert!(says("no more connections allowed (max_client_conn)"));
    assert!(!says("connection refused"));
}
