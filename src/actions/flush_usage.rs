//! Flush what was counted in memory to the database, some thousand keys in a transaction.
//!
//! Each transaction carries a number that the database remembers: one whose COMMIT was not answered is sent again, and counts
//! once.

use std::time::Duration;

use crate::{
    app::Keys,
    domain::usage::verifications,
    key_index::{Flush, Round},
    store::{StoreError, key_usage, usage_flushes},
};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Keys that were used since the last time.
    pub keys: usize,
    /// How long the database took, with the wait for its turn.
    pub took: Duration,
}

/// Writes what moved since the last time and is due in this round; nothing is asked of the database when nothing is.
///
/// # Errors
/// [`StoreError`]; what is not written is put back, and the next flush writes it. What may be written or not is kept as it was,
/// and the next flush asks the database for it first.
pub async fn flush_usage(keys: &Keys, round: Round) -> Result<Flushed, StoreError> {
    let mut writer = keys.flushes.lock().await;
    let mut flushed = Flushed { keys: 0, took: Duration::ZERO };
    if let Some(flush) = writer.in_doubt.clone() {
        flushed.add(write(keys, flush).await?);
        writer.in_doubt = None;
    }
    let taken = keys.index.take_due(&mut writer.rounds, round);
    keys.flushes.taken(&taken.deltas);
    let (now, mut from) = (keys.clock.now(), 0);
    while let Some(flush) = writer.next(&taken.deltas, from, now) {
        let (begins, ends) = (flush.begins(), flush.ends());
        match write(keys, flush.clone()).await {
            Ok(written) => flushed.add(written),
            Err(error) => {
                let is_in_doubt = matches!(error, StoreError::Unknown(_));
                writer.in_doubt = is_in_doubt.then_some(flush);
                let put_back = if is_in_doubt { ends } else { begins };
                taken.put_back(put_back, &mut writer.rounds);
                keys.flushes.settled(taken.deltas.get(put_back..).unwrap_or_default());
                return Err(error);
            }
        }
        from = ends;
    }
    Ok(flushed)
}

impl Flushed {
    fn add(&mut self, more: Self) {
        self.keys += more.keys;
        self.took += more.took;
    }
}

/// Writes a flush, if it is not written already.
async fn write(keys: &Keys, flush: Flush) -> Result<Flushed, StoreError> {
    let (begun, now, count) = (keys.clock.since_boot(), keys.clock.now(), flush.deltas().len());
    let settled = flush.clone();
    let written = keys.db.write(move |conn| {
        if usage_flushes::claim(conn, &flush.id, now)? {
            key_usage::add(conn, flush.at, flush.deltas())?;
        }
        Ok::<_, StoreError>(())
    });
    let result = written.await;
    let took = keys.clock.since_boot().saturating_sub(begun);
    keys.metrics.flushed(count, took, result.is_ok());
    result.map(|()| {
        keys.flushes.settled(settled.deltas());
        Flushed { keys: count, took }
    })
}

/// How many verifications were counted and are not known to be written, when this process ends without another flush.
pub fn count_unwritten(keys: &Keys) -> u64 {
    verifications(&keys.index.take_usage().deltas) + keys.flushes.unsettled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_transactions_wrote_is_added_up() {
        let mut flushed = Flushed { keys: 3, took: Duration::from_millis(5) };
        flushed.add(Flushed { keys: 4, took: Duration::from_millis(6) });
        assert_eq!(flushed, Flushed { keys: 7, took: Duration::from_millis(11) });
    }
}
