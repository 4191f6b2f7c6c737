//! Second factors and step-up: the second step of a sign-in, one's own authenticator app and recovery codes, and proof
//! of who asks before what is dangerous.

use axum::{Json as Answer, extract::State};
use domain::{auth::RoleKey, id::UserId};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use service::account::{Challenge, Proof, SecondFactorRule, SecondProof};
use utoipa::ToSchema;

use super::{
    account::{SessionView, SetCookie, let_in},
    passkey::{AssertionCredential, RequestOptionsView},
    role::RoleView,
};
use crate::{
    app::AppState,
    body::{Json, present, present_object},
    ctx::{Caller, RequestMeta, UserAgent},
    error::{ApiError, ApiResult},
    page::Path,
    wire,
};

/// A right password that waits for its second factor.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignInChallenge {
    /// Hand it back with the code or the passkey; shown this once.
    #[schema(example = "fgc_…")]
    challenge: String,
    /// When it ends: after five minutes, or five tries that failed.
    expires_at: wire::Time,
    /// With what the sign-in can be finished; a recovery code does as well.
    second_factors: Vec<wire::SecondFactor>,
    /// For `PublicKeyCredential.parseRequestOptionsFromJSON`; its challenge is good once. Null without a passkey for this server.
    passkey: Option<RequestOptionsView>,
}

impl From<Challenge> for SignInChallenge {
    fn from(challenge: Challenge) -> Self {
        SignInChallenge {
            challenge: challenge.secret.expose_secret().to_owned(),
            expires_at: challenge.expires_at.into(),
            second_factors: challenge.factors.into_iter().map(Into::into).collect(),
            passkey: challenge.passkey.map(Into::into),
        }
    }
}

/// The second step of a sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondStep {
    /// From the answer to the password.
    challenge: wire::Secret,
    /// A code of the authenticator app, or a recovery code.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    code: Option<wire::Secret>,
    /// What the browser made of the options `passkey` of the answer to the password.
    #[serde(default, deserialize_with = "present_object")]
    #[schema(nullable = false)]
    passkey: Option<AssertionCredential>,
}

/// Finish a sign-in with a second factor
#[utoipa::path(
    post, path = "/api/v1/session/second-factor", tag = "account", request_body = SecondStep,
    responses(
        (status = 200, description = "Signed in; the cookie is set", body = SessionView),
        (status = 401, description = "The code is wrong or was used already (`bad_code`), the passkey was refused; the \
                                      detail says why (`bad_passkey`), or the challenge is over: begin again with the \
                                      password (`bad_challenge`)"),
        (status = 403, description = "The request came from another site (`cross_site`)"),
        (status = 409, description = "The server's public address allows no passkeys (`passkeys_unavailable`)"),
        (status = 429, description = "Too many tries (`throttled`); wait as `Retry-After` says"),
    )
)]
pub(crate) async fn finish_sign_in(
    State(app): State<AppState>,
    meta: RequestMeta,
    UserAgent(user_agent): UserAgent,
    Json(body): Json<SecondStep>,
) -> ApiResult<(SetCookie, Answer<SessionView>)> {
    let step = match (body.code, body.passkey) {
        (Some(code), None) => SecondProof::Code(code.0),
        (None, Some(passkey)) => SecondProof::Passkey(passkey.into()),
        (None, None) | (Some(_), Some(_)) => return Err(one_proof("`code` and `passkey`", "code")),
    };
    let (accounts, challenge) = (&app.services.accounts, body.challenge.0);
    let signed_in = accounts.second_step(&challenge, &step, &meta.client(), user_agent.as_deref()).await?;
    Ok(let_in(&meta, signed_in))
}

fn one_proof(among: &str, field: &'static str) -> ApiError {
    let detail = format!("send one of {among}");
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "one_proof", detail).about(field)
}

