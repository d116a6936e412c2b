//! Files that only their owner may read: the pepper, the database, the set-up link.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Reading and writing by others, and writing by the group. Reading by the group is somebody's choice: a backup's, or that
/// of a mounted secret.
const LOOSE: u32 = 0o027;

/// A file that everybody may change, and that is not ours to mend.
#[derive(Debug, thiserror::Error)]
#[error("everybody may write to {0}, and its mode cannot be changed ({1}); make it 0600")]
pub struct LooseFile(PathBuf, io::Error);

/// Makes an empty file, unless there is one.
///
/// # Errors
/// When it cannot be made.
pub fn make(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Puts a file with this content in the place of whatever is there.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
}

/// Takes away what others may do with a file that was copied, restored or made by somebody else, and says so in the log. A
/// mounted secret cannot be changed; that others may read it is then said, and borne.
///
/// # Errors
/// When others may write to it and that cannot be mended.
pub fn mend_mode(path: &Path) -> Result<(), LooseFile> {
    let Ok(file) = fs::metadata(path) else { return Ok(()) };
    let mode = file.permissions().mode() & 0o777;
    if mode & LOOSE == 0 {
        return Ok(());
    }
    let before = format!("{mode:04o}");
    match fs::set_permissions(path, Permissions::from_mode(mode & 0o700)) {
        Ok(()) => {
            tracing::warn!(file = %path.display(), before, "others could read or change this file; its mode was mended")
        }
        Err(error) if mode & 0o022 != 0 => return Err(LooseFile(path.to_owned(), error)),
        Err(error) => {
            tracing::warn!(file = %path.display(), mode = before, %error, "others can read this file, and its mode cannot be changed");
        }
    }
    Ok(())
}
