//! Check whether requests can be served. Verification needs every key in memory and the lease, and no database; pages need
//! the database too.

use crate::{
    app::{App, database_answers},
    key_index::Trouble,
};

/// Why requests should go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The first scan goes on.
    #[error("loading the keys")]
    Loading,
    /// It is not known whether the keys in memory are still true.
    #[error("no lease: the database cannot be followed")]
    NoLease,
    /// They are not true, and are read anew.
    #[error(
        "the database has another history than before: it was restored, or a standby took its place; reading every key again"
    )]
    LostHistory,
    /// They may not be true, and are read anew.
    #[error("the thread that follows the database failed; reading every key again")]
    FollowerFailed,
    /// Pages cannot be served.
    #[error("the database does not answer")]
    Database,
}

/// Whether keys can be verified: looks at the index and the lease, and asks nobody.
///
/// # Errors
/// See [`NotReady`].
pub fn check_ready(app: &App) -> Result<(), NotReady> {
    let progress = app.follower.progress();
    if progress.is_loaded && app.lease.is_held(app.clock.since_boot()) {
        return Ok(());
    }
    Err(match progress.trouble {
        Some(Trouble::LostHistory) => NotReady::LostHistory,
        Some(Trouble::Failed) => NotReady::FollowerFailed,
        _ if progress.is_loaded => NotReady::NoLease,
        _ => NotReady::Loading,
    })
}

/// Whether pages can be served too: reads one row, and waits for it for a fraction of a second.
///
/// # Errors
/// See [`NotReady`].
pub async fn check_ready_for_pages(app: &App) -> Result<(), NotReady> {
    check_ready(app)?;
    if database_answers(app).await { Ok(()) } else { Err(NotReady::Database) }
}
