//! What counting costs: `cargo bench --bench metrics`.
//!
//! CPU time of this thread for a verification and for a whole forward-auth request without its socket, with a metrics
//! listener configured and without one, in turns, so that a change of the machine's speed meets both.

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use actix_web::{
    App as ActixApp,
    http::StatusCode,
    test::{TestRequest, call_service, init_service},
};
use cpu_time::ThreadTime;
use keystead::{
    actions::verify_key::verify_key,
    app::{App, AppState},
    clock::SystemClock,
    config::{Config, DatabaseUrl, PublicUrl, Safeguards},
    domain::{
        name::Name,
        secret::{KeyPrefix, Secret},
    },
    key_index::Caller,
    metrics::Endpoint,
    server::mount,
};

const ROUNDS: usize = 40;
const TIMES: u32 = 20_000;
/// What counting may add to a forward-auth request.
const GOAL: Duration = Duration::from_nanos(80);

#[actix_web::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let with = open(&folder.path().join("with"), true).await;
    let without = open(&folder.path().join("without"), false).await;
    let key = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap().expose().to_owned();

    let verify = |app: &App| {
        per_time(|| {
            let _ = black_box(verify_key(app, black_box(&key), Caller::default()));
        })
    };
    let both = (0..ROUNDS).map(|_| (verify(&with), verify(&without)));
    report("a verification", both.collect(), None);

    let count = |app: &App| {
        per_time(|| {
            let begun = app.metrics.begin();
            app.metrics.answered_since(black_box(begun), Endpoint::ForwardAuth, 200);
        })
    };
    let both = (0..ROUNDS).map(|_| (count(&with), count(&without)));
    report("the two readings of the clock around a request", both.collect(), None);

    let service_with = init_service(ActixApp::new().configure(|config| mount(config, &with))).await;
    let service_without = init_service(ActixApp::new().configure(|config| mount(config, &without))).await;
    let request = || {
        let bearer = ("authorization", format!("Bearer {key}"));
        TestRequest::get().uri("/v1/forward-auth").insert_header(bearer).to_request()
    };
    // The requests are made outside of what is measured.
    macro_rules! ask {
        ($service:expr) => {{
            let requests: Vec<_> = (0..TIMES / 10).map(|_| request()).collect();
            let begun = ThreadTime::now();
            for request in requests {
                assert_eq!(call_service(&$service, request).await.status(), StatusCode::UNAUTHORIZED);
            }
            begun.elapsed() / (TIMES / 10)
        }};
    }
    let mut both = Vec::new();
    for _ in 0..ROUNDS * 4 {
        both.push((ask!(service_with), ask!(service_without)));
    }
    report("a forward-auth request", both, Some(GOAL));
}

async fn open(folder: &Path, has_metrics: bool) -> App {
    let config = Config {
        listen: Vec::new(),
        metrics_listen: has_metrics.then(Vec::new),
        public_url: None,
        database: DatabaseUrl::Sqlite(folder.join("keystead.db")),
        data_dir: folder.to_owned(),
        pepper_file: folder.join("pepper"),
        brand: Name::parse("Talvin AI").unwrap(),
        key_prefix: KeyPrefix::parse("talvin_live").unwrap(),
        trusted_proxies: Vec::new(),
        lease: Duration::from_secs(10),
        safeguards: Safeguards { lease: true, notifications: true },
    };
    let app = AppState::open(config, PublicUrl::of_loopback(8080), Arc::new(SystemClock)).await.unwrap();
    while !app.lease.is_held(app.clock.since_boot()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    app
}

fn per_time(mut act: impl FnMut()) -> Duration {
    let begun = ThreadTime::now();
    (0..TIMES).for_each(|_| act());
    begun.elapsed() / TIMES
}

/// Of each pair of neighbours the difference; of those the median.
fn report(what: &str, both: Vec<(Duration, Duration)>, goal: Option<Duration>) {
    let nanoseconds = |time: Duration| time.as_nanos() as i64;
    let median = |mut of: Vec<i64>| {
        of.sort_unstable();
        (of[of.len() / 4], of[of.len() / 2], of[of.len() * 3 / 4])
    };
    let (_, with, _) = median(both.iter().map(|(with, _)| nanoseconds(*with)).collect());
    let (low, more, high) =
        median(both.iter().map(|(with, without)| nanoseconds(*with) - nanoseconds(*without)).collect());
    let goal = goal.map(|goal| format!("; goal {goal:?}")).unwrap_or_default();
    println!("{what:<50} {with:>6} ns, of it counting {more:>4} ns (quartiles {low} and {high}{goal})");
}
