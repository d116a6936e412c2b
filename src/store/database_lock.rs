//! Two servers on one SQLite file would each believe to be the only one, so that a key revoked by one would be good at the
//! other for a moment. A server holds these locks as long as it runs, and says in the file beside the database how far it has
//! applied changes: a command that changes a key can wait for it ([`ServerWatch`]). It is not in the database, where each change
//! would need a second write to the disk.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    domain::{
        key_record::Epoch,
        position::{Mark, Position},
    },
    private_file::{self, beside, whose},
};

/// The locks of a running server on its SQLite file; they end with the process, however it ends.
#[derive(Debug)]
pub struct DatabaseLock {
    /// On the file itself (Linux). It holds when the file beside it was removed, and by any name: a hard link is the same
    /// file.
    ///
    /// Trap: this descriptor must stay open as long as SQLite has the file open. SQLite locks by `fcntl`, and whoever closes
    /// *any* descriptor of a file takes away all such locks of his process on it. `flock`, which is used here, knows nothing
    /// of them on Linux; elsewhere the two get in each other's way.
    _database: Option<File>,
    /// On a file beside it. It holds when another file was put in the database's place.
    beside: File,
}

/// How often a lock is asked for that somebody has: a command that looks whether a server runs has it for a moment.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another keystead server is running on {0}; stop it first, or use Postgres for several nodes")]
    Taken(PathBuf),
    /// A file cannot be opened or locked.
    #[error("cannot lock {0}: {1}{whose}", whose = whose(.0, .1))]
    Failed(PathBuf, std::io::Error),
}

impl DatabaseLock {
    /// Locks this database, which exists, against any other server.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(path: &Path) -> Result<Self, LockError> {
        // By its real name: through a link it would be another lock.
        let real = path.canonicalize().map_err(|error| LockError::Failed(path.to_owned(), error))?;
        let mut how = OpenOptions::new();
        how.read(true).write(true);
        let lock_file = beside(&real, ".lock");
        // Its owner's alone: whoever can open it can hold the lock. What is in it is the running server's, until this one has it.
        let beside = lock(path, &lock_file, private_file::open_or_make(&lock_file, &how, &real))?;
        let _database = match cfg!(target_os = "linux") {
            true => Some(lock(path, &real, private_file::open(&real, &how))?),
            false => None,
        };
        beside.set_len(0).map_err(|error| LockError::Failed(lock_file, error))?;
        Ok(Self { _database, beside })
    }

    /// Tells whoever watches that every change up to this one is in this server's memory, and how long it may answer from there
    /// without the database.
    ///
    /// # Errors
    /// When the disk refuses; then whoever watches waits for as long as any lease may last.
    pub fn say(&self, applied: Position, lease: Duration) -> io::Result<()> {
        self.beside.write_all_at(Said { applied, lease }.line().as_bytes(), 0)
    }
}

fn lock(database: &Path, path: &Path, opened: io::Result<File>) -> Result<File, LockError> {
    let failed = |error| LockError::Failed(path.to_owned(), error);
    let file = opened.map_err(failed)?;
    for tried in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if tried < TRIES => std::thread::sleep(BETWEEN_TRIES),
            Err(TryLockError::WouldBlock) => return Err(LockError::Taken(database.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Ok(file)
}

/// What a running server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Every change up to this one is in its memory.
    pub applied: Position,
    /// How long it may answer from there without the database.
    pub lease: Duration,
}

/// Digits of an epoch, a mark and milliseconds: each line is as long as the one before, so that nothing of that stays behind it.
const LINE: usize = 20 + 1 + 32 + 1 + 10 + 1 + 8 + 1;

impl Said {
    /// `<epoch> <mark> <lease in milliseconds> <checksum>`
    fn line(self) -> String {
        let Position { epoch, mark } = self.applied;
        let words = format!("{:020} {:32} {:010}", epoch.0, mark.to_string(), self.lease.as_millis());
        format!("{words} {:08x}\n", crc32fast::hash(words.as_bytes()))
    }

    /// `None` for what is no line, or half an old and half a new one.
    fn read(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let (words, checksum) = line.rsplit_once(' ')?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(words.as_bytes()) {
            return None;
        }
        let (epoch, rest) = words.split_at_checked(20)?;
        let (mark, lease) = rest.get(1..)?.split_at_checked(32)?;
        let applied = Position { epoch: Epoch(epoch.parse().ok()?), mark: Mark::parse(mark.trim_end())? };
        Some(Self { applied, lease: Duration::from_millis(lease.trim_start().parse().ok()?) })
    }
}

/// Whether a server runs on a SQLite file, and how far it is.
#[derive(Debug)]
pub struct ServerWatch {
    /// Trap: to be opened before SQLite opens it, and closed after ([`DatabaseLock`]).
    database: Option<File>,
    beside: PathBuf,
}

/// Who answers from the keys of a SQLite file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Nobody.
    None,
    /// A server, and what it says, unless it has just started or cannot write.
    Running(Option<Said>),
}

