//! The receipt: which nodes refuse what was taken away, and how that is known.

use std::time::Duration;

use super::Follower;
use crate::{
    clock::Clock,
    domain::key_record::Epoch,
    store::{Db, StoreError, nodes, nodes::Node},
};

/// The shortest and longest wait between two looks at the other nodes.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Where a change that takes something away is true. It is given only when that is everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Nodes that said that they have applied it.
    pub confirmed: usize,
    /// Nodes in all. The others have certainly lost their lease since, so they answer nobody.
    pub nodes: usize,
    /// How long it took from the commit.
    pub after: Duration,
}

/// Waits until every node has applied this change or has certainly lost its lease: no node answers from before it then.
/// To be called after the commit, whose change nobody can take back any more, so this cannot fail either; it takes at most
/// as long as a lease.
pub async fn receipt(db: &Db, follower: &Follower, clock: &dyn Clock, lease: Duration, epoch: Epoch) -> Receipt {
    let committed = clock.since_boot();
    let passed = || clock.since_boot().saturating_sub(committed);
    // This node first. It may be cut off from the database: then its own lease ends like any other.
    let _ = tokio::time::timeout(lease, follower.applied(epoch)).await;
    if !db.has_nodes() {
        let confirmed = usize::from(follower.progress().applied >= epoch);
        return Receipt { confirmed, nodes: 1, after: passed() };
    }
    let mut pause = FIRST_LOOK;
    let mut known: Vec<Node> = Vec::new();
    // Forgotten by another node while this one waited for them: they answer nobody, but they were to confirm.
    let mut forgotten: Vec<String> = Vec::new();
    loop {
        let left = longest_lease(&known, lease, epoch).saturating_sub(passed());
        let look = db.read(nodes::list);
        // A database that does not answer must not keep the receipt beyond the longest lease.
        if let Ok(Ok::<_, StoreError>(nodes)) = tokio::time::timeout(left.max(FIRST_LOOK), look).await {
            forgotten.extend(known.into_iter().filter(|node| node.applied < epoch).map(|node| node.id));
            forgotten.retain(|id| !nodes.iter().any(|node| node.id == *id));
            known = nodes;
            if known.iter().all(|node| node.applied >= epoch) && follower.progress().applied >= epoch {
                break;
            }
        }
        if passed() >= longest_lease(&known, lease, epoch) {
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
    let confirmed = known.iter().filter(|node| node.applied >= epoch).count();
    Receipt { confirmed, nodes: (known.len() + forgotten.len()).max(1), after: passed() }
}

/// How long after the commit the nodes that have not confirmed may still answer. Each node says how long its own lease is:
/// a wrong setting on one of them must not make the others answer too early.
fn longest_lease(nodes: &[Node], own: Duration, epoch: Epoch) -> Duration {
    let waited_for = nodes.iter().filter(|node| node.applied < epoch);
    let leases = waited_for.map(|node| Duration::from_millis(node.lease_ms.try_into().unwrap_or(u64::MAX)));
    leases.max().unwrap_or(own)
}
