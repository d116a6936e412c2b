//! Ends again what a database that went back in time believes to be alive: tables `api_keys` and `key_secrets`, of every
//! organization.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError, audit_events,
    columns::{Digest32, Millis},
    installation, key_changes, key_secrets as secrets,
    schema::{api_keys, key_secrets},
};
use crate::domain::{
    actor::{Actor, Client, System},
    audit_event::{AuditAction, AuditActor, AuditEvent, Target},
    ended_secret::{EndedSecret, Ending},
    ids::{KeyId, OrgId},
    name::Name,
};

/// How many are looked for with one statement.
pub(super) const AT_ONCE: usize = 500;

/// What was ended again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedAgain {
    /// Keys that had been revoked.
    pub keys: usize,
    /// Secrets of living keys that had been replaced.
    pub secrets: usize,
}

/// A database that is from before what the log of revocations still has: what was revoked in between cannot be ended again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    /// When it was last in use, to ten minutes, as far as it tells.
    pub alive_at: Option<DateTime<Utc>>,
    /// What ended before this time is not in the log.
    pub complete_from: DateTime<Utc>,
}

impl std::fmt::Display for TooOld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
        let from = self.alive_at.map_or_else(|| "an unknown time".to_owned(), day);
        let to = day(self.complete_from);
        write!(
            f,
            "the database is from {from}, and the log of revocations begins at {to}: keys that were revoked or rotated in between \
             work again, and nobody can tell which; look through the list and revoke what should not be there"
        )
    }
}

/// Whether the database is so old that the log does not know everything that ended since; one without keys revives none.
///
/// # Errors
/// [`StoreError`].
pub fn is_too_old(conn: &mut Conn, complete_from: Option<DateTime<Utc>>) -> Result<Option<TooOld>, StoreError> {
    let Some(complete_from) = complete_from else { return Ok(None) };
    let alive_at = installation::alive_at(conn)?;
    if alive_at.is_some_and(|at| at >= complete_from) {
        return Ok(None);
    }
    let first: Option<String> = api_keys::table
        .filter(api_keys::revoked_at.is_null())
        .filter(api_keys::created_at.lt(Millis::from(complete_from)))
        .select(api_keys::id)
        .first(conn)
        .optional()?;
    Ok(first.map(|_| TooOld { alive_at, complete_from }))
}

/// A living key: id, organization, name.
pub(super) type KeyRow = (String, String, String);

/// Ends whatever of this is alive, with an event in the audit log and an epoch each, so that every node learns of it.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn end_again(conn: &mut Conn, ended: &[EndedSecret], now: DateTime<Utc>) -> Result<EndedAgain, StoreError> {
    let mut done = EndedAgain::default();
    // In one order on every node: two that start at once wait for each other.
    let revoked = revoked_keys(ended);
    for ids in revoked.keys().copied().collect::<Vec<_>>().chunks(AT_ONCE) {
        for key in living_keys(conn, ids)? {
            let (id, at) = (parse_id(&key.0)?, revoked.get(&*key.0).copied().unwrap_or(now));
            let row = api_keys::table.find(&key.0).filter(api_keys::revoked_at.is_null());
            let changed = diesel::update(row)
                .set((api_keys::revoked_at.eq(Some(Millis::from(at))), api_keys::version.eq(api_keys::version + 1)))
                .execute(conn)?;
            if changed == 1 {
                secrets::end_all(conn, &id, at)?;
                record(conn, AuditAction::KeyRevoked, &key, now)?;
                done.keys += 1;
            }
        }
    }
    let rotated = digests(ended);
    for some in rotated.keys().copied().map(Digest32).collect::<Vec<_>>().chunks(AT_ONCE) {
        let alive = living_secrets(conn, some)?;
        let ids: BTreeSet<&str> = alive.iter().map(|(_, id)| id.as_str()).collect();
        let keys = living_keys(conn, &ids.into_iter().collect::<Vec<_>>())?;
        for (digest, id) in &alive {
            let at = rotated.get(&digest.0).copied().unwrap_or(now);
            let row = key_secrets::table.find(*digest).filter(key_secrets::expires_at.is_null());
            let changed = diesel::update(row).set(key_secrets::expires_at.eq(Some(Millis::from(at)))).execute(conn)?;
            let key = keys.iter().find(|key| key.0 == *id && changed == 1);
            match key.map(|key| (key, KeyId::parse(&key.0))) {
                Some((key, Some(_))) => {
                    record(conn, AuditAction::KeySecretEnded, key, now)?;
                    done.secrets += 1;
                }
                // No node takes such a key; it must not keep the others from being followed.
                Some((_, None)) => {
                    tracing::error!(key_id = id, "a key's id cannot be read; its secret was ended again")
                }
                None => {}
            }
        }
    }
    Ok(done)
}

/// Keys that were revoked, and when.
pub(super) fn revoked_keys(ended: &[EndedSecret]) -> BTreeMap<&str, DateTime<Utc>> {
    let revoked = ended.iter().filter(|secret| secret.ending == Ending::Revoked);
    revoked.map(|secret| (secret.key_id.as_str(), secret.at)).collect()
}

/// What ended, and when.
pub(super) fn digests(ended: &[EndedSecret]) -> BTreeMap<[u8; 32], DateTime<Utc>> {
    ended.iter().map(|secret| (secret.digest.0, secret.at)).collect()
}

/// Those of the secrets that live, with their keys, in the order of these.
pub(super) fn living_secrets(conn: &mut Conn, digests: &[Digest32]) -> Result<Vec<(Digest32, String)>, StoreError> {
    Ok(key_secrets::table
        .filter(key_secrets::digest.eq_any(digests))
        .filter(key_secrets::expires_at.is_null())
        .select((key_secrets::digest, key_secrets::key_id))
        .order(key_secrets::key_id)
        .load(conn)?)
}

/// Those of the keys that live, in the order of their ids.
pub(super) fn living_keys(conn: &mut Conn, ids: &[&str]) -> Result<Vec<KeyRow>, StoreError> {
    Ok(api_keys::table
        .filter(api_keys::id.eq_any(ids))
        .filter(api_keys::revoked_at.is_null())
        .select((api_keys::id, api_keys::organization_id, api_keys::name))
        .order(api_keys::id)
        .load(conn)?)
}

fn record(conn: &mut Conn, action: AuditAction, key: &KeyRow, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (id, organization_id, name) = key;
    let id = parse_id(id)?;
    let name = Name::stored(name);
    let event = AuditEvent {
        organization_id: OrgId::parse(organization_id),
        actor: AuditActor::Known(Actor::System(System::RevocationLog)),
        action,
        target: Some(Target::Key(id.clone(), name)),
        changes: Vec::new(),
        at: now,
        client: Client::default(),
    };
    let event = audit_events::insert(conn, &event)?;
    key_changes::record(conn, &id, event)?;
    Ok(())
}

fn parse_id(id: &str) -> Result<KeyId, StoreError> {
    KeyId::parse(id).ok_or_else(|| StoreError::damaged("api_keys.id"))
}
