//! API keys as text: making them, reading them, and never letting one out by accident.
//!
//! ```text
//! key    = prefix "_" body check        talvin_live_c2vxxDbdTfMrZXUXgYUDjKCo1Y2eSr7KgOHCCTh6QaE1StJNc
//! prefix = [a-z][a-z0-9]{1,15} ( "_" [a-z0-9]{1,8} ){0,2}
//! body   = 43 base62 characters from the operating system's generator (256 bit)
//! check  = 6 base62 digits: CRC-32/ISO-HDLC over "prefix_body"
//! ```
//!
//! The checksum is for typing errors and secret scanners; it protects nothing. It covers the prefix, so that a key
//! relabelled from live to test is refused.

use std::fmt;

use rand::{TryRng, rngs::SysRng};
use zeroize::{Zeroize, Zeroizing};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of the random body: 62^43 > 2^256.
pub const BODY_CHARS: usize = 43;
/// Characters of the checksum: 62^6 > 2^32.
pub const CHECK_CHARS: usize = 6;
/// The longest key, in bytes: what is longer is refused before it is looked at.
pub const MAX_KEY_BYTES: usize = 96;
/// Characters of the body that may be shown again.
const HINT_CHARS: usize = 4;

/// The part of a key before its random body, such as `talvin_live`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(String);

/// The text cannot be a key prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key prefix is 2 to 16 characters a-z and 0-9 beginning with a letter, then at most two parts of \
     1 to 8 such characters, each after an underscore (talvin_live)"
)]
pub struct PrefixError;

impl KeyPrefix {
    /// Reads a prefix.
    ///
    /// # Errors
    /// [`PrefixError`] when the shape is not the one above.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        is_prefix(text).then(|| Self(text.to_owned())).ok_or(PrefixError)
    }

    /// Without the underscore that follows it in a key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last characters of a key's random body, shown in lists so that people can tell keys apart.
///
/// Four of 43 characters leave more than 230 bits unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHint(String);

impl KeyHint {
    /// Reads a stored hint; `None` for anything that is not four base62 characters.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == HINT_CHARS && text.bytes().all(is_base62)).then(|| Self(text.to_owned()))
    }

    /// The last four characters of the random part.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no key. The order is the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// More than [`MAX_KEY_BYTES`] bytes.
    #[error("longer than {MAX_KEY_BYTES} bytes")]
    Length,
    /// Something that is not ASCII.
    #[error("not ASCII")]
    Charset,
    /// Not `prefix_` and 49 base62 characters.
    #[error("not the shape of a key")]
    Shape,
    /// The last six characters do not belong to the rest.
    #[error("the checksum does not match")]
    Checksum,
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct EntropyError(#[from] rand::rngs::SysError);

/// A whole key in plain text, alive only between its making (or its arrival) and its digest.
///
/// It has no `Display`, no `Serialize` and a constant `Debug`, and its memory is zeroed on drop.
///
/// ```
/// # use keystead::domain::secret::{KeyPrefix, Secret};
/// let secret = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap();
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert!(secret.expose().starts_with("talvin_live_"));
/// ```
///
/// It cannot be displayed:
/// ```compile_fail
/// # use keystead::domain::secret::{KeyPrefix, Secret};
/// let secret = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap();
/// println!("{secret}");
/// ```
///
/// It cannot be serialized:
/// ```compile_fail
/// # use keystead::domain::secret::{KeyPrefix, Secret};
/// let secret = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap();
/// serde_json::to_string(&secret).unwrap();
/// ```
///
/// It cannot be copied:
/// ```compile_fail
/// # use keystead::domain::secret::{KeyPrefix, Secret};
/// let secret = Secret::generate(&KeyPrefix::parse("talvin_live").unwrap()).unwrap();
/// let another = secret.clone();
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new key with this prefix.
    ///
    /// # Errors
    /// [`EntropyError`] when the operating system gives no random bytes.
    pub fn generate(prefix: &KeyPrefix) -> Result<Self, EntropyError> {
        // Reserved at once: a growing string would leave pieces of the key in freed memory.
        let mut key = Zeroizing::new(String::with_capacity(MAX_KEY_BYTES));
        key.push_str(prefix.as_str());
        key.push('_');
        let full = key.len() + BODY_CHARS;
        let mut bytes = [0_u8; 64];
        while key.len() < full {
            SysRng.try_fill_bytes(&mut bytes)?;
            // Rejection sampling: of 64 equally likely values the last two are thrown away, so that no character
            // is likelier than another.
            let characters = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte >> 2)));
            for &character in characters.take(full - key.len()) {
                key.push(char::from(character));
            }
        }
        bytes.zeroize();
        let check = checksum(key.as_bytes());
        key.extend(check.map(char::from));
        Ok(Self(key))
    }

    /// Reads a key and keeps a copy.
    ///
    /// # Errors
    /// As [`PresentedKey::parse`].
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        PresentedKey::parse(text).map(|key| Self(Zeroizing::new(key.0.to_owned())))
    }

    /// The same as somebody would present it.
    pub fn as_presented(&self) -> PresentedKey<'_> {
        PresentedKey(&self.0)
    }

    /// The key itself. Who may call this is a short list in the architecture test.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be shown of it later.
    pub fn hint(&self) -> KeyHint {
        let body = &self.0[..self.0.len() - CHECK_CHARS];
        KeyHint(body[body.len() - HINT_CHARS..].to_owned())
    }
}

