//! `GET /metrics`, on a listener of its own: who may read it is decided by the network, and nobody finds it on the listener
//! that gateways and people use.

use actix_web::{
    HttpRequest, HttpResponse, Responder, guard,
    http::header::{self, HeaderValue},
    web,
};

use crate::{actions::read_metrics::read_metrics, app::Site, metrics::CONTENT_TYPE, middleware::asker};

/// The only route of that listener.
pub fn configure(config: &mut web::ServiceConfig) {
    let is_read = guard::Any(guard::Get()).or(guard::Head());
    config.service(web::resource("/metrics").guard(is_read).to(metrics));
}

async fn metrics(site: web::Data<Site>, request: HttpRequest) -> impl Responder {
    if asker::lost_question(request.headers()).is_some() {
        return HttpResponse::Forbidden().finish();
    }
    match read_metrics(&site) {
        Ok(text) => {
            let mut response = HttpResponse::Ok().content_type(CONTENT_TYPE).body(text);
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "no metrics");
            HttpResponse::InternalServerError().finish()
        }
    }
}