/// Proof of who asks: the password, a code or a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepUp {
    /// The password.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    password: Option<wire::Secret>,
    /// A code of the authenticator app.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    code: Option<wire::Secret>,
    /// What the browser made of the options of `POST /session/step-up/options`.
    #[serde(default, deserialize_with = "present_object")]
    #[schema(nullable = false)]
    passkey: Option<AssertionCredential>,
    /// For acts on this client's machines; left out: for settings.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    client_id: Option<wire::ClientId>,
}

/// A proof that holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepUpView {
    /// Until when.
    until: wire::Time,
}

/// Prove again who you are
///
/// Asked for before what is dangerous (403 `step_up_needed`). Holds for five minutes, in this browser, for the client named or,
/// without one, for settings.
#[utoipa::path(
    post, path = "/api/v1/session/step-up", tag = "account", request_body = StepUp,
    responses(
        (status = 200, description = "Until when it holds", body = StepUpView),
        (status = 404, description = "There is no such client (`not_found`)"),
        (status = 409, description = "There is no app to make a code (`no_second_factor`), the server's public address \
                                      allows no passkeys (`passkeys_unavailable`), or the request came with a token \
                                      (`not_a_person`)"),
        (status = 422, description = "The password (`wrong_password`), the code (`wrong_code`) or the passkey \
                                      (`wrong_passkey`) was refused, or there is not one of them (`one_proof`)"),
        (status = 429, description = "Too many tries (`throttled`); wait as `Retry-After` says"),
    )
)]
pub(crate) async fn step_up(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<StepUp>,
) -> ApiResult<Answer<StepUpView>> {
    let proof = match (body.password, body.code, body.passkey) {
        (Some(password), None, None) => Proof::Password(password.0),
        (None, Some(code), None) => Proof::Code(code.0),
        (None, None, Some(passkey)) => Proof::Passkey(passkey.into()),
        _ => return Err(one_proof("`password`, `code` and `passkey`", "password")),
    };
    let client = body.client_id.map(|client| client.0);
    let until = app.services.accounts.step_up(&caller.ctx, caller.session, client, proof).await?;
    Ok(Answer(StepUpView { until: until.into() }))
}

/// A secret for an authenticator app.
#[derive(Serialize, ToSchema)]
pub(crate) struct TotpEnrolment {
    /// For typing, in base32; shown this once.
    secret: String,
    /// For a picture that the app reads; shown this once.
    #[schema(example = "otpauth://totp/Fleetgate:ann%40example.com?secret=…")]
    uri: String,
}

/// Begin to use an authenticator app
///
/// The app counts as a second factor when it has shown a first right code (`POST /me/totp/confirm`). A secret that waits for that
/// is replaced. Beside a passkey it needs a step-up for settings.
#[utoipa::path(
    post, path = "/api/v1/me/totp", tag = "account",
    responses(
        (status = 201, description = "The secret, shown this once", body = TotpEnrolment),
        (status = 403, description = "There is a passkey: prove first that it is you (`step_up_needed`)"),
        (status = 409, description = "There is one already (`totp_exists`), or the request came with a token \
                                      (`not_a_person`)"),
    )
)]
pub(crate) async fn enrol_totp(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Answer<TotpEnrolment>)> {
    let made = app.services.accounts.enrol_totp(&caller.ctx, caller.session).await?;
    let text = |secret: &SecretString| secret.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Answer(TotpEnrolment { secret: text(&made.secret), uri: text(&made.uri) })))
}

/// A code of the authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TotpCode {
    /// Six digits.
    code: wire::Secret,
}

/// Recovery codes, shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Each signs in once in place of a factor. None after adding one beside another: the former ones stay good.
    recovery_codes: Vec<String>,
}

impl From<Vec<SecretString>> for RecoveryCodes {
    fn from(codes: Vec<SecretString>) -> Self {
        RecoveryCodes { recovery_codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect() }
    }
}

