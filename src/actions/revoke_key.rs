//! Revoke a key: none of its secrets works on any node from the moment this returns, and nothing brings it back.
//!
//! A revocation wins over a rotation that came between (`docs/decisions/0005-revoke-wins.md`).

use crate::{
    app::Keys,
    domain::{
        api_key::{ApiKey, MoveRefused},
        audit_event::{AuditAction, AuditEvent},
        authority::{Authority, NotPermitted},
        ended_secret::Ending,
        ids::KeyId,
        permission::Permission,
    },
    key_index::Receipt,
    store::{StoreError, api_keys, audit_events, key_changes, key_secrets},
};

/// What the form says.
pub struct RevokeKey {
    /// The key to revoke.
    pub key_id: KeyId,
    /// The version its reader saw.
    pub version: i64,
}

/// Why the key was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeKeyError {
    /// The organization has no such living key.
    #[error("no such key")]
    NotFound,
    /// The form carries a version the key never had.
    #[error("the key never had this version")]
    UnknownVersion(Box<ApiKey>),
    /// Whoever asked may not do this.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// The database; nothing was changed, unless it is [`StoreError::Unknown`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Revokes a key; returns it as it was, and where it is refused.
///
/// # Errors
/// See [`RevokeKeyError`].
pub async fn revoke_key(
    keys: &Keys,
    authority: &Authority,
    input: RevokeKey,
) -> Result<(ApiKey, Receipt), RevokeKeyError> {
    authority.require(Permission::ChangeKeys)?;
    let now = keys.clock.now();
    let authority = authority.clone();
    let ((key, ended), change) = keys
        .db
        .write_change(move |conn| {
            let organization_id = authority.organization_id();
            let key = api_keys::find(conn, organization_id, &input.key_id)?.ok_or(RevokeKeyError::NotFound)?;
            match key.may_revoke(input.version) {
                Ok(()) => {}
                Err(MoveRefused::Revoked) => return Err(RevokeKeyError::NotFound),
                Err(_) => return Err(RevokeKeyError::UnknownVersion(Box::new(key))),
            }
            if !api_keys::revoke(conn, organization_id, &key.id, now)? {
                return Err(RevokeKeyError::NotFound);
            }
            let ended = key_secrets::end_all(conn, &key.id, now)?;
            let named = (key.id.clone(), key.name.clone());
            let event = AuditEvent::of_key(&authority, AuditAction::KeyRevoked, named, Vec::new(), now);
            let event = audit_events::insert(conn, &event)?;
            let recorded = key_changes::record(conn, &key.id, event)?;
            Ok(((key, ended), recorded))
        })
        .await?;
    keys.committed(change);
    keys.log_ended(&key.id, Ending::Revoked, ended).await;
    Ok((key, keys.receipt(change).await))
}
