//! Credentials: which one a request carries, and the request for a token.
//!
//! Datto RMM gives tokens for its own public client by password grant: the API key is the user name, the secret the
//! password. There is no token to renew one with: a new one is asked for with key and secret. What the token route
//! answers is read for the token and for nothing else: not even its errors are repeated.

use std::time::Duration;

use ::url::form_urlencoded;
use domain::Time;
use outbound::{HeaderValue, Method, Request, StatusCode, header};
use provider::{Connection, ErrorKind, ProviderError, Result, SignedIn};
use secrecy::{ExposeSecret, SecretString};

use super::{
    API_KEY, API_ROOT, API_SECRET, OAUTH,
    api::{self, Api, Route},
    sentences,
    wire::Token,
};
use crate::clock;

const TOKEN: Route = Route::token("POST /auth/oauth/token");

/// User `public-client` with the password `public`: no secret, every program sends it.
const PUBLIC_CLIENT: &str = "Basic cHVibGljLWNsaWVudDpwdWJsaWM=";

const DEFAULT_ROOT: [&str; 2] = ["api", "v2"];

/// How long not to try again where a refusal does not say.
const THROTTLED: Duration = Duration::from_secs(60);

/// Asks for a token. Never tried twice by itself.
pub(super) async fn sign_in(connection: &Connection) -> Result<SignedIn> {
    if connection.auth_mode != OAUTH {
        return Err(sentences::no_sign_in());
    }
    let (Some(key), Some(secret)) = (filled(connection, API_KEY), filled(connection, API_SECRET)) else {
        return Err(sentences::login_incomplete());
    };
    let answer = Api::anonymous(connection).send_once(&TOKEN, token_request(connection, key, secret)).await?;
    if !answer.status.is_success() {
        return Err(at_token(refused(connection, &answer).await));
    }
    if answer.is_html {
        return Err(at_token(sentences::sign_in_page()));
    }
    let token: Token<'_> = api::object(&answer.body, &TOKEN)?;
    let misshapen = || ProviderError::new(ErrorKind::Malformed, sentences::answer_shape().at(TOKEN.name));
    signed_in(&token).ok_or_else(misshapen)
}

/// Where keys and secrets hold characters that mean something in a form, they are percent-encoded.
fn token_request(connection: &Connection, key: &SecretString, secret: &SecretString) -> Request {
    let mut url = connection.base_url.clone();
    url.set_path("/auth/oauth/token");
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "password")
        .append_pair("username", key.expose_secret().trim())
        .append_pair("password", secret.expose_secret().trim())
        .finish();
    let mut request = Request::new(Method::POST, url);
    request.body = Some(body.into());
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers.insert(header::CONTENT_TYPE, form);
    request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static(PUBLIC_CLIENT));
    request
}

async fn refused(connection: &Connection, answer: &api::Raw) -> ProviderError {
    if let Some(host) = &answer.redirect_host {
        return sentences::redirected(host.as_deref());
    }
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => {
            sentences::login_throttled(answer.retry_after.unwrap_or(THROTTLED).as_secs().max(1))
        }
        StatusCode::FORBIDDEN if answer.is_block(connection).await => {
            let error = sentences::blocked(api::BLOCK);
            connection.budget.pause(api::BLOCK, &error.problem).await;
            error
        }
        // An OAuth server says 400 where the grant is refused and 401 where the client is.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !answer.is_html => {
            sentences::login_refused()
        }
        StatusCode::NOT_FOUND => sentences::sign_in_not_here(),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            sentences::gateway_error(answer.status.as_u16())
        }
        status if status.is_server_error() => sentences::server_error(status.as_u16()),
        _ if answer.is_html => sentences::sign_in_page(),
        status => sentences::refused(status.as_u16()),
    }
}

fn signed_in(token: &Token<'_>) -> Option<SignedIn> {
    let text = token.access_token.as_str().map(str::trim).filter(|text| !text.is_empty())?;
    let now = Time(i64::try_from(clock::unix_seconds()).ok()?.checked_mul(1_000)?);
    let lives = token.expires_in.as_u64().filter(|seconds| *seconds > 0);
    Some(SignedIn {
        token: SecretString::from(text.to_owned()),
        expires_at: lives.map(|seconds| now + Duration::from_secs(seconds)),
        account: None,
    })
}

fn filled<'a>(connection: &'a Connection, name: &str) -> Option<&'a SecretString> {
    connection.secrets.get(name).filter(|secret| !secret.expose_secret().trim().is_empty())
}

/// The key that is sent in a header.
pub(super) fn api_key(connection: &Connection) -> Option<&SecretString> {
    filled(connection, API_KEY)
}

/// The path at which the API begins.
pub(super) fn root(connection: &Connection) -> Result<Vec<String>> {
    let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    let set = (connection.auth_mode != OAUTH).then(|| filled(connection, API_ROOT)).flatten();
    let Some(set) = set else { return Ok(owned(&DEFAULT_ROOT)) };
    let parts: Vec<&str> = set.expose_secret().trim().trim_matches('/').split('/').collect();
    let is_name = |part: &&str| {
        !part.is_empty()
            && part.bytes().any(|byte| byte != b'.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    if parts.iter().all(is_name) { Ok(owned(&parts)) } else { Err(sentences::root_unusable()) }
}

fn at_token(mut error: ProviderError) -> ProviderError {
    error.problem.endpoint = Some(TOKEN.name.to_owned());
    error
}
