//! A thread that answers: it takes connections, runs the HTTP library on each, and holds their clients to their time.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::TcpStream,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_service::{Service, ServiceFactory};
use tokio::sync::mpsc;

use super::{service, stream::Stream};
use crate::{
    app::Site,
    middleware::connection::{Connection, Kind, Patience, Ticks},
};

/// How finely clients' time is measured.
pub const TICK: Duration = Duration::from_millis(250);

/// How often it is looked whether everything is answered, when the server stops.
const LAST_LOOKS: Duration = Duration::from_millis(10);

/// A client that has connected and asked nothing yet has this long when the server stops, in ticks.
const FIRST_WORDS: u32 = 4;

/// What a worker is given.
pub struct Worker {
    /// For the requests.
    pub site: Arc<Site>,
    /// Connections as they are accepted. When there can be no more, the worker finishes what is open and ends.
    pub incoming: mpsc::UnboundedReceiver<TcpStream>,
    /// How long clients may take.
    pub patience: Patience,
    /// The most connections at once.
    pub room: usize,
    /// How many connections are open, for whoever stops the server.
    pub open: Arc<AtomicUsize>,
    /// Set when nothing is to be finished any more.
    pub is_aborted: Arc<AtomicBool>,
}

/// The connections of a worker.
#[derive(Default)]
struct Connections {
    now: Ticks,
    next: RefCell<u64>,
    open: RefCell<BTreeMap<u64, Rc<Connection>>>,
    published: Arc<AtomicUsize>,
}

impl Worker {
    /// Runs until there are no connections and can be none, on the runtime of this thread.
    ///
    /// # Errors
    /// When the application cannot be put together.
    pub async fn run(mut self) -> std::io::Result<()> {
        let broken = |()| std::io::Error::other("the application cannot be put together");
        let factory = service::factory(&self.site);
        let service = Rc::new(factory.new_service(()).await.map_err(broken)?);
        let connections = Rc::new(Connections { published: Arc::clone(&self.open), ..Connections::default() });
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = self.incoming.recv() => match accepted {
                    Some(socket) => {
                        self.serve(&service, &connections, socket);
                        // So that it is heard before the next ones, who may need its room.
                        tokio::task::yield_now().await;
                    }
                    None => break,
                },
                _ = ticks.tick() => connections.look_at_the_clock(self.patience),
            }
        }
        while !connections.finish() && !self.is_aborted.load(Ordering::Relaxed) {
            tokio::select! {
                () = tokio::time::sleep(LAST_LOOKS) => {}
                _ = ticks.tick() => connections.look_at_the_clock(self.patience),
            }
        }
        Ok(())
    }

    fn serve<S>(&self, service: &Rc<S>, connections: &Rc<Connections>, socket: TcpStream)
    where
        S: Service<(Stream, Option<std::net::SocketAddr>), Response = ()> + 'static,
    {
        if connections.open.borrow().len() >= self.room {
            let site = &self.site;
            if connections.make_room(self.room) && site.notices.should_log_room(site.clock.since_boot()) {
                tracing::warn!(
                    "no room for more connections: clients that keep us waiting are cut off (KEYSTEAD_MAX_CONNECTIONS, ulimit -Hn)"
                );
            }
        }
        let Ok(peer) = socket.peer_addr() else { return };
        let Ok(socket) = tokio::net::TcpStream::from_std(socket) else { return };
        let (number, connection) = connections.insert();
        let talk = service.call((Stream::new(socket, connection), Some(peer)));
        let leaving = Leaving { connections: Rc::clone(connections), number };
        tokio::task::spawn_local(async move {
            let _leaving = leaving;
            // A client that sends nonsense, or goes away, is no event.
            let _ = talk.await;
        });
    }
}

impl Connections {
    fn insert(&self) -> (u64, Rc<Connection>) {
        let number = *self.next.borrow();
        *self.next.borrow_mut() = number + 1;
        let connection = Rc::new(Connection::new(Rc::clone(&self.now)));
        let mut open = self.open.borrow_mut();
        open.insert(number, Rc::clone(&connection));
        self.published.store(open.len(), Ordering::Relaxed);
        (number, connection)
    }

    fn look_at_the_clock(&self, patience: Patience) {
        self.now.set(self.now.get().wrapping_add(1));
        self.open.borrow().values().for_each(|connection| connection.look_at_the_clock(patience));
    }

    /// Ends every connection that has nothing to answer. Returns whether none is left.
    fn finish(&self) -> bool {
        let open = self.open.borrow();
        for connection in open.values() {
            if connection.keeps_us_waiting().is_none_or(|(has_asked, waited)| has_asked || waited > FIRST_WORDS) {
                connection.end_when_idle();
            }
        }
        open.is_empty()
    }

    /// Ends some connections whose clients keep us waiting, so that a new one finds room: those first that have not asked
    /// anything yet, and those longest at it. Verification loses none as long as others have more than an eighth of the room.
    /// Returns whether any had to.
    fn make_room(&self, room: usize) -> bool {
        let open = self.open.borrow();
        let staying: Vec<_> = open.values().filter(|connection| !connection.is_ending()).collect();
        if staying.len() < room {
            return false;
        }
        let others = staying.iter().filter(|connection| connection.kind() == Kind::Other).count();
        let first = if others * 8 >= room { Kind::Other } else { Kind::Verification };
        let order = |connection: &&Rc<Connection>| {
            let (has_asked, waited) = connection.keeps_us_waiting()?;
            Some((connection.kind() != first, has_asked, u32::MAX - waited))
        };
        let mut waiting: Vec<_> = staying.iter().filter(|connection| order(connection).is_some()).collect();
        waiting.sort_by_key(|connection| order(connection));
        // Several at once: each look goes over all of them.
        for connection in waiting.iter().take(1 + room / 16) {
            connection.give_up();
        }
        !waiting.is_empty()
    }
}

/// Takes a connection off the list when its task ends, however it ends.
struct Leaving {
    connections: Rc<Connections>,
    number: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut open = self.connections.open.borrow_mut();
        open.remove(&self.number);
        self.connections.published.store(open.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
