//! Set up: while no account exists, whoever holds the link the server printed names the organization and becomes its
//! first admin. The link works once.

use subtle::ConstantTimeEq;

use super::{
    create_admin::{NewAdmin, Workplace, insert_admin},
    open_session::SignedIn,
    sign_in::Arrival,
};
use crate::{
    app::Site,
    domain::{
        actor::{Actor, Client},
        audit_event::{AuditAction, AuditActor, AuditEvent, Target},
        device::DeviceCookie,
        ids::SessionId,
        name::Name,
    },
    passwords::PasswordFault,
    store::{Conn, StoreError, audit_events, installation, users},
};

/// Why nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The token is not the one of the link, or an account exists.
    #[error("this set-up link is not valid any more")]
    BadLink,
    /// The password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// The database; nothing was changed, unless it is [`StoreError::Unknown`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How the first account is made.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstAccount {
    /// By the link with this token.
    ByLink(String),
    /// On the command line: there was an account, and none is left. The link works once, so an old one opens nothing.
    ByCommand,
    /// Not at all: there is an account already.
    Exists,
}

/// How the first account is made.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub async fn first_account(site: &Site) -> Result<FirstAccount, StoreError> {
    let read = |conn: &mut Conn| Ok((users::any(conn)?, installation::find(conn, installation::SET_UP)?.is_some()));
    Ok(match site.db.read::<_, StoreError>(read).await? {
        (true, _) => FirstAccount::Exists,
        (false, true) => FirstAccount::ByCommand,
        (false, false) => FirstAccount::ByLink(site.keys.pepper.set_up_token(&site.installation_id)),
    })
}

/// The token of the set-up link; `None` once an account was made.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub async fn set_up_token(site: &Site) -> Result<Option<String>, StoreError> {
    Ok(match first_account(site).await? {
        FirstAccount::ByLink(token) => Some(token),
        FirstAccount::ByCommand | FirstAccount::Exists => None,
    })
}

/// Whether this is the token of a link that still works.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub async fn is_open(site: &Site, token: &str) -> Result<bool, StoreError> {
    let expected = set_up_token(site).await?;
    Ok(expected.is_some_and(|expected| expected.as_bytes().ct_eq(token.as_bytes()).into()))
}

/// Makes the first organization and its admin, who is then signed in.
///
/// # Errors
/// See [`SetUpError`].
pub async fn set_up(
    site: &Site,
    client: &Client,
    token: &str,
    organization: Name,
    admin: NewAdmin,
    devices: DeviceCookie,
) -> Result<Arrival, SetUpError> {
    if !is_open(site, token).await? {
        return Err(SetUpError::BadLink);
    }
    let hash = site.passwords.hash(admin.password).await?;
    let now = site.clock.now();
    let (from, email) = (client.clone(), admin.email.clone());
    let (user, organization_id) = site
        .db
        .write(move |conn| {
            // Two people may open the link at once: the row that both must insert lets one of them through.
            if !installation::insert_once(conn, installation::SET_UP, &now.to_rfc3339())? || users::any(conn)? {
                return Err(SetUpError::BadLink);
            }
            let workplace = Workplace::New(organization);
            let (user, organization_id) = insert_admin(conn, workplace, (admin.name, admin.email), &hash, now)?;
            let event = AuditEvent {
                organization_id: Some(organization_id.clone()),
                actor: AuditActor::Known(Actor::Person(user.0.clone(), user.1.clone())),
                action: AuditAction::SetUp,
                target: Some(Target::User(user.0.clone(), user.1.clone())),
                changes: Vec::new(),
                at: now,
                client: from,
            };
            audit_events::insert(conn, &event)?;
            Ok::<_, SetUpError>((user, organization_id))
        })
        .await?;
    site.remove_set_up_link();
    let signed_in = SignedIn { session_id: SessionId::generate(now), user, organization_id, client: client.clone() };
    Ok(Arrival::new(site, signed_in, &email, 0, devices))
}
