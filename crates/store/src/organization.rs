//! Organizations and their mappings: rows of `rmm_organization_mappings`.

use std::collections::HashMap;

use domain::{
    Time,
    client::name_key,
    event::kind,
    id::{ClientId, IntegrationId, OrganizationId, TypedId},
    organization::{Company, MappingState, Organization, OrganizationSite},
    page::{Page, PageRequest},
    scope::ClientScope,
};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::{
    Tenant,
    audit::Act,
    client::{self, bounded_total},
    cursor::{self, Cursor},
    db::{Engine, Text, Tx, Value, args},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    new_id,
    site::rmm,
    sql::statements,
};

statements! {
    UPSERT = [
        "INSERT INTO rmm_organization_mappings (tenant_id, id, integration_id, external_id, name, name_key, sites, \
         device_count, company_id, company_name, state, auto_sync, created_at, updated_at) \
         SELECT CAST($2 AS BIGINT), r.id, $3, r.external_id, r.name, r.name_key, r.sites, r.device_count, r.company_id, \
         r.company_name, 'unmapped', FALSE, CAST($4 AS BIGINT), CAST($4 AS BIGINT) \
         FROM ", {rows "$1" id text, external_id text, name text, name_key text, sites text, device_count bigint,
            company_id text, company_name text},
        " AS r WHERE true ON CONFLICT (tenant_id, integration_id, external_id) DO UPDATE SET name = excluded.name, \
         name_key = excluded.name_key, sites = excluded.sites, device_count = excluded.device_count, \
         company_id = excluded.company_id, company_name = excluded.company_name, \
         vanished_at = NULL, updated_at = excluded.updated_at \
         WHERE rmm_organization_mappings.name <> excluded.name OR rmm_organization_mappings.sites <> excluded.sites \
         OR COALESCE(rmm_organization_mappings.device_count, -1) <> COALESCE(excluded.device_count, -1) \
         OR COALESCE(rmm_organization_mappings.company_id, '') <> COALESCE(excluded.company_id, '') \
         OR COALESCE(rmm_organization_mappings.company_name, '') <> COALESCE(excluded.company_name, '') \
         OR rmm_organization_mappings.vanished_at IS NOT NULL RETURNING id, created_at"
    ];
    VANISH = [
        "UPDATE rmm_organization_mappings SET vanished_at = $4, updated_at = $4 WHERE tenant_id = $2 \
         AND integration_id = $3 AND vanished_at IS NULL AND external_id NOT IN ", {list "$1"}, " RETURNING id, created_at"
    ];
    GET = [
        "SELECT o.id, o.integration_id, o.external_id, o.name, o.name_key, o.sites, o.device_count, o.company_id, o.company_name, o.state, \
         o.client_id, c.name AS client_name, o.auto_sync, o.previous, o.vanished_at, o.observed_at, o.created_at, \
         o.updated_at FROM rmm_organization_mappings o \
         LEFT JOIN clients c ON c.tenant_id = o.tenant_id AND c.id = o.client_id \
         WHERE o.tenant_id = $1 AND o.id = $2"
    ];
    OF_INTEGRATION = [
        "SELECT o.id, o.integration_id, o.external_id, o.name, o.name_key, o.sites, o.device_count, o.company_id, o.company_name, o.state, \
         o.client_id, c.name AS client_name, o.auto_sync, o.previous, o.vanished_at, o.observed_at, o.created_at, \
         o.updated_at FROM rmm_organization_mappings o \
         LEFT JOIN clients c ON c.tenant_id = o.tenant_id AND c.id = o.client_id \
         WHERE o.tenant_id = $1 AND o.integration_id = $2 ORDER BY o.external_id"
    ];
    MAPPING = [
        "SELECT id, state, client_id, auto_sync FROM rmm_organization_mappings WHERE tenant_id = $1 AND id = $2"
    ];
    MAPPINGS = [
        "SELECT id, state, client_id, auto_sync FROM rmm_organization_mappings WHERE tenant_id = $2 AND id IN ",
        {list "$1"}
    ];
    // Held, so that the mappings stay as they are until the transaction ends: a change of one waits. In one order, so that
    // two at once take turns.
    HOLD_ALL = [
        "SELECT id, state, client_id, auto_sync FROM rmm_organization_mappings WHERE tenant_id = $2 AND id IN ",
        {list "$1"}, " ORDER BY id", {engine "" " FOR NO KEY UPDATE"}
    ];
    MAP = [
        "UPDATE rmm_organization_mappings SET state = $3, client_id = $4, auto_sync = $5, previous = $6, \
         updated_at = $7 WHERE tenant_id = $1 AND id = $2"
    ];
    MOVE_ASSETS = [
        "UPDATE assets SET client_id = $3, site_id = (SELECT r.to_site FROM ",
        {rows "$5" from_site text, to_site text},
        " AS r WHERE r.from_site = assets.site_id), updated_at = $4 \
         WHERE tenant_id = $1 AND client_id <> $3 AND primary_device_id IN \
         (SELECT d.id FROM rmm_devices d WHERE d.tenant_id = $1 AND d.organization_id = $2) RETURNING id, created_at"
    ];
    CLIENTS_OF_ASSETS = [
        "SELECT DISTINCT a.client_id, CAST(0 AS BIGINT) FROM assets a JOIN rmm_devices d ON d.tenant_id = a.tenant_id \
         AND d.id = a.primary_device_id WHERE a.tenant_id = $1 AND d.organization_id = $2"
    ];
    OBSERVED = [
        "UPDATE rmm_organization_mappings SET observed_at = $3 WHERE tenant_id = $2 AND id IN ", {list "$1"}
    ];
}

