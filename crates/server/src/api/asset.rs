//! Assets: list, one, change, history.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State};
use domain::{asset::AssetFilter, source::Field};
use serde::{Deserialize, Serialize};
use service::{ServiceError, asset::AssetPatch};
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
    /// From this RMM, by any of its sources.
    provider: Option<String>,
    /// From this integration, by any of its sources.
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
    /// Not listed at any of its RMMs any more.
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
///
/// The id of an asset that was merged leads to the one that it is part of now; `redirected_from` says so.
#[utoipa::path(
    get, path = "/api/v1/assets/{id}", tag = "assets", params(("id" = wire::AssetId, Path)),
    responses((status = 200, description = "The asset", body = AssetDetail))
)]
pub(crate) async fn get_asset(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::AssetId>,
) -> ApiResult<Answer<AssetDetail>> {
    let asset = app.services.assets.get(&caller.ctx, id).await?;
    Ok(Answer(in_full(&app, &caller, id, asset).await?))
}

/// The asset, with what was merged into it. `asked` is the id in the request.
pub(crate) async fn in_full(
    app: &AppState,
    caller: &Caller,
    asked: domain::id::AssetId,
    asset: domain::asset::Asset,
) -> ApiResult<AssetDetail> {
    let (id, has_several) = (asset.id, !asset.sources.is_empty());
    let mut detail = AssetDetail::from(asset);
    if has_several {
        let merged = app.services.assets.merged(&caller.ctx, id).await?;
        detail.merged = merged.into_iter().map(Into::into).collect();
    }
    detail.redirected_from = (asked != id).then_some(asked.into());
    Ok(detail)
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
    /// Which of several devices leads.
    #[serde(default, deserialize_with = "crate::body::present")]
    #[schema(value_type = wire::DeviceId)]
    leading_device: Option<wire::DeviceId>,
    /// Which of several devices speaks for a field: field → device; null gives the field back to the order of sources.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    field_sources: BTreeMap<String, Option<wire::DeviceId>>,
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
        leading_device: change.leading_device.map(|id| id.0),
        field_sources: fields_of(change.field_sources)?
            .into_iter()
            .map(|(field, device)| (field, device.map(|id| id.0)))
            .collect(),
    };
    let asset = app.services.assets.update(&caller.ctx, id, patch).await?;
    Ok(Answer(in_full(&app, &caller, id, asset).await?))
}

/// Fields by their names.
pub(crate) fn fields_of<T>(named: BTreeMap<String, T>) -> Result<BTreeMap<Field, T>, ServiceError> {
    let mut found = BTreeMap::new();
    for (name, value) in named {
        let Some(field) = Field::from_name(&name) else {
            let shown: String = name.chars().take(60).collect();
            let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
            let message = format!("`{shown}` is no field; use one of `{}`", names.join("`, `"));
            return Err(ServiceError::invalid("field_sources", "field_unknown", message));
        };
        found.insert(field, value);
    }
    Ok(found)
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its place in the order of changes.
    seq: i64,
    /// When.
    at: wire::Time,
    /// What: `asset_created`, `asset_updated`, `asset_moved`, `asset_missing`, `asset_returned`, `status_changed`,
    /// `asset_merged`, `asset_split` …
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
