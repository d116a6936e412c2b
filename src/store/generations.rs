//! Which programs may use a database: those that find everything in it that they use.
//!
//! A program that meets migrations it does not know goes on beside them, for a migration only adds. One that takes something
//! away says in the same transaction which generation of programs is the oldest that does not miss it; an older one is refused
//! (`docs/decisions/0028-older-programs.md`).

use super::{Conn, StoreError, error::Fault, installation};

/// The generation of this program: one more in each release that no longer uses something of the database that the release
/// before used, so that a later migration may take it away.
pub const OWN: i64 = 1;

/// The row of `installation` that a migration writes when it takes something away: the oldest generation that may go on.
pub const OLDEST: &str = "oldest_generation";

/// The oldest generation that may use this database.
///
/// # Errors
/// [`StoreError`]; also when what stands there is no number.
pub fn oldest(conn: &mut Conn) -> Result<i64, StoreError> {
    parse(installation::find(conn, OLDEST)?.as_deref())
}

/// What the row says. While nothing was taken away there is none.
pub fn parse(text: Option<&str>) -> Result<i64, StoreError> {
    text.map_or(Ok(0), |text| text.parse().map_err(|_| StoreError::damaged("installation.oldest_generation")))
}

/// Whether this program may go on. A newer one may have taken something away since it started.
///
/// # Errors
/// A fault that says what to do when it may not.
pub fn check(conn: &mut Conn) -> Result<(), StoreError> {
    let oldest = oldest(conn)?;
    if oldest <= OWN {
        return Ok(());
    }
    let words = format!(
        "a newer version of keystead took away what this one uses (this is generation {OWN}, the database is for {oldest} \
         and later); stop this one and run the newer version"
    );
    Err(StoreError::Fault(Fault::Other, words))
}
