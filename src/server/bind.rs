//! The listening sockets: a name such as `localhost` has several addresses, and whoever calls it may try any of them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use rustix::io::Errno;

use super::ServeError;

/// How many ports are tried where any will do.
const PORTS: usize = 16;

/// A socket that listens, and where.
type Listening = (TcpListener, SocketAddr);

/// Listens on each of these addresses. Where one of them leaves the port open, the others get the same one. What this machine
/// does not have is warned of, as long as something is left: one without IPv6 may still call itself `::1`.
///
/// # Errors
/// [`ServeError::Listen`], with the reason: this machine has none of them, or one cannot be listened on. An address in use is
/// never left out: another program would be told what a proxy sends there for Keystead. Where any port will do, one that is
/// in use on one of them is given up for another.
pub fn bind(wanted: &[SocketAddr], variable: &'static str) -> Result<Vec<Listening>, ServeError> {
    bind_by(listen, wanted, variable)
}

fn bind_by(
    mut listen: impl FnMut(SocketAddr) -> io::Result<Listening>,
    wanted: &[SocketAddr],
    variable: &'static str,
) -> Result<Vec<Listening>, ServeError> {
    let mut ports = 1;
    loop {
        match bind_once(&mut listen, wanted, variable) {
            Err(Refused { port_is_taken: true, .. }) if ports < PORTS => ports += 1,
            done => return done.map_err(|refused| refused.error),
        }
    }
}

/// Why it cannot be listened.
struct Refused {
    error: ServeError,
    /// Whether that is about the port, where any would do.
    port_is_taken: bool,
}

fn bind_once(
    mut listen: impl FnMut(SocketAddr) -> io::Result<Listening>,
    wanted: &[SocketAddr],
    variable: &'static str,
) -> Result<Vec<Listening>, Refused> {
    let mut bound: Vec<Listening> = Vec::new();
    let mut refused = Vec::new();
    for (n, mut address) in wanted.iter().copied().enumerate() {
        if wanted[..n].contains(&address) {
            continue;
        }
        let any_port = address.port() == 0;
        if let (true, Some((_, first))) = (any_port, bound.first()) {
            address.set_port(first.port());
        }
        match listen(address) {
            Ok(listening) => bound.push(listening),
            Err(error) if is_not_here(&error) => refused.push(format!("{address}: {error}")),
            Err(error) => {
                let port_is_taken = any_port && error.kind() == io::ErrorKind::AddrInUse;
                let error = ServeError::Listen(format!("{address}: {error}"), variable);
                return Err(Refused { error, port_is_taken });
            }
        }
    }
    if bound.is_empty() {
        let error = ServeError::Listen(refused.join(", "), variable);
        return Err(Refused { error, port_is_taken: false });
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

fn listen(address: SocketAddr) -> io::Result<Listening> {
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

    /// How it ends where listening on the second of these fails so often, and on how many ports it was tried.
    fn after(wanted: [&str; 2], failures: usize, with: io::ErrorKind) -> (bool, usize) {
        let (mut ports, mut left) = (0, failures);
        let listen = |address: SocketAddr| {
            let is_first = address.ip() == wanted[0].parse::<SocketAddr>().unwrap().ip();
            ports += usize::from(is_first);
            if !is_first && left > 0 {
                left -= 1;
                return Err(with.into());
            }
            listen(address)
        };
        let done = bind_by(listen, &addresses(&wanted), "KEYSTEAD_LISTEN");
        (done.is_ok(), ports)
    }

    #[test]
    fn a_port_that_is_taken_on_another_address_is_given_up_for_another() {
        let any_port = ["127.0.0.1:0", "127.0.0.2:0"];
        assert_eq!(after(any_port, 2, io::ErrorKind::AddrInUse), (true, 3));
        assert_eq!(after(any_port, 100, io::ErrorKind::AddrInUse), (false, PORTS));
    }

    #[test]
    fn what_another_port_does_not_mend_is_tried_once() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::OutOfMemory] {
            assert_eq!(after(["127.0.0.1:0", "127.0.0.2:0"], 1, kind), (false, 1), "{kind}");
        }
        // This port was asked for, and no other will do.
        assert_eq!(after(["127.0.0.1:0", "127.0.0.2:1"], 1, io::ErrorKind::AddrInUse), (false, 1));
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
