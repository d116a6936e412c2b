//! `/livez`, `/readyz` and `/readyz/pages`, for whoever restarts processes and routes requests.

use actix_web::{HttpResponse, Responder, web};

use crate::{
    actions::check_ready::{NotReady, check_ready, check_ready_for_pages},
    app::Site,
};

/// The routes of this module.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/livez").route(web::get().to(livez)))
        .service(web::resource("/readyz").route(web::get().to(readyz)))
        .service(web::resource("/readyz/pages").route(web::get().to(readyz_pages)));
}

/// The process runs. It says nothing of the database: a restart would not mend one.
async fn livez() -> impl Responder {
    status(HttpResponse::Ok(), "ok")
}

/// Verifications may come: keys are in memory, the lease is held, and the server is not about to stop. It says nothing of the
/// database either, which verification does without for as long as a lease: all nodes would be taken away when it blinks.
async fn readyz(site: web::Data<Site>) -> impl Responder {
    if site.is_draining() { stopping() } else { readiness(check_ready(&site)) }
}

/// People may come, too.
async fn readyz_pages(site: web::Data<Site>) -> impl Responder {
    if site.is_draining() { stopping() } else { readiness(check_ready_for_pages(&site).await) }
}

fn stopping() -> HttpResponse {
    status(HttpResponse::ServiceUnavailable(), "stopping")
}

fn readiness(is_ready: Result<(), NotReady>) -> HttpResponse {
    match is_ready {
        Ok(()) => status(HttpResponse::Ok(), "ok"),
        Err(error) => status(HttpResponse::ServiceUnavailable(), &error.to_string()),
    }
}

fn status(mut builder: actix_web::HttpResponseBuilder, status: &str) -> HttpResponse {
    builder.json(serde_json::json!({ "status": status }))
}
