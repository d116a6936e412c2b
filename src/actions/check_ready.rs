//! Check whether requests can be served: one look at the database.

use crate::{
    app::App,
    store::{StoreError, installation},
};

/// Reads one row.
///
/// # Errors
/// [`StoreError`] when the database does not answer.
pub async fn check_ready(app: &App) -> Result<(), StoreError> {
    app.db.read(|conn| installation::find(conn, installation::ID)).await.map(drop)
}
