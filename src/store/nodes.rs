//! Table `nodes`: who may answer from memory, and how far each has applied the changes (Postgres only; a SQLite file has one
//! server, which says it in a file beside).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{
    dsl::{exists, max},
    prelude::*,
    sql_types::Bool,
};

use super::{
    Conn, StoreError,
    columns::Millis,
    database_lock::{Server, ServerWatch},
    dialect,
    error::Fault,
    generations, key_changes as changes,
    schema::{key_changes, nodes},
};
use crate::domain::{ids::NodeId, key_record::Epoch, position::Position};

/// A node that may answer verifications from memory.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its id, a new one each time that it registers: [`NodeId::run_of`] knows it again.
    pub id: String,
    /// Every change up to here is in its memory, if this is so.
    pub applied: Epoch,
    /// Whether the change that it applied last is one of this database's history. If not, what it applied is another change
    /// of the same number.
    pub is_in_history: bool,
    /// Grows with each renewal.
    pub renewal: i64,
    /// How long one renewal lets it answer, in milliseconds.
    pub lease_ms: i64,
}

impl Node {
    /// Whether it said that it has applied this change of this history.
    pub fn has_applied(&self, epoch: Epoch) -> bool {
        self.is_in_history && self.applied >= epoch
    }

    /// How long one renewal lets it answer.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.try_into().unwrap_or(u64::MAX))
    }
}

/// Makes a node known. That alone lets it answer nothing.
pub fn insert(
    conn: &mut Conn,
    id: &NodeId,
    applied: Position,
    lease_ms: i64,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(nodes::table)
        .values((
            nodes::id.eq(id.as_str()),
            nodes::started_at.eq(Millis::from(now)),
            nodes::applied_epoch.eq(applied.epoch.0),
            nodes::applied_mark.eq(applied.mark.to_string()),
            nodes::renewal.eq(0),
            nodes::lease_ms.eq(lease_ms),
            nodes::lease_until.eq(Millis::from(now)),
            nodes::generation.eq(generations::OWN),
        ))
        .execute(conn)?;
    Ok(())
}

/// Says how far a node has come, and that it lives; whether that is so: its row is there, and the change that it applied last
/// is one of this database's history. What it said once stays said: a statement that arrives late changes nothing. Where the
/// database commits nothing without a synchronous standby, neither does it renew a lease: a primary that was cut off, and knows
/// nothing of what is revoked elsewhere, must not go on giving leases.
pub fn renew(conn: &mut Conn, id: &NodeId, applied: Position, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let mark = applied.mark.to_string();
    let here = key_changes::table.filter(key_changes::epoch.eq(applied.epoch.0)).filter(key_changes::mark.eq(&mark));
    // In one statement: a pooler may send the next one to another database.
    let is_in_history = exists(here).or((!applied.mark.is_known()).into_sql::<Bool>());
    let known = nodes::table.filter(nodes::id.eq(id.as_str())).filter(nodes::applied_epoch.le(applied.epoch.0));
    let changed = diesel::update(known.filter(is_in_history))
        .set((
            nodes::applied_epoch.eq(applied.epoch.0),
            nodes::applied_mark.eq(&mark),
            nodes::renewal.eq(nodes::renewal + 1),
            nodes::lease_until.eq(Millis::from(until)),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}

/// Every node that is known.
pub fn list(conn: &mut Conn) -> Result<Vec<Node>, StoreError> {
    let mark_here = key_changes::table
        .filter(key_changes::epoch.eq(nodes::applied_epoch))
        .select(max(key_changes::mark))
        .single_value();
    let rows: Vec<(String, i64, String, Option<String>, i64, i64)> = nodes::table
        .order(nodes::id)
        .select((nodes::id, nodes::applied_epoch, nodes::applied_mark, mark_here, nodes::renewal, nodes::lease_ms))
        .load(conn)?;
    let node = |(id, applied, mark, mark_here, renewal, lease_ms): (_, _, String, Option<String>, _, _)| Node {
        id,
        applied: Epoch(applied),
        // Neither has one: the change is older than marks.
        is_in_history: mark == mark_here.unwrap_or_default(),
        renewal,
        lease_ms,
    };
    Ok(rows.into_iter().map(node).collect())
}

/// The longest lease that can be set.
pub const LONGEST_LEASE: Duration = Duration::from_secs(300);

/// The server of a SQLite file as a node, seen from another process; none if no server runs.
///
/// # Errors
/// Also when it cannot be found out whether one runs.
pub fn of_watched(conn: &mut Conn, watch: &ServerWatch) -> Result<Vec<Node>, StoreError> {
    let server = watch.look().map_err(|error| StoreError::Fault(Fault::Other, error.to_string()))?;
    let Server::Running(said) = server else { return Ok(Vec::new()) };
    let said = match said {
        Some(said) => (said.applied.epoch, changes::is_in_history(conn, said.applied)?, said.lease),
        // It has just started, or cannot write: it may answer from whatever it knows.
        None => (Epoch(-1), false, LONGEST_LEASE),
    };
    let (applied, is_in_history, lease) = said;
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    Ok(vec![Node { id: "the server".to_owned(), applied, is_in_history, renewal: 0, lease_ms }])
}

/// After the end of its lease a node is gone for certain, whatever the clocks.
const GONE_AFTER: TimeDelta = TimeDelta::minutes(1);

/// Nodes of an older generation than this one that run, or did within the last minute (Postgres only).
pub fn older_than(conn: &mut Conn, generation: i64) -> Result<Vec<String>, StoreError> {
    let Some(now) = dialect::time(conn)? else { return Ok(Vec::new()) };
    let running = nodes::table.filter(nodes::lease_until.gt(Millis::from(now - GONE_AFTER)));
    Ok(running.filter(nodes::generation.lt(generation)).order(nodes::id).select(nodes::id).load(conn)?)
}

/// Forgets a node whose lease has certainly ended, unless it renewed in the meantime.
pub fn remove_silent(conn: &mut Conn, id: &str, renewal: i64) -> Result<bool, StoreError> {
    let silent = nodes::table.filter(nodes::id.eq(id)).filter(nodes::renewal.eq(renewal));
    Ok(diesel::delete(silent).execute(conn)? == 1)
}

/// Forgets a node that answers no more.
pub fn remove(conn: &mut Conn, id: &NodeId) -> Result<(), StoreError> {
    diesel::delete(nodes::table.filter(nodes::id.eq(id.as_str()))).execute(conn)?;
    Ok(())
}
