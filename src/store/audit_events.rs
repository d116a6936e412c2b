//! Table `audit_events`: only ever added to, in the transaction of the change it tells about.

use diesel::prelude::*;

use super::{Conn, StoreError, columns::Millis, schema::audit_events};
use crate::domain::{
    audit_event::{AuditActor, AuditEvent},
    ids::EventId,
};

/// Adds an event; returns the id by which it is found again.
pub fn insert(conn: &mut Conn, event: &AuditEvent) -> Result<EventId, StoreError> {
    let id = EventId::generate(event.at);
    let (actor_kind, actor_id, actor_name) = match &event.actor {
        AuditActor::User(id, name) => ("user", Some(id.as_str()), Some(name.as_str())),
        AuditActor::CommandLine => ("command_line", None, None),
        AuditActor::RevocationLog => ("revocation_log", None, None),
        AuditActor::Anonymous(tried) => ("anonymous", None, tried.as_deref()),
    };
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::id.eq(id.as_str()),
            audit_events::organization_id.eq(event.organization_id.as_ref().map(|id| id.as_str())),
            audit_events::at.eq(Millis::from(event.at)),
            audit_events::action.eq(event.action.as_str()),
            audit_events::actor_kind.eq(actor_kind),
            audit_events::actor_id.eq(actor_id),
            audit_events::actor_name.eq(actor_name),
            audit_events::user_id.eq(event.user.as_ref().map(|(id, _)| id.as_str())),
            audit_events::user_name.eq(event.user.as_ref().map(|(_, name)| name.as_str())),
            audit_events::key_id.eq(event.key.as_ref().map(|(id, _)| id.as_str())),
            audit_events::key_name.eq(event.key.as_ref().map(|(_, name)| name.as_str())),
            audit_events::address.eq(event.client.address.map(|address| address.to_string())),
            audit_events::user_agent.eq(event.client.user_agent.as_deref()),
            audit_events::request_id.eq(event.client.request_id.as_deref()),
        ))
        .execute(conn)?;
    Ok(id)
}

/// Whether an event is there.
pub fn exists(conn: &mut Conn, id: &EventId) -> Result<bool, StoreError> {
    let found = audit_events::table.find(id.as_str()).select(audit_events::id).first::<String>(conn).optional()?;
    Ok(found.is_some())
}
