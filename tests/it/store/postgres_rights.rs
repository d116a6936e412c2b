//! A role that may only read from some moment on, because somebody took its rights or made its sessions read-only: the log says
//! so, but not with every try, and it says when that is over.

use std::time::{Duration, Instant};

use super::postgres_rotation::{Rotated, wait_for_lines};
use crate::support::{Key, Person, Server};

const NOT_WRITTEN: &str = "usage could not be written";
const WRITTEN: &str = "usage is written again";
const NOT_FOLLOWED: &str = "changes of keys cannot be followed";
const FOLLOWED: &str = "changes of keys are followed again";

/// The value of a metric.
async fn value(metrics: &str, name: &str) -> f64 {
    let text = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().parse().unwrap_or_default()
}

/// Has a key used, so that there is something to write, and waits until that has failed some more times.
async fn fail_some_times(server: &Server, program: &Person, key: &Key, metrics: &str) {
    const FAILED: &str = "keystead_usage_flushes_total{result=\"error\"}";
    let (before, begun) = (value(metrics, FAILED).await, Instant::now());
    while value(metrics, FAILED).await < before + 4.0 {
        program.post_json("/v1/keys/verify", &serde_json::json!({ "key": key.secret })).await;
        assert!(begun.elapsed() < Duration::from_secs(60), "usage is written: {}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn lines(server: &Server, words: &str, code: &str) -> usize {
    server.log().lines().filter(|line| line.contains(words) && line.contains(code)).count()
}

#[tokio::test]
async fn that_a_role_may_only_read_is_said_once_and_so_is_that_it_may_write_again() {
    const REFUSED: &str = "SQLSTATE 42501";
    const READ_ONLY: &str = "SQLSTATE 25006";
    let rotated = Rotated::start_with("KEYSTEAD_METRICS_LISTEN", "127.0.0.1:0");
    let server = rotated.keystead.serve();
    let maya = server.set_up().await;
    let key = maya.create_key("Production").await;
    let metrics = server.said("Metrics are at ").trim_start_matches("Metrics are at ").to_owned();

    assert!(rotated.sql("keys", "REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM one"));
    fail_some_times(&server, &maya, &key, &metrics).await;
    wait_for_lines(&server, NOT_FOLLOWED, 1).await;
    assert!(rotated.sql("keys", "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO one"));
    wait_for_lines(&server, WRITTEN, 1).await;
    wait_for_lines(&server, FOLLOWED, 1).await;
    for words in [NOT_WRITTEN, NOT_FOLLOWED] {
        assert_eq!(lines(&server, words, REFUSED), 1, "{words}: {}", server.log());
    }

    // As on a primary that became a standby.
    assert!(rotated.sql("postgres", "ALTER ROLE one SET default_transaction_read_only = on"));
    rotated.end_all_connections();
    fail_some_times(&server, &maya, &key, &metrics).await;
    wait_for_lines(&server, READ_ONLY, 1).await;
    assert!(rotated.sql("postgres", "ALTER ROLE one RESET default_transaction_read_only"));
    wait_for_lines(&server, WRITTEN, 2).await;
    wait_for_lines(&server, FOLLOWED, 2).await;
    for words in [NOT_WRITTEN, NOT_FOLLOWED] {
        assert!(lines(&server, words, READ_ONLY) <= 1, "{words}: {}", server.log());
    }
    server.stop().succeeded();
}
