//! Table `organization_today`: how much an organization made on its newest day.

use diesel::prelude::*;

use super::{
    Conn, StoreError,
    planned::{Statement, Value, planned},
    schema::organization_today,
};
use crate::domain::ids::OrgId;

/// What was made on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Today {
    /// Keys created, revoked ones included.
    pub keys_created: i64,
    /// Rotations of any of its keys.
    pub rotations: i64,
}

/// Adds to what the organization made on this day (since 1970), and returns the sums. The row stays locked until the
/// transaction ends. A node whose clock is behind adds to the newest day: days never go back, so that no sum begins again.
pub fn add(conn: &mut Conn, organization_id: &OrgId, day: i64, more: Today) -> Result<Today, StoreError> {
    let values = [
        Value::Text(organization_id.as_str()),
        Value::Integer(day),
        Value::Integer(more.keys_created),
        Value::Integer(more.rotations),
    ];
    on!(conn, c => planned::<Add>(&values).execute(c))?;
    let (keys_created, rotations) = organization_today::table
        .find(organization_id.as_str())
        .select((organization_today::keys_created, organization_today::rotations))
        .first(conn)?;
    Ok(Today { keys_created, rotations })
}

struct Add;

impl Statement for Add {
    const SQL: &'static str = "
        INSERT INTO organization_today (organization_id, day, keys_created, rotations) VALUES (?, ?, ?, ?)
        ON CONFLICT (organization_id) DO UPDATE SET
            keys_created = excluded.keys_created
                + CASE WHEN excluded.day > organization_today.day THEN 0 ELSE organization_today.keys_created END,
            rotations = excluded.rotations
                + CASE WHEN excluded.day > organization_today.day THEN 0 ELSE organization_today.rotations END,
            day = CASE WHEN excluded.day > organization_today.day THEN excluded.day ELSE organization_today.day END";
}
