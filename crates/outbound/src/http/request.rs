//! One request and its limits.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use url::Url;

use super::error::{HttpError, HttpErrorKind, Sent};
use crate::redact;

const READ_TIMEOUT: Duration = Duration::from_secs(30);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;

/// Whether sending twice does no more than sending once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeatable {
    /// GET and HEAD are, everything else is not.
    ByMethod,
    /// The caller knows that this one is, for instance a list asked for by PATCH.
    Always,
}

/// One request. Build it with [`Request::get`], [`Request::json`] or [`Request::new`], then set what differs.
#[derive(Clone)]
pub struct Request {
    /// GET, POST, …
    pub method: Method,
    /// Absolute, `http` or `https`, without user and password.
    pub url: Url,
    /// Headers; values marked sensitive and the usual secret ones are never logged.
    pub headers: HeaderMap,
    /// Body, if any.
    pub body: Option<Bytes>,
    /// Whether [`crate::send_with_retries`] may repeat it.
    pub repeatable: Repeatable,
    /// Longest silence: before the head of the answer (after connecting) and between two chunks. 30 s.
    pub read_timeout: Duration,
    /// Limit for everything, up to the last byte of the answer. 60 s.
    pub total_timeout: Duration,
    /// Longest answer after decompression. 16 MiB.
    pub max_body_bytes: u64,
}

impl Request {
    /// A request without headers and body, with the usual limits.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            repeatable: Repeatable::ByMethod,
            read_timeout: READ_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            max_body_bytes: MAX_BODY_BYTES,
        }
    }

    /// A GET.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A request with `value` as its JSON body; fails only if `value` cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(method: Method, url: Url, value: &T) -> Result<Self, HttpError> {
        let body = serde_json::to_vec(value).map_err(|error| {
            let kind = HttpErrorKind::Other("the request body cannot be written as json".into());
            HttpError::new(kind, Sent::No).with_source(error)
        })?;
        let mut request = Self::new(method, url);
        request.body = Some(body.into());
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// Adds a header whose value is never logged; fails if the value has characters that no header can carry.
    pub fn secret_header(mut self, name: HeaderName, value: &str) -> Result<Self, HttpError> {
        let mut parsed = HeaderValue::from_str(value).map_err(|_| {
            let kind = HttpErrorKind::Other(format!(
                "the value for `{name}` has characters that no header can carry"
            ));
            HttpError::new(kind, Sent::No)
        })?;
        parsed.set_sensitive(true);
        self.headers.insert(name, parsed);
        Ok(self)
    }

    /// Declares that sending this twice does no more than sending it once.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = Repeatable::Always;
        self
    }

    pub(crate) fn may_repeat(&self) -> bool {
        match self.repeatable {
            Repeatable::Always => true,
            Repeatable::ByMethod => self.method == Method::GET || self.method == Method::HEAD,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("origin", &redact::origin(&self.url))
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}
