//! Resume a session: who it belongs to is asked of the database on every request, so that a member who was removed is
//! one no longer.

use crate::{
    app::Site,
    domain::{
        actor::Client,
        authority::Authority,
        ids::{OrgId, SessionId, UserId},
        name::Name,
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

/// The person behind a live session, as pages show them.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Who they are, what they may do, and where.
    pub authority: Authority,
    /// By which session.
    pub session_id: SessionId,
    /// Where they work, for people.
    pub organization_name: Name,
    /// What they are there.
    pub role: Role,
}

/// The person behind a live session; `None` when they are no longer a member.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub async fn resume_session(site: &Site, session: Remembered, client: Client) -> Result<Option<Viewer>, StoreError> {
    let Remembered { session_id, user_id, organization_id } = session;
    let member = site.db.read(move |conn| users::find_member(conn, &organization_id, &user_id)).await?;
    Ok(member.map(|member| {
        let (organization_id, organization_name) = member.organization;
        let authority = Authority::of_live_session(organization_id, member.user, member.role, client);
        Viewer { authority, session_id, organization_name, role: member.role }
    }))
}
