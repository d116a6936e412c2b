//! What happened: one event for each create, rotate, revoke, sign-in, failed sign-in, sign-out and set-up.

use chrono::{DateTime, Utc};

use super::{
    actor::{Actor, Client},
    authority::Authority,
    ids::{KeyId, OrgId, UserId},
    name::Name,
};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// The first organization and its admin were made through the set-up link.
    SetUp,
    /// An admin was added from the command line.
    AdminCreated,
    /// An account got a new password from the command line, and its sessions ended.
    PasswordReset,
    /// A session began.
    SignedIn,
    /// A wrong password, or an address without an account.
    SignInFailed,
    /// A session was ended by its owner.
    SignedOut,
    /// A key and its first secret were made.
    KeyCreated,
    /// A key got a new secret and the old one ended.
    KeyRotated,
    /// A key ended.
    KeyRevoked,
    /// A secret of a living key was ended once more, after the database had gone back to a time before its end.
    KeySecretEnded,
    /// Somebody said that what the log of revocations remembers need not hold any more.
    RevocationsGivenUp,
}

impl AuditAction {
    /// As stored and, later, exported: `noun.verb`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SetUp => "installation.set_up",
            Self::AdminCreated => "admin.created",
            Self::PasswordReset => "admin.password_reset",
            Self::SignedIn => "session.signed_in",
            Self::SignInFailed => "session.sign_in_failed",
            Self::SignedOut => "session.signed_out",
            Self::KeyCreated => "key.created",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::KeySecretEnded => "key.secret_ended",
            Self::RevocationsGivenUp => "revocations.given_up",
        }
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditActor {
    /// Somebody we know.
    Known(Actor),
    /// Nobody we know; the text is the email address they tried, when it could be one.
    Anonymous(Option<String>),
}

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An admin who was created, an account whose password was reset.
    User(UserId, Name),
    /// A key.
    Key(KeyId, Name),
}

/// One thing that an event changed, for people who look into the log later. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Which, such as `hint`.
    pub field: &'static str,
    /// What it was; `None` if there was none.
    pub before: Option<String>,
    /// What it is since.
    pub after: Option<String>,
}

impl FieldChange {
    /// From one text to another.
    pub fn new(field: &'static str, before: Option<&str>, after: Option<&str>) -> Self {
        Self { field, before: before.map(str::to_owned), after: after.map(str::to_owned) }
    }
}

/// One row of the audit log. It keeps the names of its time: a key renamed or an account removed later changes nothing.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Whose log it belongs to; `None` for a failed sign-in to no known account.
    pub organization_id: Option<OrgId>,
    /// The person or program that did it.
    pub actor: AuditActor,
    /// What was done.
    pub action: AuditAction,
    /// What it was done to.
    pub target: Option<Target>,
    /// What is not the same afterwards, as far as it can be told.
    pub changes: Vec<FieldChange>,
    /// When it was done.
    pub at: DateTime<Utc>,
    /// Address, program and request id, as far as there was a request.
    pub client: Client,
}

impl AuditEvent {
    /// Something that somebody did to a key of their organization.
    pub fn of_key(
        authority: &Authority,
        action: AuditAction,
        key: (KeyId, Name),
        changes: Vec<FieldChange>,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            organization_id: Some(authority.organization_id().clone()),
            actor: AuditActor::Known(authority.actor().clone()),
            action,
            target: Some(Target::Key(key.0, key.1)),
            changes,
            at,
            client: authority.client().clone(),
        }
    }
}
