//! What a verification reads of a key and of its organization: values that are never changed, and swapped whole.

use crate::domain::{
    code::Code,
    key_record::{KeyNumber, KeyRecord},
    verdict::ID_CHARS,
};

/// When a key ends that does not.
const NEVER: i64 = i64::MAX;
/// When one has ended that was revoked: before any time, so that no clock can take it for a living one.
const REVOKED: i64 = i64::MIN;

/// What is known of a key, but for its secrets. 40 bytes, which lie in the entry of the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Facts {
    /// Id and name in one piece.
    words: Box<str>,
    /// [`REVOKED`], or when it expires, in Unix milliseconds.
    ends_at: i64,
    /// What its usage is written by.
    number: KeyNumber,
    /// Number of its organization.
    pub organization: u32,
}

impl Facts {
    /// As the database has them.
    pub fn of(record: &KeyRecord, organization: u32) -> Self {
        let ends_at = record.expires_at.map_or(NEVER, |at| at.timestamp_millis());
        Self {
            words: format!("{}{}", record.id.as_str(), record.name).into(),
            ends_at: if record.is_revoked { REVOKED } else { ends_at },
            number: record.number,
            organization,
        }
    }

    /// The same where its organization has another number.
    pub fn of_organization(&self, organization: u32) -> Self {
        Self { organization, ..self.clone() }
    }

    /// Id, and right behind it the name.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// `key_…`.
    pub fn id(&self) -> &str {
        self.words.get(..ID_CHARS).unwrap_or_default()
    }

    /// What its usage is written by.
    pub fn number(&self) -> KeyNumber {
        self.number
    }

    /// Whether it was revoked.
    pub fn is_revoked(&self) -> bool {
        self.ends_at == REVOKED
    }

    /// Whether nobody may pass by these who could not by those before; by none nobody could.
    pub fn only_take_from(&self, before: Option<&Self>) -> bool {
        self.ends_at <= before.map_or(REVOKED, |before| before.ends_at)
    }

    /// What is to be answered to a secret of this key, in the one order of refusals.
    pub fn judge(&self, is_replaced: bool, now: i64) -> Code {
        if self.is_revoked() {
            Code::Revoked
        } else if is_replaced {
            Code::Rotated
        } else if self.ends_at <= now {
            Code::Expired
        } else {
            Code::Valid
        }
    }
}

/// What is known of an organization; its keys have its number, so that it is true for all of them at once.
#[derive(Clone, PartialEq, Eq)]
pub struct OrganizationFacts {
    /// `org_…`.
    pub id: Box<str>,
}
