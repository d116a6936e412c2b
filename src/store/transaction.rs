//! One transaction, and the three ways in which it ends: committed, not committed, or nobody here knows.
//!
//! The third is rare and must not be taken for the second: when the connection breaks between COMMIT and its answer, the
//! change may be made all the same, and whoever reads "nothing was changed" trusts a key that no longer works.

use std::time::Duration;

use diesel::{connection::TransactionManager, prelude::*};

use super::{Conn, StoreError, dialect, error::is_certainly_not_committed};

type Transactions = <Conn as Connection>::TransactionManager;

/// How a transaction ended.
pub enum Ended<T, E> {
    /// Committed: everybody sees it from now on.
    Done(T),
    /// Rolled back; nothing of it will ever be seen.
    NotDone(E),
    /// Committed or not; with the words of the error that hides it.
    Unknown(T, String),
}

/// One transaction on a connection at hand: committed if `work` succeeds, rolled back if not. On Postgres COMMIT is waited for no
/// longer than `commit_within`; then the server is told to wait for nothing itself either, such as a standby that is gone.
pub fn run<T, E>(conn: &mut Conn, commit_within: Duration, work: impl FnOnce(&mut Conn) -> Result<T, E>) -> Ended<T, E>
where
    E: From<StoreError>,
{
    if let Err(error) = dialect::begin_write(conn) {
        return Ended::NotDone(StoreError::from(error).into());
    }
    let value = match work(conn) {
        Ok(value) => value,
        Err(error) => {
            if let Err(rollback) = Transactions::rollback_transaction(conn) {
                tracing::warn!(%rollback, "a transaction could not be rolled back; its connection is dropped");
            }
            return Ended::NotDone(error);
        }
    };
    let Err(error) = dialect::within(conn, commit_within, Transactions::commit_transaction) else {
        return Ended::Done(value);
    };
    let is_certain = is_certainly_not_committed(conn, &error);
    // SQLite keeps the transaction open when a commit fails on a full disk. A connection that cannot even roll back is
    // thrown away by the pool.
    let _ = Transactions::rollback_transaction(conn);
    if is_certain { Ended::NotDone(StoreError::from(error).into()) } else { Ended::Unknown(value, error.to_string()) }
}

/// The same for whoever cannot find out more than the transaction's end says.
///
/// # Errors
/// Whatever `work` fails with, or a [`StoreError`]: [`StoreError::Unknown`] when the commit may have happened.
pub fn in_transaction<T, E>(conn: &mut Conn, work: impl FnOnce(&mut Conn) -> Result<T, E>) -> Result<T, E>
where
    E: From<StoreError>,
{
    match run(conn, Duration::MAX, work) {
        Ended::Done(value) => Ok(value),
        Ended::NotDone(error) => Err(error),
        Ended::Unknown(_, words) => Err(StoreError::Unknown(words).into()),
    }
}

/// Looks, where others change, and leaves no trace: nothing is committed, so that nothing waits for a disk or a standby.
///
/// # Errors
/// Whatever `work` fails with, or a [`StoreError`].
pub fn look<T>(conn: &mut Conn, work: impl FnOnce(&mut Conn) -> Result<T, StoreError>) -> Result<T, StoreError> {
    dialect::begin_write(conn)?;
    let found = work(conn);
    Transactions::rollback_transaction(conn)?;
    found
}
