//! A number that a thing gets when it is first asked for, by however many at once.

use super::sync::{AtomicU32, Ordering};

/// The number plus one; 0 is none yet.
pub struct Place(AtomicU32);

impl Default for Place {
    fn default() -> Self {
        Self(AtomicU32::new(0))
    }
}

impl Place {
    /// The number, if it has one.
    pub fn get(&self) -> Option<u32> {
        self.0.load(Ordering::Acquire).checked_sub(1)
    }

    /// Gives it this number, unless it has one; the one that it has now. What lies there is there before.
    pub fn give(&self, number: u32) -> u32 {
        match self.0.compare_exchange(0, number + 1, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => number,
            Err(given) => given - 1,
        }
    }
}
