//! All routes and the layers around them, outermost last.

use axum::{Router, http::HeaderMap, middleware::from_fn_with_state, routing::MethodRouter};
use http::{Extensions, StatusCode, Version, header};
use tokio::sync::watch;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{Predicate, SizeAbove},
    },
};

use crate::{App, access, api, app::AppState, error::ApiError, events, health, metrics, observe, openapi};

/// The routes as one service. Live updates end with their connections.
pub fn router(app: App) -> Router {
    let (_, never) = watch::channel(false);
    build(app, never)
}

/// The routes as one service that learns when the server stops.
pub(crate) fn build(app: App, stopping: watch::Receiver<bool>) -> Router {
    let state = AppState::new(app, stopping);
    routes()
        .route_layer(from_fn_with_state(state.clone(), access::authorize))
        .fallback(unknown_route)
        .layer(CatchPanicLayer::custom(observe::answer_panic))
        .layer(from_fn_with_state(state.clone(), observe::identify))
        .layer(CompressionLayer::new().gzip(true).compress_when(SizeAbove::new(1_024).and(is_json)))
        .with_state(state)
}

async fn unknown_route() -> ApiError {
    access::not_found()
}

/// Events are not compressed, so that each arrives at once; CSV is left to proxies.
fn is_json(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json") || kind.starts_with("application/problem+json")
}

/// Every route, each made by the macro that is named: alone, or with its part of the document.
macro_rules! all_routes {
    ($start:expr, $one:ident) => {
        $start
            .routes($one!(health::healthz))
            .routes($one!(health::readyz))
            .routes($one!(metrics::get_metrics))
            .routes($one!(openapi::get_openapi))
            .routes($one!(api::account::get_setup, api::account::set_up))
            .routes($one!(api::account::sign_in, api::account::sign_out))
            .routes($one!(api::factor::finish_sign_in))
            .routes($one!(api::factor::step_up))
            .routes($one!(api::passkey::step_up_options))
            .routes($one!(api::account::me))
            .routes($one!(api::account::change_password))
            .routes($one!(api::factor::enrol_totp, api::factor::remove_totp))
            .routes($one!(api::factor::confirm_totp))
            .routes($one!(api::passkey::list_passkeys, api::passkey::enrol_passkey))
            .routes($one!(api::passkey::confirm_passkey))
            .routes($one!(api::passkey::rename_passkey, api::passkey::remove_passkey))
            .routes($one!(api::factor::renew_recovery_codes))
            .routes($one!(api::session::list_own_sessions, api::session::end_other_sessions))
            .routes($one!(api::session::end_own_session))
            .routes($one!(api::user::list_users, api::user::create_user))
            .routes($one!(api::user::get_user, api::user::update_user))
            .routes($one!(api::user::set_user_password))
            .routes($one!(api::factor::reset_user_second_factors))
            .routes($one!(api::session::list_user_sessions, api::session::end_user_sessions))
            .routes($one!(api::session::end_user_session))
            .routes($one!(api::role::list_roles, api::role::create_role))
            .routes($one!(api::role::update_role, api::role::delete_role))
            .routes($one!(api::audit::list_audit))
            .routes($one!(api::audit::export_audit_csv))
            .routes($one!(api::audit::export_audit_jsonl))
            .routes($one!(api::factor::set_role_second_factor))
            .routes($one!(api::token::list_tokens, api::token::create_token))
            .routes($one!(api::token::revoke_token))
            .routes($one!(api::provider::list_providers))
            .routes($one!(api::integration::list_integrations, api::integration::create_integration))
            .routes($one!(api::integration::test_new_integration))
            .routes($one!(api::integration::get_integration, api::integration::update_integration))
            .routes($one!(api::integration::test_integration))
            .routes($one!(api::integration::sign_in_integration))
            .routes($one!(api::integration::disconnect_integration))
            .routes($one!(api::integration::reconnect_integration))
            .routes($one!(api::sync_run::request_sync))
            .routes($one!(api::sync_run::list_sync_runs))
            .routes($one!(api::sync_run::get_sync_run))
            .routes($one!(api::sync_run::list_sync_run_items))
            .routes($one!(api::sync_run::cancel_sync_run))
            .routes($one!(api::organization::list_organizations))
            .routes($one!(api::organization::export_organizations))
            .routes($one!(api::organization::change_organization))
            .routes($one!(api::organization::undo_organization))
            .routes($one!(api::organization::accept_suggestions))
            .routes($one!(api::organization::import_organizations))
            .routes($one!(api::client::list_clients, api::client::create_client))
            .routes($one!(api::client::get_client, api::client::rename_client))
            .routes($one!(api::client::archive_client))
            .routes($one!(api::client::restore_client))
            .routes($one!(api::client::merge_client))
            .routes($one!(api::site::list_sites, api::site::create_site))
            .routes($one!(api::site::get_site, api::site::rename_site, api::site::remove_site))
            .routes($one!(api::site::merge_site))
            .routes($one!(api::asset::list_assets))
            .routes($one!(api::export::export_assets_csv))
            .routes($one!(api::export::export_assets_json))
            .routes($one!(api::asset::get_asset, api::asset::update_asset))
            .routes($one!(api::asset::list_asset_history))
            .routes($one!(api::asset_merge::merge_assets))
            .routes($one!(api::asset_merge::split_asset))
            .routes($one!(api::asset_merge::audit_asset))
            .routes($one!(api::proposal::list_proposals))
            .routes($one!(api::proposal::merge_proposal))
            .routes($one!(api::proposal::keep_both))
            .routes($one!(api::proposal::never_match))
            .routes($one!(api::proposal::dismiss_proposal))
            .routes($one!(events::get_events))
    };
}

/// One route of the program: path and methods as its handler declares them, without the document.
macro_rules! served {
    ($($handler:path),+) => {{
        use utoipa_axum::PathItemExt;
        let mut methods = axum::routing::MethodRouter::<AppState>::new();
        let mut path = String::new();
        $(utoipa_axum::paste! {
            path.clone_from(&utoipa_axum::routes!(@path [path()] of $handler));
            for method in utoipa_axum::routes!(@path [methods()] of $handler) {
                methods = methods.on(method.to_method_filter(), $handler);
            }
        })+
        (path, methods)
    }};
}

/// Routes that are served.
struct Served(Router<AppState>);

impl Served {
    fn routes(self, (path, methods): (String, MethodRouter<AppState>)) -> Served {
        Served(self.0.route(&path, methods))
    }
}

/// Every route, before the layers.
fn routes() -> Router<AppState> {
    all_routes!(Served(Router::new()), served).0
}

/// Every route with its document.
#[cfg(test)]
pub(crate) fn documented() -> utoipa_axum::router::OpenApiRouter<AppState> {
    use utoipa_axum::{router::OpenApiRouter, routes};
    all_routes!(OpenApiRouter::with_openapi(openapi::document::head()), routes)
}
