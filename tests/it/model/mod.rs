//! Why no key is VALID after its revoke was answered, though every node answers from memory: the protocol, in a form that a
//! model checker walks through step by step, in every order there is.
//!
//! # The protocol
//! **Changes.** A transaction that takes a key away adds one to `key_epoch` and appends the change to `key_changes`. The row
//! of `key_epoch` stays locked until the commit, so changes become visible in the order of their epochs.
//!
//! **Following.** Each node keeps an index of all keys in memory. Its follower goes in rounds: it notes the time, asks what is
//! committed, reads the changes up to there, applies them to the index, and only then counts them as applied. A gap means
//! that it slept too long: it notes the epoch and loads anew.
//!
//! **Leases.** A node has a row in `nodes`, and answers only while it has a lease. At the end of a round it sends
//! `UPDATE nodes SET applied_epoch = x, renewal = renewal + 1 WHERE id = … AND applied_epoch <= x`, and if it hears of one
//! updated row, it may answer until the noted time + LEASE − MARGIN. A change that is not in x was committed after the noted
//! time. No row: it registers, under an id never used before, and has no lease before the end of another round.
//!
//! **Requests.** Check the lease, then look the key up, then answer. A node may be stopped between any two of these.
//!
//! **Revoking.** The revoker commits, notes the time, and reads `nodes` until every row has applied the change, or LEASE is
//! over: a lease without the change was counted from before the commit. A reading that fails is no reading: it is waited for
//! another, or for LEASE. Then it answers: from now on, nobody says VALID.
//!
//! **Leaving.** A node that stops gives up its lease, then deletes its row. Of one that crashed the row stays, and whoever saw
//! its `renewal` stand still for LEASE deletes it, if `renewal` is still that. It comes back as another node.
//!
//! **Clocks** are never compared, only how far each advances, counting suspended time. Over one LEASE, two of them differ by
//! MARGIN at most.
//!
//! # The model
//! [`state`] is what there is to remember, each other file one of the parts: [`clock`], [`revoker`], [`follower`], [`database`],
//! [`request`]. A move is what happens at once; between two moves anybody may be stopped, and messages be late or lost, which
//! needs no move of its own: the others go on. [`holds`] has the protocol checked as it is. In [`mutants`] one [`Rule`] at a
//! time is dropped, and each time the checker has to find a stale VALID: there is no rule without need.
//!
//! # What it does not show
//! That the code does what stands here; that anything ever gets done; what happens above these bounds, or where the nodes'
//! leases differ in length. The database is one that keeps what it committed. Inside a node each step is one move: that its
//! threads see them in this order is shown in `memory/`.

mod clock;
mod database;
mod follower;
mod request;
mod revoker;
mod state;

mod holds;
mod mutants;

use std::fmt;

use stateright::{Model, Property};

use state::{Epoch, Node, Revoke, State, Ticks};

/// How long after a renewal a revoker waits for a node.
const LEASE: Ticks = 3;
/// How much earlier a node stops by itself.
const MARGIN: Ticks = 1;

/// What to check: for how many nodes and keys, with how much drift, and without which rule.
struct Protocol {
    nodes: usize,
    keys: usize,
    /// For how many ticks of a LEASE a node's clock may stand still.
    drift: Ticks,
    /// Whether an UPDATE may be carried out when its node has given it up. If not, it is lost then.
    late_updates: bool,
    without: Option<Rule>,
}

/// What each is for stands at its test in [`mutants`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    EpochsInOrderOfCommits,
    IndexBeforeApplied,
    GapMeansLoadAnew,
    EpochNotedBeforeLoad,
    RenewalWhenCaughtUp,
    NoRowNoLease,
    RegisteringIsNoLease,
    RowIdUsedOnce,
    DeadlineFromAsking,
    Margin,
    ClockCountsSuspend,
    LeaseChecked,
    LeaseBeforeLookUp,
    RevokerWaits,
    RevokerWaitsForAll,
    NoReadingIsNoRows,
    TimeNotedAfterCommit,
    ReaperWaits,
    ReaperNamesWhatItSaw,
    StopBeforeDelete,
}

impl Protocol {
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// How long a node may answer after the time it noted.
    fn term(&self) -> Ticks {
        if self.keeps(Rule::Margin) { LEASE - MARGIN } else { LEASE }
    }
}

/// One move, by whom, and the state it leads to.
#[derive(Clone, PartialEq)]
struct Move {
    who: Who,
    does: &'static str,
    then: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    /// `behind`: bit n for node n, whose clock misses the tick.
    Clocks {
        behind: u32,
    },
    Revoker {
        key: Epoch,
    },
    Node {
        n: usize,
    },
    /// With what node n sent, or its row.
    Database {
        n: usize,
    },
    Request {
        n: usize,
        key: Epoch,
    },
}

impl Move {
    fn new(state: &State, who: Who, does: &'static str, change: impl FnOnce(&mut State)) -> Self {
        let mut then = state.clone();
        change(&mut then);
        Self { who, does, then }
    }
}

/// As a counterexample shows it.
impl fmt::Debug for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.who, self.does)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Move;

    fn init_states(&self) -> Vec<State> {
        let revokes = vec![Revoke::NotBegun; self.keys];
        vec![State { epoch: 0, revokes, nodes: vec![Node::default(); self.nodes], request: None, stale_yes: false }]
    }

    fn actions(&self, state: &State, moves: &mut Vec<Move>) {
        if state.stale_yes {
            return;
        }
        clock::moves(self, state, moves);
        for key in (1..).take(self.keys) {
            revoker::moves(self, state, key, moves);
        }
        for n in 0..self.nodes {
            follower::moves(self, state, n, moves);
            database::moves(self, state, n, moves);
        }
        request::moves(self, state, moves);
    }

    fn next_state(&self, _: &State, action: Move) -> Option<State> {
        // A counterexample is read more easily if the nodes keep their places.
        Some(if self.without.is_none() { action.then.sorted() } else { action.then })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // The last three are there to see that the first is not kept by doing nothing.
        vec![
            Property::always(NO_STALE_YES, |_, state: &State| !state.stale_yes),
            Property::sometimes("nodes confirm, and answer on", |_, state: &State| {
                state.answered(false) && state.nodes.iter().all(|node| node.lease > 0)
            }),
            Property::sometimes("a revoke is answered though a node never confirmed", |_, state: &State| {
                state.answered(true) && state.rows().any(|row| row.applied == 0)
            }),
            Property::sometimes("a node that was waited out comes back, and refuses", |_, state: &State| {
                state.answered(true)
                    && state.request.is_some_and(|request| state.nodes[request.node].knows(request.key))
            }),
        ]
    }
}

const NO_STALE_YES: &str = "no VALID answer begins after a revoke was answered";
