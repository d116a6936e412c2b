//! A database that is older than the log of revocations: a backup, or a standby that had missed changes. Keys work in it that
//! were revoked, so that a server refuses it until somebody has said what holds (decision 25).

use std::{path::PathBuf, time::Duration};

use super::start_error::StartError;
use crate::{
    config::{Config, DatabaseUrl, OlderDatabase},
    revocation_log,
    store::{
        migrations::{self, Standing},
        revived::{Revived, find_revived},
        wholeness,
    },
    supervision::blocking,
};

/// How long Postgres may take for an answer.
const PATIENCE: Duration = Duration::from_secs(12);

/// Where the log of revocations is.
pub fn revocation_log_path(config: &Config) -> PathBuf {
    config.data_dir.join(revocation_log::FILE_NAME)
}

/// Refuses an older database before anything is written into it. A file of SQLite that cannot be read now is not judged here:
/// whoever opens it next says why, and if nobody does, the first load of the index looks again.
///
/// # Errors
/// [`StartError::OlderDatabase`], or why the log or Postgres cannot be read.
pub async fn refuse_older(config: &Config) -> Result<(), StartError> {
    if config.older_database == OlderDatabase::Accept || !config.safeguards.look_first {
        return Ok(());
    }
    let config = config.clone();
    let looking = blocking(move || match (look_for_older(&config), &config.database) {
        (Err(StartError::Database(..)), DatabaseUrl::Sqlite(_)) | (Ok(None), _) => Ok(()),
        (Err(error), _) => Err(error),
        (Ok(Some(revived)), _) => Err(StartError::OlderDatabase(revived, revocation_log_path(&config))),
    });
    looking.await.unwrap_or_else(|error| Err(StartError::not_done(error)))
}

/// What a start refuses the database for, if anything; nothing is made or changed.
///
/// # Errors
/// When the log or the database cannot be read.
pub fn look_for_older(config: &Config) -> Result<Option<Revived>, StartError> {
    let ended = revocation_log::look(&revocation_log_path(config))?;
    if ended.is_empty() {
        return Ok(None);
    }
    let failed = |error| StartError::Database(config.database.clone(), error);
    let Some(mut conn) = config.database.connect_to_look(PATIENCE).map_err(failed)? else { return Ok(None) };
    // What this program could not use is said by whoever wants to use it.
    if !matches!(migrations::look(&mut conn), Ok(standing) if standing != Standing::Missing) {
        return Ok(None);
    }
    wholeness::check(&mut conn).map_err(failed)?;
    find_revived(&mut conn, &ended).map_err(failed)
}
