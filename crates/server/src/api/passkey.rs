//! Passkeys: one's own, and the shapes in which browsers make and use them.
//!
//! Options and credentials have the JSON of W3C Web Authentication, Level 3: a page hands the options to
//! `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`, and sends back what `toJSON()` of the
//! credential gives. Of that, fields that are not named here are passed over, because browsers add some.

use axum::{Json as Answer, extract::State};
use domain::id::PasskeyId;
use http::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use service::account::{
    AssertionResponse, CreationOptions, Passkey, PasskeyDescriptor, RegistrationResponse, RequestOptions,
};
use utoipa::ToSchema;

use super::account::{SetCookie, let_in};
use crate::{
    app::AppState,
    body::Json,
    ctx::{Caller, RequestMeta, UserAgent},
    error::ApiResult,
    page::{List, Path},
    wire,
};

/// What people see as the name of who asks.
const RP_NAME: &str = "Fleetgate";

/// How long a browser may wait for its user: as long as a challenge holds.
const TIMEOUT_MS: u32 = 5 * 60 * 1_000;

/// The one kind of credential that there is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
enum CredentialKind {
    #[serde(rename = "public-key")]
    PublicKey,
}

/// A passkey as browsers look for it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CredentialDescriptor {
    #[serde(rename = "type")]
    kind: CredentialKind,
    /// Base64url.
    id: String,
    /// How a browser reaches it.
    transports: Vec<String>,
}

impl From<PasskeyDescriptor> for CredentialDescriptor {
    fn from(passkey: PasskeyDescriptor) -> Self {
        let PasskeyDescriptor { credential_id, transports } = passkey;
        CredentialDescriptor { kind: CredentialKind::PublicKey, id: credential_id, transports }
    }
}

fn descriptors(passkeys: Vec<PasskeyDescriptor>) -> Vec<CredentialDescriptor> {
    passkeys.into_iter().map(Into::into).collect()
}

/// Who asks for a passkey.
#[derive(Debug, Serialize, ToSchema)]
struct RelyingPartyView {
    /// The name that the passkey is bound to.
    id: String,
    /// What people see.
    name: &'static str,
}

/// Whose passkey it will be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PasskeyUser {
    /// Base64url; says nothing about the person.
    id: String,
    /// The e-mail address.
    name: String,
    /// What people call them.
    display_name: String,
}

/// A kind of key that is accepted.
#[derive(Debug, Serialize, ToSchema)]
struct KeyKind {
    #[serde(rename = "type")]
    kind: CredentialKind,
    /// COSE's number.
    #[schema(example = -7)]
    alg: i64,
}

/// What the authenticator has to be able to do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuthenticatorSelection {
    #[schema(example = "preferred")]
    resident_key: &'static str,
    require_resident_key: bool,
    #[schema(example = "required")]
    user_verification: &'static str,
}

/// `PublicKeyCredentialCreationOptionsJSON`, for `navigator.credentials.create`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreationOptionsView {
    rp: RelyingPartyView,
    user: PasskeyUser,
    /// Base64url; good once.
    challenge: String,
    pub_key_cred_params: Vec<KeyKind>,
    /// In milliseconds.
    timeout: u32,
    exclude_credentials: Vec<CredentialDescriptor>,
    authenticator_selection: AuthenticatorSelection,
    #[schema(example = "none")]
    attestation: &'static str,
}

/// With what a browser makes a passkey.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PasskeyEnrolment {
    /// For `PublicKeyCredential.parseCreationOptionsFromJSON`.
    options: CreationOptionsView,
    /// When the challenge in it ends.
    expires_at: wire::Time,
}

impl From<CreationOptions> for PasskeyEnrolment {
    fn from(made: CreationOptions) -> Self {
        let kinds = made.algorithms.iter().map(|alg| KeyKind { kind: CredentialKind::PublicKey, alg: *alg });
        let options = CreationOptionsView {
            rp: RelyingPartyView { id: made.relying_party.id().to_owned(), name: RP_NAME },
            user: PasskeyUser { id: made.user_handle, name: made.user_name, display_name: made.display_name },
            challenge: made.challenge.expose_secret().to_owned(),
            pub_key_cred_params: kinds.collect(),
            timeout: TIMEOUT_MS,
            exclude_credentials: descriptors(made.exclude),
            authenticator_selection: AuthenticatorSelection {
                resident_key: "preferred",
                require_resident_key: false,
                user_verification: "required",
            },
            attestation: "none",
        };
        PasskeyEnrolment { options, expires_at: made.expires_at.into() }
    }
}

