//! Sites: the places of clients.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::AppState,
    body::Json,
    ctx::Caller,
    error::ApiResult,
    page::{List, Path, Query, page_request, words},
    wire,
};

/// A site at an RMM.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteSourceView {
    /// The integration.
    integration_id: wire::IntegrationId,
    /// The organization.
    organization_id: wire::OrganizationId,
    /// The organization's name at the RMM.
    organization_name: String,
    /// The RMM's id of the site, where it is known.
    external_id: Option<String>,
    /// Its name at the RMM.
    name: String,
}

/// A place of a client, with its assets and where it comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteItem {
    /// Its id.
    id: wire::SiteId,
    /// Whose.
    client_id: wire::ClientId,
    /// Its name, unique within the client.
    name: String,
    /// When a person chose its name; null if it follows the name at the RMM.
    named_at: Option<wire::Time>,
    /// How many assets are there.
    asset_count: u64,
    /// The sites at RMMs that it stands for; empty if none is known.
    sources: Vec<SiteSourceView>,
    /// When it was created.
    created_at: wire::Time,
}

impl From<domain::site::SiteInfo> for SiteItem {
    fn from(info: domain::site::SiteInfo) -> Self {
        let source = |source: domain::site::SiteSource| SiteSourceView {
            integration_id: source.integration_id.into(),
            organization_id: source.organization_id.into(),
            organization_name: source.organization_name,
            external_id: source.external_id,
            name: source.name,
        };
        SiteItem {
            id: info.site.id.into(),
            client_id: info.site.client_id.into(),
            name: info.site.name,
            named_at: info.named_at.map(Into::into),
            asset_count: info.asset_count,
            sources: info.sources.into_iter().map(source).collect(),
            created_at: info.created_at.into(),
        }
    }
}

/// Which sites, which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SiteQuery {
    /// Part of the name.
    text: Option<String>,
    /// Most items, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A site's name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteName {
    /// Its name, unique within the client.
    name: String,
}

/// Where a site goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteMergeTarget {
    /// The site that stays, of the same client.
    into: wire::SiteId,
}

/// Sites of a client by name
#[utoipa::path(
    get, path = "/api/v1/clients/{id}/sites", tag = "clients",
    params(("id" = wire::ClientId, Path), SiteQuery),
    responses((status = 200, description = "A page of sites", body = List<SiteItem>))
)]
pub(crate) async fn list_sites(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ClientId>,
    Query(query): Query<SiteQuery>,
) -> ApiResult<Answer<List<SiteItem>>> {
    let page = page_request(query.limit, query.cursor)?;
    let sites = app.services.sites.list(&caller.ctx, id, words(query.text), page).await?;
    Ok(Answer(List::of(sites)))
}

/// Create a site
///
/// The devices of a site of this name at an RMM come to it.
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/sites", tag = "clients", params(("id" = wire::ClientId, Path)),
    request_body = SiteName,
    responses(
        (status = 201, description = "The site", body = SiteItem),
        (status = 409, description = "The name is taken (`name_taken`), or the client is archived (`client_archived`)"),
    )
)]
pub(crate) async fn create_site(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ClientId>,
    Json(body): Json<SiteName>,
) -> ApiResult<(StatusCode, Answer<SiteItem>)> {
    let site = app.services.sites.create(&caller.ctx, id, &body.name).await?;
    Ok((StatusCode::CREATED, Answer(site.into())))
}

/// One site
#[utoipa::path(
    get, path = "/api/v1/sites/{id}", tag = "clients", params(("id" = wire::SiteId, Path)),
    responses((status = 200, description = "The site", body = SiteItem))
)]
pub(crate) async fn get_site(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::SiteId>,
) -> ApiResult<Answer<SiteItem>> {
    Ok(Answer(app.services.sites.get(&caller.ctx, id).await?.into()))
}

/// Rename a site
///
/// The name stays, whatever the site is called at the RMM.
#[utoipa::path(
    patch, path = "/api/v1/sites/{id}", tag = "clients", params(("id" = wire::SiteId, Path)),
    request_body = SiteName,
    responses(
        (status = 200, description = "The site", body = SiteItem),
        (status = 409, description = "The name is taken (`name_taken`)"),
    )
)]
pub(crate) async fn rename_site(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::SiteId>,
    Json(body): Json<SiteName>,
) -> ApiResult<Answer<SiteItem>> {
    Ok(Answer(app.services.sites.rename(&caller.ctx, id, &body.name).await?.into()))
}

/// Merge a site into another of the same client
///
/// Moves its assets, and from then on what the RMM has there; answers the site that stays.
#[utoipa::path(
    post, path = "/api/v1/sites/{id}/merge", tag = "clients", params(("id" = wire::SiteId, Path)),
    request_body = SiteMergeTarget,
    responses((status = 200, description = "The site that stays", body = SiteItem))
)]
pub(crate) async fn merge_site(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::SiteId>,
    Json(body): Json<SiteMergeTarget>,
) -> ApiResult<Answer<SiteItem>> {
    Ok(Answer(app.services.sites.merge(&caller.ctx, id, body.into.0).await?.into()))
}

/// Remove a site without assets
///
/// If the RMM gets a device there, a sync makes the site again under the RMM's name.
#[utoipa::path(
    delete, path = "/api/v1/sites/{id}", tag = "clients", params(("id" = wire::SiteId, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It has assets (`site_has_assets`): merge it into another one"),
    )
)]
pub(crate) async fn remove_site(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::SiteId>,
) -> ApiResult<StatusCode> {
    app.services.sites.remove(&caller.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
