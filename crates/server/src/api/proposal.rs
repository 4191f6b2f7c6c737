//! Proposals: machines that may be the same.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::AppState,
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
    /// The one asset.
    asset_id: wire::AssetId,
    /// Its name.
    asset_name: String,
    /// The other asset.
    other_asset_id: wire::AssetId,
    /// Its name.
    other_asset_name: String,
    /// Why they may be the same.
    reason: String,
    /// How sure, 0 to 100.
    score: u8,
    /// `open` or `dismissed`.
    state: String,
    /// When it was made.
    created_at: wire::Time,
}

impl From<service::asset::Proposal> for ProposalView {
    fn from(proposal: service::asset::Proposal) -> Self {
        ProposalView {
            id: proposal.id.into(),
            asset_id: proposal.asset_id.into(),
            asset_name: proposal.asset_name,
            other_asset_id: proposal.other_asset_id.into(),
            other_asset_name: proposal.other_asset_name,
            reason: proposal.reason,
            score: proposal.score,
            state: proposal.state,
            created_at: proposal.created_at.into(),
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

/// They are two machines
#[utoipa::path(
    post, path = "/api/v1/proposals/{id}/dismiss", tag = "assets", params(("id" = wire::ProposalId, Path)),
    responses((status = 204, description = "It will not be asked again"))
)]
pub(crate) async fn dismiss_proposal(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::ProposalId>,
) -> ApiResult<StatusCode> {
    app.services.assets.dismiss_proposal(&caller.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
