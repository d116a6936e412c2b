//! Work that was not begun, and work that ended in the middle.

use futures_util::FutureExt;
use tokio::runtime::Runtime;

use super::*;

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
