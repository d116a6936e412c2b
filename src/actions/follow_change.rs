//! Follow a change: how far it has come that a rotation or a revocation ended a secret on every node.
//!
//! It changes nothing, and says no more than is known at the moment.

use std::time::Duration;

use chrono::TimeDelta;

use super::find_key::ReadError;
use crate::{
    app::Keys,
    domain::{api_key::ApiKey, authority::Authority, ids::KeyId, permission::Permission, position::Position},
    key_index::{Receipt, ReceiptProgress},
    store::{StoreError, api_keys, key_changes},
};

/// How long after a revocation somebody may still wait for its receipt: longer than the longest lease.
const FOLLOWED: TimeDelta = TimeDelta::minutes(10);

/// Where a change is true.
#[derive(Clone, Copy, Debug)]
pub enum Reach {
    /// On every node that answers.
    Everywhere(Receipt),
    /// Not on all of them, as far as is known.
    SoFar(ReceiptProgress),
}

/// Waits for a change, but no longer than this.
pub async fn reach(keys: &Keys, change: Position, patience: Duration) -> Reach {
    match tokio::time::timeout(patience, keys.receipt(change)).await {
        Ok(receipt) => Reach::Everywhere(receipt),
        Err(_) => Reach::SoFar(keys.receipt_progress(change).await),
    }
}

/// The same for a change of the organization's, with its key; `None` when the database has no such change.
///
/// # Errors
/// See [`ReadError`].
pub async fn follow_change(
    keys: &Keys,
    authority: &Authority,
    change: Position,
    patience: Duration,
) -> Result<Option<(ApiKey, Reach)>, ReadError> {
    authority.require(Permission::ReadKeys)?;
    let organization_id = authority.organization_id().clone();
    let found = keys.db.read(move |conn| match key_changes::key_of(conn, change)? {
        Some(key_id) => api_keys::find(conn, &organization_id, &key_id),
        None => Ok(None),
    });
    match found.await? {
        Some(key) => Ok(Some((key, reach(keys, change, patience).await))),
        None => Ok(None),
    }
}

/// A key of the organization that was revoked, and the change that did it, as long as changes are kept.
///
/// # Errors
/// See [`ReadError`].
pub async fn find_revocation(
    keys: &Keys,
    authority: &Authority,
    key_id: KeyId,
) -> Result<Option<(ApiKey, Option<Position>)>, ReadError> {
    authority.require(Permission::ReadKeys)?;
    let organization_id = authority.organization_id().clone();
    let found = keys.db.read(move |conn| {
        let key = api_keys::find(conn, &organization_id, &key_id)?.filter(|key| key.revoked_at.is_some());
        let change = key_changes::last_of(conn, &key_id)?;
        Ok::<_, StoreError>(key.map(|key| (key, change)))
    });
    Ok(found.await?)
}

/// How far a revocation has come that another request waits for; `None` while there is none.
///
/// # Errors
/// See [`ReadError`].
pub async fn follow_revocation(
    keys: &Keys,
    authority: &Authority,
    key_id: KeyId,
) -> Result<Option<ReceiptProgress>, ReadError> {
    authority.require(Permission::ReadKeys)?;
    let (organization_id, since) = (authority.organization_id().clone(), keys.clock.now() - FOLLOWED);
    let found = keys.db.read(move |conn| {
        let key = api_keys::find(conn, &organization_id, &key_id)?;
        match key.and_then(|key| key.revoked_at).filter(|at| *at > since) {
            Some(_) => key_changes::last_of(conn, &key_id),
            None => Ok(None),
        }
    });
    match found.await? {
        Some(change) => Ok(Some(keys.receipt_progress(change).await)),
        None => Ok(None),
    }
}
