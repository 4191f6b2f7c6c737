//! Clients: the customers.

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

/// A client as a row of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientItem {
    /// Its id.
    id: wire::ClientId,
    /// Its name.
    name: String,
    /// How many assets it has.
    asset_count: u64,
    /// How many organizations are mapped to it.
    organization_count: u64,
    /// When it was put aside.
    archived_at: Option<wire::Time>,
    /// Where it went when it was merged.
    merged_into: Option<wire::ClientId>,
    /// When it was created.
    created_at: wire::Time,
    /// When it last changed.
    updated_at: wire::Time,
}

impl ClientItem {
    fn new(client: domain::client::Client, asset_count: u64, organization_count: u64) -> ClientItem {
        ClientItem {
            id: client.id.into(),
            name: client.name,
            asset_count,
            organization_count,
            archived_at: client.archived_at.map(Into::into),
            merged_into: client.merged_into.map(Into::into),
            created_at: client.created_at.into(),
            updated_at: client.updated_at.into(),
        }
    }
}

impl From<service::client::ClientView> for ClientItem {
    fn from(view: service::client::ClientView) -> Self {
        ClientItem::new(view.client, view.asset_count, view.organization_count)
    }
}

/// A place of a client.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteView {
    /// Its id.
    id: wire::SiteId,
    /// Its name.
    name: String,
}

/// A client in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientDetail {
    #[serde(flatten)]
    client: ClientItem,
    /// Its places.
    sites: Vec<SiteView>,
}

impl From<service::client::ClientDetail> for ClientDetail {
    fn from(detail: service::client::ClientDetail) -> Self {
        let sites = detail.sites.into_iter().map(|site| SiteView { id: site.id.into(), name: site.name });
        ClientDetail {
            sites: sites.collect(),
            client: ClientItem::new(detail.client, detail.asset_count, detail.organization_count),
        }
    }
}

/// Which clients, which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClientQuery {
    /// Part of the name.
    text: Option<String>,
    /// Those put aside, instead of the others.
    archived: Option<bool>,
    /// Most items, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A client's name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientName {
    /// Its name, unique among the clients that are not put aside.
    name: String,
}

/// Where a client goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeTarget {
    /// The client that stays.
    into: wire::ClientId,
}

/// Clients by name
#[utoipa::path(
    get, path = "/api/v1/clients", tag = "clients", params(ClientQuery),
    responses((status = 200, description = "A page of clients", body = List<ClientItem>))
)]
pub(crate) async fn list_clients(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<ClientQuery>,
) -> ApiResult<Answer<List<ClientItem>>> {
    let page = page_request(query.limit, query.cursor)?;
    let archived = query.archived.unwrap_or(false);
    let clients = app.services.clients.list(&caller.ctx, words(query.text), archived, page).await?;
    Ok(Answer(List::of(clients)))
}

/// Create a client
#[utoipa::path(
    post, path = "/api/v1/clients", tag = "clients", request_body = ClientName,
    responses(
        (status = 201, description = "The client", body = ClientDetail),
        (status = 409, description = "The name is taken (`name_taken`)"),
    )
)]
pub(crate) async fn create_client(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<ClientName>,
) -> ApiResult<(StatusCode, Answer<ClientDetail>)> {
    let client = app.services.clients.create(&caller.ctx, &body.name).await?;
    Ok((StatusCode::CREATED, Answer(client.into())))
}

/// One client with its sites
#[utoipa::path(
    get, path = "/api/v1/clients/{id}", tag = "clients", params(("id" = wire::ClientId, Path)),
    responses((status = 200, description = "The client", body = ClientDetail))
)]
pub(crate) async fn get_client(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ClientId>,
) -> ApiResult<Answer<ClientDetail>> {
    Ok(Answer(app.services.clients.get(&caller.ctx, id).await?.into()))
}

/// Rename a client
#[utoipa::path(
    patch, path = "/api/v1/clients/{id}", tag = "clients", params(("id" = wire::ClientId, Path)),
    request_body = ClientName,
    responses(
        (status = 200, description = "The client", body = ClientDetail),
        (status = 409, description = "The name is taken (`name_taken`)"),
    )
)]
pub(crate) async fn rename_client(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ClientId>,
    Json(body): Json<ClientName>,
) -> ApiResult<Answer<ClientDetail>> {
    Ok(Answer(app.services.clients.rename(&caller.ctx, id, &body.name).await?.into()))
}

/// Put a client aside
///
/// Its assets stay visible.
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/archive", tag = "clients", params(("id" = wire::ClientId, Path)),
    responses(
        (status = 200, description = "The client", body = ClientDetail),
        (status = 409, description = "It cannot be put aside now"),
    )
)]
pub(crate) async fn archive_client(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ClientId>,
) -> ApiResult<Answer<ClientDetail>> {
    Ok(Answer(app.services.clients.archive(&caller.ctx, id).await?.into()))
}

/// Bring a client back
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/restore", tag = "clients", params(("id" = wire::ClientId, Path)),
    responses(
        (status = 200, description = "The client", body = ClientDetail),
        (status = 409, description = "The name is taken by now (`name_taken`), or it was merged"),
    )
)]
pub(crate) async fn restore_client(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ClientId>,
) -> ApiResult<Answer<ClientDetail>> {
    Ok(Answer(app.services.clients.restore(&caller.ctx, id).await?.into()))
}

/// Merge a client into another
///
/// Moves assets, sites and mappings; answers the client that stays.
#[utoipa::path(
    post, path = "/api/v1/clients/{id}/merge", tag = "clients", params(("id" = wire::ClientId, Path)),
    request_body = MergeTarget,
    responses(
        (status = 200, description = "The client that stays", body = ClientDetail),
        (status = 409, description = "These two cannot be merged"),
    )
)]
pub(crate) async fn merge_client(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ClientId>,
    Json(body): Json<MergeTarget>,
) -> ApiResult<Answer<ClientDetail>> {
    Ok(Answer(app.services.clients.merge(&caller.ctx, id, body.into.0).await?.into()))
}
