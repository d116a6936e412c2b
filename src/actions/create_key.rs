//! Create a key: a new name among the organization's living keys gets a new secret, shown in this answer alone.
//!
//! A form takes effect once: sent again (refresh, double click, a retry after a lost answer) it makes no second key.

use std::sync::Arc;

use super::limits::{self, Change, LimitReached};
use crate::{
    app::Keys,
    domain::{
        api_key::ApiKey,
        audit_event::{AuditAction, AuditEvent, FieldChange},
        authority::{Authority, NotPermitted},
        form_token::FormToken,
        ids::KeyId,
        name::Name,
        permission::Permission,
        position::Position,
        secret::{EntropyError, Secret},
    },
    store::{
        Fault, StoreError, api_keys, audit_events, form_tokens, key_changes, key_secrets, organizations,
        sequences::{self, When},
    },
};

/// What the form says.
pub struct CreateKey {
    /// A name no living key of the organization has.
    pub name: Name,
    /// By which the form is known when it comes again.
    pub form_token: FormToken,
}

/// A key with its secret, which is nowhere else.
#[derive(Debug)]
pub struct NewKey {
    /// Of the key, which a rotation does not change.
    pub id: KeyId,
    /// Of the key.
    pub name: Name,
    /// To be shown once.
    pub secret: Secret,
    /// By which it can be found out where the change is true.
    pub change: Position,
    /// Whether it ended a secret before it.
    pub is_rotation: bool,
    /// Whether this node knows the secret already; if not, it cannot read the database at the moment.
    pub is_known_here: bool,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    /// The organization has or did as much as it may, or this person goes on too fast.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// A living key has this name, perhaps in another case.
    #[error("a key with this name already exists")]
    NameTaken,
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
    Store(StoreError),
}

impl From<StoreError> for CreateKeyError {
    fn from(error: StoreError) -> Self {
        match error {
            // Of two forms with one name at once, the second.
            StoreError::Unique => Self::NameTaken,
            other => Self::Store(other),
        }
    }
}

impl From<limits::Refused> for CreateKeyError {
    fn from(refused: limits::Refused) -> Self {
        match refused {
            limits::Refused::Limit(limit) => Self::Limit(limit),
            limits::Refused::Store(error) => error.into(),
        }
    }
}

/// Creates a key.
///
/// # Errors
/// See [`CreateKeyError`].
pub async fn create_key(keys: &Keys, authority: &Authority, input: CreateKey) -> Result<NewKey, CreateKeyError> {
    authority.require(Permission::CreateKeys)?;
    limits::check_speed(keys, authority)?;
    let now = keys.clock.now();
    let id = KeyId::generate(now);
    let insert = || {
        let (authority, defaults, pepper) = (authority.clone(), keys.defaults.clone(), Arc::clone(&keys.pepper));
        let (id, name, form_token) = (id.clone(), input.name.clone(), input.form_token.clone());
        keys.db.write_change(move |conn| {
            let organization_id = authority.organization_id();
            if !form_tokens::claim(conn, organization_id, form_token.as_str(), now)? {
                return Err(CreateKeyError::Repeated);
            }
            let settings = organizations::key_settings(conn, organization_id, &defaults)?;
            limits::count(conn, &settings, organization_id, Change::Create, now)?;
            if api_keys::name_is_taken(conn, organization_id, &name)? {
                return Err(CreateKeyError::NameTaken);
            }
            let secret = Secret::generate(&settings.prefix)?;
            let key = ApiKey {
                id,
                organization_id: organization_id.clone(),
                name,
                prefix: settings.prefix,
                hint: secret.hint(),
                created_by: authority.actor().into(),
                created_at: now,
                revoked_at: None,
                version: 1,
            };
            api_keys::insert(conn, &key, authority.actor())?;
            key_secrets::insert(conn, pepper.digest(secret.as_presented()), &key.id, now)?;
            let made = vec![
                FieldChange::new("prefix", None, Some(key.prefix.as_str())),
                FieldChange::new("hint", None, Some(key.hint.as_str())),
            ];
            let named = (key.id.clone(), key.name.clone());
            let event = AuditEvent::of_key(&authority, AuditAction::KeyCreated, named, made, now);
            let event = audit_events::insert(conn, &event)?;
            let recorded = key_changes::record(conn, &key.id, event)?;
            Ok(((key, secret), recorded))
        })
    };
    let mut made = insert().await;
    if matches!(made, Err(CreateKeyError::Store(StoreError::Fault(Fault::Numbers, _)))) {
        keys.db.write(|conn| sequences::catch_up(conn, When::NumberTaken)).await?;
        made = insert().await;
    }
    let ((key, secret), change) = made?;
    let is_known_here = keys.settle(change).await;
    Ok(NewKey { id: key.id, name: key.name, secret, change, is_rotation: false, is_known_here })
}
