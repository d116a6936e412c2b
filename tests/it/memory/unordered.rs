//! The sources with every ordering read as `Relaxed`.

pub mod sync {
    pub use loom::sync::atomic::{AtomicU32, fence};

    pub use super::super::atomics::{AtomicU64, AtomicUsize, OnceLock};

    use loom::sync::atomic::Ordering as Loom;

    /// Has the names of the real one.
    pub struct Ordering;

    #[allow(non_upper_case_globals)]
    impl Ordering {
        pub const Relaxed: Loom = Loom::Relaxed;
        pub const Acquire: Loom = Loom::Relaxed;
        pub const Release: Loom = Loom::Relaxed;
        pub const AcqRel: Loom = Loom::Relaxed;
        /// Of the fences.
        pub const SeqCst: Loom = Loom::SeqCst;
    }
}

#[path = "../../../src/key_index/dirty_list.rs"]
#[allow(dead_code)]
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
