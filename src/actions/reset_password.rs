//! Reset a password from the command line: the account gets a new one, and every session of it ends, in one transaction.

use crate::{
    clock::Clock,
    domain::{
        actor::{Actor, Client},
        audit_event::{AuditAction, AuditActor, AuditEvent, Target},
        email::Email,
        password::NewPassword,
    },
    passwords::{PasswordFault, Passwords},
    store::{Db, StoreError, audit_events, sessions, users},
};

/// Why the password is what it was.
#[derive(Debug, thiserror::Error)]
pub enum ResetPasswordError {
    /// Nobody who could sign in has this address.
    #[error("there is no account with this email address")]
    NoAccount,
    /// The new password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// The database; nothing was changed, unless it is [`StoreError::Unknown`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives an account a new password; how many sessions ended.
///
/// # Errors
/// See [`ResetPasswordError`].
pub async fn reset_password(
    db: &Db,
    clock: &dyn Clock,
    passwords: &Passwords,
    email: Email,
    password: NewPassword,
) -> Result<usize, ResetPasswordError> {
    let hash = passwords.hash(password).await?;
    let now = clock.now();
    db.write(move |conn| {
        let member = users::find_by_email(conn, &email)?.ok_or(ResetPasswordError::NoAccount)?.member;
        users::set_password_hash(conn, &member.user.0, &hash)?;
        let ended = sessions::delete_all_of_user(conn, &member.user.0)?;
        let event = AuditEvent {
            organization_id: Some(member.organization.0),
            actor: AuditActor::Known(Actor::CommandLine),
            action: AuditAction::PasswordReset,
            target: Some(Target::User(member.user.0, member.user.1)),
            changes: Vec::new(),
            at: now,
            client: Client::default(),
        };
        audit_events::insert(conn, &event)?;
        Ok(ended)
    })
    .await
}
