//! Bytes to and from a server: over TCP, or a socket on this machine.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::config::postgres_target::PostgresTarget;

/// When what was sent and not acknowledged ends the connection. Without it, a cable that is cut is noticed after a quarter
/// of an hour.
const UNHEARD: Duration = Duration::from_secs(5);
/// When the operating system asks whether the other end is there, how often, and how many times.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// Where a server listens.
#[derive(Clone)]
pub enum Place {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

/// An open wire.
pub enum Wire {
    Tcp(TcpStream),
    Socket(UnixStream),
}

impl Wire {
    /// Opens one. Nobody but the caller limits how long it takes.
    pub async fn open(place: &Place, target: &PostgresTarget) -> io::Result<Self> {
        let address = match place {
            Place::Socket(path) => return Ok(Self::Socket(UnixStream::connect(path).await?)),
            Place::Tcp(address) => address,
        };
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let unheard = target.tcp_user_timeout.unwrap_or(UNHEARD).as_millis();
        sockopt::set_tcp_user_timeout(&stream, u32::try_from(unheard).unwrap_or(u32::MAX))?;
        if let Some(wanted) = target.keepalive {
            let (idle, interval, count) = KEEPALIVE;
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_keepidle(&stream, wanted.idle.unwrap_or(idle))?;
            sockopt::set_tcp_keepintvl(&stream, wanted.interval.unwrap_or(interval))?;
            sockopt::set_tcp_keepcnt(&stream, wanted.count.unwrap_or(count))?;
        }
        Ok(Self::Tcp(stream))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Socket(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Socket(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Socket(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Socket(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
