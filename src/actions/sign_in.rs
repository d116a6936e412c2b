//! Sign in: the right password for an address begins a session.
//!
//! An unknown address and a wrong password get the same answer after the same work. Wrong tries run out, for each
//! account and each network address; right ones cost nothing.

use zeroize::Zeroizing;

use super::open_session::SignedIn;
use crate::{
    app::App,
    domain::{
        actor::Client,
        audit_event::{AuditAction, AuditActor, AuditEvent},
        email::Email,
        ids::SessionId,
    },
    passwords::PasswordFault,
    store::{
        StoreError, audit_events,
        users::{self, Member},
    },
};

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No such account, or not its password.
    #[error("the email address or the password is wrong")]
    Wrong,
    /// Too many wrong tries; the seconds to wait.
    #[error("too many wrong tries; wait {0} seconds")]
    Throttled(i64),
    /// Too many people sign in at this moment, or hashing failed.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks a password. What it returns becomes a session by [`super::open_session`].
///
/// # Errors
/// See [`SignInError`].
pub async fn sign_in(
    app: &App,
    client: &Client,
    email: &str,
    password: Zeroizing<String>,
) -> Result<SignedIn, SignInError> {
    let email = Email::parse(email).ok();
    let account = email.as_ref().map(Email::folded);
    let taken = app.throttle.take(account, client.address, app.clock.now()).map_err(SignInError::Throttled)?;

    let checked = check(app, email.clone(), password).await;
    if !matches!(checked, Ok((_, false))) {
        // Right, or never found out.
        app.throttle.give_back(&taken);
    }
    match checked? {
        (Some(member), true) => Ok(SignedIn {
            session_id: SessionId::generate(app.clock.now()),
            user: member.user,
            organization_id: member.organization.0,
            client: client.clone(),
        }),
        (known, _) => {
            let event = AuditEvent {
                organization_id: known.map(|member| member.organization.0),
                actor: AuditActor::Anonymous(email.map(|email| email.as_str().to_owned())),
                action: AuditAction::SignInFailed,
                user: None,
                key: None,
                at: app.clock.now(),
                client: client.clone(),
            };
            app.db.write(move |conn| audit_events::insert(conn, &event).map(drop)).await?;
            Err(SignInError::Wrong)
        }
    }
}

/// The member the address belongs to, and whether this is their password.
async fn check(
    app: &App,
    email: Option<Email>,
    password: Zeroizing<String>,
) -> Result<(Option<Member>, bool), SignInError> {
    let found = match email {
        Some(email) => app.db.read(move |conn| users::find_by_email(conn, &email)).await?,
        None => None,
    };
    let (member, hash) = found.unzip();
    let right = app.passwords.verify(password, hash).await?;
    Ok((member, right))
}
