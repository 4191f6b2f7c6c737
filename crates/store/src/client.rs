//! Clients and their sites.

use std::collections::HashSet;

use domain::{
    Time,
    client::{Client, Site, name_key},
    event::kind,
    id::{ClientId, SiteId, TypedId},
    page::{MAX_COUNT, Page, PageRequest, Total},
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Tenant,
    cursor::{self, Cursor},
    db::{Tx, args},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    new_id,
    sql::statements,
};

statements! {
    INSERT = [
        "INSERT INTO clients (tenant_id, id, name, name_key, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)"
    ];
    GET = [
        "SELECT id, name, archived_at, merged_into, created_at, updated_at FROM clients \
         WHERE tenant_id = $1 AND id = $2"
    ];
    // Held, so that nobody archives or merges it before the caller's transaction ends.
    HOLD = [
        "SELECT id, name, archived_at, merged_into, created_at, updated_at FROM clients \
         WHERE tenant_id = $1 AND id = $2", {engine "" " FOR SHARE"}
    ];
    HOLD_NAMED = [
        "SELECT id, name, archived_at, merged_into, created_at, updated_at FROM clients \
         WHERE tenant_id = $1 AND name_key = $2 AND archived_at IS NULL", {engine "" " FOR SHARE"}
    ];
    ALL_LIVE = [
        "SELECT id, name, archived_at, merged_into, created_at, updated_at FROM clients \
         WHERE tenant_id = $1 AND archived_at IS NULL ORDER BY name_key, id"
    ];
    LIST = [
        "SELECT c.id, c.name, c.name_key, c.archived_at, c.merged_into, c.created_at, c.updated_at, \
         (SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM asset_counts k \
          WHERE k.tenant_id = c.tenant_id AND k.client_id = c.id) AS assets, \
         (SELECT COUNT(*) FROM rmm_organization_mappings o \
          WHERE o.tenant_id = c.tenant_id AND o.client_id = c.id) AS organizations \
         FROM clients c WHERE c.tenant_id = $1 AND (c.archived_at IS NOT NULL) = $2 \
         AND ($3 = '' OR c.name_key LIKE $3 ESCAPE '\\') AND (c.name_key, c.id) > ($4, $5) \
         ORDER BY c.name_key, c.id LIMIT $6"
    ];
    COUNT = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM clients WHERE tenant_id = $1 AND (archived_at IS NOT NULL) = $2 \
         AND ($3 = '' OR name_key LIKE $3 ESCAPE '\\') LIMIT 1001) AS found"
    ];
    NUMBERS = [
        "SELECT (SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM asset_counts \
         WHERE tenant_id = $1 AND client_id = $2), \
         (SELECT COUNT(*) FROM rmm_organization_mappings WHERE tenant_id = $1 AND client_id = $2)"
    ];
    SITES = ["SELECT id, client_id, name FROM client_sites WHERE tenant_id = $1 AND client_id = $2 ORDER BY name_key"];
    RENAME = ["UPDATE clients SET name = $3, name_key = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2"];
    ARCHIVE = ["UPDATE clients SET archived_at = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2"];
    MERGE_MARK = [
        "UPDATE clients SET archived_at = $4, merged_into = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2"
    ];
    ADD_SITES = [
        "INSERT INTO client_sites (tenant_id, id, client_id, name, name_key, created_at) \
         SELECT CAST($2 AS BIGINT), r.id, r.client_id, r.name, r.name_key, CAST($3 AS BIGINT) FROM ",
        {rows "$1" id text, client_id text, name text, name_key text},
        " AS r WHERE true ON CONFLICT (tenant_id, client_id, name_key) DO NOTHING"
    ];
    FIND_SITES = [
        "SELECT s.id, s.client_id, s.name_key FROM client_sites s WHERE s.tenant_id = $2 AND s.client_id IN ",
        {list "$1"}
    ];
    MERGE_ASSETS = [
        "UPDATE assets SET client_id = $3, updated_at = $4, site_id = (\
         SELECT t.id FROM client_sites f JOIN client_sites t ON t.tenant_id = f.tenant_id AND t.client_id = $3 \
         AND t.name_key = f.name_key WHERE f.tenant_id = $1 AND f.id = assets.site_id) \
         WHERE tenant_id = $1 AND client_id = $2"
    ];
    MERGE_MAPPINGS = [
        "UPDATE rmm_organization_mappings SET client_id = $3, previous = NULL, updated_at = $4 \
         WHERE tenant_id = $1 AND client_id = $2"
    ];
    RECOUNT_CLEAR = ["DELETE FROM asset_counts WHERE tenant_id = $1 AND client_id = $2"];
    RECOUNT = [
        "INSERT INTO asset_counts (tenant_id, client_id, rmm_provider, n) \
         SELECT tenant_id, client_id, rmm_provider, COUNT(*) FROM assets \
         WHERE tenant_id = $1 AND client_id = $2 GROUP BY tenant_id, client_id, rmm_provider"
    ];
}

