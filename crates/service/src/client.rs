//! Clients: the customers of the tenant.

use domain::{
    Ctx,
    auth::Permission,
    client::{Client, Site, check_name},
    id::ClientId,
    page::{Page, PageRequest},
};
use store::StoreError;

use crate::{
    core::Core,
    error::{Result, ServiceError, named},
};

/// A client in a list.
#[derive(Clone, Debug)]
pub struct ClientView {
    /// The client.
    pub client: Client,
    /// Its assets.
    pub asset_count: u64,
    /// Organizations mapped to it.
    pub organization_count: u64,
}

/// One client with its sites.
#[derive(Clone, Debug)]
pub struct ClientDetail {
    /// The client.
    pub client: Client,
    /// Its sites by name.
    pub sites: Vec<Site>,
    /// Its assets.
    pub asset_count: u64,
    /// Organizations mapped to it.
    pub organization_count: u64,
}

/// The use cases of clients.
#[derive(Clone)]
pub struct Clients {
    core: Core,
}

impl Clients {
    pub(crate) fn new(core: Core) -> Self {
        Clients { core }
    }

    /// A page by name.
    pub async fn list(
        &self,
        ctx: &Ctx,
        text: Option<String>,
        archived: bool,
        page: PageRequest,
    ) -> Result<Page<ClientView>> {
        ctx.require(Permission::AssetsRead)?;
        let text = text.unwrap_or_default();
        let found = self.core.store.tenant(ctx).clients().list(&text, archived, &page).await?;
        Ok(found.map(|row| ClientView {
            client: row.client,
            asset_count: row.asset_count,
            organization_count: row.organization_count,
        }))
    }

    /// One client.
    pub async fn get(&self, ctx: &Ctx, id: ClientId) -> Result<ClientDetail> {
        ctx.require(Permission::AssetsRead)?;
        let tenant = self.core.store.tenant(ctx);
        let client = tenant.clients().get(id).await.map_err(named("client"))?;
        let sites = tenant.sites().of_client(id).await?;
        let (asset_count, organization_count) = tenant.clients().numbers(id).await?;
        Ok(ClientDetail { client, sites, asset_count, organization_count })
    }

    /// Creates one.
    pub async fn create(&self, ctx: &Ctx, name: &str) -> Result<ClientDetail> {
        ctx.require(Permission::ClientsManage)?;
        let name = checked(name)?;
        let client =
            self.core.store.tenant(ctx).clients().create(&name).await.map_err(|e| taken(e, &name))?;
        self.get(ctx, client.id).await
    }

    /// Gives it another name.
    pub async fn rename(&self, ctx: &Ctx, id: ClientId, name: &str) -> Result<ClientDetail> {
        ctx.require(Permission::ClientsManage)?;
        let name = checked(name)?;
        self.core.store.tenant(ctx).clients().rename(id, &name).await.map_err(|e| taken(e, &name))?;
        self.get(ctx, id).await
    }

    /// Puts it aside: it leaves the lists, its assets stay. Its organizations must be mapped elsewhere first, or syncs
    /// would go on filling it.
    pub async fn archive(&self, ctx: &Ctx, id: ClientId) -> Result<ClientDetail> {
        ctx.require(Permission::ClientsManage)?;
        let detail = self.get(ctx, id).await?;
        if detail.organization_count > 0 {
            return Err(ServiceError::conflict(
                "client_has_mappings",
                format!(
                    "`{}` still has {} mapped organizations; map them to another client, exclude them, or merge the client",
                    detail.client.name, detail.organization_count
                ),
            ));
        }
        self.core.store.tenant(ctx).clients().archive(id).await.map_err(named("client"))?;
        self.get(ctx, id).await
    }

    /// Takes it back into the lists.
    pub async fn restore(&self, ctx: &Ctx, id: ClientId) -> Result<ClientDetail> {
        ctx.require(Permission::ClientsManage)?;
        let detail = self.get(ctx, id).await?;
        if detail.client.merged_into.is_some() {
            return Err(ServiceError::conflict(
                "client_merged",
                "this client was merged into another one and cannot be restored; create a new client instead",
            ));
        }
        let restored = self.core.store.tenant(ctx).clients().restore(id).await;
        restored.map_err(|e| taken(e, &detail.client.name))?;
        self.get(ctx, id).await
    }

    /// Moves assets, sites and mappings of `from` to `into` and puts `from` aside.
    pub async fn merge(&self, ctx: &Ctx, from: ClientId, into: ClientId) -> Result<ClientDetail> {
        ctx.require(Permission::ClientsManage)?;
        if from == into {
            return Err(ServiceError::invalid(
                "into",
                "same_client",
                "a client cannot be merged into itself",
            ));
        }
        let tenant = self.core.store.tenant(ctx);
        let target = tenant.clients().get(into).await.map_err(named("client"))?;
        tenant.clients().get(from).await.map_err(named("client"))?;
        if target.archived_at.is_some() {
            return Err(ServiceError::conflict(
                "client_archived",
                format!("`{}` is archived; restore it first or choose another target", target.name),
            ));
        }
        tenant.clients().merge(from, into).await.map_err(named("client"))?;
        self.get(ctx, into).await
    }
}

/// A usable name, or the sentence that says what to change.
pub(crate) fn checked(name: &str) -> Result<String> {
    check_name(name).map_err(|problem| ServiceError::invalid("name", "name_unusable", problem.to_string()))
}

/// Names the name that is taken.
pub(crate) fn taken(error: StoreError, name: &str) -> ServiceError {
    match error {
        StoreError::Conflict { .. } => ServiceError::conflict(
            "name_taken",
            format!("there is a client named `{name}` already; choose another name or use that client"),
        ),
        other => named("client")(other),
    }
}
