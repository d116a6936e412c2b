//! Files that only their owner may read (the pepper, the database, the log of revocations, the set-up link), and what it
//! takes for one to survive a power cut.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
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
    if make_new(path).is_ok() {
        give_to_owner_of(folder_of(path), path);
    }
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
    give_to_owner_of(if path.exists() { path } else { folder_of(path) }, &new);
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
    File::open(folder_of(path))?.sync_all()
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a file that was just made to the owner and group of the one before it: who runs a command as root leaves nothing that a
/// server with a user of its own could not open. Anybody else cannot give files away, and need not. That it cannot be done is said.
pub fn give_to_owner_of(before: &Path, new: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let owner = |file: fs::Metadata| (file.uid(), file.gid());
    let given = fs::metadata(before).map(owner).and_then(|to| match fs::metadata(new).map(owner)? {
        own if own == to => Ok(()),
        _ => chown(new, Some(to.0), Some(to.1)),
    });
    if let Err(error) = given {
        tracing::warn!(file = %new.display(), %error, "this file stays root's, and a server of another user cannot open it");
    }
}

/// What there is to say beyond "permission denied": whose the file is, or its folder, and who asks.
pub fn whose(path: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    let (what, found) = match fs::metadata(path) {
        Ok(file) => ("it", file),
        Err(_) => match fs::metadata(folder_of(path)) {
            Ok(folder) => ("its folder", folder),
            Err(_) => return String::new(),
        },
    };
    let (mode, asks) = (found.mode() & 0o777, rustix::process::geteuid().as_raw());
    format!("; {what} belongs to uid {} (mode {mode:04o}), and this program runs as uid {asks}", found.uid())
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

    #[test]
    fn who_may_not_open_a_file_learns_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let path = folder.path().join("keystead.db");
        let of_folder = whose(&path, &denied);
        assert_eq!(
            of_folder,
            format!("; its folder belongs to uid {own} (mode 0700), and this program runs as uid {own}")
        );
        make(&path).unwrap();
        let of_file = whose(&path, &denied);
        assert_eq!(of_file, format!("; it belongs to uid {own} (mode 0600), and this program runs as uid {own}"));
        assert_eq!(whose(&path, &io::ErrorKind::StorageFull.into()), "");
    }

    /// Only root can give files away, so that this says nothing where somebody else runs it.
    #[test]
    fn what_root_makes_belongs_to_whom_the_folder_or_the_file_before_belongs_to() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(65_533), Some(65_532)).unwrap();
        let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
        let path = folder.path().join("keystead.db");
        make(&path).unwrap();
        assert_eq!(owner(&path), (65_533, 65_532));
        chown(&path, Some(65_531), Some(65_530)).unwrap();
        make(&path).unwrap();
        assert_eq!(owner(&path), (65_531, 65_530), "it was there");
        replace(&path, b"new").unwrap();
        assert_eq!(owner(&path), (65_531, 65_530));
        replace(&folder.path().join("other"), b"new").unwrap();
        assert_eq!(owner(&folder.path().join("other")), (65_533, 65_532));
    }

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
