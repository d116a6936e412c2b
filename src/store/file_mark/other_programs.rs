//! Checkpoints that another program makes under a running server, as every SQLite tool does after a thousand pages.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{FileMark, Progress, State, StoreError, fault, mark};

/// How long another program may take for a checkpoint: until then the file is taken for ours.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Whose the database file is now.
pub(super) enum Whose {
    Ours,
    /// The mark that waits in our `-wal` is in the file, and no checkpoint that is done brought it there: one of another program is
    /// being made, or this is a copy that somebody made since our last one.
    Uncertain(Instant),
    Anothers,
}

impl FileMark {
    /// Another program's checkpoint brings the mark that waits in our `-wal` into the file; then it is ours with that.
    pub(super) fn whose(&self, state: &mut State) -> Result<Whose, StoreError> {
        if self.is_ours()? {
            return Ok(Whose::Ours);
        }
        let Some(conn) = &mut state.conn else { return Ok(Whose::Anothers) };
        if mark::of_file(&self.file).map_err(fault)? != state.newest {
            return Ok(Whose::Anothers);
        }
        if Progress::of(conn, &self.path)? == state.progress {
            return Ok(Whose::Uncertain(*state.uncertain_since.get_or_insert_with(Instant::now)));
        }
        self.adopt(state).map(|()| Whose::Ours)
    }

    /// The mark that waited in our `-wal` is the file's. The next write gives it another one: it must not be made here, where a
    /// page may wait for it and somebody may hold the lock for writing.
    fn adopt(&self, state: &mut State) -> Result<(), StoreError> {
        self.allow([state.newest; 3])?;
        (state.base, state.is_adopted, state.uncertain_since) = (state.newest, true, None);
        Ok(())
    }

    pub(super) fn is_still_ours(&self, state: &mut State) -> Result<bool, StoreError> {
        Ok(!self.is_overwritten.load(Ordering::Relaxed) && matches!(self.whose(state)?, Whose::Ours))
    }

    /// After a checkpoint of ours and the mark for what follows. Another program's may have come since, so the file is looked at
    /// last: what is noted must not hide it.
    pub(super) fn note_progress(&self, state: &mut State) -> Result<(), StoreError> {
        let Some(conn) = &mut state.conn else { return Ok(()) };
        state.progress = Progress::of(conn, &self.path)?;
        if mark::of_file(&self.file).map_err(fault)? == state.newest { self.adopt(state) } else { Ok(()) }
    }
}
