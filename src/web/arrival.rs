//! Where signing in leads to.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, http::header};

use super::{device_cookie, see_other, session};
use crate::{actions::sign_in::Arrival, app::Site, middleware::failure::Failure};

/// Begins the session and sends the browser to `return_to`.
///
/// A browser that sent a cookie of ours keeps cookies. Of any other nothing is known yet, so it goes over the sign-in page,
/// which sends it on if the session's cookie came along and otherwise says why signing in cannot work. Without that, a browser
/// that keeps no cookies would show the empty form again, with no word.
///
/// # Errors
/// A fault when the session cannot be begun.
pub async fn begin(
    site: &Site,
    session: &Session,
    request: &HttpRequest,
    arrived: Arrival,
    return_to: &str,
) -> Result<HttpResponse, Failure> {
    session::begin(site, session, arrived.signed_in).await?;
    // The filter let only our own through.
    let keeps_cookies = request.headers().contains_key(header::COOKIE);
    let mut answer = if keeps_cookies { see_other(return_to) } else { see_other(&over_sign_in(return_to)) };
    device_cookie::keep(site, &arrived.devices, &mut answer);
    Ok(answer)
}

fn over_sign_in(return_to: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", return_to)
        .append_pair("signed_in", "1")
        .finish();
    format!("/sign-in?{query}")
}
