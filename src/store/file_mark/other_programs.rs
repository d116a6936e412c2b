//! Checkpoints that another program makes under a running server, as every SQLite tool does after a thousand pages.

use std::sync::atomic::Ordering;

use super::{FileMark, Marks, State, StoreError, fault, mark, wal};
use crate::private_file::beside;

impl FileMark {
    /// Whether the file is the one that we write, also where another program brought the mark that waits in our `-wal` into it.
    pub(super) fn is_still_ours(&self, state: &mut State) -> Result<bool, StoreError> {
        if self.is_overwritten.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.is_ours()? {
            return Ok(true);
        }
        if state.conn.is_none() || mark::of_file(&self.file).map_err(fault)? != state.newest {
            return Ok(false);
        }
        let is_brought = wal::went_into(&self.file, &beside(&self.path, "-wal"), state.salts).map_err(fault)?;
        if is_brought {
            self.adopt(state)?;
        }
        Ok(is_brought)
    }

    /// The mark that waited in our `-wal` is the file's. The next write gives it another one: it must not be made here, where a
    /// page may wait for it and somebody may hold the lock for writing.
    fn adopt(&self, state: &mut State) -> Result<(), StoreError> {
        self.allow(Marks { allowed: [state.newest; 3], waiting: state.newest, salts: wal::NONE })?;
        (state.base, state.is_due) = (state.newest, true);
        Ok(())
    }

    /// Which mark waits in which `-wal`, when it was written. Another program's checkpoint may have come since, and the `-wal`
    /// have begun anew, so the file is looked at last: what is noted must not hide it.
    pub(super) fn note_what_waits(&self, state: &mut State) -> Result<(), StoreError> {
        state.salts = wal::salts(&beside(&self.path, "-wal")).map_err(fault)?;
        if mark::of_file(&self.file).map_err(fault)? == state.newest {
            return self.adopt(state);
        }
        self.allow(Marks { allowed: [state.base; 3], waiting: state.newest, salts: state.salts })?;
        state.is_due = false;
        Ok(())
    }
}
