//! Verify a key: read it, digest it, look the digest up once.
//!
//! This is the seam where an in-memory index takes the database's place; nothing outside this file knows which it is.

use crate::{
    app::App,
    domain::{secret::Secret, verdict::Verdict},
    store::{StoreError, key_secrets, key_secrets::FoundSecret},
};

/// Whether this text is a key that may pass.
///
/// # Errors
/// [`StoreError`] when the database cannot be read: then nobody may pass.
pub async fn verify_key(app: &App, text: &str) -> Result<Verdict, StoreError> {
    // Nothing malformed reaches the HMAC or the database; that also makes a digest out of a stolen database useless.
    let Ok(secret) = Secret::parse(text) else { return Ok(Verdict::Malformed) };
    let digest = app.pepper.digest(&secret);
    let found = app.db.read(move |conn| key_secrets::find(conn, digest)).await?;
    Ok(found.map_or(Verdict::NotFound, judge))
}

fn judge(secret: FoundSecret) -> Verdict {
    if secret.is_revoked {
        Verdict::Revoked(secret.key)
    } else if secret.is_replaced {
        Verdict::Rotated(secret.key)
    } else {
        Verdict::Valid(secret.key)
    }
}
