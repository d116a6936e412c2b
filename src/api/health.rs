//! `/livez` and `/readyz`, for whoever restarts processes and routes requests.

use actix_web::{HttpResponse, Responder, web};

use crate::{
    actions::check_ready::{NotReady, check_ready},
    app::App,
};

/// The routes of this room.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/livez").route(web::get().to(livez)))
        .service(web::resource("/readyz").route(web::get().to(readyz)));
}

/// The process runs. It says nothing of the database: a restart would not mend one.
async fn livez() -> impl Responder {
    status(HttpResponse::Ok(), "ok")
}

/// Requests may come: keys can be verified, pages be served, and the server is not about to stop.
async fn readyz(app: web::Data<App>) -> impl Responder {
    if app.is_draining() {
        return status(HttpResponse::ServiceUnavailable(), "stopping");
    }
    match check_ready(&app).await {
        Ok(()) => status(HttpResponse::Ok(), "ok"),
        Err(error) => {
            if let NotReady::Store(words) = &error {
                tracing::warn!(error = %words, "not ready");
            }
            status(HttpResponse::ServiceUnavailable(), &error.to_string())
        }
    }
}

fn status(mut builder: actix_web::HttpResponseBuilder, status: &str) -> HttpResponse {
    builder.json(serde_json::json!({ "status": status }))
}
