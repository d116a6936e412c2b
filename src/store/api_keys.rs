//! Table `api_keys`. Every query takes the organization first: another organization's key is not found.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    columns::Millis,
    schema::{api_keys, users},
};
use crate::domain::{
    actor::{Actor, Creator},
    api_key::ApiKey,
    ids::{KeyId, OrgId},
    name::Name,
    secret::{KeyHint, KeyPrefix},
};

/// Adds a key; [`StoreError::Unique`] when a living key of the organization has its name.
pub fn insert(conn: &mut Conn, key: &ApiKey, created_by: &Actor) -> Result<(), StoreError> {
    // Programs from before there were other actors find the person here.
    let person = if let Actor::Person(id, _) = created_by { Some(id.as_str()) } else { None };
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id.as_str()),
            api_keys::organization_id.eq(key.organization_id.as_str()),
            api_keys::name.eq(key.name.as_str()),
            api_keys::name_folded.eq(key.name.folded()),
            api_keys::prefix.eq(key.prefix.as_str()),
            api_keys::hint.eq(key.hint.as_str()),
            api_keys::created_by.eq(person),
            api_keys::created_by_kind.eq(created_by.kind()),
            api_keys::created_by_id.eq(created_by.id()),
            api_keys::created_by_name.eq(created_by.name().map(Name::as_str)),
            api_keys::created_at.eq(Millis::from(key.created_at)),
            api_keys::revoked_at.eq(None::<Millis>),
            api_keys::version.eq(key.version),
        ))
        .execute(conn)?;
    Ok(())
}

/// Whether a living key of the organization has this name, in whatever spelling.
pub fn name_is_taken(conn: &mut Conn, organization_id: &OrgId, name: &Name) -> Result<bool, StoreError> {
    let taken = api_keys::table
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(api_keys::name_folded.eq_any(name.spellings()))
        .filter(api_keys::revoked_at.is_null());
    Ok(diesel::select(diesel::dsl::exists(taken)).get_result(conn)?)
}

/// A key of the organization, living or revoked.
pub fn find(conn: &mut Conn, organization_id: &OrgId, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<KeyRow> = api_keys::table
        .left_join(users::table)
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(api_keys::id.eq(id.as_str()))
        .select(key_columns())
        .first(conn)
        .optional()?;
    row.map(ApiKey::try_from).transpose()
}

/// How many living keys the organization has.
pub fn count_living(conn: &mut Conn, organization_id: &OrgId) -> Result<i64, StoreError> {
    Ok(api_keys::table
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(api_keys::revoked_at.is_null())
        .count()
        .get_result(conn)?)
}

/// Living keys of the organization, the newest first, and how many more have a damaged row. Those are logged and left out: one
/// of them must not keep an admin from all others.
pub fn list_living(
    conn: &mut Conn,
    organization_id: &OrgId,
    offset: i64,
    limit: i64,
) -> Result<(Vec<ApiKey>, i64), StoreError> {
    let rows: Vec<KeyRow> = api_keys::table
        .left_join(users::table)
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(api_keys::revoked_at.is_null())
        .order((api_keys::created_at.desc(), api_keys::id.desc()))
        .offset(offset)
        .limit(limit)
        .select(key_columns())
        .load(conn)?;
    let (mut keys, mut damaged) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        let id = row.id.clone();
        match ApiKey::try_from(row) {
            Ok(key) => keys.push(key),
            Err(error) => {
                tracing::error!(%error, key_id = id, "a key cannot be shown");
                damaged += 1;
            }
        }
    }
    Ok((keys, damaged))
}

/// Gives a living key of this version a new prefix and hint and its next version; whether there was one. The condition
/// stands in the statement, so that of many at once one wins.
pub fn rotate(
    conn: &mut Conn,
    organization_id: &OrgId,
    id: &KeyId,
    version: i64,
    prefix: &KeyPrefix,
    hint: &KeyHint,
) -> Result<bool, StoreError> {
    let key = api_keys::table
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(api_keys::id.eq(id.as_str()))
        .filter(api_keys::version.eq(version))
        .filter(api_keys::revoked_at.is_null());
    let changed = diesel::update(key)
        .set((
            api_keys::prefix.eq(prefix.as_str()),
            api_keys::hint.eq(hint.as_str()),
            api_keys::version.eq(version + 1),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}

/// Ends a living key, whatever its version; whether there was one.
pub fn revoke(conn: &mut Conn, organization_id: &OrgId, id: &KeyId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let key = api_keys::table
        .filter(api_keys::organization_id.eq(organization_id.as_str()))
        .filter(api_keys::id.eq(id.as_str()))
        .filter(api_keys::revoked_at.is_null());
    let changed = diesel::update(key)
        .set((api_keys::revoked_at.eq(Some(Millis::from(now))), api_keys::version.eq(api_keys::version + 1)))
        .execute(conn)?;
    Ok(changed == 1)
}

// The account of whoever made the key may be none.
type UserName = diesel::dsl::Nullable<users::name>;

type KeyColumns = (
    api_keys::id,
    api_keys::organization_id,
    api_keys::name,
    api_keys::prefix,
    api_keys::hint,
    api_keys::created_by_kind,
    api_keys::created_by_name,
    UserName,
    api_keys::created_at,
    api_keys::revoked_at,
    api_keys::version,
);

fn key_columns() -> KeyColumns {
    (
        api_keys::id,
        api_keys::organization_id,
        api_keys::name,
        api_keys::prefix,
        api_keys::hint,
        api_keys::created_by_kind,
        api_keys::created_by_name,
        users::name.nullable(),
        api_keys::created_at,
        api_keys::revoked_at,
        api_keys::version,
    )
}

#[derive(Queryable)]
struct KeyRow {
    id: String,
    organization_id: String,
    name: String,
    prefix: String,
    hint: String,
    created_by_kind: Option<String>,
    created_by_name: Option<String>,
    user_name: Option<String>,
    created_at: Millis,
    revoked_at: Option<Millis>,
    version: i64,
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let damaged = StoreError::damaged;
        // A program from before there were other actors wrote the person alone.
        let kind = row.created_by_kind.unwrap_or_else(|| "user".to_owned());
        let name = row.created_by_name.or(row.user_name).map(|name| Name::stored(&name));
        Ok(Self {
            id: KeyId::parse(&row.id).ok_or_else(|| damaged("api_keys.id"))?,
            organization_id: OrgId::parse(&row.organization_id).ok_or_else(|| damaged("api_keys.organization_id"))?,
            name: Name::stored(&row.name),
            prefix: KeyPrefix::parse(&row.prefix).map_err(|_| damaged("api_keys.prefix"))?,
            hint: KeyHint::parse(&row.hint).ok_or_else(|| damaged("api_keys.hint"))?,
            created_by: Creator::new(kind, name),
            created_at: row.created_at.try_into()?,
            revoked_at: row.revoked_at.map(DateTime::try_from).transpose()?,
            version: row.version,
        })
    }
}
