//! Table `organizations`.

use diesel::prelude::*;

use super::{Conn, StoreError, columns::Millis, schema::organizations};
use crate::domain::{
    ids::OrgId,
    name::Name,
    organization::{KeySettings, Organization},
    secret::KeyPrefix,
};

/// Adds an organization.
pub fn insert(conn: &mut Conn, organization: &Organization) -> Result<(), StoreError> {
    diesel::insert_into(organizations::table)
        .values((
            organizations::id.eq(organization.id.as_str()),
            organizations::name.eq(organization.name.as_str()),
            organizations::created_at.eq(Millis::from(organization.created_at)),
        ))
        .execute(conn)?;
    Ok(())
}

/// The name of an organization, if there is one with this id.
pub fn find_name(conn: &mut Conn, id: &OrgId) -> Result<Option<Name>, StoreError> {
    let name: Option<String> =
        organizations::table.find(id.as_str()).select(organizations::name).first(conn).optional()?;
    Ok(name.map(|name| Name::stored(&name)))
}

/// What an organization has of its own: prefix, keys, rotations.
type OwnSettings = (Option<String>, Option<i64>, Option<i64>);

/// What holds for the keys of an organization: what it has of its own, and else the defaults. To be read in the transaction that
/// goes by it.
pub fn key_settings(conn: &mut Conn, id: &OrgId, defaults: &KeySettings) -> Result<KeySettings, StoreError> {
    let (prefix, max_keys, max_rotations_per_day): OwnSettings = organizations::table
        .find(id.as_str())
        .select((organizations::key_prefix, organizations::max_keys, organizations::max_rotations_per_day))
        .first(conn)
        .optional()?
        .unwrap_or_default();
    let prefix = match prefix {
        Some(own) => KeyPrefix::parse(&own).map_err(|_| StoreError::damaged("organizations.key_prefix"))?,
        None => defaults.prefix.clone(),
    };
    Ok(KeySettings {
        prefix,
        max_keys: max_keys.unwrap_or(defaults.max_keys),
        max_rotations_per_day: max_rotations_per_day.unwrap_or(defaults.max_rotations_per_day),
    })
}
