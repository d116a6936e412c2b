//! Sign in: the right password for an address begins a session.
//!
//! An unknown address and a wrong password get the same answer after the same work. Wrong tries run out; right ones cost
//! nothing, and from a device that signed in before nobody else's tries count (`docs/decisions/0007-sign-in-throttle.md`).

use zeroize::Zeroizing;

use super::open_session::SignedIn;
use crate::{
    app::Site,
    domain::{
        actor::Client,
        audit_event::{AuditAction, AuditActor, AuditEvent},
        device::DeviceCookie,
        email::Email,
        ids::SessionId,
        password::TypedPassword,
    },
    passwords::PasswordFault,
    store::{
        StoreError, audit_events,
        users::{self, Account},
    },
    throttle::Caller,
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
    /// The account could not be looked up, or the failed try not be written into the audit log.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Somebody who proved who they are.
pub struct Arrival {
    /// What becomes a session by [`super::open_session`].
    pub signed_in: SignedIn,
    /// What their device keeps, to be known when it comes again.
    pub devices: DeviceCookie,
}

impl Arrival {
    /// Somebody who signs in with this address at this moment.
    pub(super) fn new(site: &Site, signed_in: SignedIn, email: &Email, epoch: i64, devices: DeviceCookie) -> Self {
        let remembered = devices.remember(&site.keys.pepper, email, epoch, site.clock.now());
        let devices = remembered.unwrap_or_else(|error| {
            // They are who they are; their device is merely unknown the next time.
            tracing::error!(%error, "a device could not be remembered");
            devices
        });
        Self { signed_in, devices }
    }
}

/// Checks a password.
///
/// # Errors
/// See [`SignInError`].
pub async fn sign_in(
    site: &Site,
    client: &Client,
    email: &str,
    password: Zeroizing<String>,
    devices: DeviceCookie,
) -> Result<Arrival, SignInError> {
    let email = Email::parse(email).ok();
    let claim = email.as_ref().and_then(|email| devices.claim(&site.keys.pepper, email, site.clock.now()));
    let (device, found) = match (&email, claim) {
        // Only for somebody with our signature is the account looked at before the throttle.
        (Some(email), Some(claim)) => {
            let account = find(site, email).await?;
            let is_known = account.as_ref().is_some_and(|account| account.device_epoch == claim.epoch);
            (is_known.then_some(claim.id), Some(account))
        }
        _ => (None, None),
    };
    let folded = email.as_ref().map(Email::folded);
    let caller = Caller { account: folded.as_deref(), address: client.address, device: device.as_ref() };
    let taken = site.throttle.take(caller, site.clock.since_boot()).map_err(SignInError::Throttled)?;

    let first = folded.as_deref().filter(|_| device.is_some());
    let checked = check(site, email.as_ref(), found, TypedPassword::new(password), first).await;
    if !matches!(checked, Ok((_, false))) {
        // Right, or never found out.
        site.throttle.give_back(&taken, site.clock.since_boot());
    }
    match (checked?, email) {
        ((Some(account), true), Some(email)) => {
            let now = site.clock.now();
            let signed_in = SignedIn {
                session_id: SessionId::generate(now),
                user: account.member.user,
                organization_id: account.member.organization.0,
                client: client.clone(),
            };
            Ok(Arrival::new(site, signed_in, &email, account.device_epoch, devices))
        }
        ((known, _), email) => {
            let event = AuditEvent {
                organization_id: known.map(|account| account.member.organization.0),
                actor: AuditActor::Anonymous(email.map(|email| email.as_str().to_owned())),
                action: AuditAction::SignInFailed,
                target: None,
                changes: Vec::new(),
                at: site.clock.now(),
                client: client.clone(),
            };
            site.db.write(move |conn| audit_events::insert(conn, &event).map(drop)).await?;
            Err(SignInError::Wrong)
        }
    }
}

async fn find(site: &Site, email: &Email) -> Result<Option<Account>, StoreError> {
    let email = email.clone();
    site.db.read(move |conn| users::find_by_email(conn, &email)).await
}

/// The account the address belongs to, and whether this is its password.
async fn check(
    site: &Site,
    email: Option<&Email>,
    found: Option<Option<Account>>,
    password: TypedPassword,
    first: Option<&str>,
) -> Result<(Option<Account>, bool), SignInError> {
    let account = match (found, email) {
        (Some(account), _) => account,
        (None, Some(email)) => find(site, email).await?,
        (None, None) => None,
    };
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let right = site.passwords.verify(password, hash, first).await?;
    Ok((account, right))
}
