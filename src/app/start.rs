//! Bringing the application up: the locks, the database, the pepper, and the threads that work beside requests.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{
    DatabaseCheck, Keys, Place, Site,
    files::{lock_database, make_data_dir, make_database_file, set_aside, set_foreign_wal_aside},
    follow_database_clock,
    keys::key_defaults,
    older_database::{look_for_older, refuse_older, revocation_log_path},
    start_error::StartError,
};
use crate::{
    clock::{Clock, NodeClock},
    config::{Config, PublicUrl},
    domain::{hex, ids::InstallationId, pepper::Pepper},
    key_index::{Flushes, Follower, KeyIndex, Lease, Parts, Receipts},
    metrics::Metrics,
    notices::Notices,
    passwords::Passwords,
    pepper_file,
    revocation_log::RevocationLog,
    store::{
        Db, StoreError,
        connection::DatabaseUrl,
        database_file::write_log_again,
        database_lock::ServerWatch,
        in_transaction, installation,
        migrations::{self, Migrated, Standing},
        sequences::{self, When},
        wholeness,
    },
    supervision::{Supervision, blocking},
    throttle::{ChangeThrottle, Throttle},
};

/// Connections in the pool: SQLite answers in microseconds, Postgres over a wire.
const SQLITE_CONNECTIONS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 8;
/// How long the database may take to say whether it is one of ours.
const PATIENCE: Duration = Duration::from_secs(12);

impl Site {
    /// Takes the lock, opens and migrates the database and checks the pepper against it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: Config, public_url: PublicUrl, clock: Arc<dyn Clock>) -> Result<Arc<Self>, StartError> {
        let lock = lock_database(&config)?.map(Arc::new);
        set_aside(&config)?;
        refuse_older(&config).await?;
        let db = open_database(&config).await?;
        let clock = Arc::new(NodeClock::new(clock));
        follow_database_clock(&db, &clock)
            .await
            .map_err(|error| StartError::Database(config.database.clone(), error))?;
        db.mark_file().map_err(|error| StartError::Database(config.database.clone(), error))?;
        let pepper = Arc::new(open_pepper(&config, &db).await?);
        let now = clock.now();
        let installation_id = db
            .write(move |conn| {
                installation::insert_once(conn, installation::ID, InstallationId::generate(now).as_str())?;
                installation::find(conn, installation::ID)?.ok_or_else(|| StoreError::damaged("installation.id"))
            })
            .await
            .map_err(|error| StartError::Database(config.database.clone(), error))?;
        let (index, lease) = (Arc::new(KeyIndex::default()), Arc::new(Lease::new(config.safeguards.lease)));
        let log = RevocationLog::open(&revocation_log_path(&config))?;
        let revocations = Arc::new(log.forgotten_after(config.ended_keys_kept));
        let supervision = Arc::new(Supervision::default());
        #[cfg(any(debug_assertions, feature = "test-switches"))]
        supervision.make_fail(crate::supervision::Part::PurgeExpired, !config.safeguards.purge);
        let parts = Parts {
            db: db.clone(),
            index: Arc::clone(&index),
            lease: Arc::clone(&lease),
            revocations: Arc::clone(&revocations),
            older_database: config.older_database,
            clock: clock.clone(),
            supervision: Arc::clone(&supervision),
            lock: lock.clone(),
        };
        let follower =
            Follower::start(parts, config.lease, config.safeguards.notifications).map_err(StartError::Thread)?;
        let follower = Arc::new(follower);
        let metrics = Arc::new(Metrics::new(config.metrics_listen.is_some(), now));
        let keys = Keys {
            db: db.clone(),
            clock: Arc::clone(&clock),
            pepper,
            defaults: key_defaults(&config),
            index,
            lease,
            lease_length: config.lease,
            place: Place::Server(Arc::clone(&follower)),
            revocations,
            flushes: Flushes::new(now),
            metrics: Arc::clone(&metrics),
            change_throttle: ChangeThrottle::default(),
            receipts: Receipts::default(),
        };
        Ok(Arc::new(Self {
            keys,
            follower,
            config,
            public_url,
            db,
            clock,
            metrics,
            passwords: Passwords::default(),
            throttle: Throttle::default(),
            notices: Notices::default(),
            installation_id,
            supervision,
            database_check: DatabaseCheck::default(),
            draining: AtomicBool::new(false),
            _lock: lock,
        }))
    }
}

