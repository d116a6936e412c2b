//! Names people type for keys, organizations and themselves: 1 to 64 visible characters.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::text::{belongs_there, is_ignorable, is_invisible};

/// The longest name, in characters (Unicode scalar values) after trimming.
pub const MAX_CHARS: usize = 64;

/// A name that can be shown anywhere: trimmed, 1 to 64 characters, none of them invisible but for the joiners and selectors
/// that belong to how a language or an emoji is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("the name is empty")]
    Empty,
    /// More than [`MAX_CHARS`] characters are left after trimming.
    #[error("the name is longer than {MAX_CHARS} characters")]
    TooLong,
    /// It holds a control, bidirectional or zero-width character where none belongs, or bytes that were not UTF-8.
    #[error("the name cannot be shown as it is: {0}")]
    Invisible(Invisible),
}

/// A character that cannot be seen, and the visible ones before it; shown as what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invisible {
    found: char,
    after: String,
}

/// So much of the name says where in it something is.
const SHOWN_BEFORE: usize = 12;

impl Invisible {
    fn at(name: &[char], at: usize) -> Self {
        let visible: Vec<char> = name[..at].iter().copied().filter(|&c| !is_invisible(c)).collect();
        let after = visible[visible.len().saturating_sub(SHOWN_BEFORE)..].iter().collect();
        Self { found: name[at], after }
    }
}

impl fmt::Display for Invisible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.after.trim() {
            "" => "at the beginning".to_owned(),
            after => format!("after “{after}”"),
        };
        match self.found {
            '\u{FFFD}' => write!(f, "A character {place} can't be read. Type the name again."),
            '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                write!(f, "Remove the line break {place}: a name is one line.")
            }
            '\t' => write!(f, "Replace the tab {place} with a space."),
            found => write!(
                f,
                "Something that can't be seen (U+{:04X}) stands {place}. Delete it, or type the name again.",
                u32::from(found)
            ),
        }
    }
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
        let characters: Vec<char> = name.chars().take(MAX_CHARS + 1).collect();
        if characters.len() > MAX_CHARS {
            return Err(NameError::TooLong);
        }
        if let Some(at) =
            (0..characters.len()).find(|&at| is_invisible(characters[at]) && !belongs_there(&characters, at))
        {
            return Err(NameError::Invisible(Invisible::at(&characters, at)));
        }
        if characters.iter().all(|&c| is_invisible(c)) {
            return Err(NameError::Invisible(Invisible::at(&characters, 0)));
        }
        Ok(Self(name.to_owned()))
    }

    /// A name read back. One that would not be accepted today, because the rule was another when it was typed or somebody wrote it by
    /// hand, is cut and has U+FFFD in the place of what cannot be seen: it must not keep anybody from ending the key that has it.
    pub fn stored(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_| {
            let shown = |c| if is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c };
            let name: String = text.trim().chars().take(MAX_CHARS).map(shown).collect();
            Self(if name.is_empty() { char::REPLACEMENT_CHARACTER.to_string() } else { name })
        })
    }

    /// The name as it was typed, trimmed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What two names are compared by: compatibility-normalized (NFKC, UAX #15), without case, joiners and selectors, and
    /// with single blanks, so that `Production`, `PRODUCTION` and full-width `Ｐroduction` are one name. Upper case first:
    /// only there `ß` meets `SS`, and the two lower-case sigmas each other.
    pub fn folded(&self) -> String {
        // Tags stay: they alone tell the flag of Scotland from that of Wales.
        let is_left_out = |c: &char| is_ignorable(*c) && !matches!(c, '\u{E0020}'..='\u{E007F}');
        let seen: String = self.0.chars().filter(|c| !is_left_out(c)).collect();
        fold(&seen).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// What a name like this may be stored under: [`Self::folded`], and what that was before blanks and selectors were
    /// left out.
    pub fn spellings(&self) -> [String; 2] {
        [self.folded(), fold(&self.0)]
    }
}

fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_uppercase().to_lowercase().nfkc().collect()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
