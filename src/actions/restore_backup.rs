//! Restore: put a backup in the place of the SQLite database, and say of either database which revocations it must keep.
//!
//! What was revoked or rotated since the backup stays so, unless somebody says otherwise.

use std::path::{Path, PathBuf};

use crate::{
    app::{self, StartError},
    clock::Clock,
    config::{Config, DatabaseUrl},
    domain::{
        actor::{Actor, Client},
        audit_event::{AuditAction, AuditActor, AuditEvent},
        hex,
    },
    pepper_file::{self, PepperError},
    revocation_log::{self, RevocationLog, RevocationLogError},
    store::{
        Db, StoreError, audit_events,
        backup::{self, BackupError},
        ended_again::{EndedAgain, TooOld, end_again, is_too_old},
    },
};

/// Lines of the log that are held against the database in one transaction.
const AT_ONCE: usize = 500;

/// Which of the revocations in the log are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Each: what it ended is ended again.
    All,
    /// None: what is alive in the database stays alive.
    None,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Postgres has its own tools.
    #[error(
        "the database is Postgres, which restores itself: stop every node, then pg_restore --clean --if-exists \
         --dbname=\"$DATABASE_URL\" FILE (docs/operations.md)"
    )]
    Postgres,
    /// The log is in use.
    #[error("a keystead server of this data directory is running; stop it first")]
    Running,
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Pepper(#[from] PepperError),
    #[error(transparent)]
    Log(#[from] RevocationLogError),
    #[error("cannot use the database: {0}")]
    Store(#[from] StoreError),
}

/// What was done with the log of revocations.
#[derive(Debug)]
pub enum Revocations {
    /// The log was applied; this many keys and secrets were ended again, and this is what it cannot know.
    Kept(EndedAgain, Option<TooOld>),
    /// Set aside here; none if there was no log.
    GivenUp(Option<PathBuf>),
}

/// Puts a backup in the place of the database; where the one before is kept, if there was one, and how many keys the
/// backup has.
///
/// # Errors
/// See [`RestoreError`]; then the database is as it was.
pub fn restore_backup(config: &Config, clock: &dyn Clock, from: &Path) -> Result<(Option<PathBuf>, i64), RestoreError> {
    let DatabaseUrl::Sqlite(database) = &config.database else { return Err(RestoreError::Postgres) };
    let _lock = app::lock_database(config)?;
    let pepper = pepper_file::read(&config.pepper_file)?;
    let own = pepper.map(|pepper| hex::encode(&pepper.check_value()));
    let (kept, checked) =
        backup::put_in_place(from, database, &stamp(clock), |checked| match (&own, &checked.pepper_check) {
            (Some(own), Some(other)) if own != other => {
                Err(BackupError::OtherPepper(from.to_owned(), config.pepper_file.clone()))
            }
            _ => Ok(()),
        })?;
    Ok((kept, checked.keys))
}

/// Ends again what the log of revocations says, or sets the log aside, so that nothing of it is ended again at the next
/// start. Either is noted in the audit log.
///
/// # Errors
/// See [`RestoreError`].
pub async fn accept_revocations(
    config: &Config,
    db: &Db,
    clock: &dyn Clock,
    kept: Kept,
) -> Result<Revocations, RestoreError> {
    let path = app::revocation_log_path(config);
    let now = clock.now();
    match kept {
        Kept::All => {
            revocation_log::mend(&path)?;
            let log = RevocationLog::open(&path)?;
            let (entries, complete_from) = (log.entries()?, log.complete_from());
            // Its events are written there, one a key.
            let mut done = EndedAgain::default();
            // A part at a time: meanwhile other nodes make changes too.
            for some in entries.chunks(AT_ONCE) {
                let some = some.to_vec();
                let EndedAgain { keys, secrets } = db.write(move |conn| end_again(conn, &some, now)).await?;
                done = EndedAgain { keys: done.keys + keys, secrets: done.secrets + secrets };
            }
            let too_old = db.read(move |conn| is_too_old(conn, complete_from)).await?;
            Ok(Revocations::Kept(done, too_old))
        }
        Kept::None => {
            if !RevocationLog::is_free(&path)? {
                return Err(RestoreError::Running);
            }
            let event = AuditEvent {
                organization_id: None,
                actor: AuditActor::Known(Actor::CommandLine),
                action: AuditAction::RevocationsGivenUp,
                target: None,
                changes: Vec::new(),
                at: now,
                client: Client::default(),
            };
            db.write(move |conn| audit_events::insert(conn, &event)).await?;
            Ok(Revocations::GivenUp(revocation_log::set_aside(&path, &format!(".given-up-{}", stamp(clock)))?))
        }
    }
}

/// For the names of files that are kept.
fn stamp(clock: &dyn Clock) -> String {
    clock.now().format("%Y%m%dT%H%M%S%3fZ").to_string()
}
