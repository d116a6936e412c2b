//! The cookie by which a device is known that signed in before (`domain/device.rs`). It opens nothing.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
};

use super::session;
use crate::{
    app::Site,
    domain::device::{DeviceCookie, KEPT_DAYS},
};

/// Named after the session's, so that it is as safe from other hosts and installations.
pub fn name(site: &Site) -> String {
    format!("{}-device", session::cookie_name(site))
}

/// What the device of this request says.
pub fn of_request(site: &Site, request: &HttpRequest) -> DeviceCookie {
    request.cookie(&name(site)).map(|cookie| DeviceCookie::parse(cookie.value())).unwrap_or_default()
}

/// Lets the device keep it; signing out leaves it there.
pub fn keep(site: &Site, devices: &DeviceCookie, answer: &mut HttpResponse) {
    let cookie = Cookie::build(name(site), devices.to_string())
        .path("/")
        .max_age(Duration::days(KEPT_DAYS))
        .same_site(SameSite::Lax)
        .http_only(true)
        .secure(site.public_url.is_secure())
        .finish();
    // It holds no character that a header may not.
    let _ = answer.add_cookie(&cookie);
}
