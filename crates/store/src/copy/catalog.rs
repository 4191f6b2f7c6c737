//! What a database says of itself: which version it is of, and which columns its tables have.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;

use super::{
    CopyError, Result,
    connection::Connection,
    row::Kind,
    table::{Scope, TABLES, Table},
};
use crate::{
    db::{Engine, MIGRATIONS_POSTGRES, MIGRATIONS_SQLITE},
    people::InstallationKind,
    sql::statements,
};

/// How far a database has come, against this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// As far as this program.
    Current(i64),
    /// Migrations are missing; the last one it has.
    Older(i64),
}

impl Version {
    pub(super) fn number(self) -> i64 {
        match self {
            Version::Current(number) | Version::Older(number) => number,
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The database counts it up by itself; PostgreSQL only.
    pub(super) counts: bool,
}

/// A table with its columns as they are in a database.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) table: &'static Table,
    pub(super) columns: Vec<Column>,
    /// Its primary key, in order.
    pub(super) key: Vec<Column>,
}

impl Shape {
    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.columns.iter().map(|column| column.kind).collect()
    }

    /// Reads all rows, or those of the tenant `$1`, in the order of the key: bytewise, as SQLite has it.
    pub(super) fn select(&self, engine: Engine) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let key: Vec<String> = self.key.iter().map(|column| ordered(column, engine)).collect();
        // The plus keeps SQLite at the key where the tenant does not lead it: it would rather sort the whole table.
        let plus = if self.leads_with_tenant() { "" } else { "+" };
        let filter = match self.table.scope {
            Scope::Whole => String::new(),
            Scope::Tenant => format!(" WHERE {plus}tenant_id = $1"),
        };
        let (names, key) = (names.join(", "), key.join(", "));
        format!("SELECT {names} FROM {}{filter} ORDER BY {key}", quoted(self.table.name))
    }

    fn leads_with_tenant(&self) -> bool {
        self.key.first().is_some_and(|column| column.name == "tenant_id")
    }

    /// Inserts this many rows.
    pub(super) fn insert(&self, engine: Engine, rows: usize) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let (table, names) = (quoted(self.table.name), names.join(", "));
        match engine {
            Engine::Sqlite => {
                let width = self.columns.len();
                let row = |n: usize| {
                    let places: Vec<String> = (1..=width).map(|at| format!("${}", n * width + at)).collect();
                    format!("({})", places.join(", "))
                };
                let rows: Vec<String> = (0..rows).map(row).collect();
                format!("INSERT INTO {table} ({names}) VALUES {}", rows.join(", "))
            }
            Engine::Postgres => {
                let arrays: Vec<String> = self
                    .columns
                    .iter()
                    .enumerate()
                    .map(|(at, column)| format!("${}::{}", at + 1, column.kind.postgres_array()))
                    .collect();
                // Also the numbers that the database would give itself.
                format!(
                    "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT * FROM UNNEST({})",
                    arrays.join(", ")
                )
            }
        }
    }
}

fn ordered(column: &Column, engine: Engine) -> String {
    let collation =
        if engine == Engine::Postgres && column.kind == Kind::Text { " COLLATE \"C\"" } else { "" };
    format!("{}{collation}", quoted(&column.name))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How far the database has come. Refuses one of a newer program and one that is none of ours.
pub(super) async fn version(connection: &mut Connection) -> Result<Version> {
    let ours: BTreeMap<i64, &[u8]> = migrator(connection.engine())
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration())
        .map(|migration| (migration.version, &*migration.checksum))
        .collect();
    let known = ours.keys().next_back().copied().unwrap_or(0);
    let has_versions: Vec<(i64,)> = connection.all(&HAS_VERSIONS, vec![]).await?;
    if has_versions.is_empty() {
        return Err(CopyError::Foreign);
    }
    let applied: Vec<(i64, Vec<u8>)> = connection.all(&VERSIONS, vec![]).await?;
    let Some(found) = applied.iter().map(|(version, _)| *version).max() else {
        return Err(CopyError::Foreign);
    };
    if found > known {
        return Err(CopyError::Newer { found, known });
    }
    if applied.iter().any(|(version, checksum)| ours.get(version) != Some(&checksum.as_slice())) {
        return Err(CopyError::Foreign);
    }
    Ok(if found < known { Version::Older(found) } else { Version::Current(found) })
}

fn migrator(engine: Engine) -> &'static Migrator {
    match engine {
        Engine::Sqlite => &MIGRATIONS_SQLITE,
        Engine::Postgres => &MIGRATIONS_POSTGRES,
    }
}

/// Is there an installation of real data? Of the demo or of nothing there is nothing to copy.
pub(super) async fn check_kind(connection: &mut Connection) -> Result<()> {
    let kinds: Vec<(String,)> = connection.all(&KIND, vec![]).await?;
    match kinds.first() {
        None => Err(CopyError::Nothing),
        Some((kind,)) if *kind == InstallationKind::Serve.name() => Ok(()),
        Some(_) => Err(CopyError::Demo),
    }
}

/// The tables of ours that this database has.
pub(super) async fn shapes(connection: &mut Connection) -> Result<Vec<Shape>> {
    let mut shapes = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        if let Some(shape) = shape(connection, table).await? {
            shapes.push(shape);
        }
    }
    Ok(shapes)
}

async fn shape(connection: &mut Connection, table: &'static Table) -> Result<Option<Shape>> {
    let rows: Vec<(String, String, i64, bool)> =
        connection.all(&COLUMNS, vec![super::row::Cell::Text(table.name.to_owned())]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut columns = Vec::with_capacity(rows.len());
    let mut key = Vec::new();
    for (name, kind, place_in_key, counts) in rows {
        let kind = Kind::from_catalog(&kind).ok_or(CopyError::Foreign)?;
        let column = Column { name, kind, counts };
        if place_in_key > 0 {
            key.push((place_in_key, column.clone()));
        }
        columns.push(column);
    }
    key.sort_by_key(|(place, _)| *place);
    Ok(Some(Shape { table, columns, key: key.into_iter().map(|(_, column)| column).collect() }))
}

/// The first table that holds rows.
pub(super) async fn first_with_rows(connection: &mut Connection) -> Result<Option<&'static str>> {
    for shape in shapes(connection).await? {
        if count(connection, shape.table).await? > 0 {
            return Ok(Some(shape.table.name));
        }
    }
    Ok(None)
}

/// Rows of a table. On PostgreSQL a table of tenants shows none while no tenant is set; the tenants themselves show.
pub(super) async fn count(connection: &mut Connection, table: &Table) -> Result<i64> {
    Ok(connection.number(format!("SELECT COUNT(*) FROM {}", quoted(table.name))).await?)
}

statements! {
    HAS_VERSIONS = [{engine
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'"
        "SELECT CAST(1 AS BIGINT) WHERE to_regclass('_sqlx_migrations') IS NOT NULL"
    }];
    VERSIONS = ["SELECT version, checksum FROM _sqlx_migrations WHERE success"];
    KIND = ["SELECT kind FROM installation WHERE id = 1"];
    TENANTS = ["SELECT id FROM tenants ORDER BY id"];
    COLUMNS = [{engine
        "SELECT name, type, pk, FALSE FROM pragma_table_info($1) ORDER BY cid"
        "SELECT CAST(a.attname AS TEXT), format_type(a.atttypid, NULL),
            CAST(COALESCE((SELECT k.n FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
                WHERE i.indrelid = a.attrelid AND i.indisprimary AND k.attnum = a.attnum), 0) AS BIGINT),
            a.attidentity <> ''
         FROM pg_attribute a
         WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
         ORDER BY a.attnum"
    }];
}
