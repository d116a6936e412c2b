//! CPU time of the page and of creating a key, in process: `cargo bench --bench pages`.
//!
//! Counts the CPU time of all threads of this process over many requests (what waits costs nothing here), so the numbers
//! hold on a busy machine. Everything of a request is in them but the socket: session check, queries, rendering.

use std::{sync::Arc, time::Duration};

use actix_web::{
    App as ActixApp,
    body::to_bytes,
    dev::ServiceResponse,
    http::{StatusCode, header},
    test::{TestRequest, call_and_read_body, call_service, init_service},
};
use cpu_time::ProcessTime;
use keystead::{
    actions::set_up::set_up_token,
    app::Site,
    clock::SystemClock,
    config::{PublicUrl, Settings},
    domain::form_token::FormToken,
    server::mount,
};

/// Goals of the project, in microseconds of CPU.
const PAGE_GOAL: Duration = Duration::from_micros(300);
const COMPRESSED_GOAL: Duration = Duration::from_micros(600);
const CREATE_GOAL: Duration = Duration::from_micros(1000);

const PASSWORD: &str = "correct horse bat";

#[actix_web::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.data_dir = folder.path().to_str().expect("UTF-8").to_owned();
    let config = settings.check().unwrap();
    let app = Site::open(config, PublicUrl::of_loopback(8080), Arc::new(SystemClock)).await.unwrap();
    let token = set_up_token(&app).await.unwrap().unwrap();
    let service = init_service(ActixApp::new().configure(|config| mount(config, &app))).await;

    let form = [
        ("token", token.as_str()),
        ("organization", "Acme Robotics"),
        ("name", "Maya Chen"),
        ("email", "maya@example.com"),
        ("password", PASSWORD),
    ];
    let set_up = TestRequest::post().uri("/setup").set_form(form);
    let answer = call_service(&service, set_up.to_request()).await;
    let cookie = session_cookie(&answer);

    let create = |n: usize| {
        let (name, idem) = (format!("Key {n}"), FormToken::generate().unwrap());
        let form = [("name", name.as_str()), ("idem", idem.as_str())];
        post("/settings/integrations/keys", &cookie).set_form(form).to_request()
    };
    for n in 0..50 {
        assert_eq!(call_service(&service, create(n)).await.status(), StatusCode::OK);
    }

    let page = || TestRequest::get().uri("/settings/integrations").insert_header((header::COOKIE, cookie.as_str()));
    let body = call_and_read_body(&service, page().to_request()).await;
    assert!(String::from_utf8_lossy(&body).contains("of 50"), "the page shows the first of 50 keys");

    // As a browser asks on https, and on plain http.
    let accepting = |codings: &str| page().insert_header((header::ACCEPT_ENCODING, codings)).to_request();
    let (https, http) = ("gzip, deflate, br, zstd", "gzip, deflate");
    for (accepts, expected) in [(https, "br"), (http, "gzip")] {
        let answer = call_service(&service, accepting(accepts)).await;
        assert_eq!(answer.headers().get(header::CONTENT_ENCODING).unwrap(), expected);
        let bytes = to_bytes(answer.into_body()).await.ok().unwrap().len();
        println!("the page is {} bytes, and {bytes} in {expected}", body.len());
    }

    let mut per_page = Vec::new();
    let mut per_brotli = Vec::new();
    let mut per_gzip = Vec::new();
    let mut per_create = Vec::new();
    let mut n = 50;
    // In turns, so that a change of the machine's speed meets both.
    for _ in 0..10 {
        let begun = ProcessTime::now();
        for _ in 0..200 {
            call_and_read_body(&service, page().to_request()).await;
        }
        per_page.push(begun.elapsed() / 200);
        for (accepts, times) in [(https, &mut per_brotli), (http, &mut per_gzip)] {
            let begun = ProcessTime::now();
            for _ in 0..200 {
                call_and_read_body(&service, accepting(accepts)).await;
            }
            times.push(begun.elapsed() / 200);
        }
        let begun = ProcessTime::now();
        for _ in 0..50 {
            n += 1;
            let request = create(n);
            call_and_read_body(&service, request).await;
        }
        per_create.push(begun.elapsed() / 50);
    }
    report("page with 50 keys, session check included", per_page, PAGE_GOAL);
    report("the same as a browser asks for it: brotli", per_brotli, COMPRESSED_GOAL);
    report("the same on plain http: gzip", per_gzip, COMPRESSED_GOAL);
    report("create a key, list and secret rendered", per_create, CREATE_GOAL);
}

fn post(uri: &str, cookie: &str) -> TestRequest {
    TestRequest::post()
        .uri(uri)
        .insert_header((header::COOKIE, cookie))
        .insert_header((header::ORIGIN, "http://localhost:8080"))
        .insert_header(("hx-request", "true"))
}

fn session_cookie<B>(answer: &ServiceResponse<B>) -> String {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookie = answer.response().cookies().find(|cookie| cookie.name() == "keystead-8080").expect("signed in");
    format!("{}={}", cookie.name(), cookie.value())
}

fn report(what: &str, mut times: Vec<Duration>, goal: Duration) {
    times.sort();
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{what:<45} CPU median {median:>8.1?}  (min {least:.1?}, max {most:.1?}; goal {goal:?})");
}
