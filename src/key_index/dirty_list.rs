//! Which keys were used since somebody last asked, without a lock: a stack through the entries themselves.

use super::sync::{AtomicU32, Ordering, fence};

/// In no list.
const OUTSIDE: u32 = 0;
/// In the list, and the last of it.
const LAST: u32 = u32::MAX;

/// An entry's place in the list.
pub struct Mark(AtomicU32);

impl Default for Mark {
    fn default() -> Self {
        Self(AtomicU32::new(OUTSIDE))
    }
}

/// The list of used entries: a stack whose links are in the entries, and this is its top.
pub struct DirtyList(AtomicU32);

impl DirtyList {
    /// Nothing was used.
    pub fn new() -> Self {
        Self(AtomicU32::new(LAST))
    }

    /// Puts an entry into the list unless it is there. To be called after its counts were raised.
    pub fn mark(&self, number: u32, mark: &Mark) {
        // Between the count and the look at the mark, and in `take` between taking the mark away and the look at the
        // count: without both, each side could miss the other, and a last use would never be written.
        fence(Ordering::SeqCst);
        if mark.0.load(Ordering::Relaxed) != OUTSIDE {
            return;
        }
        if mark.0.compare_exchange(OUTSIDE, LAST, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            mark.0.store(head, Ordering::Relaxed);
            match self.0.compare_exchange_weak(head, number + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    /// Takes every entry out of the list and shows it to `each`, which may take its counts.
    pub fn take<'a>(&self, mark_of: impl Fn(u32) -> Option<&'a Mark>, mut each: impl FnMut(u32)) {
        let mut at = self.0.swap(LAST, Ordering::AcqRel);
        while at != LAST {
            let number = at - 1;
            let Some(mark) = mark_of(number) else { return };
            at = mark.0.swap(OUTSIDE, Ordering::AcqRel);
            fence(Ordering::SeqCst);
            each(number);
        }
    }
}