const LIST_COLUMNS: &str = "SELECT o.id, o.integration_id, o.external_id, o.name, o.name_key, o.sites, o.device_count, \
    o.company_id, o.company_name, o.state, o.client_id, c.name AS client_name, o.auto_sync, o.previous, o.vanished_at, o.observed_at, o.created_at, \
    o.updated_at FROM rmm_organization_mappings o LEFT JOIN clients c ON c.tenant_id = o.tenant_id \
    AND c.id = o.client_id WHERE o.tenant_id = $1";

#[derive(FromRow)]
struct OrganizationRow {
    id: String,
    integration_id: String,
    external_id: String,
    name: String,
    name_key: String,
    sites: String,
    device_count: Option<i64>,
    company_id: Option<String>,
    company_name: Option<String>,
    state: String,
    client_id: Option<String>,
    client_name: Option<String>,
    auto_sync: bool,
    previous: Option<String>,
    vanished_at: Option<i64>,
    observed_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl OrganizationRow {
    /// The organization as whoever sees these clients may know it.
    fn into_organization(self, clients: &ClientScope) -> Result<Organization> {
        let corrupt = || StoreError::Corrupt { what: "organization" };
        let can_undo = self.previous.as_deref().is_some_and(|previous| {
            let previous = serde_json::from_str::<Mapping>(previous);
            previous.is_ok_and(|mapping| clients.has_owner(mapping.client_id))
        });
        Ok(Organization {
            id: OrganizationId::from_db(&self.id).map_err(|_| corrupt())?,
            integration_id: IntegrationId::from_db(&self.integration_id).map_err(|_| corrupt())?,
            external_id: self.external_id,
            name: self.name,
            sites: serde_json::from_str(&self.sites).map_err(|_| corrupt())?,
            device_count: self.device_count.and_then(|n| u64::try_from(n).ok()),
            company: self.company_name.map(|name| Company { id: self.company_id, name }),
            state: MappingState::from_name(&self.state).ok_or_else(corrupt)?,
            client_id: self.client_id.map(|id| ClientId::from_db(&id)).transpose().map_err(|_| corrupt())?,
            client_name: self.client_name,
            auto_sync: self.auto_sync,
            can_undo,
            vanished_at: self.vanished_at.map(Time),
            observed_at: self.observed_at.map(Time),
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
        })
    }
}

/// An organization as the provider lists it.
#[derive(Clone, Debug)]
pub struct ListedOrganization {
    /// The provider's id.
    pub external_id: String,
    /// Its name.
    pub name: String,
    /// Its sites.
    pub sites: Vec<OrganizationSite>,
    /// Devices, as the provider counts.
    pub device_count: Option<u64>,
    /// The company it stands for, if the provider says so.
    pub company: Option<Company>,
}

#[derive(Serialize)]
struct UpsertRow<'a> {
    id: String,
    external_id: &'a str,
    name: &'a str,
    name_key: String,
    sites: String,
    device_count: Option<u64>,
    company_id: Option<&'a str>,
    company_name: Option<&'a str>,
}

