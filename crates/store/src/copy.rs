//! Backups, and copies between databases of either engine.
//!
//! A backup is a SQLite file. A SQLite database is copied by SQLite itself (`VACUUM INTO`); everything else is one copy
//! of all rows out of one snapshot into an empty database, compared afterwards by number and hash of the rows of each
//! table. A copy that does not come to its end leaves nothing: PostgreSQL rolls back, a SQLite file gets its name last.
//!
//! No root key is needed or written: secrets stay sealed as they are. That nobody else writes into the target, and
//! that no server works on a database that moves, is the caller's to see to (see [`crate::presence`]).

mod catalog;
mod connection;
mod file;
mod row;
mod table;
mod transfer;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use self::{
    catalog::{Shape, Version},
    connection::{Connection, Purpose},
    file::{Draft, with_suffix},
    row::Cell,
    transfer::Settle,
};
use crate::{
    Location, Store, StoreError,
    db::MIGRATIONS_SQLITE,
    sql::{Sql, statements},
};

/// The result of a copy.
pub type Result<T> = std::result::Result<T, CopyError>;

/// Why there is no copy. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no such file.
    #[error("there is no database `{path}`", path = .0.display())]
    Missing(PathBuf),
    /// The file to be written is there already.
    #[error("`{path}` exists already", path = .0.display())]
    Exists(PathBuf),
    /// The target holds rows.
    #[error("the database to write into is not empty: there are rows in `{table}`")]
    NotEmpty {
        /// A table that is not empty.
        table: &'static str,
    },
    /// A SQLite file with a log beside it is in use, or was when its process ended.
    #[error("`{path}` lies beside it: this is a database at work and no backup", path = .0.display())]
    AtWork(PathBuf),
    /// A log without its database: writing a database there could mix the two.
    #[error("`{path}` is left from a database that is not there any more", path = .0.display())]
    StrayLog(PathBuf),
    /// Nothing was ever set up in the source.
    #[error("the database to read from is empty")]
    Nothing,
    /// The source is the demo's.
    #[error("the database to read from belongs to `fleetgate demo`, whose data is made up")]
    Demo,
    /// The source was written by a newer program.
    #[error("the database to read from has version {found}; this program knows versions up to {known}")]
    Newer {
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The source has to be migrated first.
    #[error("the database to read from has version {found}; this program needs version {known}")]
    Older {
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Not ours, or not as our migrations make it.
    #[error("this is no database of Fleetgate, or its tables were changed by others")]
    Foreign,
    /// A damaged file.
    #[error("the data is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// The copy is not what was read.
    #[error("the copy of `{table}` differs from what was read")]
    Differs {
        /// The table.
        table: &'static str,
    },
    /// A table cannot be read or written.
    #[error("`{table}` could not be {done}")]
    Table {
        /// The table.
        table: &'static str,
        /// Read or written.
        done: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file cannot be used.
    #[error("`{path}` cannot be used", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CopyError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> CopyError {
        move |source| CopyError::File { path: path.to_owned(), source }
    }

    fn reading(shape: &Shape, error: sqlx::Error) -> CopyError {
        damaged(&error).unwrap_or_else(|| CopyError::Table {
            table: shape.table.name,
            done: "read",
            source: Box::new(error),
        })
    }

    fn writing(shape: &Shape, error: sqlx::Error) -> CopyError {
        CopyError::Table { table: shape.table.name, done: "written", source: Box::new(error) }
    }
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        damaged(&error).unwrap_or_else(|| CopyError::Store(StoreError::Unavailable(Box::new(error))))
    }
}

/// SQLite's words for a broken file: "malformed" and "not a database" (result codes 11 and 26, with their extensions).
fn damaged(error: &sqlx::Error) -> Option<CopyError> {
    let sqlx::Error::Database(inner) = error else { return None };
    inner.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code: i64 = inner.code()?.parse().ok()?;
    matches!(code & 0xff, 11 | 26).then(|| CopyError::Damaged { what: inner.message().to_owned() })
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows are copied, or the file is.
    Copying,
    /// The copy is read and compared.
    Checking,
    /// The last steps.
    Finishing,
}

/// Where a copy is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is going on.
    pub stage: Stage,
    /// With which table; empty where it is with all.
    pub table: &'static str,
    /// Rows of the table so far.
    pub rows: u64,
}

