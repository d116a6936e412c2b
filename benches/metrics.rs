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
    app::Site,
    clock::SystemClock,
    config::{PublicUrl, Settings},
    domain::secret::{KeyPrefix, Secret},
    key_index::Caller,
    metrics::Endpoint,
    server::mount,
};

const ROUNDS: usize = 60;
const TIMES: u32 = 20_000;
/// What counting may add to a forward-auth request.
const GOAL: Duration = Duration::from_nanos(80);

#[actix_web::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let with = open(&folder.path().join("with"), true).await;
    let without = open(&folder.path().join("without"), false).await;
    let key = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap().expose().to_owned();

    let verify = |app: &Site| {
        per_time(|| {
            let _ = black_box(verify_key(&app.keys, &app.keys.index.read(), black_box(&key), Caller::default()));
        })
    };
    let both = (0..ROUNDS).map(|_| (verify(&with), verify(&without)));
    let of_verification = report("a verification", both.collect());

    let count = |app: &Site| {
        per_time(|| {
            let begun = app.metrics.begin();
            app.metrics.answered_since(black_box(begun), Endpoint::ForwardAuth, 200);
        })
    };
    let both = (0..ROUNDS).map(|_| (count(&with), count(&without)));
    let around = report("around a request", both.collect());
    println!(
        "both, as a forward-auth request has them          counting {:>4} ns (goal {GOAL:?})",
        of_verification + around
    );

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
    for round in 0..ROUNDS * 8 {
        if round % 2 == 0 {
            both.push((ask!(service_with), ask!(service_without)));
        } else {
            let without = ask!(service_without);
            both.push((ask!(service_with), without));
        }
    }
    // Of four thousand nanoseconds it is less than what a busy machine varies by.
    report("a forward-auth request", both);
}

async fn open(folder: &Path, has_metrics: bool) -> Arc<Site> {
    let mut settings = Settings::default();
    settings.data_dir = folder.to_str().expect("UTF-8").to_owned();
    if has_metrics {
        settings.metrics_listen = "127.0.0.1:0".to_owned();
    }
    let config = settings.check().unwrap();
    let app = Site::open(config, PublicUrl::of_loopback(8080), Arc::new(SystemClock)).await.unwrap();
    while !app.keys.lease.is_held(app.clock.since_boot()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    app
}

fn per_time(mut act: impl FnMut()) -> Duration {
    let begun = ThreadTime::now();
    (0..TIMES).for_each(|_| act());
    begun.elapsed() / TIMES
}

/// The least of all rounds with and without: what else the machine does only ever adds. The median of the differences is
/// beside it; where the two are far apart, the machine was not quiet enough.
fn report(what: &str, both: Vec<(Duration, Duration)>) -> i64 {
    let nanoseconds = |time: Duration| time.as_nanos() as i64;
    let with = both.iter().map(|(with, _)| nanoseconds(*with)).min().unwrap();
    let without = both.iter().map(|(_, without)| nanoseconds(*without)).min().unwrap();
    let mut more: Vec<i64> = both.iter().map(|(with, without)| nanoseconds(*with) - nanoseconds(*without)).collect();
    more.sort_unstable();
    let (counting, median) = (with - without, more[more.len() / 2]);
    println!("{what:<40} {with:>5} ns, of it counting {counting:>4} ns (median {median})");
    counting
}
