//! The receipt: which nodes refuse what was taken away, and how that is known.

mod means;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Progress;
use crate::{
    domain::{ids::NodeId, position::Position},
    store::{StoreError, key_changes, nodes, nodes::Node},
};

pub use means::{Here, Means};

/// The shortest and longest wait between two looks at the other nodes.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// How long a look may take of somebody who only wants to know how far a change has come, or waits for no lease any more.
const SHORT_LOOK: Duration = Duration::from_millis(200);
/// Changes whose commit this node remembers; of an older one the wait begins anew, which is longer than it need be.
const REMEMBERED: usize = 1_024;

/// Where a change that takes something away is true. It is given only when that is everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Nodes that said that they have applied it.
    pub confirmed: usize,
    /// Nodes in all; `None` if the database did not say. The others have certainly lost their lease since, so they answer nobody.
    pub nodes: Option<usize>,
    /// How long it took from the commit.
    pub after: Duration,
    /// The database does not have the change any more, or may not: a backup was restored, or a standby promoted that had missed
    /// it. Then the other numbers say nothing.
    pub is_lost: bool,
}

/// How far a change has come that not all nodes may have applied yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptProgress {
    /// Nodes that said that they have applied it.
    pub confirmed: usize,
    /// Nodes in all; `None` as long as the database has not said.
    pub nodes: Option<usize>,
    /// For how much longer the others may still answer from before the change, at most; zero when nobody can any more.
    pub at_most: Duration,
}

/// The changes that were committed lately, each with what is known of it.
#[derive(Default)]
pub struct Receipts(Mutex<VecDeque<(Position, Arc<Mutex<Known>>)>>);

struct Known {
    /// A time after the commit, on the clock of leases.
    committed: Duration,
    /// Looks of this node's follower that had begun then.
    looks_before: u64,
    /// `None` until the database has told them: that none is missing is then not known, and not that there are none.
    nodes: Option<Vec<Node>>,
    /// Runs that another node has forgotten before they confirmed: they answer nobody, but they were to confirm.
    forgotten: BTreeSet<String>,
    is_lost: bool,
    receipt: Option<Receipt>,
}

impl Known {
    /// These are the nodes now. One that made itself known once more had given its lease up before, so its earlier rows say
    /// nothing, and it is not another node.
    fn take_over(&mut self, nodes: Vec<Node>, change: Position) {
        let run = |node: &Node| NodeId::run_of(&node.id).0.to_owned();
        let before = self.nodes.take().unwrap_or_default();
        self.forgotten.extend(missing(&before, change).map(run));
        self.forgotten.retain(|forgotten| !nodes.iter().any(|node| run(node) == *forgotten));
        let mut last: BTreeMap<String, Node> = BTreeMap::new();
        for node in nodes {
            let times = |node: &Node| NodeId::run_of(&node.id).1;
            if last.get(&run(&node)).is_none_or(|known| times(known) < times(&node)) {
                last.insert(run(&node), node);
            }
        }
        self.nodes = Some(last.into_values().collect());
    }
}

impl Receipts {
    /// Notes that a change is committed now. Its receipt counts from here; asking for the receipt notes it too.
    pub fn committed(&self, means: Means<'_>, change: Position) {
        self.known(means, change);
    }

    fn known(&self, means: Means<'_>, change: Position) -> Arc<Mutex<Known>> {
        let mut all = lock(&self.0);
        if let Some((_, known)) = all.iter().rev().find(|(position, _)| *position == change) {
            return Arc::clone(known);
        }
        let known = Arc::new(Mutex::new(Known {
            committed: means.clock.since_boot(),
            looks_before: means.here.looks_begun(),
            nodes: None,
            forgotten: BTreeSet::new(),
            is_lost: false,
            receipt: None,
        }));
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back((change, Arc::clone(&known)));
        known
    }

    /// Waits until every node has applied this change or has certainly lost its lease: no node answers from before it then;
    /// true when nobody had this receipt before. To be called after the commit, whose change nobody can take back any more, so
    /// this cannot fail either; it takes hardly longer than the longest lease, and more only after the database lost its history.
    pub async fn receipt(&self, means: Means<'_>, change: Position) -> (Receipt, bool) {
        let waiting = Waiting { means, change, known: self.known(means, change) };
        if let Some(receipt) = waiting.known().receipt {
            return (receipt, false);
        }
        let receipt = waiting.wait().await;
        let is_first = waiting.known().receipt.replace(receipt).is_none();
        (receipt, is_first)
    }

    /// How far it is, as fast as the database can tell, and within a fraction of a second if it cannot.
    pub async fn progress(&self, means: Means<'_>, change: Position) -> ReceiptProgress {
        let waiting = Waiting { means, change, known: self.known(means, change) };
        if let Some(Receipt { confirmed, nodes, .. }) = waiting.known().receipt {
            return ReceiptProgress { confirmed, nodes, at_most: Duration::ZERO };
        }
        if means.has_others() {
            waiting.look(SHORT_LOOK).await;
        }
        waiting.progress()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One change that is waited for.
struct Waiting<'a> {
    means: Means<'a>,
    change: Position,
    known: Arc<Mutex<Known>>,
}

impl Waiting<'_> {
    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    fn passed(&self) -> Duration {
        self.means.clock.since_boot().saturating_sub(self.known().committed)
    }

