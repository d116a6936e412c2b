//! `keystead.db.mark`: which marks the database file may have for the `-wal` beside it to be its own.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{mark, wal, wal_length};
use crate::private_file::{beside, sync_folder};

/// Puts a `-wal` aside that does not belong to the database beside it, so that SQLite does not play it back; where it is
/// then. To be called while nobody has the database open.
///
/// # Errors
/// When the files cannot be read or renamed.
pub fn set_foreign_wal_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if wal_length(path) == 0 {
        return Ok(None);
    }
    let Some(allowed) = read(path) else { return Ok(None) };
    let file = File::open(path)?;
    let wal = beside(path, "-wal");
    // Or another program began a checkpoint, and nobody looked since.
    if allowed.contains(&mark::of_file(&file)?) || wal::has_first_page_of(&file, &wal)? {
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

/// Writes the marks. In place, so that a full disk does not matter: 36 bytes of one sector are written whole or not at all.
pub(super) fn write(path: &Path, marks: [u32; 3]) -> io::Result<()> {
    let words = marks.map(|mark| format!("{mark:08x}")).join(" ");
    let line = format!("{words} {:08x}\n", crc32fast::hash(words.as_bytes()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside(path, ".mark"))?;
    file.write_all_at(line.as_bytes(), 0)?;
    file.sync_all()
}

/// The marks; `None` when nothing is known.
pub(super) fn read(path: &Path) -> Option<[u32; 3]> {
    let line = fs::read_to_string(beside(path, ".mark")).ok()?;
    let (words, checksum) = line.trim_end().rsplit_once(' ')?;
    let hex = |text| u32::from_str_radix(text, 16).ok();
    if hex(checksum)? != crc32fast::hash(words.as_bytes()) {
        return None;
    }
    words.split(' ').map(hex).collect::<Option<Vec<u32>>>()?.try_into().ok()
}
