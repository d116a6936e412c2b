//! People with an account.

use chrono::{DateTime, Utc};

use super::{
    email::Email,
    ids::UserId,
    name::Name,
    permission::{Permission, Permissions},
};

/// A person who can sign in.
#[derive(Clone, Debug)]
pub struct User {
    /// Never given to another person, also when this one was removed.
    pub id: UserId,
    /// What they sign in with.
    pub email: Email,
    /// What others see ("by Maya Chen").
    pub name: Name,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

/// What a member may do in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Creates, rotates and revokes keys.
    Admin,
}

impl Role {
    /// The word that the database has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }

    /// What it lets somebody do. Each role by name: one that is added does not compile until somebody has said it here.
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Admin => Permissions::of(&[Permission::ReadKeys, Permission::CreateKeys, Permission::ChangeKeys]),
        }
    }

    /// As stored, read back.
    pub fn parse(text: &str) -> Option<Self> {
        (text == "admin").then_some(Self::Admin)
    }

    /// The word that people see.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
        }
    }
}
