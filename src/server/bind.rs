//! The listening sockets: a name such as `localhost` has several addresses, and whoever calls it may try any of them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::ServeError;

/// Listens on each of these addresses. Where one of them leaves the port open, the others get the same one. What cannot be had
/// is warned of, as long as something is left: a machine without IPv6 may still call itself `::1`.
///
/// # Errors
/// [`ServeError::Listen`], with the reason of each, when none can be had.
pub fn bind(wanted: &[SocketAddr], variable: &'static str) -> Result<Vec<(TcpListener, SocketAddr)>, ServeError> {
    let mut bound: Vec<(TcpListener, SocketAddr)> = Vec::new();
    let mut refused = Vec::new();
    for (n, mut address) in wanted.iter().copied().enumerate() {
        if wanted[..n].contains(&address) {
            continue;
        }
        if let (0, Some((_, first))) = (address.port(), bound.first()) {
            address.set_port(first.port());
        }
        match listen(address) {
            Ok(listening) => bound.push(listening),
            Err(error) => refused.push(format!("{address}: {error}")),
        }
    }
    if bound.is_empty() {
        return Err(ServeError::Listen(refused.join(", "), variable));
    }
    for refused in refused {
        tracing::warn!("{variable}: cannot listen on {refused}; the server goes on with its other addresses");
    }
    Ok(bound)
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn bound(wanted: &[SocketAddr]) -> Vec<SocketAddr> {
        bind(wanted, "KEYSTEAD_LISTEN").unwrap().into_iter().map(|(_, address)| address).collect()
    }

    #[test]
    fn every_address_is_listened_on_with_the_same_port_and_once() {
        let (first, second) = match bound(&addresses(&["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"]))[..] {
            [first, second] => (first, second),
            ref others => panic!("{others:?}"),
        };
        assert_eq!((first.ip().to_string().as_str(), second.ip().to_string().as_str()), ("127.0.0.1", "127.0.0.2"));
        assert_eq!(first.port(), second.port());
    }

    #[test]
    fn what_cannot_be_had_is_left_out_unless_it_is_all() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        // An address of documentation (RFC 5737), which no machine has.
        let (taken, nobodys) = (taken.local_addr().unwrap(), addresses(&["192.0.2.1:0"])[0]);
        let free = addresses(&["127.0.0.2:0"])[0];
        assert_eq!(bound(&[taken, nobodys, free]).len(), 1);
        let refused = bind(&[taken, nobodys, taken], "KEYSTEAD_LISTEN").unwrap_err().to_string();
        assert_eq!(refused.matches(&taken.to_string()).count(), 1, "{refused}");
        for words in [&taken.to_string(), "in use", "192.0.2.1", "KEYSTEAD_LISTEN"] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
}
