//! The answer to "is this key good?".

use super::code::Code;

/// `key_` and 27 characters: the first of a key's words, the id; its name follows.
pub const ID_CHARS: usize = 31;

/// The key a verdict is about, lent by the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedKey<'a> {
    /// Id and name in one piece. Not taken apart before somebody asks: with a million keys that is a wait for memory.
    words: &'a str,
    /// Whose key it is: `org_…`.
    pub organization_id: &'a str,
}

impl<'a> VerifiedKey<'a> {
    /// `words` are the id, and right behind it the name.
    pub const fn new(words: &'a str, organization_id: &'a str) -> Self {
        Self { words, organization_id }
    }

    /// Stays the same over rotations: `key_…`.
    pub fn id(&self) -> &'a str {
        self.words.get(..ID_CHARS).unwrap_or_default()
    }

    /// For people and logs.
    pub fn name(&self) -> &'a str {
        self.words.get(ID_CHARS..).unwrap_or_default()
    }
}

/// What a verification answers: a code, and the key where one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    code: Code,
    key: Option<VerifiedKey<'a>>,
}

impl<'a> Verdict<'a> {
    /// The text cannot be a key.
    pub const MALFORMED: Self = Self { code: Code::Malformed, key: None };
    /// No such key.
    pub const NOT_FOUND: Self = Self { code: Code::NotFound, key: None };

    /// About a key that is known.
    pub const fn of(key: VerifiedKey<'a>, code: Code) -> Self {
        Self { code, key: Some(key) }
    }

    /// Whether it is good, or why not.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Whether the request may pass.
    pub const fn is_valid(&self) -> bool {
        matches!(self.code, Code::Valid)
    }

    /// The key, where one is known.
    pub const fn key(&self) -> Option<VerifiedKey<'a>> {
        self.key
    }
}