/// Who is told of the progress.
pub type Watch<'w> = &'w dyn Fn(Progress);

/// What was copied of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub name: &'static str,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over them in the order of their key, in hexadecimal; the same on both engines. Empty where SQLite made
    /// the copy by itself.
    pub hash: String,
}

/// What was copied.
#[derive(Clone, Debug)]
pub struct Report {
    /// Table by table.
    pub tables: Vec<TableReport>,
    /// The database's version: the number of its last migration.
    pub version: i64,
    /// Size of the file that was made; none on PostgreSQL.
    pub size_bytes: Option<u64>,
}

impl Report {
    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Writes a backup into the new file `to`, readable by its owner only. A server may be at work.
pub async fn backup(from: &Location, to: &Path, watch: Watch<'_>) -> Result<Report> {
    if to.symlink_metadata().is_ok() {
        return Err(CopyError::Exists(to.to_owned()));
    }
    let mut source = open_source(from).await?;
    let version = catalog::version(&mut source).await?;
    catalog::check_kind(&mut source).await?;
    let draft = Draft::beside(to).map_err(CopyError::file(to))?;
    let tables = match from {
        Location::File(_) => vacuum_into(source, draft.path(), watch).await?,
        Location::Server(_) => {
            let mut target = fill(draft.path(), version.number()).await?;
            transfer::begin_reading(&mut source).await?;
            let tables = Box::pin(transfer::all(&mut source, &mut target, Settle::Keep, watch)).await?;
            source.close().await;
            target.close().await;
            tables
        }
    };
    let published = draft.publish(to);
    let size_bytes = match published {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(CopyError::Exists(to.to_owned())),
        published => published.map_err(CopyError::file(to)),
    }?;
    Ok(Report { tables, version: version.number(), size_bytes: Some(size_bytes) })
}

async fn vacuum_into(mut source: Connection, draft: &Path, watch: Watch<'_>) -> Result<Vec<TableReport>> {
    watch(Progress { stage: Stage::Copying, table: "", rows: 0 });
    let name = draft.to_str().ok_or_else(|| unreadable_name(draft))?;
    source.run(&VACUUM_INTO, vec![Cell::Text(name.to_owned())]).await?;
    source.close().await;
    watch(Progress { stage: Stage::Checking, table: "", rows: 0 });
    let mut made = Connection::sqlite(draft, Purpose::Read).await?;
    check_integrity(&mut made).await?;
    let mut tables = Vec::new();
    for shape in catalog::shapes(&mut made).await? {
        let rows = u64::try_from(catalog::count(&mut made, shape.table).await?).unwrap_or(0);
        tables.push(TableReport { name: shape.table.name, rows, hash: String::new() });
    }
    made.close().await;
    Ok(tables)
}

fn unreadable_name(path: &Path) -> CopyError {
    CopyError::file(path)(io::Error::new(io::ErrorKind::InvalidInput, "the name is not UTF-8"))
}

/// Puts a backup into an empty database. One of an older version is brought up to this one; for that a copy of the
/// file is made in `scratch`, a private folder, and removed again. Sessions are not taken along.
pub async fn restore(from: &Path, to: &Location, scratch: &Path, watch: Watch<'_>) -> Result<Report> {
    if !from.is_file() {
        return Err(CopyError::Missing(from.to_owned()));
    }
    if let Some(log) = log_beside(from) {
        return Err(CopyError::AtWork(log));
    }
    watch(Progress { stage: Stage::Checking, table: "", rows: 0 });
    // Reading from a copy leaves the backup alone: opening a file of SQLite may write beside it.
    let copy = Draft::beside(&scratch.join("restore")).map_err(CopyError::file(scratch))?;
    fs::copy(from, copy.path()).map_err(CopyError::file(from))?;
    let mut source = Connection::sqlite(copy.path(), Purpose::Migrate).await?;
    check_integrity(&mut source).await?;
    let version = catalog::version(&mut source).await?;
    catalog::check_kind(&mut source).await?;
    if let (Version::Older(_), Connection::Sqlite(connection)) = (version, &mut source) {
        MIGRATIONS_SQLITE.run(connection).await.map_err(StoreError::migration)?;
    }
    Box::pin(into_empty(source, to, Settle::Restored, watch)).await
}

/// Copies a database into an empty one of either engine.
pub async fn copy(from: &Location, to: &Location, watch: Watch<'_>) -> Result<Report> {
    let mut source = open_source(from).await?;
    match catalog::version(&mut source).await? {
        Version::Current(_) => {}
        Version::Older(found) => return Err(CopyError::Older { found, known: newest() }),
    }
    catalog::check_kind(&mut source).await?;
    Box::pin(into_empty(source, to, Settle::Moved, watch)).await
}

/// The version that this program's migrations lead to.
pub fn newest() -> i64 {
    MIGRATIONS_SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0)
}

