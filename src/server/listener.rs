//! A listening socket: accepts connections and hands them to workers in turn, and is closed without losing one.
//!
//! Closing a listening socket resets every connection that the kernel has accepted in our name and we have not. So before
//! it is closed it lets no new ones begin: a filter on the socket drops what would open a connection (SYN), whose sender
//! tries again a second later and is refused then, having sent nothing. Those half open complete meanwhile, and are served.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{SocketFlags, accept_with},
};
use socket2::{SockFilter, SockRef};
use tokio::sync::mpsc;

use super::thread_end::Ended;

/// How many connections the kernel may accept before we do.
const BACKLOG: i32 = 1024;

/// How long to wait when there is no descriptor for a connection.
const NO_DESCRIPTORS: Duration = Duration::from_millis(50);

/// The thread that accepts.
pub struct Listener {
    socket: TcpListener,
    stop: UnixStream,
    accepted: Arc<AtomicU64>,
}

impl Listener {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the socket cannot be used, or there is no thread.
    pub fn start(
        socket: TcpListener,
        workers: Vec<mpsc::UnboundedSender<TcpStream>>,
        ended: Ended,
    ) -> std::io::Result<Self> {
        rustix::net::listen(&socket, BACKLOG)?;
        socket.set_nonblocking(true)?;
        let (stop, stopped) = UnixStream::pair()?;
        let accepted = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&accepted);
        let thread =
            Thread { socket: socket.try_clone()?, stopped, workers, next: 0, accepted: counted, _ended: ended };
        std::thread::Builder::new().name("listener".to_owned()).spawn(move || thread.run())?;
        Ok(Self { socket, stop, accepted })
    }

    /// How many connections were accepted until now.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// From now on no connection begins; those half open complete. Where the system knows no such filter, nothing changes.
    pub fn let_none_begin(&self) {
        // The TCP header's byte of flags: SYN without ACK.
        let program = [
            SockFilter::new(0x30, 0, 0, 13),
            SockFilter::new(0x54, 0, 0, 0x12),
            SockFilter::new(0x15, 0, 1, 0x02),
            SockFilter::new(0x06, 0, 0, 0),
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ];
        if let Err(error) = SockRef::from(&self.socket).attach_filter(&program) {
            tracing::debug!(%error, "connections that begin while the socket is closed may be reset");
        }
    }

    /// Has the thread accept what is there, close the socket and end.
    pub fn close(mut self) {
        // The thread has the same socket: it is closed when both are.
        drop(self.socket);
        let _ = self.stop.write_all(&[1]);
    }
}

struct Thread {
    socket: TcpListener,
    stopped: UnixStream,
    workers: Vec<mpsc::UnboundedSender<TcpStream>>,
    next: usize,
    accepted: Arc<AtomicU64>,
    /// Dropped last, when the socket is closed.
    _ended: Ended,
}

impl Thread {
    fn run(mut self) {
        loop {
            let mut watched = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.stopped, PollFlags::IN)];
            if let Err(error) = poll(&mut watched, None)
                && error != Errno::INTR
            {
                tracing::error!(%error, "the listening socket cannot be watched");
                return;
            }
            let is_last = !watched[1].revents().is_empty();
            if is_last {
                let _ = self.stopped.read(&mut [0]);
            }
            let all_workers_are_gone = self.accept_all().is_none();
            if is_last || all_workers_are_gone {
                return;
            }
        }
    }

    /// Takes whatever waits. `None` when there is nobody to hand it to.
    fn accept_all(&mut self) -> Option<()> {
        loop {
            match accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    self.hand_over(TcpStream::from(socket))?;
                }
                Err(Errno::AGAIN) => return Some(()),
                // This connection is gone already; the next may be good.
                Err(Errno::CONNABORTED | Errno::PROTO | Errno::INTR) => {}
                // No descriptors, mostly. Workers make room as they are handed connections; until then the kernel keeps
                // what waits.
                Err(error) => {
                    tracing::debug!(%error, "a connection waits to be accepted");
                    std::thread::sleep(NO_DESCRIPTORS);
                    return Some(());
                }
            }
        }
    }

    fn hand_over(&mut self, mut socket: TcpStream) -> Option<()> {
        for _ in 0..self.workers.len() {
            self.next = (self.next + 1) % self.workers.len();
            match self.workers[self.next].send(socket) {
                Ok(()) => return Some(()),
                Err(refused) => socket = refused.0,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::ErrorKind, net::SocketAddr};

    fn connect(address: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
        TcpStream::connect_timeout(&address, patience)
    }

    #[test]
    fn before_the_socket_is_closed_none_begins_and_what_has_begun_is_handed_over() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        // In the kernel's queue before anybody accepts.
        let early: Vec<_> = (0..50).map(|_| connect(address, Duration::from_secs(30)).unwrap()).collect();
        let (sender, mut handed) = mpsc::unbounded_channel();
        let (end, mut ended) = mpsc::unbounded_channel();
        let listener = Listener::start(socket, vec![sender], Ended::new(&end, "listener")).unwrap();
        listener.let_none_begin();
        // Not refused and not accepted: the kernel hears nothing of it.
        let late = connect(address, Duration::from_millis(300)).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(late, Err(ErrorKind::TimedOut));
        listener.close();
        assert_eq!(ended.blocking_recv().as_deref(), Some("listener"));
        let refused = connect(address, Duration::from_secs(30)).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
        let mut count = 0;
        while handed.blocking_recv().is_some() {
            count += 1;
        }
        assert_eq!(count, early.len());
    }
}
