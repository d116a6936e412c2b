//! `/v1/forward-auth`: a gateway asks with the headers of its own request whether to let it through.
//!
//! Any method and any path behind it, with `Keystead-Asker` or without (decision 24). Allow is exactly 200 with an empty body
//! (Envoy refuses 204; nginx gives up its connection after a body) and every identity header (a missing one would let a
//! client's own through). Deny is RFC 6750 with a problem document (RFC 9457).

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
    web,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{denial::Denial, presented};
use crate::{
    actions::verify_key::verify_key,
    app::Site,
    domain::verdict::VerifiedKey,
    metrics::Endpoint,
    middleware::{
        asker::KEYSTEAD_ASKER,
        client::{self, caller_of},
        envelope, request_log,
    },
};

const X_KEY_ID: HeaderName = HeaderName::from_static("x-key-id");
const X_KEY_NAME: HeaderName = HeaderName::from_static("x-key-name");
const X_ORGANIZATION_ID: HeaderName = HeaderName::from_static("x-organization-id");
const X_KEY_SCOPES: HeaderName = HeaderName::from_static("x-key-scopes");

/// What stays as it is in `X-Key-Name` (RFC 3986, 2.3).
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The routes of this module.
pub fn configure(config: &mut web::ServiceConfig) {
    // Each address as it is, and the paths behind it as scopes: a pattern such as `{tail:.*}` becomes a regular expression,
    // and trying that took a fifth of the whole request.
    config
        .service(web::resource("/v1/forward-auth").to(for_all))
        .service(web::resource("/v1/forward-auth/nginx").to(for_nginx))
        .service(web::scope("/v1/forward-auth/nginx").default_service(web::to(behind_for_nginx)))
        .service(web::scope("/v1/forward-auth").default_service(web::to(behind_for_all)));
}

async fn for_all(site: web::Data<Site>, request: HttpRequest) -> HttpResponse {
    counted(&site, || answer(&site, &request).unwrap_or_else(|denial| denial.into_response(&site)))
}

/// nginx makes a 500 of every denial that is neither 401 nor 403.
async fn for_nginx(site: web::Data<Site>, request: HttpRequest) -> HttpResponse {
    counted(&site, || answer(&site, &request).unwrap_or_else(|denial| denial.into_response_for_nginx(&site)))
}

async fn behind_for_all(site: web::Data<Site>, request: HttpRequest) -> HttpResponse {
    notice_path(&site, &request);
    for_all(site, request).await
}

async fn behind_for_nginx(site: web::Data<Site>, request: HttpRequest) -> HttpResponse {
    notice_path(&site, &request);
    for_nginx(site, request).await
}

fn notice_path(site: &Site, request: &HttpRequest) {
    if !request.headers().contains_key(KEYSTEAD_ASKER) {
        request_log::asked_behind(site, request.peer_addr());
    }
}

fn counted(site: &Site, answer: impl FnOnce() -> HttpResponse) -> HttpResponse {
    let begun = site.metrics.begin();
    let response = answer();
    site.metrics.answered_since(begun, Endpoint::ForwardAuth, response.status().as_u16());
    response
}

fn answer(site: &Site, request: &HttpRequest) -> Result<HttpResponse, Denial> {
    client::notice_forwarding(site, request);
    let key = presented::key_of(request.headers())?;
    let (index, caller) = (site.keys.index.read(), caller_of(request, &site.config.trusted_proxies));
    let verdict = verify_key(&site.keys, &index, key, caller).map_err(|_| Denial::NoLease)?;
    match verdict.key().filter(|_| verdict.is_valid()) {
        Some(key) => Ok(allow(site, key)),
        None => Err(Denial::Refused(verdict.code())),
    }
}

fn allow(site: &Site, key: VerifiedKey<'_>) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::OK);
    let headers = response.headers_mut();
    let name = utf8_percent_encode(key.name(), NOT_UNRESERVED);
    headers.insert(X_KEY_ID, value(key.id()));
    headers.insert(X_KEY_NAME, value(&std::borrow::Cow::from(name)));
    headers.insert(X_ORGANIZATION_ID, value(key.organization_id));
    // Keys have no scopes yet. Never empty: an empty header is no header to some gateways.
    headers.insert(X_KEY_SCOPES, HeaderValue::from_static("-"));
    envelope::finish_for_gateway(&mut response, site);
    response
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_header_that_can_be_read_back() {
        let encode = |name| utf8_percent_encode(name, NOT_UNRESERVED).to_string();
        assert_eq!(encode("Production-API_Key.1~"), "Production-API_Key.1~");
        assert_eq!(encode("Zürich, 100 %\r\n"), "Z%C3%BCrich%2C%20100%20%25%0D%0A");
    }
}
