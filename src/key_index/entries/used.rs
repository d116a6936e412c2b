//! Taking what was counted out of the index, and putting it back when it could not be written.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    Entries, KeyEntry,
    due::{Round, Rounds},
};
use crate::domain::{ids::KeyId, usage::UsageDelta};

/// What was taken out of the index, so that it can be put back.
pub struct TakenUsage {
    /// Out of which it was taken.
    index: Arc<Entries>,
    /// Where each was.
    entries: Vec<u32>,
    /// A key that was used each.
    pub deltas: Arc<[UsageDelta]>,
}

impl Entries {
    /// When this process last saw a key, which may not be written yet.
    pub fn last_seen(&self, id: &KeyId) -> Option<DateTime<Utc>> {
        self.keys.get(self.number_of(id.as_str())?)?.usage.last_at()
    }

    /// The numbers of the keys that were used since the last time.
    pub(super) fn take_used(&self) -> Vec<u32> {
        let mut used = Vec::new();
        let mark_of = |number| self.keys.get(number).map(|entry: &KeyEntry| &entry.mark);
        self.used.take(mark_of, |number| used.push(number));
        used
    }

    /// Takes what was counted since the last time and is due; the rest stays and is asked about again.
    pub fn take_due(self: &Arc<Self>, rounds: &mut Rounds, round: Round) -> TakenUsage {
        rounds.begin(round, self.generation);
        let mut entries = self.take_used();
        entries.retain(|&number| {
            let is_due = rounds.take(number, round);
            if !is_due && let Some(entry) = self.keys.get(number) {
                self.used.mark(number, &entry.mark);
            }
            is_due
        });
        // In the order in which they lie in memory, and mostly in the database too.
        entries.sort_unstable();
        let mut taken =
            TakenUsage { index: Arc::clone(self), entries: Vec::with_capacity(entries.len()), deltas: Arc::default() };
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
}

impl TakenUsage {
    /// Puts back what could not be written, from a place on: it is due at once, and taken again.
    pub fn put_back(&self, from: usize, rounds: &mut Rounds) {
        let index = &self.index;
        rounds.put_back(self.entries.get(from..).unwrap_or_default(), index.generation);
        for (&number, delta) in self.entries.iter().zip(self.deltas.iter()).skip(from) {
            if let Some(entry) = index.keys.get(number) {
                entry.usage.put_back(&index.refusals, &delta.counts, delta.last_used.clone());
                index.used.mark(number, &entry.mark);
            }
        }
    }
}
