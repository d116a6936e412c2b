//! Sign out: the session ends on the server, whatever happens to its cookie.

use crate::{
    app::App,
    domain::{
        actor::Admin,
        audit_event::{AuditAction, AuditActor, AuditEvent},
    },
    store::{StoreError, audit_events, sessions},
};

/// Ends the admin's session.
///
/// # Errors
/// [`StoreError`]; then the session goes on.
pub async fn sign_out(app: &App, admin: &Admin) -> Result<(), StoreError> {
    let now = app.clock.now();
    let admin = admin.clone();
    app.db
        .write(move |conn| {
            if !sessions::delete_of_user(conn, admin.user_id(), admin.session_id())? {
                return Ok(());
            }
            let event = AuditEvent {
                organization_id: Some(admin.organization_id().clone()),
                actor: AuditActor::User(admin.user_id().clone(), admin.user_name().clone()),
                action: AuditAction::SignedOut,
                user: None,
                key: None,
                at: now,
                client: admin.client().clone(),
            };
            audit_events::insert(conn, &event).map(drop)
        })
        .await
}
