//! Sites of clients, as people see and change them. What syncs do with them is in [`rmm`].

use domain::{
    Time,
    client::{Site, name_key},
    event::kind,
    id::{ClientId, IntegrationId, OrganizationId, SiteId, TypedId},
    page::{Page, PageRequest},
    site::{SiteInfo, SiteSource},
};
use sqlx::FromRow;

use crate::{
    Tenant,
    audit::Act,
    client::{self, bounded_total},
    cursor::{self, Cursor},
    db::{Tx, args},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    new_id,
    sql::statements,
};

pub(crate) mod rmm;
pub(crate) mod statements;

statements! {
    OF_CLIENT = [
        "SELECT id, client_id, name FROM client_sites WHERE tenant_id = $1 AND client_id = $2 ORDER BY name_key"
    ];
    LIST = [
        "SELECT s.id, s.client_id, s.name, s.name_key, s.named_at, s.created_at, \
         (SELECT COUNT(*) FROM assets a WHERE a.tenant_id = s.tenant_id AND a.site_id = s.id) AS assets \
         FROM client_sites s WHERE s.tenant_id = $1 AND s.client_id = $2 \
         AND ($3 = '' OR s.name_key LIKE $3 ESCAPE '\\') AND (s.name_key, s.id) > ($4, $5) \
         ORDER BY s.name_key, s.id LIMIT $6"
    ];
    COUNT = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM client_sites WHERE tenant_id = $1 AND client_id = $2 \
         AND ($3 = '' OR name_key LIKE $3 ESCAPE '\\') LIMIT 1001) AS found"
    ];
    GET = [
        "SELECT s.id, s.client_id, s.name, s.name_key, s.named_at, s.created_at, \
         (SELECT COUNT(*) FROM assets a WHERE a.tenant_id = s.tenant_id AND a.site_id = s.id) AS assets \
         FROM client_sites s WHERE s.tenant_id = $1 AND s.id = $2"
    ];
    // Of organizations that belong to the client now: what is left of earlier mappings waits for their undo.
    SOURCES = [
        "SELECT m.site_id, o.integration_id, m.organization_id, o.name AS organization_name, m.external_id, m.name \
         FROM rmm_site_mappings m JOIN rmm_organization_mappings o ON o.tenant_id = m.tenant_id \
         AND o.id = m.organization_id AND o.client_id = m.client_id \
         WHERE m.tenant_id = $2 AND m.site_id IN ", {list "$1"}, " ORDER BY o.name_key, o.id, m.name_key"
    ];
    CREATE = [
        "INSERT INTO client_sites (tenant_id, id, client_id, name, name_key, named_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6)"
    ];
    RENAME = [
        "UPDATE client_sites SET name = $3, name_key = $4, named_at = $5 WHERE tenant_id = $1 AND id = $2 \
         RETURNING client_id, created_at"
    ];
    FOLD_MAPPINGS = ["UPDATE rmm_site_mappings SET site_id = $3 WHERE tenant_id = $1 AND site_id = $2"];
    FOLD_ASSETS = ["UPDATE assets SET site_id = $3, updated_at = $4 WHERE tenant_id = $1 AND site_id = $2"];
    PIN = [
        "UPDATE client_sites SET named_at = $3 WHERE tenant_id = $1 AND id = $2 RETURNING client_id, created_at"
    ];
    REMOVE_MAPPINGS = ["DELETE FROM rmm_site_mappings WHERE tenant_id = $1 AND site_id = $2"];
    REMOVE = [
        "DELETE FROM client_sites WHERE tenant_id = $1 AND id = $2 AND NOT EXISTS (SELECT 1 FROM assets a \
         WHERE a.tenant_id = client_sites.tenant_id AND a.site_id = client_sites.id) RETURNING client_id, created_at"
    ];
}

#[derive(FromRow)]
struct SiteRow {
    id: String,
    client_id: String,
    name: String,
    name_key: String,
    named_at: Option<i64>,
    created_at: i64,
    assets: i64,
}

impl SiteRow {
    fn into_info(self) -> Result<SiteInfo> {
        Ok(SiteInfo {
            site: site(&self.id, &self.client_id, self.name)?,
            named_at: self.named_at.map(Time),
            created_at: Time(self.created_at),
            asset_count: u64::try_from(self.assets).unwrap_or(0),
            sources: Vec::new(),
        })
    }
}

