//! HTML for people: pages, the session and its guard, and where a post may come from.

pub mod arrival;
pub mod assets;
pub mod compression;
pub mod cookie_filter;
pub mod csrf;
pub mod device_cookie;
pub mod error_page;
pub mod htmx;
pub mod integrations;
pub mod name_error;
pub mod page;
pub mod relative_time;
pub mod return_path;
pub mod section;
pub mod session;
pub mod session_guard;
pub mod session_store;
pub mod set_up;
pub mod sign_in;
pub mod sign_out;
pub mod theme;

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
    middleware::{DefaultHeaders, from_fn},
    web,
};

use crate::{app::Site, middleware::failure::Failure};

/// Every page. From the outside in: only our own origin, compression, the session; and under
/// `/settings` only who is signed in.
pub fn configure(config: &mut web::ServiceConfig, site: &Arc<Site>) {
    let pages = web::scope("")
        .wrap(session_store::middleware(site))
        // Inside the compression, which adds its own Vary; outside, this one would give way to it.
        .wrap(DefaultHeaders::new().add((header::VARY, HeaderValue::from_static("HX-Request"))))
        .wrap(from_fn(compression::compress))
        .wrap(from_fn(csrf::refuse_other_origins))
        .service(web::resource("/").route(web::get().to(to_integrations)))
        .configure(sign_in::configure)
        .configure(set_up::configure)
        .configure(theme::configure)
        .service(
            web::resource("/sign-out")
                .wrap(from_fn(session_guard::members_only))
                .route(web::post().to(sign_out::submit)),
        )
        .service(
            web::scope("/settings")
                .wrap(from_fn(session_guard::members_only))
                .service(web::resource("").route(web::get().to(to_integrations)))
                .configure(integrations::configure),
        )
        .default_service(web::to(nothing_here));
    config.configure(assets::configure).service(pages);
}

async fn to_integrations() -> HttpResponse {
    see_other(return_path::HOME)
}

async fn nothing_here() -> HttpResponse {
    Failure::not_found().into_response()
}

/// A redirect after which the browser asks with GET.
fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
}