#[derive(FromRow)]
struct ClientRow {
    id: String,
    name: String,
    archived_at: Option<i64>,
    merged_into: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl ClientRow {
    fn into_client(self) -> Result<Client> {
        let corrupt = |_| StoreError::Corrupt { what: "client" };
        Ok(Client {
            id: ClientId::from_db(&self.id).map_err(corrupt)?,
            name: self.name,
            archived_at: self.archived_at.map(Time),
            merged_into: self.merged_into.map(|id| ClientId::from_db(&id)).transpose().map_err(corrupt)?,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
        })
    }
}

#[derive(FromRow)]
struct ClientListRow {
    #[sqlx(flatten)]
    client: ClientRow,
    name_key: String,
    assets: i64,
    organizations: i64,
}

/// A client with its numbers.
#[derive(Clone, Debug)]
pub struct ClientWithCounts {
    /// The client.
    pub client: Client,
    /// Its assets.
    pub asset_count: u64,
    /// Organizations mapped to it.
    pub organization_count: u64,
}

/// A site to be there: given back with its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SiteKey {
    /// Whose.
    pub client: ClientId,
    /// [`name_key`] of its name.
    pub name_key: String,
}

#[derive(Serialize)]
struct NewSite {
    id: String,
    client_id: String,
    name: String,
    name_key: String,
}

/// Clients of one tenant.
pub struct Clients<'a>(pub(crate) &'a Tenant<'a>);

