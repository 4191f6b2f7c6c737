//! The probe on PostgreSQL: one connection, prepared one-row statements, so each row is one exchange with the
//! server.

use std::time::Instant;

use ::postgres::types::{ToSql, Type};
use ::postgres::{Client, NoTls};
use anyhow::{Result, bail};

use super::{FILLED, PARENTS, Raw, Rows, insert, pages};

/// A value of one of the few types our tables have.
#[derive(Debug, PartialEq)]
enum Cell {
    Int(Option<i64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

impl Cell {
    fn as_sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Cell::Int(value) => value,
            Cell::Bool(value) => value,
            Cell::Text(value) => value,
            Cell::Blob(value) => value,
        }
    }
}

/// The rows of a database that a first sync has filled.
pub(in crate::bench) struct Source {
    parents: Vec<Rows<Cell>>,
    tables: Vec<Rows<Cell>>,
}

impl Source {
    pub(in crate::bench) fn read(url: &str) -> Result<Self> {
        let mut client = Client::connect(url, NoTls)?;
        let mut source = Self { parents: Vec::new(), tables: Vec::new() };
        for name in PARENTS {
            source.parents.push(rows(&mut client, name, &format!("SELECT * FROM {name}"))?);
        }
        for table in &FILLED {
            source.tables.push(rows(&mut client, table.name, table.read)?);
        }
        Ok(source)
    }

    /// Writes them into an empty database with the same tables.
    pub(in crate::bench) fn write(&self, url: &str) -> Result<Raw> {
        let pages = pages(&self.tables)?;
        let mut client = Client::connect(url, NoTls)?;
        for table in &self.parents {
            let statement = client.prepare(&insert(table.name, &table.columns, ""))?;
            for row in &table.rows {
                client.execute(&statement, &as_sql(row))?;
            }
        }
        let before = log_position(&mut client)?;
        let started = Instant::now();
        let mut inserts = Vec::new();
        for table in &self.tables {
            let text = insert(table.name, &table.columns, "OVERRIDING SYSTEM VALUE");
            inserts.push((table, client.prepare(&text)?));
        }
        for page in &pages {
            let mut transaction = client.transaction()?;
            for (table, statement) in &inserts {
                for row in &table.rows[page.clone()] {
                    transaction.execute(statement, &as_sql(row))?;
                }
            }
            transaction.commit()?;
        }
        let took = started.elapsed();
        let rows = (self.tables[0].rows.len() * self.tables.len()) as u64;
        Ok(Raw { rows, took, bytes: log_position(&mut client)? - before })
    }
}

fn as_sql(row: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    row.iter().map(Cell::as_sql).collect()
}

fn rows(client: &mut Client, name: &'static str, read: &str) -> Result<Rows<Cell>> {
    let statement = client.prepare(read)?;
    let kinds: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
    let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let mut rows = Vec::new();
    for row in client.query(&statement, &[])? {
        let mut cells = Vec::with_capacity(kinds.len());
        for (n, kind) in kinds.iter().enumerate() {
            cells.push(match *kind {
                Type::INT8 => Cell::Int(row.try_get(n)?),
                Type::BOOL => Cell::Bool(row.try_get(n)?),
                Type::TEXT => Cell::Text(row.try_get(n)?),
                Type::BYTEA => Cell::Blob(row.try_get(n)?),
                ref other => bail!("a column of `{name}` is of type `{other}`"),
            });
        }
        rows.push(cells);
    }
    Ok(Rows { name, columns, rows })
}

/// Bytes written to the write-ahead log since the cluster was made.
pub(in crate::bench) fn log_position(client: &mut Client) -> Result<u64> {
    let read = "SELECT CAST(pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS BIGINT)";
    let position: i64 = client.query_one(read, &[])?.try_get(0)?;
    Ok(u64::try_from(position)?)
}

/// The addresses of one database: for probes as the superuser, for a server as the two roles that operators make.
#[derive(Clone)]
pub(crate) struct Addresses {
    pub(crate) superuser: String,
    pub(crate) owner: String,
    pub(crate) app: String,
}

/// Makes an empty database in the cluster as `docs/operations.md` says. Commits are durable there, whatever the
/// cluster's own setting is.
pub(in crate::bench) fn create_database(cluster: &str, name: &str) -> Result<Addresses> {
    let Some((server, password, place)) = parts(cluster) else {
        bail!("the cluster's address is not `postgres://USER:PASSWORD@PLACE/postgres`");
    };
    let mut client = Client::connect(cluster, NoTls)?;
    for role in ["fleetgate_owner", "fleetgate_app"] {
        if client.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&role])?.is_none() {
            client.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"))?;
        }
    }
    client.batch_execute(&format!("CREATE DATABASE {name} OWNER fleetgate_owner"))?;
    client.batch_execute(&format!("ALTER DATABASE {name} SET synchronous_commit = on"))?;
    let superuser = format!("{server}/{name}");
    Client::connect(&superuser, NoTls)?
        .batch_execute("ALTER FUNCTION pg_catalog.textlike(text, text) LEAKPROOF")?;
    let of = |role: &str| format!("postgres://{role}:{password}@{place}/{name}");
    Ok(Addresses { owner: of("fleetgate_owner"), app: of("fleetgate_app"), superuser })
}

/// All before the name of the database, the password, host and port.
fn parts(cluster: &str) -> Option<(&str, &str, &str)> {
    let server = cluster.strip_suffix("/postgres")?;
    let (person, place) = server.strip_prefix("postgres://")?.rsplit_once('@')?;
    Some((server, person.split_once(':')?.1, place))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_address_of_the_cluster_is_taken_apart() {
        let parts = super::parts("postgres://postgres:abc@127.0.0.1:5/postgres");
        assert_eq!(parts, Some(("postgres://postgres:abc@127.0.0.1:5", "abc", "127.0.0.1:5")));
        assert_eq!(super::parts("postgres://postgres@127.0.0.1:5/postgres"), None);
    }
}
