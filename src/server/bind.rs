//! The listening sockets: a name such as `localhost` has several addresses, and whoever calls it may try any of them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use rustix::io::Errno;

use super::ServeError;

/// How many ports are tried where any will do.
const PORTS: usize = 16;

/// Listens on each of these addresses. Where one of them leaves the port open, the others get the same one. What this machine
/// does not have is warned of, as long as something is left: one without IPv6 may still call itself `::1`.
///
/// # Errors
/// [`ServeError::Listen`], with the reason: this machine has none of them, or one cannot be listened on. An address in use is
/// never left out: another program would be told what a proxy sends there for Keystead. Where any port will do, one that is
/// in use on one of them is given up for another.
pub fn bind(wanted: &[SocketAddr], variable: &'static str) -> Result<Vec<(TcpListener, SocketAddr)>, ServeError> {
    let any_port = wanted.iter().any(|address| address.port() == 0);
    again(if any_port { PORTS } else { 1 }, || bind_once(wanted, variable))
}

/// What comes of the first try that goes well, or of the last of so many.
fn again<T, E>(tries: usize, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..tries {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
    }
    attempt()
}

fn bind_once(wanted: &[SocketAddr], variable: &'static str) -> Result<Vec<(TcpListener, SocketAddr)>, ServeError> {
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
            Err(error) if is_not_here(&error) => refused.push(format!("{address}: {error}")),
            Err(error) => return Err(ServeError::Listen(format!("{address}: {error}"), variable)),
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

/// Whether this machine does not have the address, or no address of its kind.
fn is_not_here(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
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
    fn a_port_that_is_taken_on_another_address_is_given_up_for_another() {
        let tries = |most, good| {
            let mut tries = 0;
            let done = again(most, || {
                tries += 1;
                if tries == good { Ok(()) } else { Err(()) }
            });
            (done.is_ok(), tries)
        };
        assert_eq!([tries(16, 3), tries(16, 20), tries(1, 2)], [(true, 3), (false, 16), (false, 1)]);
    }

    fn refused(wanted: &[SocketAddr]) -> String {
        bind(wanted, "KEYSTEAD_LISTEN").map(drop).unwrap_err().to_string()
    }

    /// Of documentation (RFC 5737): no machine has them.
    const NOBODYS: [&str; 2] = ["192.0.2.1:0", "203.0.113.1:0"];

    #[test]
    fn what_this_machine_does_not_have_is_left_out_unless_it_is_all() {
        let [one, other] = addresses(&NOBODYS)[..] else { unreachable!() };
        let here = addresses(&["127.0.0.2:0"])[0];
        assert_eq!(bound(&[one, here, other]).len(), 1);
        let refused = refused(&[one, other, one]);
        assert_eq!(refused.matches("192.0.2.1").count(), 1, "{refused}");
        for words in ["203.0.113.1", "KEYSTEAD_LISTEN"] {
            assert!(refused.contains(words), "{words}: {refused}");
        }
        assert!(is_not_here(&Errno::AFNOSUPPORT.into()), "a machine without IPv6");
    }

    #[test]
    fn an_address_in_use_is_refused_also_beside_others() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
        let [here, nobodys] = addresses(&["127.0.0.2:0", NOBODYS[0]])[..] else { unreachable!() };
        for wanted in [&[taken.1, here][..], &[here, taken.1], &[nobodys, taken.1, here]] {
            let refused = refused(wanted);
            for words in [&taken.1.to_string(), "in use", "KEYSTEAD_LISTEN"] {
                assert!(refused.contains(words), "{words}: {refused}");
            }
        }
    }
}
