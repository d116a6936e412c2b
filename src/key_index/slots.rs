//! A hash table of numbers that readers never wait for: one writer adds and removes.
//!
//! A slot is one atomic word: 32 bits of the hash as a tag, and the number plus one; zero is empty. Linear probing, at most
//! three quarters full. A slot whose number was removed is not empty, for behind it may lie what was put there when it was full;
//! it is passed over, takes the next number that comes by, and becomes empty when nothing lies behind it. When the table grows, the writer fills one of twice the size and then publishes it. Older ones stay
//! where they are, so that a reader who still looks at one needs no protection: together they are smaller than the newest.

use super::sync::{AtomicU64, AtomicUsize, OnceLock, Ordering};

/// Tables of 2^n slots, for each n that a 32-bit number can need.
const GENERATIONS: usize = 34;

/// A slot whose number was removed; no number is so large.
const REMOVED: u64 = u32::MAX as u64;

/// The table. Writing is one thread's business at a time.
pub struct Slots {
    generations: [OnceLock<Box<[AtomicU64]>>; GENERATIONS],
    /// Which generation is the newest: log2 of its size.
    newest: AtomicUsize,
    /// Slots of the newest generation that are not empty.
    used: AtomicUsize,
    /// Numbers in it: those slots without the removed ones.
    len: AtomicUsize,
}

impl Slots {
    /// An empty table of 2^`bits` slots.
    pub fn new(bits: usize) -> Self {
        let slots = Self {
            generations: std::array::from_fn(|_| OnceLock::new()),
            newest: AtomicUsize::new(bits),
            used: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
        };
        slots.generations[bits].get_or_init(|| empty(bits));
        slots
    }

    /// How many numbers are in it.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Bytes of all its tables.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.generations.iter().filter_map(OnceLock::get).map(|slots| slots.len() * size_of::<AtomicU64>()).sum()
    }

    /// Asks memory for the slot of this hash.
    pub fn touch(&self, hash: u64) {
        if let Some(slots) = self.generations[self.newest.load(Ordering::Acquire)].get() {
            std::hint::black_box(slots[place(hash, slots.len() - 1)].load(Ordering::Relaxed));
        }
    }

    /// The number with this hash that `is_it`.
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        // Acquire, here and below: who sees a table or a number sees what was written before it was published.
        let slots = self.generations[self.newest.load(Ordering::Acquire)].get()?;
        let mask = slots.len() - 1;
        let tag = hash >> 32;
        let mut at = place(hash, mask);
        loop {
            let slot = slots[at].load(Ordering::Acquire);
            if slot == 0 {
                return None;
            }
            if slot >> 32 == tag && slot != REMOVED {
                let number = (slot as u32) - 1;
                if is_it(number) {
                    return Some(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a number that is not in the table; everything a reader needs of it must have been written before. To be
    /// called by one thread at a time. `hash_of` is asked for the numbers in it when the table grows.
    pub fn insert(&self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        self.reserve(1, hash_of);
        if let Some(slots) = self.generations[self.newest.load(Ordering::Relaxed)].get() {
            if add(slots, hash, number) {
                self.used.store(self.used.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            self.len.store(self.len() + 1, Ordering::Relaxed);
        }
    }

    /// Removes a number that was inserted with this hash. A reader who is on the way to it may still come upon it. To be
    /// called by one thread at a time.
    pub fn remove(&self, hash: u64, number: u32) {
        let Some(slots) = self.generations[self.newest.load(Ordering::Relaxed)].get() else { return };
        let mask = slots.len() - 1;
        let mut at = place(hash, mask);
        loop {
            match slots[at].load(Ordering::Relaxed) {
                0 => return,
                slot if slot == word(hash, number) => break,
                _ => at = (at + 1) & mask,
            }
        }
        slots[at].store(REMOVED, Ordering::Release);
        self.len.store(self.len().saturating_sub(1), Ordering::Relaxed);
        // Before an empty slot nobody looks further: what was removed there may be empty too.
        while slots[(at + 1) & mask].load(Ordering::Relaxed) == 0 && slots[at].load(Ordering::Relaxed) == REMOVED {
            slots[at].store(0, Ordering::Release);
            self.used.store(self.used.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
            at = at.wrapping_sub(1) & mask;
        }
    }

    /// Makes room for `further` numbers. To be called by one thread at a time.
    pub fn reserve(&self, further: usize, hash_of: impl Fn(u32) -> u64) {
        let newest = self.newest.load(Ordering::Relaxed);
        let needed = (self.used.load(Ordering::Relaxed) + further) * 4 / 3 + 1;
        let bits = needed.next_power_of_two().trailing_zeros() as usize;
        if bits <= newest {
            return;
        }
        let larger = empty(bits);
        for slot in self.generations[newest].get().into_iter().flatten() {
            let slot = slot.load(Ordering::Relaxed);
            if slot != 0 && slot != REMOVED {
                let number = (slot as u32) - 1;
                add(&larger, hash_of(number), number);
            }
        }
        self.generations[bits].get_or_init(|| larger);
        self.used.store(self.len(), Ordering::Relaxed);
        self.newest.store(bits, Ordering::Release);
    }
}

fn empty(bits: usize) -> Box<[AtomicU64]> {
    (0..1_usize << bits).map(|_| AtomicU64::new(0)).collect()
}

fn place(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// Whether the slot was empty before.
fn add(slots: &[AtomicU64], hash: u64, number: u32) -> bool {
    let mask = slots.len() - 1;
    let mut at = place(hash, mask);
    loop {
        let before = slots[at].load(Ordering::Relaxed);
        if before == 0 || before == REMOVED {
            slots[at].store(word(hash, number), Ordering::Release);
            return before == 0;
        }
        at = (at + 1) & mask;
    }
}

fn word(hash: u64, number: u32) -> u64 {
    (hash >> 32) << 32 | (u64::from(number) + 1)
}