impl Clients<'_> {
    /// Creates one. [`StoreError::Conflict`] if a live one has the name.
    pub async fn create(&self, name: &str) -> Result<Client> {
        let mut tx = self.0.db().begin().await?;
        let id = create(&mut tx, self.0, name).await?;
        let changed = NewEvent::new(kind::CLIENT_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await?;
        self.get(id).await
    }

    /// One client, archived or not.
    pub async fn get(&self, id: ClientId) -> Result<Client> {
        self.0.db().one::<ClientRow>(&GET, args![self.0.id, id.to_db()]).await?.into_client()
    }

    /// All live clients: for matching by name.
    pub async fn all_live(&self) -> Result<Vec<Client>> {
        let rows: Vec<ClientRow> = self.0.db().all(&ALL_LIVE, args![self.0.id]).await?;
        rows.into_iter().map(ClientRow::into_client).collect()
    }

    /// A page by name.
    pub async fn list(
        &self,
        text: &str,
        archived: bool,
        page: &PageRequest,
    ) -> Result<Page<ClientWithCounts>> {
        let pattern = cursor::like_pattern(&name_key(text));
        let after = Cursor::read(page.cursor.as_deref())?;
        let query = args![
            self.0.id,
            archived,
            pattern.as_str(),
            after.text(0),
            after.id(),
            i64::from(page.limit) + 1
        ];
        let rows: Vec<ClientListRow> = self.0.db().all(&LIST, query).await?;
        let counted: (i64,) = self.0.db().one(&COUNT, args![self.0.id, archived, pattern]).await?;
        let next = |row: &ClientListRow| Cursor::write(&[&row.name_key], &row.client.id);
        let (rows, next_cursor) = cursor::cut(rows, page.limit, next);
        let items = rows
            .into_iter()
            .map(|row| {
                Ok(ClientWithCounts {
                    client: row.client.into_client()?,
                    asset_count: u64::try_from(row.assets).unwrap_or(0),
                    organization_count: u64::try_from(row.organizations).unwrap_or(0),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// Numbers of assets and of organizations.
    pub async fn numbers(&self, id: ClientId) -> Result<(u64, u64)> {
        let (assets, organizations): (i64, i64) =
            self.0.db().one(&NUMBERS, args![self.0.id, id.to_db()]).await?;
        Ok((u64::try_from(assets).unwrap_or(0), u64::try_from(organizations).unwrap_or(0)))
    }

    /// Sites of a client by name.
    pub async fn sites(&self, id: ClientId) -> Result<Vec<Site>> {
        let rows: Vec<(String, String, String)> =
            self.0.db().all(&SITES, args![self.0.id, id.to_db()]).await?;
        let corrupt = |_| StoreError::Corrupt { what: "site" };
        rows.into_iter()
            .map(|(id, client, name)| {
                Ok(Site {
                    id: SiteId::from_db(&id).map_err(corrupt)?,
                    client_id: ClientId::from_db(&client).map_err(corrupt)?,
                    name,
                })
            })
            .collect()
    }

    /// Gives it another name.
    pub async fn rename(&self, id: ClientId, name: &str) -> Result<()> {
        let now = self.0.now;
        self.change(id, &RENAME, args![self.0.id, id.to_db(), name, name_key(name), now]).await
    }

    /// Puts it aside.
    pub async fn archive(&self, id: ClientId) -> Result<()> {
        let now = self.0.now;
        self.change(id, &ARCHIVE, args![self.0.id, id.to_db(), Some(now), now]).await
    }

    /// Takes it back. [`StoreError::Conflict`] if a live one has the name by now.
    pub async fn restore(&self, id: ClientId) -> Result<()> {
        self.change(id, &ARCHIVE, args![self.0.id, id.to_db(), None::<Time>, self.0.now]).await
    }

    async fn change(
        &self,
        id: ClientId,
        sql: &'static crate::sql::Sql,
        args: Vec<crate::db::Value>,
    ) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        if tx.run(sql, args).await? == 0 {
            return Err(StoreError::NotFound);
        }
        let changed = NewEvent::new(kind::CLIENT_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await
    }

    /// Moves assets, sites and mappings of `from` to `into` and puts `from` aside.
    pub async fn merge(&self, from: ClientId, into: ClientId) -> Result<()> {
        let (tenant, now) = (self.0.id, self.0.now);
        let moved = || args![tenant, from.to_db(), into.to_db(), now];
        let mut tx = self.0.db().begin().await?;
        tx.one::<ClientRow>(&GET, args![tenant, into.to_db()]).await?;
        // First the client, then its mappings, then its assets: an undo or a page of a sync that comes in between has
        // either written before, and is moved along, or waits and then finds the client it went to.
        if tx.run(&MERGE_MARK, moved()).await? == 0 {
            return Err(StoreError::NotFound);
        }
        tx.run(&MERGE_MAPPINGS, moved()).await?;
        self.merge_sites(&mut tx, from, into).await?;
        tx.run(&MERGE_ASSETS, moved()).await?;
        recount(&mut tx, self.0, from).await?;
        recount(&mut tx, self.0, into).await?;
        let changed = [
            NewEvent::new(kind::CLIENT_CHANGED, from).with(&serde_json::json!({ "merged_into": into })),
            NewEvent::new(kind::CLIENT_CHANGED, into),
        ];
        event::insert(&mut tx, tenant, now, EventSource::default(), &changed).await?;
        tx.commit().await
    }

    async fn merge_sites(&self, tx: &mut Tx, from: ClientId, into: ClientId) -> Result<()> {
        let rows: Vec<(String, String, String)> = tx.all(&SITES, args![self.0.id, from.to_db()]).await?;
        let names: Vec<(ClientId, String)> = rows.into_iter().map(|(_, _, name)| (into, name)).collect();
        ensure_sites(tx, self.0, &names).await.map(drop)
    }
}

/// Creates a client in the caller's transaction.
pub(crate) async fn create(tx: &mut Tx, tenant: &Tenant<'_>, name: &str) -> Result<ClientId> {
    let id: ClientId = new_id(tenant.now);
    let made = tx.run(&INSERT, args![tenant.id, id.to_db(), name, name_key(name), tenant.now]).await;
    match made {
        Err(StoreError::Conflict { .. }) => Err(StoreError::Conflict { what: "name_taken" }),
        other => other.map(|_| id),
    }
}

/// The live client of this name, or a new one, in the caller's transaction.
pub(crate) async fn find_or_create(tx: &mut Tx, tenant: &Tenant<'_>, name: &str) -> Result<ClientId> {
    let found: Option<ClientRow> = tx.maybe(&HOLD_NAMED, args![tenant.id, name_key(name)]).await?;
    match found {
        Some(row) => Ok(row.into_client()?.id),
        None => create(tx, tenant, name).await,
    }
}

/// What became of a client: itself, or the one that it was merged into, over however many merges. Held until the
/// caller's transaction ends; may be archived.
pub(crate) async fn hold_successor(tx: &mut Tx, tenant: &Tenant<'_>, id: ClientId) -> Result<Client> {
    let mut seen = HashSet::new();
    let mut next = id;
    loop {
        let row: ClientRow = tx.one(&HOLD, args![tenant.id, next.to_db()]).await?;
        let client = row.into_client()?;
        match client.merged_into {
            // Two merges at the same moment, each into the other, leave no live one.
            Some(into) if seen.insert(next) => next = into,
            _ => return Ok(client),
        }
    }
}

/// Makes sure that sites exist and answers the ids of all sites of the clients concerned.
pub(crate) async fn ensure_sites(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    names: &[(ClientId, String)],
) -> Result<Vec<(SiteKey, SiteId)>> {
    let rows: Vec<NewSite> = names
        .iter()
        .map(|(client, name)| NewSite {
            id: new_id::<SiteId>(tenant.now).to_db(),
            client_id: client.to_db(),
            name: name.clone(),
            name_key: name_key(name),
        })
        .collect();
    if !rows.is_empty() {
        tx.run(&ADD_SITES, args![to_json(&rows)?, tenant.id, tenant.now]).await?;
    }
    let mut clients: Vec<String> = names.iter().map(|(client, _)| client.to_db()).collect();
    clients.sort_unstable();
    clients.dedup();
    let found: Vec<(String, String, String)> =
        tx.all(&FIND_SITES, args![to_json(&clients)?, tenant.id]).await?;
    let corrupt = |_| StoreError::Corrupt { what: "site" };
    found
        .into_iter()
        .map(|(id, client, name_key)| {
            let key = SiteKey { client: ClientId::from_db(&client).map_err(corrupt)?, name_key };
            Ok((key, SiteId::from_db(&id).map_err(corrupt)?))
        })
        .collect()
}

/// Counts a client's assets anew, after a change that moved many.
pub(crate) async fn recount(tx: &mut Tx, tenant: &Tenant<'_>, client: ClientId) -> Result<()> {
    tx.run(&RECOUNT_CLEAR, args![tenant.id, client.to_db()]).await?;
    tx.run(&RECOUNT, args![tenant.id, client.to_db()]).await?;
    Ok(())
}

/// A count that stopped at [`MAX_COUNT`] + 1.
pub(crate) fn bounded_total(counted: i64) -> Total {
    let counted = u64::try_from(counted).unwrap_or(0);
    if counted > MAX_COUNT { Total::AtLeast(MAX_COUNT) } else { Total::Exact(counted) }
}
