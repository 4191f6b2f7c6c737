//! Who may call what: one table, enforced before any handler runs.
//!
//! A method that is not in the table does not exist, whatever the router says. The services check the same permissions
//! again; here they are checked before a body is read, so that nobody learns from the errors of input.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use domain::auth::Permission;
use http::{Method, StatusCode};
use service::account::Limit;

use crate::{
    app::AppState,
    ctx::RequestMeta,
    error::{ApiError, missing_permission},
    session,
};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone.
    Open,
    /// Anyone who is signed in, for what is their own.
    SignedIn,
    /// Who holds this permission.
    Needs(Permission),
}

const AUDIT: Access = Access::Needs(Permission::AuditRead);
const CLIENTS: Access = Access::Needs(Permission::ClientsManage);
const READ: Access = Access::Needs(Permission::AssetsRead);
const SEE: Access = Access::Needs(Permission::IntegrationsRead);
const SETTINGS: Access = Access::Needs(Permission::SystemSettings);
const USERS: Access = Access::Needs(Permission::UsersManage);
const WRITE: Access = Access::Needs(Permission::AssetsWrite);

/// Every operation there is. `HEAD` goes with `GET`.
#[rustfmt::skip]
pub(crate) const TABLE: &[(&str, &str, Access)] = &[
    ("GET",    "/healthz", Access::Open),
    ("GET",    "/readyz", Access::Open),
    ("GET",    "/metrics", Access::Open), // decides by itself: see `metrics`
    ("GET",    "/openapi.json", Access::Open),
    ("GET",    "/api/v1/setup", Access::Open),
    ("POST",   "/api/v1/setup", Access::Open),
    ("POST",   "/api/v1/session", Access::Open),
    ("POST",   "/api/v1/session/second-factor", Access::Open), // with a challenge
    ("DELETE", "/api/v1/session", Access::SignedIn),
    ("POST",   "/api/v1/session/step-up", Access::SignedIn),
    ("POST",   "/api/v1/session/step-up/options", Access::SignedIn),
    ("GET",    "/api/v1/me", Access::SignedIn),
    ("PUT",    "/api/v1/me/password", Access::SignedIn),
    ("POST",   "/api/v1/me/totp", Access::SignedIn),
    ("DELETE", "/api/v1/me/totp", Access::SignedIn),
    ("POST",   "/api/v1/me/totp/confirm", Access::SignedIn),
    ("GET",    "/api/v1/me/passkeys", Access::SignedIn),
    ("POST",   "/api/v1/me/passkeys", Access::SignedIn),
    ("POST",   "/api/v1/me/passkeys/confirm", Access::SignedIn),
    ("PATCH",  "/api/v1/me/passkeys/{id}", Access::SignedIn),
    ("DELETE", "/api/v1/me/passkeys/{id}", Access::SignedIn),
    ("POST",   "/api/v1/me/recovery-codes", Access::SignedIn),
    ("GET",    "/api/v1/me/sessions", Access::SignedIn),
    ("DELETE", "/api/v1/me/sessions", Access::SignedIn),
    ("DELETE", "/api/v1/me/sessions/{id}", Access::SignedIn),
    ("GET",    "/api/v1/audit", AUDIT),
    ("GET",    "/api/v1/audit.csv", AUDIT),
    ("GET",    "/api/v1/audit.jsonl", AUDIT),
    ("GET",    "/api/v1/users", USERS),
    ("POST",   "/api/v1/users", USERS),
    ("GET",    "/api/v1/users/{id}", USERS),
    ("PATCH",  "/api/v1/users/{id}", USERS),
    ("POST",   "/api/v1/users/{id}/password", USERS),
    ("DELETE", "/api/v1/users/{id}/second-factors", USERS),
    ("GET",    "/api/v1/users/{id}/sessions", USERS),
    ("DELETE", "/api/v1/users/{id}/sessions", USERS),
    ("DELETE", "/api/v1/users/{id}/sessions/{session_id}", USERS),
    ("GET",    "/api/v1/roles", USERS),
    ("POST",   "/api/v1/roles", USERS),
    ("PATCH",  "/api/v1/roles/{id}", USERS),
    ("DELETE", "/api/v1/roles/{id}", USERS),
    ("PUT",    "/api/v1/roles/{id}/second-factor", USERS),
    ("GET",    "/api/v1/tokens", Access::SignedIn),
    ("POST",   "/api/v1/tokens", Access::SignedIn),
    ("DELETE", "/api/v1/tokens/{id}", Access::SignedIn),
    ("GET",    "/api/v1/providers", Access::SignedIn),
    ("GET",    "/api/v1/integrations", SEE),
    ("POST",   "/api/v1/integrations", SETTINGS),
    ("POST",   "/api/v1/integrations/test", SETTINGS),
    ("GET",    "/api/v1/integrations/{id}", SEE),
    ("PATCH",  "/api/v1/integrations/{id}", SETTINGS),
    ("POST",   "/api/v1/integrations/{id}/test", SETTINGS),
    ("POST",   "/api/v1/integrations/{id}/sign-in", SETTINGS),
    ("POST",   "/api/v1/integrations/{id}/disconnect", SETTINGS),
    ("POST",   "/api/v1/integrations/{id}/reconnect", SETTINGS),
    ("POST",   "/api/v1/integrations/{id}/sync", SETTINGS),
    ("GET",    "/api/v1/sync-runs", SEE),
    ("GET",    "/api/v1/sync-runs/{id}", SEE),
    ("GET",    "/api/v1/sync-runs/{id}/items", SEE),
    ("POST",   "/api/v1/sync-runs/{id}/cancel", SETTINGS),
    ("GET",    "/api/v1/organizations", SEE),
    ("GET",    "/api/v1/organizations.csv", SEE),
    ("PATCH",  "/api/v1/organizations/{id}", SETTINGS),
    ("POST",   "/api/v1/organizations/{id}/undo", SETTINGS),
    ("POST",   "/api/v1/organizations/accept-suggestions", SETTINGS),
    ("POST",   "/api/v1/organizations/import", SETTINGS),
    ("GET",    "/api/v1/clients", READ),
    ("POST",   "/api/v1/clients", CLIENTS),
    ("GET",    "/api/v1/clients/{id}", READ),
    ("PATCH",  "/api/v1/clients/{id}", CLIENTS),
    ("POST",   "/api/v1/clients/{id}/archive", CLIENTS),
    ("POST",   "/api/v1/clients/{id}/restore", CLIENTS),
    ("POST",   "/api/v1/clients/{id}/merge", CLIENTS),
    ("GET",    "/api/v1/clients/{id}/sites", READ),
    ("POST",   "/api/v1/clients/{id}/sites", CLIENTS),
    ("GET",    "/api/v1/sites/{id}", READ),
    ("PATCH",  "/api/v1/sites/{id}", CLIENTS),
    ("DELETE", "/api/v1/sites/{id}", CLIENTS),
    ("POST",   "/api/v1/sites/{id}/merge", CLIENTS),
    ("GET",    "/api/v1/assets", READ),
    ("GET",    "/api/v1/assets.csv", READ),
    ("GET",    "/api/v1/assets.json", READ),
    ("GET",    "/api/v1/assets/{id}", READ),
    ("PATCH",  "/api/v1/assets/{id}", WRITE),
    ("GET",    "/api/v1/assets/{id}/history", READ),
    ("POST",   "/api/v1/assets/{id}/merge", WRITE),
    ("POST",   "/api/v1/assets/{id}/split", WRITE),
    ("POST",   "/api/v1/assets/{id}/audit", WRITE),
    ("GET",    "/api/v1/proposals", READ),
    ("POST",   "/api/v1/proposals/{id}/merge", WRITE),
    ("POST",   "/api/v1/proposals/{id}/keep-both", WRITE),
    ("POST",   "/api/v1/proposals/{id}/never-match", WRITE),
    ("POST",   "/api/v1/proposals/{id}/dismiss", WRITE),
    ("GET",    "/api/v1/events", READ),
];

