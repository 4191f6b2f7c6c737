//! Failures as RFC 9457 problem documents: the only place where a failure gets a status code.
//!
//! An [`ApiError`] does not know its request. It travels as an extension of the response to
//! [`crate::observe::identify`], which adds the request id, writes the body and logs what only we may know.
//! Internals are never shown.

use std::{error::Error, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use service::{ServiceError, provider_types::Offer};

use crate::wire;

/// The result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// A failed request, before it knows its id.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    /// What to do.
    pub(crate) detail: String,
    /// Everything that is not always there; boxed to keep results small.
    pub(crate) more: Box<More>,
}

/// What only some failures have.
#[derive(Clone, Debug, Default)]
pub(crate) struct More {
    pub(crate) field: Option<String>,
    pub(crate) permission: Option<&'static str>,
    pub(crate) fix: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) offer: Option<Offer>,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) allow: Option<String>,
    /// For the log alone.
    pub(crate) cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// A failure as RFC 9457 (`application/problem+json`) writes it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// `urn:fleetgate:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:fleetgate:problem:not_found")]
    pub(crate) kind: String,
    /// The code in words.
    pub(crate) title: String,
    /// The status code of the answer.
    pub(crate) status: u16,
    /// What happened and what to do.
    pub(crate) detail: String,
    /// Stable: programs decide by this.
    pub(crate) code: String,
    /// Names this request in our log; also in the header `x-request-id`.
    pub(crate) request_id: String,
    /// The field or parameter it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// The permission that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permission: Option<&'static str>,
    /// What to do at the RMM or with the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
    /// The route of the RMM that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// One click that may mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offer: Option<wire::Offer>,
    /// Seconds to wait before the next try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_s: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: impl Into<String>, detail: impl Into<String>) -> ApiError {
        ApiError { status, code: code.into(), detail: detail.into(), more: Box::default() }
    }

    pub(crate) fn bad_request(code: &str, detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A query or path parameter that cannot be read.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> ApiError {
        ApiError::bad_request("invalid_parameter", detail).about(name)
    }

    pub(crate) fn not_signed_in() -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "not_signed_in", "sign in, or send a token of kind `user`")
    }

    pub(crate) fn token_not_accepted() -> ApiError {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "token_not_accepted",
            "this route takes a token of kind `user`; tokens of kind `agent` are for `/mcp`",
        )
    }

    pub(crate) fn cross_site(detail: &str) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "cross_site", detail)
    }

    pub(crate) fn too_large(limit_bytes: usize) -> ApiError {
        let limit_mib = limit_bytes / (1024 * 1024);
        let detail = format!("the body is larger than {limit_mib} MiB; send less at once");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub(crate) fn internal(cause: Arc<dyn Error + Send + Sync>) -> ApiError {
        let detail = "something went wrong here; the log of the server names the cause under this request id";
        let mut error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
        error.more.cause = Some(cause);
        error
    }

    /// Too much at once for this process.
    pub(crate) fn busy(code: &str, detail: &str) -> ApiError {
        let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        error.more.retry_after_s = Some(5);
        error
    }

    /// Names the field or parameter.
    #[must_use]
    pub(crate) fn about(mut self, field: impl Into<String>) -> ApiError {
        self.more.field = Some(field.into());
        self
    }

    /// The document for the request of this id.
    pub(crate) fn problem(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("urn:fleetgate:problem:{}", self.code),
            title: title(&self.code),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.clone(),
            request_id: request_id.to_owned(),
            field: self.more.field.clone(),
            permission: self.more.permission,
            fix: self.more.fix.clone(),
            endpoint: self.more.endpoint.clone(),
            offer: self.more.offer.clone().map(Into::into),
            retry_after_s: self.more.retry_after_s,
        }
    }

    /// The answer for the request of this id.
    pub(crate) fn into_answer(self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.problem(request_id)).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait_s) = self.more.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        if let Some(allow) = self.more.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// `secret_required` → `Secret required`.
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let message = error.to_string();
        match error {
            ServiceError::NotFound { what } => {
                let detail = format!("there is no {what} by this id; it may have been removed");
                ApiError::new(StatusCode::NOT_FOUND, "not_found", detail)
            }
            ServiceError::Invalid { field, code, message } => {
                let status = match code {
                    "invalid_parameter" | "invalid_cursor" => StatusCode::BAD_REQUEST,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                let mut error = ApiError::new(status, code, message);
                error.more.field = field;
                error
            }
            ServiceError::Conflict { code, message } => ApiError::new(StatusCode::CONFLICT, code, message),
            ServiceError::Unauthenticated { code, message } => {
                ApiError::new(StatusCode::UNAUTHORIZED, code, message)
            }
            ServiceError::ProofNeeded { code, message } => {
                ApiError::new(StatusCode::FORBIDDEN, code, message)
            }
            ServiceError::Forbidden(permission) => missing_permission(permission),
            ServiceError::Limited => ApiError::new(StatusCode::FORBIDDEN, "limited_to_clients", message),
            ServiceError::Throttled { wait_s } => {
                let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "throttled", message);
                error.more.retry_after_s = Some(wait_s);
                error
            }
            ServiceError::Provider(source) => {
                let problem = source.problem.clone();
                let mut error = ApiError::new(StatusCode::BAD_GATEWAY, problem.code, problem.message);
                error.more = Box::new(More {
                    fix: Some(problem.fix),
                    endpoint: problem.endpoint,
                    offer: problem.offer,
                    retry_after_s: problem.wait_s,
                    cause: Some(Arc::new(source)),
                    ..More::default()
                });
                error
            }
            ServiceError::Unavailable(source) => {
                let detail = "the database cannot be used right now; try again in a moment";
                let mut error =
                    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail);
                error.more.retry_after_s = Some(2);
                error.more.cause = Some(Arc::from(source));
                error
            }
            ServiceError::Internal(source) => ApiError::internal(Arc::from(source)),
        }
    }
}

