//! Tables `key_epoch` and `key_changes`: what changed of that which a verification answers, in the order of commits.

use diesel::{dsl::max, prelude::*};

use super::{
    Conn, StoreError, audit_events, dialect,
    error::Fault,
    schema::{key_changes, key_epoch},
};
use crate::domain::{
    ids::{EventId, KeyId},
    key_record::Epoch,
    position::{Mark, Position},
};

/// The one row of `key_epoch`.
const ONLY: i64 = 1;
/// Changes kept for nodes that were away; a node that missed more reads everything again.
const KEPT: i64 = 100_000;

/// A change of a key in a transaction that is not committed yet.
pub struct Recorded {
    /// Its place in the history, once it is committed.
    pub position: Position,
    /// No other change has this one, also if it takes the same epoch because this one was rolled back.
    event: EventId,
}

/// Notes that a key changed, as this event tells. To be called last in the transaction of the change: from here until the
/// commit every other change waits, which makes the order of epochs the order of commits.
pub fn record(conn: &mut Conn, key_id: &KeyId, event: EventId) -> Result<Recorded, StoreError> {
    let mark = Mark::generate().map_err(|error| StoreError::Fault(Fault::Other, error.to_string()))?;
    diesel::update(key_epoch::table.find(ONLY)).set(key_epoch::value.eq(key_epoch::value + 1)).execute(conn)?;
    let epoch = newest(conn)?;
    diesel::insert_into(key_changes::table)
        .values((
            key_changes::epoch.eq(epoch.0),
            key_changes::key_id.eq(key_id.as_str()),
            key_changes::mark.eq(mark.to_string()),
        ))
        .execute(conn)?;
    dialect::notify_followers(conn)?;
    Ok(Recorded { position: Position { epoch, mark }, event })
}

/// Whether a change was committed; asked on another connection when the one that made it broke.
///
/// The transaction that recorded it held the lock of the epoch's row and keeps it until it ends, so whoever has the lock
/// sees what became of it, for good. On a standby, which cannot lock, this fails.
pub fn was_recorded(conn: &mut Conn, recorded: &Recorded) -> Result<bool, StoreError> {
    diesel::update(key_epoch::table.find(ONLY)).set(key_epoch::value.eq(key_epoch::value)).execute(conn)?;
    audit_events::exists(conn, &recorded.event)
}

fn newest(conn: &mut Conn) -> Result<Epoch, StoreError> {
    Ok(Epoch(key_epoch::table.find(ONLY).select(key_epoch::value).first(conn)?))
}

/// The key that a change was about; `None` when the database does not have this change.
pub fn key_of(conn: &mut Conn, change: Position) -> Result<Option<KeyId>, StoreError> {
    let id: Option<String> = key_changes::table
        .filter(key_changes::epoch.eq(change.epoch.0))
        .filter(key_changes::mark.eq(change.mark.to_string()))
        .select(key_changes::key_id)
        .first(conn)
        .optional()?;
    id.map(|id| KeyId::parse(&id).ok_or_else(|| StoreError::damaged("key_changes.key_id"))).transpose()
}

/// The last change of a key, if it is not too long ago.
pub fn last_of(conn: &mut Conn, key_id: &KeyId) -> Result<Option<Position>, StoreError> {
    let last: Option<(i64, String)> = key_changes::table
        .filter(key_changes::key_id.eq(key_id.as_str()))
        .order(key_changes::epoch.desc())
        .select((key_changes::epoch, key_changes::mark))
        .first(conn)
        .optional()?;
    last.map(|(epoch, mark)| Ok(Position { epoch: Epoch(epoch), mark: read_mark(&mark)? })).transpose()
}

/// The last change that was committed.
pub fn current(conn: &mut Conn) -> Result<Position, StoreError> {
    let (epoch, mark): (i64, Option<String>) = key_epoch::table
        .left_join(key_changes::table.on(key_changes::epoch.eq(key_epoch::value)))
        .filter(key_epoch::id.eq(ONLY))
        .select((key_epoch::value, key_changes::mark.nullable()))
        .first(conn)?;
    Ok(Position { epoch: Epoch(epoch), mark: read_mark(&mark.unwrap_or_default())? })
}

/// Whether a change that was committed is not in this database any more: its number is not reached, or another change has it.
/// Of one that was purged nothing is known, so it counts as there.
pub fn is_lost(conn: &mut Conn, change: Position) -> Result<bool, StoreError> {
    let there: Option<String> =
        key_changes::table.filter(key_changes::epoch.eq(change.epoch.0)).select(max(key_changes::mark)).first(conn)?;
    Ok(match there {
        Some(mark) => !mark.is_empty() && change.mark.is_known() && mark != change.mark.to_string(),
        None => newest(conn)? < change.epoch,
    })
}

/// The changes from one epoch on and up to another, both included, in their order.
pub fn between(conn: &mut Conn, from: Epoch, to: Epoch) -> Result<Vec<(Position, KeyId)>, StoreError> {
    let rows: Vec<(i64, String, String)> = key_changes::table
        .filter(key_changes::epoch.ge(from.0))
        .filter(key_changes::epoch.le(to.0))
        .order((key_changes::epoch, key_changes::key_id))
        .select((key_changes::epoch, key_changes::key_id, key_changes::mark))
        .load(conn)?;
    let change = |(epoch, id, mark): (i64, String, String)| {
        let position = Position { epoch: Epoch(epoch), mark: read_mark(&mark)? };
        Ok((position, KeyId::parse(&id).ok_or_else(|| StoreError::damaged("key_changes.key_id"))?))
    };
    rows.into_iter().map(change).collect()
}

fn read_mark(text: &str) -> Result<Mark, StoreError> {
    Mark::parse(text).ok_or_else(|| StoreError::damaged("key_changes.mark"))
}

/// Removes changes that every node has long read; how many.
pub fn purge(conn: &mut Conn) -> Result<usize, StoreError> {
    let Epoch(newest) = newest(conn)?;
    Ok(diesel::delete(key_changes::table.filter(key_changes::epoch.le(newest - KEPT))).execute(conn)?)
}