/// What every limited sign-in may call: to see who it is and what is to be done, and to leave.
const LIMITED: [(&str, &str); 2] = [("GET", "/api/v1/me"), ("DELETE", "/api/v1/session")];

/// With what the limit is lifted. What stands neither here nor above is refused.
fn remedy(limit: Limit) -> &'static [(&'static str, &'static str)] {
    match limit {
        Limit::ChangePassword => &[("PUT", "/api/v1/me/password")],
        Limit::EnrolSecondFactor => &[
            ("POST", "/api/v1/me/totp"),
            ("POST", "/api/v1/me/totp/confirm"),
            ("POST", "/api/v1/me/passkeys"),
            ("POST", "/api/v1/me/passkeys/confirm"),
        ],
    }
}

/// Refuses what a limited sign-in may not call.
fn check_limit(limit: Option<Limit>, method: &str, path: &str) -> Result<(), ApiError> {
    let Some(limit) = limit else { return Ok(()) };
    let method = if method == "HEAD" { "GET" } else { method };
    if LIMITED.iter().chain(remedy(limit)).any(|allowed| *allowed == (method, path)) {
        return Ok(());
    }
    let (code, detail) = match limit {
        Limit::ChangePassword => (
            "password_change_needed",
            "somebody else chose your password; change it first (`PUT /api/v1/me/password`)",
        ),
        Limit::EnrolSecondFactor => (
            "second_factor_needed",
            "your role asks for a second factor; set up an authenticator app (`POST /api/v1/me/totp`) or a \
             passkey (`POST /api/v1/me/passkeys`) first",
        ),
    };
    Err(ApiError::new(StatusCode::FORBIDDEN, code, detail))
}

