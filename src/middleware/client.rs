//! Who is at the other end: the peer, or the right-most hop that is no trusted proxy.
//!
//! actix's `ConnectionInfo` is never asked: it believes `X-Forwarded-For` from anyone.

use std::net::{IpAddr, SocketAddr};

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{self, HeaderName},
};
use ipnet::IpNet;

use super::{request_id::RequestId, request_log};
use crate::{
    app::Site,
    domain::actor::{Client, MAX_USER_AGENT},
    key_index::Caller,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What the audit log keeps of a request.
pub fn client_of(request: &HttpRequest, trusted_proxies: &[IpNet]) -> Client {
    let user_agent = request.headers().get(header::USER_AGENT).map(|value| {
        String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| !c.is_control()).take(MAX_USER_AGENT).collect()
    });
    Client {
        address: address_of(request, trusted_proxies),
        user_agent,
        request_id: request.extensions().get::<RequestId>().map(|id| id.0.clone()),
    }
}

/// What a verification counts of its caller, without a copy.
pub fn caller_of<'a>(request: &'a HttpRequest, trusted_proxies: &[IpNet]) -> Caller<'a> {
    let user_agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Caller { address: address_of(request, trusted_proxies), user_agent }
}

/// Says once that somebody reports an address whom nobody named a proxy.
pub fn notice_forwarding(site: &Site, request: &HttpRequest) {
    if !site.notices.has_logged_forwarding()
        && request.headers().contains_key(X_FORWARDED_FOR)
        && let Some(peer) = request.peer_addr()
        && !is_trusted(peer.ip(), &site.config.trusted_proxies)
    {
        request_log::not_believed(site, &peer.ip().to_canonical().to_string());
    }
}

/// Whether the peer is a proxy that the operator named.
pub fn is_from_trusted_proxy(site: &Site, request: &HttpRequest) -> bool {
    request.peer_addr().is_some_and(|peer| is_trusted(peer.ip(), &site.config.trusted_proxies))
}

fn is_trusted(address: IpAddr, trusted_proxies: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted_proxies.iter().any(|network| network.contains(&address))
}

/// The peer's address, or what the trusted proxies in between say it is.
fn address_of(request: &HttpRequest, trusted_proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    if !is_trusted(peer, trusted_proxies) {
        return Some(peer);
    }
    // Split as bytes: what a client wrote in front, readable or not, must not hide what the proxy wrote behind it.
    let lines = request.headers().get_all(X_FORWARDED_FOR);
    let hops: Vec<&[u8]> = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).collect();
    let mut address = peer;
    // From the nearest hop outwards, as long as whoever reports the next one is trusted.
    for hop in hops.iter().rev() {
        if !is_trusted(address, trusted_proxies) {
            break;
        }
        let Some(hop) = read_hop(hop) else { break };
        address = hop.to_canonical();
    }
    Some(address)
}

/// An address in any of the forms that proxies write: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::7`, `[2001:db8::7]`,
/// `[2001:db8::7]:4711`, `fe80::1%eth0`, in quotes or not.
fn read_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim().trim_matches('"');
    let address = match hop.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let is_port = |port: &str| port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
            (port.is_empty() || is_port(port)).then_some(address)?
        }
        // With two colons or more it is IPv6, which has its port behind brackets.
        None if hop.matches(':').count() == 1 => hop.parse::<SocketAddr>().is_ok().then(|| hop.split(':').next())??,
        None => hop,
    };
    // A zone says through which interface of the proxy; here it means nothing.
    address.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
        for value in forwarded {
            let value = header::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request = request.append_header(("x-forwarded-for", value));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        address_of(&request.to_http_request(), &trusted).unwrap().to_string()
    }

    #[test]
    fn a_header_from_anyone_is_not_believed() {
        assert_eq!(address("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(address("203.0.113.9", &["198.51.100.1"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn the_right_most_untrusted_hop_counts() {
        let trusted = &["10.0.0.0/8"];
        assert_eq!(address("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"], trusted), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["6.6.6.6", "203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["nonsense"], trusted), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &["\u{ff}, 203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &["203.0.113.9:4711"], trusted), "203.0.113.9");
        assert_eq!(address("10.0.0.1", &[], trusted), "10.0.0.1");
        assert_eq!(address("::ffff:10.0.0.1", &["203.0.113.9"], trusted), "203.0.113.9");
    }

    #[test]
    fn addresses_are_read_in_every_form_that_proxies_write() {
        let read = |hop: &str| read_hop(hop.as_bytes()).map(|address| address.to_canonical().to_string());
        for (hop, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            (" 203.0.113.9:4711 ", "203.0.113.9"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:DB8::7]:443", "2001:db8::7"),
            ("\"[2001:db8::7]:443\"", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ] {
            assert_eq!(read(hop).as_deref(), Some(expected), "{hop}");
        }
        for hop in
            ["", "unknown", "_hidden", "203.0.113", "[2001:db8::7", "[2001:db8::7]x", "[::1]:99999", "1.2.3.4:x", "a:1"]
        {
            assert_eq!(read(hop), None, "{hop}");
        }
    }
}
