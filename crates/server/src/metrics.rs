//! Numbers for Prometheus: `GET /metrics`.
//!
//! Any crate counts with the `metrics` macros; here they are collected and shown, to loopback and to people who may
//! change settings.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::auth::Permission;
use http::{Method, header};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{
    app::{AppState, MAX_EVENT_STREAMS},
    ctx::RequestMeta,
    error::{ApiResult, missing_permission},
    session,
};

const REQUESTS: &str = "fleetgate_http_requests_total";
const SECONDS: &str = "fleetgate_http_request_duration_seconds";
const STATEMENTS: &str = "fleetgate_sql_statements_total";
const STREAMS: &str = "fleetgate_event_streams";
/// These two are counted where requests to RMMs are allowed.
const BUDGET_WAITS: &str = "fleetgate_rmm_budget_wait_seconds";
const BUDGET_REFUSALS: &str = "fleetgate_rmm_budget_refusals_total";

/// Upper bounds in seconds: reads are about a millisecond, calls to an RMM some seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The collected numbers; cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<PrometheusHandle>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Everything as Prometheus text.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was measured into its buckets; without it memory grows while nobody looks.
    pub(crate) fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Starts collecting, once a process; later calls answer the same handle. Call it before anything counts.
pub fn install() -> Handle {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
                .expect("the list of buckets is not empty");
            let recorder = builder.build_recorder();
            let handle = Handle(Arc::new(recorder.handle()));
            // Another recorder can only be there in a test of another crate; then this one stays empty.
            let _ = metrics::set_global_recorder(recorder);
            metrics::describe_counter!(REQUESTS, "Requests answered, by route template, method and status.");
            metrics::describe_histogram!(SECONDS, "Time until the head of the answer.");
            metrics::describe_counter!(STATEMENTS, "SQL statements run.");
            metrics::describe_gauge!(STREAMS, "Streams of live updates that are open.");
            metrics::describe_histogram!(BUDGET_WAITS, "Wait until a request to an RMM was allowed.");
            metrics::describe_counter!(BUDGET_REFUSALS, "Requests to an RMM that were not allowed in time.");
            handle
        })
        .clone()
}

/// Counts one answered request.
pub(crate) fn record(route: &str, method: &Method, status: u16, took: Duration) {
    let method = method_label(method);
    let route = route.to_owned();
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(SECONDS, "route" => route, "method" => method).record(took.as_secs_f64());
}

/// Methods that nobody serves share one label: a caller must not make series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Numbers for Prometheus
///
/// For callers on this machine without a proxy in between, and for tokens and people with `system_settings`.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses(
        (status = 200, description = "Prometheus text", body = String, content_type = "text/plain"),
        (status = 401, description = "From elsewhere: not signed in, or the token is not accepted"),
        (status = 403, description = "From elsewhere: `system_settings` is missing"),
    )
)]
pub(crate) async fn get_metrics(
    State(app): State<AppState>,
    meta: RequestMeta,
    request: Request,
) -> ApiResult<Response> {
    if !is_local(meta.arrival.client, request.headers()) {
        let headers = request.headers().clone();
        let caller = session::authenticate(&app, &headers, &meta).await?;
        if !caller.ctx.actor.permissions.has(Permission::SystemSettings) {
            return Err(missing_permission(Permission::SystemSettings));
        }
        caller.ctx.require_all_clients().map_err(service::ServiceError::from)?;
    }
    counter!(STATEMENTS).absolute(app.services.statements_run());
    let open = MAX_EVENT_STREAMS.saturating_sub(app.event_streams.available_permits());
    gauge!(STREAMS).set(u32::try_from(open).unwrap_or(u32::MAX));
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
        .into_response())
}

/// Headers by which a proxy says that it speaks for somebody else.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "via"];

/// From this machine, asked by a local name, and not passed on by a proxy: behind one, every caller is local.
fn is_local(client: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let from_loopback = client.is_some_and(|address| address.is_loopback());
    let passed_on = FORWARDED.iter().any(|name| headers.contains_key(*name));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    from_loopback && !passed_on && is_local_name(host)
}

/// `localhost` or a loopback address, with or without a port: a page that had its own name resolved to this machine
/// still asks by that name.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_answers_the_same_numbers() {
        let (first, second) = (install(), install());
        record("/api/v1/things/{id}", &Method::GET, 200, Duration::from_millis(3));
        for text in [first.render(), second.render()] {
            assert!(text.contains("fleetgate_http_requests_total{route=\"/api/v1/things/{id}\""), "{text}");
            assert!(text.contains("fleetgate_http_request_duration_seconds_bucket"), "{text}");
        }
    }

    #[track_caller]
    fn check(peer: &str, pairs: &[(&'static str, &str)], expected: bool) {
        let headers =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        assert_eq!(is_local(Some(peer.parse().unwrap()), &headers), expected, "{peer} {pairs:?}");
    }

    #[test]
    fn only_callers_on_this_machine_are_local() {
        check("127.0.0.1", &[("host", "127.0.0.1:8080")], true);
        check("::1", &[("host", "[::1]:8080")], true);
        check("127.0.0.1", &[("host", "localhost")], true);
        check("10.0.0.5", &[("host", "localhost")], false);
        check("127.0.0.1", &[("host", "fleet.example")], false);
        check("127.0.0.1", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.5")], false);
        check("127.0.0.1", &[("host", "localhost"), ("x-forwarded-proto", "https")], false);
        assert!(!is_local(None, &HeaderMap::new()));
    }
}
