//! Everything that is known and done about keys, whoever asks for it.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::NodeClock,
    config::Config,
    domain::{
        ended_secret::{EndedSecret, Ending},
        ids::KeyId,
        organization::KeySettings,
        pepper::{Pepper, SecretDigest},
        position::Position,
    },
    key_index::{Flushes, Follower, Here, KeyIndex, Lease, Means, Receipt, ReceiptProgress, Receipts},
    metrics::Metrics,
    revocation_log::RevocationLog,
    store::{Db, database_lock::ServerWatch},
    supervision::blocking_or_here,
    throttle::ChangeThrottle,
};

/// How long whoever made a change waits until this node knows it. Without a database it may be never.
const SETTLED: Duration = Duration::from_secs(1);

/// What this process is to the keys.
pub enum Place {
    /// A server: it answers from memory, which this keeps true.
    Server(Arc<Follower>),
    /// A command beside the servers. On SQLite with what tells how far the one on this file is; it answers nobody.
    Command(Option<Arc<ServerWatch>>),
}

/// What the actions on keys use.
pub struct Keys {
    /// The database: every statement goes through its methods.
    pub db: Db,
    /// Tells the time.
    pub clock: Arc<NodeClock>,
    /// Digests keys and signs cookies.
    pub pepper: Arc<Pepper>,
    /// For organizations without settings of their own.
    pub defaults: KeySettings,
    /// Every key, in memory.
    pub index: Arc<KeyIndex>,
    /// Until when the index may be believed.
    pub lease: Arc<Lease>,
    /// How long a node may answer from memory without the database.
    pub lease_length: Duration,
    /// What this process is.
    pub place: Place,
    /// What was taken away, in a file that no restored database undoes.
    pub revocations: Arc<RevocationLog>,
    /// What this process has written of what it counted.
    pub flushes: Flushes,
    /// What is counted for `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Slows down whoever makes very many changes.
    pub change_throttle: ChangeThrottle,
    /// Which changes were committed lately, and where they are true.
    pub receipts: Receipts,
}

impl Keys {
    /// Writes down what a committed change has ended, before it is answered. The change is made whatever happens here; that
    /// the file cannot be written is logged, and it catches up later.
    pub async fn log_ended(&self, key_id: &KeyId, ending: Ending, digests: Vec<SecretDigest>) {
        let at = self.clock.now();
        let ended = |digest| EndedSecret { at, ending, key_id: key_id.clone(), digest };
        let ended: Vec<_> = digests.into_iter().map(ended).collect();
        let log = Arc::clone(&self.revocations);
        if let Some(Err(error)) = blocking_or_here(move || log.append(&ended)).await {
            tracing::error!(%error, %key_id, "a revocation is not in its log; it holds, but a restored backup would undo it");
        }
    }

    /// Notes that a change is committed now: its receipt counts from here. To be called as soon as the commit is known, when
    /// the receipt is asked for later.
    pub fn committed(&self, change: Position) {
        self.receipts.committed(self.means(), change);
    }

    /// Waits until a change that was committed is in this node's memory, but no longer than a second: the change is made, and
    /// will be true here as soon as this node can read it. A command has no memory of its own, and waits for nothing. Whether it is.
    pub async fn settle(&self, change: Position) -> bool {
        match &self.place {
            Place::Server(follower) => {
                let applied = follower.applied(change, follower.looks_begun());
                tokio::time::timeout(SETTLED, applied).await.is_ok()
            }
            Place::Command(_) => false,
        }
    }

    /// Waits until a change that took something away is true on every node. Asked again, it gives the same receipt.
    pub async fn receipt(&self, change: Position) -> Receipt {
        let (receipt, is_first) = self.receipts.receipt(self.means(), change).await;
        if is_first && !receipt.is_lost {
            self.metrics.received(receipt.after);
        }
        receipt
    }

    /// How far a change has come while its receipt is waited for; an answer comes within a fraction of a second.
    pub async fn receipt_progress(&self, change: Position) -> ReceiptProgress {
        self.receipts.progress(self.means(), change).await
    }

    fn means(&self) -> Means<'_> {
        let here = match &self.place {
            Place::Server(follower) => Here::Node(follower),
            Place::Command(watch) => Here::Command(watch.as_ref()),
        };
        Means { db: &self.db, here, clock: &*self.clock, lease: self.lease_length }
    }
}

/// What this installation has configured for organizations without settings of their own.
pub fn key_defaults(config: &Config) -> KeySettings {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    KeySettings {
        prefix: config.key_prefix.clone(),
        max_keys: number(config.max_keys),
        max_rotations_per_day: number(config.max_rotations_per_day),
    }
}