/// What an organization is mapped to. Kept as JSON for undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The decision.
    pub state: MappingState,
    /// The client, exactly if mapped.
    pub client_id: Option<ClientId>,
    /// Are its devices synced?
    pub auto_sync: bool,
}

impl Mapping {
    /// The client that its devices are synced for; none if they are not synced.
    pub fn synced_for(&self) -> Option<ClientId> {
        self.client_id.filter(|_| self.state == MappingState::Mapped && self.auto_sync)
    }
}

#[derive(FromRow)]
struct MappingRow {
    id: String,
    state: String,
    client_id: Option<String>,
    auto_sync: bool,
}

impl MappingRow {
    fn into_mapping(self) -> Result<Mapping> {
        let corrupt = || StoreError::Corrupt { what: "organization" };
        Ok(Mapping {
            state: MappingState::from_name(&self.state).ok_or_else(corrupt)?,
            client_id: self.client_id.map(|id| ClientId::from_db(&id)).transpose().map_err(|_| corrupt())?,
            auto_sync: self.auto_sync,
        })
    }
}

/// The client an organization shall belong to: there already, or to be created in the same transaction.
#[derive(Clone, Debug)]
pub enum ClientChoice {
    /// This one.
    Existing(ClientId),
    /// A new one of this name.
    New(String),
    /// The live one of this name, or a new one.
    Named(String),
}

/// What an organization shall be.
#[derive(Clone, Debug)]
pub struct MappingWish {
    /// Which.
    pub id: OrganizationId,
    /// The decision.
    pub state: MappingState,
    /// The client, exactly if mapped.
    pub client: Option<ClientChoice>,
    /// Sync its devices.
    pub auto_sync: bool,
}

/// What an undo came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// The mapping is what it was before.
    Restored,
    /// There is no earlier state; nothing was changed.
    NothingToUndo,
    /// The client it had is put aside; nothing was changed.
    ClientArchived {
        /// Its name.
        name: String,
    },
}

/// Which organizations.
#[derive(Clone, Debug, Default)]
pub struct OrganizationFilter {
    /// Of this integration.
    pub integration_id: Option<IntegrationId>,
    /// With this decision.
    pub state: Option<MappingState>,
    /// Of this client.
    pub client_id: Option<ClientId>,
    /// Name contains, whatever the case.
    pub text: Option<String>,
}

/// What a sync of organizations changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationChanges {
    /// New rows.
    pub created: u64,
    /// Changed rows.
    pub updated: u64,
    /// Not listed any more.
    pub vanished: u64,
}

/// Organizations of one tenant.
pub struct Organizations<'a>(pub(crate) &'a Tenant<'a>);

