//! Sign out: the session ends on the server, whatever happens to its cookie.

use crate::{
    app::Site,
    domain::{
        actor::Actor,
        audit_event::{AuditAction, AuditActor, AuditEvent},
        authority::Authority,
        ids::SessionId,
    },
    store::{StoreError, audit_events, sessions},
};

/// Ends the session of a person.
///
/// # Errors
/// [`StoreError`]; then the session goes on.
pub async fn sign_out(site: &Site, authority: &Authority, session_id: &SessionId) -> Result<(), StoreError> {
    // Nobody else has a session.
    let (Actor::Person(user_id, _) | Actor::Operator(user_id, _)) = authority.actor() else { return Ok(()) };
    let now = site.clock.now();
    let (authority, user_id, session_id) = (authority.clone(), user_id.clone(), session_id.clone());
    site.db
        .write(move |conn| {
            if !sessions::delete_of_user(conn, &user_id, &session_id)? {
                return Ok(());
            }
            let event = AuditEvent {
                organization_id: Some(authority.organization_id().clone()),
                actor: AuditActor::Known(authority.actor().clone()),
                action: AuditAction::SignedOut,
                target: None,
                changes: Vec::new(),
                at: now,
                client: authority.client().clone(),
            };
            audit_events::insert(conn, &event).map(drop)
        })
        .await
}
