//! Check whether requests can be served: every key is in memory, the lease is held, and the database answers.

use crate::{
    app::App,
    store::{StoreError, installation},
};

/// Why requests should go elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The first scan goes on.
    #[error("loading the keys")]
    Loading,
    /// It is not known whether the keys in memory are still true.
    #[error("no lease: the database cannot be followed")]
    NoLease,
    /// Pages cannot be served.
    #[error("the database does not answer")]
    Store(#[from] StoreError),
}

/// Looks at the index and the lease, and reads one row.
///
/// # Errors
/// See [`NotReady`].
pub async fn check_ready(app: &App) -> Result<(), NotReady> {
    if !app.follower.progress().is_loaded {
        return Err(NotReady::Loading);
    }
    if !app.lease.is_held(app.clock.since_boot()) {
        return Err(NotReady::NoLease);
    }
    app.db.read(|conn| installation::find(conn, installation::ID)).await?;
    Ok(())
}
