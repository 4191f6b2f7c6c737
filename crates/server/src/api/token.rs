//! Tokens for programs and agents.

use axum::{Json as Answer, extract::State};
use http::StatusCode;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use service::account::{TokenInfo, TokenRequest};
use utoipa::ToSchema;

use crate::{
    app::AppState,
    body::Json,
    ctx::Caller,
    error::ApiResult,
    page::{List, Path},
    wire,
};

/// A token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// Its id.
    id: wire::TokenId,
    /// Whom it acts for.
    user_id: wire::UserId,
    /// What people call it.
    name: String,
    /// What it is for.
    kind: wire::TokenKind,
    /// What it may do at most; never more than the person it acts for.
    #[schema(value_type = Vec<wire::Permission>)]
    permissions: Vec<&'static str>,
    /// The last four characters of its text.
    last_four: String,
    /// When it was made.
    created_at: wire::Time,
    /// When it stops working.
    expires_at: wire::Time,
    /// When it was revoked.
    revoked_at: Option<wire::Time>,
    /// When it was last used, to some minutes.
    last_used_at: Option<wire::Time>,
}

impl From<TokenInfo> for TokenView {
    fn from(token: TokenInfo) -> Self {
        TokenView {
            id: token.id.into(),
            user_id: token.user.into(),
            name: token.name,
            kind: token.kind.into(),
            permissions: token.permissions.names(),
            last_four: token.last_four,
            created_at: token.created_at.into(),
            expires_at: token.expires_at.into(),
            revoked_at: token.revoked_at.map(Into::into),
            last_used_at: token.last_used_at.map(Into::into),
        }
    }
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What people call it.
    name: String,
    /// What it is for.
    kind: wire::TokenKind,
    /// Days until it stops working, 1 to 366.
    days: u32,
    /// What it may do; left out: all that its maker may and its kind allows.
    #[schema(value_type = Option<Vec<wire::Permission>>)]
    permissions: Option<Vec<String>>,
}

/// A new token with its text.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    /// The token.
    token: TokenView,
    /// Its text, shown this once.
    #[schema(example = "fgu_…")]
    secret: String,
}

/// One's own tokens
///
/// With `users:manage` everybody's.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "account",
    responses((status = 200, description = "All tokens", body = List<TokenView>))
)]
pub(crate) async fn list_tokens(
    State(app): State<AppState>,
    caller: Caller,
) -> ApiResult<Answer<List<TokenView>>> {
    let tokens = app.services.accounts.list_tokens(&caller.ctx).await?;
    Ok(Answer(List::whole(tokens.into_iter().map(Into::into).collect())))
}

/// Make a token
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "account", request_body = NewToken,
    responses(
        (status = 201, description = "The token and its text, shown this once", body = CreatedToken),
        (status = 403, description = "The request came from another site (`cross_site`)"),
    )
)]
pub(crate) async fn create_token(
    State(app): State<AppState>,
    caller: Caller,
    Json(body): Json<NewToken>,
) -> ApiResult<(StatusCode, Answer<CreatedToken>)> {
    let request =
        TokenRequest { kind: body.kind.0, name: body.name, permissions: body.permissions, days: body.days };
    let (token, secret) = app.services.accounts.create_token(&caller.ctx, &request).await?;
    let created = CreatedToken { token: token.into(), secret: secret.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, Answer(created)))
}

/// Revoke a token
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "account", params(("id" = wire::TokenId, Path)),
    responses(
        (status = 204, description = "It does not work any more"),
        (status = 403, description = "The request came from another site (`cross_site`)"),
    )
)]
pub(crate) async fn revoke_token(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<domain::id::TokenId>,
) -> ApiResult<StatusCode> {
    app.services.accounts.revoke_token(&caller.ctx, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
