//! What the assets of a page share: clients, sites, organizations, integrations. They are few, so they are read once for
//! the page and not joined to each of its rows.

use std::{collections::HashMap, time::Duration};

use domain::{id::TenantId, integration::IntegrationSettings};
use sqlx::FromRow;

use super::{row::AssetRow, shared::Shared};
use crate::{
    db::{Reading, args, lite_row},
    error::{Result, StoreError},
    event::to_json,
    sql::statements,
};

statements! {
    // One question for all: on a server each costs a round trip.
    AROUND = [
        "SELECT 'client' AS kind, id, name, '' AS more, CAST(NULL AS BIGINT) AS at, true AS is_active FROM clients \
         WHERE tenant_id = $1 AND id IN ", {list "$2"},
        " UNION ALL SELECT 'site', id, name, '', NULL, true FROM client_sites \
         WHERE tenant_id = $1 AND id IN ", {list "$3"},
        " UNION ALL SELECT 'organization', id, name, external_id, observed_at, true FROM rmm_organization_mappings \
         WHERE tenant_id = $1 AND id IN ", {list "$4"},
        " UNION ALL SELECT 'integration', id, name, settings, NULL, is_active FROM rmm_integrations \
         WHERE tenant_id = $1 AND id IN ", {list "$5"}
    ];
}

/// By id.
#[derive(Default)]
pub(super) struct Surroundings {
    /// Names.
    pub(super) clients: HashMap<String, String>,
    /// Names.
    pub(super) sites: HashMap<String, String>,
    pub(super) organizations: HashMap<String, Organization>,
    pub(super) integrations: HashMap<String, Integration>,
}

pub(super) struct Organization {
    pub(super) external_id: String,
    pub(super) name: String,
    pub(super) observed_at: Option<i64>,
}

pub(super) struct Integration {
    pub(super) name: String,
    pub(super) is_active: bool,
    /// Between two looks at presence.
    pub(super) presence_interval: Duration,
    /// Days of silence that make a device stale.
    pub(super) stale_after_days: u32,
}

#[derive(FromRow)]
struct AroundRow {
    kind: String,
    id: String,
    name: String,
    more: String,
    at: Option<i64>,
    is_active: bool,
}

lite_row! { AroundRow { kind, id, name, more, at, is_active } }

impl Surroundings {
    pub(super) async fn of(
        read: &mut Reading,
        tenant: TenantId,
        rows: &[AssetRow],
        shared: &Shared,
    ) -> Result<Surroundings> {
        if rows.is_empty() {
            return Ok(Surroundings::default());
        }
        let values = args![
            tenant,
            distinct(rows.iter().map(|row| row.client_id.as_str()))?,
            distinct(rows.iter().filter_map(|row| row.site_id.as_deref()))?,
            distinct(rows.iter().map(|row| row.organization_id.as_str()).chain(shared.organizations()))?,
            distinct(rows.iter().map(|row| row.integration_id.as_str()).chain(shared.integrations()))?,
        ];
        let found: Vec<AroundRow> = read.all(&AROUND, values).await?;
        let mut around = Surroundings::default();
        found.into_iter().try_for_each(|row| around.add(row))?;
        Ok(around)
    }

    fn add(&mut self, row: AroundRow) -> Result<()> {
        match row.kind.as_str() {
            "client" => drop(self.clients.insert(row.id, row.name)),
            "site" => drop(self.sites.insert(row.id, row.name)),
            "organization" => {
                let found = Organization { external_id: row.more, name: row.name, observed_at: row.at };
                self.organizations.insert(row.id, found);
            }
            _ => {
                let settings: IntegrationSettings =
                    serde_json::from_str(&row.more).map_err(|_| StoreError::Corrupt { what: "settings" })?;
                let presence_interval = Duration::from_secs(settings.presence_interval_s.into());
                let found = Integration {
                    name: row.name,
                    is_active: row.is_active,
                    presence_interval,
                    stale_after_days: settings.stale_after_days,
                };
                self.integrations.insert(row.id, found);
            }
        }
        Ok(())
    }
}

/// Each once, as JSON.
fn distinct<'a>(ids: impl Iterator<Item = &'a str>) -> Result<String> {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    to_json(&ids)
}