/// `PublicKeyCredentialRequestOptionsJSON`, for `navigator.credentials.get`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestOptionsView {
    rp_id: String,
    /// Base64url; good once.
    challenge: String,
    /// In milliseconds.
    timeout: u32,
    allow_credentials: Vec<CredentialDescriptor>,
    #[schema(example = "required")]
    user_verification: &'static str,
}

impl From<RequestOptions> for RequestOptionsView {
    fn from(made: RequestOptions) -> Self {
        RequestOptionsView {
            rp_id: made.relying_party_id,
            challenge: made.challenge.expose_secret().to_owned(),
            timeout: TIMEOUT_MS,
            allow_credentials: descriptors(made.allow),
            user_verification: "required",
        }
    }
}

/// With what a browser uses a passkey.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PasskeyRequest {
    /// For `PublicKeyCredential.parseRequestOptionsFromJSON`.
    options: RequestOptionsView,
    /// When the challenge in it ends.
    expires_at: wire::Time,
}

/// What a new passkey says of itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AttestationView {
    /// Base64url.
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    /// Base64url.
    attestation_object: String,
    /// How a browser reaches it.
    #[serde(default)]
    transports: Vec<String>,
}

/// `RegistrationResponseJSON`: what `toJSON()` of a new credential gives.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RegistrationCredential {
    /// Base64url.
    id: String,
    #[serde(rename = "type")]
    #[expect(dead_code, reason = "only this kind can be read")]
    kind: CredentialKind,
    response: AttestationView,
}

impl From<RegistrationCredential> for RegistrationResponse {
    fn from(sent: RegistrationCredential) -> Self {
        let AttestationView { client_data_json, attestation_object, transports } = sent.response;
        RegistrationResponse { id: sent.id, client_data_json, attestation_object, transports }
    }
}

/// What a passkey says when it is used.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AssertionView {
    /// Base64url.
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    /// Base64url.
    authenticator_data: String,
    /// Base64url.
    signature: String,
    /// Base64url, if the authenticator gives one.
    #[serde(default)]
    user_handle: Option<String>,
}

/// `AuthenticationResponseJSON`: what `toJSON()` of a credential in use gives.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AssertionCredential {
    /// Base64url.
    id: String,
    #[serde(rename = "type")]
    #[expect(dead_code, reason = "only this kind can be read")]
    kind: CredentialKind,
    response: AssertionView,
}

impl From<AssertionCredential> for AssertionResponse {
    fn from(sent: AssertionCredential) -> Self {
        let AssertionView { client_data_json, authenticator_data, signature, user_handle } = sent.response;
        AssertionResponse { id: sent.id, client_data_json, authenticator_data, signature, user_handle }
    }
}

/// One of one's own passkeys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PasskeyView {
    /// Its id.
    id: wire::PasskeyId,
    /// What its owner calls it.
    name: String,
    /// The server that it works for; if the public address has changed since, it does not work here.
    rp_id: String,
    /// How a browser reaches it.
    transports: Vec<String>,
    /// It is copied to other machines, as its maker does that (as of its last use).
    backed_up: bool,
    /// When it was added.
    created_at: wire::Time,
    /// When it was last used.
    last_used_at: Option<wire::Time>,
}

impl From<Passkey> for PasskeyView {
    fn from(passkey: Passkey) -> Self {
        PasskeyView {
            id: passkey.id.into(),
            name: passkey.name,
            rp_id: passkey.rp_id,
            transports: passkey.transports,
            backed_up: passkey.backed_up,
            created_at: passkey.created_at.into(),
            last_used_at: passkey.last_used_at.map(Into::into),
        }
    }
}

/// One's own passkeys
#[utoipa::path(
    get, path = "/api/v1/me/passkeys", tag = "account",
    responses((status = 200, description = "The first added first", body = List<PasskeyView>))
)]
pub(crate) async fn list_passkeys(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<Answer<List<PasskeyView>>> {
    let passkeys = app.services.accounts.own_passkeys(&caller.ctx).await?;
    Ok(Answer(List::whole(passkeys.into_iter().map(Into::into).collect())))
}

/// Begin to add a passkey
///
/// The passkey counts as a second factor when its credential was sent (`POST /me/passkeys/confirm`), within five minutes and from
/// this browser. Beside another second factor it needs a step-up for settings.
#[utoipa::path(
    post, path = "/api/v1/me/passkeys", tag = "account",
    responses(
        (status = 201, description = "What the browser needs; the challenge is good once", body = PasskeyEnrolment),
        (status = 403, description = "There is a second factor already: prove first that it is you (`step_up_needed`)"),
        (status = 409, description = "The server's public address allows none (`passkeys_unavailable`), there are ten \
                                      (`too_many_passkeys`), or the request came with a token (`not_a_person`)"),
    )
)]
pub(crate) async fn enrol_passkey(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Answer<PasskeyEnrolment>)> {
    let made = app.services.accounts.enrol_passkey(&caller.ctx, caller.session).await?;
    Ok((StatusCode::CREATED, Answer(made.into())))
}

