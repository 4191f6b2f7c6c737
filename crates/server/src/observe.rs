//! The outermost layers: every request gets a name, a time limit, one log line, its numbers and strict headers.

use std::{
    any::Any,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tracing::{error, info, warn};

use crate::{app::AppState, ctx::RequestMeta, edge::Arrival, error::ApiError, metrics};

/// Time until a handler must have begun to answer. Streams go on after that.
const HANDLER_TIME: Duration = Duration::from_secs(60);

/// Pages of other sites may not read an answer in any way.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names the request; afterwards writes a failure as a problem document, sets headers, counts and logs.
pub(crate) async fn identify(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let arrival = Arrival::of(request.extensions(), request.headers(), &app.options);
    let meta = RequestMeta::begin(arrival);
    let method = request.method().clone();
    let in_api = request.uri().path().starts_with("/api/");
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(meta.clone());

    let mut response = match tokio::time::timeout(HANDLER_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_slow().into_response(),
    };
    if let Some(failure) = response.extensions_mut().remove::<ApiError>() {
        log_cause(&failure, &meta.id, &route);
        response = failure.into_answer(&meta.id);
    }
    harden(response.headers_mut(), &meta.id, in_api, arrival.is_https);

    let status = response.status().as_u16();
    let took = started.elapsed();
    metrics::record(&route, &method, status, took);
    log_request(&method, &route, status, took, &meta);
    response
}

fn too_slow() -> ApiError {
    let seconds = HANDLER_TIME.as_secs();
    let detail =
        format!("this took longer than {seconds} seconds and was given up; look before trying again");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail)
}

/// One line: the route as it is declared, never the query, a header or a body.
fn log_request(method: &Method, route: &str, status: u16, took: Duration, meta: &RequestMeta) {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (request_id, client) = (meta.id.as_str(), meta.client());
    info!(%method, route, status, ms, client, request_id, "{method} {route} answered {status} in {ms} ms");
}

/// What a caller is not told. Failures of an RMM are expected; the rest is for us to mend.
fn log_cause(failure: &ApiError, request_id: &str, route: &str) {
    let Some(cause) = failure.more.cause.as_deref() else { return };
    let cause = cause as &dyn Error;
    let code = failure.code.as_str();
    match failure.status {
        StatusCode::INTERNAL_SERVER_ERROR => {
            error!(request_id, route, error = cause, "request `{request_id}` met a bug: {}", chain(cause));
        }
        _ => warn!(request_id, route, code, error = cause, "request `{request_id}` failed: {}", chain(cause)),
    }
}

/// An error and what caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// What an answer may do in a browser: nothing at all.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer. A page may bring its own content policy and caching; nothing of the REST interface does.
fn harden(headers: &mut HeaderMap, request_id: &str, in_api: bool, is_https: bool) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    let no_store = HeaderValue::from_static("no-store");
    if in_api {
        headers.insert(header::CACHE_CONTROL, no_store);
    } else {
        headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    }
    if is_https {
        // For this host alone: what else has a name below it is not ours to decide.
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

/// A handler that panicked is a bug; the caller learns no more than that.
pub(crate) fn answer_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal(Arc::from(Box::<dyn Error + Send + Sync>::from("the handler panicked")))
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_headers_are_on_every_answer() {
        let mut headers = HeaderMap::new();
        harden(&mut headers, "req_1", true, true);
        for part in ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
        {
            assert!(headers["content-security-policy"].to_str().unwrap().contains(part), "{part}");
        }
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-request-id"], "req_1");
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
    }

    #[test]
    fn a_panic_is_a_bug_without_its_words() {
        let mut response = answer_panic(Box::new("secret words"));
        let failure = response.extensions_mut().remove::<ApiError>().unwrap();
        let shown = serde_json::to_string(&failure.problem("req_1")).unwrap();
        assert_eq!((response.status().as_u16(), failure.code.as_str()), (500, "internal"));
        assert!(!shown.contains("secret words"), "{shown}");
    }

    #[test]
    fn plain_http_promises_no_https() {
        let mut headers = HeaderMap::new();
        harden(&mut headers, "req_1", false, false);
        assert!(!headers.contains_key("strict-transport-security"));
        assert_eq!(headers["cache-control"], "no-store");
    }

    #[test]
    fn only_what_is_no_data_may_be_kept() {
        for (in_api, expected) in [(true, "no-store"), (false, "max-age=60")] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
            harden(&mut headers, "req_1", in_api, false);
            assert_eq!(headers["cache-control"], expected);
        }
    }
}
