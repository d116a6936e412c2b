//! Table `installation`: what there is once per database.

use diesel::prelude::*;

use super::{Conn, StoreError, schema::installation};

/// Random id of the installation, made on first start.
pub const ID: &str = "id";
/// What tells a server that it holds the right pepper.
pub const PEPPER_CHECK: &str = "pepper_check";
/// Written by whoever makes the first account; its primary key lets only one set-up win.
pub const SET_UP: &str = "set_up_at";
/// Written by the migration that brought usage, if there were keys: when the newest of them was made.
pub const LAST_UNCOUNTED_KEY_AT: &str = "last_uncounted_key_at";

/// A value, if it is there.
pub fn find(conn: &mut Conn, name: &str) -> Result<Option<String>, StoreError> {
    Ok(installation::table.find(name).select(installation::value).first(conn).optional()?)
}

/// Writes a value unless there is one; whether it was written. Waits for a transaction that writes the same name.
pub fn insert_once(conn: &mut Conn, name: &str, value: &str) -> Result<bool, StoreError> {
    let row = (installation::name.eq(name), installation::value.eq(value));
    let inserted =
        on!(conn, c => diesel::insert_into(installation::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(inserted == 1)
}