/// A passkey that the browser made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPasskey {
    /// What to call it.
    #[schema(example = "Laptop")]
    name: String,
    /// What the browser made.
    credential: RegistrationCredential,
}

/// A passkey that counts, and recovery codes, shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeyAdded {
    /// The passkey.
    passkey: PasskeyView,
    /// Each signs in once in place of a factor; none if there are some from an earlier factor.
    recovery_codes: Vec<String>,
}

/// Add the passkey that the browser made
///
/// From here on every sign-in asks for a second factor. All sign-ins end; the answer brings a new one for this browser, and, with
/// the first second factor, ten recovery codes.
#[utoipa::path(
    post, path = "/api/v1/me/passkeys/confirm", tag = "account", request_body = NewPasskey,
    responses(
        (status = 200, description = "It counts; a new cookie is set", body = PasskeyAdded),
        (status = 409, description = "None was asked for within five minutes (`nothing_to_confirm`), it is in use already \
                                      (`passkey_taken`), there are ten (`too_many_passkeys`), the server's public address \
                                      allows none (`passkeys_unavailable`), or the request came with a token \
                                      (`not_a_person`)"),
        (status = 422, description = "It was refused; the detail says why (`wrong_passkey`)"),
        (status = 429, description = "Too many tries (`throttled`); wait as `Retry-After` says"),
    )
)]
pub(crate) async fn confirm_passkey(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    UserAgent(user_agent): UserAgent,
    Json(body): Json<NewPasskey>,
) -> ApiResult<(SetCookie, Answer<PasskeyAdded>)> {
    let (accounts, credential) = (&app.services.accounts, body.credential.into());
    let (ctx, session) = (&caller.ctx, caller.session);
    let made = accounts.confirm_passkey(ctx, session, &body.name, &credential, user_agent.as_deref()).await?;
    let (cookie, _) = let_in(&meta, made.signed_in);
    let codes = made.recovery_codes.iter().map(|code| code.expose_secret().to_owned());
    Ok((cookie, Answer(PasskeyAdded { passkey: made.passkey.into(), recovery_codes: codes.collect() })))
}

/// Another name for a passkey.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyName {
    /// What to call it.
    #[schema(example = "Key on the ring")]
    name: String,
}

/// Rename one of one's own passkeys
#[utoipa::path(
    patch, path = "/api/v1/me/passkeys/{id}", tag = "account", params(("id" = wire::PasskeyId, Path)),
    request_body = PasskeyName,
    responses(
        (status = 200, description = "The passkey", body = PasskeyView),
        (status = 409, description = "The request came with a token (`not_a_person`)"),
    )
)]
pub(crate) async fn rename_passkey(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<PasskeyId>,
    Json(body): Json<PasskeyName>,
) -> ApiResult<Answer<PasskeyView>> {
    let accounts = &app.services.accounts;
    Ok(Answer(accounts.rename_passkey(&caller.ctx, caller.session, id, &body.name).await?.into()))
}

/// Remove one of one's own passkeys
///
/// With the last second factor the recovery codes go as well. All other sign-ins end. Needs a step-up for settings.
#[utoipa::path(
    delete, path = "/api/v1/me/passkeys/{id}", tag = "account", params(("id" = wire::PasskeyId, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 403, description = "Prove first that it is you (`step_up_needed`)"),
        (status = 409, description = "The request came with a token (`not_a_person`)"),
    )
)]
pub(crate) async fn remove_passkey(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<PasskeyId>,
) -> ApiResult<StatusCode> {
    app.services.accounts.remove_passkey(&caller.ctx, caller.session, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Begin to prove by a passkey who you are
///
/// The credential goes to `POST /session/step-up`, within five minutes and from this browser.
#[utoipa::path(
    post, path = "/api/v1/session/step-up/options", tag = "account",
    responses(
        (status = 200, description = "What the browser needs; the challenge is good once", body = PasskeyRequest),
        (status = 409, description = "There is no passkey for this server (`no_second_factor`), its public address allows \
                                      none (`passkeys_unavailable`), or the request came with a token (`not_a_person`)"),
    )
)]
pub(crate) async fn step_up_options(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<Answer<PasskeyRequest>> {
    let made = app.services.accounts.step_up_options(&caller.ctx, caller.session).await?;
    let expires_at = made.expires_at.into();
    Ok(Answer(PasskeyRequest { options: made.into(), expires_at }))
}
