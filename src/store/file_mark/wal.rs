//! The `-wal`: how much of it is not in the database, bringing that there, and whether a database file got its first page from it
//! (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use diesel::{prelude::*, sql_query, sql_types::BigInt};

use crate::store::StoreError;

/// Bytes of the head of a `-wal`, and of each frame before its page.
const HEAD: usize = 32;
const FRAME: usize = 24;
/// The largest page that SQLite has.
const LARGEST: usize = 65_536;

/// Two numbers in the head of a `-wal`, which are others each time that it begins anew.
pub type Salts = u64;
/// Of a `-wal` that is empty.
pub const NONE: Salts = 0;
const SALTS: std::ops::Range<usize> = 16..24;

#[derive(QueryableByName)]
struct Frames {
    #[diesel(sql_type = BigInt)]
    log: i64,
    #[diesel(sql_type = BigInt)]
    checkpointed: i64,
}

/// Pages in the `-wal` that are not in the database yet.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub fn pages_waiting(conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    let frames: Frames = sql_query("PRAGMA wal_checkpoint(NOOP)").get_result(conn)?;
    Ok(frames.log - frames.checkpointed)
}

/// Brings into the database what no reader holds up.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub fn checkpoint(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let _: Frames = sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result(conn)?;
    Ok(())
}

/// The salts of a `-wal`, as they stand in the file.
///
/// # Errors
/// When it cannot be read.
pub fn salts(wal: &Path) -> io::Result<Salts> {
    Ok(read::<HEAD>(&File::open(wal)?, 0)?.map_or(NONE, |head| salts_of(&head)))
}

fn salts_of(head: &[u8; HEAD]) -> Salts {
    head.get(SALTS).and_then(|salts| salts.try_into().ok()).map_or(NONE, Salts::from_be_bytes)
}

/// Whether a database file got the mark that it has, and that waited in the `-wal` with these salts, from there. A copy that was
/// made in the meantime has that mark too.
///
/// A checkpoint leaves the first page in the `-wal` word for word, where a copy made by `VACUUM` or the backup interface has other
/// counters on it. And once everything is in the file, the `-wal` may begin anew, with other salts. It does for nothing else.
///
/// # Errors
/// When one of them cannot be read.
pub fn went_into(file: &File, wal: &Path, salts: Salts) -> io::Result<bool> {
    went_into_when(|| has_first_page_of(file, wal), wal, salts)
}

/// Trap: the other program may end the `-wal` or begin it anew at any moment. Only the salts that stand there after the first page
/// was looked for say that it was there all the time.
pub(super) fn went_into_when(
    has_first_page: impl FnOnce() -> io::Result<bool>,
    wal: &Path,
    before: Salts,
) -> io::Result<bool> {
    Ok(has_first_page()? || salts(wal)? != before)
}

/// Whether the first page of a database file stands in a `-wal`, committed: then a checkpoint brought it into the file, also one
/// that was interrupted.
///
/// # Errors
/// When one of them cannot be read.
pub(super) fn has_first_page_of(file: &File, wal: &Path) -> io::Result<bool> {
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
        if frame.get(8..16) != head.get(SALTS) {
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
