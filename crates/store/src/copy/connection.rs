//! One plain connection to either engine, beside the pools of a server at work.

use std::{path::Path, str::FromStr, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, PgConnection, Postgres, Row as _, SqlSafeStr, SqlStr,
    Sqlite, SqliteConnection,
    postgres::{PgConnectOptions, PgRow},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};

use super::row::{Cell, Kind};
use crate::{
    Location, StoreError,
    db::{Db, Engine, Row},
    error::Result,
    sql::Sql,
};

/// A connection.
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What a SQLite file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be read, also beside a server that writes.
    Read,
    /// To be written by us alone and thrown away if that does not succeed: no journal, no fsync, no foreign keys.
    Fill,
    /// To be brought up to this version, as a server would.
    Migrate,
}

macro_rules! bound {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for cell in $args {
            query = match cell {
                Cell::Null => query.bind(None::<i64>),
                Cell::Int(value) => query.bind(value),
                Cell::Bool(value) => query.bind(value),
                Cell::Text(value) => query.bind(value),
                Cell::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

macro_rules! cells {
    ($row:expr, $kinds:expr) => {{
        let mut cells = Vec::with_capacity($kinds.len());
        for (at, kind) in $kinds.iter().enumerate() {
            let cell = match kind {
                Kind::Int => $row.try_get::<Option<i64>, _>(at)?.map(Cell::Int),
                Kind::Bool => $row.try_get::<Option<bool>, _>(at)?.map(Cell::Bool),
                Kind::Text => $row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
                Kind::Bytes => $row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
            };
            cells.push(cell.unwrap_or(Cell::Null));
        }
        Ok(cells)
    }};
}

fn sqlite_cells(row: &SqliteRow, kinds: &[Kind]) -> sqlx::Result<Vec<Cell>> {
    cells!(row, kinds)
}

fn postgres_cells(row: &PgRow, kinds: &[Kind]) -> sqlx::Result<Vec<Cell>> {
    cells!(row, kinds)
}

/// Safe: put together from names that our own migrations gave, quoted; values are bound.
fn composed(text: String) -> SqlStr {
    AssertSqlSafe(text).into_sql_str()
}

impl Connection {
    /// Opens a SQLite file that is there.
    pub(super) async fn sqlite(path: &Path, purpose: Purpose) -> sqlx::Result<Connection> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(Duration::from_secs(30))
            // What a file from elsewhere brings along must not act when it is read.
            .pragma("trusted_schema", "off")
            .pragma("cell_size_check", "on")
            .pragma("cache_size", "-16000");
        let options = match purpose {
            Purpose::Read => options.read_only(true),
            Purpose::Fill => options
                .journal_mode(SqliteJournalMode::Off)
                .synchronous(SqliteSynchronous::Off)
                .foreign_keys(false),
            Purpose::Migrate => options.journal_mode(SqliteJournalMode::Delete).foreign_keys(true),
        };
        Ok(Connection::Sqlite(options.connect().await?))
    }

    /// Connects to a server. Tries the address first as the server would, for the sake of the sentences.
    pub(super) async fn postgres(url: &str) -> Result<Connection> {
        Db::open(&Location::Server(url.to_owned())).await?.close().await;
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::BadAddress)?
            .application_name("fleetgate copy");
        Ok(Connection::Postgres(PgConnection::connect_with(&options).await?))
    }

    pub(super) fn engine(&self) -> Engine {
        match self {
            Connection::Sqlite(_) => Engine::Sqlite,
            Connection::Postgres(_) => Engine::Postgres,
        }
    }

    /// All rows of a declared statement.
    pub(super) async fn all<T: Row>(&mut self, sql: &'static Sql, args: Vec<Cell>) -> sqlx::Result<Vec<T>> {
        match self {
            Connection::Sqlite(connection) => {
                bound!(sqlx::query_as::<Sqlite, T>(sql.sqlite), args).fetch_all(connection).await
            }
            Connection::Postgres(connection) => {
                bound!(sqlx::query_as::<Postgres, T>(sql.postgres), args).fetch_all(connection).await
            }
        }
    }

    /// Runs a declared statement.
    pub(super) async fn run(&mut self, sql: &'static Sql, args: Vec<Cell>) -> sqlx::Result<()> {
        match self {
            Connection::Sqlite(connection) => {
                bound!(sqlx::query::<Sqlite>(sql.sqlite), args).execute(connection).await?;
            }
            Connection::Postgres(connection) => {
                bound!(sqlx::query::<Postgres>(sql.postgres), args).execute(connection).await?;
            }
        }
        Ok(())
    }

    /// The one number that a composed statement answers.
    pub(super) async fn number(&mut self, text: String) -> sqlx::Result<i64> {
        let text = composed(text);
        match self {
            Connection::Sqlite(connection) => sqlx::query_scalar(text).fetch_one(connection).await,
            Connection::Postgres(connection) => sqlx::query_scalar(text).fetch_one(connection).await,
        }
    }

    /// Rows one after the other: what was not asked for yet is not in memory.
    pub(super) fn stream<'c>(
        &'c mut self,
        text: String,
        args: Vec<Cell>,
        kinds: &'c [Kind],
    ) -> BoxStream<'c, sqlx::Result<Vec<Cell>>> {
        let text = composed(text);
        match self {
            Connection::Sqlite(connection) => bound!(sqlx::query::<Sqlite>(text), args)
                .fetch(connection)
                .map(|row| sqlite_cells(&row?, kinds))
                .boxed(),
            Connection::Postgres(connection) => bound!(sqlx::query::<Postgres>(text), args)
                .fetch(connection)
                .map(|row| postgres_cells(&row?, kinds))
                .boxed(),
        }
    }

    /// Inserts rows with one statement: on SQLite their cells are bound one by one, on PostgreSQL column by column.
    pub(super) async fn insert(
        &mut self,
        text: &str,
        rows: Vec<Vec<Cell>>,
        kinds: &[Kind],
    ) -> sqlx::Result<()> {
        let text = composed(text.to_owned());
        match self {
            Connection::Sqlite(connection) => {
                let cells = rows.into_iter().flatten();
                bound!(sqlx::query::<Sqlite>(text), cells).execute(connection).await?;
            }
            Connection::Postgres(connection) => {
                let mut query = sqlx::query::<Postgres>(text);
                for column in columns(rows, kinds) {
                    query = match column {
                        Column::Ints(values) => query.bind(values),
                        Column::Bools(values) => query.bind(values),
                        Column::Texts(values) => query.bind(values),
                        Column::Bytes(values) => query.bind(values),
                    };
                }
                query.execute(connection).await?;
            }
        }
        Ok(())
    }

    /// Says goodbye. Whether the other side hears it does not matter: what had to be kept was committed.
    pub(super) async fn close(self) {
        let _heard = match self {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        };
    }
}

