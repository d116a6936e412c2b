//! Where the values lie between which a [`Version`] decides.

use std::sync::atomic::AtomicU32;

use super::{
    arena::Arena,
    sync::{OnceLock, Ordering},
    version::{FIRST, FORGOTTEN, UNREADABLE, Version},
};

/// Later values of many things. The first of each lies with the thing itself, so that what never changes costs no wait for
/// memory more.
pub struct Versions<T> {
    later: Arena<OnceLock<T>>,
    made: AtomicU32,
}

impl<T: PartialEq> Versions<T> {
    /// Nothing has changed yet.
    pub fn new() -> Self {
        Self { later: Arena::new(), made: AtomicU32::new(0) }
    }

    /// The value that holds.
    pub fn get<'a>(&'a self, first: &'a OnceLock<T>, version: &Version) -> Option<&'a T> {
        match version.get() {
            FIRST => first.get(),
            UNREADABLE | FORGOTTEN => None,
            later => self.later.get(later - 1)?.get(),
        }
    }

    /// Writes a value and says by which number it can hold from now on. To be called by one thread at a time.
    pub fn add(&self, first: &OnceLock<T>, version: &Version, value: T) -> u32 {
        if self.get(first, version) == Some(&value) {
            return version.get();
        }
        if first.get().is_none_or(|first| *first == value) {
            first.get_or_init(|| value);
            return FIRST;
        }
        // First of all: a number is not given twice, also when a writer ends before it has done everything.
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.later.make(number).get_or_init(|| value);
        number + 1
    }

    /// How many later values were written. As many as these do not hold any more, for each thing has one that does.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_that_was_set_last_holds_and_those_before_stay_where_they_were() {
        let (versions, first, version) = (Versions::new(), OnceLock::new(), Version::default());
        let put = |value: &'static str| version.set(versions.add(&first, &version, value));
        let holds = || versions.get(&first, &version).copied();
        assert_eq!(holds(), None);
        put("first");
        let lent = versions.get(&first, &version);
        for value in ["second", "second", "third", "first", "third"] {
            put(value);
            assert_eq!(holds(), Some(value));
        }
        assert_eq!((lent, versions.made()), (Some(&"first"), 3), "the same again is no other one, nor is the first");
        for none in [UNREADABLE, FORGOTTEN] {
            version.set(none);
            assert_eq!(holds(), None);
        }
        put("fourth");
        assert_eq!(holds(), Some("fourth"));
    }
}
