//! Users, for those who manage them.

use axum::{Json as Answer, extract::State};
use domain::{id::UserId, scope::ClientScope};
use http::StatusCode;
use serde::Deserialize;
use service::account::{NewAccount, UserPatch};
use utoipa::ToSchema;

use super::account::UserView;
use crate::{
    app::AppState,
    body::{Json, nullable, present},
    ctx::Caller,
    error::ApiResult,
    page::{List, Path},
    wire,
};

/// The users
#[utoipa::path(
    get, path = "/api/v1/users", tag = "people",
    responses((status = 200, description = "All users, by e-mail address", body = List<UserView>))
)]
pub(crate) async fn list_users(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<Answer<List<UserView>>> {
    let users = app.services.accounts.users(&caller.ctx).await?;
    Ok(Answer(List::whole(users.into_iter().map(Into::into).collect())))
}

/// A user to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// E-mail address; an address names one account in the whole installation.
    email: String,
    /// What people call them.
    name: String,
    /// What they may do; no more than whoever asks may.
    role: wire::RoleKey,
    /// The clients they see; all if left out or null, none if empty. No more than whoever asks sees.
    #[serde(default)]
    clients: Option<Vec<wire::ClientId>>,
    /// The first password, at least 12 characters; the first sign-in can do nothing but change it.
    password: wire::Secret,
}

/// Create a user
#[utoipa::path(
    post, path = "/api/v1/users", tag = "people", request_body = NewUser,
    responses(
        (status = 201, description = "The user", body = UserView),
        (status = 403, description = "More rights (`permission_missing`) or clients (`limited_to_clients`) than one's own"),
        (status = 409, description = "There is an account with this address (`email_taken`)"),
        (status = 422, description = "There is no such role (`unknown_role`) or client (`unknown_client`)"),
    )
)]
pub(crate) async fn create_user(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<NewUser>,
) -> ApiResult<(StatusCode, Answer<UserView>)> {
    let new = NewAccount {
        email: body.email,
        name: body.name,
        role: body.role.0,
        clients: scope(body.clients),
        password: body.password.0,
    };
    let user = app.services.accounts.add_user(&caller.ctx, new).await?;
    Ok((StatusCode::CREATED, Answer(user.into())))
}

/// No list is no limit.
fn scope(clients: Option<Vec<wire::ClientId>>) -> ClientScope {
    clients.map_or(ClientScope::All, |list| ClientScope::only(list.into_iter().map(|id| id.0)))
}

/// One user
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "people", params(("id" = wire::UserId, Path)),
    responses((status = 200, description = "The user", body = UserView))
)]
pub(crate) async fn get_user(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> ApiResult<Answer<UserView>> {
    Ok(Answer(app.services.accounts.user(&caller.ctx, id).await?.into()))
}

/// A change of a user; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// What people call them.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// What they may do; no more than whoever asks may.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    role: Option<wire::RoleKey>,
    /// The clients they see: null for all, none if empty. No more than whoever asks sees.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<wire::ClientId>>)]
    clients: Option<Option<Vec<wire::ClientId>>>,
    /// Locked out, or let in again.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// Change a user
///
/// Another role, other clients and locking out end the user's sign-ins at once. Tokens never do more than the role allows nor
/// see more than the user, and those of a user who is locked out do not work. A user who may do or see more than whoever asks
/// cannot be changed (403).
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", tag = "people", params(("id" = wire::UserId, Path)),
    request_body = UserChange,
    responses(
        (status = 200, description = "The user", body = UserView),
        (status = 403, description = "More rights (`permission_missing`) or clients (`limited_to_clients`) than one's own"),
        (status = 422, description = "There is no such role (`unknown_role`) or client (`unknown_client`)"),
        (status = 409, description = "Nobody would be left to set things up and let others in (`last_admin`)"),
    )
)]
pub(crate) async fn update_user(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(body): Json<UserChange>,
) -> ApiResult<Answer<UserView>> {
    let patch = UserPatch {
        name: body.name,
        role: body.role.map(|role| role.0),
        clients: body.clients.map(scope),
        disabled: body.disabled,
    };
    Ok(Answer(app.services.accounts.update_user(&caller.ctx, id, patch).await?.into()))
}

/// A password for somebody else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPassword {
    /// At least 12 characters; the next sign-in can do nothing but change it.
    password: wire::Secret,
}

/// Set another person's password
///
/// Ends their sign-ins. One's own is changed with `PUT /me/password`.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/password", tag = "people", params(("id" = wire::UserId, Path)),
    request_body = SetPassword,
    responses(
        (status = 204, description = "Set; the sign-ins have ended"),
        (status = 409, description = "It is one's own account (`own_password`)"),
    )
)]
pub(crate) async fn set_user_password(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(body): Json<SetPassword>,
) -> ApiResult<StatusCode> {
    app.services.accounts.set_password_of(&caller.ctx, id, body.password.0).await?;
    Ok(StatusCode::NO_CONTENT)
}