enum Column {
    Ints(Vec<Option<i64>>),
    Bools(Vec<Option<bool>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn new(kind: Kind) -> Column {
        match kind {
            Kind::Int => Column::Ints(Vec::new()),
            Kind::Bool => Column::Bools(Vec::new()),
            Kind::Text => Column::Texts(Vec::new()),
            Kind::Bytes => Column::Bytes(Vec::new()),
        }
    }

    /// Cells were read by the kind of their column: one of another kind cannot be there.
    fn push(&mut self, cell: Cell) {
        match (self, cell) {
            (Column::Ints(values), Cell::Int(value)) => values.push(Some(value)),
            (Column::Bools(values), Cell::Bool(value)) => values.push(Some(value)),
            (Column::Texts(values), Cell::Text(value)) => values.push(Some(value)),
            (Column::Bytes(values), Cell::Bytes(value)) => values.push(Some(value)),
            (Column::Ints(values), _) => values.push(None),
            (Column::Bools(values), _) => values.push(None),
            (Column::Texts(values), _) => values.push(None),
            (Column::Bytes(values), _) => values.push(None),
        }
    }
}

fn columns(rows: Vec<Vec<Cell>>, kinds: &[Kind]) -> Vec<Column> {
    let mut columns: Vec<Column> = kinds.iter().map(|kind| Column::new(*kind)).collect();
    for row in rows {
        for (column, cell) in columns.iter_mut().zip(row) {
            column.push(cell);
        }
    }
    columns
}
