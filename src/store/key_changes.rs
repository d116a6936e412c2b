//! Tables `key_epoch` and `key_changes`: what changed of that which a verification answers, in the order of commits.

use diesel::{dsl::max, prelude::*};

use super::{
    Conn, StoreError, audit_events,
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

/// A key that a change was about.
#[derive(Debug)]
pub struct Change {
    /// The change's place in the history.
    pub position: Position,
    /// Which key.
    pub key_id: KeyId,
    /// Whether secrets of it, or the key itself, were removed from the database.
    pub is_removal: bool,
}

/// Notes that a key changed, as this event tells. To be called last in the transaction of the change: from here until the
/// commit every other change waits, which makes the order of epochs the order of commits.
pub fn record(conn: &mut Conn, key_id: &KeyId, event: EventId) -> Result<Recorded, StoreError> {
    Ok(Recorded { position: record_keys(conn, &[key_id.as_str()], false)?, event })
}

/// Notes that of these keys, each once, secrets or the keys themselves were removed, as one change. It has no event: it changes
/// what is known of what had ended, and nothing that works; nobody is woken for it. To be called last in its transaction, as
/// [`record`].
pub fn record_removal(conn: &mut Conn, key_ids: &[&str]) -> Result<(), StoreError> {
    record_keys(conn, key_ids, true).map(drop)
}

fn record_keys(conn: &mut Conn, key_ids: &[&str], is_removal: bool) -> Result<Position, StoreError> {
    let mark = Mark::generate().map_err(|error| StoreError::Fault(Fault::Other, error.to_string()))?;
    diesel::update(key_epoch::table.find(ONLY)).set(key_epoch::value.eq(key_epoch::value + 1)).execute(conn)?;
    let epoch = newest(conn)?;
    for key_id in key_ids {
        diesel::insert_into(key_changes::table)
            .values((
                key_changes::epoch.eq(epoch.0),
                key_changes::key_id.eq(key_id),
                key_changes::mark.eq(mark.to_string()),
                key_changes::is_removal.eq(i64::from(is_removal)),
            ))
            .execute(conn)?;
    }
    Ok(Position { epoch, mark })
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

/// Whether the change of this number is that one. A change from before marks is taken for it.
pub fn is_in_history(conn: &mut Conn, position: Position) -> Result<bool, StoreError> {
    let here: Option<String> = key_changes::table
        .filter(key_changes::epoch.eq(position.epoch.0))
        .select(max(key_changes::mark))
        .first(conn)?;
    Ok(here.unwrap_or_default() == position.mark.to_string())
}

/// The changes from one epoch on and up to another, both included, in their order.
pub fn between(conn: &mut Conn, from: Epoch, to: Epoch) -> Result<Vec<Change>, StoreError> {
    let rows: Vec<(i64, String, String, i64)> = key_changes::table
        .filter(key_changes::epoch.ge(from.0))
        .filter(key_changes::epoch.le(to.0))
        .order((key_changes::epoch, key_changes::key_id))
        .select((key_changes::epoch, key_changes::key_id, key_changes::mark, key_changes::is_removal))
        .load(conn)?;
    let change = |(epoch, id, mark, is_removal): (i64, String, String, i64)| {
        let position = Position { epoch: Epoch(epoch), mark: read_mark(&mark)? };
        let key_id = KeyId::parse(&id).ok_or_else(|| StoreError::damaged("key_changes.key_id"))?;
        Ok(Change { position, key_id, is_removal: is_removal != 0 })
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
