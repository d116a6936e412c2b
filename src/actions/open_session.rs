//! Open a session: its row and its audit event are one transaction.

use crate::{
    app::Site,
    domain::{
        actor::{Actor, Client},
        audit_event::{AuditAction, AuditActor, AuditEvent},
        ids::{OrgId, SessionId, UserId},
        name::Name,
    },
    store::{
        StoreError, audit_events,
        sessions::{self, SessionDigest},
    },
};

/// Somebody who proved who they are.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Of the session to be opened.
    pub session_id: SessionId,
    /// Id and name of the person.
    pub user: (UserId, Name),
    /// Where they work.
    pub organization_id: OrgId,
    /// Address and program of the browser, for the audit log.
    pub client: Client,
}

/// Opens a session that is found by `digest` of what its cookie holds and carries `state`. Called by whoever answers the request,
/// so that a fault is an answer like any other.
///
/// # Errors
/// [`StoreError`]; then there is neither a session nor an event.
pub async fn open_session(
    site: &Site,
    digest: SessionDigest,
    signed_in: SignedIn,
    state: String,
) -> Result<(), StoreError> {
    let (now, began) = (site.clock.now(), site.clock.steady());
    site.db
        .write(move |conn| {
            sessions::insert(conn, digest, &signed_in.session_id, &signed_in.user.0, &state, began)?;
            let event = AuditEvent {
                organization_id: Some(signed_in.organization_id),
                actor: AuditActor::Known(Actor::Person(signed_in.user.0, signed_in.user.1)),
                action: AuditAction::SignedIn,
                target: None,
                changes: Vec::new(),
                at: now,
                client: signed_in.client,
            };
            audit_events::insert(conn, &event).map(drop)
        })
        .await
}
