//! Table `organizations`.

use diesel::prelude::*;

use super::{Conn, StoreError, columns::Millis, schema::organizations};
use crate::domain::{ids::OrgId, name::Name, organization::Organization};

/// Adds an organization.
pub fn insert(conn: &mut Conn, organization: &Organization) -> Result<(), StoreError> {
    diesel::insert_into(organizations::table)
        .values((
            organizations::id.eq(organization.id.as_str()),
            organizations::name.eq(organization.name.as_str()),
            organizations::created_at.eq(Millis::from(organization.created_at)),
        ))
        .execute(conn)?;
    Ok(())
}

/// The name of an organization, if there is one with this id.
pub fn find_name(conn: &mut Conn, id: &OrgId) -> Result<Option<Name>, StoreError> {
    let name: Option<String> =
        organizations::table.find(id.as_str()).select(organizations::name).first(conn).optional()?;
    Ok(name.map(|name| Name::stored(&name)))
}
