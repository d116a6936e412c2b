//! The atomics of the index in one place: `tests/it/memory/` compiles the same sources with `loom`'s instead.

pub use std::sync::{
    OnceLock,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
