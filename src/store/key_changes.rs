//! Tables `key_epoch` and `key_changes`: what changed of that which a verification answers, in the order of commits.

use diesel::prelude::*;

use super::{
    Conn, StoreError, audit_events, dialect,
    schema::{key_changes, key_epoch},
};
use crate::domain::{
    ids::{EventId, KeyId},
    key_record::Epoch,
};

/// The one row of `key_epoch`.
const ONLY: i64 = 1;
/// Changes kept for nodes that were away; a node that missed more reads everything again.
const KEPT: i64 = 100_000;

/// A change of a key in a transaction that is not committed yet.
pub struct Recorded {
    /// Its number, once it is committed.
    pub epoch: Epoch,
    /// No other change has this one, also if it takes the same epoch because this one was rolled back.
    event: EventId,
}

/// Notes that a key changed, as this event tells. To be called last in the transaction of the change: from here until the commit every other
/// change waits, which makes the order of epochs the order of commits.
pub fn record(conn: &mut Conn, key_id: &KeyId, event: EventId) -> Result<Recorded, StoreError> {
    diesel::update(key_epoch::table.find(ONLY)).set(key_epoch::value.eq(key_epoch::value + 1)).execute(conn)?;
    let Epoch(epoch) = current(conn)?;
    diesel::insert_into(key_changes::table)
        .values((key_changes::epoch.eq(epoch), key_changes::key_id.eq(key_id.as_str())))
        .execute(conn)?;
    dialect::notify_followers(conn)?;
    Ok(Recorded { epoch: Epoch(epoch), event })
}

/// Whether a change was committed; asked on another connection when the one that made it broke.
///
/// The transaction that recorded it held the lock of the epoch's row and keeps it until it ends, so whoever has the lock
/// sees what became of it, for good. On a standby, which cannot lock, this fails.
pub fn was_recorded(conn: &mut Conn, recorded: &Recorded) -> Result<bool, StoreError> {
    diesel::update(key_epoch::table.find(ONLY)).set(key_epoch::value.eq(key_epoch::value)).execute(conn)?;
    audit_events::exists(conn, &recorded.event)
}

/// The epoch of the last change that was committed.
pub fn current(conn: &mut Conn) -> Result<Epoch, StoreError> {
    Ok(Epoch(key_epoch::table.find(ONLY).select(key_epoch::value).first(conn)?))
}

/// The changes after one epoch and up to another, in their order.
pub fn between(conn: &mut Conn, after: Epoch, to: Epoch) -> Result<Vec<(Epoch, KeyId)>, StoreError> {
    let rows: Vec<(i64, String)> = key_changes::table
        .filter(key_changes::epoch.gt(after.0))
        .filter(key_changes::epoch.le(to.0))
        .order((key_changes::epoch, key_changes::key_id))
        .select((key_changes::epoch, key_changes::key_id))
        .load(conn)?;
    let change = |(epoch, id): (i64, String)| {
        Ok((Epoch(epoch), KeyId::parse(&id).ok_or_else(|| StoreError::damaged("key_changes.key_id"))?))
    };
    rows.into_iter().map(change).collect()
}

/// Removes changes that every node has long read; how many.
pub fn purge(conn: &mut Conn) -> Result<usize, StoreError> {
    let Epoch(newest) = current(conn)?;
    Ok(diesel::delete(key_changes::table.filter(key_changes::epoch.le(newest - KEPT))).execute(conn)?)
}
