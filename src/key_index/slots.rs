//! A hash table of numbers that readers never wait for: one writer adds, and nothing is ever removed.
//!
//! A slot is one atomic word: 32 bits of the hash as a tag, and the number plus one; zero is empty. Linear probing, at most
//! three quarters full. When the table grows, the writer fills one of twice the size and then publishes it. Older ones stay
//! where they are, so that a reader who still looks at one needs no protection: together they are smaller than the newest.

use super::sync::{AtomicU64, AtomicUsize, OnceLock, Ordering};

/// Tables of 2^n slots, for each n that a 32-bit number can need.
const GENERATIONS: usize = 34;

/// The table. Writing is one thread's business at a time.
pub struct Slots {
    generations: [OnceLock<Box<[AtomicU64]>>; GENERATIONS],
    /// Which generation is the newest: log2 of its size.
    newest: AtomicUsize,
    used: AtomicUsize,
}

impl Slots {
    /// An empty table of 2^`bits` slots.
    pub fn new(bits: usize) -> Self {
        let slots = Self {
            generations: std::array::from_fn(|_| OnceLock::new()),
            newest: AtomicUsize::new(bits),
            used: AtomicUsize::new(0),
        };
        slots.generations[bits].get_or_init(|| empty(bits));
        slots
    }

    /// How many numbers are in it.
    pub fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed)
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
            if slot >> 32 == tag {
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
            add(slots, hash, number);
            self.used.store(self.len() + 1, Ordering::Relaxed);
        }
    }

    /// Makes room for `further` numbers. To be called by one thread at a time.
    pub fn reserve(&self, further: usize, hash_of: impl Fn(u32) -> u64) {
        let newest = self.newest.load(Ordering::Relaxed);
        let needed = (self.len() + further) * 4 / 3 + 1;
        let bits = needed.next_power_of_two().trailing_zeros() as usize;
        if bits <= newest {
            return;
        }
        let larger = empty(bits);
        for slot in self.generations[newest].get().into_iter().flatten() {
            let slot = slot.load(Ordering::Relaxed);
            if slot != 0 {
                let number = (slot as u32) - 1;
                add(&larger, hash_of(number), number);
            }
        }
        self.generations[bits].get_or_init(|| larger);
        self.newest.store(bits, Ordering::Release);
    }
}

fn empty(bits: usize) -> Box<[AtomicU64]> {
    (0..1_usize << bits).map(|_| AtomicU64::new(0)).collect()
}

fn place(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

fn add(slots: &[AtomicU64], hash: u64, number: u32) {
    let mask = slots.len() - 1;
    let mut at = place(hash, mask);
    while slots[at].load(Ordering::Relaxed) != 0 {
        at = (at + 1) & mask;
    }
    slots[at].store((hash >> 32) << 32 | (u64::from(number) + 1), Ordering::Release);
}