#[derive(FromRow)]
struct SourceRow {
    site_id: String,
    integration_id: String,
    organization_id: String,
    organization_name: String,
    external_id: Option<String>,
    name: String,
}

impl SourceRow {
    fn into_source(self) -> Result<(SiteId, SiteSource)> {
        let source = SiteSource {
            integration_id: IntegrationId::from_db(&self.integration_id).map_err(corrupt)?,
            organization_id: OrganizationId::from_db(&self.organization_id).map_err(corrupt)?,
            organization_name: self.organization_name,
            external_id: self.external_id,
            name: self.name,
        };
        Ok((SiteId::from_db(&self.site_id).map_err(corrupt)?, source))
    }
}

fn site(id: &str, client: &str, name: String) -> Result<Site> {
    Ok(Site {
        id: SiteId::from_db(id).map_err(corrupt)?,
        client_id: ClientId::from_db(client).map_err(corrupt)?,
        name,
    })
}

fn corrupt<E>(_: E) -> StoreError {
    StoreError::Corrupt { what: "site" }
}

/// Sites of one tenant.
pub struct Sites<'a>(pub(crate) &'a Tenant<'a>);

impl Sites<'_> {
    /// All of a client by name.
    pub async fn of_client(&self, client: ClientId) -> Result<Vec<Site>> {
        self.0.sees(client)?;
        let rows: Vec<(String, String, String)> =
            self.0.db().all(&OF_CLIENT, args![self.0.id, client.to_db()]).await?;
        rows.into_iter().map(|(id, client, name)| site(&id, &client, name)).collect()
    }

    /// A page of a client's sites by name.
    pub async fn list(&self, client: ClientId, text: &str, page: &PageRequest) -> Result<Page<SiteInfo>> {
        self.0.sees(client)?;
        let pattern = cursor::like_pattern(&name_key(text));
        let after = Cursor::read(page.cursor.as_deref())?;
        let key = client.to_db();
        let query = args![
            self.0.id,
            key.as_str(),
            pattern.as_str(),
            after.text(0),
            after.id(),
            i64::from(page.limit) + 1
        ];
        let rows: Vec<SiteRow> = self.0.db().all(&LIST, query).await?;
        let counted: (i64,) = self.0.db().one(&COUNT, args![self.0.id, key, pattern]).await?;
        let next = |row: &SiteRow| Cursor::write(&[&row.name_key], &row.id);
        let (rows, next_cursor) = cursor::cut(rows, page.limit, next);
        let items = rows.into_iter().map(SiteRow::into_info).collect::<Result<Vec<_>>>()?;
        let items = self.with_sources(items).await?;
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// One site.
    pub async fn get(&self, id: SiteId) -> Result<SiteInfo> {
        let row: SiteRow = self.0.db().one(&GET, args![self.0.id, id.to_db()]).await?;
        self.0.sees_owner(Some(&row.client_id))?;
        let mut found = self.with_sources(vec![row.into_info()?]).await?;
        found.pop().ok_or(StoreError::NotFound)
    }

    async fn with_sources(&self, mut sites: Vec<SiteInfo>) -> Result<Vec<SiteInfo>> {
        if sites.is_empty() {
            return Ok(sites);
        }
        let ids: Vec<String> = sites.iter().map(|info| info.site.id.to_db()).collect();
        let rows: Vec<SourceRow> = self.0.db().all(&SOURCES, args![to_json(&ids)?, self.0.id]).await?;
        for row in rows {
            let (id, source) = row.into_source()?;
            if let Some(info) = sites.iter_mut().find(|info| info.site.id == id) {
                info.sources.push(source);
            }
        }
        Ok(sites)
    }

    /// Makes one for a live client. [`StoreError::Conflict`] if the client has one of the name (`name_taken`) or is put
    /// aside (`client_archived`).
    pub async fn create(&self, client: ClientId, name: &str) -> Result<SiteId> {
        self.0.sees(client)?;
        let mut tx = self.0.db().begin().await?;
        if client::hold(&mut tx, self.0, client).await?.archived_at.is_some() {
            return Err(StoreError::Conflict { what: "client_archived" });
        }
        let id: SiteId = new_id(self.0.now);
        let columns = args![self.0.id, id.to_db(), client.to_db(), name, name_key(name), self.0.now];
        tx.run(&CREATE, columns).await.map_err(taken)?;
        let act = Act::new("site.create").to(id).named(name).with("client_id", client.to_string());
        self.0.record(&mut tx, act).await?;
        self.tell(&mut tx, &client.to_db()).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Gives it the name that a person chose: syncs leave it alone from now on. [`StoreError::Conflict`] if the client
    /// has another one of the name.
    pub async fn rename(&self, id: SiteId, name: &str) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        self.check(&mut tx, id).await?;
        let columns = args![self.0.id, id.to_db(), name, name_key(name), self.0.now];
        let (client, _): (String, i64) = tx.one(&RENAME, columns).await.map_err(taken)?;
        self.0.record(&mut tx, Act::new("site.rename").to(id).named(name)).await?;
        self.tell(&mut tx, &client).await?;
        tx.commit().await
    }

    /// Moves assets of `from` to `into`, a site of the same client, and removes `from`. What the RMMs have at `from` goes
    /// to `into` from now on, whose name counts as chosen.
    pub async fn merge(&self, from: SiteId, into: SiteId) -> Result<()> {
        let (tenant, now) = (self.0.id, self.0.now);
        let mut tx = self.0.db().begin().await?;
        self.check(&mut tx, from).await?;
        self.check(&mut tx, into).await?;
        // Mappings before assets: a page of a sync that comes in between has either written before, and its assets are
        // moved along, or waits and then finds the site that stays.
        tx.run(&FOLD_MAPPINGS, args![tenant, from.to_db(), into.to_db()]).await?;
        tx.run(&FOLD_ASSETS, args![tenant, from.to_db(), into.to_db(), now]).await?;
        let (kept, _): (String, i64) = tx.one(&PIN, args![tenant, into.to_db(), now]).await?;
        let (gone, _): (String, i64) = tx.one(&REMOVE, args![tenant, from.to_db()]).await?;
        if gone != kept {
            return Err(StoreError::Conflict { what: "other_client" });
        }
        let acts = [
            Act::new("site.merge").to(from).with("into", into.to_string()),
            Act::new("site.take_in").to(into).with("from", from.to_string()),
        ];
        for act in acts {
            self.0.record(&mut tx, act).await?;
        }
        self.tell(&mut tx, &kept).await?;
        tx.commit().await
    }

    /// Removes one without assets. [`StoreError::Conflict`] (`site_has_assets`) if it has any. If the RMM gets a device
    /// there, a sync makes it again under the RMM's name.
    pub async fn remove(&self, id: SiteId) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        self.check(&mut tx, id).await?;
        tx.run(&REMOVE_MAPPINGS, args![self.0.id, id.to_db()]).await?;
        let removed: Option<(String, i64)> = tx.maybe(&REMOVE, args![self.0.id, id.to_db()]).await?;
        let Some((client, _)) = removed else {
            tx.one::<SiteRow>(&GET, args![self.0.id, id.to_db()]).await?;
            return Err(StoreError::Conflict { what: "site_has_assets" });
        };
        self.0.record(&mut tx, Act::new("site.remove").to(id)).await?;
        self.tell(&mut tx, &client).await?;
        tx.commit().await
    }

    /// A site of a client outside is not found. Sites never go to another client but by a merge of clients.
    async fn check(&self, tx: &mut Tx, id: SiteId) -> Result<()> {
        if self.0.clients.is_all() {
            return Ok(());
        }
        let row: SiteRow = tx.one(&GET, args![self.0.id, id.to_db()]).await?;
        self.0.sees_owner(Some(&row.client_id))
    }

    async fn tell(&self, tx: &mut Tx, client: &str) -> Result<()> {
        let client = ClientId::from_db(client).map_err(corrupt)?;
        let changed = NewEvent::new(kind::CLIENT_CHANGED, client);
        event::insert(tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await
    }
}

fn taken(error: StoreError) -> StoreError {
    match error {
        StoreError::Conflict { .. } => StoreError::Conflict { what: "name_taken" },
        other => other,
    }
}
