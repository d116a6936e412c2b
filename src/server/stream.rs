//! A client's socket, as the HTTP library sees it: with heads it can read ([`super::head`]), and with an end when the
//! client's time is over.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::head::Scan;
use crate::middleware::connection::Connection;

/// What is kept of a head that comes in pieces, at most. The HTTP library refuses heads of this size.
const LONGEST_HEAD: usize = 128 * 1024;

/// See the module.
pub struct Stream {
    socket: TcpStream,
    connection: Rc<Connection>,
    scan: Scan,
    /// A head that is not whole yet, or was changed, and what came behind it.
    held: Vec<u8>,
    /// How much of it is handed on; `None` while its end is missing.
    given: Option<usize>,
}

impl Stream {
    /// Wraps a socket that was accepted.
    pub fn new(socket: TcpStream, connection: Rc<Connection>) -> Self {
        Self { socket, connection, scan: Scan::default(), held: Vec::new(), given: None }
    }

    /// What is known of it.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Hands on what is held.
    fn give(&mut self, from: usize, buffer: &mut ReadBuf<'_>) {
        let end = self.held.len().min(from + buffer.remaining());
        buffer.put_slice(&self.held[from..end]);
        if end == self.held.len() {
            // Not kept: a large head would stay in memory as long as the connection.
            self.held = Vec::new();
            self.given = None;
        } else {
            self.given = Some(end);
        }
    }

    /// Looks at new bytes of a head. Returns whether the buffer can be handed on as it is.
    fn take_head(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> bool {
        let new = &buffer.filled()[before..];
        let is_first_piece = self.held.is_empty();
        if !is_first_piece {
            self.held.extend_from_slice(new);
        }
        let bytes = if is_first_piece { new } else { &self.held };
        let end = self.scan.look(bytes);
        let is_too_long = end.is_none() && bytes.len() >= LONGEST_HEAD;
        if let Some(end) = end {
            self.connection.head_came(bytes.len() - end);
            if self.scan.must_change() {
                let mut changed = self.scan.change(&bytes[..end]);
                changed.extend_from_slice(&bytes[end..]);
                self.held = changed;
            } else if is_first_piece {
                self.scan = Scan::default();
                return true;
            }
        } else {
            self.connection.head_began();
            if is_first_piece {
                self.held = new.to_vec();
            }
        }
        buffer.set_filled(before);
        if end.is_some() || is_too_long {
            self.scan = Scan::default();
            self.given = Some(0);
        }
        false
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.is_aborted() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        loop {
            if let Some(from) = this.given {
                this.give(from, buffer);
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            match Pin::new(&mut this.socket).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // Only now: what has come before the end is still read.
                Poll::Pending if this.connection.has_no_more_requests() => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    this.connection.park(cx.waker());
                    return Poll::Pending;
                }
            }
            let new = buffer.filled().len() - before;
            if new == 0 {
                if this.held.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                // The client went away in the middle of a head.
                this.given = Some(0);
            } else if !this.connection.awaits_head() {
                this.connection.received(new);
                return Poll::Ready(Ok(()));
            } else if this.take_head(buffer, before) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.connection.is_aborted() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        if written.is_pending() {
            this.connection.blocked();
            this.connection.park(cx.waker());
        } else {
            this.connection.unblocked();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