    /// Whether it is in this node's own memory.
    fn is_here(&self) -> bool {
        let before = self.known().looks_before;
        match self.means.here {
            Here::Node(follower) => follower.has_applied(self.change, before),
            Here::Command(_) => true,
        }
    }

    async fn wait(&self) -> Receipt {
        // This node first. It may be cut off from the database: then its own lease ends like any other.
        let (lease, before) = (self.means.lease, self.known().looks_before);
        while let Here::Node(follower) = self.means.here
            && !self.is_here()
            && self.passed() < lease
        {
            let applied = follower.applied(self.change, before);
            let _ = tokio::time::timeout(lease.saturating_sub(self.passed()), applied).await;
        }
        let mut pause = FIRST_LOOK;
        while self.means.has_others() {
            // A database that does not answer must not keep the receipt beyond the longest lease, but for one look that says
            // who the others are.
            self.look(self.longest_wait().saturating_sub(self.passed()).max(SHORT_LOOK)).await;
            if self.known().is_lost || self.is_everywhere() || self.passed() >= self.longest_wait() {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
        let (after, ReceiptProgress { confirmed, nodes, .. }) = (self.passed(), self.progress());
        Receipt { confirmed, nodes, after, is_lost: self.may_be_lost() }
    }

    /// Reads the rows of the nodes, if the database answers in time.
    async fn look(&self, time: Duration) {
        let change = self.change;
        let watch = match self.means.here {
            Here::Command(watch) => watch.cloned(),
            Here::Node(_) => None,
        };
        let look = self.means.db.read(move |conn| {
            let nodes = match &watch {
                Some(watch) => nodes::of_watched(conn, watch)?,
                None => nodes::list(conn)?,
            };
            Ok((nodes, key_changes::is_lost(conn, change)?))
        });
        if let Ok(Ok::<_, StoreError>((nodes, is_lost))) = tokio::time::timeout(time, look).await {
            let mut known = self.known();
            known.take_over(nodes, change);
            known.is_lost |= is_lost;
        }
    }

    /// Whether the change is gone from the database, or may be: its history was lost since the commit, and nobody could ask.
    fn may_be_lost(&self) -> bool {
        let (lost_at, known) = (self.means.here.progress().history_lost_at, self.known());
        known.is_lost || known.nodes.is_none() && lost_at.is_some_and(|at| at >= known.committed)
    }

    /// Whether nobody has to be waited for.
    fn is_everywhere(&self) -> bool {
        let nobody_is_missing =
            self.known().nodes.as_ref().is_some_and(|nodes| missing(nodes, self.change).next().is_none());
        nobody_is_missing && self.is_here() && self.passed() >= self.unknown_nodes()
    }

    /// How long after the commit somebody may still answer who has not confirmed. Each node says how long its own lease is: a
    /// wrong setting on one of them must not make the others answer too early.
    fn longest_wait(&self) -> Duration {
        let own = self.means.lease;
        let longest = match &self.known().nodes {
            Some(nodes) => missing(nodes, self.change).map(Node::lease).max().unwrap_or(own),
            // A command knows of no node that it has met.
            None if matches!(self.means.here, Here::Command(_)) => nodes::LONGEST_LEASE,
            None => own.max(self.means.here.progress().longest_lease),
        };
        longest.max(self.unknown_nodes())
    }

    /// The same of nodes that this database may not know: a history that was lost may have had rows that this one lacks. What
    /// they hold are leases from before this node noticed.
    fn unknown_nodes(&self) -> Duration {
        let Progress { history_lost_at, longest_lease, .. } = self.means.here.progress();
        let longest = self.means.lease.max(longest_lease);
        history_lost_at.map_or(Duration::ZERO, |at| (at + longest).saturating_sub(self.known().committed))
    }

    fn progress(&self) -> ReceiptProgress {
        let is_here = self.is_here();
        if !self.means.has_others() {
            let left = self.means.lease.saturating_sub(self.passed());
            let at_most = if is_here { Duration::ZERO } else { left };
            return ReceiptProgress { confirmed: is_here.into(), nodes: Some(1), at_most };
        }
        let left = self.longest_wait().saturating_sub(self.passed());
        let at_most = if self.is_everywhere() { Duration::ZERO } else { left };
        let known = self.known();
        let Some(nodes) = &known.nodes else {
            let is_confirmed = is_here && matches!(self.means.here, Here::Node(_));
            return ReceiptProgress { confirmed: is_confirmed.into(), nodes: None, at_most };
        };
        let (confirmed, at_least) = match (self.means.here, nodes.len()) {
            // This node has none either, because others had forgotten it; it takes part again in a moment.
            (Here::Node(_), 0) => (is_here.into(), 1),
            (_, all) => (all - missing(nodes, self.change).count(), 0),
        };
        ReceiptProgress { confirmed, nodes: Some((nodes.len() + known.forgotten.len()).max(at_least)), at_most }
    }
}

/// Those of these nodes that have not said that they applied the change.
fn missing(nodes: &[Node], change: Position) -> impl Iterator<Item = &Node> {
    nodes.iter().filter(move |node| !node.has_applied(change.epoch))
}

#[cfg(test)]
mod tests;
