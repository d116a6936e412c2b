//! Which of several values is the one that holds. A value is never changed: another one is written beside it, and then takes its
//! place with one store. Whoever reads has the one or the other, and never parts of both.

use super::sync::{AtomicU32, Ordering};

/// The first value, which lies with what it is about.
pub const FIRST: u32 = 0;
/// None holds: what is stored cannot be read.
pub const UNREADABLE: u32 = u32::MAX;
/// None holds: it is not stored any more.
pub const FORGOTTEN: u32 = u32::MAX - 1;

/// The number of the value that holds: [`FIRST`], of a later one, [`UNREADABLE`] or [`FORGOTTEN`].
pub struct Version(AtomicU32);

impl Default for Version {
    fn default() -> Self {
        Self(AtomicU32::new(FIRST))
    }
}

impl Version {
    /// The number that holds now.
    pub fn get(&self) -> u32 {
        // Acquire: who sees a number sees its value, and what the writer took away before.
        self.0.load(Ordering::Acquire)
    }

    /// Lets another value hold, which is written by now; the number before. For the writer.
    pub fn set(&self, version: u32) -> u32 {
        self.0.swap(version, Ordering::AcqRel)
    }
}
