//! `keystead migrate`

use crate::support::Binary;

#[test]
fn the_schema_is_made_once_and_then_left_alone() {
    let keystead = Binary::new();
    for _ in 0..2 {
        let done = keystead.run(&["migrate"]).succeeded();
        assert_eq!(done.stdout.trim(), "The schema is up to date.");
    }
    let server = keystead.serve();
    server.set_up_token();
    assert_eq!(server.stop().succeeded().stdout.lines().count(), 2);
}

#[test]
fn nodes_that_start_at_once_do_not_fall_over_each_other() {
    // More than once: that two of them switch a new file to WAL in the same moment is rare.
    for _ in 0..10 {
        let keystead = Binary::new();
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| keystead.run(&["migrate"]))).collect();
            for run in runs {
                run.join().unwrap().succeeded();
            }
        });
    }
}
