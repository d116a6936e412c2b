//! What the model remembers: the database, the nodes, the revokes, and one request.
//!
//! A state holds nothing that could not change what happens next: the fewer states there are, the more of the protocol can
//! be visited. So there are no times in it, only how long ago something was, and that only up to the length of a lease.

/// How long ago, or for how much longer, in ticks of a clock.
pub type Ticks = u8;

/// The n-th change takes key n away, so this is the name of a key too.
pub type Epoch = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The table `key_epoch`. `key_changes` needs nothing of its own: it has change n once revoke n is committed.
    pub epoch: Epoch,
    /// The revoke of key n is at `revokes[n - 1]`.
    pub revokes: Vec<Revoke>,
    pub nodes: Vec<Node>,
    /// Requests change nothing, so to watch any one is to watch them all.
    pub request: Option<Request>,
    /// A request that began after the answer to a revoke was answered VALID. What must never be.
    pub stale_yes: bool,
}

impl State {
    pub fn revoke(&mut self, key: Epoch) -> &mut Revoke {
        &mut self.revokes[usize::from(key) - 1]
    }

    /// Every revoke was answered, and this way.
    pub fn answered(&self, waited_out: bool) -> bool {
        self.revokes.iter().all(|revoke| *revoke == Revoke::Answered { waited_out })
    }

    /// The changes in the database.
    pub fn committed(&self) -> impl Iterator<Item = Epoch> {
        (1..).zip(&self.revokes).filter(|(_, revoke)| revoke.is_committed()).map(|(key, _)| key)
    }

    /// The keys that are revoked in the database, as [`Node::refuses`] has them.
    pub fn revoked(&self) -> u8 {
        self.committed().fold(0, |refuses, key| refuses | 1 << key)
    }

    /// With the nodes sorted: they are all alike, so a state in which two have changed places is the same state.
    pub fn sorted(mut self) -> Self {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by(|a, b| self.nodes[*a].cmp(&self.nodes[*b]));
        if let Some(request) = &mut self.request {
            request.node = order.iter().position(|n| *n == request.node).unwrap_or(request.node);
        }
        self.nodes.sort();
        self
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.nodes.iter().flat_map(|node| &node.row)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revoke {
    NotBegun,
    /// The time was noted, and the commit is still to come. Only without `Rule::TimeNotedAfterCommit`.
    Begun {
        since: Ticks,
    },
    /// Committed and not answered: the revoker waits for the nodes.
    Committed {
        since: Ticks,
    },
    Answered {
        waited_out: bool,
    },
}

impl Revoke {
    pub fn is_committed(self) -> bool {
        matches!(self, Revoke::Committed { .. } | Revoke::Answered { .. })
    }
}

/// A process with its memory, and its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// The index: bit n for key n that it knows to be revoked.
    pub refuses: u8,
    /// Every change up to here is in the index.
    pub applied: Epoch,
    /// How much longer the lease lasts, on the node's own clock.
    pub lease: Ticks,
    pub round: Option<Round>,
    /// A renewal the node no longer waits for, with the epoch it carries. The database may still come to it.
    pub late: Option<Epoch>,
    /// In which of the last ticks the node's clock stood still, the latest in the lowest bit.
    pub stood_still: u8,
    pub stopping: bool,
    pub row: Option<Row>,
    /// A reaper's DELETE on its way, with the `renewal` it saw. Only without the rules that make the delay harmless.
    pub reaping: Option<u8>,
}

impl Node {
    pub fn knows(&self, key: Epoch) -> bool {
        self.refuses & (1 << key) != 0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub applied: Epoch,
    /// How long `renewal` has stood still.
    pub unchanged: Ticks,
    /// The column `renewal` is only ever compared with what was read before, and a row id that is used once makes that an
    /// old value or the same. So it is counted only without `Rule::RowIdUsedOnce`.
    pub renewal: u8,
}

/// A round of the follower, from the time it notes to the lease it may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round {
    /// On the node's own clock, since the noted time.
    pub age: Ticks,
    pub step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Everything up to here was committed when the node asked, and it applies what it has not.
    CatchingUp { to: Epoch },
    /// It reads all keys, and had noted this epoch before.
    Loading { noted: Epoch },
    /// `UPDATE nodes SET applied_epoch = …, renewal = renewal + 1` is on its way.
    Renewing,
    /// One row was updated, and the good news is on the way back.
    Renewed,
}

/// A request, between the check of the lease and the look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub node: usize,
    pub key: Epoch,
}
