//! Files that only their owner may read (the pepper, the database, the log of revocations, the set-up link), and what it
//! takes for one to survive a power cut.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
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

/// Makes a file that must not exist yet, for writing.
///
/// # Errors
/// When it exists or cannot be made.
pub fn make_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Puts a file with this content in the place of whatever is there: a crash or a power cut leaves the old one or the new one.
///
/// # Errors
/// When it cannot be written; then the old one is still there.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path, ".new");
    // What an earlier crash left.
    let _ = fs::remove_file(&new);
    let mut file = make_new(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)
}

/// The file in the same folder whose name is this one's and an ending.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Syncs the folder of a file. A name that was made, changed or removed survives a power cut only from then on, whatever was
/// done for the content.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Whether the path still names the file that was opened.
pub fn is_named(path: &Path, file: &File) -> bool {
    let (named, own) = (fs::metadata(path), file.metadata());
    named.is_ok_and(|named| own.is_ok_and(|own| (named.dev(), named.ino()) == (own.dev(), own.ino())))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Files whose mode nobody may change, whoever asks: as mounted ones.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_everybody_may_change_is_refused_and_what_they_may_read_is_borne() {
        let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (changed, read) = ("/proc/self/timerslack_ns", "/proc/self/status");
        assert_eq!((mode(changed), mode(read)), (0o666, 0o444));
        let refused = mend_mode(Path::new(changed)).unwrap_err().to_string();
        assert!(refused.contains(changed) && refused.contains("0600"), "{refused}");
        mend_mode(Path::new(read)).unwrap();
        mend_mode(Path::new("/proc/self/no-such-file")).unwrap();
    }
}
