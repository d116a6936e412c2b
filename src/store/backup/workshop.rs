//! A folder for what has no name yet, on the disk of the file that it is going to be.

use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use rand::{TryRng, rngs::SysRng};

use crate::private_file::{beside, folder_of, is_named};

/// Between the name of the file and sixteen random digits.
const INFIX: &str = ".new-";
/// What lies in such a folder: one of these, and what SQLite makes beside it.
const NAMES: [&str; 2] = ["backup", "database"];
const ENDINGS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// A folder of our own beside a file; removed with what is left in it.
pub struct Workshop {
    folder: PathBuf,
    /// Locked as long as the process lives, by which a folder is known that somebody works in.
    _lock: File,
}

impl Workshop {
    /// Makes one beside this file, and removes those that others left there when they were killed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn beside(path: &Path) -> io::Result<Self> {
        remove_leftovers(path);
        loop {
            let random = SysRng.try_next_u64().map_err(io::Error::other)?;
            // By its whole name: SQLite takes a name that begins with file: for a URL.
            let folder = std::path::absolute(beside(path, &format!("{INFIX}{random:016x}")))?;
            fs::DirBuilder::new().mode(0o700).create(&folder)?;
            let lock = File::open(&folder)?;
            // Somebody who cleans up may have come between the two. Where nothing can be locked, nobody cleans up.
            if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) && is_named(&folder, &lock) {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        debug_assert!(NAMES.contains(&name));
        self.folder.join(name)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes the folders of this file whose process is no more. What cannot be read or removed stays.
fn remove_leftovers(path: &Path) {
    let Some(name) = path.file_name() else { return };
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    for entry in entries.flatten() {
        if is_workshop_of(name, &entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let folder = entry.path();
            if remove_leftover(&folder).is_ok_and(|is_removed| is_removed) {
                tracing::info!(folder = %folder.display(), "removed what a backup or restore that was killed had left");
            }
        }
    }
}

fn is_workshop_of(name: &OsStr, found: &OsStr) -> bool {
    let rest = found.as_bytes().strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(INFIX.as_bytes()));
    rest.is_some_and(|digits| {
        digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whether it was removed: nobody works in it, and nothing lies in it that is not ours.
fn remove_leftover(folder: &Path) -> io::Result<bool> {
    let lock = File::open(folder)?;
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let is_ours = |name: &OsStr| {
        NAMES.iter().any(|own| ENDINGS.iter().any(|ending| name.as_bytes() == format!("{own}{ending}").as_bytes()))
    };
    if !entries.iter().all(|entry| is_ours(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_file())) {
        return Ok(false);
    }
    entries.iter().try_for_each(|entry| fs::remove_file(entry.path()))?;
    fs::remove_dir(folder).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_killed_left_goes_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("monday");
        let make = |name: &str, files: &[&str]| {
            let made = folder.path().join(name);
            fs::create_dir(&made).unwrap();
            files.iter().for_each(|file| fs::write(made.join(file), "x").unwrap());
            made
        };
        let left = [
            make("monday.new-0123456789abcdef", &["backup", "backup-journal"]),
            make("monday.new-00000000000000ff", &["database", "database-wal"]),
            make("monday.new-0000000000000001", &[]),
        ];
        let others = [
            make("tuesday.new-0123456789abcdef", &["backup"]),
            make("monday.new-0123456789abcde", &["backup"]),
            make("monday.new-0123456789ABCDEF", &["backup"]),
            make("monday.new-1123456789abcdef", &["backup", "photos"]),
            make("monday.old", &["backup"]),
        ];
        let working = Workshop::beside(&to).unwrap();
        fs::write(working.file("backup"), "x").unwrap();
        assert!(left.iter().all(|folder| !folder.exists()));
        let second = Workshop::beside(&to).unwrap();
        assert!(working.file("backup").exists(), "somebody works in it");
        assert!(others.iter().all(|folder| folder.join("backup").exists()));
        let gone = working.file("backup");
        drop((working, second));
        assert!(!gone.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), others.len());
    }
}
