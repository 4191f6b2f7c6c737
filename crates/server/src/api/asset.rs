//! Assets: list, one, change, history.

use axum::{Json as Answer, extract::State};
use domain::asset::AssetFilter;
use serde::{Deserialize, Serialize};
use service::asset::AssetPatch;
use utoipa::{IntoParams, ToSchema};

use crate::{
    api::asset_view::{AssetDetail, AssetItem},
    app::AppState,
    body::{Json, nullable},
    ctx::Caller,
    error::ApiResult,
    page::{List, Path, Query, page_request, words},
    wire,
};

/// Which assets, sorted how.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AssetQuery {
    /// Of this client.
    client_id: Option<wire::ClientId>,
    /// At this site.
    site_id: Option<wire::SiteId>,
    /// From this RMM.
    provider: Option<String>,
    /// From this integration.
    integration_id: Option<wire::IntegrationId>,
    /// Of this type.
    #[serde(rename = "type")]
    asset_type: Option<wire::AssetType>,
    /// With this status.
    status: Option<wire::Status>,
    /// Words, each anywhere in name, serial, addresses, model, system.
    text: Option<String>,
    /// Seen at or after.
    seen_after: Option<wire::Time>,
    /// Not seen since: last seen before, or never.
    seen_before: Option<wire::Time>,
    /// The operating system begins with this, whatever the case.
    os: Option<String>,
    /// Waits for a restart.
    needs_reboot: Option<bool>,
    /// Not listed at the RMM any more.
    missing: Option<bool>,
    /// The order; a leading `-` turns it round.
    sort: Option<wire::AssetOrder>,
    /// Most items, 1 to 200; 50 if left out. Not for exports.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before. Not for exports.
    cursor: Option<String>,
}

impl AssetQuery {
    pub(crate) fn filter(&self) -> AssetFilter {
        AssetFilter {
            client_id: self.client_id.map(|id| id.0),
            site_id: self.site_id.map(|id| id.0),
            provider: words(self.provider.clone()),
            integration_id: self.integration_id.map(|id| id.0),
            asset_type: self.asset_type.map(|kind| kind.0),
            status: self.status.map(|status| status.0),
            text: words(self.text.clone()),
            seen_after: self.seen_after.map(|time| time.0),
            seen_before: self.seen_before.map(|time| time.0),
            os: words(self.os.clone()),
            needs_reboot: self.needs_reboot,
            missing: self.missing,
        }
    }

    pub(crate) fn order(&self) -> (domain::asset::AssetSort, domain::asset::Direction) {
        self.sort.map(|order| (order.0.sort, order.0.direction)).unwrap_or_default()
    }

    /// Is a page asked for?
    pub(crate) fn is_paged(&self) -> bool {
        self.limit.is_some() || self.cursor.is_some()
    }
}

/// Assets
#[utoipa::path(
    get, path = "/api/v1/assets", tag = "assets", params(AssetQuery),
    responses((status = 200, description = "A page of assets", body = List<AssetItem>))
)]
pub(crate) async fn list_assets(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<AssetQuery>,
) -> ApiResult<Answer<List<AssetItem>>> {
    let (sort, direction) = query.order();
    let filter = query.filter();
    let page = page_request(query.limit, query.cursor)?;
    let assets = app.services.assets.list(&caller.ctx, &filter, sort, direction, &page).await?;
    Ok(Answer(List::of(assets)))
}

/// One asset with source and age of every field
#[utoipa::path(
    get, path = "/api/v1/assets/{id}", tag = "assets", params(("id" = wire::AssetId, Path)),
    responses((status = 200, description = "The asset", body = AssetDetail))
)]
pub(crate) async fn get_asset(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::AssetId>,
) -> ApiResult<Answer<AssetDetail>> {
    Ok(Answer(app.services.assets.get(&caller.ctx, id).await?.into()))
}

/// A change of an asset: what is left out stays, null gives the field back to the RMM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetChange {
    /// Its name.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    /// What it is.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<wire::AssetType>)]
    asset_type: Option<Option<wire::AssetType>>,
    /// A note.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    note: Option<Option<String>>,
}

/// Change an asset
#[utoipa::path(
    patch, path = "/api/v1/assets/{id}", tag = "assets", params(("id" = wire::AssetId, Path)),
    request_body = AssetChange,
    responses((status = 200, description = "The asset", body = AssetDetail))
)]
pub(crate) async fn update_asset(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::AssetId>,
    Json(change): Json<AssetChange>,
) -> ApiResult<Answer<AssetDetail>> {
    let patch = AssetPatch {
        name: change.name,
        asset_type: change.asset_type.map(|kind| kind.map(|kind| kind.0)),
        note: change.note,
    };
    Ok(Answer(app.services.assets.update(&caller.ctx, id, patch).await?.into()))
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its place in the order of changes.
    seq: i64,
    /// When.
    at: wire::Time,
    /// What: `asset_created`, `asset_updated`, `asset_moved`, `asset_missing`, `asset_returned`, `status_changed` …
    kind: String,
    /// To whom: an id.
    subject_id: String,
    /// Through which integration.
    integration_id: Option<wire::IntegrationId>,
    /// What changed.
    data: Option<serde_json::Value>,
}

impl From<domain::event::Event> for EventView {
    fn from(event: domain::event::Event) -> Self {
        EventView {
            seq: event.seq,
            at: event.at.into(),
            kind: event.kind,
            subject_id: event.subject_id,
            integration_id: event.integration_id.map(Into::into),
            data: event.data,
        }
    }
}

/// Which page of a list that has no filter.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Most items, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

/// What happened to an asset, newest first
#[utoipa::path(
    get, path = "/api/v1/assets/{id}/history", tag = "assets", params(("id" = wire::AssetId, Path), PageQuery),
    responses((status = 200, description = "A page of events", body = List<EventView>))
)]
pub(crate) async fn list_asset_history(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::AssetId>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Answer<List<EventView>>> {
    let page = page_request(query.limit, query.cursor)?;
    Ok(Answer(List::of(app.services.assets.history(&caller.ctx, id, page).await?)))
}
