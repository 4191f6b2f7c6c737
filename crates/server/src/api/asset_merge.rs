//! Assets that are one machine: merge, split; and a look at one machine now.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State};
use serde::{Deserialize, Serialize};
use service::asset::{AuditKind, MergeChoice};
use utoipa::ToSchema;

use crate::{
    api::{
        asset::{fields_of, in_full},
        asset_view::{AssetDetail, SourceView},
    },
    app::AppState,
    body::{Json, present},
    ctx::Caller,
    error::{ApiError, ApiResult},
    page::Path,
    wire,
};

/// How two assets become one.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeAssets {
    /// Which of the two stays; the older one if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = wire::AssetId)]
    keep: Option<wire::AssetId>,
    /// Whose the machine is, where the two are of two clients: one of these. Its side leads afterwards.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = wire::ClientId)]
    client_id: Option<wire::ClientId>,
    /// Which device speaks for a field: field → device. Without it the leading source speaks, and where it has nothing the
    /// next one.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, wire::DeviceId>)]
    field_sources: BTreeMap<String, wire::DeviceId>,
}

impl MergeAssets {
    pub(crate) fn choice(self) -> Result<MergeChoice, ApiError> {
        let chosen = fields_of(self.field_sources)?;
        Ok(MergeChoice {
            keep: self.keep.map(|id| id.0),
            client: self.client_id.map(|id| id.0),
            field_sources: chosen.into_iter().map(|(field, device)| (field, device.0)).collect(),
        })
    }
}

/// With which asset, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeWith {
    /// The other asset.
    other: wire::AssetId,
    /// Which of the two stays; the older one if left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = wire::AssetId)]
    keep: Option<wire::AssetId>,
    /// Whose the machine is, where the two are of two clients: one of these. Its side leads afterwards.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = wire::ClientId)]
    client_id: Option<wire::ClientId>,
    /// Which device speaks for a field: field → device.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, wire::DeviceId>)]
    field_sources: BTreeMap<String, wire::DeviceId>,
}

/// Merge an asset with another
///
/// Puts the devices of both under one asset; the older one stays unless `keep` says otherwise. The other leaves lists,
/// counts and search, and its id leads to the one that stays. A split undoes it.
#[utoipa::path(
    post, path = "/api/v1/assets/{id}/merge", tag = "assets", params(("id" = wire::AssetId, Path)),
    request_body = MergeWith,
    responses(
        (status = 200, description = "The asset that stays", body = AssetDetail),
        (status = 409, description = "They are of two clients and `client_id` names none of them"),
    )
)]
pub(crate) async fn merge_assets(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::AssetId>,
    Json(body): Json<MergeWith>,
) -> ApiResult<Answer<AssetDetail>> {
    let MergeWith { other, keep, client_id, field_sources } = body;
    let choice = MergeAssets { keep, client_id, field_sources }.choice()?;
    let asset = app.services.assets.merge(&caller.ctx, id, other.0, choice).await?;
    Ok(Answer(in_full(&app, &caller, asset.id, asset).await?))
}

/// Which device is taken out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitOff {
    /// A device that came with a merge: see `sources`.
    device_id: wire::DeviceId,
}

/// Two assets again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SplitView {
    /// The asset that the device was taken from.
    kept: AssetDetail,
    /// The asset that is there again, under its own id.
    restored: AssetDetail,
}

/// Undo a merge
///
/// The asset that came with this device is there again: its id, what people set of it, its devices as they are now and what
/// happened to them meanwhile.
#[utoipa::path(
    post, path = "/api/v1/assets/{id}/split", tag = "assets", params(("id" = wire::AssetId, Path)),
    request_body = SplitOff,
    responses(
        (status = 200, description = "Both assets", body = SplitView),
        (status = 409, description = "No merge brought this device"),
    )
)]
pub(crate) async fn split_asset(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::AssetId>,
    Json(body): Json<SplitOff>,
) -> ApiResult<Answer<SplitView>> {
    let split = app.services.assets.split(&caller.ctx, id, body.device_id.0).await?;
    let (kept, restored) = (split.kept.id, split.restored.id);
    Ok(Answer(SplitView {
        kept: in_full(&app, &caller, kept, split.kept).await?,
        restored: in_full(&app, &caller, restored, split.restored).await?,
    }))
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LookKind {
    /// Processors, memory, disks, model, serial number.
    Hardware,
    /// Hardware and network addresses.
    Network,
    /// What is installed.
    Software,
}

impl From<LookKind> for AuditKind {
    fn from(kind: LookKind) -> Self {
        match kind {
            LookKind::Hardware => AuditKind::Hardware,
            LookKind::Network => AuditKind::Network,
            LookKind::Software => AuditKind::Software,
        }
    }
}

impl From<AuditKind> for LookKind {
    fn from(kind: AuditKind) -> Self {
        match kind {
            AuditKind::Hardware => LookKind::Hardware,
            AuditKind::Network => LookKind::Network,
            AuditKind::Software => LookKind::Software,
        }
    }
}

/// What to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookRequest {
    /// One or more.
    #[schema(min_items = 1, max_items = 3)]
    kinds: Vec<LookKind>,
}

/// What became of one kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LookResult {
    /// Which.
    kind: LookKind,
    /// It was looked at.
    done: bool,
    /// The source that was asked; null if none of them can tell.
    source: Option<SourceView>,
    /// Why it was not looked at.
    problem: Option<String>,
}

/// One installed software.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SoftwareView {
    /// Its name, as the RMM writes it.
    name: String,
    /// Its version.
    version: Option<String>,
    /// Who publishes it.
    publisher: Option<String>,
}

/// What a look found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LookView {
    /// One for each kind.
    results: Vec<LookResult>,
    /// The asset as it is now.
    asset: AssetDetail,
    /// What is installed; null if it was not asked for or is not known. It is answered and not stored.
    software: Option<Vec<SoftwareView>>,
}

/// Look at an asset now
///
/// Reads from the RMM what it knows of the machine; the machine itself is not asked. Hardware and network are stored with
/// the asset, software is answered. What could not be read says why.
#[utoipa::path(
    post, path = "/api/v1/assets/{id}/audit", tag = "assets", params(("id" = wire::AssetId, Path)),
    request_body = LookRequest,
    responses((status = 200, description = "What was found", body = LookView))
)]
pub(crate) async fn audit_asset(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::AssetId>,
    Json(body): Json<LookRequest>,
) -> ApiResult<Answer<LookView>> {
    let kinds: Vec<AuditKind> = body.kinds.into_iter().map(Into::into).collect();
    let found = app.services.assets.audit(&caller.ctx, id, &kinds).await?;
    let results = found.results.into_iter().map(|result| LookResult {
        kind: result.kind.into(),
        done: result.problem.is_none(),
        source: result.source.map(Into::into),
        problem: result.problem,
    });
    let software = found.software.map(|list| {
        let shown = list.into_iter();
        shown
            .map(|row| SoftwareView { name: row.name, version: row.version, publisher: row.publisher })
            .collect()
    });
    Ok(Answer(LookView {
        results: results.collect(),
        asset: in_full(&app, &caller, id, found.asset).await?,
        software,
    }))
}
