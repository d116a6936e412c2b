//! Which counts are due to be written: those of a key that was not used for a while at once, those of one that is used all the time
//! with all others of its kind.
//!
//! Rows of the running hour lie together, some dozens on a page. Written one by one, a second's worth of keys in use touches every
//! page of the hour; so it is the number of rounds that costs, and not the number of rows (`docs/decisions/0031-rounds.md`).

/// After so many rounds of all without a use a key is one that was not used for a while.
const IDLE: u8 = 3;

/// What is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Keys that were not used for a while before.
    Idle,
    /// Whatever was used.
    All,
}

/// In which round each key was written last.
#[derive(Default)]
pub struct Rounds {
    /// The generation of the entries that have these numbers.
    generation: u32,
    /// A byte a key; 0 is none.
    of_keys: Vec<u8>,
    /// Of the last round of all; from [`IDLE`] on, so that 0 is too long ago.
    current: u8,
}

impl Rounds {
    /// Begins a round. Of other entries than before nothing is known, so all their keys count as idle.
    pub fn begin(&mut self, round: Round, generation: u32) {
        if self.generation != generation {
            (self.generation, self.of_keys) = (generation, Vec::new());
        }
        if self.current < IDLE {
            self.current = IDLE;
        } else if round == Round::All {
            if self.current == u8::MAX {
                let back = self.current - IDLE;
                self.of_keys.iter_mut().for_each(|of_key| *of_key = of_key.saturating_sub(back));
                self.current = IDLE;
            }
            self.current += 1;
        }
    }

    /// Whether the counts of a key are to be written in this round; then they count as written.
    pub fn take(&mut self, number: u32, round: Round) -> bool {
        let place = number as usize;
        if place >= self.of_keys.len() {
            self.of_keys.resize(place + 1, 0);
        }
        let Some(of_key) = self.of_keys.get_mut(place) else { return true };
        let is_due = round == Round::All || self.current - *of_key >= IDLE;
        if is_due {
            *of_key = self.current;
        }
        is_due
    }

    /// What could not be written is due again at once.
    pub fn put_back(&mut self, numbers: &[u32], generation: u32) {
        for number in numbers.iter().filter(|_| self.generation == generation) {
            if let Some(of_key) = self.of_keys.get_mut(*number as usize) {
                *of_key = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_idle_is_written_at_once_and_one_in_use_with_all_others() {
        let mut rounds = Rounds::default();
        // More rounds than a byte can number.
        for n in 0..2_000 {
            rounds.begin(Round::Idle, 0);
            let is_first = n == 0;
            assert_eq!(rounds.take(7, Round::Idle), is_first, "in use: {n}");
            let was_idle = n % 5 == 0;
            if was_idle {
                assert!(rounds.take(3, Round::Idle), "{n}");
                assert!(!rounds.take(3, Round::Idle), "{n}: used a moment ago");
            }
            rounds.begin(Round::All, 0);
            assert!(rounds.take(7, Round::All));
        }
    }

    #[test]
    fn what_could_not_be_written_is_due_again() {
        let mut rounds = Rounds::default();
        for round in [Round::Idle, Round::All] {
            rounds.begin(round, 0);
            rounds.take(7, round);
            assert!(!rounds.take(7, Round::Idle));
            rounds.put_back(&[7, 8], 0);
            assert!(rounds.take(7, Round::Idle));
        }
    }
    #[test]
    fn other_entries_have_other_numbers() {
        let mut rounds = Rounds::default();
        rounds.begin(Round::All, 0);
        assert!(rounds.take(7, Round::All) && !rounds.take(7, Round::Idle));
        rounds.put_back(&[7], 1);
        assert!(!rounds.take(7, Round::Idle));
        rounds.begin(Round::Idle, 1);
        assert!(rounds.take(7, Round::Idle));
        rounds.put_back(&[7], 0);
        assert!(!rounds.take(7, Round::Idle));
    }
}
