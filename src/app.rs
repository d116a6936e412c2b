//! What every request may use, and how it is brought up.

mod database_check;
mod files;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::{Clock, NodeClock},
    config::{Config, PublicUrl},
    domain::{
        ended_secret::{EndedSecret, Ending},
        ids::{InstallationId, KeyId},
        pepper::{Pepper, SecretDigest},
        position::Position,
    },
    key_index::{Flushes, Follower, KeyIndex, Lease, Means, Parts, Receipt, ReceiptProgress, Receipts},
    metrics::Metrics,
    notices::Notices,
    passwords::Passwords,
    pepper_file::{self, PepperError},
    private_file::{self, LooseFile},
    revocation_log::{self, RevocationLog, RevocationLogError},
    store::{
        Db, StoreError,
        connection::DatabaseUrl,
        database_file::write_log_again,
        database_lock::{DatabaseLock, LockError},
        dialect, installation,
        migrations::{self, MigrationError},
    },
    supervision::Supervision,
    throttle::Throttle,
};

use database_check::DatabaseCheck;
pub use database_check::database_answers;
pub use files::{lock_database, set_foreign_wal_aside};
use files::{make_data_dir, make_database_file, set_aside};

/// Connections in the pool: SQLite answers in microseconds, Postgres over a wire.
const SQLITE_CONNECTIONS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;

/// How long whoever made a change waits until this node knows it. Without a database it may be never.
const SETTLED: Duration = Duration::from_secs(1);

/// Name of the file of the set-up link, in the data directory.
const SET_UP_LINK: &str = "set-up-link";

/// What every request may use; cheap to clone.
pub type App = Arc<AppState>;

/// The state behind [`App`].
pub struct AppState {
    /// As checked at start.
    pub config: Config,
    /// Where people open the site.
    pub public_url: PublicUrl,
    /// The database.
    pub db: Db,
    /// Tells the time.
    pub clock: Arc<NodeClock>,
    /// Digests keys and signs cookies.
    pub pepper: Pepper,
    /// Every key, in memory.
    pub index: Arc<KeyIndex>,
    /// Until when the index may be believed.
    pub lease: Arc<Lease>,
    /// What was taken away, in a file that no restored database undoes.
    pub revocations: Arc<RevocationLog>,
    /// What this process has written of what it counted.
    pub flushes: Flushes,
    /// Keeps the index true.
    pub follower: Follower,
    /// What is counted for `/metrics`.
    pub metrics: Metrics,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Slows down guessing.
    pub throttle: Throttle,
    /// Bounds what strangers write into the log.
    pub notices: Notices,
    /// Random id of this installation.
    pub installation_id: String,
    /// What runs beside requests, and how often it had to be started again.
    pub supervision: Arc<Supervision>,
    receipts: Receipts,
    database_check: DatabaseCheck,
    draining: AtomicBool,
    /// Held until the process ends.
    _lock: Option<DatabaseLock>,
}

/// Why the application cannot start. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot make the data directory {0}: {1}")]
    DataDir(PathBuf, std::io::Error),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    LooseFile(#[from] LooseFile),
    #[error("cannot open {0}: {1}")]
    DatabaseFile(PathBuf, std::io::Error),
    #[error("cannot open the database {0:?}: {1}")]
    Database(DatabaseUrl, StoreError),
    #[error("the database {0:?} cannot be used: {1}")]
    Migration(DatabaseUrl, MigrationError),
    #[error(transparent)]
    Pepper(#[from] PepperError),
    #[error(
        "the pepper file {0} is missing, but the database was made with one; restore it (keys cannot be verified without it)"
    )]
    PepperMissing(PathBuf),
    #[error(transparent)]
    RevocationLog(#[from] RevocationLogError),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("the pepper in {0} is not the one this database was made with; use the right file")]
    WrongPepper(PathBuf),
}

