//! A post must come from a page of ours. No tokens: the browser itself says where it comes from.
//!
//! `Sec-Fetch-Site` and `Origin` cannot be set by scripts (Fetch Standard, forbidden request-headers). Origins are never compared
//! with `Host`, which a proxy may rewrite and a foreign name may carry.
//!
//! Trap: under `Referrer-Policy: no-referrer`, which every answer carries, browsers send forms with `Origin: null`. The
//! pages loosen it to `same-origin` for themselves (`templates/base.html`).

use actix_web::{
    Error, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap},
    },
    middleware::Next,
    web,
};

use super::session;
use crate::{
    app::Site,
    middleware::{client, failure::Failure, request_log},
};

/// Refuses what a page of another site, or a page under another name, had a browser send.
pub async fn refuse_other_origins(
    site: web::Data<Site>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(failure) = host_of_another_site(&site, request.request()) {
        request_log::from_elsewhere(&site, request.path(), &failure);
        return Ok(request.into_response(failure.into_response()));
    }
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if is_safe || is_from_here(&site, request.headers()) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let failure = refusal(&site, request.headers());
    request_log::from_elsewhere(&site, request.path(), &failure);
    Ok(request.into_response(failure.into_response()))
}

fn is_from_here(site: &Site, headers: &HeaderMap) -> bool {
    // Which of two a browser has sent, and which somebody in between, nobody knows.
    if headers.get_all("sec-fetch-site").count() > 1 || headers.get_all(header::ORIGIN).count() > 1 {
        return false;
    }
    let fetched_from = headers.get("sec-fetch-site");
    let origin = headers.get(header::ORIGIN);
    if fetched_from.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match origin {
        Some(origin) => origin.to_str().is_ok_and(|origin| site.public_url.is_own_origin(origin)),
        // Neither: no browser of this decade. A program without a session has nothing that could be abused.
        None => fetched_from.is_some() || !has_session_cookie(site, headers),
    }
}

/// The refusal of a request under a name that is not this site's: somebody may have made it point here, to have a browser
/// inside the network talk to us (DNS rebinding). Only when it is known what the site's name is, and only for what can be
/// such a name: not for addresses, and not for names without a dot. A trusted proxy may call us as it likes.
fn host_of_another_site(site: &Site, request: &HttpRequest) -> Option<Failure> {
    site.config.public_url.as_ref()?;
    let host = request.headers().get(header::HOST)?.to_str().unwrap_or("?.?");
    if site.public_url.may_be_called(host) || client::is_from_trusted_proxy(site, request) {
        return None;
    }
    let set_up_for = site.public_url.as_str();
    let message = format!(
        "This site is set up for {set_up_for}. Open it there. If a proxy in front of it changes the Host header, let whoever \
         runs this server have it pass Host on, or name the proxy in KEYSTEAD_TRUSTED_PROXIES. Nothing was changed."
    );
    let heading = "This site has another address";
    Some(Failure::new(StatusCode::MISDIRECTED_REQUEST, "wrong_address", heading, message))
}

fn has_session_cookie(site: &Site, headers: &HeaderMap) -> bool {
    let name = session::cookie_name(site);
    headers
        .get_all(header::COOKIE)
        .any(|value| value.as_bytes().windows(name.len()).any(|window| window == name.as_bytes()))
}

/// A person who merely opened the site at another address is told so; that their own page says it came from this
/// `Host` decides the words and nothing else.
fn refusal(site: &Site, headers: &HeaderMap) -> Failure {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).unwrap_or_default();
    let is_same_site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let opened_here = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == text(header::HOST));
    if is_same_site && opened_here {
        let set_up_for = site.public_url.as_str();
        let message = format!(
            "You opened this site at {origin}, but it is set up for {set_up_for}. Open it there, or let whoever runs \
             this server set KEYSTEAD_PUBLIC_URL={origin} and restart it. Nothing was changed."
        );
        return Failure::new(StatusCode::FORBIDDEN, "wrong_address", "This site has another address", message);
    }
    let message = "This request did not come from a page of this site, so it was refused. Nothing was changed.";
    Failure::new(StatusCode::FORBIDDEN, "cross_site", "Request refused", message)
}
