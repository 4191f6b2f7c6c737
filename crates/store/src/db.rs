//! The two engines behind one type.
//!
//! SQLite has one write connection, used in turn, and a pool of read-only ones; PostgreSQL has one pool. Statements are
//! [`Sql`] constants with their arguments as values, so that the rest of the crate never sees an engine.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{Time, id::TenantId};
use sqlx::{
    Connection, FromRow, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use tokio::sync::Notify;

use crate::{
    error::{Result, StoreError},
    spawn,
    sql::Sql,
};

/// Runs the body with `query` bound to `sqlx::query…(text)` with all arguments, once per engine.
macro_rules! bound {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for value in $args {
            query = match value {
                Value::Int(v) => query.bind(v),
                Value::Bool(v) => query.bind(v),
                Value::Text(v) => query.bind(v),
                Value::Blob(v) => query.bind(v),
            };
        }
        query
    }};
}

mod group;
mod reach;
mod reading;
mod tenant;

use group::GroupWriter;
use reading::Readers;
pub(crate) use reading::{Length, LiteRow, Read, Reading, lite_row};
pub(crate) use tenant::TenantDb;

/// The same numbers in both: a database of one version has the same tables on either engine.
pub(crate) static MIGRATIONS_SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
pub(crate) static MIGRATIONS_POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Oldest SQLite without the "WAL reset" bug, in which a commit racing a checkpoint could be lost (3.51.3).
const MIN_SQLITE: i64 = 3_051_003;

/// PostgreSQL's code where a role is not there.
const UNDEFINED_OBJECT: &str = "42704";

/// Which engine is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, one file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Engine {
    /// The name as in configuration and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }
}

/// Where the data is.
#[derive(Clone, Debug)]
pub enum Location {
    /// The SQLite file.
    File(PathBuf),
    /// A `postgres://` address. May hold a password: never printed.
    Server(String),
}

impl Location {
    /// The role that signs in there; none for a file, and for an address that cannot be read.
    pub(crate) fn role(&self) -> Option<String> {
        match self {
            Location::File(_) => None,
            Location::Server(url) => {
                PgConnectOptions::from_str(url).ok().map(|options| options.get_username().to_owned())
            }
        }
    }
}

/// Connections to one database. On PostgreSQL it sees no row of any tenant, but for the tables of
/// [`crate::isolation::BEFORE_THE_TENANT`]: all else goes through a [`TenantDb`].
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pools: Pools,
    statements: Arc<AtomicU64>,
    /// Tells readers of events in this process that a transaction with events was committed.
    events: Arc<Notify>,
}

#[derive(Clone, Debug)]
enum Pools {
    Sqlite { write: SqlitePool, read: SqlitePool, readers: Readers, group: GroupWriter },
    Postgres(PgPool),
}

/// A statement: declared in a list, or put together from declared fragments.
pub(crate) enum Text<'a> {
    Declared(&'a Sql),
    Composed(String),
}

impl<'a> From<&'a Sql> for Text<'a> {
    fn from(sql: &'a Sql) -> Self {
        Text::Declared(sql)
    }
}

impl Text<'_> {
    fn get(self, engine: Engine) -> sqlx::SqlStr {
        use sqlx::{AssertSqlSafe, SqlSafeStr};
        match (self, engine) {
            (Text::Declared(sql), Engine::Sqlite) => sql.sqlite.into_sql_str(),
            (Text::Declared(sql), Engine::Postgres) => sql.postgres.into_sql_str(),
            // Safe: put together from constant fragments and numbers of ours; all that comes from outside is bound.
            (Text::Composed(text), _) => AssertSqlSafe(text).into_sql_str(),
        }
    }
}

/// An argument of a statement. Nulls have a type, which PostgreSQL wants to know.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Bool(bool),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $to:expr;)+) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )+};
}

