//! Counts of refusals. Most keys are never refused: the others each get a place of their own when they first are.

use std::sync::atomic::AtomicU32;

use super::{arena::Arena, place::Place, sync::Ordering};
use crate::domain::code::Code;

/// By the places of the codes, without [`Code::Valid`], which comes first and is counted with the key.
pub type Counts = [AtomicU32; Code::NAMING - 1];

/// The places.
pub struct Refusals {
    counts: Arena<Counts>,
    given: AtomicU32,
}

impl Refusals {
    /// Nobody was refused yet.
    pub fn new() -> Self {
        Self { counts: Arena::new(), given: AtomicU32::new(0) }
    }

    /// The counts of this key, if it was ever refused.
    pub fn get(&self, place: &Place) -> Option<&Counts> {
        self.counts.get(place.get()?)
    }

    /// The counts of this key. Of two who make them at once one has made some that stay empty.
    pub fn make(&self, place: &Place) -> &Counts {
        let number = place.get().unwrap_or_else(|| {
            let number = self.given.fetch_add(1, Ordering::Relaxed);
            self.counts.make(number);
            place.give(number)
        });
        self.counts.make(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_place_of_its_own_however_many_come_at_once() {
        let (refusals, places) = (Refusals::new(), <[Place; 3]>::default());
        assert!(refusals.get(&places[0]).is_none());
        let count = || {
            for place in &places {
                refusals.make(place)[0].fetch_add(1, Ordering::Relaxed);
            }
        };
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(count);
            }
        });
        for place in &places {
            assert_eq!(refusals.get(place).unwrap()[0].load(Ordering::Relaxed), 4);
        }
    }
}
