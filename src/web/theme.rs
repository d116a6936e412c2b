//! The theme: what the system prefers, unless a cookie says otherwise.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::header,
    web,
};
use serde::Deserialize;

use super::return_path::return_path;
use crate::app::Site;

/// Name of the cookie.
pub const COOKIE: &str = "theme";

/// The routes of this module.
pub fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource("/theme").route(web::post().to(submit)));
}

#[derive(Deserialize)]
struct ThemeForm {
    theme: String,
    #[serde(default)]
    return_to: String,
}

async fn submit(site: web::Data<Site>, form: web::Form<ThemeForm>) -> HttpResponse {
    let mut cookie = Cookie::build(COOKIE, known(Some(&form.theme)))
        .path("/")
        .max_age(Duration::days(365))
        .same_site(SameSite::Lax)
        .http_only(true)
        .secure(site.public_url.is_secure())
        .finish();
    if cookie.value().is_empty() {
        cookie.make_removal();
    }
    HttpResponse::SeeOther().cookie(cookie).insert_header((header::LOCATION, return_path(&form.return_to))).finish()
}

/// The theme this request's cookie asks for.
pub fn of_request(request: &HttpRequest) -> &'static str {
    known(request.cookie(COOKIE).as_ref().map(Cookie::value))
}

/// `light`, `dark`, or nothing for what the system prefers.
pub fn known(theme: Option<&str>) -> &'static str {
    match theme {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "",
    }
}
