//! Authority is a value: who acts, for which organization, and what they may do there. Every action takes one first.

use super::{
    actor::{Actor, Client},
    ids::{OrgId, UserId},
    name::Name,
    permission::{Permission, Permissions},
    user::Role,
};

/// They may not do that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not permitted: {0:?}")]
pub struct NotPermitted(pub Permission);

/// Who acts, for which organization, and what they may do.
///
/// Of each kind of actor it is made in one file (held by the architecture test); an [`Actor`] alone, for the audit log, permits nothing.
/// The organization in it is the only one that its holder can name.
#[derive(Clone, Debug)]
pub struct Authority {
    organization_id: OrgId,
    actor: Actor,
    permissions: Permissions,
    client: Client,
}

impl Authority {
    /// Of a person who signed in. To be called with what the database says of a live session, and nowhere else.
    pub fn of_live_session(organization_id: OrgId, person: (UserId, Name), role: Role, client: Client) -> Self {
        let permissions = role.permissions();
        Self { organization_id, actor: Actor::Person(person.0, person.1), permissions, client }
    }

    /// Of whoever can run the binary against the database. To be called for an organization that exists.
    pub fn of_command_line(organization_id: OrgId) -> Self {
        let permissions = Permissions::of(&[Permission::ReadKeys, Permission::CreateKeys, Permission::ChangeKeys]);
        Self { organization_id, actor: Actor::CommandLine, permissions, client: Client::default() }
    }

    /// Whose keys they are.
    pub const fn organization_id(&self) -> &OrgId {
        &self.organization_id
    }

    /// Who it is.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Address and program that the request came from.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether they may do that: for what is shown. Whoever does something asks [`Self::require`].
    pub const fn may(&self, permission: Permission) -> bool {
        self.permissions.contain(permission)
    }

    /// Every action asks this before it looks anything up.
    ///
    /// # Errors
    /// [`NotPermitted`].
    pub const fn require(&self, permission: Permission) -> Result<(), NotPermitted> {
        if self.may(permission) { Ok(()) } else { Err(NotPermitted(permission)) }
    }
}
