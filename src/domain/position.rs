//! A place in the history of changes: the number of a change and its random mark.
//!
//! The number alone does not name a change: after a backup was restored, or a standby promoted that had missed some changes,
//! another change gets the number of one that was lost. No two changes have the same mark.

use std::fmt;

use rand::{TryRng, rngs::SysRng};

use super::{hex, key_record::Epoch, secret::EntropyError};

/// 128 random bits that name one change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark(u128);

impl Mark {
    /// Of a change that was made before changes had marks, or of no change at all.
    pub const UNKNOWN: Self = Self(0);

    /// A mark for a change about to be made.
    ///
    /// # Errors
    /// [`EntropyError`] when the operating system gives no random bytes.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut bytes = [0_u8; 16];
        SysRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(u128::from_le_bytes(bytes).max(1)))
    }

    /// Reads a mark as it is stored: 32 hexadecimal digits, or nothing for [`Mark::UNKNOWN`].
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::UNKNOWN);
        }
        hex::decode(text).map(|bytes| Self(u128::from_be_bytes(bytes)))
    }

    /// Whether it names a change.
    pub const fn is_known(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() { write!(f, "{:032x}", self.0) } else { Ok(()) }
    }
}

/// A place in one history: every change up to this one, and this one by name. As text `42-` and the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// How many changes there were.
    pub epoch: Epoch,
    /// The last of them.
    pub mark: Mark,
}

impl Position {
    /// Reads the text of a position; `None` when it names no change.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, mark) = text.split_once('-')?;
        let epoch = epoch.parse().ok().filter(|epoch| *epoch > 0).filter(|_| epoch.bytes().all(|b| b.is_ascii_digit()));
        let mark = Mark::parse(mark).filter(|mark| mark.is_known())?;
        Some(Self { epoch: Epoch(epoch?), mark })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_can_be_read_back_and_nothing_else() {
        let position = Position { epoch: Epoch(42), mark: Mark::generate().unwrap() };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        let mark = position.mark.to_string();
        for text in ["", "42", "42-", "-1", &mark, &format!("0-{mark}"), &format!("+4-{mark}"), &format!("4-{mark}0")] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        assert_eq!(Position::parse(&format!("4-{}", mark.to_uppercase() + "A")), None);
    }

    #[test]
    fn no_two_changes_have_the_same_mark() {
        let (one, other) = (Mark::generate().unwrap(), Mark::generate().unwrap());
        assert!(one != other && one.is_known());
        assert_eq!(Mark::parse(""), Some(Mark::UNKNOWN));
        assert_eq!(Mark::UNKNOWN.to_string(), "");
    }
}
