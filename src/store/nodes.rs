//! Table `nodes`: who may answer from memory, and how far each has applied the changes (Postgres only).

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{Conn, StoreError, columns::Millis, schema::nodes};
use crate::domain::{ids::NodeId, key_record::Epoch};

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Which.
    pub id: String,
    /// Every change up to here is in its memory.
    pub applied: Epoch,
    /// Grows with each renewal.
    pub renewal: i64,
    /// How long one renewal lets it answer, in milliseconds.
    pub lease_ms: i64,
}

/// Makes a node known. That alone lets it answer nothing.
pub fn insert(
    conn: &mut Conn,
    id: &NodeId,
    applied: Epoch,
    lease_ms: i64,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(nodes::table)
        .values((
            nodes::id.eq(id.as_str()),
            nodes::started_at.eq(Millis::from(now)),
            nodes::applied_epoch.eq(applied.0),
            nodes::renewal.eq(0),
            nodes::lease_ms.eq(lease_ms),
            nodes::lease_until.eq(Millis::from(now)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Says how far a node has come, and that it lives; whether it is known. What it said once stays said: a statement that
/// arrives late changes nothing.
pub fn renew(conn: &mut Conn, id: &NodeId, applied: Epoch, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let changed = diesel::update(nodes::table.find(id.as_str()).filter(nodes::applied_epoch.le(applied.0)))
        .set((
            nodes::applied_epoch.eq(applied.0),
            nodes::renewal.eq(nodes::renewal + 1),
            nodes::lease_until.eq(Millis::from(until)),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}

/// Every node that is known.
pub fn list(conn: &mut Conn) -> Result<Vec<Node>, StoreError> {
    let rows: Vec<(String, i64, i64, i64)> = nodes::table
        .order(nodes::id)
        .select((nodes::id, nodes::applied_epoch, nodes::renewal, nodes::lease_ms))
        .load(conn)?;
    let node = |(id, applied, renewal, lease_ms)| Node { id, applied: Epoch(applied), renewal, lease_ms };
    Ok(rows.into_iter().map(node).collect())
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
