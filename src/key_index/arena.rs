//! A list that only grows and whose entries never move, so that they can be lent without counting who reads them.

use super::sync::OnceLock;

/// Entries a segment: as many as are made at once.
const SEGMENT: usize = 4096;
/// Segments a page of the directory.
const PAGE: usize = 1024;
/// Pages: 2^32 entries in all.
const PAGES: usize = 1024;

type Segment<T> = OnceLock<Box<[T]>>;
type Page<T> = OnceLock<Box<[Segment<T>]>>;

/// The list. Entries are made empty and filled by whoever asked for them.
pub struct Arena<T> {
    pages: Box<[Page<T>]>,
}

impl<T: Default> Arena<T> {
    /// An empty list.
    pub fn new() -> Self {
        Self { pages: (0..PAGES).map(|_| OnceLock::new()).collect() }
    }

    /// An entry that was made.
    pub fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        let page = self.pages[number / (SEGMENT * PAGE)].get()?;
        page[number / SEGMENT % PAGE].get()?.get(number % SEGMENT)
    }

    /// An entry, made if it is not there.
    pub fn make(&self, number: u32) -> &T {
        let number = number as usize;
        let page = self.pages[number / (SEGMENT * PAGE)].get_or_init(|| (0..PAGE).map(|_| OnceLock::new()).collect());
        let segment =
            page[number / SEGMENT % PAGE].get_or_init(|| (0..SEGMENT).map(|_| T::default()).collect::<Box<[T]>>());
        &segment[number % SEGMENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_where_it_was_made() {
        let arena = Arena::<std::sync::atomic::AtomicU32>::new();
        assert!(arena.get(5).is_none());
        let first: *const _ = arena.make(5);
        for number in [4_095, 4_096, 4_096 * 1024, u32::MAX] {
            assert!(arena.get(number).is_none() || number == 4_095, "{number}");
            arena.make(number);
            assert!(arena.get(number).is_some(), "{number}");
        }
        assert!(std::ptr::eq(first, arena.get(5).unwrap()));
    }
}