/// 403, naming the permission.
pub(crate) fn missing_permission(permission: domain::auth::Permission) -> ApiError {
    let detail = format!("this needs the permission `{}`; ask an admin for it", permission.name());
    let mut error = ApiError::new(StatusCode::FORBIDDEN, "permission_missing", detail);
    error.more.permission = Some(permission.name());
    error
}

#[cfg(test)]
mod tests {
    use domain::auth::Permission;
    use service::provider_types::Problem as ProviderProblem;

    use super::*;

    #[track_caller]
    fn check(error: ServiceError, status: u16, code: &str) -> serde_json::Value {
        let error = ApiError::from(error);
        assert_eq!((error.status.as_u16(), error.code.as_str()), (status, code));
        serde_json::to_value(error.problem("req_1")).unwrap()
    }

    fn cause() -> Box<dyn Error + Send + Sync> {
        "disk I/O error on /var/lib/secret-place".into()
    }

    #[test]
    fn each_class_has_its_status_and_code() {
        check(ServiceError::NotFound { what: "asset" }, 404, "not_found");
        check(ServiceError::invalid("url", "url_invalid", "x"), 422, "url_invalid");
        check(ServiceError::invalid("cursor", "invalid_cursor", "x"), 400, "invalid_cursor");
        check(ServiceError::conflict("secret_required", "x"), 409, "secret_required");
        let message = "x".to_owned();
        check(ServiceError::Unauthenticated { code: "bad_credentials", message }, 401, "bad_credentials");
        let message = "x".to_owned();
        check(ServiceError::ProofNeeded { code: "step_up_needed", message }, 403, "step_up_needed");
        check(ServiceError::Unavailable(cause()), 503, "database_unavailable");
    }

    #[test]
    fn missing_permission_is_named() {
        let problem = check(ServiceError::Forbidden(Permission::ClientsManage), 403, "permission_missing");
        assert_eq!(problem["permission"], "clients:manage");
    }

    #[test]
    fn throttled_says_how_long_to_wait() {
        let problem = check(ServiceError::Throttled { wait_s: 7 }, 429, "throttled");
        assert_eq!(problem["retry_after_s"], 7);
        let answer = ApiError::from(ServiceError::Throttled { wait_s: 7 }).into_answer("req_1");
        assert_eq!(answer.headers()[header::RETRY_AFTER], "7");
    }

    #[test]
    fn internals_are_never_shown() {
        for error in [ServiceError::Internal(cause()), ServiceError::Unavailable(cause())] {
            let shown = serde_json::to_string(&ApiError::from(error).problem("req_1")).unwrap();
            assert!(!shown.contains("secret-place"), "{shown}");
        }
    }

    #[test]
    fn the_rmms_sentence_arrives_whole() {
        let mut problem = ProviderProblem::new("key_wrong", "the key was refused", "make a new key");
        problem.endpoint = Some("/version".to_owned());
        let shown: Problem = {
            let mut error = ApiError::new(StatusCode::BAD_GATEWAY, problem.code, problem.message);
            error.more.fix = Some(problem.fix);
            error.more.endpoint = problem.endpoint;
            error.problem("req_1")
        };
        let shown = serde_json::to_value(shown).unwrap();
        let expected = serde_json::json!({
            "type": "urn:fleetgate:problem:key_wrong", "title": "Key wrong", "status": 502,
            "detail": "the key was refused", "code": "key_wrong", "request_id": "req_1",
            "fix": "make a new key", "endpoint": "/version",
        });
        assert_eq!(shown, expected);
    }
}
