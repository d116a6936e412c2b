//! What a receipt is found out with: it is another matter for a node than for a command beside the nodes.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    key_index::{Follower, Progress},
    store::{Db, database_lock::ServerWatch},
};

/// Whose change it is.
#[derive(Clone, Copy)]
pub enum Here<'a> {
    /// A node's. Its own memory must have it too.
    Node(&'a Follower),
    /// A command's, which answers nobody. On SQLite with what tells how far the server is, if one runs.
    Command(Option<&'a Arc<ServerWatch>>),
}

impl Here<'_> {
    pub(super) fn looks_begun(self) -> u64 {
        match self {
            Self::Node(follower) => follower.looks_begun(),
            Self::Command(_) => 0,
        }
    }

    pub(super) fn progress(self) -> Progress {
        match self {
            Self::Node(follower) => follower.progress(),
            Self::Command(_) => Progress::default(),
        }
    }
}

/// What a receipt needs to find out.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    pub db: &'a Db,
    pub here: Here<'a>,
    pub clock: &'a dyn Clock,
    /// How long a node may answer from memory.
    pub lease: Duration,
}

impl Means<'_> {
    /// Whether somebody else than this process may answer.
    pub(super) fn has_others(self) -> bool {
        self.db.has_nodes() || matches!(self.here, Here::Command(_))
    }
}