/// The rule for an operation.
pub(crate) fn rule(method: &str, path: &str) -> Option<Access> {
    let method = if method == "HEAD" { "GET" } else { method };
    TABLE.iter().find(|row| (row.0, row.1) == (method, path)).map(|row| row.2)
}

/// The methods of a path, for `Allow`.
fn allowed(path: &str) -> String {
    let methods = TABLE.iter().filter(|row| row.1 == path).flat_map(|row| match row.0 {
        "GET" => &["GET", "HEAD"][..],
        _ => std::slice::from_ref(&row.0),
    });
    methods.copied().collect::<Vec<_>>().join(", ")
}

/// The layer before all routes: finds the rule, the caller and refuses what does not fit.
pub(crate) async fn authorize(
    State(app): State<AppState>,
    meta: RequestMeta,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let Some(access) = rule(request.method().as_str(), path) else {
        return Err(method_not_allowed(path));
    };
    if changes(request.method()) {
        session::check_origin(request.headers(), app.options.public_url.as_deref(), meta.arrival)?;
    }
    if access == Access::Open {
        return Ok(next.run(request).await);
    }
    let caller = session::authenticate(&app, request.headers(), &meta).await?;
    check_limit(caller.limit, request.method().as_str(), path)?;
    if let Access::Needs(permission) = access
        && !caller.ctx.actor.permissions.has(permission)
    {
        return Err(missing_permission(permission));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// May a request of this method change something?
fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn method_not_allowed(path: &str) -> ApiError {
    let allow = allowed(path);
    if allow.is_empty() {
        return not_found();
    }
    let detail = format!("this path knows {allow}");
    let mut error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    error.more.allow = Some(allow);
    error
}

/// No route of this name.
pub(crate) fn not_found() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no route by this name; `/openapi.json` lists all",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_stands_once() {
        let operations: BTreeSet<_> = TABLE.iter().map(|row| (row.0, row.1)).collect();
        assert_eq!(operations.len(), TABLE.len());
    }

    #[test]
    fn open_routes_are_few_and_known() {
        let open: Vec<_> =
            TABLE.iter().filter(|row| row.2 == Access::Open).map(|row| (row.0, row.1)).collect();
        let known = [
            ("GET", "/healthz"),
            ("GET", "/readyz"),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
            ("GET", "/api/v1/setup"),
            ("POST", "/api/v1/setup"),
            ("POST", "/api/v1/session"),
            ("POST", "/api/v1/session/second-factor"),
        ];
        assert_eq!(open, known);
    }

    #[test]
    fn writes_need_more_than_reading_rights() {
        let reading = [Permission::AssetsRead, Permission::IntegrationsRead];
        for (method, path, access) in TABLE.iter().filter(|row| row.0 != "GET") {
            assert!(!matches!(access, Access::Needs(p) if reading.contains(p)), "{method} {path}");
        }
    }

    #[test]
    fn a_limited_sign_in_can_mend_that_and_nothing_else() {
        for (limit, code, remedies) in [
            (Limit::ChangePassword, "password_change_needed", 1),
            (Limit::EnrolSecondFactor, "second_factor_needed", 4),
        ] {
            let allowed = |row: &&(&str, &str, Access)| match check_limit(Some(limit), row.0, row.1) {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!((error.status.as_u16(), error.code.as_str()), (403, code));
                    false
                }
            };
            assert_eq!(TABLE.iter().filter(allowed).count(), LIMITED.len() + remedies, "{limit:?}");
            assert!(check_limit(Some(limit), "HEAD", "/api/v1/me").is_ok());
            assert!(check_limit(Some(limit), "GET", "").is_err());
        }
        assert!(TABLE.iter().all(|row| check_limit(None, row.0, row.1).is_ok()));
    }

    #[test]
    fn a_method_out_of_the_table_is_refused_with_the_right_ones() {
        let error = method_not_allowed("/api/v1/clients");
        assert_eq!((error.status.as_u16(), error.more.allow.as_deref()), (405, Some("GET, HEAD, POST")));
        assert_eq!(method_not_allowed("/api/v1/nothing").status.as_u16(), 404);
        assert_eq!(rule("HEAD", "/api/v1/me"), Some(Access::SignedIn));
        assert_eq!(rule("PUT", "/api/v1/me"), None);
    }
}
