//! Checkpoints that another program makes under a running server, as every SQLite tool does after a thousand pages.

use std::sync::atomic::Ordering;

use super::{FileMark, Progress, State, StoreError, fault, mark, wal};
use crate::private_file::beside;

impl FileMark {
    /// Whether the file is the one that we write, also where another program brought the mark that waits in our `-wal` into it. A
    /// copy that somebody made since our last checkpoint has that mark too, but neither have checkpoints come further since nor
    /// does its first page stand in our `-wal`.
    pub(super) fn is_still_ours(&self, state: &mut State) -> Result<bool, StoreError> {
        if self.is_overwritten.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.is_ours()? {
            return Ok(true);
        }
        let Some(conn) = &mut state.conn else { return Ok(false) };
        if mark::of_file(&self.file).map_err(fault)? != state.newest {
            return Ok(false);
        }
        // The other program may be in the middle of it, or have died there: the first page comes first.
        let is_checkpoint = Progress::of(conn, &self.path)? != state.progress
            || wal::has_first_page_of(&self.file, &beside(&self.path, "-wal")).map_err(fault)?;
        if is_checkpoint {
            self.adopt(state)?;
        }
        Ok(is_checkpoint)
    }

    /// The mark that waited in our `-wal` is the file's. The next write gives it another one: it must not be made here, where a
    /// page may wait for it and somebody may hold the lock for writing.
    fn adopt(&self, state: &mut State) -> Result<(), StoreError> {
        self.allow([state.newest; 3])?;
        (state.base, state.is_adopted) = (state.newest, true);
        Ok(())
    }

    /// After a checkpoint of ours and the mark for what follows. Another program's may have come since, so the file is looked at
    /// last: what is noted must not hide it.
    pub(super) fn note_progress(&self, state: &mut State) -> Result<(), StoreError> {
        let Some(conn) = &mut state.conn else { return Ok(()) };
        state.progress = Progress::of(conn, &self.path)?;
        if mark::of_file(&self.file).map_err(fault)? == state.newest { self.adopt(state) } else { Ok(()) }
    }
}
