//! A synchronous Diesel connection to Postgres without libpq and OpenSSL: diesel-async's connection, driven by a small
//! runtime of its own.
//!
//! It leans on Diesel's feature for third-party backends, so Diesel is pinned to 2.3 and everything that needs it is in
//! this file. The way back is one type alias to `diesel::PgConnection`. Never call it from async code: only
//! [`super::Db`] hands out connections, on threads that may block.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
    time::Duration,
};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult,
    connection::{
        CacheSize, Connection, Instrumentation, LoadConnection, SimpleConnection, TransactionManager,
        TransactionManagerStatus,
    },
    expression::QueryMetadata,
    internal::derives::multiconnection::{ConnectionSealed, MultiConnectionHelper},
    migration::MigrationConnection,
    pg::{Pg, PgMetadataLookup, PgTypeMetadata},
    query_builder::{Query, QueryFragment, QueryId},
    r2d2::R2D2Connection,
    sql_types::TypeMetadata,
};
use diesel_async::{
    AsyncPgConnection,
    async_connection_wrapper::{AsyncConnectionWrapper, BlockOn},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::runtime::Runtime;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::pg_patience::Patience;

/// The runtime that drives all Postgres sockets, whatever thread asks.
pub struct PgRuntime;

/// The runtime itself.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("postgres")
            .build()
            .expect("one thread can be started")
    })
}

impl BlockOn for PgRuntime {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        runtime().block_on(future)
    }

    fn get_runtime() -> Self {
        Self
    }
}

type Inner = AsyncConnectionWrapper<AsyncPgConnection, PgRuntime>;
type InnerTransactions = <Inner as Connection>::TransactionManager;

/// A connection to Postgres.
pub struct PurePg {
    inner: Inner,
    patience: Patience,
}

impl PurePg {
    /// From here on this connection waits for as long as it takes.
    pub fn wait_without_end(&mut self) {
        self.patience.have_no_end();
    }

    fn ask<T>(&mut self, work: impl FnOnce(&mut Inner) -> T) -> T {
        self.patience.wait(|| work(&mut self.inner))
    }
}

impl Connection for PurePg {
    type Backend = Pg;
    type TransactionManager = Transactions;

    fn establish(url: &str) -> ConnectionResult<Self> {
        let (config, tls) = parse(url)?;
        let patience = Patience::default();
        let carrier = patience.clone();
        let connect = async {
            let (client, connection) = config.connect(tls).await.map_err(|error| bad_connection(&error))?;
            tokio::spawn(carrier.carry(connection));
            AsyncPgConnection::try_from(client).await
        };
        // The configuration's own limit ends with the TCP handshake.
        let silent = || ConnectionError::BadConnection("the server accepts connections and says nothing".to_owned());
        let connect = async { tokio::time::timeout(SILENCE, connect).await.unwrap_or_else(|_| Err(silent())) };
        runtime().block_on(connect).map(|connection| Self { inner: Inner::from(connection), patience })
    }

    fn execute_returning_count<T: QueryFragment<Pg> + QueryId>(&mut self, query: &T) -> QueryResult<usize> {
        self.ask(|inner| inner.execute_returning_count(query))
    }

    fn transaction_state(
        &mut self,
    ) -> &mut <Self::TransactionManager as TransactionManager<Self>>::TransactionStateData {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

/// How long the other end may be silent before a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(5);

/// What a `postgres://` URL says, with our time limits.
pub fn parse(url: &str) -> ConnectionResult<(Config, MakeRustlsConnect)> {
    let (url, root_certificate) = split_tls_options(url)?;
    let tls = tls(root_certificate.as_deref())?;
    let mut config: Config = url.parse().map_err(|error| bad_connection(&error))?;
    if config.get_application_name().is_none() {
        config.application_name("keystead");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(SILENCE);
    }
    // Without it, a cable that is cut is noticed after a quarter of an hour.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    Ok((config, tls))
}

/// tokio-postgres says "error connecting to server" and keeps the reason in its source.
fn bad_connection(error: &tokio_postgres::Error) -> ConnectionError {
    let reason = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    ConnectionError::BadConnection(format!("{error}{reason}"))
}

/// tokio-postgres refuses `sslmode=verify-full`, `verify-ca` and `sslrootcert`: rustls always verifies in full, so the
/// modes become `require`, and the certificate's path is taken out.
fn split_tls_options(url: &str) -> ConnectionResult<(String, Option<String>)> {
    let mut url = url::Url::parse(url).map_err(|error| ConnectionError::InvalidConnectionUrl(error.to_string()))?;
    let mut root_certificate = None;
    let mut kept = Vec::new();
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("sslrootcert", path) => root_certificate = Some(path.to_owned()),
            ("sslmode", "verify-full" | "verify-ca") => kept.push(("sslmode".to_owned(), "require".to_owned())),
            _ => kept.push((name.into_owned(), value.into_owned())),
        }
    }
    url.set_query(None);
    if !kept.is_empty() {
        // Not form encoding: libpq's URLs know %20, but not + for a blank.
        let query: Vec<_> = kept.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
        url.set_query(Some(&query.join("&")));
    }
    Ok((url.into(), root_certificate))
}

