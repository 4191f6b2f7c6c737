//! Roles: the built-in ones, and those that the tenant made.

use axum::{Json as Answer, extract::State};
use domain::{auth::RoleKey, id::RoleId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::account::{RoleRequest, RoleWithHolders, SecondFactorRule};
use utoipa::ToSchema;

use crate::{
    app::AppState,
    body::{Json, present},
    ctx::Caller,
    error::ApiResult,
    page::{List, Path},
    wire,
};

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoleView {
    /// Its name if it is built in, else its id.
    id: wire::RoleKey,
    /// What people call it.
    name: String,
    /// What it allows.
    #[schema(value_type = Vec<wire::Permission>)]
    permissions: Vec<&'static str>,
    /// The same in every tenant, and cannot be changed.
    built_in: bool,
    /// How many users have it.
    user_count: u64,
    /// Who has it needs a second factor.
    second_factor_required: bool,
}

impl From<RoleWithHolders> for RoleView {
    fn from(found: RoleWithHolders) -> Self {
        let RoleWithHolders { role, users, second_factor } = found;
        RoleView {
            id: role.key.into(),
            permissions: role.permissions.names(),
            built_in: matches!(role.key, RoleKey::BuiltIn(_)),
            name: role.name,
            user_count: users,
            second_factor_required: second_factor == SecondFactorRule::Required,
        }
    }
}

/// The roles
#[utoipa::path(
    get, path = "/api/v1/roles", tag = "people",
    responses((status = 200, description = "The built-in roles, then the own ones by name", body = List<RoleView>))
)]
pub(crate) async fn list_roles(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<Answer<List<RoleView>>> {
    let roles = app.services.accounts.roles(&caller.ctx).await?;
    Ok(Answer(List::whole(roles.into_iter().map(Into::into).collect())))
}

/// A role to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    /// What people call it; no two roles have one name.
    name: String,
    /// What it allows; no more than whoever asks may.
    #[schema(value_type = Vec<wire::Permission>)]
    permissions: Vec<String>,
}

/// Make a role
#[utoipa::path(
    post, path = "/api/v1/roles", tag = "people", request_body = NewRole,
    responses(
        (status = 201, description = "The role", body = RoleView),
        (status = 409, description = "There is a role of this name (`name_taken`)"),
    )
)]
pub(crate) async fn create_role(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<NewRole>,
) -> ApiResult<(StatusCode, Answer<RoleView>)> {
    let role = app.services.accounts.create_role(&caller.ctx, &body.name, &body.permissions).await?;
    Ok((StatusCode::CREATED, Answer(role.into())))
}

/// A change of a role; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleChange {
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// All that it allows from now on; no more than whoever asks may.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<wire::Permission>, required = false)]
    permissions: Option<Vec<String>>,
}

/// Change a role
///
/// Other rights end the sign-ins of all who have it, and count for their tokens at once. Built-in roles have no id and
/// stay as they are.
#[utoipa::path(
    patch, path = "/api/v1/roles/{id}", tag = "people", params(("id" = wire::RoleId, Path)),
    request_body = RoleChange,
    responses(
        (status = 200, description = "The role", body = RoleView),
        (status = 409, description = "There is a role of this name (`name_taken`), or nobody would be left to set \
                                      things up and let others in (`last_admin`)"),
    )
)]
pub(crate) async fn update_role(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<RoleId>,
    Json(body): Json<RoleChange>,
) -> ApiResult<Answer<RoleView>> {
    let request = RoleRequest { name: body.name, permissions: body.permissions };
    Ok(Answer(app.services.accounts.update_role(&caller.ctx, id, &request).await?.into()))
}

/// Remove a role
#[utoipa::path(
    delete, path = "/api/v1/roles/{id}", tag = "people", params(("id" = wire::RoleId, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "Somebody has it (`role_in_use`)"),
    )
)]
pub(crate) async fn delete_role(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<RoleId>,
) -> ApiResult<StatusCode> {
    app.services.accounts.delete_role(&caller.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
