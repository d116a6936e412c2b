//! What would keep a server from starting, as far as that shows without making or changing anything.

use std::{fs, io, path::Path, time::Duration};

use rustix::fs::{Access, access};

use super::{
    older_database::{look_for_older, revocation_log_path},
    start_error::StartError,
};
use crate::{
    config::{Config, DatabaseUrl},
    domain::hex,
    pepper_file::{self, PepperError},
    private_file::{beside, check_if_there, folder_of},
    revocation_log::{self, RevocationLogError},
    store::{StoreError, database_lock::LockError, installation, revived::Revived},
};

/// How long Postgres may take for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The files and folders that a start makes, reads or writes.
pub fn inspect_files(config: &Config) -> Vec<StartError> {
    if let Err(error) = can_make_folder(&config.data_dir) {
        return vec![StartError::DataDir(config.data_dir.clone(), error)];
    }
    let can_write = |path: &Path| can_write(path, &config.data_dir);
    let mut found = Vec::new();
    if let DatabaseUrl::Sqlite(path) = &config.database {
        let lock = beside(path, ".lock");
        if let Err(error) = can_write(path) {
            found.push(StartError::DatabaseFile(path.clone(), error));
        } else if let Err(error) =
            can_write(&lock).and_then(|()| check_if_there(&lock)).and_then(|()| can_write(&beside(path, "-wal")))
        {
            found.push(LockError::Failed(lock, error).into());
        }
    }
    let log = revocation_log_path(config);
    match can_write(&log) {
        Err(error) => found.push(RevocationLogError::Io(log, error).into()),
        Ok(()) => found.extend(revocation_log::look(&log).err().map(StartError::from)),
    }
    // One that is there was looked at as a setting.
    if let Ok(None) = pepper_file::look(&config.pepper_file)
        && let Err(error) = can_write(&config.pepper_file)
    {
        found.push(PepperError::Unwritable(config.pepper_file.clone(), error).into());
    }
    found
}

/// What a database with our tables and the files of this server are to each other: what is wrong, and what of the log of
/// revocations is alive in it.
///
/// # Errors
/// When the database cannot be read.
pub fn inspect_database(config: &Config) -> Result<(Option<StartError>, Option<Revived>), StartError> {
    let failed = |error| StartError::Database(config.database.clone(), error);
    let Some(mut conn) = config.database.connect_to_look(PATIENCE).map_err(failed)? else { return Ok((None, None)) };
    let check = installation::find(&mut conn, installation::PEPPER_CHECK).map_err(|error: StoreError| failed(error))?;
    drop(conn);
    let path = || config.pepper_file.clone();
    let wrong = match (check, pepper_file::look(&config.pepper_file)) {
        (Some(_), Ok(None)) => Some(StartError::PepperMissing(path())),
        (Some(check), Ok(Some(own))) if check != hex::encode(&own.check_value()) => {
            Some(StartError::WrongPepper(path()))
        }
        _ => None,
    };
    match look_for_older(config) {
        Ok(revived) => Ok((wrong, revived)),
        // It was told with the files.
        Err(StartError::RevocationLog(_)) => Ok((wrong, None)),
        Err(error) => Err(error),
    }
}

/// Whether there is such a folder, or one can be made.
fn can_make_folder(path: &Path) -> io::Result<()> {
    let is_there = |folder: &&Path| !matches!(fs::symlink_metadata(named(folder)), Err(error) if error.kind() == io::ErrorKind::NotFound);
    let nearest = path.ancestors().find(is_there).map(named).unwrap_or(Path::new("/"));
    if !fs::metadata(nearest)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if nearest == named(path) { Ok(()) } else { can_add_to(nearest) }
}

/// The end of the ancestors of a relative path is this folder.
fn named(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Whether a file can be read and written, or made, also in a folder that is going to be made.
fn can_write(path: &Path, made: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(path, Access::READ_OK | Access::WRITE_OK)?),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Err(_) if folder_of(path) == made && !made.exists() => Ok(()),
        Err(_) => can_add_to(folder_of(path)),
    }
}

fn can_add_to(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// What is said of an older database that a start refuses.
pub fn refusal(config: &Config, revived: Revived) -> StartError {
    StartError::OlderDatabase(revived, revocation_log_path(config))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_a_start_could_make_is_no_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { folder.path().join(name) };
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        let kind = |done: io::Result<()>| done.err().map(|error| error.kind());
        assert_eq!(kind(can_make_folder(&at("a/b/c"))), None);
        assert_eq!(kind(can_make_folder(folder.path())), None);
        assert_eq!(kind(can_make_folder(Path::new("no-such-folder/of/ours"))), None);
        assert_eq!(kind(can_make_folder(&at("file"))), Some(io::ErrorKind::NotADirectory));
        assert_eq!(kind(can_make_folder(&at("file/b"))), Some(io::ErrorKind::NotADirectory));
        assert_eq!(kind(can_make_folder(&at("link/b"))), Some(io::ErrorKind::NotFound));
        let made = at("a");
        assert_eq!(kind(can_write(&at("file"), &made)), None);
        assert_eq!(kind(can_write(&at("new"), &made)), None);
        assert_eq!(kind(can_write(&at("a/new"), &made)), None, "its folder is going to be made");
        assert_eq!(kind(can_write(&at("b/new"), &made)), Some(io::ErrorKind::NotFound));
        assert_eq!(kind(can_write(folder.path(), &made)), Some(io::ErrorKind::IsADirectory));
        assert_eq!(kind(can_write(&at("file/new"), &made)), Some(io::ErrorKind::NotADirectory));
    }
}
