//! The random token in a form, by which the same form sent twice is known.

use rand::{TryRng, rngs::SysRng};

use super::{hex, secret::EntropyError};

/// 128 random bits as 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormToken(String);

impl FormToken {
    /// A token for a form about to be shown.
    ///
    /// # Errors
    /// [`EntropyError`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut bytes = [0_u8; 16];
        SysRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(hex::encode(&bytes)))
    }

    /// Reads the token of a form that came back; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        hex::is_of(text, 16).then(|| Self(text.to_owned()))
    }

    /// As it stands in the form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
