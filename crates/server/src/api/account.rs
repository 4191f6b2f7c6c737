//! Set-up, sign-in, and what is one's own.

use axum::{
    Json as Answer,
    extract::State,
    response::{AppendHeaders, IntoResponse, Response},
};
use axum_extra::extract::cookie::Cookie;
use domain::{ActorKind, scope::ClientScope};
use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use service::account::{Factor, Limit, SetupState, SignIn, SignedIn, User};
use utoipa::ToSchema;

use super::factor::SignInChallenge;
use crate::{
    app::AppState,
    body::Json,
    ctx::{Caller, RequestMeta, UserAgent},
    error::{ApiError, ApiResult},
    session::{self, Credential},
    wire,
};

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserView {
    /// Their id.
    id: wire::UserId,
    /// Their e-mail address.
    email: String,
    /// What people call them.
    name: String,
    /// What they may do.
    role: wire::RoleKey,
    /// What people call the role.
    role_name: String,
    /// The clients they see; null for all. Without those that whoever asks does not see.
    clients: Option<Vec<wire::ClientId>>,
    /// Since when they are locked out.
    disabled_at: Option<wire::Time>,
    /// What is asked for beside the password.
    second_factors: Vec<wire::SecondFactor>,
    /// Somebody else chose the password; a sign-in can only change it.
    must_change_password: bool,
    /// When they were added.
    created_at: wire::Time,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let second_factors = Factor::of(&user).into_iter().map(Into::into).collect();
        UserView {
            second_factors,
            must_change_password: user.password_given_at.is_some(),
            id: user.id.into(),
            email: user.email,
            name: user.name,
            role: user.role.key.into(),
            role_name: user.role.name,
            clients: match user.clients {
                ClientScope::All => None,
                ClientScope::Only(list) => Some(list.iter().map(Into::into).collect()),
            },
            disabled_at: user.disabled_at.map(Into::into),
            created_at: user.created_at.into(),
        }
    }
}

/// Somebody who was let in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// Who it is.
    user: UserView,
    /// When the sign-in ends at the latest.
    expires_at: wire::Time,
}

pub(crate) type SetCookie = AppendHeaders<[(HeaderName, String); 1]>;

fn set_cookie(cookie: Cookie<'static>) -> SetCookie {
    AppendHeaders([(header::SET_COOKIE, cookie.to_string())])
}

/// The cookie of a new sign-in, and who it is.
pub(crate) fn let_in(meta: &RequestMeta, signed_in: SignedIn) -> (SetCookie, Answer<SessionView>) {
    let cookie = session::cookie(&signed_in.secret, meta.arrival);
    let view = SessionView { user: signed_in.user.into(), expires_at: signed_in.expires_at.into() };
    (set_cookie(cookie), Answer(view))
}

/// Can the first admin still be made?
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SetupView {
    /// Yes, with the token that the server prints at its start.
    open: bool,
}

/// Can the first admin still be made?
#[utoipa::path(
    get, path = "/api/v1/setup", tag = "account",
    responses((status = 200, description = "Whether set-up is open", body = SetupView))
)]
pub(crate) async fn get_setup(State(app): State<AppState>) -> ApiResult<Answer<SetupView>> {
    let state = app.services.accounts.setup_state().await?;
    Ok(Answer(SetupView { open: matches!(state, SetupState::Open) }))
}

/// The first admin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstAdmin {
    /// The set-up token that the server printed.
    token: wire::Secret,
    /// E-mail address.
    email: String,
    /// What people call them.
    name: String,
    /// At least 12 characters.
    password: wire::Secret,
}

/// Make the first admin
///
/// Signs them in and closes set-up for good.
#[utoipa::path(
    post, path = "/api/v1/setup", tag = "account", request_body = FirstAdmin,
    responses(
        (status = 201, description = "Signed in; the cookie is set", body = SessionView),
        (status = 401, description = "The set-up token is wrong (`bad_setup_token`)"),
        (status = 403, description = "The request came from another site (`cross_site`)"),
        (status = 409, description = "Set-up is closed (`setup_closed`)"),
    )
)]
pub(crate) async fn set_up(
    State(app): State<AppState>,
    meta: RequestMeta,
    UserAgent(user_agent): UserAgent,
    Json(body): Json<FirstAdmin>,
) -> ApiResult<(StatusCode, (SetCookie, Answer<SessionView>))> {
    let accounts = &app.services.accounts;
    let (token, password) = (body.token.0, body.password.0);
    let signed_in = accounts.set_up(&token, &body.email, &body.name, password, user_agent.as_deref()).await?;
    Ok((StatusCode::CREATED, let_in(&meta, signed_in)))
}

/// What lets a person in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// E-mail address.
    email: String,
    /// Password.
    password: wire::Secret,
}