async fn open_source(from: &Location) -> Result<Connection> {
    match from {
        Location::File(path) if !path.is_file() => Err(CopyError::Missing(path.clone())),
        Location::File(path) => Ok(Connection::sqlite(path, Purpose::Read).await?),
        Location::Server(url) => Ok(Connection::postgres(url).await?),
    }
}

async fn into_empty(
    mut source: Connection,
    to: &Location,
    settle: Settle,
    watch: Watch<'_>,
) -> Result<Report> {
    transfer::begin_reading(&mut source).await?;
    let (tables, size_bytes) = match to {
        Location::File(path) => {
            check_empty_file(path).await?;
            let draft = Draft::beside(path).map_err(CopyError::file(path))?;
            let mut target = fill(draft.path(), newest()).await?;
            let tables = transfer::all(&mut source, &mut target, settle, watch).await?;
            target.close().await;
            let size_bytes = draft.replace(path).map_err(CopyError::file(path))?;
            (tables, Some(size_bytes))
        }
        Location::Server(url) => {
            Store::migrate(to, to).await?;
            let mut target = Connection::postgres(url).await?;
            check_empty(&mut target).await?;
            let tables = transfer::all(&mut source, &mut target, settle, watch).await?;
            target.close().await;
            (tables, None)
        }
    };
    source.close().await;
    Ok(Report { tables, version: newest(), size_bytes })
}

/// A new SQLite file with the tables of a version, to be written by us alone.
async fn fill(path: &Path, version: i64) -> Result<Connection> {
    let mut target = Connection::sqlite(path, Purpose::Fill).await?;
    if let Connection::Sqlite(connection) = &mut target {
        MIGRATIONS_SQLITE.run_to(version, connection).await.map_err(StoreError::migration)?;
    }
    Ok(target)
}

/// The log beside a SQLite file, if there is something in it.
fn log_beside(path: &Path) -> Option<PathBuf> {
    let log = with_suffix(path, "-wal");
    fs::metadata(&log).is_ok_and(|data| data.len() > 0).then_some(log)
}

/// There is no file, or one of ours without a row.
async fn check_empty_file(path: &Path) -> Result<()> {
    if !path.exists() {
        return log_beside(path).map_or(Ok(()), |log| Err(CopyError::StrayLog(log)));
    }
    if fs::metadata(path).map_err(CopyError::file(path))?.len() == 0 {
        return Ok(());
    }
    let mut target = Connection::sqlite(path, Purpose::Read).await?;
    catalog::version(&mut target).await?;
    let checked = check_empty(&mut target).await;
    target.close().await;
    checked
}

async fn check_empty(target: &mut Connection) -> Result<()> {
    match catalog::first_with_rows(target).await? {
        Some(table) => Err(CopyError::NotEmpty { table }),
        None => Ok(()),
    }
}

/// SQLite's own look at every page and index of a file.
async fn check_integrity(connection: &mut Connection) -> Result<()> {
    let found: Vec<(String,)> = connection.all(&INTEGRITY, vec![]).await?;
    match found.first() {
        Some((line,)) if line == "ok" => Ok(()),
        Some((line,)) => Err(CopyError::Damaged { what: line.clone() }),
        None => Err(CopyError::Damaged { what: "it cannot be checked".to_owned() }),
    }
}

statements! {
    VACUUM_INTO = [{engine "VACUUM INTO $1" "SELECT $1"}];
    INTEGRITY = [{engine "PRAGMA integrity_check(1)" "SELECT 'ok'"}];
}

/// Every statement of this module and those below, with its name.
pub(crate) fn statements() -> Vec<(&'static str, &'static Sql)> {
    [ALL, catalog::ALL, transfer::ALL].concat()
}

#[cfg(test)]
mod tests;
