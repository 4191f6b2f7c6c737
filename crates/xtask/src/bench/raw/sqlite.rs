//! The probe on SQLite: a driver in the same thread, so that nothing but the engine takes time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{FILLED, PARENTS, Raw, Rows, insert, pages};
use crate::bench::system;

/// The rows of a database that a first sync has filled.
pub(in crate::bench) struct Source {
    parents: Vec<Rows<Value>>,
    tables: Vec<Rows<Value>>,
}

impl Source {
    pub(in crate::bench) fn read(file: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        let parents = PARENTS.iter().map(|name| rows(&connection, name, &format!("SELECT * FROM {name}")));
        let parents = parents.collect::<Result<_>>()?;
        let tables = FILLED.iter().map(|table| rows(&connection, table.name, table.read));
        Ok(Self { parents, tables: tables.collect::<Result<_>>()? })
    }

    /// Writes them into an empty database with the same tables.
    pub(in crate::bench) fn write(&self, file: &Path) -> Result<Raw> {
        let pages = pages(&self.tables)?;
        let connection = Connection::open(file)?;
        // As the server's own write connection.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA wal_autocheckpoint = 16000; PRAGMA journal_size_limit = 67108864; \
             PRAGMA cache_size = -16000; PRAGMA temp_store = memory;",
        )?;
        for table in &self.parents {
            let mut statement = connection.prepare(&insert(table.name, &table.columns, ""))?;
            for row in &table.rows {
                statement.execute(params_from_iter(row))?;
            }
        }
        let own = std::process::id();
        let bytes = system::bytes_written(own)?;
        let started = Instant::now();
        let mut inserts = Vec::new();
        for table in &self.tables {
            inserts.push((table, connection.prepare(&insert(table.name, &table.columns, ""))?));
        }
        let mut search = connection.prepare("INSERT INTO asset_search (rowid, text) VALUES ($1, $2)")?;
        let assets = &self.tables[0];
        let (row_id, text) = (assets.column("row_id")?, assets.column("search_text")?);
        for page in &pages {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for (table, statement) in &mut inserts {
                for row in &table.rows[page.clone()] {
                    statement.execute(params_from_iter(row))?;
                }
            }
            for row in &assets.rows[page.clone()] {
                search.execute([&row[row_id], &row[text]])?;
            }
            connection.execute_batch("COMMIT")?;
        }
        let took = started.elapsed();
        drop((inserts, search));
        drop(connection);
        system::checkpoint(file)?;
        let rows = (assets.rows.len() * (self.tables.len() + 1)) as u64;
        Ok(Raw { rows, took, bytes: system::bytes_written(own)? - bytes })
    }
}

fn rows(connection: &Connection, name: &'static str, read: &str) -> Result<Rows<Value>> {
    let mut statement = connection.prepare(read)?;
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((0..columns.len()).map(|n| row.get(n)).collect::<Result<Vec<Value>, _>>()?);
    }
    drop(found);
    Ok(Rows { name, columns, rows })
}
