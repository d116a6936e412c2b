//! Give whoever can run the binary against the database authority over an organization's keys: they could change its rows as well.

use crate::{
    app::Keys,
    domain::{authority::Authority, ids::OrgId},
    store::{StoreError, organizations},
};

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum CommandAuthorityError {
    /// No organization has this id.
    #[error("there is no organization {0}")]
    NoSuchOrganization(OrgId),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Authority of the command line over this organization.
///
/// # Errors
/// See [`CommandAuthorityError`].
pub async fn command_authority(keys: &Keys, organization_id: OrgId) -> Result<Authority, CommandAuthorityError> {
    let id = organization_id.clone();
    let found = keys.db.read(move |conn| organizations::find_name(conn, &id)).await?;
    match found {
        Some(_) => Ok(Authority::of_command_line(organization_id)),
        None => Err(CommandAuthorityError::NoSuchOrganization(organization_id)),
    }
}
