//! Who acts, and from where: authority is a value that every action takes first.

use std::net::IpAddr;

use super::{
    ids::{OrgId, SessionId, UserId},
    name::Name,
    user::Role,
};

/// Where a request came from, as far as it can be known; goes into the audit log.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The peer, or the right-most hop that is no trusted proxy.
    pub address: Option<IpAddr>,
    /// `User-Agent`, cut to [`MAX_USER_AGENT`] characters.
    pub user_agent: Option<String>,
    /// Also stands in the log and on error pages.
    pub request_id: Option<String>,
}

/// The longest `User-Agent` kept, in characters.
pub const MAX_USER_AGENT: usize = 256;

/// A member of an organization who signed in and may administer its keys.
///
/// Only `actions/resume_session.rs`, called by the session guard, makes one (held by the architecture test): having
/// an `Admin` is the permission, and the organization in it is the only one its holder can name.
#[derive(Clone, Debug)]
pub struct Admin {
    user_id: UserId,
    user_name: Name,
    organization_id: OrgId,
    organization_name: Name,
    role: Role,
    session_id: SessionId,
    client: Client,
}

impl Admin {
    /// To be called with what the database says of a live session, and nowhere else.
    pub fn of_live_session(
        session_id: SessionId,
        user: (UserId, Name),
        organization: (OrgId, Name),
        role: Role,
        client: Client,
    ) -> Self {
        Self {
            user_id: user.0,
            user_name: user.1,
            organization_id: organization.0,
            organization_name: organization.1,
            role,
            session_id,
            client,
        }
    }

    /// Id of the person.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// Who, for people.
    pub fn user_name(&self) -> &Name {
        &self.user_name
    }

    /// Of which organization.
    pub fn organization_id(&self) -> &OrgId {
        &self.organization_id
    }

    /// Of which organization, for people.
    pub fn organization_name(&self) -> &Name {
        &self.organization_name
    }

    /// What they may do in their organization.
    pub fn role(&self) -> Role {
        self.role
    }

    /// By which session.
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    /// Address and program that the request came from.
    pub fn client(&self) -> &Client {
        &self.client
    }
}
