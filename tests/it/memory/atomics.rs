//! What `loom` has not, or not quite, of that which the sources import: a `OnceLock`, and atomics whose readers it does not
//! overlook.
//!
//! To find the orders that matter, `loom` asks before each write who accessed the place last, and remembers one access
//! only. A thread that reads a place and then writes it hides everybody who read it before: the table, whose writer looks
//! before it writes, was run in one single order. So an access of these is a step at a second place first, one that counts
//! as a write. It is `Relaxed`, so that it orders nothing, except together with fences; what has fences uses `loom`'s own
//! `AtomicU32`.

use std::sync::OnceLock as Place;

use loom::sync::atomic::{self, Ordering};

macro_rules! atomic {
    ($name:ident, $number:ty) => {
        pub struct $name {
            value: atomic::$name,
            accesses: atomic::AtomicUsize,
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }

        impl $name {
            pub fn new(value: $number) -> Self {
                Self { value: atomic::$name::new(value), accesses: atomic::AtomicUsize::new(0) }
            }

            pub fn load(&self, order: Ordering) -> $number {
                self.accesses.fetch_add(1, Ordering::Relaxed);
                self.value.load(order)
            }

            pub fn store(&self, value: $number, order: Ordering) {
                self.accesses.fetch_add(1, Ordering::Relaxed);
                self.value.store(value, order);
            }
        }
    };
}

atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);

/// The value lies in a lock of `std`, of which `loom` knows nothing; whether it may be seen there, `loom` decides.
pub struct OnceLock<T> {
    is_set: AtomicUsize,
    place: Place<T>,
}

impl<T> OnceLock<T> {
    pub fn new() -> Self {
        Self { is_set: AtomicUsize::new(0), place: Place::new() }
    }

    pub fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) == 0 { None } else { self.place.get() }
    }

    /// For one thread at a time, as the sources' writer.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let value = self.place.get_or_init(make);
        self.is_set.store(1, Ordering::Release);
        value
    }
}