impl AppState {
    /// Takes the lock, opens and migrates the database and checks the pepper against it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: Config, public_url: PublicUrl, clock: Arc<dyn Clock>) -> Result<App, StartError> {
        let lock = lock_database(&config)?;
        set_aside(&config)?;
        let db = open_database(&config).await?;
        let clock = Arc::new(NodeClock::new(clock));
        follow_database_clock(&db, &clock)
            .await
            .map_err(|error| StartError::Database(config.database.clone(), error))?;
        db.mark_file().map_err(|error| StartError::Database(config.database.clone(), error))?;
        let pepper = open_pepper(&config, &db).await?;
        let now = clock.now();
        let installation_id = db
            .write(move |conn| {
                installation::insert_once(conn, installation::ID, InstallationId::generate(now).as_str())?;
                installation::find(conn, installation::ID)?.ok_or_else(|| StoreError::damaged("installation.id"))
            })
            .await
            .map_err(|error| StartError::Database(config.database.clone(), error))?;
        let (index, lease) = (Arc::new(KeyIndex::default()), Arc::new(Lease::new(config.safeguards.lease)));
        let revocations = Arc::new(RevocationLog::open(&config.data_dir.join(revocation_log::FILE_NAME))?);
        let supervision = Arc::new(Supervision::default());
        let parts = Parts {
            db: db.clone(),
            index: Arc::clone(&index),
            lease: Arc::clone(&lease),
            revocations: Arc::clone(&revocations),
            clock: clock.clone(),
            supervision: Arc::clone(&supervision),
        };
        let follower =
            Follower::start(parts, config.lease, config.safeguards.notifications).map_err(StartError::Thread)?;
        let metrics = Metrics::new(config.metrics_listen.is_some(), now);
        Ok(Arc::new(Self {
            config,
            public_url,
            db,
            clock,
            pepper,
            index,
            lease,
            flushes: Flushes::new(now),
            revocations,
            follower,
            metrics,
            passwords: Passwords::default(),
            throttle: Throttle::default(),
            notices: Notices::default(),
            installation_id,
            supervision,
            receipts: Receipts::default(),
            database_check: DatabaseCheck::default(),
            draining: AtomicBool::new(false),
            _lock: lock,
        }))
    }

    /// Writes down what a committed change has ended, before anybody is told of it. The change is made whatever happens
    /// here; a log that cannot be written is told in the log of the program, and catches up later.
    pub async fn log_ended(&self, key_id: &KeyId, ending: Ending, digests: Vec<SecretDigest>) {
        let at = self.clock.now();
        let ended = |digest| EndedSecret { at, ending, key_id: key_id.clone(), digest };
        let ended: Vec<_> = digests.into_iter().map(ended).collect();
        let log = Arc::clone(&self.revocations);
        let written = tokio::task::spawn_blocking(move || log.append(&ended)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, %key_id, "a revocation is not in its log; it holds, but a restored backup would undo it");
        }
    }

    /// Notes that a change is committed now: its receipt counts from here. To be called as soon as the commit is known, when
    /// the receipt is asked for later.
    pub fn committed(&self, change: Position) {
        self.receipts.committed(self.means(), change);
    }

    /// Waits until a change that was committed is in this node's memory, but no longer than a second: the change is made, and
    /// will be true here as soon as this node can read it. Whether it is.
    pub async fn settle(&self, change: Position) -> bool {
        let applied = self.follower.applied(change, self.follower.looks_begun());
        tokio::time::timeout(SETTLED, applied).await.is_ok()
    }

    /// Waits until a change that took something away is true on every node. Asked again, it gives the same receipt.
    pub async fn receipt(&self, change: Position) -> Receipt {
        let (receipt, is_first) = self.receipts.receipt(self.means(), change).await;
        if is_first {
            self.metrics.received(receipt.after);
        }
        receipt
    }

    /// How far a change has come while its receipt is waited for; an answer comes within a fraction of a second.
    pub async fn receipt_progress(&self, change: Position) -> ReceiptProgress {
        self.receipts.progress(self.means(), change).await
    }

    fn means(&self) -> Means<'_> {
        Means { db: &self.db, follower: &self.follower, clock: &*self.clock, lease: self.config.lease }
    }

    /// Puts the set-up link into a file that only its owner can read: a log is read by more people. Returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_set_up_link(&self, link: &str) -> std::io::Result<PathBuf> {
        let path = self.config.data_dir.join(SET_UP_LINK);
        private_file::replace(&path, format!("{link}\n").as_bytes()).map(|()| path)
    }

    /// Takes the file away, if there is one: its link has worked.
    pub fn remove_set_up_link(&self) {
        let _ = std::fs::remove_file(self.config.data_dir.join(SET_UP_LINK));
    }

    /// From now on `/readyz` says no and every answer closes its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// On Postgres a node goes by the database's clock, which it has in common with the others; and it says so when its own is
