//! Reading a `-wal` (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>), to find out whether a database file got its
//! first page from it.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// Bytes of the head of a `-wal`, and of each frame before its page.
const HEAD: usize = 32;
const FRAME: usize = 24;
/// The largest page that SQLite has.
const LARGEST: usize = 65_536;

/// Whether the first page of a database file stands in a `-wal`, committed: then a checkpoint brought it into the file, also one
/// that was interrupted. Whatever is a copy made by `VACUUM` or the backup interface has other counters on it.
///
/// # Errors
/// When one of them cannot be read.
pub fn has_first_page_of(file: &File, wal: &Path) -> io::Result<bool> {
    let wal = File::open(wal)?;
    let Some(head) = read::<HEAD>(&wal, 0)? else { return Ok(false) };
    let size = word(&head, 8) as usize;
    if !size.is_power_of_two() || size > LARGEST {
        return Ok(false);
    }
    let mut first = vec![0; size];
    if file.read_exact_at(&mut first, 0).is_err() {
        return Ok(false);
    }
    let (mut at, mut is_found, mut page) = (HEAD as u64, false, vec![0; size]);
    while let Some(frame) = read::<FRAME>(&wal, at)? {
        // Of an earlier time, when the log was longer.
        if frame.get(8..16) != head.get(16..24) {
            break;
        }
        let number = word(&frame, 0);
        if number == 1 && wal.read_exact_at(&mut page, at + FRAME as u64).is_ok() {
            is_found |= page == first;
        }
        // The last frame of a commit says how large the database is.
        if is_found && word(&frame, 4) != 0 {
            return Ok(true);
        }
        at += (FRAME + size) as u64;
    }
    Ok(false)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn read<const N: usize>(file: &File, at: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
