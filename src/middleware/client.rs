//! Who is at the other end: the peer, or the right-most hop that is no trusted proxy.
//!
//! actix's `ConnectionInfo` is never asked: it believes `X-Forwarded-For` from anyone.

use std::net::{IpAddr, SocketAddr};

use actix_web::{HttpMessage, HttpRequest, http::header};
use ipnet::IpNet;

use super::envelope::RequestId;
use crate::{
    domain::actor::{Client, MAX_USER_AGENT},
    key_index::Caller,
};

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

/// The peer's address, or what the trusted proxies in between say it is.
fn address_of(request: &HttpRequest, trusted_proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let is_trusted = |address: IpAddr| trusted_proxies.iter().any(|network| network.contains(&address));
    if !is_trusted(peer) {
        return Some(peer);
    }
    // Split as bytes: what a client wrote in front, readable or not, must not hide what the proxy wrote behind it.
    let lines = request.headers().get_all("x-forwarded-for");
    let hops: Vec<&[u8]> = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).collect();
    let mut address = peer;
    // From the nearest hop outwards, as long as whoever reports the next one is trusted.
    for hop in hops.iter().rev() {
        if !is_trusted(address) {
            break;
        }
        let Some(hop) = read_hop(hop) else { break };
        address = hop.to_canonical();
    }
    Some(address)
}

/// An address, perhaps with a port behind it, as some proxies write it.
fn read_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = TestRequest::default().peer_addr(format!("{peer}:1").parse().unwrap());
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
    }
}
