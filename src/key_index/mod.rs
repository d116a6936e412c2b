//! The in-memory index every verification reads, the follower that keeps it true, and the lease that says when it may be
//! believed. `docs/decisions/0013-the-lease.md` has the protocol, `tests/it/model/` and `tests/it/memory/` its check.

mod arena;
mod dirty_list;
mod entries;
mod facts;
mod flushes;
mod follower;
mod following;
mod history;
mod index;
mod lease;
mod membership;
mod place;
mod progress;
mod receipt;
mod refusals;
mod revocation_keeper;
mod secret_entry;
mod slots;
mod sync;
mod usage;
mod version;
mod versions;

#[cfg(test)]
mod dirty_list_tests;
#[cfg(test)]
mod slots_tests;

pub use entries::{Forgotten, Round};
pub use flushes::{Flush, Flushes, Writer};
pub use follower::{Follower, Parts};
pub use index::{KeyIndex, Reading};
pub use lease::Lease;
pub use progress::{Progress, Trouble};
pub use receipt::{Here, Means, Receipt, ReceiptProgress, Receipts};
pub use usage::Caller;
