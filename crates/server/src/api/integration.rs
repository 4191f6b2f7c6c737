//! Integrations: connected, tested, changed. Secrets come in and never go out.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::integration::Draft;
use utoipa::ToSchema;

use crate::{
    api::integration_view::{CheckView, IntegrationView},
    app::AppState,
    body::{Json, OptionalJson, nullable, object_or_null, present, present_object},
    ctx::Caller,
    error::ApiResult,
    page::{List, Path},
    wire,
};

/// Secrets by the names of the form's fields.
type Fields = BTreeMap<String, wire::Secret>;

/// Settings to change; what is left out stays.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsChange {
    /// Allow plain `http://`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    allow_plain_http: Option<bool>,
    /// Seconds between two presence passes, 30 to 86400.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    presence_interval_s: Option<u32>,
    /// Seconds between two full syncs of devices, 300 to 604800.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    sync_interval_s: Option<u32>,
    /// Hours of the day (UTC, 0 to 23) in which scheduled syncs do not start.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    quiet_hours: Option<Vec<u8>>,
    /// Largest share of devices, in per cent, that one run may mark missing, 1 to 100.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    missing_brake_percent: Option<u8>,
    /// Run schedules.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    schedules_enabled: Option<bool>,
    /// Merge a machine by itself with one of another integration if serial number and a hardware address are the same.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    merge_exact: Option<bool>,
    /// Our share of the requests that the RMM takes, in per cent, 1 to 90. This and the next five only where the RMM has
    /// them (`settings` in `GET /providers`): 422 `setting_of_another_rmm`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    rate_share_percent: Option<u8>,
    /// Hours of silence after which a device that is offline is overdue, 1 to 8760.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    overdue_after_hours: Option<u32>,
    /// Days of silence after which a device that is offline is stale as well, 1 to 3650.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    stale_after_days: Option<u32>,
    /// Take over machines that the RMM does not manage permanently.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    include_on_demand: Option<bool>,
    /// Take over machines that were deleted at the RMM.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    include_deleted: Option<bool>,
    /// Custom fields by the RMM's key; those that are left out stay.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    custom_fields: Option<BTreeMap<String, CustomFieldChange>>,
}

/// A change of how a custom field is shown; what is left out stays.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomFieldChange {
    /// What people call it, up to 100 characters; null: the RMM's key.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    /// Keep and show its value. Otherwise only that it is set: custom fields hold keys and passwords. Values appear with
    /// the next sync.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    shown: Option<bool>,
}

/// A connection to make or to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIntegration {
    /// The RMM, as in `GET /providers`.
    provider: String,
    /// What people call it; left out, the RMM's name.
    name: Option<String>,
    /// Its address, as pasted.
    url: String,
    /// How it authenticates, as in `GET /providers`.
    auth_mode: String,
    /// Secrets by the names of the form's fields.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, wire::Secret>)]
    fields: Fields,
    /// A one-time code, used once and never kept.
    code: Option<wire::Secret>,
    /// Settings; what is left out has its default.
    #[serde(default, deserialize_with = "object_or_null")]
    settings: Option<SettingsChange>,
}

impl From<NewIntegration> for Draft {
    fn from(new: NewIntegration) -> Self {
        Draft {
            provider: Some(new.provider),
            name: new.name,
            url: Some(new.url),
            auth_mode: Some(new.auth_mode),
            fields: secrets(new.fields),
            code: new.code.map(|code| code.0),
            settings: settings(new.settings),
        }
    }
}

/// A change of an integration; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntegrationChange {
    /// The version that was read: 409 `stale` if it is not the newest.
    #[serde(default, deserialize_with = "present")]
    version: Option<i64>,
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    /// Its address. Another scheme, host or port needs the secrets again: 409 `secret_required`.
    #[serde(default, deserialize_with = "present")]
    url: Option<String>,
    /// How it authenticates.
    #[serde(default, deserialize_with = "present")]
    auth_mode: Option<String>,
    /// Secrets to replace.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, wire::Secret>)]
    fields: Fields,
    /// A one-time code, used once and never kept.
    #[serde(default, deserialize_with = "present")]
    code: Option<wire::Secret>,
    /// Settings to change.
    #[serde(default, deserialize_with = "present_object")]
    settings: Option<SettingsChange>,
}

