//! This node's row among the nodes, and the lease that it stands for.
//!
//! A lease is counted from *before* the node asked what is committed. A change that is committed later therefore finds each
//! node either confirmed (its row says so), or with a lease that ends one lease's length after the commit at the latest; one
//! that was committed before is applied. No clock is ever compared with another's.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::Lease;
use crate::{
    clock::Clock,
    domain::{ids::NodeId, position::Position},
    store::{Conn, StoreError, database_lock::DatabaseLock, in_transaction, nodes, nodes::Node},
};

/// How often a lease is renewed when nothing changes, if it is not so short that it must be more often.
const RENEW: Duration = Duration::from_secs(1);

/// This node among the nodes.
pub struct Membership {
    /// False on SQLite, where this server is the only one (it holds a lock on the file).
    has_nodes: bool,
    run: NodeId,
    registered: u32,
    /// A new one each time this node registers: a late DELETE that was meant for an earlier row must not find this one.
    id: Option<NodeId>,
    lease: Arc<Lease>,
    length: Duration,
    clock: Arc<dyn Clock>,
    renewed: Option<(Position, Duration)>,
    /// Of the other nodes: the renewal last seen, and when it was first seen.
    silent_since: HashMap<String, (i64, Duration)>,
    /// Where the server of a SQLite file says how far it is, and what it said last.
    lock: Option<Arc<DatabaseLock>>,
    said: Option<Position>,
    /// Other lengths of a lease that were met and logged.
    other_lengths: HashSet<i64>,
    longest: Duration,
}

impl Membership {
    pub fn new(has_nodes: bool, lease: Arc<Lease>, length: Duration, clock: Arc<dyn Clock>) -> Self {
        let (id, renewed, silent_since, other_lengths) = (None, None, HashMap::new(), HashSet::new());
        let (lock, said, registered, longest) = (None, None, 0, length);
        let run = NodeId::generate(clock.now());
        Self {
            has_nodes,
            run,
            registered,
            id,
            lease,
            length,
            clock,
            renewed,
            silent_since,
            lock,
            said,
            other_lengths,
            longest,
        }
    }

    /// With the lock of the SQLite file that this server holds.
    #[must_use]
    pub fn saying_in(self, lock: Option<Arc<DatabaseLock>>) -> Self {
        Self { lock, ..self }
    }

    /// On the clock of leases.
    pub fn now(&self) -> Duration {
        self.clock.since_boot()
    }

    /// How long the database may take for one answer.
    pub fn patience(&self) -> Duration {
        self.length / 4
    }

    /// What clocks may differ by over one lease: five percent, where machines differ by less than a hundredth of that.
    fn margin(&self) -> Duration {
        self.length / 20
    }

    /// Says how far this node has come and renews the lease, if either is due; false: look for changes again at once.
    /// `begun` is a time before the database was asked what is committed, `applied` is at least what it answered.
    pub fn renew(&mut self, conn: &mut Conn, applied: Position, begun: Duration) -> Result<bool, StoreError> {
        let until = self.length - self.margin();
        if !self.has_nodes {
            self.say(applied);
            self.lease.hold_until(begun + until);
            return Ok(true);
        }
        let Some(id) = self.id.clone() else { return self.register(conn, applied) };
        let renew_after = RENEW.min(self.length / 4);
        let is_due = |(position, at)| position != applied || begun.saturating_sub(at) >= renew_after;
        if !self.renewed.is_none_or(is_due) {
            return Ok(true);
        }
        if nodes::renew(conn, &id, applied, self.clock.now() + until)? {
            self.lease.hold_until(begun + until);
            self.reap(conn, &id)?;
            // Last: a renewal that failed halfway is due again.
            self.renewed = Some((applied, begun));
            return Ok(true);
        }
        // Forgotten while it was silent: its lease has long ended.
        tracing::warn!("this node had not renewed its lease and was forgotten; it takes part again");
        self.register(conn, applied)
    }

    /// Tells the commands that wait for a change. One that is not told waits until no lease of before can be left.
    fn say(&mut self, applied: Position) {
        let Some(lock) = self.lock.as_ref().filter(|_| self.said != Some(applied)) else { return };
        match lock.say(applied, self.length) {
            Ok(()) => self.said = Some(applied),
            Err(error) => tracing::debug!(%error, "the file beside the database cannot be written"),
        }
    }

    /// Makes this node known. It gets no lease from what it read before: a change committed since then did not wait for a
    /// node whose row could not be seen yet. Whatever lease it had under another name it has given up: who waits for nodes goes
    /// by the last name of each.
    fn register(&mut self, conn: &mut Conn, applied: Position) -> Result<bool, StoreError> {
        self.lease.give_up();
        self.registered += 1;
        let id = self.run.registered(self.registered);
        let (length_ms, now) = (self.length_ms(), self.clock.now());
        // Before it is sure: where the answer is lost the row may be there, and the next renewal finds it, or that it is not.
        (self.id, self.renewed) = (Some(id.clone()), None);
        // In a transaction of ours, whose commit is on the disk: a row that a crash takes back is one nobody waits for.
        in_transaction(conn, |conn| nodes::insert(conn, &id, applied, length_ms, now))?;
        Ok(false)
    }

    /// Forgets nodes that have not renewed for the length of their lease, so that no revocation waits for them.
    fn reap(&mut self, conn: &mut Conn, own: &NodeId) -> Result<(), StoreError> {
        let nodes = nodes::list(conn)?;
        let now = self.now();
        self.silent_since.retain(|id, _| nodes.iter().any(|node| node.id == *id));
        self.compare_lengths(&nodes);
        for node in nodes.iter().filter(|node| node.id != own.as_str()) {
            let (renewal, since) = self.silent_since.entry(node.id.clone()).or_insert((node.renewal, now));
            if *renewal != node.renewal {
                (*renewal, *since) = (node.renewal, now);
            }
            if now.saturating_sub(*since) >= node.lease() && nodes::remove_silent(conn, &node.id, *renewal)? {
                tracing::warn!(
                    node = node.id,
                    "a node has not renewed its lease for as long as it lasts; it is forgotten"
                );
            }
        }
        Ok(())
    }

    fn length_ms(&self) -> i64 {
        i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX)
    }

    /// The longest lease of the nodes that were there at the last renewal: while the database does not say which there are,
    /// they are waited for.
    pub fn longest_lease(&self) -> Duration {
        self.longest
    }

    /// Logs each other length once: nothing becomes false by it, but a revocation may have to wait as long as the longest.
    fn compare_lengths(&mut self, nodes: &[Node]) -> usize {
        let own = self.length_ms();
        self.longest = nodes.iter().map(Node::lease).max().unwrap_or_default().max(self.length);
        for node in nodes.iter().filter(|node| node.lease_ms != own) {
            if self.other_lengths.insert(node.lease_ms) {
                tracing::warn!(
                    node = node.id,
                    its_lease_ms = node.lease_ms,
                    own_lease_ms = own,
                    "another node has another KEYSTEAD_LEASE_SECS; set the same on every node"
                );
            }
        }
        self.other_lengths.len()
    }

    /// Answers no more; the next renewal is due at once.
    pub fn give_up(&mut self) {
        self.lease.give_up();
        self.renewed = None;
    }

    /// Answers no more and tells the others, so that nobody waits for this node.
    pub fn leave(&mut self, conn: &mut Conn) -> Result<(), StoreError> {
        self.give_up();
        match self.id.take() {
            Some(id) => nodes::remove(conn, &id),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
