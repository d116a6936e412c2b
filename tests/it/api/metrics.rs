//! `GET /metrics` on its own listener: what moves by what, and what is never in it.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use keystead::metrics::CONTENT_TYPE;
use reqwest::{Client, Method};
use serde_json::json;

use crate::support::{Answer, Binary, TestApp};

pub const FAMILIES: [(&str, &str); 20] = [
    ("keystead_verifications_total", "counter"),
    ("keystead_verification_duration_seconds", "histogram"),
    ("keystead_http_request_duration_seconds", "histogram"),
    ("keystead_usage_flushes_total", "counter"),
    ("keystead_usage_flushed_keys_total", "counter"),
    ("keystead_usage_flush_duration_seconds", "histogram"),
    ("keystead_revocation_receipt_duration_seconds", "histogram"),
    ("keystead_index_keys", "gauge"),
    ("keystead_index_secrets", "gauge"),
    ("keystead_index_loaded", "gauge"),
    ("keystead_epoch_applied", "gauge"),
    ("keystead_epoch_seen", "gauge"),
    ("keystead_epoch_lag", "gauge"),
    ("keystead_lease_held", "gauge"),
    ("keystead_lease_remaining_seconds", "gauge"),
    ("keystead_history_lost_total", "counter"),
    ("keystead_change_gaps_total", "counter"),
    ("keystead_restarts_total", "counter"),
    ("keystead_build_info", "gauge"),
    ("process_start_time_seconds", "gauge"),
];

const CODES: [&str; 7] = ["VALID", "REVOKED", "ROTATED", "EXPIRED", "NOT_FOUND", "MALFORMED", "NO_LEASE"];

async fn start() -> TestApp {
    start_with_lease("10").await
}

async fn start_with_lease(seconds: &str) -> TestApp {
    let change = |settings: &mut keystead::config::Settings| {
        settings.metrics_listen = "127.0.0.1:0".to_owned();
        seconds.clone_into(&mut settings.lease);
    };
    TestApp::start_with(change).await
}

async fn ask_listener(app: &TestApp, method: Method, path: &str) -> Answer {
    let address = app.metrics_address.expect("this server tells its metrics");
    Answer::read(Client::new().request(method, format!("http://{address}{path}")).send().await.unwrap()).await
}

/// What is told at one time.
struct Scrape(String);

impl Scrape {
    async fn of(app: &TestApp) -> Self {
        Self(ask_listener(app, Method::GET, "/metrics").await.expect(200).text().to_owned())
    }

    /// The value of a series, by its name with its labels.
    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{series} is not in {}", self.0)).parse().unwrap()
    }

    fn verifications(&self) -> [f64; 7] {
        CODES.map(|code| self.value(&format!("keystead_verifications_total{{code=\"{code}\"}}")))
    }

    fn requests(&self, endpoint: &str, status: &str) -> f64 {
        let labels = format!("endpoint=\"{endpoint}\",status=\"{status}\"");
        self.value(&format!("keystead_http_request_duration_seconds_count{{{labels}}}"))
    }
}