impl ServerWatch {
    /// To be called before this process opens the database, which exists, and to be dropped after it was closed.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn start(path: &Path) -> io::Result<Self> {
        let real = path.canonicalize()?;
        let database = if cfg!(target_os = "linux") { Some(File::open(&real)?) } else { None };
        Ok(Self { database, beside: beside(&real, ".lock") })
    }

    /// Who answers now.
    ///
    /// # Errors
    /// When that cannot be found out: then somebody may.
    pub fn look(&self) -> io::Result<Server> {
        let beside = match private_file::open(&self.beside, OpenOptions::new().read(true)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let is_locked = |file: Option<&File>| file.map_or(Ok(false), is_locked_by_somebody);
        // A line in a file that nobody holds is what somebody said who is gone.
        let says = is_locked(beside.as_ref())?;
        if !says && !is_locked(self.database.as_ref())? {
            return Ok(Server::None);
        }
        let mut line = [0; LINE];
        let read = beside.filter(|file| says && file.read_exact_at(&mut line, 0).is_ok());
        Ok(Server::Running(read.and_then(|_| Said::read(&line))))
    }
}

fn is_locked_by_somebody(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(epoch: i64) -> Said {
        let applied = Position { epoch: Epoch(epoch), mark: Mark::generate().unwrap() };
        Said { applied, lease: Duration::from_secs(10) }
    }

    #[test]
    fn a_server_is_seen_as_long_as_it_holds_a_lock_and_as_far_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        std::fs::write(&path, "").unwrap();
        let watch = ServerWatch::start(&path).unwrap();
        assert_eq!(watch.look().unwrap(), Server::None);
        let lock = DatabaseLock::take(&path).unwrap();
        assert_eq!(watch.look().unwrap(), Server::Running(None));
        for epoch in [7, 8, i64::MAX, 1] {
            let said = said(epoch);
            lock.say(said.applied, said.lease).unwrap();
            assert_eq!(watch.look().unwrap(), Server::Running(Some(said)));
        }
        let nothing_yet = Said { applied: Position::default(), lease: Duration::from_secs(300) };
        lock.say(nothing_yet.applied, nothing_yet.lease).unwrap();
        assert_eq!(watch.look().unwrap(), Server::Running(Some(nothing_yet)));
        // Looking is no lock that stays.
        assert!(matches!(DatabaseLock::take(&path), Err(LockError::Taken(_))));
        drop(lock);
        assert_eq!(watch.look().unwrap(), Server::None, "what it said is nobody's any more");
        drop(DatabaseLock::take(&path).unwrap());
    }

    #[test]
    fn a_server_whose_lock_file_was_removed_is_still_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        std::fs::write(&path, "").unwrap();
        let lock = DatabaseLock::take(&path).unwrap();
        lock.say(said(3).applied, Duration::from_secs(1)).unwrap();
        std::fs::remove_file(folder.path().join("keystead.db.lock")).unwrap();
        assert_eq!(ServerWatch::start(&path).unwrap().look().unwrap(), Server::Running(None));
        // Nor does what lies there of another time say anything.
        std::fs::write(folder.path().join("keystead.db.lock"), said(9).line()).unwrap();
        assert_eq!(ServerWatch::start(&path).unwrap().look().unwrap(), Server::Running(None));
    }

    /// Whoever owns the folder could have root's command empty any file. The database itself may stand behind one.
    #[test]
    fn a_link_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("real.db"), "").unwrap();
        std::fs::write(at("theirs"), "theirs").unwrap();
        std::os::unix::fs::symlink("real.db", at("keystead.db")).unwrap();
        std::os::unix::fs::symlink("theirs", at("real.db.lock")).unwrap();
        let refused = DatabaseLock::take(&at("keystead.db")).unwrap_err().to_string();
        assert!(refused.contains("real.db.lock") && refused.contains("it is a link"), "{refused}");
        assert!(ServerWatch::start(&at("keystead.db")).unwrap().look().is_err());
        assert_eq!(std::fs::read_to_string(at("theirs")).unwrap(), "theirs");
        std::fs::remove_file(at("real.db.lock")).unwrap();
        drop(DatabaseLock::take(&at("keystead.db")).unwrap());
    }

    #[test]
    fn half_an_old_line_and_half_a_new_one_is_no_line() {
        let (old, new) = (said(7).line(), said(8).line());
        assert_eq!((old.len(), new.len()), (LINE, LINE));
        for at in 1..LINE {
            let torn = format!("{}{}", &new[..at], &old[at..]);
            let is_whole = torn == old || torn == new;
            assert_eq!(Said::read(torn.as_bytes()).is_some(), is_whole, "{at}");
        }
        assert_eq!(Said::read(b"\n"), None);
        assert_eq!(Said::read(&[0; LINE]), None);
    }
}
