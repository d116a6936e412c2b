//! Resume a session: who it belongs to is asked of the database on every request, so that an admin who was removed is
//! one no longer.

use crate::{
    app::App,
    domain::{
        actor::{Admin, Client},
        ids::{OrgId, SessionId, UserId},
        user::Role,
    },
    store::{StoreError, users},
};

/// What a session remembers of its owner.
pub struct Remembered {
    /// Id of the session, for the audit log and for signing out.
    pub session_id: SessionId,
    /// The person who signed in.
    pub user_id: UserId,
    /// Where they work.
    pub organization_id: OrgId,
}

/// The admin behind a live session; `None` when they are no longer a member.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub async fn resume_session(app: &App, session: Remembered, client: Client) -> Result<Option<Admin>, StoreError> {
    let Remembered { session_id, user_id, organization_id } = session;
    let member = app.db.read(move |conn| users::find_member(conn, &organization_id, &user_id)).await?;
    Ok(member.map(|member| match member.role {
        // Each role by name: one that is added does not compile until somebody has said here whether it may change keys.
        role @ Role::Admin => Admin::of_live_session(session_id, member.user, member.organization, role, client),
    }))
}
