//! Rotate a key: it gets a new secret, and the old one is refused here from the moment this returns, and on every node from
//! the moment that the receipt says so.
//!
//! Whoever rotates must have seen the newest version: of many who rotate one version at once, one succeeds.

use std::sync::Arc;

use super::{
    create_key::NewKey,
    limits::{self, Change, LimitReached},
};
use crate::{
    app::Keys,
    domain::{
        api_key::{ApiKey, MoveRefused},
        audit_event::{AuditAction, AuditEvent, FieldChange},
        authority::{Authority, NotPermitted},
        ended_secret::Ending,
        form_token::FormToken,
        ids::KeyId,
        permission::Permission,
        secret::{EntropyError, Secret},
    },
    store::{StoreError, api_keys, audit_events, form_tokens, key_changes, key_secrets, organizations},
};

/// What the form says.
pub struct RotateKey {
    /// The key to rotate.
    pub key_id: KeyId,
    /// The version its reader saw.
    pub version: i64,
    /// By which the form is known when it comes again.
    pub form_token: FormToken,
}

/// Why the key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateKeyError {
    /// The organization has or did as much as it may, or this person goes on too fast.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// The organization has no such living key.
    #[error("no such key")]
    NotFound,
    /// Somebody changed the key since the form was shown.
    #[error("the key changed in the meantime")]
    Changed(Box<ApiKey>),
    /// This form was submitted before; its secret was shown then.
    #[error("this form was already submitted")]
    Repeated,
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Whoever asked may not do this.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// The database; nothing was changed, unless it is [`StoreError::Unknown`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<limits::Refused> for RotateKeyError {
    fn from(refused: limits::Refused) -> Self {
        match refused {
            limits::Refused::Limit(limit) => Self::Limit(limit),
            limits::Refused::Store(error) => error.into(),
        }
    }
}

/// Rotates a key.
///
/// # Errors
/// See [`RotateKeyError`].
pub async fn rotate_key(keys: &Keys, authority: &Authority, input: RotateKey) -> Result<NewKey, RotateKeyError> {
    authority.require(Permission::ChangeKeys)?;
    limits::check_speed(keys, authority)?;
    let now = keys.clock.now();
    let (authority, defaults, pepper) = (authority.clone(), keys.defaults.clone(), Arc::clone(&keys.pepper));
    let ((id, name, secret, ended), change) = keys
        .db
        .write_change(move |conn| {
            let organization_id = authority.organization_id();
            let key = api_keys::find(conn, organization_id, &input.key_id)?.ok_or(RotateKeyError::NotFound)?;
            if !form_tokens::claim(conn, organization_id, input.form_token.as_str(), now)? {
                return Err(RotateKeyError::Repeated);
            }
            match key.may_rotate(input.version) {
                Ok(()) => {}
                Err(MoveRefused::Revoked) => return Err(RotateKeyError::NotFound),
                Err(_) => return Err(RotateKeyError::Changed(Box::new(key))),
            }
            let settings = organizations::key_settings(conn, organization_id, &defaults)?;
            limits::count(conn, &settings, organization_id, Change::Rotate, now)?;
            let prefix = settings.prefix;
            let secret = Secret::generate(&prefix)?;
            let hint = secret.hint();
            if !api_keys::rotate(conn, organization_id, &key.id, input.version, &prefix, &hint)? {
                // Another transaction was faster than our reading.
                return match api_keys::find(conn, organization_id, &key.id)? {
                    Some(now) if now.revoked_at.is_none() => Err(RotateKeyError::Changed(Box::new(now))),
                    _ => Err(RotateKeyError::NotFound),
                };
            }
            let ended = key_secrets::end_all(conn, &key.id, now)?;
            key_secrets::insert(conn, pepper.digest(secret.as_presented()), &key.id, now)?;
            let mut changes = vec![FieldChange::new("hint", Some(key.hint.as_str()), Some(hint.as_str()))];
            if key.prefix != prefix {
                changes.push(FieldChange::new("prefix", Some(key.prefix.as_str()), Some(prefix.as_str())));
            }
            let named = (key.id.clone(), key.name.clone());
            let event = AuditEvent::of_key(&authority, AuditAction::KeyRotated, named, changes, now);
            let event = audit_events::insert(conn, &event)?;
            let recorded = key_changes::record(conn, &key.id, event)?;
            Ok(((key.id, key.name, secret, ended), recorded))
        })
        .await?;
    keys.committed(change);
    keys.log_ended(&id, Ending::Rotated, ended).await;
    // The secret must not wait for other nodes: whoever gives up before they have confirmed would never see it.
    let is_known_here = keys.settle(change).await;
    Ok(NewKey { id, name, secret, change, is_rotation: true, is_known_here })
}
