//! Files that only their owner may read (the pepper, the database, the log of revocations, the set-up link), and what it
//! takes for one to survive a power cut.
//!
//! Trap: who runs a command as root (`sudo keystead restore`) works in a folder in which the server's user may put whatever it
//! likes, also a link to a file of root's. So no link is followed there, only what was just made is given away, by its
//! descriptor, and a file of somebody else's that has a second name is not written.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use rustix::{fs::OFlags, process::geteuid};

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
/// When it cannot be made, or is a link.
pub fn make(path: &Path) -> io::Result<()> {
    open_or_make(path, OpenOptions::new().append(true), folder_of(path)).map(drop)
}

/// Opens a file, or makes an empty one that belongs to whom `before` belongs to.
///
/// # Errors
/// When it can be neither opened nor made, is a link, or not to be written by root.
pub fn open_or_make(path: &Path, how: &OpenOptions, before: &Path) -> io::Result<File> {
    loop {
        match open(path, how) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match how.clone().create_new(true).mode(0o600).open(path) {
            // Somebody else made it in between.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.inspect(|file| give_to_owner_of(before, file)),
        }
    }
}

/// Opens a file that is there.
///
/// # Errors
/// When it cannot be opened, is a link, or not to be written by root.
pub fn open(path: &Path, how: &OpenOptions) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    match how.clone().custom_flags(flags).open(path) {
        Ok(file) => refuse_of_others(path, &file.metadata()?).map(|()| file),
        Err(_) if path.is_symlink() => {
            Err(io::Error::other("it is a link, which is not followed here; put the file itself there"))
        }
        Err(error) => Err(error),
    }
}

/// Refuses what is no file, and to root a file of somebody else than its folder's owner that has a second name: it may have been
/// linked there.
fn refuse_of_others(path: &Path, found: &Metadata) -> io::Result<()> {
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let owner_of_folder = fs::metadata(folder_of(path))?.uid();
    if may_write(geteuid().is_root(), (found.uid(), found.nlink()), owner_of_folder) {
        return Ok(());
    }
    Err(io::Error::other("it has a second name and is not its folder's owner's; root does not write to it"))
}

/// The same for a file that somebody else is going to open, if it is there. SQLite itself follows no link beside a database.
///
/// # Errors
/// As [`open`].
pub fn check_if_there(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) => refuse_of_others(path, &found),
        Err(_) => Ok(()),
    }
}

/// A name that is the only one was given by whoever made the file.
fn may_write(is_root: bool, (owner, names): (u32, u64), owner_of_folder: u32) -> bool {
    !is_root || names <= 1 || owner == owner_of_folder
}

/// Whether this link may stand for what it names. One that somebody else than root put there, or could replace, may not for root.
///
/// # Errors
/// That it may not, and what to do.
pub fn may_follow(link: &Path) -> io::Result<()> {
    let (link, folder) = (fs::symlink_metadata(link)?, fs::metadata(folder_of(link))?);
    if is_followed(geteuid().is_root(), link.uid(), folder.uid()) {
        return Ok(());
    }
    let words = format!(
        "is a link in a folder of uid {}, which root does not follow; run this as that user, or name the file itself",
        folder.uid()
    );
    Err(io::Error::other(words))
}

fn is_followed(is_root: bool, owner: u32, owner_of_folder: u32) -> bool {
    !is_root || (owner == 0 && owner_of_folder == 0)
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
    let is_there = fs::symlink_metadata(path).is_ok_and(|before| before.is_file());
    give_to_owner_of(if is_there { path } else { folder_of(path) }, &file);
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

/// Gives a file that this process has just made to the owner and group of the one before it: who runs a command as root leaves
/// nothing that a server with a user of its own could not open. Anybody else cannot give files away, and need not. That it cannot
/// be done is said.
pub fn give_to_owner_of(before: &Path, new: &File) {
    if !geteuid().is_root() {
        return;
    }
    let owner = |file: Metadata| (file.uid(), file.gid());
    let given = fs::metadata(before).map(owner).and_then(|to| match new.metadata().map(owner)? {
        own if own == to => Ok(()),
        _ => fchown(new, Some(to.0), Some(to.1)),
    });
    if let Err(error) = given {
        tracing::warn!(beside = %before.display(), %error, "a new file stays root's, and a server of another user cannot open it");
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
    let (mode, asks) = (found.mode() & 0o777, geteuid().as_raw());
    format!("; {what} belongs to uid {} (mode {mode:04o}), and this program runs as uid {asks}", found.uid())
}

/// Whether the path still names the file that was opened.
pub fn is_named(path: &Path, file: &File) -> bool {
    let (named, own) = (fs::metadata(path), file.metadata());
    named.is_ok_and(|named| own.is_ok_and(|own| (named.dev(), named.ino()) == (own.dev(), own.ino())))
}

/// Takes away what others may do with a file that was copied, restored or made by somebody else, and says so in the log. A
/// mounted secret cannot be changed; that others can read it is then said, and borne.
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
    match behind_link(path).and_then(|real| tighten(&real)) {
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

/// The file that a path is about, through links that may be followed.
fn behind_link(path: &Path) -> io::Result<PathBuf> {
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    may_follow(path)?;
    path.canonicalize()
}

fn tighten(path: &Path) -> io::Result<()> {
    let file = open(path, OpenOptions::new().read(true))?;
    file.set_permissions(Permissions::from_mode(file.metadata()?.permissions().mode() & 0o700))
}

#[cfg(test)]
mod tests;
