//! Taking what was counted out of the index, and putting it back when it could not be written.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    KeyEntry, KeyIndex,
    due::{Round, Rounds},
};
use crate::domain::{ids::KeyId, usage::UsageDelta};

/// What was taken out of the index, so that it can be put back.
pub struct TakenUsage {
    /// Where each was.
    entries: Vec<u32>,
    /// A key that was used each.
    pub deltas: Arc<[UsageDelta]>,
}

impl KeyIndex {
    /// When this process last saw a key, which may not be written yet.
    pub fn last_seen(&self, id: &KeyId) -> Option<DateTime<Utc>> {
        self.keys.get(self.number_of(id.as_str())?)?.usage.last_at()
    }

    /// Takes whatever was counted since the last time.
    pub fn take_usage(&self) -> TakenUsage {
        self.take_due(&mut Rounds::default(), Round::All)
    }

    /// Takes what was counted since the last time and is due; the rest stays and is asked about again.
    pub fn take_due(&self, rounds: &mut Rounds, round: Round) -> TakenUsage {
        rounds.begin(round);
        let mut entries = Vec::new();
        let mark_of = |number| self.keys.get(number).map(|entry: &KeyEntry| &entry.mark);
        self.used.take(mark_of, |number| entries.push(number));
        entries.retain(|&number| {
            let is_due = rounds.take(number, round);
            if !is_due && let Some(entry) = self.keys.get(number) {
                self.used.mark(number, &entry.mark);
            }
            is_due
        });
        // In the order in which they lie in memory, and mostly in the database too.
        entries.sort_unstable();
        let mut taken = TakenUsage { entries: Vec::with_capacity(entries.len()), deltas: Arc::default() };
        let deltas = entries.into_iter().filter_map(|number| {
            let entry = self.keys.get(number)?;
            let (counts, last_used) = entry.usage.take(&self.refusals);
            if counts.is_empty() {
                return None;
            }
            taken.entries.push(number);
            // Of one that cannot be read: the number that it had.
            let key = self.facts_of(entry).or(entry.facts.get())?.number();
            Some(UsageDelta { key, counts, last_used })
        });
        taken.deltas = deltas.collect::<Vec<_>>().into();
        taken
    }

    /// Puts back what could not be written, from a place on: it is due at once, and taken again.
    pub fn put_usage_back(&self, taken: &TakenUsage, from: usize, rounds: &mut Rounds) {
        rounds.put_back(taken.entries.get(from..).unwrap_or_default());
        for (&number, delta) in taken.entries.iter().zip(taken.deltas.iter()).skip(from) {
            if let Some(entry) = self.keys.get(number) {
                entry.usage.put_back(&self.refusals, &delta.counts, delta.last_used.clone());
                self.used.mark(number, &entry.mark);
            }
        }
    }
}
