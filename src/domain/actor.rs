//! Who acts, and from where: it goes into the audit log, and stands beside what they made.

use std::net::IpAddr;

use super::{
    ids::{KeyId, UserId},
    name::Name,
};

/// Where a request came from, as far as it can be known; goes into the audit log.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The peer, or the right-most hop that is no trusted proxy.
    pub address: Option<IpAddr>,
    /// `User-Agent`, cut to [`MAX_USER_AGENT`] characters.
    pub user_agent: Option<String>,
    /// Also stands in the log and on error pages.
    pub request_id: Option<String>,
}

/// The longest `User-Agent` kept, in characters.
pub const MAX_USER_AGENT: usize = 256;

/// Who does something. What is kept of them has the names of its time: an account renamed or removed later changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A member of an organization, with an account.
    Person(UserId, Name),
    /// One of the maker's programs, by the root key that it sent.
    RootKey(KeyId, Name),
    /// A person of the maker's, who runs this installation.
    Operator(UserId, Name),
    /// Whoever can run the binary against the database.
    CommandLine,
    /// Keystead itself.
    System(System),
}

/// What of Keystead acts without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The log of revocations, which remembers what a restored database does not.
    RevocationLog,
}

impl Actor {
    /// The kind, as stored. `user` is a person: the word of the first version.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Person(..) => "user",
            Self::RootKey(..) => "root_key",
            Self::Operator(..) => "operator",
            Self::CommandLine => "command_line",
            Self::System(System::RevocationLog) => "revocation_log",
        }
    }

    /// Id of the account or key, where there is one.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Person(id, _) | Self::Operator(id, _) => Some(id.as_str()),
            Self::RootKey(id, _) => Some(id.as_str()),
            Self::CommandLine | Self::System(_) => None,
        }
    }

    /// Name of the account or key, where there is one.
    pub const fn name(&self) -> Option<&Name> {
        match self {
            Self::Person(_, name) | Self::RootKey(_, name) | Self::Operator(_, name) => Some(name),
            Self::CommandLine | Self::System(_) => None,
        }
    }
}

/// Who made something, read back: for people, and nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creator {
    kind: String,
    name: Option<Name>,
}

impl Creator {
    /// Of a stored kind, also one that only a newer version knows, and the name that was kept.
    pub const fn new(kind: String, name: Option<Name>) -> Self {
        Self { kind, name }
    }

    /// What stands behind "by".
    pub fn label(&self) -> &str {
        match (&self.name, self.kind.as_str()) {
            (Some(name), _) => name.as_str(),
            (None, "command_line") => "the command line",
            (None, _) => "a program",
        }
    }
}

impl From<&Actor> for Creator {
    fn from(actor: &Actor) -> Self {
        Self::new(actor.kind().to_owned(), actor.name().cloned())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn whoever_made_something_has_a_label_also_one_of_a_kind_that_came_later() {
        let name = Name::parse("Maya Chen").unwrap();
        let label = |actor: &Actor| Creator::from(actor).label().to_owned();
        assert_eq!(label(&Actor::Person(UserId::generate(DateTime::UNIX_EPOCH), name.clone())), "Maya Chen");
        assert_eq!(label(&Actor::CommandLine), "the command line");
        assert_eq!(Creator::new("robot".to_owned(), None).label(), "a program");
        assert_eq!(Creator::new("robot".to_owned(), Some(name)).label(), "Maya Chen");
    }
}
