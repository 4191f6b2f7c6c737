//! Reads that belong together: the statements of one question see one state of the database.
//!
//! On SQLite short ones run where they are asked for, in the runtime's own thread: handing a question to another thread and
//! its rows back costs more than reading them. What may take long has a thread of its own, so that others are served
//! meanwhile. No more read at a time than there are cores.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::id::TenantId;
use futures::{FutureExt, future::BoxFuture};
use rusqlite::{
    Connection, OpenFlags, Statement, ToSql,
    types::{FromSql, ToSqlOutput},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{Engine, Row, Text, Tx, Value};
use crate::error::{Result, StoreError};

/// How long a question may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// A few milliseconds: so many rows as a page has, found by an index.
    Short,
    /// However many rows must be looked at.
    Long,
}

/// Longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// What SQLite is told on a connection that reads. Pages of the file are mapped rather than copied, so the cache of its own
/// is for the write-ahead log alone. A disk that cannot read a mapped page ends the process, as a failed fsync does.
const SETTINGS: &str = "PRAGMA cache_size = -2000; PRAGMA mmap_size = 4294967296; PRAGMA temp_store = memory; \
    PRAGMA query_only = true;";

/// A row of SQLite, column by column in the order of the statement.
pub(crate) trait LiteRow: Sized {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self>;
}

/// Declares how a row with these fields is read: in this order, which is that of its columns.
macro_rules! lite_row {
    ($row:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::db::LiteRow for $row {
            fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                let mut column = 0..;
                Ok($row { $($field: row.get(column.next().unwrap_or_default())?),+ })
            }
        }
    };
}
pub(crate) use lite_row;

impl<A: FromSql, B: FromSql> LiteRow for (A, B) {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok((row.get(0)?, row.get(1)?))
    }
}

impl<T: FromSql> LiteRow for (T,) {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok((row.get(0)?,))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Value::Int(value) => value.to_sql(),
            Value::Bool(value) => value.to_sql(),
            Value::Text(value) => value.to_sql(),
            Value::Blob(value) => value.to_sql(),
        }
    }
}

/// Reads of one state of the database.
pub(crate) struct Reading {
    inner: Inner,
    statements: Arc<AtomicU64>,
}

enum Inner {
    /// What is awaited here never waits.
    Sqlite(Connection),
    Postgres(Tx),
}

impl Reading {
    pub(crate) fn of_transaction(tx: Tx) -> Reading {
        let statements = Arc::clone(&tx.statements);
        Reading { inner: Inner::Postgres(tx), statements }
    }

    pub(crate) fn engine(&self) -> Engine {
        match self.inner {
            Inner::Sqlite(_) => Engine::Sqlite,
            Inner::Postgres(_) => Engine::Postgres,
        }
    }

    /// All rows.
    pub(crate) async fn all<T: Row + LiteRow>(
        &mut self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Vec<T>> {
        match &mut self.inner {
            Inner::Postgres(tx) => tx.all(text, args).await,
            Inner::Sqlite(connection) => {
                self.statements.fetch_add(1, Ordering::Relaxed);
                let text = text.into().get(Engine::Sqlite);
                let mut statement = connection.prepare_cached(text.as_str())?;
                bind(&mut statement, &args)?;
                Ok(statement.raw_query().mapped(T::read).collect::<rusqlite::Result<_>>()?)
            }
        }
    }

    /// The first row, if there is one.
    pub(crate) async fn maybe<T: Row + LiteRow>(
        &mut self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<Option<T>> {
        match &mut self.inner {
            Inner::Postgres(tx) => tx.maybe(text, args).await,
            Inner::Sqlite(_) => Ok(self.all(text, args).await?.into_iter().next()),
        }
    }

    /// The one row; [`StoreError::NotFound`] if there is none.
    pub(crate) async fn one<T: Row + LiteRow>(
        &mut self,
        text: impl Into<Text<'_>>,
        args: Vec<Value>,
    ) -> Result<T> {
        self.maybe(text, args).await?.ok_or(StoreError::NotFound)
    }

    /// Reads the rows of this tenant from now on, once a look-up has led to it.
    pub(crate) async fn enter(&mut self, tenant: TenantId) -> Result<()> {
        match &mut self.inner {
            Inner::Postgres(tx) => tx.enter(tenant).await,
            Inner::Sqlite(_) => Ok(()),
        }
    }

    /// Ends the transaction on PostgreSQL.
    pub(super) async fn end(self) -> Result<()> {
        match self.inner {
            Inner::Postgres(tx) => tx.commit().await,
            Inner::Sqlite(_) => Ok(()),
        }
    }
}

/// What is read, given what to read with.
pub(crate) trait Read<T>:
    for<'r> FnOnce(&'r mut Reading) -> BoxFuture<'r, Result<T>> + Send + 'static
{
}

impl<T, F> Read<T> for F where F: for<'r> FnOnce(&'r mut Reading) -> BoxFuture<'r, Result<T>> + Send + 'static {}

/// Connections to a SQLite file that only read, opened when they are needed.
#[derive(Clone)]
pub(crate) struct Readers {
    path: Arc<Path>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Readers {
    pub(super) fn of(path: &Path) -> Readers {
        let path = PathBuf::from(path).into();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Readers { path, permits: Arc::new(Semaphore::new(cores.max(2))), idle: Arc::default() }
    }

    /// Reads once it is its turn.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        length: Length,
        statements: Arc<AtomicU64>,
        work: impl Read<T>,
    ) -> Result<T> {
        let permit = timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| unavailable("no connection became free to read with"))?
            .map_err(|_| unavailable("the database is closed"))?;
        if length == Length::Short {
            return self.read_now(statements, work);
        }
        let readers = self.clone();
        let read = spawn_blocking(move || {
            let _permit = permit;
            readers.read_now(statements, work)
        });
        read.await.map_err(|error| StoreError::Unavailable(Box::new(error)))?
    }

    fn read_now<T>(&self, statements: Arc<AtomicU64>, work: impl Read<T>) -> Result<T> {
        let connection = self.take()?;
        begin_or_end(&connection, "BEGIN")?;
        let mut reading = Reading { inner: Inner::Sqlite(connection), statements };
        let found = work(&mut reading).now_or_never();
        if let Inner::Sqlite(connection) = reading.inner
            && begin_or_end(&connection, "COMMIT").is_ok()
        {
            self.put_back(connection);
        }
        found.unwrap_or_else(|| Err(unavailable("a read waited for something else than the database")))
    }

    fn take(&self) -> Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => open(&self.path),
        }
    }

    fn put_back(&self, connection: Connection) {
        if !self.permits.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    /// Closes the connections; what reads now may end.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch(SETTINGS)?;
    // Composed lists have many texts, and a prepared one is large.
    connection.set_prepared_statement_cache_capacity(60);
    Ok(connection)
}

/// To SQLite `$2` is a name, and its number depends on where it stands.
fn bind(statement: &mut Statement<'_>, args: &[Value]) -> Result<()> {
    for (n, value) in args.iter().enumerate() {
        let at = statement.parameter_index(&format!("${}", n + 1))?;
        // What one engine needs, the other may not.
        if let Some(at) = at {
            statement.raw_bind_parameter(at, value)?;
        }
    }
    Ok(())
}

fn begin_or_end(connection: &Connection, word: &'static str) -> Result<()> {
    connection.prepare_cached(word)?.execute([])?;
    Ok(())
}

fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}
