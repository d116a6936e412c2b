//! Work that waits for its turn, work that was not begun, and work that ended in the middle.

use std::{path::Path, pin::pin, sync::mpsc};

use futures_util::FutureExt;
use tokio::runtime::Runtime;

use super::*;
use crate::{
    private_file::beside,
    store::{dialect, file_mark::wal_length},
};

#[test]
fn work_that_a_stopping_server_did_not_begin_has_changed_nothing() {
    let server = Runtime::new().unwrap();
    let handle = server.handle().clone();
    server.shutdown_background();
    let _entered = handle.enter();
    let done = on_blocking_thread::<(), StoreError>(|| panic!("it is begun")).now_or_never();
    assert!(matches!(done, Some(Err(StoreError::Fault(Fault::Other, _)))), "{done:?}");
}

#[tokio::test]
async fn of_work_that_ended_in_the_middle_nobody_knows_what_it_changed() {
    let done = on_blocking_thread::<(), StoreError>(|| panic!("a test's own")).await;
    assert!(matches!(done, Err(StoreError::Unknown(_))), "{done:?}");
}

/// Whoever waited in SQLite itself would hold a connection that others could read with.
#[tokio::test]
async fn one_writes_at_a_time_and_who_waits_for_that_holds_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("keystead.db"));
    url.connect().unwrap();
    let db = Db::open(url.into(), 1).unwrap();
    let turn = db.turn_to_write().await.unwrap();
    let (begun, has_begun) = mpsc::channel();
    let mut waiting = pin!(db.write::<_, StoreError>(move |_| {
        begun.send(()).unwrap();
        Ok(())
    }));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert!(db.turn_to_write().now_or_never().is_none(), "somebody writes");
    db.read_aside::<_, StoreError>(|_| Ok(())).await.expect("the only connection is free");
    assert!(has_begun.try_recv().is_err());
    drop(turn);
    waiting.await.unwrap();
    has_begun.try_recv().unwrap();
}

/// That is no fault of the database.
#[tokio::test]
async fn who_waits_in_vain_for_a_connection_is_told_that_none_was_free() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("keystead.db"));
    url.connect().unwrap();
    let db = Db::open(url.into(), 1).unwrap();
    let held = db.connection().unwrap();
    let read = db.read::<_, StoreError>(|_| Ok(())).await;
    assert!(matches!(&read, Err(StoreError::Fault(Fault::NoConnection, _))), "{read:?}");
    drop(held);
    db.read::<_, StoreError>(|_| Ok(())).await.unwrap();
}

#[test]
fn once_it_is_closed_the_file_alone_is_all_whoever_still_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let url = DatabaseUrl::Sqlite(path.clone());
    let mut conn = url.connect().unwrap();
    let db = Db::open(url.into(), 1).unwrap();
    db.mark_file().unwrap();
    dialect::execute_for_test(&mut conn, "CREATE TABLE things (n BIGINT)");
    drop(conn);
    assert!(wal_length(&path) > 0);
    db.close();
    assert_eq!(wal_length(&path), 0);
}

fn marked_with_things(path: &Path) -> Db {
    let url = DatabaseUrl::Sqlite(path.to_owned());
    dialect::execute_for_test(&mut url.connect().unwrap(), "CREATE TABLE things (n BIGINT)");
    let db = Db::open(url.into(), 1).unwrap();
    db.mark_file().unwrap();
    db
}

/// The next start sets it aside, with the log in which it is.
#[tokio::test]
async fn what_is_committed_beside_a_file_that_is_overwritten_meanwhile_is_not_called_done() {
    for by_rename in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        let (db, copy) = (marked_with_things(&path), folder.path().join("copy.db"));
        std::fs::write(&copy, vec![7; 4096]).unwrap();
        let overwrite = move |conn: &mut Conn| {
            dialect::execute_for_test(conn, "INSERT INTO things VALUES (1)");
            if by_rename {
                std::fs::rename(&copy, &path).unwrap();
            } else {
                std::fs::copy(&copy, &path).unwrap();
            }
            Ok::<_, StoreError>(())
        };
        let done = db.write(overwrite).await;
        assert!(matches!(done, Err(StoreError::Unknown(_))), "{by_rename}: {done:?}");
    }
}

/// Whoever copies the file from then on has another than ours, and a start knows ours.
#[tokio::test]
async fn another_programs_checkpoint_is_noted_before_a_change_is_called_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.db");
    let db = marked_with_things(&path);
    let noted = || std::fs::read(beside(&path, ".mark")).unwrap();
    let (before, url) = (noted(), DatabaseUrl::Sqlite(path.clone()));
    let checkpoint = move |conn: &mut Conn| {
        dialect::execute_for_test(conn, "INSERT INTO things VALUES (1)");
        dialect::execute_for_test(&mut url.connect().unwrap(), "PRAGMA wal_checkpoint(PASSIVE)");
        Ok::<_, StoreError>(())
    };
    db.write(checkpoint).await.unwrap();
    assert_ne!(noted(), before);
}
