//! Names people type for keys, organizations and themselves: 1 to 64 visible characters.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// The longest name, in characters (Unicode scalar values) after trimming.
pub const MAX_CHARS: usize = 64;

/// A name that can be shown anywhere: trimmed, 1 to 64 characters, none of them invisible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("the name is empty")]
    Empty,
    /// More than [`MAX_CHARS`] characters are left after trimming.
    #[error("the name is longer than {MAX_CHARS} characters")]
    TooLong,
    /// It holds a control, bidirectional or zero-width character, or bytes that were not UTF-8.
    #[error("the name holds invisible or unreadable characters")]
    Invisible,
}

impl Name {
    /// Trims and checks; what is accepted is kept byte for byte.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.trim();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.chars().count() > MAX_CHARS {
            return Err(NameError::TooLong);
        }
        let mut before = ' ';
        for c in name.chars() {
            // An emoji such as ⚠️ ends in the variation selector U+FE0F; after a letter it would be a disguise.
            let selects_emoji = c == '\u{FE0F}' && !before.is_alphanumeric() && !before.is_whitespace();
            if is_invisible(c) && !selects_emoji {
                return Err(NameError::Invisible);
            }
            before = c;
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as it was typed, trimmed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two names are compared by: compatibility-normalized (NFKC, UAX #15) and without case, so that `Production`,
    /// `PRODUCTION` and full-width `Ｐroduction` are one name. Upper case first: only there `ß` meets `SS`, and the two
    /// lower-case sigmas each other.
    pub fn folded(&self) -> String {
        self.0.nfkc().collect::<String>().to_uppercase().to_lowercase().nfkc().collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that take no room or change how their neighbours are drawn: control characters, the bidirectional
/// controls and the rest of `Default_Ignorable_Code_Point` (Unicode 16, DerivedCoreProperties.txt), line and
/// paragraph separators, the interlinear annotation marks, the blank Braille cell, private use and noncharacters.
/// U+FFFD is here because form decoding turns bytes that are not UTF-8 (a lone surrogate, say) into it.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{2800}' | '\u{3164}' | '\u{E000}'..='\u{F8FF}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}' | '\u{FFFD}' | '\u{FDD0}'..='\u{FDEF}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{10FFFF}')
        || (c as u32) & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_names_of_every_script_are_kept_byte_for_byte() {
        for text in
            ["Production API Key", "<img src=x onerror=alert(1)>", "Ключ", "本番", "مفتاح", "Prod ⚠️", "a\"b'c&d", "é"]
        {
            assert_eq!(Name::parse(text).map(|n| n.0), Ok(text.to_owned()));
        }
    }

    #[test]
    fn blanks_around_are_cut() {
        assert_eq!(Name::parse(" \t Prod\u{00A0}").map(|n| n.0), Ok("Prod".to_owned()));
    }

    #[test]
    fn length_counts_characters_not_bytes() {
        assert!(Name::parse(&"é".repeat(64)).is_ok());
        assert_eq!(Name::parse(&"é".repeat(65)), Err(NameError::TooLong));
        assert_eq!(Name::parse(" \n "), Err(NameError::Empty));
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for c in [
            '\0',
            '\u{1b}',
            '\n',
            '\u{202E}',
            '\u{2066}',
            '\u{200B}',
            '\u{200D}',
            '\u{FEFF}',
            '\u{FFFD}',
            '\u{E0041}',
            '\u{FE0F}',
            '\u{FFFF}',
        ] {
            assert_eq!(Name::parse(&format!("a{c}b")), Err(NameError::Invisible), "{:04X}", c as u32);
        }
    }

    #[test]
    fn names_that_look_alike_fold_alike() {
        let folded = |text| Name::parse(text).map(|n| n.folded());
        assert_eq!(folded("PRODUCTION"), folded("production"));
        assert_eq!(folded("Ｐrod"), folded("prod"));
        assert_eq!(folded("Straße"), folded("STRASSE"));
        assert_eq!(folded("ΟΔΟΣ"), folded("οδοσ"));
        assert_ne!(folded("prod"), folded("prod 2"));
    }
}
