//! The pepper's file: read at every start, made once, readable by its owner alone.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rand::{TryRng, rngs::SysRng};
use zeroize::Zeroizing;

use crate::{
    domain::pepper::{PEPPER_BYTES, Pepper},
    private_file::{self, LooseFile},
};

/// Why there is no pepper.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// The file cannot be read.
    #[error("cannot read the pepper file {0}: {1}{whose}", whose = private_file::whose(.0, .1))]
    Unreadable(PathBuf, io::Error),
    /// The file is no pepper.
    #[error("the pepper file {0} must hold exactly {PEPPER_BYTES} bytes, but holds {1}")]
    WrongLength(PathBuf, usize),
    /// Everybody may replace it.
    #[error("the pepper: {0}")]
    Loose(#[from] LooseFile),
    /// A new one could not be written.
    #[error("cannot write the pepper file {0}: {1}")]
    Unwritable(PathBuf, io::Error),
}

/// Reads the pepper; `None` when there is no such file.
///
/// # Errors
/// See [`PepperError`].
pub fn read(path: &Path) -> Result<Option<Pepper>, PepperError> {
    let pepper = look(path)?;
    if pepper.is_some() {
        private_file::mend_mode(path)?;
    }
    Ok(pepper)
}

/// As [`read`], and changes nothing, also not a mode that lets others read it.
///
/// # Errors
/// See [`PepperError`].
pub fn look(path: &Path) -> Result<Option<Pepper>, PepperError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PepperError::Unreadable(path.to_owned(), error)),
    };
    match <[u8; PEPPER_BYTES]>::try_from(bytes.as_slice()) {
        Ok(pepper) => Ok(Some(Pepper::new(pepper))),
        Err(_) => Err(PepperError::WrongLength(path.to_owned(), bytes.len())),
    }
}

/// Makes a new pepper. The file appears whole and with mode 0600, or not at all; a file that is there is never replaced: of
/// several nodes that make one at once, all have that of the first.
///
/// # Errors
/// See [`PepperError`].
pub fn create(path: &Path) -> Result<Pepper, PepperError> {
    let failed = |error| PepperError::Unwritable(path.to_owned(), error);
    let mut bytes = Zeroizing::new([0_u8; PEPPER_BYTES]);
    SysRng.try_fill_bytes(bytes.as_mut_slice()).map_err(|error| failed(io::Error::other(error)))?;
    // Not the process id: in a container it is always 1, and what a crash left behind would stand in the way for ever.
    let suffix = SysRng.try_next_u64().map_err(|error| failed(io::Error::other(error)))?;
    let whole = path.with_extension(format!("new-{suffix:016x}"));
    let mut file = private_file::make_new(&whole).map_err(failed)?;
    private_file::give_to_owner_of(private_file::folder_of(path), &file);
    let written = file
        .write_all(bytes.as_slice())
        .and_then(|()| file.sync_all())
        // A link, not a rename: it fails when somebody else made the file in the meantime.
        .and_then(|()| fs::hard_link(&whole, path));
    let removed = fs::remove_file(&whole);
    match written {
        // The other one's file is as whole as ours would have been.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return read(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()));
        }
        written => written.and(removed).map_err(failed)?,
    }
    // A database without its pepper is lost.
    private_file::sync_folder(path).map_err(failed)?;
    Ok(Pepper::new(*bytes))
}