/// A well-formed key where a caller's request keeps it: verifying it makes no copy.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a>(&'a str);

impl<'a> PresentedKey<'a> {
    /// Reads a key as a caller sent it. Order: length, ASCII, shape, checksum.
    ///
    /// # Errors
    /// [`MalformedKey`] says which check failed first.
    pub fn parse(text: &'a str) -> Result<Self, MalformedKey> {
        if text.len() > MAX_KEY_BYTES {
            return Err(MalformedKey::Length);
        }
        if !text.is_ascii() {
            return Err(MalformedKey::Charset);
        }
        let (prefix, random) = text.split_at(text.len().saturating_sub(BODY_CHARS + CHECK_CHARS));
        let prefix = prefix.strip_suffix('_').ok_or(MalformedKey::Shape)?;
        // To the end whatever it finds: without a way out it is a handful of vector instructions.
        let is_random = random.bytes().fold(true, |all, byte| all & is_base62(byte));
        if !is_random || !is_prefix(prefix) {
            return Err(MalformedKey::Shape);
        }
        let (covered, check) = text.as_bytes().split_at(text.len() - CHECK_CHARS);
        if checksum(covered) != check {
            return Err(MalformedKey::Checksum);
        }
        Ok(Self(text))
    }

    /// The key itself. Who may call this is a short list in the architecture test.
    pub fn expose(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedKey(…)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn is_base62(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_prefix(text: &str) -> bool {
    let lower = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let mut parts = text.split('_');
    let first = parts.next().unwrap_or_default();
    let begins = first.starts_with(|c: char| c.is_ascii_lowercase()) && (2..=16).contains(&first.len()) && lower(first);
    let mut further = 0;
    begins
        && parts.all(|part| {
            further += 1;
            further <= 2 && (1..=8).contains(&part.len()) && lower(part)
        })
}

/// CRC-32/ISO-HDLC as six base62 digits, the most significant first.
fn checksum(covered: &[u8]) -> [u8; CHECK_CHARS] {
    let mut rest = crc32fast::hash(covered);
    let mut digits = [b'0'; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_can_be_read_back() {
        for prefix in ["talvin_live", "ab", "acme0123456789ab_staging1_eu000001"] {
            let secret = Secret::generate(&KeyPrefix::parse(prefix).unwrap()).unwrap();
            let read = Secret::parse(secret.expose()).unwrap();
            assert_eq!(read.expose(), secret.expose());
            assert_eq!(read.hint(), secret.hint());
            assert!(secret.expose().len() <= MAX_KEY_BYTES);
        }
    }

    #[test]
    fn the_hint_is_the_end_of_the_body_not_of_the_checksum() {
        let secret = Secret::parse("talvin_live_c2vxxDbdTfMrZXUXgYUDjKCo1Y2eSr7KgOHCCTh6QaE1StJNc").unwrap();
        assert_eq!(secret.hint().as_str(), "6QaE");
    }

    #[test]
    fn prefixes() {
        for good in ["ab", "a1", "talvin_live", "sk9_live_eu", "acme0123456789ab"] {
            assert!(KeyPrefix::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "1a", "Ab", "a-b", "ab_", "_ab", "ab__c", "ab_c_d_e", "ab_123456789", "acme0123456789abc"]
        {
            assert_eq!(KeyPrefix::parse(bad), Err(PrefixError), "{bad}");
        }
    }

    #[test]
    fn every_character_of_the_alphabet_is_drawn() {
        let prefix = KeyPrefix::parse("ab").unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let secret = Secret::generate(&prefix).unwrap();
            seen.extend(secret.expose()[3..3 + BODY_CHARS].bytes());
        }
        assert_eq!(seen.len(), 62);
    }
}
