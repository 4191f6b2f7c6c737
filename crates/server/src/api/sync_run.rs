//! Sync runs: asked for, watched, stopped.

use axum::{Json as Answer, extract::State};
use domain::sync::{RunCounts, RunItem, SyncRun};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::sync::RunFilter;
use utoipa::{IntoParams, ToSchema};

use crate::{
    api::{asset::PageQuery, integration_view::ProblemView},
    app::AppState,
    body::Json,
    ctx::Caller,
    error::ApiResult,
    page::{List, Path, Query, page_request},
    wire,
};

/// One execution of a sync.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunView {
    /// Its id.
    id: wire::SyncRunId,
    /// Whose.
    integration_id: wire::IntegrationId,
    /// What it does.
    kind: wire::RunKind,
    /// Where it stands.
    state: wire::RunState,
    /// It only looks and tells what would change.
    preview: bool,
    /// Who asked: an e-mail address or `system`.
    requested_by: String,
    /// How far it is.
    progress: Progress,
    /// What it did.
    counts: Counts,
    /// What stopped it.
    problem: Option<ProblemView>,
    /// Somebody asked it to stop.
    cancel_requested: bool,
    /// When it was asked for.
    created_at: wire::Time,
    /// When it began.
    started_at: Option<wire::Time>,
    /// When it ended.
    ended_at: Option<wire::Time>,
}

/// How far a run is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Progress {
    /// What it does right now, for people.
    stage: String,
    /// Units done.
    done: u64,
    /// Units in all, once known.
    total: Option<u64>,
}

/// What a run did, or in a preview would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Rows read from the RMM.
    read: u64,
    /// New.
    created: u64,
    /// Changed.
    updated: u64,
    /// Not changed.
    unchanged: u64,
    /// Went to another organization.
    moved: u64,
    /// Came back after being missing.
    returned: u64,
    /// Newly missing.
    missing: u64,
    /// Rows that could not be read.
    failed: u64,
    /// Organizations whose list was not complete.
    incomplete: u64,
    /// Status transitions, of changed and unchanged devices.
    status_changes: u64,
    /// Known devices that the lists lacked; they count as missing after three complete passes and 24 hours.
    absent: u64,
    /// Organizations that stopped being synced during the run: the rest of their list was left out.
    skipped: u64,
    /// Calls made to the RMM.
    calls: u64,
}

impl From<RunCounts> for Counts {
    fn from(counts: RunCounts) -> Self {
        Counts {
            read: counts.read,
            created: counts.created,
            updated: counts.updated,
            unchanged: counts.unchanged,
            moved: counts.moved,
            returned: counts.returned,
            missing: counts.missing,
            failed: counts.failed,
            incomplete: counts.incomplete,
            status_changes: counts.status_changes,
            absent: counts.absent,
            skipped: counts.skipped,
            calls: counts.calls,
        }
    }
}

impl From<SyncRun> for RunView {
    fn from(run: SyncRun) -> Self {
        RunView {
            id: run.id.into(),
            integration_id: run.integration_id.into(),
            kind: run.kind.into(),
            state: run.state.into(),
            preview: run.preview,
            requested_by: run.requested_by,
            progress: Progress { stage: run.stage, done: run.done, total: run.total },
            counts: run.counts.into(),
            problem: run.problem.as_deref().map(ProblemView::from_stored),
            cancel_requested: run.cancel_requested,
            created_at: run.created_at.into(),
            started_at: run.started_at.map(Into::into),
            ended_at: run.ended_at.map(Into::into),
        }
    }
}

/// A row that failed, an organization that was skipped, or in a preview what would happen to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunItemView {
    /// Position.
    n: i64,
    /// `failed`, `skipped`; in a preview `created`, `updated`, `moved`, `absent`, `missing`.
    action: String,
    /// The RMM's id.
    external_id: Option<String>,
    /// Its name.
    name: Option<String>,
    /// What happened.
    message: String,
}

impl From<RunItem> for RunItemView {
    fn from(item: RunItem) -> Self {
        RunItemView {
            n: item.n,
            action: item.action,
            external_id: item.external_id,
            name: item.name,
            message: item.message,
        }
    }
}

/// A sync to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyncRequest {
    /// What to sync.
    kind: wire::RunKind,
    /// Only look and tell what would change.
    #[serde(default)]
    preview: bool,
}

/// Ask for a sync
///
/// An equal one that waits or works is answered instead of a second one.
#[utoipa::path(
    post, path = "/api/v1/integrations/{id}/sync", tag = "integrations",
    params(("id" = wire::IntegrationId, Path)), request_body = SyncRequest,
    responses(
        (status = 202, description = "The run", body = RunView),
        (status = 409, description = "The integration is not connected, or another sync runs (`sync_running`)"),
    )
)]
pub(crate) async fn request_sync(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::IntegrationId>,
    Json(body): Json<SyncRequest>,
) -> ApiResult<(StatusCode, Answer<RunView>)> {
    let run = app.services.sync.request(&caller.ctx, id, body.kind.0, body.preview).await?;
    Ok((StatusCode::ACCEPTED, Answer(run.into())))
}

/// Which runs, which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunQuery {
    /// Of this integration.
    integration_id: Option<wire::IntegrationId>,
    /// Of this kind.
    kind: Option<wire::RunKind>,
    /// In this state.
    state: Option<wire::RunState>,
    /// Most items, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Sync runs, newest first
#[utoipa::path(
    get, path = "/api/v1/sync-runs", tag = "integrations", params(RunQuery),
    responses((status = 200, description = "A page of runs", body = List<RunView>))
)]
pub(crate) async fn list_sync_runs(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<RunQuery>,
) -> ApiResult<Answer<List<RunView>>> {
    let filter = RunFilter {
        integration_id: query.integration_id.map(|id| id.0),
        kind: query.kind.map(|kind| kind.0),
        state: query.state.map(|state| state.0),
    };
    let page = page_request(query.limit, query.cursor)?;
    Ok(Answer(List::of(app.services.sync.list(&caller.ctx, filter, page).await?)))
}

/// One sync run with counts and progress
#[utoipa::path(
    get, path = "/api/v1/sync-runs/{id}", tag = "integrations", params(("id" = wire::SyncRunId, Path)),
    responses((status = 200, description = "The run", body = RunView))
)]
pub(crate) async fn get_sync_run(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::SyncRunId>,
) -> ApiResult<Answer<RunView>> {
    Ok(Answer(app.services.sync.get(&caller.ctx, id).await?.into()))
}

/// Rows of a run that failed; in a preview what would change
#[utoipa::path(
    get, path = "/api/v1/sync-runs/{id}/items", tag = "integrations",
    params(("id" = wire::SyncRunId, Path), PageQuery),
    responses((status = 200, description = "A page of rows", body = List<RunItemView>))
)]
pub(crate) async fn list_sync_run_items(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::SyncRunId>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Answer<List<RunItemView>>> {
    let page = page_request(query.limit, query.cursor)?;
    Ok(Answer(List::of(app.services.sync.items(&caller.ctx, id, page).await?)))
}

/// Ask a sync run to stop
#[utoipa::path(
    post, path = "/api/v1/sync-runs/{id}/cancel", tag = "integrations", params(("id" = wire::SyncRunId, Path)),
    responses((status = 200, description = "The run: over if it waited, else it stops at its next step", body = RunView))
)]
pub(crate) async fn cancel_sync_run(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::SyncRunId>,
) -> ApiResult<Answer<RunView>> {
    Ok(Answer(app.services.sync.cancel(&caller.ctx, id).await?.into()))
}