/// wrong.
///
/// # Errors
/// [`StoreError`]; then it goes by what it knew before.
pub async fn follow_database_clock(db: &Db, clock: &NodeClock) -> Result<(), StoreError> {
    let Some(told) = db.read(|conn| Ok::<_, StoreError>(dialect::time(conn)?)).await? else { return Ok(()) };
    if let Some(ahead) = clock.follow(told) {
        let (minutes, side) = (ahead.num_minutes().abs(), if ahead.num_minutes() > 0 { "ahead of" } else { "behind" });
        tracing::warn!(
            minutes,
            "this machine's clock is {side} the database's; times follow the database, and this node purges nothing until both agree"
        );
    }
    Ok(())
}

/// Opens the database and brings its schema up to date.
///
/// # Errors
/// [`StartError`] when it cannot be opened or migrated.
pub async fn open_database(config: &Config) -> Result<Db, StartError> {
    make_data_dir(&config.data_dir)?;
    set_foreign_wal_aside(config)?;
    if let DatabaseUrl::Sqlite(path) = &config.database {
        make_database_file(path)?;
    }
    let url = config.database.clone();
    let size = match url {
        DatabaseUrl::Sqlite(_) => SQLITE_CONNECTIONS,
        DatabaseUrl::Postgres(_) => POSTGRES_CONNECTIONS,
    };
    let opening = tokio::task::spawn_blocking(move || {
        let mut conn = url.connect().map_err(|error| StartError::Database(url.clone(), error))?;
        if let DatabaseUrl::Sqlite(path) = &url {
            write_log_again(&mut conn, path).map_err(|error| StartError::Database(url.clone(), error))?;
        }
        let ran = migrations::run(&mut conn).map_err(|error| StartError::Migration(url.clone(), error))?;
        if ran > 0 {
            tracing::info!(migrations = ran, database = ?url, "schema brought up to date");
        }
        Db::open(&url, size).map_err(|error| StartError::Database(url, error))
    });
    match opening.await {
        Ok(result) => result,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

/// Reads the pepper, or makes one for a database that has never had one, and holds it against the database.
async fn open_pepper(config: &Config, db: &Db) -> Result<Pepper, StartError> {
    let store = |error| StartError::Database(config.database.clone(), error);
    let check = db.read(|conn| installation::find(conn, installation::PEPPER_CHECK)).await.map_err(store)?;
    let path = &config.pepper_file;
    let pepper = match (pepper_file::read(path)?, &check) {
        (Some(pepper), _) => pepper,
        (None, None) => pepper_file::create(path)?,
        (None, Some(_)) => return Err(StartError::PepperMissing(path.clone())),
    };
    let own = hex(&pepper.check_value());
    let check = match check {
        Some(check) => check,
        // Two nodes may start at once: whoever wrote first decides.
        None => db
            .write({
                let own = own.clone();
                move |conn| {
                    installation::insert_once(conn, installation::PEPPER_CHECK, &own)?;
                    Ok(installation::find(conn, installation::PEPPER_CHECK)?.unwrap_or_default())
                }
            })
            .await
            .map_err(store)?,
    };
    if check == own { Ok(pepper) } else { Err(StartError::WrongPepper(path.clone())) }
}

/// As the database keeps what is compared with it.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
