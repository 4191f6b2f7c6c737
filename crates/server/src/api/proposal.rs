//! Proposals: machines that may be the same.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    api::{asset::in_full, asset_merge::MergeAssets, asset_view::AssetDetail},
    app::AppState,
    body::Json,
    ctx::Caller,
    error::ApiResult,
    page::{List, Path, Query, page_request},
    wire,
};

/// Two assets that may be one machine.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProposalView {
    /// Its id.
    id: wire::ProposalId,
    /// The asset of the newer device.
    asset_id: wire::AssetId,
    /// Its name.
    asset_name: String,
    /// The newer device.
    device_id: wire::DeviceId,
    /// The asset of the older device.
    other_asset_id: wire::AssetId,
    /// Its name.
    other_asset_name: String,
    /// The older device.
    other_device_id: wire::DeviceId,
    /// Why they may be the same, in one line.
    reason: String,
    /// Why, one by one.
    evidence: Vec<String>,
    /// How sure, 0 to 100.
    score: u8,
    /// `open`, `merged`, `keep_both`, `never` or `withdrawn`: nothing speaks for it any more.
    state: String,
    /// When it was made.
    created_at: wire::Time,
    /// When it was answered.
    decided_at: Option<wire::Time>,
    /// Who answered it.
    decided_by: Option<String>,
}

impl From<service::asset::Proposal> for ProposalView {
    fn from(proposal: service::asset::Proposal) -> Self {
        ProposalView {
            id: proposal.id.into(),
            asset_id: proposal.asset_id.into(),
            asset_name: proposal.asset_name,
            device_id: proposal.device_id.into(),
            other_asset_id: proposal.other_asset_id.into(),
            other_asset_name: proposal.other_asset_name,
            other_device_id: proposal.other_device_id.into(),
            reason: proposal.reason,
            evidence: proposal.evidence,
            score: proposal.score,
            state: proposal.state,
            created_at: proposal.created_at.into(),
            decided_at: proposal.decided_at.map(Into::into),
            decided_by: proposal.decided_by,
        }
    }
}

/// Which proposals.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProposalFilter {
    /// Not decided.
    Open,
}

/// Which proposals, which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProposalQuery {
    /// Only those not decided.
    #[param(inline)]
    state: Option<ProposalFilter>,
    /// Most items, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Machines that may be the same
#[utoipa::path(
    get, path = "/api/v1/proposals", tag = "assets", params(ProposalQuery),
    responses((status = 200, description = "A page of proposals", body = List<ProposalView>))
)]
pub(crate) async fn list_proposals(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<ProposalQuery>,
) -> ApiResult<Answer<List<ProposalView>>> {
    let open_only = matches!(query.state, Some(ProposalFilter::Open));
    let page = page_request(query.limit, query.cursor)?;
    Ok(Answer(List::of(app.services.assets.proposals(&caller.ctx, open_only, page).await?)))
}

/// They are one machine
///
/// Puts the devices of both under one asset; the older asset stays unless `keep` says otherwise. The id of the other leads
/// to the one that stays.
#[utoipa::path(
    post, path = "/api/v1/proposals/{id}/merge", tag = "assets", params(("id" = wire::ProposalId, Path)),
    request_body = MergeAssets,
    responses(
        (status = 200, description = "The asset that stays", body = AssetDetail),
        (status = 409, description = "They are of two clients and `client_id` names none, or are one already"),
    )
)]
pub(crate) async fn merge_proposal(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ProposalId>,
    Json(body): Json<MergeAssets>,
) -> ApiResult<Answer<AssetDetail>> {
    let asset = app.services.assets.merge_proposal(&caller.ctx, id, body.choice()?).await?;
    Ok(Answer(in_full(&app, &caller, asset.id, asset).await?))
}

/// They are two machines
///
/// They stay two. It is asked again only if the evidence becomes stronger.
#[utoipa::path(
    post, path = "/api/v1/proposals/{id}/keep-both", tag = "assets", params(("id" = wire::ProposalId, Path)),
    responses((status = 204, description = "They stay two"))
)]
pub(crate) async fn keep_both(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ProposalId>,
) -> ApiResult<StatusCode> {
    app.services.assets.answer_proposal(&caller.ctx, id, service::asset::Answer::KeepBoth).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// They are two machines, and nobody is to ask again
#[utoipa::path(
    post, path = "/api/v1/proposals/{id}/never-match", tag = "assets", params(("id" = wire::ProposalId, Path)),
    responses((status = 204, description = "It will not be asked again"))
)]
pub(crate) async fn never_match(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ProposalId>,
) -> ApiResult<StatusCode> {
    app.services.assets.answer_proposal(&caller.ctx, id, service::asset::Answer::Never).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// They are two machines: the earlier name of `keep-both`
#[utoipa::path(
    post, path = "/api/v1/proposals/{id}/dismiss", tag = "assets", params(("id" = wire::ProposalId, Path)),
    responses((status = 204, description = "They stay two"))
)]
pub(crate) async fn dismiss_proposal(
    state: State<AppState>,
    caller: Caller,
    id: Path<domain::id::ProposalId>,
) -> ApiResult<StatusCode> {
    keep_both(state, caller, id).await
}
