//! Find a living key of the admin's organization, for the pop-ups that ask about it.

use crate::{
    app::App,
    domain::{actor::Admin, api_key::ApiKey, ids::KeyId},
    store::{StoreError, api_keys},
};

/// The key; `None` for one that is unknown, revoked or another organization's.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub async fn find_key(app: &App, admin: &Admin, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
    let organization_id = admin.organization_id().clone();
    let key = app.db.read(move |conn| api_keys::find(conn, &organization_id, &id)).await?;
    Ok(key.filter(|key| key.revoked_at.is_none()))
}
