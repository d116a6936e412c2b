//! Passwords: 15 to 128 characters, no composition rules, well-known ones refused (NIST SP 800-63B-4, 3.1.1.2).
//!
//! What a person types comes in several spellings: macOS may send `e` and an accent where Windows sends `é`, an input method
//! wide letters where another sends narrow ones. A password is therefore hashed in one of them, NFKC (UAX #15).

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The shortest password, in characters.
pub const MIN_CHARS: usize = 15;
/// The longest password, in characters.
pub const MAX_CHARS: usize = 128;

/// Well-known passwords of at least 15 characters, one a line, in lower case.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password that may be chosen for an account, in NFKC.
pub struct NewPassword(Zeroizing<String>);

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than [`MIN_CHARS`] characters.
    #[error("use at least {MIN_CHARS} characters")]
    TooShort,
    /// More than [`MAX_CHARS`] characters.
    #[error("use {MAX_CHARS} characters or fewer")]
    TooLong,
    /// Well known, one piece repeated, a row of neighbours, or the account's own name.
    #[error("this password is too easy to guess")]
    Guessable,
}

impl NewPassword {
    /// Checks a password; `context` are words an attacker would try first: the email address, names.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn parse(text: String, context: &[&str]) -> Result<Self, PasswordError> {
        let text = normalized(Zeroizing::new(text).nfkc());
        match text.chars().count() {
            0..MIN_CHARS => return Err(PasswordError::TooShort),
            MIN_CHARS..=MAX_CHARS => {}
            _ => return Err(PasswordError::TooLong),
        }
        let folded = Zeroizing::new(text.to_lowercase());
        let context_word = context.iter().any(|word| !word.is_empty() && *folded == word.to_lowercase());
        if context_word || COMMON.lines().any(|line| *line == **folded) || repeats(&folded) || is_row(&folded) {
            return Err(PasswordError::Guessable);
        }
        Ok(Self(text))
    }

    /// The password itself, for the hash.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

/// A password somebody types to sign in, in every spelling it may have been hashed in. Debug shows nothing of it.
pub struct TypedPassword(Vec<Zeroizing<String>>);

impl TypedPassword {
    /// Takes what was typed.
    pub fn new(text: Zeroizing<String>) -> Self {
        // The first is how passwords are hashed now. The others are how they were hashed when they were taken as they came:
        // as this person's system spells them, or the one they had then. ASCII has one spelling.
        let (nfkc, nfc, nfd) = (normalized(text.nfkc()), normalized(text.nfc()), normalized(text.nfd()));
        let mut spellings = vec![nfkc];
        for other in [text, nfc, nfd] {
            if !spellings.contains(&other) {
                spellings.push(other);
            }
        }
        Self(spellings)
    }

    /// Every spelling, at least one; how many depends on what was typed alone.
    pub fn spellings(&self) -> &[Zeroizing<String>] {
        &self.0
    }
}

impl std::fmt::Debug for TypedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TypedPassword(…)")
    }
}

/// Collected without leaving pieces behind: a string that grows copies itself, and nobody wipes the copy.
fn normalized(text: impl Iterator<Item = char> + Clone) -> Zeroizing<String> {
    let mut whole = Zeroizing::new(String::with_capacity(text.clone().map(char::len_utf8).sum()));
    whole.extend(text);
    whole
}

/// One piece of at most 8 bytes, over and over: `passwordpassword`, `abcabcabcabcabc`.
fn repeats(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=8).any(|piece| bytes.iter().zip(bytes.iter().skip(piece)).all(|(a, b)| a == b))
}

/// Each character the neighbour of the one before: `abcdefghijklmnop`, `987654321098765`.
fn is_row(text: &str) -> bool {
    let neighbours = |step: i16| {
        text.as_bytes().windows(2).all(|pair| {
            let difference = i16::from(pair[1]) - i16::from(pair[0]);
            difference == step || (pair[0].is_ascii_digit() && pair[1].is_ascii_digit() && difference == step * -9)
        })
    };
    neighbours(1) || neighbours(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Option<PasswordError> {
        NewPassword::parse(text.to_owned(), &["maya.chen@example.com", "Acme Robotics Ltd"]).err()
    }

    #[test]
    fn long_ones_are_welcome_whatever_they_are_made_of() {
        for text in [
            "correct horse battery",
            "ключ от квартиры где",
            "fifteen chars..",
            &"🔑🗝 x".repeat(32)[..],
            "314159265358979",
            "56789:123456789",
        ] {
            assert_eq!(error(text), None, "{text}");
        }
    }

    #[test]
    fn however_a_system_spells_it_a_password_is_hashed_in_one_spelling() {
        let hashed = |text: &str| NewPassword::parse(text.to_owned(), &[]).unwrap().0.to_string();
        let composed = "Gr\u{fc}\u{df}e aus M\u{fc}nchen";
        for other in ["Gru\u{308}\u{df}e aus Mu\u{308}nchen", "Ｇr\u{fc}\u{df}e\u{a0}aus\u{3000}M\u{fc}nchen"] {
            assert_eq!(hashed(other), composed, "{other}");
            assert_eq!(TypedPassword::new(other.to_owned().into()).spellings()[0].as_str(), composed, "{other}");
        }
        assert_eq!(
            error("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}"),
            Some(PasswordError::TooShort),
            "eight é"
        );
    }

    #[test]
    fn a_password_hashed_as_it_came_is_among_the_spellings() {
        let spellings = |text: &str| TypedPassword::new(text.to_owned().into()).0;
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        for (stored, typed) in
            [(composed, composed), (composed, decomposed), (decomposed, composed), ("ｃａｆé", "ｃａｆé")]
        {
            assert!(spellings(typed).iter().any(|spelling| **spelling == *stored), "{stored} typed as {typed}");
        }
        assert_eq!(spellings("correct horse battery").len(), 1, "ASCII costs one hash");
    }

    #[test]
    fn others_are_not() {
        assert_eq!(error("14 characters."), Some(PasswordError::TooShort));
        assert_eq!(error(&"x y".repeat(43)), Some(PasswordError::TooLong));
        for text in [
            "passwordpassword",
            "abcabcabcabcabcabc",
            "aaaaaaaaaaaaaaaa",
            "123456789012345",
            "987654321098765",
            "abcdefghijklmnop",
            "Maya.Chen@example.com",
            "ACME ROBOTICS LTD",
            "qwertyuiopasdfgh",
            "CorrectHorseBatteryStaple",
        ] {
            assert_eq!(error(text), Some(PasswordError::Guessable), "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_them() {
        let new = NewPassword::parse("correct horse battery".to_owned(), &[]).unwrap();
        let typed = TypedPassword::new("correct horse battery".to_owned().into());
        assert_eq!(format!("{new:?} {typed:?}"), "NewPassword(…) TypedPassword(…)");
    }
}