/// Sign in
///
/// Who has a second factor gets a challenge instead, and finishes with `POST /session/second-factor`.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "account", request_body = Login,
    responses(
        (status = 200, description = "Signed in; the cookie is set", body = SessionView),
        (status = 202, description = "The password is right; the second factor is to come", body = SignInChallenge),
        (status = 401, description = "E-mail address or password is wrong (`bad_credentials`)"),
        (status = 403, description = "The request came from another site (`cross_site`)"),
        (status = 429, description = "Too many tries (`throttled`); wait as `Retry-After` says"),
    )
)]
pub(crate) async fn sign_in(
    State(app): State<AppState>,
    meta: RequestMeta,
    UserAgent(user_agent): UserAgent,
    Json(body): Json<Login>,
) -> ApiResult<Response> {
    let address = meta.client();
    let accounts = &app.services.accounts;
    let answer = accounts.sign_in(&body.email, body.password.0, &address, user_agent.as_deref()).await?;
    Ok(match answer {
        SignIn::Done(signed_in) => let_in(&meta, *signed_in).into_response(),
        SignIn::Challenged(challenge) => {
            (StatusCode::ACCEPTED, Answer(SignInChallenge::from(challenge))).into_response()
        }
    })
}

/// Sign out
///
/// Ends the sign-in of the cookie and takes the cookie away. A token is revoked with `DELETE /tokens/{id}` instead.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "account",
    responses(
        (status = 204, description = "Signed out"),
        (status = 403, description = "The request came from another site (`cross_site`)"),
        (status = 409, description = "The request came with a token (`not_a_person`)"),
    )
)]
pub(crate) async fn sign_out(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
) -> ApiResult<(StatusCode, SetCookie)> {
    let Credential::Cookie(secret) = &caller.credential else {
        let detail = "a token has no sign-in to end; revoke it with `DELETE /api/v1/tokens/{id}`";
        return Err(ApiError::new(StatusCode::CONFLICT, "not_a_person", detail));
    };
    app.services.accounts.sign_out(secret).await?;
    Ok((StatusCode::NO_CONTENT, set_cookie(session::gone_cookie(meta.arrival))))
}

/// Who calls and what they may do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeView {
    /// The person, or the one a program acts for.
    user: UserView,
    /// What may be done with this sign-in or token.
    #[schema(value_type = Vec<wire::Permission>)]
    permissions: Vec<&'static str>,
    /// The kind of token; null for a browser.
    token_kind: Option<wire::TokenKind>,
    /// What alone this sign-in may do, until it is done.
    limited_to: Option<LimitView>,
    /// Recovery codes that are not used yet.
    recovery_codes_left: u64,
}

/// What alone a sign-in may do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LimitView {
    /// Change the password, which somebody else chose.
    ChangePassword,
    /// Enrol a second factor, which the role asks for.
    EnrolSecondFactor,
}

impl From<Limit> for LimitView {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::ChangePassword => LimitView::ChangePassword,
            Limit::EnrolSecondFactor => LimitView::EnrolSecondFactor,
        }
    }
}

/// Who am I?
#[utoipa::path(
    get, path = "/api/v1/me", tag = "account",
    responses((status = 200, description = "The caller", body = MeView))
)]
pub(crate) async fn me(State(app): State<AppState>, caller: Caller) -> ApiResult<Answer<MeView>> {
    let me = app.services.accounts.me(&caller.ctx).await?;
    let token_kind = match me.kind {
        ActorKind::Script => Some(domain::auth::TokenKind::User.into()),
        ActorKind::Agent => Some(domain::auth::TokenKind::Agent.into()),
        ActorKind::Person | ActorKind::Operator | ActorKind::System => None,
    };
    Ok(Answer(MeView {
        user: me.user.into(),
        permissions: me.permissions.names(),
        token_kind,
        limited_to: caller.limit.map(Into::into),
        recovery_codes_left: me.recovery_codes_left,
    }))
}

/// A change of one's own password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    /// The password until now.
    old: wire::Secret,
    /// The new one, at least 12 characters.
    new: wire::Secret,
}

/// Change one's own password
///
/// Ends all sign-ins; the answer brings a new one for this browser.
#[utoipa::path(
    put, path = "/api/v1/me/password", tag = "account", request_body = PasswordChange,
    responses(
        (status = 200, description = "Changed; a new cookie is set", body = SessionView),
        (status = 403, description = "The request came from another site (`cross_site`)"),
        (status = 409, description = "The request came with a token (`not_a_person`)"),
        (status = 429, description = "Too many tries (`throttled`); wait as `Retry-After` says"),
    )
)]
pub(crate) async fn change_password(
    State(app): State<AppState>,
    meta: RequestMeta,
    caller: Caller,
    UserAgent(user_agent): UserAgent,
    Json(body): Json<PasswordChange>,
) -> ApiResult<(SetCookie, Answer<SessionView>)> {
    let accounts = &app.services.accounts;
    let changed = accounts.change_password(&caller.ctx, body.old.0, body.new.0, user_agent.as_deref()).await;
    let signed_in = changed.map_err(|error| as_password_change(error.into()))?;
    Ok(let_in(&meta, signed_in))
}

/// Names the fields as this request does.
fn as_password_change(error: ApiError) -> ApiError {
    match error.more.field.as_deref() {
        Some("old_password") => error.about("old"),
        Some("password") => error.about("new"),
        _ => error,
    }
}
