//! Table `key_secrets`: what a key is found by. A row says when its secret ended; long after that
//! it is removed (`ended_keys.rs`).

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    columns::{Digest32, Millis},
    schema::key_secrets,
};
use crate::domain::{
    ids::KeyId,
    pepper::{DIGEST_SCHEME, SecretDigest},
};

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

/// Ends every secret of a key that has no end yet; which.
pub fn end_all(conn: &mut Conn, key_id: &KeyId, now: DateTime<Utc>) -> Result<Vec<SecretDigest>, StoreError> {
    let open =
        key_secrets::table.filter(key_secrets::key_id.eq(key_id.as_str())).filter(key_secrets::expires_at.is_null());
    // Read first: only one of the two databases gives back in Diesel what an update changed. The key's row is locked.
    let digests: Vec<Digest32> = open.select(key_secrets::digest).load(conn)?;
    diesel::update(open).set(key_secrets::expires_at.eq(Some(Millis::from(now)))).execute(conn)?;
    Ok(digests.into_iter().map(|digest| SecretDigest(digest.0)).collect())
}