fn percent(text: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

fn tls(root_certificate: Option<&str>) -> ConnectionResult<MakeRustlsConnect> {
    let bad = |words: String| ConnectionError::BadConnection(words);
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = root_certificate {
        roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(path).map_err(|e| bad(format!("sslrootcert {path}: {e}")))?;
        roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        if roots.is_empty() {
            return Err(bad(format!("sslrootcert {path} holds no certificate")));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

impl SimpleConnection for PurePg {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.ask(|inner| inner.batch_execute(query))
    }
}

impl ConnectionSealed for PurePg {}

/// Hands everything to the transaction manager of the connection inside.
pub struct Transactions;

impl TransactionManager<PurePg> for Transactions {
    type TransactionStateData = <InnerTransactions as TransactionManager<Inner>>::TransactionStateData;

    fn begin_transaction(conn: &mut PurePg) -> QueryResult<()> {
        conn.ask(InnerTransactions::begin_transaction)
    }

    fn rollback_transaction(conn: &mut PurePg) -> QueryResult<()> {
        conn.ask(InnerTransactions::rollback_transaction)
    }

    fn commit_transaction(conn: &mut PurePg) -> QueryResult<()> {
        conn.ask(InnerTransactions::commit_transaction)
    }

    fn transaction_manager_status_mut(conn: &mut PurePg) -> &mut TransactionManagerStatus {
        InnerTransactions::transaction_manager_status_mut(&mut conn.inner)
    }

    fn is_broken_transaction_manager(conn: &mut PurePg) -> bool {
        InnerTransactions::is_broken_transaction_manager(&mut conn.inner)
    }
}

impl LoadConnection for PurePg {
    /// Read to its end: a wait between two rows is a wait too.
    type Cursor<'conn, 'query> = std::iter::Map<
        std::vec::IntoIter<Self::Row<'conn, 'query>>,
        fn(Self::Row<'conn, 'query>) -> QueryResult<Self::Row<'conn, 'query>>,
    >;
    type Row<'conn, 'query> = <Inner as LoadConnection>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(&'conn mut self, query: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let Self { inner, patience } = self;
        // The first error ends it: a stream whose connection broke has no end, it says "connection closed" for ever.
        let rows: QueryResult<Vec<_>> = patience.wait(|| inner.load(query)?.collect());
        Ok(rows?.into_iter().map(Ok))
    }
}

impl MigrationConnection for PurePg {
    fn setup(&mut self) -> QueryResult<usize> {
        self.ask(|inner| inner.setup())
    }
}

impl R2D2Connection for PurePg {
    fn ping(&mut self) -> QueryResult<()> {
        self.ask(R2D2Connection::ping)
    }

    fn is_broken(&mut self) -> bool {
        R2D2Connection::is_broken(&mut self.inner)
    }
}

/// Only built-in SQL types are used, so no type's OID ever has to be looked up.
struct NoLookup;

impl PgMetadataLookup for NoLookup {
    fn lookup_type(&mut self, name: &str, _schema: Option<&str>) -> PgTypeMetadata {
        unreachable!("custom Postgres type {name}")
    }
}

impl MultiConnectionHelper for PurePg {
    fn to_any<'a>(_lookup: &mut <Pg as TypeMetadata>::MetadataLookup) -> &mut (dyn Any + 'a) {
        // A value without size: leaking it allocates nothing.
        Box::leak(Box::new(NoLookup))
    }

    fn from_any(lookup: &mut dyn Any) -> Option<&mut <Pg as TypeMetadata>::MetadataLookup> {
        lookup.downcast_mut::<NoLookup>().map(|lookup| lookup as &mut dyn PgMetadataLookup)
    }
}
