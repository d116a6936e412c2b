//! The sources without their fences.

pub mod sync {
    pub use loom::sync::atomic::{AtomicU32, Ordering};

    pub use super::super::atomics::{AtomicU64, AtomicUsize, OnceLock};

    pub fn fence(_: Ordering) {}
}

#[path = "../../../src/key_index/dirty_list.rs"]
pub mod dirty_list;
#[path = "../../../src/key_index/lease.rs"]
#[allow(dead_code)]
pub mod lease;
#[path = "../../../src/key_index/place.rs"]
#[allow(dead_code)]
pub mod place;
#[path = "../../../src/key_index/secret_entry.rs"]
#[allow(dead_code)]
pub mod secret_entry;
#[path = "../../../src/key_index/slots.rs"]
#[allow(dead_code)]
pub mod slots;
#[path = "../../../src/key_index/version.rs"]
#[allow(dead_code)]
pub mod version;

#[path = "scenarios.rs"]
#[allow(dead_code)]
pub mod scenarios;