impl Organizations<'_> {
    /// One organization.
    pub async fn get(&self, id: OrganizationId) -> Result<Organization> {
        let row: OrganizationRow = self.0.db().one(&GET, args![self.0.id, id.to_db()]).await?;
        self.0.sees_owner(row.client_id.as_deref())?;
        row.into_organization(&self.0.clients)
    }

    /// All of an integration, by the provider's id.
    pub async fn of_integration(&self, id: IntegrationId) -> Result<Vec<Organization>> {
        let rows: Vec<OrganizationRow> =
            self.0.whole()?.all(&OF_INTEGRATION, args![self.0.id, id.to_db()]).await?;
        rows.into_iter().map(|row| row.into_organization(&self.0.clients)).collect()
    }

    /// A page by name.
    pub async fn list(&self, filter: &OrganizationFilter, page: &PageRequest) -> Result<Page<Organization>> {
        let after = Cursor::read(page.cursor.as_deref())?;
        let (conditions, values) = conditions(self.0, filter)?;
        let count = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM rmm_organization_mappings o WHERE o.tenant_id = $1{conditions} \
             LIMIT 1001) AS found"
        );
        let mut reads = self.0.db().read().await?;
        let counted: (i64,) = reads.one(Text::Composed(count), values.clone()).await?;
        let n = values.len();
        let text = format!(
            "{LIST_COLUMNS}{conditions} AND (o.name_key, o.id) > (${}, ${}) ORDER BY o.name_key, o.id LIMIT ${}",
            n + 1,
            n + 2,
            n + 3
        );
        let mut values = values;
        values.extend(args![after.text(0), after.id(), i64::from(page.limit) + 1]);
        let rows: Vec<OrganizationRow> = reads.all(Text::Composed(text), values).await?;
        let (rows, next_cursor) =
            cursor::cut(rows, page.limit, |row| Cursor::write(&[&row.name_key], &row.id));
        let items =
            rows.into_iter().map(|row| row.into_organization(&self.0.clients)).collect::<Result<_>>()?;
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// Takes over the provider's list: new ones are added unmapped, vanished ones are marked, none is removed.
    pub async fn take_over(
        &self,
        integration: IntegrationId,
        listed: &[ListedOrganization],
    ) -> Result<OrganizationChanges> {
        let rows = listed
            .iter()
            .map(|o| {
                Ok(UpsertRow {
                    id: new_id::<OrganizationId>(self.0.now).to_db(),
                    external_id: &o.external_id,
                    name: &o.name,
                    name_key: name_key(&o.name),
                    sites: to_json(&o.sites)?,
                    device_count: o.device_count,
                    company_id: o.company.as_ref().and_then(|company| company.id.as_deref()),
                    company_name: o.company.as_ref().map(|company| company.name.as_str()),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let ids: Vec<&str> = listed.iter().map(|o| o.external_id.as_str()).collect();
        let key = integration.to_db();
        let now = self.0.now;
        let mut tx = self.0.whole()?.begin().await?;
        let changed: Vec<(String, i64)> =
            tx.all(&UPSERT, args![to_json(&rows)?, self.0.id, key.as_str(), now]).await?;
        let vanished: Vec<(String, i64)> =
            tx.all(&VANISH, args![to_json(&ids)?, self.0.id, key.as_str(), now]).await?;
        let created = changed.iter().filter(|(_, at)| *at == now.0).count() as u64;
        let renamed = rmm::follow(&mut tx, self.0, integration, listed).await?;
        let mut events = changed_events(changed.iter().chain(&vanished).map(|(id, _)| id.as_str()));
        events.extend(renamed.into_iter().map(|client| NewEvent::new(kind::CLIENT_CHANGED, client)));
        let source = EventSource { integration: Some(integration), run: None };
        event::insert(&mut tx, self.0.id, now, source, &events).await?;
        tx.commit().await?;
        Ok(OrganizationChanges {
            created,
            updated: changed.len() as u64 - created,
            vanished: vanished.len() as u64,
        })
    }

    /// What these organizations are mapped to.
    pub async fn mappings(&self, ids: &[OrganizationId]) -> Result<HashMap<OrganizationId, Mapping>> {
        by_id(self.0.whole()?.all(&MAPPINGS, args![list(ids)?, self.0.id]).await?)
    }

    /// Maps, excludes or frees an organization; its assets follow to the client. What it was before is kept for undo.
    /// Whoever may see only some clients maps from one of them to another: [`StoreError::BeyondClients`] for anything else.
    pub async fn map(&self, wish: MappingWish) -> Result<()> {
        self.map_all(vec![wish]).await
    }

    /// The same for many, in their order: all, or none if one fails.
    pub async fn map_all(&self, wishes: Vec<MappingWish>) -> Result<()> {
        let ids: Vec<String> = wishes.iter().map(|wish| wish.id.to_db()).collect();
        let mut tx = self.0.db().begin().await?;
        // Clients before organizations, as a merge takes them: two that meet wait, and do not block each other.
        let mut wanted = Vec::with_capacity(wishes.len());
        for wish in wishes {
            let client_id = self.chosen(&mut tx, wish.client).await?;
            wanted.push((wish.id, Mapping { state: wish.state, client_id, auto_sync: wish.auto_sync }));
        }
        tx.all::<MappingRow>(&HOLD_ALL, args![to_json(&ids)?, self.0.id]).await?;
        let mut events = Vec::new();
        for (id, mapping) in wanted {
            let row: MappingRow = tx.one(&MAPPING, args![self.0.id, id.to_db()]).await?;
            self.0.sees_owner(row.client_id.as_deref())?;
            let previous = row.into_mapping()?;
            if !self.0.clients.has_owner(mapping.client_id) {
                return Err(StoreError::BeyondClients);
            }
            if previous != mapping {
                events.extend(self.write(&mut tx, id, &mapping, Some(&previous)).await?);
                self.0.record(&mut tx, act("organization.map", id, &mapping)).await?;
            }
        }
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &events).await?;
        tx.commit().await
    }

    async fn chosen(&self, tx: &mut Tx, choice: Option<ClientChoice>) -> Result<Option<ClientId>> {
        Ok(match choice {
            Some(ClientChoice::Existing(id)) => self.0.sees(id).map(|()| Some(id))?,
            Some(ClientChoice::New(name)) => Some(client::create(tx, self.0, &name).await?),
            Some(ClientChoice::Named(name)) => Some(client::find_or_create(tx, self.0, &name).await?),
            None => None,
        })
    }

    /// The client that an organization is mapped to, for what the caller has seen already.
    pub async fn owner(&self, id: OrganizationId) -> Result<Option<ClientId>> {
        let row: MappingRow = self.0.db().one(&MAPPING, args![self.0.id, id.to_db()]).await?;
        Ok(row.into_mapping()?.client_id)
    }

    /// Back to what it was before the last change. A client that was merged since is the one it was merged into.
    pub async fn undo(&self, id: OrganizationId) -> Result<Undone> {
        let mut tx = self.0.db().begin().await?;
        let row: OrganizationRow = tx.one(&GET, args![self.0.id, id.to_db()]).await?;
        self.0.sees_owner(row.client_id.as_deref())?;
        let Some(previous) = row.previous else { return Ok(Undone::NothingToUndo) };
        let mut wanted: Mapping =
            serde_json::from_str(&previous).map_err(|_| StoreError::Corrupt { what: "organization" })?;
        if let Some(client) = wanted.client_id {
            let client = client::hold_successor(&mut tx, self.0, client).await?;
            if !self.0.clients.has(client.id) {
                return Ok(Undone::NothingToUndo);
            }
            if client.archived_at.is_some() {
                return Ok(Undone::ClientArchived { name: client.name });
            }
            wanted.client_id = Some(client.id);
        } else if !self.0.clients.is_all() {
            return Ok(Undone::NothingToUndo);
        }
        let events = self.write(&mut tx, id, &wanted, None).await?;
        self.0.record(&mut tx, act("organization.undo", id, &wanted)).await?;
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &events).await?;
        tx.commit().await?;
        Ok(Undone::Restored)
    }

    /// Writes a mapping; answers what happened, to be told at the end of the transaction.
    async fn write(
        &self,
        tx: &mut Tx,
        id: OrganizationId,
        wanted: &Mapping,
        previous: Option<&Mapping>,
    ) -> Result<Vec<NewEvent>> {
        let previous = previous.map(to_json).transpose()?;
        let client_id = wanted.client_id.map(TypedId::to_db);
        let columns = args![
            self.0.id,
            id.to_db(),
            wanted.state.name(),
            client_id,
            wanted.auto_sync,
            previous,
            self.0.now
        ];
        tx.run(&MAP, columns).await?;
        let mut events = vec![NewEvent::new(kind::ORGANIZATION_CHANGED, id)];
        if let Some(client) = wanted.client_id {
            events.extend(self.move_assets(tx, id, client).await?);
        }
        Ok(events)
    }

    /// The assets of a newly mapped organization go to its client.
    async fn move_assets(&self, tx: &mut Tx, id: OrganizationId, client: ClientId) -> Result<Vec<NewEvent>> {
        let of = || args![self.0.id, id.to_db()];
        let clients: Vec<(String, i64)> = tx.all(&CLIENTS_OF_ASSETS, of()).await?;
        if clients.iter().all(|(owner, _)| *owner == client.to_db()) {
            return Ok(Vec::new());
        }
        let sites = rmm::move_organization(tx, self.0, id, client).await?;
        let columns = args![self.0.id, id.to_db(), client.to_db(), self.0.now, to_json(&sites)?];
        let moved: Vec<(String, i64)> = tx.all(&MOVE_ASSETS, columns).await?;
        for (owner, _) in &clients {
            let owner = ClientId::from_db(owner).map_err(|_| StoreError::Corrupt { what: "client" })?;
            client::recount(tx, self.0, owner).await?;
        }
        client::recount(tx, self.0, client).await?;
        let to = serde_json::json!({ "to_client": client });
        moved
            .iter()
            .map(|(id, _)| {
                let id =
                    domain::id::AssetId::from_db(id).map_err(|_| StoreError::Corrupt { what: "asset" })?;
                Ok(NewEvent::new(kind::ASSET_MOVED, id).with(&to))
            })
            .collect()
    }
}

fn act(name: &'static str, id: OrganizationId, mapping: &Mapping) -> Act {
    Act::new(name)
        .to(id)
        .with("state", mapping.state.name())
        .with("client_id", mapping.client_id.map(|id| id.to_string()))
        .with("auto_sync", mapping.auto_sync)
}

/// What organizations are mapped to: it stays so until the caller's transaction ends.
pub(crate) async fn hold(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    ids: &[OrganizationId],
) -> Result<HashMap<OrganizationId, Mapping>> {
    by_id(tx.all(&HOLD_ALL, args![list(ids)?, tenant.id]).await?)
}

/// Notes a look at all devices of organizations, in the caller's transaction.
pub(crate) async fn observed(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    ids: &[OrganizationId],
    at: Time,
) -> Result<()> {
    tx.run(&OBSERVED, args![list(ids)?, tenant.id, at]).await.map(drop)
}

fn list(ids: &[OrganizationId]) -> Result<String> {
    to_json(&ids.iter().map(|id| id.to_db()).collect::<Vec<_>>())
}

fn by_id(rows: Vec<MappingRow>) -> Result<HashMap<OrganizationId, Mapping>> {
    let corrupt = |_| StoreError::Corrupt { what: "organization" };
    rows.into_iter()
        .map(|row| Ok((OrganizationId::from_db(&row.id).map_err(corrupt)?, row.into_mapping()?)))
        .collect()
}

fn changed_events<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<NewEvent> {
    ids.filter_map(|id| OrganizationId::from_db(id).ok())
        .map(|id| NewEvent::new(kind::ORGANIZATION_CHANGED, id))
        .collect()
}

/// Conditions of a filter from constant fragments, with their values; `$1` is the tenant.
fn conditions(tenant: &Tenant<'_>, filter: &OrganizationFilter) -> Result<(String, Vec<Value>)> {
    let mut text = String::new();
    let mut values = args![tenant.id];
    let mut add = |fragment: &str, value: Value| {
        values.push(value);
        text.push_str(&fragment.replace('?', &format!("${}", values.len())));
    };
    if let Some(id) = filter.integration_id {
        add(" AND o.integration_id = ?", id.to_db().into());
    }
    if let Some(state) = filter.state {
        add(" AND o.state = ?", state.name().into());
    }
    if let Some(id) = filter.client_id {
        add(" AND o.client_id = ?", id.to_db().into());
    }
    if let Some(words) = filter.text.as_deref().filter(|words| !words.trim().is_empty()) {
        add(" AND o.name_key LIKE ? ESCAPE '\\'", cursor::like_pattern(&name_key(words)).into());
    }
    if let Some(clients) = tenant.within()? {
        add(within(tenant.store.engine()), clients.into());
    }
    Ok((text, values))
}

/// Organizations of some clients alone.
fn within(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => " AND o.client_id IN (SELECT value FROM json_each(?))",
        Engine::Postgres => {
            " AND o.client_id IN (SELECT value FROM json_array_elements_text(CAST(? AS json)))"
        }
    }
}
