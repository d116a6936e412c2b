//! Noticing that the file is not what this program has written any more: it was moved away, removed or emptied under a running
//! server, by `logrotate` or whatever cleans up. What is left of it is written again at once, for the next restore would revive
//! what a new, almost empty log does not know.

use std::{
    collections::HashSet,
    io::{self, Read, Seek},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    RevocationLog, RevocationLogError, State,
    lines::{lines_of, read},
    open_whole,
};
use crate::private_file;

impl RevocationLog {
    /// Looks whether the file is still whole, which takes two questions to the operating system, and writes what is pending.
    /// When it is true, lines are gone: whoever knows what has ended has to append all of it. The log then says from when on it
    /// is complete: what the database had forgotten before `now` cannot be written again.
    ///
    /// # Errors
    /// See [`RevocationLogError`]; the next look tries again.
    pub fn look(&self, now: DateTime<Utc>) -> Result<bool, RevocationLogError> {
        let mut state = self.state();
        self.notice(&mut state)?;
        if state.is_emptied {
            let only_here = state.newest_only_here.map(|at| at + TimeDelta::milliseconds(1));
            let forgotten = self.forgotten_after.map(|kept| now - kept);
            state.complete_from = state.complete_from.max(only_here).max(forgotten);
            (state.owes_beginning, state.is_emptied) = (state.complete_from.is_some(), false);
            return Ok(true);
        }
        self.write(&mut state)?;
        Ok(false)
    }

    /// Notes when the newest line is from whose secret the database does not have.
    pub fn note_newest_only_here(&self, at: Option<DateTime<Utc>>) {
        self.state().newest_only_here = at;
    }

    /// Goes on with the file that is at the path, if that is another one than before or is shorter than it was. From a file that
    /// was moved or removed its lines are taken over: it is still open.
    pub(super) fn notice(&self, state: &mut State) -> Result<(), RevocationLogError> {
        let failed = |error| RevocationLogError::Io(self.path.clone(), error);
        let length = state.file.metadata().map_err(failed)?.len();
        if length >= state.length && private_file::is_named(&self.path, &state.file) {
            state.length = length;
            return Ok(());
        }
        if !state.is_told {
            tracing::error!(
                log = %self.path.display(),
                "the log of revocations was moved, removed or emptied under the running server; it is written anew; keep it out \
                 of logrotate and of what cleans up, for a restore without it revives what was revoked"
            );
            state.is_told = true;
        }
        let before = if length >= state.length { content(state).ok().map(|bytes| lines_of(&bytes)) } else { None };
        let file = open_whole(&self.path).map_err(failed)?;
        let now = read(&self.path)?;
        (state.length, state.file) = (file.metadata().map_err(failed)?.len(), file);
        state.is_told = false;
        state.recent.clear();
        state.known.clear();
        state.is_emptied |= before.as_ref().is_none_or(|before| before.damaged.is_some());
        if let Some(before) = before {
            state.complete_from = state.complete_from.max(before.complete_from);
            let there: HashSet<[u8; 32]> = now.entries.iter().map(|entry| entry.digest.0).collect();
            let lost = before.entries.into_iter().filter(|entry| !there.contains(&entry.digest.0));
            state.pending = lost.chain(std::mem::take(&mut state.pending)).collect();
        }
        state.owes_beginning = state.complete_from > now.complete_from;
        state.complete_from = state.complete_from.max(now.complete_from);
        Ok(())
    }
}

/// What is in the file that is open, wherever it is now.
fn content(state: &State) -> io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (&state.file, Vec::new());
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
