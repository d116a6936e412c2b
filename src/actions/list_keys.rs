//! List the organization's living keys and how much they are used, the newest first, a page at a time.

use std::{collections::HashMap, sync::Arc};

use super::find_key::ReadError;
use crate::{
    app::Keys,
    domain::{api_key::ApiKey, authority::Authority, permission::Permission, usage::KeyWithUsage},
    store::{api_keys, key_usage},
};

/// Keys on a page.
pub const PER_PAGE: i64 = 25;

/// One page of the list.
pub struct KeyPage {
    /// At most [`PER_PAGE`].
    pub keys: Vec<KeyWithUsage>,
    /// Further keys of this page that cannot be shown, because their rows in the database are damaged.
    pub damaged: i64,
    /// Living keys in all.
    pub total: i64,
    /// From 1; a page past the end is the last one.
    pub page: i64,
    /// At least 1.
    pub pages: i64,
}

/// The whole list, as it was at one moment.
///
/// # Errors
/// See [`ReadError`].
pub async fn list_all_keys(keys: &Keys, authority: &Authority) -> Result<(Vec<ApiKey>, i64), ReadError> {
    authority.require(Permission::ReadKeys)?;
    let organization_id = authority.organization_id().clone();
    Ok(keys.db.read(move |conn| api_keys::list_living(conn, &organization_id, 0, i64::MAX)).await?)
}

/// A page of the list.
///
/// # Errors
/// See [`ReadError`].
pub async fn list_keys(keys: &Keys, authority: &Authority, page: i64) -> Result<KeyPage, ReadError> {
    authority.require(Permission::ReadKeys)?;
    let organization_id = authority.organization_id().clone();
    let (now, index) = (keys.clock.now(), Arc::clone(&keys.index));
    keys.db
        .read_aside(move |conn| {
            let total = api_keys::count_living(conn, &organization_id)?;
            let pages = ((total + PER_PAGE - 1) / PER_PAGE).max(1);
            let page = page.clamp(1, pages);
            let (keys, damaged) = api_keys::list_living(conn, &organization_id, (page - 1) * PER_PAGE, PER_PAGE)?;
            let ids: Vec<_> = keys.iter().map(|key| key.id.clone()).collect();
            // Before the database is asked: what is written in between is in both.
            let mut seen: HashMap<_, _> = ids.iter().map(|id| (id.clone(), index.last_seen(id))).collect();
            let mut usages = key_usage::of_keys(conn, &organization_id, &ids, now)?;
            let keys = keys.into_iter().map(|key| {
                let mut usage = usages.remove(&key.id).unwrap_or_default();
                usage.seen(seen.remove(&key.id).flatten());
                KeyWithUsage { key, usage }
            });
            let keys = keys.collect();
            Ok(KeyPage { keys, damaged, total, page, pages })
        })
        .await
}
