//! A synchronous Diesel connection to Postgres on tokio-postgres, without libpq and OpenSSL.
//!
//! It leans on Diesel's feature for third-party backends, so Diesel is pinned to 2.3. Never call it from async code: only
//! [`crate::store::Db`] hands out connections, on threads that may block.
//!
//! Every statement is sent whole, without a name, and no setting outlives its transaction, so that behind a pooler in
//! transaction mode nothing is missing, and nothing is left for other programs.

use std::{
    any::Any,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use diesel::{
    ConnectionResult, QueryResult,
    connection::{
        AnsiTransactionManager, CacheSize, Connection, DynInstrumentation, Instrumentation, LoadConnection,
        SimpleConnection, TransactionManager,
    },
    expression::QueryMetadata,
    internal::derives::multiconnection::{ConnectionSealed, MultiConnectionHelper},
    migration::{CREATE_MIGRATIONS_TABLE, MigrationConnection},
    pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata},
    query_builder::{Query, QueryBuilder, QueryFragment, QueryId, bind_collector::RawBytesBindCollector},
    r2d2::R2D2Connection,
    result::Error as DieselError,
    sql_types::TypeMetadata,
};
use futures_util::TryStreamExt;
use tokio_postgres::types::Type;

use super::{
    dial::{LIMIT, target},
    row::{Bound, PgRow, kind, oids},
    session::Session,
};
use crate::config::postgres_target::PostgresTarget;

/// A connection to Postgres: a [`Session`] that Diesel can ask. No wait on it is longer than its limit; one that reaches it ends the connection, because what
/// comes afterwards would be the answer to an earlier question.
pub struct PgConnection {
    session: Session,
    transactions: AnsiTransactionManager,
    instrumentation: DynInstrumentation,
}

impl PgConnection {
    /// Connects, within `limit` altogether, and waits for each answer no longer than that.
    ///
    /// # Errors
    /// What the server said, or why there is none, in one line.
    pub fn dial(target: &Arc<PostgresTarget>, limit: Duration) -> ConnectionResult<Self> {
        let transactions = AnsiTransactionManager::default();
        let instrumentation = DynInstrumentation::default_instrumentation();
        Ok(Self { session: Session::begin(target, limit)?, transactions, instrumentation })
    }
}

impl Deref for PgConnection {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for PgConnection {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// A query as text, and its values with their types.
fn text_and_values<T: QueryFragment<Pg>>(query: &T) -> QueryResult<(String, Vec<(Bound, Type)>)> {
    let mut builder = PgQueryBuilder::default();
    query.to_sql(&mut builder, &Pg)?;
    let mut collector = RawBytesBindCollector::<Pg>::new();
    query.collect_binds(&mut collector, &mut NoLookup, &Pg)?;
    let kinds = collector.metadata.iter().map(kind);
    let values = collector.binds.into_iter().map(Bound).zip(kinds).map(|(value, kind)| Ok((value, kind?)));
    Ok((builder.finish(), values.collect::<QueryResult<_>>()?))
}

impl Connection for PgConnection {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> ConnectionResult<Self> {
        Self::dial(&target(url)?, LIMIT)
    }

    fn execute_returning_count<T: QueryFragment<Pg> + QueryId>(&mut self, query: &T) -> QueryResult<usize> {
        let (text, values) = text_and_values(query)?;
        let count = self.session.ask(async move |client| {
            let values: Vec<_> = values.iter().map(|(value, kind)| (value as _, kind.clone())).collect();
            client.execute_typed(&text, &values).await
        })?;
        usize::try_from(count).map_err(|error| DieselError::DeserializationError(Box::new(error)))
    }

    fn transaction_state(
        &mut self,
    ) -> &mut <Self::TransactionManager as TransactionManager<Self>>::TransactionStateData {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut *self.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = instrumentation.into();
    }

    /// Nothing is prepared.
    fn set_prepared_statement_cache_size(&mut self, _: CacheSize) {}
}

impl SimpleConnection for PgConnection {
    /// Postgres answers COMMIT of a transaction in which a statement failed as if it were done: without an error, and only its
    /// tag, which tokio-postgres keeps to itself, is ROLLBACK. A statement before COMMIT in the same message is refused in
    /// such a transaction (SQLSTATE 25P02), and COMMIT is not reached then.
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let query = if query == "COMMIT" { "SELECT; COMMIT" } else { query };
        self.session.ask(async |client| client.batch_execute(query).await)
    }
}

impl ConnectionSealed for PgConnection {}

impl LoadConnection for PgConnection {
    /// Read to its end, or to its first error: a stream whose connection broke has no end, it says so for ever.
    type Cursor<'conn, 'query> = std::iter::Map<std::vec::IntoIter<PgRow>, fn(PgRow) -> QueryResult<PgRow>>;
    type Row<'conn, 'query> = PgRow;

    fn load<'conn, 'query, T>(&'conn mut self, query: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let (text, values) = text_and_values(&query)?;
        let rows: Vec<_> =
            self.session.ask(async move |client| client.query_typed_raw(&text, values).await?.try_collect().await)?;
        let oids = rows.first().map_or_else(|| Arc::from([]), oids);
        let rows: Vec<PgRow> = rows.into_iter().map(|row| PgRow { row, oids: Arc::clone(&oids) }).collect();
        Ok(rows.into_iter().map(Ok))
    }
}

impl MigrationConnection for PgConnection {
    /// `CREATE … IF NOT EXISTS` needs the right to create also where the table exists; a server whose schema is up to date
    /// runs without that right.
    fn setup(&mut self) -> QueryResult<usize> {
        let exists = self.session.ask(async |client| {
            let row =
                client.query_typed_one("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL", &[]).await?;
            row.try_get::<_, bool>(0)
        })?;
        if exists { Ok(0) } else { self.batch_execute(CREATE_MIGRATIONS_TABLE).map(|()| 0) }
    }
}

impl R2D2Connection for PgConnection {
    fn ping(&mut self) -> QueryResult<()> {
        self.batch_execute("")
    }

    fn is_broken(&mut self) -> bool {
        self.session.is_over() || AnsiTransactionManager::is_broken_transaction_manager(self)
    }
}

/// Only built-in SQL types are used, so no type's OID ever has to be looked up.
struct NoLookup;

impl PgMetadataLookup for NoLookup {
    fn lookup_type(&mut self, name: &str, _schema: Option<&str>) -> PgTypeMetadata {
        unreachable!("only built-in SQL types are used, and {name} is none")
    }
}

impl MultiConnectionHelper for PgConnection {
    fn to_any<'a>(_lookup: &mut <Pg as TypeMetadata>::MetadataLookup) -> &mut (dyn Any + 'a) {
        // A value without size: leaking it allocates nothing.
        Box::leak(Box::new(NoLookup))
    }

    fn from_any(lookup: &mut dyn Any) -> Option<&mut <Pg as TypeMetadata>::MetadataLookup> {
        lookup.downcast_mut::<NoLookup>().map(|lookup| lookup as &mut dyn PgMetadataLookup)
    }
}