/// What to try with an integration instead of what is stored. Nothing of it is saved.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestDraft {
    /// Its address.
    #[serde(default, deserialize_with = "present")]
    url: Option<String>,
    /// How it authenticates.
    #[serde(default, deserialize_with = "present")]
    auth_mode: Option<String>,
    /// Secrets.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, wire::Secret>)]
    fields: Fields,
    /// A one-time code, used once and never kept.
    #[serde(default, deserialize_with = "present")]
    code: Option<wire::Secret>,
    /// Settings.
    #[serde(default, deserialize_with = "present_object")]
    settings: Option<SettingsChange>,
}

/// A one-time code, if the RMM asks for one.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInCode {
    /// The code, used once and never kept.
    code: Option<wire::Secret>,
}

/// What connects an integration again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reconnection {
    /// Secrets by the names of the form's fields.
    #[schema(value_type = BTreeMap<String, wire::Secret>)]
    fields: Fields,
    /// A one-time code, used once and never kept.
    code: Option<wire::Secret>,
    /// Another address.
    url: Option<String>,
    /// Another way to authenticate.
    auth_mode: Option<String>,
}

fn secrets(fields: Fields) -> BTreeMap<String, secrecy::SecretString> {
    fields.into_iter().map(|(name, secret)| (name, secret.0)).collect()
}

fn settings(change: Option<SettingsChange>) -> Option<serde_json::Value> {
    change.map(|change| serde_json::to_value(change).expect("settings are numbers, flags and lists"))
}

/// Integrations
#[utoipa::path(
    get, path = "/api/v1/integrations", tag = "integrations",
    responses((status = 200, description = "All of them", body = List<IntegrationView>))
)]
pub(crate) async fn list_integrations(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<Answer<List<IntegrationView>>> {
    let integrations = app.services.integrations.list(&caller.ctx).await?;
    Ok(Answer(List::whole(integrations.into_iter().map(Into::into).collect())))
}

/// Connect an RMM
///
/// Tested first: what does not work is not saved.
#[utoipa::path(
    post, path = "/api/v1/integrations", tag = "integrations", request_body = NewIntegration,
    responses(
        (status = 201, description = "The integration", body = IntegrationView),
        (status = 409, description = "The name is taken (`name_taken`)"),
        (status = 502, description = "The RMM's problem, with its own code and `fix`"),
    )
)]
pub(crate) async fn create_integration(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<NewIntegration>,
) -> ApiResult<(StatusCode, Answer<IntegrationView>)> {
    let integration = app.services.integrations.create(&caller.ctx, body.into()).await?;
    Ok((StatusCode::CREATED, Answer(integration.into())))
}

/// Try a connection without saving it
#[utoipa::path(
    post, path = "/api/v1/integrations/test", tag = "integrations", request_body = NewIntegration,
    responses((status = 200, description = "The report; what failed is in it", body = CheckView))
)]
pub(crate) async fn test_new_integration(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<NewIntegration>,
) -> ApiResult<Answer<CheckView>> {
    Ok(Answer(app.services.integrations.test_draft(&caller.ctx, body.into()).await?.into()))
}

/// One integration
#[utoipa::path(
    get, path = "/api/v1/integrations/{id}", tag = "integrations", params(("id" = wire::IntegrationId, Path)),
    responses((status = 200, description = "The integration", body = IntegrationView))
)]
pub(crate) async fn get_integration(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::IntegrationId>,
) -> ApiResult<Answer<IntegrationView>> {
    Ok(Answer(app.services.integrations.get(&caller.ctx, id).await?.into()))
}

