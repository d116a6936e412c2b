//! Find a living key of the asker's organization and how much it is used, for the pop-ups that ask about it.

use crate::{
    app::Keys,
    domain::{
        authority::{Authority, NotPermitted},
        ids::KeyId,
        permission::Permission,
        usage::KeyWithUsage,
    },
    store::{StoreError, api_keys, key_usage},
};

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Whoever asked may not see keys.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The key; `None` for one that is unknown, revoked or another organization's.
///
/// # Errors
/// See [`ReadError`].
pub async fn find_key(keys: &Keys, authority: &Authority, id: KeyId) -> Result<Option<KeyWithUsage>, ReadError> {
    authority.require(Permission::ReadKeys)?;
    let organization_id = authority.organization_id().clone();
    // Before the database is asked: what is written in between is in both.
    let (now, seen) = (keys.clock.now(), keys.index.last_seen(&id));
    keys.db
        .read_aside(move |conn| {
            let key = api_keys::find(conn, &organization_id, &id)?;
            let Some(key) = key.filter(|key| key.revoked_at.is_none()) else { return Ok(None) };
            let mut usages = key_usage::of_keys(conn, &organization_id, std::slice::from_ref(&id), now)?;
            let mut usage = usages.remove(&key.id).unwrap_or_default();
            usage.seen(seen);
            Ok(Some(KeyWithUsage { key, usage }))
        })
        .await
}
