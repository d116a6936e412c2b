//! `keystead.db.mark`: which marks the database file may have for the `-wal` beside it to be its own.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{
    mark,
    wal::{self, Salts},
    wal_length,
};
use crate::private_file::{beside, open_or_make, sync_folder};

/// What is known of the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// Those that the file may have: thrice the same, but while a checkpoint is not done.
    pub allowed: [u32; 3],
    /// The mark that waits in the `-wal`, or will wait there: the file may have it once another program made a checkpoint.
    pub waiting: u32,
    /// Of the `-wal` in which it waits; none while it may not be there yet.
    pub salts: Salts,
}

/// Puts a `-wal` aside that does not belong to the database beside it, so that SQLite does not play it back; where it is
/// then. To be called while nobody has the database open.
///
/// # Errors
/// When the files cannot be read or renamed.
pub fn set_foreign_wal_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if wal_length(path) == 0 {
        return Ok(None);
    }
    let Some(marks) = Marks::read(path) else { return Ok(None) };
    let file = File::open(path)?;
    let wal = beside(path, "-wal");
    let found = mark::of_file(&file)?;
    // Or another program made a checkpoint, and nobody looked since.
    if marks.allowed.contains(&found) || found == marks.waiting && wal::went_into(&file, &wal, marks.salts)? {
        return Ok(None);
    }
    // Named by when it was written last.
    let written = DateTime::<Utc>::from(fs::metadata(&wal)?.modified()?);
    let aside = beside(path, &format!("-wal.set-aside-{}", written.format("%Y%m%dT%H%M%S%3fZ")));
    fs::rename(wal, &aside)?;
    let _ = fs::remove_file(beside(path, "-shm"));
    sync_folder(path)?;
    Ok(Some(aside))
}

impl Marks {
    /// Writes them. In place, so that a full disk does not matter: 62 bytes of one sector are written whole or not at all.
    pub fn write(self, path: &Path) -> io::Result<()> {
        let [one, two, three] = self.allowed;
        let words = format!("{one:08x} {two:08x} {three:08x} {:08x} {:016x}", self.waiting, self.salts);
        let line = format!("{words} {:08x}\n", crc32fast::hash(words.as_bytes()));
        let mark = beside(path, ".mark");
        let file = open_or_make(&mark, OpenOptions::new().read(true).write(true), path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", mark.display())))?;
        file.write_all_at(line.as_bytes(), 0)?;
        file.sync_all()
    }

    /// As they were written; `None` when nothing is known.
    pub fn read(path: &Path) -> Option<Self> {
        let line = fs::read_to_string(beside(path, ".mark")).ok()?;
        let (words, checksum) = line.trim_end().rsplit_once(' ')?;
        let mark = |text| u32::from_str_radix(text, 16).ok();
        if mark(checksum)? != crc32fast::hash(words.as_bytes()) {
            return None;
        }
        let [one, two, three, waiting, salts] = words.split(' ').collect::<Vec<_>>().try_into().ok()?;
        Some(Self {
            allowed: [mark(one)?, mark(two)?, mark(three)?],
            waiting: mark(waiting)?,
            salts: Salts::from_str_radix(salts, 16).ok()?,
        })
    }
}
