//! How far the `-wal` is in the file, and whether another program has brought more of it there.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use diesel::{prelude::*, sql_query, sql_types::BigInt};

use super::StoreError;
use crate::private_file::beside;

/// Where a `-wal` has the salts, which are others each time that it begins anew
/// (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
const SALTS: u64 = 16;

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
pub fn waiting(conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    let frames = frames(conn)?;
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

fn frames(conn: &mut SqliteConnection) -> Result<Frames, StoreError> {
    Ok(sql_query("PRAGMA wal_checkpoint(NOOP)").get_result(conn)?)
}

/// How far checkpoints have come; it stays the same until there is another one. For a page that waits for a checkpoint, as our mark
/// does, keeps a `-wal` from beginning anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    salts: Option<[u8; 8]>,
    checkpointed: i64,
}

impl Progress {
    /// As it is now.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be asked.
    pub fn of(conn: &mut SqliteConnection, path: &Path) -> Result<Self, StoreError> {
        let mut salts = [0; 8];
        // A `-wal` that begins anew at the next write has no first page, or not ours.
        let read = File::open(beside(path, "-wal")).and_then(|wal| wal.read_exact_at(&mut salts, SALTS));
        Ok(Self { salts: read.is_ok().then_some(salts), checkpointed: frames(conn)?.checkpointed })
    }
}
