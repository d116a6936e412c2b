//! Table `audit_events`: added to in the transaction of the change that an event tells about, and never changed. What is older
//! than somebody set goes.

use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types::BigInt};

use super::{Conn, StoreError, columns::Millis, schema::audit_events};
use crate::domain::{
    audit_event::{AuditAction, AuditActor, AuditEvent, FieldChange, Target},
    ids::EventId,
    name::Name,
};

/// Adds an event; returns the id by which it is found again.
pub fn insert(conn: &mut Conn, event: &AuditEvent) -> Result<EventId, StoreError> {
    let id = EventId::generate(event.at);
    let (actor_kind, actor_id, actor_name) = match &event.actor {
        AuditActor::Known(actor) => (actor.kind(), actor.id(), actor.name().map(Name::as_str)),
        AuditActor::Anonymous(tried) => ("anonymous", None, tried.as_deref()),
    };
    let (user, key) = match &event.target {
        Some(Target::User(id, name)) => (Some((id, name)), None),
        Some(Target::Key(id, name)) => (None, Some((id, name))),
        None => (None, None),
    };
    let seq = next_seq(conn)?;
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::id.eq(id.as_str()),
            audit_events::organization_id.eq(event.organization_id.as_ref().map(|id| id.as_str())),
            audit_events::at.eq(Millis::from(event.at)),
            audit_events::action.eq(event.action.as_str()),
            audit_events::actor_kind.eq(actor_kind),
            audit_events::actor_id.eq(actor_id),
            audit_events::actor_name.eq(actor_name),
            audit_events::user_id.eq(user.map(|(id, _)| id.as_str())),
            audit_events::user_name.eq(user.map(|(_, name)| name.as_str())),
            audit_events::key_id.eq(key.map(|(id, _)| id.as_str())),
            audit_events::key_name.eq(key.map(|(_, name)| name.as_str())),
            audit_events::address.eq(event.client.address.map(|address| address.to_string())),
            audit_events::user_agent.eq(event.client.user_agent.as_deref()),
            audit_events::request_id.eq(event.client.request_id.as_deref()),
            audit_events::detail.eq(detail_of(&event.changes)),
            seq.map(|seq| audit_events::seq.eq(seq)),
        ))
        .execute(conn)?;
    Ok(id)
}

/// `None` where the database numbers rows itself.
fn next_seq(conn: &mut Conn) -> Result<Option<i64>, StoreError> {
    #[derive(QueryableByName)]
    struct Seq {
        #[diesel(sql_type = BigInt)]
        value: i64,
    }
    match conn {
        Conn::Sqlite(_) => {
            let next: Seq =
                diesel::sql_query("UPDATE audit_seq SET value = value + 1 RETURNING value").get_result(conn)?;
            Ok(Some(next.value))
        }
        Conn::Postgres(_) => Ok(None),
    }
}

/// Numbers the events of a program that knows nothing of numbers, in the order of their times (SQLite: Postgres numbers all).
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn number_all(conn: &mut Conn) -> Result<usize, StoreError> {
    let Conn::Sqlite(conn) = conn else { return Ok(0) };
    let numbered = diesel::sql_query(
        "UPDATE audit_events SET seq = (SELECT value FROM audit_seq) + numbered.n
        FROM (
            SELECT id, row_number() OVER (ORDER BY at, rowid) AS n FROM audit_events WHERE seq IS NULL
        ) AS numbered
        WHERE audit_events.id = numbered.id",
    )
    .execute(conn)?;
    if numbered > 0 {
        let raise = "UPDATE audit_seq SET value = (SELECT max(seq) FROM audit_events)";
        diesel::sql_query(raise).execute(conn)?;
    }
    Ok(numbered)
}

/// `{"hint": {"before": "x9Kq", "after": "p2Lm"}}`; what there was not stands there as `null`.
fn detail_of(changes: &[FieldChange]) -> Option<String> {
    let of = |change: &FieldChange| {
        let detail = serde_json::json!({ "before": change.before, "after": change.after });
        (change.field.to_owned(), detail)
    };
    let detail: serde_json::Map<_, _> = changes.iter().map(of).collect();
    (!detail.is_empty()).then(|| serde_json::Value::Object(detail).to_string())
}

/// Whether an event is there.
pub fn exists(conn: &mut Conn, id: &EventId) -> Result<bool, StoreError> {
    let found = audit_events::table.find(id.as_str()).select(audit_events::id).first::<String>(conn).optional()?;
    Ok(found.is_some())
}

/// Events that one call removes: some milliseconds in which nobody else writes.
const AT_ONCE: i64 = 2000;

/// Forgets events from before a time, the oldest first, some thousand in a call; how many went.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn forget(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, StoreError> {
    forget_where(conn, "", before)
}

/// The same of failed sign-ins alone.
///
/// # Errors
/// [`StoreError`]; the caller's transaction must then be rolled back.
pub fn forget_failed_sign_ins(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, StoreError> {
    // In the text and not bound: only so SQLite knows that its index of such events has them all.
    forget_where(conn, &format!("action = '{}' AND", AuditAction::SignInFailed.as_str()), before)
}

fn forget_where(conn: &mut Conn, condition: &str, before: DateTime<Utc>) -> Result<usize, StoreError> {
    let sql = format!(
        "DELETE FROM audit_events WHERE id IN (
            SELECT id FROM audit_events WHERE {condition} at < $1 ORDER BY at LIMIT $2
        )"
    );
    Ok(diesel::sql_query(sql).bind::<BigInt, _>(before.timestamp_millis()).bind::<BigInt, _>(AT_ONCE).execute(conn)?)
}
