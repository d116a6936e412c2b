//! Leaving out of the log what ended before any backup that somebody could still restore, so that it does not grow for ever.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{RevocationLog, RevocationLogError, State, lines::text_of, open_whole};
use crate::{domain::ended_secret::EndedSecret, private_file};

/// The file is written anew when this much more than it need have is in it: not each time that one line is old.
const AT_ONCE: TimeDelta = TimeDelta::days(1);

impl RevocationLog {
    /// Removes what ended before a time, unless another program has the log open; how many lines went. The file is replaced as a
    /// whole, so that a crash leaves the old one or the new one, and the new one says from when on it is complete.
    ///
    /// # Errors
    /// See [`RevocationLogError`]; then the log is as it was.
    pub fn forget(&self, before: DateTime<Utc>) -> Result<usize, RevocationLogError> {
        let mut state = self.state();
        self.write(&mut state)?;
        if state.oldest.is_none_or(|oldest| oldest >= before - AT_ONCE) {
            return Ok(0);
        }
        let lines = self.read_whole(&mut state)?;
        let (complete_from, all) = (state.complete_from.max(Some(before)), lines.entries.len());
        let mut seen = HashSet::new();
        let mut is_kept =
            |secret: &EndedSecret| secret.at >= before && seen.insert((secret.digest.0, secret.ending.as_str()));
        let kept: Vec<EndedSecret> = lines.entries.into_iter().filter(|secret| is_kept(secret)).collect();
        if all == kept.len() || !is_alone(&state) {
            return Ok(0);
        }
        let text = text_of(complete_from, &kept);
        match private_file::replace(&self.path, text.as_bytes()).and_then(|()| open_whole(&self.path)) {
            Ok(file) => (state.file, state.length) = (file, text.len() as u64),
            Err(error) => {
                let _ = state.file.lock_shared();
                return Err(RevocationLogError::Io(self.path.clone(), error));
            }
        }
        (state.oldest, state.complete_from) = (kept.iter().map(|secret| secret.at).min(), complete_from);
        // What is not in it any more would have to be written again.
        state.recent.clear();
        state.known.clear();
        Ok(all - kept.len())
    }
}

/// Whether no other program writes to it; then none can begin to until the file is replaced or the lock shared again.
fn is_alone(state: &State) -> bool {
    let is_alone = state.file.try_lock().is_ok();
    if !is_alone {
        let _ = state.file.try_lock_shared();
    }
    is_alone
}
