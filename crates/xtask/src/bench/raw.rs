//! The physical limit of a first sync: the same rows into the same tables and indexes, and nothing else.
//!
//! Right after the first sync the rows it wrote are read into memory. Then they are written again, into an empty
//! database with the same migrations and settings, by prepared one-row statements on one connection, in the
//! transactions of the sync: pages of at most 1,000 devices of one organization. No HTTP, no parsing, no matching.
//!
//! What a page writes once (progress, counters) and the few proposals are left out.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, bail};

pub(super) mod postgres;
pub(super) mod sqlite;

/// Devices of one transaction at most, as in the sync.
const PAGE: usize = 1_000;

/// What rows refer to; copied before the clock runs.
const PARENTS: [&str; 5] =
    ["tenants", "clients", "client_sites", "rmm_integrations", "rmm_organization_mappings"];

/// A table a first sync fills: its name, and its rows in the order of the assets.
struct Filled {
    name: &'static str,
    read: &'static str,
}

const FILLED: [Filled; 6] = [
    Filled { name: "assets", read: "SELECT a.* FROM assets a ORDER BY a.row_id" },
    Filled {
        name: "rmm_devices",
        read: "SELECT d.* FROM rmm_devices d JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id \
               ORDER BY a.row_id",
    },
    Filled {
        name: "tenant_external_entity_mappings",
        read: "SELECT m.* FROM tenant_external_entity_mappings m \
               JOIN assets a ON a.tenant_id = m.tenant_id AND a.id = m.entity_id ORDER BY a.row_id",
    },
    Filled {
        name: "device_presence",
        read: "SELECT p.* FROM device_presence p \
               JOIN assets a ON a.tenant_id = p.tenant_id AND a.primary_device_id = p.device_id ORDER BY a.row_id",
    },
    Filled {
        name: "device_payloads",
        read: "SELECT p.* FROM device_payloads p \
               JOIN assets a ON a.tenant_id = p.tenant_id AND a.primary_device_id = p.device_id ORDER BY a.row_id",
    },
    Filled { name: "events", read: "SELECT * FROM events WHERE kind = 'asset_created' ORDER BY seq" },
];

/// What the probe found.
pub(super) struct Raw {
    pub(super) rows: u64,
    pub(super) took: Duration,
    /// Including the checkpoint (SQLite) or of the write-ahead log (PostgreSQL).
    pub(super) bytes: u64,
}

/// Rows of one table, as the engine's driver has them.
struct Rows<C> {
    name: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<C>>,
}

impl<C> Rows<C> {
    fn column(&self, name: &str) -> Result<usize> {
        match self.columns.iter().position(|column| column == name) {
            Some(position) => Ok(position),
            None => bail!("`{}` has no column `{name}`", self.name),
        }
    }
}

/// Where the sync ended its transactions: neighbours of one organization, at most [`PAGE`].
fn pages<C: PartialEq>(tables: &[Rows<C>]) -> Result<Vec<Range<usize>>> {
    let Some(assets) = tables.first() else { bail!("no table was read") };
    if let Some(odd) = tables.iter().find(|table| table.rows.len() != assets.rows.len()) {
        bail!("{} rows in `{}`, but {} assets", odd.rows.len(), odd.name, assets.rows.len());
    }
    let organization = assets.column("rmm_organization_id")?;
    let mut pages = Vec::new();
    let mut start = 0;
    for end in 1..=assets.rows.len() {
        let goes_on =
            assets.rows.get(end).is_some_and(|next| next[organization] == assets.rows[start][organization]);
        if !goes_on || end - start == PAGE {
            pages.push(start..end);
            start = end;
        }
    }
    Ok(pages)
}

/// `name, name, …` and `$1, $2, …` for an insert of one row.
fn insert(name: &str, columns: &[String], overriding: &str) -> String {
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    format!("INSERT INTO {name} ({}) {overriding} VALUES ({})", columns.join(", "), places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_with_its_organization_and_at_a_thousand() {
        let organizations = [vec![1; 1_200], vec![2; 3], vec![3; 1]].concat();
        let rows = organizations.into_iter().map(|organization| vec![organization]).collect();
        let assets = Rows { name: "assets", columns: vec!["rmm_organization_id".to_owned()], rows };
        assert_eq!(pages(&[assets]).expect("pages"), [0..1_000, 1_000..1_200, 1_200..1_203, 1_203..1_204]);
    }
}
