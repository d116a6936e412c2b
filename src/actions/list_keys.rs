//! List the organization's living keys, the newest first, a page at a time.

use crate::{
    app::App,
    domain::{actor::Admin, api_key::ApiKey},
    store::{StoreError, api_keys},
};

/// Keys on a page.
pub const PER_PAGE: i64 = 25;

/// One page of the list.
pub struct KeyPage {
    /// At most [`PER_PAGE`].
    pub keys: Vec<ApiKey>,
    /// Living keys in all.
    pub total: i64,
    /// From 1; a page past the end is the last one.
    pub page: i64,
    /// At least 1.
    pub pages: i64,
}

/// A page of the list.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub async fn list_keys(app: &App, admin: &Admin, page: i64) -> Result<KeyPage, StoreError> {
    let organization_id = admin.organization_id().clone();
    app.db
        .read(move |conn| {
            let total = api_keys::count_living(conn, &organization_id)?;
            let pages = ((total + PER_PAGE - 1) / PER_PAGE).max(1);
            let page = page.clamp(1, pages);
            let keys = api_keys::list_living(conn, &organization_id, (page - 1) * PER_PAGE, PER_PAGE)?;
            Ok(KeyPage { keys, total, page, pages })
        })
        .await
}
