//! Table `key_secrets`: what a key is found by. A row says when its secret ended; rows are never removed.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    columns::{Digest32, Millis},
    schema::{api_keys, key_secrets},
};
use crate::domain::{
    ids::{KeyId, OrgId},
    name::Name,
    pepper::{DIGEST_SCHEME, SecretDigest},
    verdict::VerifiedKey,
};

/// A secret as a verification needs it.
pub struct FoundSecret {
    /// The key it belongs to.
    pub key: VerifiedKey,
    /// Whether the key was revoked.
    pub is_revoked: bool,
    /// Whether the secret was replaced. A fact and not a comparison of times: a node whose clock is behind must not
    /// take it for a good one.
    pub is_replaced: bool,
}

/// Adds a secret to a key.
pub fn insert(conn: &mut Conn, digest: SecretDigest, key_id: &KeyId, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::insert_into(key_secrets::table)
        .values((
            key_secrets::digest.eq(Digest32(digest.0)),
            key_secrets::digest_scheme.eq(DIGEST_SCHEME),
            key_secrets::key_id.eq(key_id.as_str()),
            key_secrets::created_at.eq(Millis::from(now)),
            key_secrets::expires_at.eq(None::<Millis>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Ends every secret of a key that has no end yet.
pub fn end_all(conn: &mut Conn, key_id: &KeyId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let open =
        key_secrets::table.filter(key_secrets::key_id.eq(key_id.as_str())).filter(key_secrets::expires_at.is_null());
    diesel::update(open).set(key_secrets::expires_at.eq(Some(Millis::from(now)))).execute(conn)?;
    Ok(())
}

/// The secret with this digest, by one indexed look-up.
pub fn find(conn: &mut Conn, digest: SecretDigest) -> Result<Option<FoundSecret>, StoreError> {
    type Row = (String, String, String, Option<Millis>, Option<Millis>);
    let row: Option<Row> = key_secrets::table
        .inner_join(api_keys::table)
        .filter(key_secrets::digest.eq(Digest32(digest.0)))
        .select((
            api_keys::id,
            api_keys::organization_id,
            api_keys::name,
            api_keys::revoked_at,
            key_secrets::expires_at,
        ))
        .first(conn)
        .optional()?;
    let Some((id, organization_id, name, revoked_at, expires_at)) = row else { return Ok(None) };
    let key = VerifiedKey {
        id: KeyId::parse(&id).ok_or_else(|| StoreError::damaged("api_keys.id"))?,
        organization_id: OrgId::parse(&organization_id)
            .ok_or_else(|| StoreError::damaged("api_keys.organization_id"))?,
        name: Name::parse(&name).map_err(|_| StoreError::damaged("api_keys.name"))?,
    };
    Ok(Some(FoundSecret { key, is_revoked: revoked_at.is_some(), is_replaced: expires_at.is_some() }))
}