/// Opens what a command needs for the actions on keys, beside the servers of this database if there are any. It answers nobody:
/// its index is empty. It makes no database, pepper or schema, which are the server's.
///
/// # Errors
/// See [`StartError`].
pub async fn open_keys(config: &Config, clock: Arc<dyn Clock>) -> Result<Keys, StartError> {
    // As a start does it: what lies in a `-wal` of another file is none of this database.
    set_foreign_wal_aside(config)?;
    look_first(config).await?;
    let watch = match &config.database {
        DatabaseUrl::Sqlite(path) => {
            let watch = ServerWatch::start(path).map_err(|error| StartError::DatabaseFile(path.clone(), error))?;
            Some(Arc::new(watch))
        }
        DatabaseUrl::Postgres(_) => None,
    };
    let db = open_database(config).await?;
    let clock = Arc::new(NodeClock::new(clock));
    let store = |error| StartError::Database(config.database.clone(), error);
    follow_database_clock(&db, &clock).await.map_err(store)?;
    let pepper = Arc::new(open_pepper(config, &db).await?);
    let revocations = RevocationLog::open(&revocation_log_path(config))?;
    let now = clock.now();
    Ok(Keys {
        db,
        clock,
        pepper,
        defaults: key_defaults(config),
        index: Arc::new(KeyIndex::default()),
        lease: Arc::new(Lease::new(true)),
        lease_length: config.lease,
        place: Place::Command(watch),
        revocations: Arc::new(revocations.forgotten_after(config.ended_keys_kept)),
        flushes: Flushes::new(now),
        metrics: Arc::new(Metrics::new(false, now)),
        change_throttle: ChangeThrottle::default(),
        receipts: Receipts::default(),
    })
}

/// Whether a server was there before: its database, with the schema of this version or a newer one, and its pepper.
async fn look_first(config: &Config) -> Result<(), StartError> {
    let config = config.clone();
    let looking = blocking(move || {
        let (url, failed) = (&config.database, |error| StartError::Database(config.database.clone(), error));
        let Some(mut conn) = url.connect_to_look(PATIENCE).map_err(failed)? else {
            return Err(StartError::NoDatabase(url.clone()));
        };
        match migrations::look(&mut conn).map_err(|error| StartError::Migration(url.clone(), error))? {
            Standing::Missing => Err(StartError::NoDatabase(url.clone())),
            Standing::Behind(_) => Err(StartError::OldSchema(url.clone())),
            Standing::Current | Standing::Newer(_) => {
                let check = installation::find(&mut conn, installation::PEPPER_CHECK).map_err(failed)?;
                drop(conn);
                if check.is_none() {
                    return Err(StartError::NoDatabase(url.clone()));
                }
                // A command does not end again what had ended: it would have to say so beside what it was asked for.
                look_for_older(&config)?
                    .map_or(Ok(()), |revived| Err(StartError::OlderDatabase(revived, revocation_log_path(&config))))
            }
        }
    });
    looking.await.unwrap_or_else(|error| Err(StartError::not_done(error)))
}

/// Opens the database and brings its schema up to date.
///
/// # Errors
/// [`StartError`] when it cannot be opened or migrated.
pub async fn open_database(config: &Config) -> Result<Db, StartError> {
    migrate_database(config).await.map(|(db, _)| db)
}

/// The same, for whoever wants to know what was done.
///
/// # Errors
/// As [`open_database`].
pub async fn migrate_database(config: &Config) -> Result<(Db, Migrated), StartError> {
    make_data_dir(&config.data_dir)?;
    set_foreign_wal_aside(config)?;
    if let DatabaseUrl::Sqlite(path) = &config.database {
        make_database_file(path)?;
    }
    let (url, address) = (config.database.clone(), config.database_address());
    let size = match url {
        DatabaseUrl::Sqlite(_) => SQLITE_CONNECTIONS,
        DatabaseUrl::Postgres(_) => POSTGRES_CONNECTIONS,
    };
    let opening = blocking(move || {
        let mut conn = url.connect().map_err(|error| StartError::Database(url.clone(), error))?;
        if let DatabaseUrl::Sqlite(path) = &url {
            write_log_again(&mut conn, path).map_err(|error| StartError::Database(url.clone(), error))?;
        }
        let done = migrations::run(&mut conn).map_err(|error| StartError::Migration(url.clone(), error))?;
        // Before the first row of ours: in a database that is being restored it would be one too many.
        wholeness::check(&mut conn).map_err(|error| StartError::Database(url.clone(), error))?;
        if done.ran > 0 {
            tracing::info!(migrations = done.ran, database = ?url, "schema brought up to date");
        }
        if let Some(schema) = &done.newer {
            tracing::warn!(
                schema,
                "the database has the schema of a newer version of keystead; this version goes on with it"
            );
        }
        in_transaction(&mut conn, |conn| sequences::catch_up(conn, When::Start))
            .map_err(|error| StartError::Database(url.clone(), error))?;
        let db = Db::open(address, size).map_err(|error| StartError::Database(url, error))?;
        Ok((db, done))
    });
    opening.await.unwrap_or_else(|error| Err(StartError::not_done(error)))
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
    let own = hex::encode(&pepper.check_value());
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