/// Change an integration
///
/// What is left out stays. A new scheme, host or port needs the secrets again.
#[utoipa::path(
    patch, path = "/api/v1/integrations/{id}", tag = "integrations",
    params(("id" = wire::IntegrationId, Path)), request_body = IntegrationChange,
    responses(
        (status = 200, description = "The integration", body = IntegrationView),
        (status = 409, description = "`stale`, `secret_required`, `name_taken`"),
        (status = 502, description = "The RMM's problem, with its own code and `fix`"),
    )
)]
pub(crate) async fn update_integration(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::IntegrationId>,
    Json(body): Json<IntegrationChange>,
) -> ApiResult<Answer<IntegrationView>> {
    let patch = Draft {
        provider: None,
        name: body.name,
        url: body.url,
        auth_mode: body.auth_mode,
        fields: secrets(body.fields),
        code: body.code.map(|code| code.0),
        settings: settings(body.settings),
    };
    let integration = app.services.integrations.update(&caller.ctx, id, patch, body.version).await?;
    Ok(Answer(integration.into()))
}

/// Test an integration
///
/// With what is stored, or with a draft in its place; nothing of the draft is saved.
#[utoipa::path(
    post, path = "/api/v1/integrations/{id}/test", tag = "integrations",
    params(("id" = wire::IntegrationId, Path)), request_body = Option<TestDraft>,
    responses(
        (status = 200, description = "The report; what failed is in it", body = CheckView),
        (status = 409, description = "Another address needs the secrets again (`secret_required`)"),
    )
)]
pub(crate) async fn test_integration(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::IntegrationId>,
    OptionalJson(body): OptionalJson<TestDraft>,
) -> ApiResult<Answer<CheckView>> {
    let draft = Draft {
        url: body.url,
        auth_mode: body.auth_mode,
        fields: secrets(body.fields),
        code: body.code.map(|code| code.0),
        settings: settings(body.settings),
        ..Draft::default()
    };
    Ok(Answer(app.services.integrations.test(&caller.ctx, id, draft).await?.into()))
}

/// Sign in at the RMM
///
/// For ways to authenticate that need a token, with the one-time code where one is asked for.
#[utoipa::path(
    post, path = "/api/v1/integrations/{id}/sign-in", tag = "integrations",
    params(("id" = wire::IntegrationId, Path)), request_body = Option<SignInCode>,
    responses(
        (status = 200, description = "The integration", body = IntegrationView),
        (status = 409, description = "It does not sign in, or is disconnected"),
        (status = 502, description = "The RMM's problem, with its own code and `fix`"),
    )
)]
pub(crate) async fn sign_in_integration(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::IntegrationId>,
    OptionalJson(body): OptionalJson<SignInCode>,
) -> ApiResult<Answer<IntegrationView>> {
    let code = body.code.map(|code| code.0);
    Ok(Answer(app.services.integrations.sign_in(&caller.ctx, id, code).await?.into()))
}

/// Disconnect an integration
///
/// Clears secrets and stops schedules; keeps mappings and assets.
#[utoipa::path(
    post, path = "/api/v1/integrations/{id}/disconnect", tag = "integrations",
    params(("id" = wire::IntegrationId, Path)),
    responses((status = 200, description = "The integration", body = IntegrationView))
)]
pub(crate) async fn disconnect_integration(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::IntegrationId>,
) -> ApiResult<Answer<IntegrationView>> {
    Ok(Answer(app.services.integrations.disconnect(&caller.ctx, id).await?.into()))
}

/// Connect an integration again
///
/// Mappings and assets are as they were.
#[utoipa::path(
    post, path = "/api/v1/integrations/{id}/reconnect", tag = "integrations",
    params(("id" = wire::IntegrationId, Path)), request_body = Reconnection,
    responses(
        (status = 200, description = "The integration", body = IntegrationView),
        (status = 409, description = "It is connected"),
        (status = 502, description = "The RMM's problem, with its own code and `fix`"),
    )
)]
pub(crate) async fn reconnect_integration(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::IntegrationId>,
    Json(body): Json<Reconnection>,
) -> ApiResult<Answer<IntegrationView>> {
    let draft = Draft {
        url: body.url,
        auth_mode: body.auth_mode,
        fields: secrets(body.fields),
        code: body.code.map(|code| code.0),
        ..Draft::default()
    };
    Ok(Answer(app.services.integrations.reconnect(&caller.ctx, id, draft).await?.into()))
}
