//! Table `form_tokens`: which forms were submitted, so that none takes effect twice.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{Conn, StoreError, columns::Millis, schema::form_tokens};
use crate::domain::ids::OrgId;

/// Claims a form's token for this transaction; whether it was free. Of two transactions with one token the second waits
/// until the first is done, and then finds it taken, or free again if the first was rolled back.
pub fn claim(conn: &mut Conn, organization_id: &OrgId, token: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let row = (
        form_tokens::organization_id.eq(organization_id.as_str()),
        form_tokens::token.eq(token),
        form_tokens::created_at.eq(Millis::from(now)),
    );
    let inserted =
        on!(conn, c => diesel::insert_into(form_tokens::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(inserted == 1)
}

/// Forgets tokens of forms older than `before`; how many.
pub fn purge(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, StoreError> {
    Ok(diesel::delete(form_tokens::table.filter(form_tokens::created_at.lt(Millis::from(before)))).execute(conn)?)
}
