//! The text of the log: a head for people, then one line for each secret that ended.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    path::Path,
};

use chrono::{DateTime, Utc};

use super::RevocationLogError;
use crate::{
    domain::{
        ended_secret::{EndedSecret, Ending},
        hex,
        ids::KeyId,
        pepper::SecretDigest,
    },
    private_file,
};

/// The first line of the file; lines that begin with `#` are for people.
pub const HEAD: &str =
    "# Keystead: what was revoked or rotated. Keep this file when you restore a database (docs/operations.md).\n";

/// What the second line begins with in a log from which old lines were removed.
const COMPLETE_FROM: &str = "# complete from ";

/// What is in a log.
#[derive(Default)]
pub struct Lines {
    /// What can be read.
    pub entries: Vec<EndedSecret>,
    /// The number of the first line that cannot, counted from 1.
    pub damaged: Option<usize>,
    /// What ended before this time may have been removed.
    pub complete_from: Option<DateTime<Utc>>,
}

/// Reads a log. A last line without an end was cut short by a crash, and is none.
pub fn read(path: &Path) -> Result<Lines, RevocationLogError> {
    bytes_of(path).map(|bytes| lines_of(&bytes)).map_err(|error| RevocationLogError::Io(path.to_owned(), error))
}

/// The content of a log, which is no link.
pub fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    private_file::open(path, OpenOptions::new().read(true))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is in a log, without making or changing one; nothing if there is none.
///
/// # Errors
/// See [`RevocationLogError`].
pub fn look(path: &Path) -> Result<Vec<EndedSecret>, RevocationLogError> {
    match read(path) {
        Ok(Lines { damaged: Some(line), .. }) => Err(RevocationLogError::Damaged(path.to_owned(), line)),
        Ok(lines) => Ok(lines.entries),
        Err(RevocationLogError::Io(_, error)) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Its folder may be none: that is said by whoever wants to make it.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The same, of the content of a log.
pub fn lines_of(bytes: &[u8]) -> Lines {
    let mut lines = Lines::default();
    for (number, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let text = std::str::from_utf8(line).ok();
        if line.first() == Some(&b'#') {
            lines.complete_from = lines.complete_from.max(text.and_then(parse_complete_from));
            continue;
        }
        match text.and_then(parse) {
            Some(entry) => lines.entries.push(entry),
            None => lines.damaged = lines.damaged.or(Some(number + 1)),
        }
    }
    lines
}

/// A whole log of these entries.
pub fn text_of(complete_from: Option<DateTime<Utc>>, entries: &[EndedSecret]) -> String {
    let complete_from = complete_from.map(line_of_beginning).unwrap_or_default();
    HEAD.to_owned() + &complete_from + &entries.iter().map(line_of).collect::<String>()
}

/// The line that says from when on a log is complete. It counts wherever it stands, and of several the latest time.
pub fn line_of_beginning(complete_from: DateTime<Utc>) -> String {
    format!("{COMPLETE_FROM}{}\n", complete_from.timestamp_millis())
}

fn parse_complete_from(line: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(line.strip_prefix(COMPLETE_FROM)?.parse().ok()?)
}

/// `1795414260000 revoked key_… <digest> <checksum>`
pub fn line_of(secret: &EndedSecret) -> String {
    let (at, digest) = (secret.at.timestamp_millis(), hex::encode(&secret.digest.0));
    let words = format!("{at} {} {} {digest}", secret.ending.as_str(), secret.key_id.as_str());
    format!("{words} {:08x}\n", crc32fast::hash(words.as_bytes()))
}

fn parse(line: &str) -> Option<EndedSecret> {
    let (words, checksum) = line.rsplit_once(' ')?;
    if checksum.len() != 8 || u32::from_str_radix(checksum, 16).ok()? != crc32fast::hash(words.as_bytes()) {
        return None;
    }
    let mut words = words.split(' ');
    let at = DateTime::from_timestamp_millis(words.next()?.parse().ok()?)?;
    let ending = Ending::parse(words.next()?)?;
    let key_id = KeyId::parse(words.next()?)?;
    let digest = SecretDigest(hex::decode(words.next()?)?);
    words.next().is_none().then_some(EndedSecret { at, ending, key_id, digest })
}
