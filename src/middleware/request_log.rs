//! Lines about requests: short, without what may be a secret, and not more than [`crate::notices`] lets through, for
//! whoever can reach the listener writes them.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use actix_web::http::{Method, StatusCode};

use super::failure::Failure;
use crate::app::Site;

/// The most characters of a path.
const LONGEST_PATH: usize = 160;
/// The longest part of a path that is a name of ours: an id.
const LONGEST_PART: usize = 31;

/// A request was answered. Never the query: it may hold the token of the set-up link.
pub fn answered(site: &Site, is_page: bool, method: &Method, path: &str, status: StatusCode, took: Duration) {
    // A log in JSON writes a u128 as a text, which nobody can compare.
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    let (method, path) = (short(method.as_str(), LONGEST_PART), LoggedPath(path));
    if !is_page {
        tracing::debug!(%method, %path, status, took_us, "answered");
    } else if site.notices.may_write(site.clock.since_boot()) {
        tracing::info!(%method, %path, status, took_us, "answered");
    }
}

/// A post that did not come from a page of ours.
pub fn from_elsewhere(site: &Site, path: &str, failure: &Failure) {
    if site.notices.may_write(site.clock.since_boot()) {
        tracing::warn!(path = %LoggedPath(path), code = failure.code, "a request from elsewhere was refused");
    }
}

/// A question about keys that got no verdict; the answer to it had this id.
pub fn not_verified(site: &Site, request_id: &str, failure: &Failure) {
    if site.notices.may_write(site.clock.since_boot()) {
        let status = failure.status.as_u16();
        tracing::info!(id = request_id, status, code = failure.code, "a verification was refused");
    }
}

/// An address that somebody reports whom nobody named a proxy. Once: it is the operator who can do something.
pub fn not_believed(site: &Site, peer: &str) {
    if site.notices.should_log_forwarding() {
        tracing::warn!(
            peer,
            "X-Forwarded-For is not believed: if this is your proxy, name it in KEYSTEAD_TRUSTED_PROXIES, or everybody \
             behind it has its address"
        );
    }
}

/// A gateway that puts its client's path behind ours and does not say that it asks: with something in between that resolves
/// `..`, its client may choose which address it takes a 200 from. Once, as above.
pub fn asked_behind(site: &Site, gateway: Option<SocketAddr>) {
    if site.notices.should_log_path() {
        let gateway = gateway.map(|address| address.ip().to_string()).unwrap_or_default();
        tracing::warn!(
            gateway,
            "a gateway asks with its client's path behind /v1/forward-auth and without Keystead-Asker: copy its configuration \
             again from Settings → Integrations → Protect your API"
        );
    }
}

fn short(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// A path, shortened, and without parts that are longer than any name of ours: a program that puts its key there must not
/// have it logged.
struct LoggedPath<'a>(&'a str);

impl std::fmt::Display for LoggedPath<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut length = 0;
        for (number, part) in self.0.split('/').enumerate() {
            let part = if part.len() > LONGEST_PART { "…" } else { part };
            length += part.len() + 1;
            if length > LONGEST_PATH {
                return f.write_str("/…");
            }
            if number > 0 {
                f.write_char('/')?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_short_and_hold_no_key() {
        let logged = |path: &str| LoggedPath(path).to_string();
        for path in
            ["/", "/settings/integrations", "/settings/integrations/keys/key_3MUsHFt0NXDM70a4M0BUn6teuK8/rotate"]
        {
            assert_eq!(logged(path), path);
        }
        assert_eq!(logged(&format!("/v1x/talvin_live_{}", "a".repeat(49))), "/v1x/…");
        assert_eq!(logged(&format!("/{}", "a".repeat(60_000))), "/…");
        assert!(logged(&"/aaaaaaaaaa".repeat(10_000)).len() < 200);
        assert!(logged(&"/".repeat(60_000)).len() < 200);
    }
}
