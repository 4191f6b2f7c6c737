//! What a handler may ask about its request: who calls, when, from where.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use domain::{Ctx, Time, id::SessionId};
use http::{header, request::Parts};
use service::account::Limit;

use crate::{clock, edge::Arrival, error::ApiError, session::Credential};

/// Name, time and way of a request, set once at its beginning. A name from outside is never taken over.
#[derive(Clone, Debug)]
pub(crate) struct RequestMeta {
    pub(crate) id: String,
    pub(crate) now: Time,
    pub(crate) arrival: Arrival,
}

impl RequestMeta {
    /// A request that begins now.
    pub(crate) fn begin(arrival: Arrival) -> RequestMeta {
        RequestMeta { id: format!("req_{}", uuid::Uuid::now_v7().simple()), now: clock::now(), arrival }
    }

    /// The caller's address in words, for throttling and logs.
    pub(crate) fn client(&self) -> String {
        self.arrival.client.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestMeta {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<RequestMeta>()
            .cloned()
            .unwrap_or_else(|| RequestMeta::begin(Arrival::default())))
    }
}

/// The party that calls, as [`crate::access::authorize`] found it. Without it there is no answer but 401.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) ctx: Ctx,
    /// The sign-in; none with a token.
    pub(crate) session: Option<SessionId>,
    /// What the sign-in may do alone until it is done.
    pub(crate) limit: Option<Limit>,
    pub(crate) credential: Credential,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(ApiError::not_signed_in)
    }
}

/// The program that calls, as it names itself; shown in the list of sign-ins.
pub(crate) struct UserAgent(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for UserAgent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let given = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(UserAgent(given.map(|text| text.chars().take(200).collect())))
    }
}
