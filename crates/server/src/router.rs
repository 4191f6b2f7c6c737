//! All routes and the layers around them, outermost last.

use axum::{Router, http::HeaderMap, middleware::from_fn_with_state};
use http::{Extensions, StatusCode, Version, header};
use tokio::sync::watch;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{Predicate, SizeAbove},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, access, api, app::AppState, error::ApiError, events, health, metrics, observe, openapi};

/// The routes as one service. Live updates end with their connections.
pub fn router(app: App) -> Router {
    let (_, never) = watch::channel(false);
    build(app, never)
}

/// The routes as one service that learns when the server stops.
pub(crate) fn build(app: App, stopping: watch::Receiver<bool>) -> Router {
    let (routes, document) = routes().split_for_parts();
    let state = AppState::new(app, openapi::text(document), stopping);
    routes
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

/// Every route with its document, before the layers.
#[rustfmt::skip]
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::head())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::get_metrics))
        .routes(routes!(openapi::get_openapi))
        .routes(routes!(api::account::get_setup, api::account::set_up))
        .routes(routes!(api::account::sign_in, api::account::sign_out))
        .routes(routes!(api::factor::finish_sign_in))
        .routes(routes!(api::factor::step_up))
        .routes(routes!(api::account::me))
        .routes(routes!(api::account::change_password))
        .routes(routes!(api::factor::enrol_totp, api::factor::remove_totp))
        .routes(routes!(api::factor::confirm_totp))
        .routes(routes!(api::factor::renew_recovery_codes))
        .routes(routes!(api::session::list_own_sessions, api::session::end_other_sessions))
        .routes(routes!(api::session::end_own_session))
        .routes(routes!(api::user::list_users, api::user::create_user))
        .routes(routes!(api::user::get_user, api::user::update_user))
        .routes(routes!(api::user::set_user_password))
        .routes(routes!(api::factor::reset_user_second_factors))
        .routes(routes!(api::session::list_user_sessions, api::session::end_user_sessions))
        .routes(routes!(api::session::end_user_session))
        .routes(routes!(api::role::list_roles, api::role::create_role))
        .routes(routes!(api::role::update_role, api::role::delete_role))
        .routes(routes!(api::audit::list_audit))
        .routes(routes!(api::audit::export_audit_csv))
        .routes(routes!(api::audit::export_audit_jsonl))
        .routes(routes!(api::factor::set_role_second_factor))
        .routes(routes!(api::token::list_tokens, api::token::create_token))
        .routes(routes!(api::token::revoke_token))
        .routes(routes!(api::provider::list_providers))
        .routes(routes!(api::integration::list_integrations, api::integration::create_integration))
        .routes(routes!(api::integration::test_new_integration))
        .routes(routes!(api::integration::get_integration, api::integration::update_integration))
        .routes(routes!(api::integration::test_integration))
        .routes(routes!(api::integration::sign_in_integration))
        .routes(routes!(api::integration::disconnect_integration))
        .routes(routes!(api::integration::reconnect_integration))
        .routes(routes!(api::sync_run::request_sync))
        .routes(routes!(api::sync_run::list_sync_runs))
        .routes(routes!(api::sync_run::get_sync_run))
        .routes(routes!(api::sync_run::list_sync_run_items))
        .routes(routes!(api::sync_run::cancel_sync_run))
        .routes(routes!(api::organization::list_organizations))
        .routes(routes!(api::organization::export_organizations))
        .routes(routes!(api::organization::change_organization))
        .routes(routes!(api::organization::undo_organization))
        .routes(routes!(api::organization::accept_suggestions))
        .routes(routes!(api::organization::import_organizations))
        .routes(routes!(api::client::list_clients, api::client::create_client))
        .routes(routes!(api::client::get_client, api::client::rename_client))
        .routes(routes!(api::client::archive_client))
        .routes(routes!(api::client::restore_client))
        .routes(routes!(api::client::merge_client))
        .routes(routes!(api::site::list_sites, api::site::create_site))
        .routes(routes!(api::site::get_site, api::site::rename_site, api::site::remove_site))
        .routes(routes!(api::site::merge_site))
        .routes(routes!(api::asset::list_assets))
        .routes(routes!(api::export::export_assets_csv))
        .routes(routes!(api::export::export_assets_json))
        .routes(routes!(api::asset::get_asset, api::asset::update_asset))
        .routes(routes!(api::asset::list_asset_history))
        .routes(routes!(api::proposal::list_proposals))
        .routes(routes!(api::proposal::dismiss_proposal))
        .routes(routes!(events::get_events))
}
