//! Clients.

use std::collections::HashSet;

use domain::{
    Time,
    client::{Client, name_key},
    event::kind,
    id::{ClientId, TypedId},
    page::{MAX_COUNT, Page, PageRequest, Total},
};
use sqlx::FromRow;

use crate::{
    Tenant,
    audit::Act,
    cursor::{self, Cursor},
    db::{Tx, args},
    device::sources,
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent},
    new_id,
    scope::is_inside,
    site::rmm,
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
         WHERE tenant_id = $1 AND archived_at IS NULL AND ", {within "$2" "clients.id"}, " ORDER BY name_key, id"
    ];
    LIST = [
        "SELECT c.id, c.name, c.name_key, c.archived_at, c.merged_into, c.created_at, c.updated_at, \
         (SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM asset_counts k \
          WHERE k.tenant_id = c.tenant_id AND k.client_id = c.id) AS assets, \
         (SELECT COUNT(*) FROM rmm_organization_mappings o \
          WHERE o.tenant_id = c.tenant_id AND o.client_id = c.id) AS organizations \
         FROM clients c WHERE c.tenant_id = $1 AND (c.archived_at IS NOT NULL) = $2 \
         AND ($3 = '' OR c.name_key LIKE $3 ESCAPE '\\') AND (c.name_key, c.id) > ($4, $5) AND ",
        {within "$7" "c.id"}, " ORDER BY c.name_key, c.id LIMIT $6"
    ];
    COUNT = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM clients WHERE tenant_id = $1 AND (archived_at IS NOT NULL) = $2 \
         AND ($3 = '' OR name_key LIKE $3 ESCAPE '\\') AND ", {within "$4" "clients.id"}, " LIMIT 1001) AS found"
    ];
    NUMBERS = [
        "SELECT (SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM asset_counts \
         WHERE tenant_id = $1 AND client_id = $2), \
         (SELECT COUNT(*) FROM rmm_organization_mappings WHERE tenant_id = $1 AND client_id = $2)"
    ];
    RENAME = ["UPDATE clients SET name = $3, name_key = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2"];
    ARCHIVE = ["UPDATE clients SET archived_at = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2"];
    MERGE_MARK = [
        "UPDATE clients SET archived_at = $4, merged_into = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2"
    ];
    MERGE_ASSETS = ["UPDATE assets SET client_id = $3, updated_at = $4 WHERE tenant_id = $1 AND client_id = $2"];
    // In the order in which a page of a sync holds them: it may have devices of several.
    MERGE_HOLD = [
        "SELECT id, created_at FROM rmm_organization_mappings WHERE tenant_id = $1 AND client_id = $2 ORDER BY id",
        {engine "" " FOR NO KEY UPDATE"}
    ];
    MERGE_MAPPINGS = [
        "UPDATE rmm_organization_mappings SET client_id = $3, previous = NULL, updated_at = $4 \
         WHERE tenant_id = $1 AND client_id = $2 RETURNING id, created_at"
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

/// Clients of one tenant.
pub struct Clients<'a>(pub(crate) &'a Tenant<'a>);

impl Clients<'_> {
    /// Creates one. [`StoreError::Conflict`] if a live one has the name. Names are given by who may see all clients: their
    /// being taken would tell of the others.
    pub async fn create(&self, name: &str) -> Result<Client> {
        let mut tx = self.0.whole()?.begin().await?;
        let id = create(&mut tx, self.0, name).await?;
        let changed = NewEvent::new(kind::CLIENT_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await?;
        self.get(id).await
    }

    /// One client, archived or not.
    pub async fn get(&self, id: ClientId) -> Result<Client> {
        self.0.sees(id)?;
        let row: ClientRow = self.0.db().one(&GET, args![self.0.id, id.to_db()]).await?;
        Ok(self.shown(row.into_client()?))
    }

    /// Without the client that it was merged into, where that one is outside.
    fn shown(&self, client: Client) -> Client {
        let merged_into = client.merged_into.filter(|into| self.0.clients.has(*into));
        Client { merged_into, ..client }
    }

    /// All live clients: for matching by name.
    pub async fn all_live(&self) -> Result<Vec<Client>> {
        let rows: Vec<ClientRow> = self.0.db().all(&ALL_LIVE, args![self.0.id, self.0.within()?]).await?;
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
            i64::from(page.limit) + 1,
            self.0.within()?
        ];
        let mut reads = self.0.db().read().await?;
        let rows: Vec<ClientListRow> = reads.all(&LIST, query).await?;
        let counted: (i64,) =
            reads.one(&COUNT, args![self.0.id, archived, pattern, self.0.within()?]).await?;
        let next = |row: &ClientListRow| Cursor::write(&[&row.name_key], &row.client.id);
        let (rows, next_cursor) = cursor::cut(rows, page.limit, next);
        let items = rows
            .into_iter()
            .map(|row| {
                Ok(ClientWithCounts {
                    client: self.shown(row.client.into_client()?),
                    asset_count: u64::try_from(row.assets).unwrap_or(0),
                    organization_count: u64::try_from(row.organizations).unwrap_or(0),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// Numbers of assets and of organizations.
    pub async fn numbers(&self, id: ClientId) -> Result<(u64, u64)> {
        self.0.sees(id)?;
        let (assets, organizations): (i64, i64) =
            self.0.db().one(&NUMBERS, args![self.0.id, id.to_db()]).await?;
        Ok((u64::try_from(assets).unwrap_or(0), u64::try_from(organizations).unwrap_or(0)))
    }

    /// Gives it another name. [`StoreError::BeyondClients`] as in [`Clients::create`].
    pub async fn rename(&self, id: ClientId, name: &str) -> Result<()> {
        self.0.sees(id)?;
        self.0.whole()?;
        let now = self.0.now;
        let act = Act::new("client.rename").to(id).named(name);
        self.change(id, act, &RENAME, args![self.0.id, id.to_db(), name, name_key(name), now]).await
    }

    /// Puts it aside.
    pub async fn archive(&self, id: ClientId) -> Result<()> {
        let now = self.0.now;
        let act = Act::new("client.archive").to(id);
        self.change(id, act, &ARCHIVE, args![self.0.id, id.to_db(), Some(now), now]).await
    }

    /// Takes it back. [`StoreError::Conflict`] if a live one has the name by now; [`StoreError::BeyondClients`] as in
    /// [`Clients::create`].
    pub async fn restore(&self, id: ClientId) -> Result<()> {
        self.0.sees(id)?;
        self.0.whole()?;
        let act = Act::new("client.restore").to(id);
        self.change(id, act, &ARCHIVE, args![self.0.id, id.to_db(), None::<Time>, self.0.now]).await
    }

    async fn change(
        &self,
        id: ClientId,
        act: Act,
        sql: &'static crate::sql::Sql,
        args: Vec<crate::db::Value>,
    ) -> Result<()> {
        self.0.sees(id)?;
        let mut tx = self.0.db().begin().await?;
        if tx.run(sql, args).await? == 0 {
            return Err(StoreError::NotFound);
        }
        self.0.record(&mut tx, act).await?;
        let changed = NewEvent::new(kind::CLIENT_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await
    }

    /// Moves assets, sites and mappings of `from` to `into` and puts `from` aside. Limits of people stay as they are: who
    /// might see `from` alone does not see what went to `into`.
    pub async fn merge(&self, from: ClientId, into: ClientId) -> Result<()> {
        self.0.sees(from)?;
        self.0.sees(into)?;
        let (tenant, now) = (self.0.id, self.0.now);
        let moved = || args![tenant, from.to_db(), into.to_db(), now];
        let mut tx = self.0.db().begin().await?;
        tx.one::<ClientRow>(&GET, args![tenant, into.to_db()]).await?;
        // First the client, then its mappings, then its assets: an undo or a page of a sync that comes in between has
        // either written before, and is moved along, or waits and then finds the client it went to.
        if tx.run(&MERGE_MARK, moved()).await? == 0 {
            return Err(StoreError::NotFound);
        }
        tx.all::<(String, i64)>(&MERGE_HOLD, args![tenant, from.to_db()]).await?;
        let organizations: Vec<(String, i64)> = tx.all(&MERGE_MAPPINGS, moved()).await?;
        let organizations: Vec<String> = organizations.into_iter().map(|(id, _)| id).collect();
        rmm::merge_clients(&mut tx, self.0, (from, into), &organizations).await?;
        tx.run(&MERGE_ASSETS, moved()).await?;
        recount(&mut tx, self.0, from).await?;
        recount(&mut tx, self.0, into).await?;
        let acts = [
            Act::new("client.merge").to(from).with("into", into.to_string()),
            Act::new("client.take_in").to(into).with("from", from.to_string()),
        ];
        for act in acts {
            self.0.record(&mut tx, act).await?;
        }
        let changed = [
            NewEvent::new(kind::CLIENT_CHANGED, from).with(&serde_json::json!({ "merged_into": into })),
            NewEvent::new(kind::CLIENT_CHANGED, into),
        ];
        event::insert(&mut tx, tenant, now, EventSource::default(), &changed).await?;
        tx.commit().await
    }
}

/// Creates a client in the caller's transaction.
pub(crate) async fn create(tx: &mut Tx, tenant: &Tenant<'_>, name: &str) -> Result<ClientId> {
    tenant.whole()?;
    let id: ClientId = new_id(tenant.now);
    let made = tx.run(&INSERT, args![tenant.id, id.to_db(), name, name_key(name), tenant.now]).await;
    match made {
        Err(StoreError::Conflict { .. }) => Err(StoreError::Conflict { what: "name_taken" }),
        Err(other) => Err(other),
        Ok(_) => {
            tenant.record(tx, Act::new("client.create").to(id).named(name)).await?;
            Ok(id)
        }
    }
}

/// The live client of this name, or a new one, in the caller's transaction.
pub(crate) async fn find_or_create(tx: &mut Tx, tenant: &Tenant<'_>, name: &str) -> Result<ClientId> {
    let found: Option<ClientRow> = tx.maybe(&HOLD_NAMED, args![tenant.id, name_key(name)]).await?;
    match found {
        // One outside is answered like one that there is not.
        Some(row) if is_inside(&tenant.clients, Some(&row.id)) => Ok(row.into_client()?.id),
        Some(_) | None => create(tx, tenant, name).await,
    }
}

/// One client, held until the caller's transaction ends.
pub(crate) async fn hold(tx: &mut Tx, tenant: &Tenant<'_>, id: ClientId) -> Result<Client> {
    tx.one::<ClientRow>(&HOLD, args![tenant.id, id.to_db()]).await?.into_client()
}

/// What became of a client: itself, or the one that it was merged into, over however many merges. Held until the
/// caller's transaction ends; may be archived.
pub(crate) async fn hold_successor(tx: &mut Tx, tenant: &Tenant<'_>, id: ClientId) -> Result<Client> {
    let mut seen = HashSet::new();
    let mut next = id;
    loop {
        let client = hold(tx, tenant, next).await?;
        match client.merged_into {
            // Two merges at the same moment, each into the other, leave no live one.
            Some(into) if seen.insert(next) => next = into,
            _ => return Ok(client),
        }
    }
}

/// Counts a client's assets anew, after a change that moved many.
pub(crate) async fn recount(tx: &mut Tx, tenant: &Tenant<'_>, client: ClientId) -> Result<()> {
    tx.run(&RECOUNT_CLEAR, args![tenant.id, client.to_db()]).await?;
    tx.run(&RECOUNT, args![tenant.id, client.to_db()]).await?;
    sources::recount(tx, tenant, client).await
}

/// A count that stopped at [`MAX_COUNT`] + 1.
pub(crate) fn bounded_total(counted: i64) -> Total {
    let counted = u64::try_from(counted).unwrap_or(0);
    if counted > MAX_COUNT { Total::AtLeast(MAX_COUNT) } else { Total::Exact(counted) }
}