/// Show that the authenticator app works
///
/// From here on every sign-in asks for it. All sign-ins end; the answer brings a new one for this browser, and, with the first
/// second factor, ten recovery codes.
#[utoipa::path(
    post, path = "/api/v1/me/totp/confirm", tag = "account", request_body = TotpCode,
    responses(
        (status = 200, description = "Recovery codes, shown this once; a new cookie is set", body = RecoveryCodes),
        (status = 403, description = "There is a passkey: prove first that it is you (`step_up_needed`)"),
        (status = 409, description = "No secret waits for it (`nothing_to_confirm`), or the request came with a \
                                      token (`not_a_person`)"),
        (status = 422, description = "The code is wrong (`wrong_code`)"),
        (status = 429, description = "Too many tries (`throttled`); wait as `Retry-After` says"),
    )
)]
pub(crate) async fn confirm_totp(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    UserAgent(user_agent): UserAgent,
    Json(body): Json<TotpCode>,
) -> ApiResult<(SetCookie, Answer<RecoveryCodes>)> {
    let accounts = &app.services.accounts;
    let confirmed =
        accounts.confirm_totp(&caller.ctx, caller.session, &body.code.0, user_agent.as_deref()).await?;
    let (cookie, _) = let_in(&meta, confirmed.signed_in);
    Ok((cookie, Answer(confirmed.recovery_codes.into())))
}

/// Stop using the authenticator app
///
/// With the last second factor the recovery codes go as well. All other sign-ins end. Needs a step-up for settings.
#[utoipa::path(
    delete, path = "/api/v1/me/totp", tag = "account",
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "Prove first that it is you (`step_up_needed`)"),
        (status = 409, description = "There is none (`no_second_factor`), or the request came with a token \
                                      (`not_a_person`)"),
    )
)]
pub(crate) async fn remove_totp(State(app): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    app.services.accounts.remove_totp(&caller.ctx, caller.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make new recovery codes
///
/// All former ones stop working. Needs a step-up for settings.
#[utoipa::path(
    post, path = "/api/v1/me/recovery-codes", tag = "account",
    responses(
        (status = 201, description = "Ten codes, shown this once", body = RecoveryCodes),
        (status = 403, description = "Prove first that it is you (`step_up_needed`)"),
        (status = 409, description = "There is no second factor (`no_second_factor`), or the request came with a \
                                      token (`not_a_person`)"),
    )
)]
pub(crate) async fn renew_recovery_codes(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Answer<RecoveryCodes>)> {
    let codes = app.services.accounts.renew_recovery_codes(&caller.ctx, caller.session).await?;
    Ok((StatusCode::CREATED, Answer(codes.into())))
}

/// Remove another person's second factors
///
/// The app and all passkeys, for somebody who lost theirs. Ends their sign-ins; the password alone lets in again. One's own is removed with
/// `DELETE /me/totp` and `DELETE /me/passkeys/{id}`.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/second-factors", tag = "people", params(("id" = wire::UserId, Path)),
    responses(
        (status = 204, description = "There is none any more; the sign-ins have ended"),
        (status = 409, description = "It is one's own account (`own_second_factor`)"),
    )
)]
pub(crate) async fn reset_user_second_factors(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> ApiResult<StatusCode> {
    app.services.accounts.reset_second_factor_of(&caller.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a role asks for a second factor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleSecondFactor {
    /// Who has none can only enrol one.
    required: bool,
}

/// Ask for a second factor of all who have a role, or stop asking
///
/// Built-in roles too. Counts at once for sign-ins that are open; tokens go on as before.
#[utoipa::path(
    put, path = "/api/v1/roles/{id}/second-factor", tag = "people", params(("id" = wire::RoleKey, Path)),
    request_body = RoleSecondFactor,
    responses((status = 200, description = "The role", body = RoleView))
)]
pub(crate) async fn set_role_second_factor(
    State(app): State<AppState>,
    caller: Caller,
    Path(key): Path<RoleKey>,
    Json(body): Json<RoleSecondFactor>,
) -> ApiResult<Answer<RoleView>> {
    let rule = if body.required { SecondFactorRule::Required } else { SecondFactorRule::Optional };
    Ok(Answer(app.services.accounts.set_second_factor_of_role(&caller.ctx, key, rule).await?.into()))
}
