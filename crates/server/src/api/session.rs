//! Sign-ins of browsers: one's own, and those of others for who manages users.

use axum::{Json as Answer, extract::State};
use domain::id::{SessionId, UserId};
use http::StatusCode;
use serde::Serialize;
use service::account::SessionInfo;
use utoipa::ToSchema;

use crate::{
    app::AppState,
    ctx::Caller,
    error::ApiResult,
    page::{List, Path, SessionPath},
    wire,
};

/// A sign-in of a browser.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignInView {
    /// Its id; it lets nobody in.
    id: wire::SessionId,
    /// When they signed in.
    created_at: wire::Time,
    /// When it was last used, to the minute.
    last_used_at: wire::Time,
    /// When it ends at the latest; without use it ends after 12 hours.
    expires_at: wire::Time,
    /// What the browser says it is.
    user_agent: Option<String>,
    /// The one by which this is asked.
    current: bool,
}

fn list(sessions: Vec<SessionInfo>, current: Option<SessionId>) -> Answer<List<SignInView>> {
    let view = |session: SessionInfo| SignInView {
        id: session.id.into(),
        created_at: session.created_at.into(),
        last_used_at: session.last_used_at.into(),
        expires_at: session.expires_at.into(),
        user_agent: session.user_agent,
        current: current == Some(session.id),
    };
    Answer(List::whole(sessions.into_iter().map(view).collect()))
}

/// One's own sign-ins
#[utoipa::path(
    get, path = "/api/v1/me/sessions", tag = "account",
    responses((status = 200, description = "Those that have not ended, the one used last first", body = List<SignInView>))
)]
pub(crate) async fn list_own_sessions(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<Answer<List<SignInView>>> {
    let sessions = app.services.accounts.own_sessions(&caller.ctx).await?;
    Ok(list(sessions, caller.session))
}

/// End all other sign-ins of one's own
///
/// The one by which this is asked stays; asked with a token, all end.
#[utoipa::path(
    delete, path = "/api/v1/me/sessions", tag = "account",
    responses(
        (status = 204, description = "They have ended"),
        (status = 403, description = "The request came from another site (`cross_site`)"),
    )
)]
pub(crate) async fn end_other_sessions(State(app): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    app.services.accounts.end_other_sessions(&caller.ctx, caller.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of one's own sign-ins
#[utoipa::path(
    delete, path = "/api/v1/me/sessions/{id}", tag = "account", params(("id" = wire::SessionId, Path)),
    responses(
        (status = 204, description = "It has ended"),
        (status = 403, description = "The request came from another site (`cross_site`)"),
    )
)]
pub(crate) async fn end_own_session(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> ApiResult<StatusCode> {
    app.services.accounts.end_own_session(&caller.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A user's sign-ins
#[utoipa::path(
    get, path = "/api/v1/users/{id}/sessions", tag = "people", params(("id" = wire::UserId, Path)),
    responses((status = 200, description = "Those that have not ended, the one used last first", body = List<SignInView>))
)]
pub(crate) async fn list_user_sessions(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> ApiResult<Answer<List<SignInView>>> {
    let sessions = app.services.accounts.sessions_of(&caller.ctx, id).await?;
    Ok(list(sessions, caller.session))
}

/// End all sign-ins of a user
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/sessions", tag = "people", params(("id" = wire::UserId, Path)),
    responses((status = 204, description = "They have ended"))
)]
pub(crate) async fn end_user_sessions(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> ApiResult<StatusCode> {
    app.services.accounts.end_sessions_of(&caller.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one sign-in of a user
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/sessions/{session_id}", tag = "people",
    params(("id" = wire::UserId, Path), ("session_id" = wire::SessionId, Path)),
    responses((status = 204, description = "It has ended"))
)]
pub(crate) async fn end_user_session(
    State(app): State<AppState>,
    caller: Caller,
    SessionPath(user, id): SessionPath,
) -> ApiResult<StatusCode> {
    app.services.accounts.end_session_of(&caller.ctx, user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
