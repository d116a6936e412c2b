//! The mark itself: `PRAGMA user_version`, which stands at a fixed place of the file's first page.

use std::{fs::File, io, os::unix::fs::FileExt};

use diesel::{connection::SimpleConnection, prelude::*, sql_query, sql_types::Integer};
use rand::{TryRng, rngs::SysRng};

use crate::store::StoreError;

/// Where SQLite keeps `user_version` in a file.
const OFFSET: u64 = 60;

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Integer)]
    user_version: i32,
}

/// That of a file, without what waits in its `-wal`. 0 for a file that has no first page yet.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(file: &File) -> io::Result<u32> {
    let mut bytes = [0; 4];
    match file.read_exact_at(&mut bytes, OFFSET) {
        Ok(()) => Ok(u32::from_be_bytes(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}

/// The newest one, be it in the file or in its `-wal`.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub fn newest(conn: &mut SqliteConnection) -> Result<u32, StoreError> {
    let newest: Version = sql_query("PRAGMA user_version").get_result(conn)?;
    Ok(newest.user_version.cast_unsigned())
}

/// One that no file has.
///
/// # Errors
/// [`StoreError`] when there are no random bytes.
pub fn random() -> Result<u32, StoreError> {
    // SQLite takes it for a number with a sign.
    SysRng.try_next_u32().map(|random| random >> 1).map_err(|error| super::fault(io::Error::other(error)))
}

/// Writes one into the `-wal`.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub fn write(conn: &mut SqliteConnection, mark: u32) -> Result<(), StoreError> {
    Ok(conn.batch_execute(&format!("PRAGMA user_version = {mark}"))?)
}

/// Marks a file that nobody has open as one of its own.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub fn mark_anew(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    write(conn, random()?)
}
