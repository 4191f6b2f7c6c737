//! Sites: the places of clients.

use domain::{
    Ctx,
    auth::Permission,
    id::{ClientId, SiteId},
    page::{Page, PageRequest},
    site::SiteInfo,
};
use store::StoreError;

use crate::{
    client::checked,
    core::Core,
    error::{Result, ServiceError, named},
};

/// The use cases of sites.
#[derive(Clone)]
pub struct Sites {
    core: Core,
}

impl Sites {
    pub(crate) fn new(core: Core) -> Self {
        Sites { core }
    }

    /// A page of a client's sites by name.
    pub async fn list(
        &self,
        ctx: &Ctx,
        client: ClientId,
        text: Option<String>,
        page: PageRequest,
    ) -> Result<Page<SiteInfo>> {
        ctx.require(Permission::AssetsRead)?;
        let tenant = self.core.store.tenant(ctx);
        tenant.clients().get(client).await.map_err(named("client"))?;
        Ok(tenant.sites().list(client, &text.unwrap_or_default(), &page).await?)
    }

    /// One site.
    pub async fn get(&self, ctx: &Ctx, id: SiteId) -> Result<SiteInfo> {
        ctx.require(Permission::AssetsRead)?;
        self.core.store.tenant(ctx).sites().get(id).await.map_err(named("site"))
    }

    /// Creates one. The assets of an RMM's site of this name come to it.
    pub async fn create(&self, ctx: &Ctx, client: ClientId, name: &str) -> Result<SiteInfo> {
        ctx.require(Permission::ClientsManage)?;
        let name = checked(name)?;
        let tenant = self.core.store.tenant(ctx);
        let made = tenant.sites().create(client, &name).await;
        let id = made.map_err(|error| match error {
            StoreError::Conflict { what: "client_archived" } => ServiceError::conflict(
                "client_archived",
                "the client is archived; restore it first, or make the site at another client",
            ),
            StoreError::NotFound => ServiceError::NotFound { what: "client" },
            other => taken(other, &name),
        })?;
        self.found(ctx, id).await
    }

    /// Gives it another name, which no sync changes from then on.
    pub async fn rename(&self, ctx: &Ctx, id: SiteId, name: &str) -> Result<SiteInfo> {
        ctx.require(Permission::ClientsManage)?;
        let name = checked(name)?;
        self.core.store.tenant(ctx).sites().rename(id, &name).await.map_err(|error| taken(error, &name))?;
        self.found(ctx, id).await
    }

    /// Moves the assets of `from` to `into` and removes `from`. What an RMM has there goes to `into` from then on.
    pub async fn merge(&self, ctx: &Ctx, from: SiteId, into: SiteId) -> Result<SiteInfo> {
        ctx.require(Permission::ClientsManage)?;
        if from == into {
            return Err(ServiceError::invalid(
                "into",
                "same_site",
                "a site cannot be merged into itself; name another site of the client",
            ));
        }
        let source = self.found(ctx, from).await?;
        let target = self.found(ctx, into).await?;
        if source.site.client_id != target.site.client_id {
            return Err(ServiceError::invalid(
                "into",
                "other_client",
                format!(
                    "`{}` and `{}` belong to different clients; choose a site of the same client, or merge the clients",
                    source.site.name, target.site.name
                ),
            ));
        }
        self.core.store.tenant(ctx).sites().merge(from, into).await.map_err(named("site"))?;
        self.found(ctx, into).await
    }

    /// Removes one that has no assets. If an RMM has or gets a device there, a sync makes it again under the RMM's name.
    pub async fn remove(&self, ctx: &Ctx, id: SiteId) -> Result<()> {
        ctx.require(Permission::ClientsManage)?;
        let info = self.found(ctx, id).await?;
        let removed = self.core.store.tenant(ctx).sites().remove(id).await;
        removed.map_err(|error| match error {
            StoreError::Conflict { what: "site_has_assets" } => ServiceError::conflict(
                "site_has_assets",
                format!(
                    "`{}` still has assets ({}); merge it into another site of the client, or move them at the RMM first",
                    info.site.name,
                    info.asset_count.max(1)
                ),
            ),
            other => named("site")(other),
        })
    }

    /// The site for who may change it, whether or not they may read assets.
    async fn found(&self, ctx: &Ctx, id: SiteId) -> Result<SiteInfo> {
        self.core.store.tenant(ctx).sites().get(id).await.map_err(named("site"))
    }
}

/// Names the name that is taken.
fn taken(error: StoreError, name: &str) -> ServiceError {
    match error {
        StoreError::Conflict { .. } => ServiceError::conflict(
            "name_taken",
            format!(
                "the client has a site named `{name}` already; choose another name, or merge the one into the other"
            ),
        ),
        other => named("site")(other),
    }
}
