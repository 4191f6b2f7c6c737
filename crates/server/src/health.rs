//! Is the process alive, and can it work?

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::AppState, error::ApiResult};

/// The server works.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`: everything else is a problem document.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process runs
///
/// Asks nothing else: a database that is away is no reason to restart the process.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses((status = 200, description = "It runs", body = Health))
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The server can work
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses(
        (status = 200, description = "The database answers", body = Health),
        (status = 503, description = "It does not (`database_unavailable`)"),
    )
)]
pub(crate) async fn readyz(State(app): State<AppState>) -> ApiResult<Json<Health>> {
    app.services.ready().await?;
    Ok(Json(Health { status: "ok" }))
}