value_from! {
    i64 => |v| Value::Int(Some(v));
    Option<i64> => |v| Value::Int(v);
    i32 => |v| Value::Int(Some(v.into()));
    u32 => |v| Value::Int(Some(v.into()));
    u64 => |v| Value::Int(Some(i64::try_from(v).unwrap_or(i64::MAX)));
    usize => |v| Value::Int(Some(i64::try_from(v).unwrap_or(i64::MAX)));
    bool => |v| Value::Bool(v);
    Time => |v| Value::Int(Some(v.0));
    Option<Time> => |v| Value::Int(v.map(|t| t.0));
    domain::id::TenantId => |v| Value::Int(Some(v.0));
    &str => |v| Value::Text(Some(v.to_owned()));
    String => |v| Value::Text(Some(v));
    &String => |v| Value::Text(Some(v.clone()));
    Option<String> => |v| Value::Text(v);
    Option<&str> => |v| Value::Text(v.map(str::to_owned));
    Vec<u8> => |v| Value::Blob(Some(v));
    &[u8] => |v| Value::Blob(Some(v.to_vec()));
    Option<Vec<u8>> => |v| Value::Blob(v);
}

/// The arguments of a statement, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use args;

/// A row both engines can give.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl Db {
    /// Opens the database; creates the SQLite file if it does not exist. Applies no migration.
    pub(crate) async fn open(location: &Location) -> Result<Db> {
        let pools = match location {
            Location::File(path) => open_sqlite(path).await?,
            Location::Server(url) => Pools::Postgres(open_postgres(url).await?),
        };
        Ok(Db { pools, statements: Arc::default(), events: Arc::default() })
    }

    pub(crate) fn engine(&self) -> Engine {
        match self.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
        }
    }

    /// Statements run since the start.
    pub(crate) fn statements_run(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// The PostgreSQL pool, for `LISTEN`.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        match &self.pools {
            Pools::Sqlite { .. } => None,
            Pools::Postgres(pool) => Some(pool),
        }
    }

    pub(crate) async fn migrate(&self) -> Result<()> {
        match &self.pools {
            Pools::Sqlite { write, .. } => MIGRATIONS_SQLITE.run(write).await,
            Pools::Postgres(pool) => {
                if is_current(pool, &MIGRATIONS_POSTGRES).await {
                    return Ok(());
                }
                MIGRATIONS_POSTGRES.run(pool).await
            }
        }
        .map_err(StoreError::migration)
    }

    /// Lets another role read and write rows of all tables, now and later; it may be called again. PostgreSQL only.
    pub(crate) async fn grant(&self, role: &str) -> Result<()> {
        let Some(pool) = self.postgres() else { return Ok(()) };
        let granted = sqlx::query("SELECT fleetgate_grant(CAST($1 AS name))").bind(role).execute(pool).await;
        match granted {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_OBJECT) => {
                Err(StoreError::NoSuchRole)
            }
            other => Ok(other.map(drop)?),
        }
    }

    /// Starts a transaction that may write. On SQLite it takes its turn on the one write connection.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        let inner = match &self.pools {
            Pools::Sqlite { write, .. } => TxInner::Sqlite(begin_sqlite(write).await?),
            Pools::Postgres(pool) => TxInner::Postgres(begin_postgres(pool, "BEGIN".to_owned()).await?),
        };
        Ok(self.transaction(inner))
    }

    fn transaction(&self, inner: TxInner) -> Tx {
        let (statements, events) = (Arc::clone(&self.statements), Arc::clone(&self.events));
        Tx { inner, statements, events, has_events: false }
    }

    /// Waits until somebody commits events, here or (on PostgreSQL, while it listens) on another node.
    pub(crate) async fn events_committed(&self) {
        self.events.notified().await;
    }

    /// Another node committed events.
    pub(crate) fn tell_events(&self) {
        self.events.notify_waiters();
    }

    /// All rows of a read.
    pub(crate) async fn all<T: Row>(&self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<Vec<T>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = text.into().get(self.engine());
        let rows = match &self.pools {
            Pools::Sqlite { read, .. } => {
                bound!(sqlx::query_as::<Sqlite, T>(text), args).fetch_all(read).await?
            }
            Pools::Postgres(pool) => {
                bound!(sqlx::query_as::<Postgres, T>(text), args).fetch_all(pool).await?
            }
        };
        Ok(rows)
    }

    /// Several short reads of one state of the database.
    pub(crate) async fn reading<T: Send + 'static>(&self, work: impl Read<T>) -> Result<T> {
        self.reading_for(Length::Short, work).await
    }

    /// Several reads of one state of the database.
    pub(crate) async fn reading_for<T: Send + 'static>(
        &self,
        length: Length,
        work: impl Read<T>,
    ) -> Result<T> {
        if let Pools::Sqlite { readers, .. } = &self.pools {
            return readers.read(length, Arc::clone(&self.statements), work).await;
        }
        let mut reading = Reading::of_transaction(self.begin().await?);
        let found = work(&mut reading).await?;
        reading.end().await?;
        Ok(found)
    }

    /// The first row of a read, if there is one.
    pub(crate) async fn maybe<T: Row>(
        &self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Option<T>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = text.into().get(self.engine());
        let row = match &self.pools {
            Pools::Sqlite { read, .. } => {
                bound!(sqlx::query_as::<Sqlite, T>(text), args).fetch_optional(read).await?
            }
            Pools::Postgres(pool) => {
                bound!(sqlx::query_as::<Postgres, T>(text), args).fetch_optional(pool).await?
            }
        };
        Ok(row)
    }

    /// The one row of a read; [`StoreError::NotFound`] if there is none.
    pub(crate) async fn one<T: Row>(&self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<T> {
        self.maybe(text, args).await?.ok_or(StoreError::NotFound)
    }

    /// One write that stands for itself; answers the number of rows touched, after the commit. On SQLite writes that
    /// wait for the writer at the same time share one commit.
    pub(crate) async fn write(&self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<u64> {
        if let Pools::Sqlite { group, .. } = &self.pools {
            self.statements.fetch_add(1, Ordering::Relaxed);
            return group.write(text.into().get(Engine::Sqlite), args).await;
        }
        let mut tx = self.begin().await?;
        let rows = tx.run(text, args).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Lets the engine read a statement without running it.
    #[cfg(test)]
    pub(crate) async fn prepare(&self, text: impl Into<Text<'_>>) -> Result<()> {
        use sqlx::Executor;
        let text = text.into().get(self.engine());
        match &self.pools {
            Pools::Sqlite { write, .. } => write.prepare(text).await.map(drop)?,
            Pools::Postgres(pool) => pool.prepare(text).await.map(drop)?,
        }
        Ok(())
    }

    /// Closes all connections; SQLite folds its log into the file.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { write, read, readers, .. } => {
                readers.close();
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction. Dropped without [`Tx::commit`] it is rolled back.
pub struct Tx {
    inner: TxInner,
    statements: Arc<AtomicU64>,
    events: Arc<Notify>,
    has_events: bool,
}

enum TxInner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(crate) fn engine(&self) -> Engine {
        match self.inner {
            TxInner::Sqlite(_) => Engine::Sqlite,
            TxInner::Postgres(_) => Engine::Postgres,
        }
    }

    pub(crate) async fn all<T: Row>(
        &mut self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Vec<T>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = text.into().get(self.engine());
        let rows = match &mut self.inner {
            TxInner::Sqlite(tx) => {
                bound!(sqlx::query_as::<Sqlite, T>(text), args).fetch_all(&mut **tx).await?
            }
            TxInner::Postgres(tx) => {
                bound!(sqlx::query_as::<Postgres, T>(text), args).fetch_all(&mut **tx).await?
            }
        };
        Ok(rows)
    }

    pub(crate) async fn maybe<T: Row>(
        &mut self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Option<T>> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = text.into().get(self.engine());
        let row = match &mut self.inner {
            TxInner::Sqlite(tx) => {
                bound!(sqlx::query_as::<Sqlite, T>(text), args).fetch_optional(&mut **tx).await?
            }
            TxInner::Postgres(tx) => {
                bound!(sqlx::query_as::<Postgres, T>(text), args).fetch_optional(&mut **tx).await?
            }
        };
        Ok(row)
    }

    pub(crate) async fn one<T: Row>(&mut self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<T> {
        self.maybe(text, args).await?.ok_or(StoreError::NotFound)
    }

    /// Runs a statement; answers the number of rows touched.
    pub(crate) async fn run(&mut self, text: impl Into<Text<'_>>, args: Vec<Value>) -> Result<u64> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let text = text.into().get(self.engine());
        let rows = match &mut self.inner {
            TxInner::Sqlite(tx) => {
                bound!(sqlx::query::<Sqlite>(text), args).execute(&mut **tx).await?.rows_affected()
            }
            TxInner::Postgres(tx) => {
                bound!(sqlx::query::<Postgres>(text), args).execute(&mut **tx).await?.rows_affected()
            }
        };
        Ok(rows)
    }

    /// On PostgreSQL it sees the rows of this tenant from now on.
    pub(crate) async fn enter(&mut self, tenant: TenantId) -> Result<()> {
        if let TxInner::Postgres(tx) = &mut self.inner {
            let words = format!("SET LOCAL fleetgate.tenant = '{}'", tenant.0);
            // Safe: constant words and the number of a tenant.
            sqlx::raw_sql(sqlx::AssertSqlSafe(words)).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Makes it durable. On SQLite the answer comes after the fsync.
    pub(crate) async fn commit(self) -> Result<()> {
        match self.inner {
            TxInner::Sqlite(tx) => tx.commit().await?,
            TxInner::Postgres(tx) => tx.commit().await?,
        }
        if self.has_events {
            self.events.notify_waiters();
        }
        Ok(())
    }

    /// Its commit is told to readers of events.
    pub(crate) fn has_events(&mut self) {
        self.has_events = true;
    }
}

/// Begins a transaction on the one write connection.
///
/// When a disk is full or fails, SQLite takes a transaction back by itself. The driver then cannot, and believes it open
/// for ever: such a connection is given up, and the pool opens another.
async fn begin_sqlite(pool: &SqlitePool) -> std::result::Result<Transaction<'static, Sqlite>, sqlx::Error> {
    const BEGIN: &str = "BEGIN IMMEDIATE";
    match pool.begin_with(BEGIN).await {
        Err(sqlx::Error::InvalidSavePointStatement) => {
            if let Err(error) = pool.acquire().await?.close().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "a broken connection did not close");
            }
            pool.begin_with(BEGIN).await
        }
        other => other,
    }
}

/// Sends the words that begin a transaction. They are sent to their end: were the caller to go away in between, the driver
/// would give the connection back with a transaction open, and with the tenant that was set in it.
async fn begin_postgres(pool: &PgPool, words: String) -> Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let begun = spawn::to_its_end(async move {
        // Safe: constant words, and at most the number of a tenant.
        pool.begin_with(sqlx::AssertSqlSafe(words)).await
    });
    Ok(begun.await.map_err(|error| StoreError::Unavailable(Box::new(error)))??)
}

/// Has every migration been applied? Then a role that may not change tables can go on; the migrator itself would try
/// to create its own table first.
async fn is_current(pool: &PgPool, migrator: &Migrator) -> bool {
    let wanted = migrator.iter().map(|migration| migration.version).max();
    let found = sqlx::query_scalar::<Postgres, Option<i64>>(
        "SELECT MAX(version) FROM _sqlx_migrations WHERE success",
    )
    .fetch_one(pool)
    .await;
    matches!(found, Ok(found) if found == wanted)
}

async fn open_sqlite(path: &Path) -> Result<Pools> {
    let common = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(200)
        .pragma("temp_store", "memory");
    // FULL: a commit that was acknowledged survives power loss. The large checkpoint distance halves what a sync writes.
    let writer = common
        .clone()
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "16000")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", "-16000");
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(60))
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(writer)
        .await?;
    check_sqlite_version(&write).await?;
    // Lists, which read most, have connections of their own.
    let readers = common.read_only(true).pragma("cache_size", "-4000").statement_cache_capacity(100);
    let read = SqlitePoolOptions::new()
        .max_connections(3)
        // A connection to a file does not die by itself, and asking it goes to another thread and back.
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(30))
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(readers);
    let group = GroupWriter::start(write.clone());
    Ok(Pools::Sqlite { write, read, readers: Readers::of(path), group })
}

async fn check_sqlite_version(pool: &SqlitePool) -> Result<()> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(pool).await?;
    let number = version
        .split('.')
        .filter_map(|part| part.parse::<i64>().ok())
        .fold((0, 1_000_000), |(n, f), part| (n + part * f, f / 1_000));
    if number.0 < MIN_SQLITE { Err(StoreError::OldSqlite { found: version }) } else { Ok(()) }
}

async fn open_postgres(url: &str) -> Result<PgPool> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::BadAddress)?
        .application_name("fleetgate")
        .statement_cache_capacity(200);
    reach::postgres(&options).await?;
    let pool = PgPoolOptions::new()
        .max_connections(10)
        // Asking a connection whether it lives is a round trip: only one that was idle for a while may have died.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > Duration::from_secs(2) {
                    return Ok(connection.ping().await.is_ok());
                }
                Ok(true)
            })
        })
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(options)
        .await?;
    Ok(pool)
}
