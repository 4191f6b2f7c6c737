//! The OpenAPI document as it was written by `cargo xtask openapi`; a test compares it with the routes.
//!
//! Making it takes several megabytes and code that nothing else needs, so the program carries the text.

#[cfg(test)]
pub(crate) mod document;

use axum::response::{IntoResponse, Response};
use http::header;

/// The document.
const TEXT: &str = include_str!("../../../docs/openapi.json");

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn get_openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT).into_response()
}