/// Asks until this holds.
async fn wait_until(app: &TestApp, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    let begun = Instant::now();
    loop {
        let scrape = Scrape::of(app).await;
        if holds(&scrape) {
            return scrape;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not come: {}", scrape.0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask_about_many(app: &TestApp, keys: &[&str]) -> Answer {
    app.anonymous().post_json("/v1/keys/verify", &json!({ "keys": keys })).await
}

async fn forward_auth(app: &TestApp, key: &str) -> Answer {
    let gateway = app.anonymous();
    let request = gateway.bare_request(Method::GET, "/v1/forward-auth").header("user-agent", "acme-gateway/1.0");
    gateway.send(request.bearer_auth(key)).await
}

#[tokio::test]
async fn nothing_is_told_unless_it_is_asked_for_and_never_on_the_listener_of_everybody() {
    let app = TestApp::start().await;
    assert_eq!(app.metrics_address, None);
    app.anonymous().get("/metrics").await.expect(404);
    app.verify("x").await;
    assert!(app.site.metrics.begin().is_none(), "nothing is counted that nobody can see");

    let app = start().await;
    assert_ne!(app.metrics_address, Some(app.address));
    app.anonymous().get("/metrics").await.expect(404);
}

#[tokio::test]
async fn every_family_is_there_from_the_start_with_its_help() {
    let app = start().await;
    let scrape = Scrape::of(&app).await;
    for (name, kind) in FAMILIES {
        assert!(scrape.0.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        assert!(scrape.0.contains(&format!("# HELP {name} ")), "{name}");
    }
    assert_eq!(scrape.0.matches("# TYPE ").count(), FAMILIES.len(), "{}", scrape.0);
    assert_eq!(scrape.verifications(), [0.0; 7]);
    for endpoint in ["forward_auth", "verify", "page", "static", "other"] {
        for status in ["2xx", "3xx", "4xx", "5xx"] {
            assert_eq!(scrape.requests(endpoint, status), 0.0);
        }
    }
    for result in ["ok", "error"] {
        assert_eq!(scrape.value(&format!("keystead_usage_flushes_total{{result=\"{result}\"}}")), 0.0);
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(scrape.value(&format!("keystead_build_info{{version=\"{version}\"}}")), 1.0);
    assert_eq!(scrape.value("process_start_time_seconds"), 1_795_414_260.0, "the clock of the tests");
}

#[tokio::test]
async fn counters_move_by_exactly_what_was_done() {
    let app = start().await;
    let maya = app.admin().await;
    let production = maya.create_key("Production").await;
    let staging = maya.create_key("Staging").await;
    let before = Scrape::of(&app).await;
    assert_eq!(before.value("keystead_revocation_receipt_duration_seconds_count"), 0.0);
    let renewed = maya.rotate(&production).await;
    maya.revoke(&staging).await;

    for _ in 0..3 {
        assert_eq!(app.verify(&renewed.secret).await, "VALID");
    }
    assert_eq!(app.verify(&staging.secret).await, "REVOKED");
    forward_auth(&app, &renewed.secret).await.expect(200);
    forward_auth(&app, &production.secret).await.expect(401);
    app.anonymous().get("/v1/forward-auth/nginx/anything").await.expect(401);
    ask_about_many(&app, &[&renewed.secret, &staging.secret, "x", "y", &production.secret]).await.expect(200);
    ask_about_many(&app, &[]).await.expect(200);
    app.anonymous().post_json("/v1/keys/verify", &json!({ "key": 1 })).await.expect(400);
    app.anonymous().get("/v1/keys/verify").await.expect(405);
    app.anonymous().get("/livez").await.expect(200);
    app.anonymous().get("/v1/nothing").await.expect(404);
    app.anonymous().get(&keystead::web::assets::url("app.css")).await.expect(200);

    let scrape = Scrape::of(&app).await;
    assert_eq!(scrape.verifications(), [5.0, 2.0, 2.0, 0.0, 0.0, 2.0, 0.0]);
    assert_eq!(scrape.value("keystead_verification_duration_seconds_count"), 11.0);
    assert_eq!(scrape.value("keystead_verification_duration_seconds_bucket{le=\"+Inf\"}"), 11.0);
    let in_all = scrape.value("keystead_verification_duration_seconds_sum");
    assert!(in_all > 1e-6 && in_all < 1.0, "{in_all} seconds");
    assert_eq!((scrape.requests("verify", "2xx"), scrape.requests("verify", "4xx")), (6.0, 2.0));
    assert_eq!((scrape.requests("forward_auth", "2xx"), scrape.requests("forward_auth", "4xx")), (1.0, 2.0));
    assert_eq!((scrape.requests("other", "2xx"), scrape.requests("other", "4xx")), (1.0, 1.0));
    assert_eq!(scrape.requests("static", "2xx"), 1.0);
    let pages = |status| scrape.requests("page", status) - before.requests("page", status);
    // A form and what was done with it, twice.
    assert_eq!(pages("2xx") + pages("3xx"), 4.0);
    assert_eq!(scrape.value("keystead_revocation_receipt_duration_seconds_count"), 2.0);
    assert_eq!((scrape.value("keystead_index_keys"), scrape.value("keystead_index_secrets")), (2.0, 3.0));
    assert_eq!(scrape.value("keystead_index_loaded"), 1.0);
    assert_eq!(scrape.value("keystead_epoch_applied") - before.value("keystead_epoch_applied"), 2.0);
    assert_eq!(scrape.value("keystead_epoch_applied"), scrape.value("keystead_epoch_seen"));
    assert_eq!(scrape.value("keystead_epoch_lag"), 0.0);
    assert_eq!(scrape.value("keystead_lease_held"), 1.0);
    let remaining = scrape.value("keystead_lease_remaining_seconds");
    assert!(remaining > 0.0 && remaining <= 10.0, "{remaining} seconds");
}

#[tokio::test]
async fn flushes_are_counted_by_how_they_ended() {
    let app = start().await;
    let key = app.admin().await.create_key("Production").await;
    app.execute("ALTER TABLE key_usage_open RENAME TO hidden").await;
    app.verify(&key.secret).await;
    let failed = "keystead_usage_flushes_total{result=\"error\"}";
    let scrape = wait_until(&app, "a flush that fails", |scrape| scrape.value(failed) >= 1.0).await;
    assert_eq!(scrape.value("keystead_usage_flushed_keys_total"), 0.0);
    app.execute("ALTER TABLE hidden RENAME TO key_usage_open").await;
    let is_flushed = |scrape: &Scrape| scrape.value("keystead_usage_flushed_keys_total") == 1.0;
    wait_until(&app, "a flush", is_flushed).await;
    let scrape = Scrape::of(&app).await;
    assert_eq!(scrape.value("keystead_usage_flushes_total{result=\"ok\"}"), 1.0);
    let in_all = scrape.value(failed) + 1.0;
    assert_eq!(scrape.value("keystead_usage_flush_duration_seconds_count"), in_all);
}

#[tokio::test]
async fn the_lease_falls_when_the_database_goes_away_and_comes_back() {
    let app = start_with_lease("1").await;
    let key = app.admin().await.create_key("Production").await;
    app.execute("ALTER TABLE key_epoch RENAME TO hidden").await;
    let is_lost = |scrape: &Scrape| scrape.value("keystead_lease_held") == 0.0;
    let scrape = wait_until(&app, "the end of the lease", is_lost).await;
    assert_eq!(scrape.value("keystead_lease_remaining_seconds"), 0.0);
    assert_eq!(scrape.value("keystead_index_loaded"), 1.0);
    let looked_up = scrape.value("keystead_verification_duration_seconds_count");
    app.ask_about(&key.secret).await.expect(503);
    forward_auth(&app, &key.secret).await.expect(503);
    let scrape = Scrape::of(&app).await;
    assert_eq!(scrape.value("keystead_verifications_total{code=\"NO_LEASE\"}"), 2.0);
    assert_eq!(scrape.value("keystead_verification_duration_seconds_count"), looked_up, "nothing was looked up");
    assert_eq!((scrape.requests("verify", "5xx"), scrape.requests("forward_auth", "5xx")), (1.0, 1.0));
    app.execute("ALTER TABLE hidden RENAME TO key_epoch").await;
    wait_until(&app, "the lease", |scrape| scrape.value("keystead_lease_held") == 1.0).await;
}

#[tokio::test]
async fn nobody_can_be_told_from_it() {
    let app = start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    app.verify(&key.secret).await;
    forward_auth(&app, &key.secret).await.expect(200);
    maya.revoke(&key).await;
    maya.get(&format!("/{}", key.id)).await.expect(404);
    let scrape = Scrape::of(&app).await;
    let mut words = vec!["key_3", "org_", "usr_", "Production", "Acme", "acme", "Maya", "maya", "talvin", "127.0.0.1"];
    words.extend([key.id.as_str(), &key.organization_id, &key.secret, app.site.installation_id.as_str()]);
    for word in words {
        let line = scrape.0.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "{word}");
    }
    // Whatever was asked, there is no series that was not there before.
    let series = |scrape: &Scrape| scrape.0.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(series(&scrape), series(&Scrape::of(&start().await).await));
}

#[tokio::test]
async fn it_answers_get_and_head_and_knows_nothing_else() {
    let app = start().await;
    let get = ask_listener(&app, Method::GET, "/metrics").await.expect(200);
    let head = ask_listener(&app, Method::HEAD, "/metrics").await.expect(200);
    for answer in [&get, &head] {
        assert_eq!(answer.header("content-type"), CONTENT_TYPE);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    assert!(CONTENT_TYPE.starts_with("text/plain; version=0.0.4"));
    assert!(head.bytes.is_empty() && !get.bytes.is_empty());
    ask_listener(&app, Method::GET, "/metrics?collect[]=x").await.expect(200);
    for path in ["/", "/metrics/", "/metrics/x", "/v1/keys/verify", "/v1/forward-auth", "/sign-in", "/livez", "/%00"] {
        ask_listener(&app, Method::GET, path).await.expect(404);
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        ask_listener(&app, method, "/metrics").await.expect(404);
    }
}

#[tokio::test]
async fn prometheus_own_checker_has_nothing_to_complain_about() {
    let app = start().await;
    app.verify("x").await;
    let text = Scrape::of(&app).await.0;
    let checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut checker = checker.expect("promtool is installed: on Debian it comes with the package prometheus");
    checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = checker.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn the_program_says_where_and_its_end_is_the_listeners() {
    let keystead = Binary::new().with("KEYSTEAD_METRICS_LISTEN", "127.0.0.1:0");
    let server = keystead.serve();
    let line = server.said("/metrics");
    let url = line.split_whitespace().last().unwrap().to_owned();
    let text = reqwest::get(&url).await.unwrap().error_for_status().unwrap().text().await.unwrap();
    assert!(text.contains("keystead_lease_held 1\n"), "{text}");
    server.stop().succeeded();
    assert!(reqwest::get(&url).await.is_err());
}
