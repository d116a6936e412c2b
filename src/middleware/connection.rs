//! What is known of one connection: which part of a request it is in, and since when.
//!
//! The transport (`server/`) holds clients to their time by it; handlers ask it why a body ended early. It lives on one
//! thread and is written with plain stores, because a verification passes it several times.

use std::{cell::Cell, rc::Rc, task::Waker};

use actix_web::HttpRequest;

/// Counts on while a worker lives. All times of a connection are in these.
pub type Ticks = Rc<Cell<u32>>;

/// Where a connection is in its present request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests, or before the first.
    Waiting,
    /// A part of a head has come.
    Head,
    /// The head has come, and not all of the body.
    Body,
    /// The answer is being made: the client waits for us.
    Answering,
}

/// For whom a connection is kept. They are counted apart, so that neither takes all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its last request was a verification.
    Verification,
    /// Any other, and those that have asked nothing yet.
    Other,
}

/// How long clients may take, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a head, for a body, and for taking a part of an answer.
    pub request: u32,
    /// Between two requests.
    pub idle: u32,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It goes on.
    Open,
    /// As if the client had sent all it wants to: what can be answered is answered.
    NoMoreRequests,
    /// At once: the client does not take its answer.
    Abort,
}

/// The length of a body that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The state of one connection.
pub struct Connection {
    now: Ticks,
    phase: Cell<Phase>,
    /// When the phase began.
    since: Cell<u32>,
    /// Since when the client takes nothing of its answer.
    blocked: Cell<Option<u32>>,
    kind: Cell<Kind>,
    has_asked: Cell<bool>,
    end: Cell<End>,
    is_out_of_time: Cell<bool>,
    /// A head that was looked at has been handed on, and its request has not begun.
    has_head: Cell<bool>,
    /// Bytes handed on behind that head.
    after_head: Cell<u64>,
    /// Bytes that the body of the present request has; [`UNKNOWN`] until it has ended, where only its end tells.
    body: Cell<u64>,
    /// Bytes were handed on of which nobody knows where in a request they belong, so no later head is looked at.
    is_adrift: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Connection {
    /// A connection that was accepted now.
    pub fn new(now: Ticks) -> Self {
        Self {
            since: Cell::new(now.get()),
            now,
            phase: Cell::new(Phase::Waiting),
            blocked: Cell::new(None),
            kind: Cell::new(Kind::Other),
            has_asked: Cell::new(false),
            end: Cell::new(End::Open),
            is_out_of_time: Cell::new(false),
            has_head: Cell::new(false),
            after_head: Cell::new(0),
            body: Cell::new(0),
            is_adrift: Cell::new(false),
            waker: Cell::new(None),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.now.get());
    }

    /// Whether the next bytes are those of a head.
    pub fn awaits_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Waiting | Phase::Head) && !self.has_head.get() && !self.is_adrift.get()
    }

    /// The first bytes of a head have come.
    pub fn head_began(&self) {
        if self.phase.get() == Phase::Waiting {
            self.enter(Phase::Head);
        }
    }

    /// A head is handed on, and so many bytes behind it.
    pub fn head_came(&self, behind: usize) {
        self.has_head.set(true);
        self.after_head.set(behind as u64);
    }

    /// Bytes were handed on that belong to no head.
    pub fn received(&self, bytes: usize) {
        self.after_head.set(self.after_head.get().saturating_add(bytes as u64));
        if self.phase.get() == Phase::Body && self.after_head.get() >= self.body.get() {
            self.enter(Phase::Answering);
        }
    }

    /// A request begins. `body` is what its `Content-Length` says, or `None` when only its end tells how long it is. Returns
    /// whether [`Connection::body_ended`] must tell that end.
    pub fn begin(&self, kind: Kind, body: Option<u64>) -> bool {
        // Of a request that came together with the one before it nobody knows where its body begins.
        let looked_at = self.has_head.replace(false);
        self.kind.set(kind);
        self.body.set(match body {
            Some(0) => 0,
            Some(bytes) if looked_at => bytes,
            _ => UNKNOWN,
        });
        self.enter(if self.after_head.get() < self.body.get() { Phase::Body } else { Phase::Answering });
        self.body.get() == UNKNOWN
    }

    /// The body of the present request has come whole, as whoever read it found out.
    pub fn body_ended(&self) {
        if self.phase.get() == Phase::Body {
            self.body.set(self.after_head.get());
            self.enter(Phase::Answering);
        }
    }

    /// The answer to the request is made; it may not be on its way yet.
    ///
    /// Trap: it may be made before the body has come, and a body taken for a head would be changed: what the library then
    /// takes for the next request is not what the client sent. So unless exactly this request was handed on, heads are left alone.
    pub fn answered(&self) {
        if self.after_head.get() != self.body.get() {
            self.is_adrift.set(true);
        }
        self.has_asked.set(true);
        self.after_head.set(0);
        self.body.set(0);
        self.enter(Phase::Waiting);
    }

    /// The client took nothing of what was to be written.
    pub fn blocked(&self) {
        if self.blocked.get().is_none() {
            self.blocked.set(Some(self.now.get()));
        }
    }

    /// The client took something.
    pub fn unblocked(&self) {
        self.blocked.set(None);
    }

    /// For whom it is kept.
    pub fn kind(&self) -> Kind {
        self.kind.get()
    }

    /// How long the client has kept us waiting, in ticks; `None` while it waits for us. `asked_before` tells those apart
    /// that have proved of use.
    pub fn keeps_us_waiting(&self) -> Option<(bool, u32)> {
        let since = match (self.blocked.get(), self.phase.get()) {
            (Some(since), _) => since,
            (None, Phase::Answering) => return None,
            (None, _) => self.since.get(),
        };
        Some((self.has_asked.get(), self.now.get().wrapping_sub(since)))
    }

    /// Ends the connection if its client has taken too long.
    pub fn look_at_the_clock(&self, patience: Patience) {
        let Some((has_asked, waited)) = self.keeps_us_waiting() else { return };
        let is_idle = self.phase.get() == Phase::Waiting && has_asked && self.blocked.get().is_none();
        if waited > if is_idle { patience.idle } else { patience.request } {
            self.give_up();
        }
    }

    /// Ends the connection because its client has taken too long, or others need the room.
    pub fn give_up(&self) {
        self.is_out_of_time.set(true);
        self.end_with(if self.blocked.get().is_some() { End::Abort } else { End::NoMoreRequests });
    }

    /// Ends the connection once it has nothing to answer.
    pub fn end_when_idle(&self) {
        if self.end.get() == End::Open {
            self.end_with(End::NoMoreRequests);
        }
    }

    fn end_with(&self, end: End) {
        self.end.set(end);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether it is about to end.
    pub fn is_ending(&self) -> bool {
        self.end.get() != End::Open
    }

    /// Whether nothing may be read or written any more.
    pub fn is_aborted(&self) -> bool {
        self.end.get() == End::Abort
    }

    /// Whether the client is to be taken for one that sends no more. Not while its request is being answered.
    pub fn has_no_more_requests(&self) -> bool {
        self.end.get() == End::NoMoreRequests && self.phase.get() != Phase::Answering
    }

    /// Whether the client took too long over its request.
    pub fn is_out_of_time(&self) -> bool {
        self.is_out_of_time.get()
    }

    /// Remembers whom to wake when the connection is to end.
    pub fn park(&self, waker: &Waker) {
        let known = self.waker.take().filter(|known| known.will_wake(waker));
        self.waker.set(Some(known.unwrap_or_else(|| waker.clone())));
    }
}

/// Whether the client of this request took too long over it: then its body has no end.
pub fn is_out_of_time(request: &HttpRequest) -> bool {
    request.conn_data::<Rc<Connection>>().is_some_and(|connection| connection.is_out_of_time())
}

#[cfg(test)]
mod tests;
