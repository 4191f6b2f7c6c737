//! The control URL: [`Control`] over HTTP. The calls are listed in the documentation of the parent module.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::datto_rmm::control::{Control, Trouble, UnknownId};
use crate::datto_rmm::jobs::JobOutput;
use crate::datto_rmm::rate::Rate;
use crate::datto_rmm::webhooks::Webhooks;
use crate::faults::Fault;

type Handle = State<Control>;

/// Serves the control URL for ever.
pub(crate) async fn serve(listener: TcpListener, control: Control) {
    if let Err(e) = axum::serve(listener, router(control)).await {
        tracing::warn!("the control URL ended: {e}");
    }
}

fn router(control: Control) -> Router {
    Router::new()
        .route("/counts", get(|State(control): Handle| async move { Json(control.counts()) }))
        .route("/rate/record", get(|State(control): Handle| async move { Json(control.rate_record()) }))
        .route("/now", get(|State(control): Handle| async move { Json(json!({"at_ms": control.now_ms()})) }))
        .route("/requests", get(|State(control): Handle| async move { Json(control.requests()) }))
        .route("/rate", get(|State(control): Handle| async move { Json(control.rate()) }).post(set_rate))
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/set", post(set))
        .route("/do/{what}", post(act))
        .route("/counts/reset", post(|control: Handle| act(control, Path("counts-reset".to_owned()))))
        .route("/warm", post(|control: Handle| act(control, Path("warm".to_owned()))))
        .route("/advance", post(advance))
        .route("/change", post(change))
        .route("/right", post(right))
        .route("/scope", post(scope))
        .route("/sites", get(|State(control): Handle| async move { Json(control.sites()) }))
        .route("/sites/{id}/rename", post(rename_site))
        .route("/sites/{id}/burst", post(burst))
        .route("/devices", get(devices))
        .route("/devices/{uid}/raise", post(raise))
        .route("/devices/{uid}/{change}", post(change_device))
        .route("/alerts/{uid}/resolve", post(resolve))
        .route("/jobs/{uid}/output", post(job_output))
        .route("/webhooks", post(set_webhooks))
        .route("/webhooks/test", post(test_webhook))
        .with_state(control)
}

fn ok() -> Response {
    done(Ok(()))
}

fn done(result: Result<(), UnknownId>) -> Response {
    answered(result.map(|()| json!({"ok": true})))
}

fn answered(result: Result<Value, UnknownId>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(e) => (StatusCode::NOT_FOUND, Json(json!({"error": e.to_string()}))).into_response(),
    }
}

async fn set_rate(State(control): Handle, Json(rate): Json<Rate>) -> Response {
    control.set_rate(rate);
    ok()
}

async fn faults(State(control): Handle) -> Json<Vec<Fault>> {
    Json(control.faults())
}

async fn add_faults(State(control): Handle, Json(faults): Json<Vec<Fault>>) -> Response {
    faults.into_iter().for_each(|fault| control.set_fault(fault));
    ok()
}

async fn clear_faults(State(control): Handle) -> Response {
    control.clear_faults();
    ok()
}

/// Knobs that are a number or a yes; those that are absent stay.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Knobs {
    delay_ms: Option<u64>,
    skew_s: Option<i64>,
    token_life_s: Option<i64>,
    others_per_minute: Option<u32>,
    moves_per_page: Option<usize>,
    malformed_row: Option<bool>,
    udfs: Option<u16>,
    patches: Option<bool>,
}

async fn set(State(control): Handle, Json(knobs): Json<Knobs>) -> Response {
    knobs.delay_ms.into_iter().for_each(|value| control.set_delay(value));
    knobs.skew_s.into_iter().for_each(|value| control.set_clock_skew(value));
    knobs.token_life_s.into_iter().for_each(|value| control.set_token_life(value));
    knobs.others_per_minute.into_iter().for_each(|value| control.set_others(value));
    knobs.moves_per_page.into_iter().for_each(|value| control.set_moves_per_page(value));
    knobs.malformed_row.into_iter().for_each(|value| control.set_malformed_row(value));
    knobs.udfs.into_iter().for_each(|value| control.set_udfs(value));
    knobs.patches.into_iter().for_each(|value| control.set_patches(value));
    ok()
}

/// What needs no more than its name.
async fn act(State(control): Handle, Path(what): Path<String>) -> Response {
    match what.as_str() {
        "counts-reset" => control.reset_counts(),
        "rate-reset" => control.reset_rate(),
        "tokens-revoke" => control.revoke_tokens(),
        "live" => control.live(),
        // Rows are rendered when they are asked for.
        "warm" => {}
        _ => return done(Err(UnknownId("act"))),
    }
    ok()
}

#[derive(Deserialize)]
struct Seconds {
    seconds: u64,
}

async fn advance(State(control): Handle, Json(body): Json<Seconds>) -> Response {
    control.advance(body.seconds);
    ok()
}

#[derive(Deserialize)]
struct Fraction {
    fraction: f64,
}

async fn change(State(control): Handle, Json(body): Json<Fraction>) -> Response {
    answered(Ok(json!({"changed": control.change_fraction(body.fraction)})))
}

#[derive(Deserialize)]
struct RightOf {
    who: String,
    right: String,
    granted: bool,
}

async fn right(State(control): Handle, Json(body): Json<RightOf>) -> Response {
    done(control.set_right(&body.who, &body.right, body.granted))
}

#[derive(Deserialize)]
struct ScopeOf {
    who: String,
    sites: Vec<u32>,
}

async fn scope(State(control): Handle, Json(body): Json<ScopeOf>) -> Response {
    done(control.set_scope(&body.who, body.sites))
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn rename_site(State(control): Handle, Path(id): Path<u32>, Json(body): Json<Named>) -> Response {
    done(control.rename_site(id, &body.name))
}

async fn burst(State(control): Handle, Path(id): Path<u32>) -> Response {
    answered(control.burst(id).await.map(|raised| json!({"raised": raised})))
}

#[derive(Deserialize)]
struct OfSite {
    site: Option<u32>,
}

async fn devices(State(control): Handle, Query(query): Query<OfSite>) -> Response {
    Json(control.devices(query.site)).into_response()
}

async fn raise(State(control): Handle, Path(uid): Path<String>, Json(body): Json<Trouble>) -> Response {
    answered(control.raise(&uid, body).await.map(|uid| json!({"alert": uid})))
}

async fn resolve(State(control): Handle, Path(uid): Path<String>) -> Response {
    done(control.resolve(&uid).await)
}

/// What a change of a device may say; which fields count depends on the change.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Change {
    site: u32,
    name: String,
    text: Option<String>,
}

async fn change_device(
    State(control): Handle,
    Path((uid, what)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let Ok(change) = serde_json::from_slice::<Option<Change>>(if body.is_empty() { b"null" } else { &body })
    else {
        let error = json!({"error": "the body is not what this change needs"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let change = change.unwrap_or_default();
    match what.as_str() {
        "move" => done(control.move_device(&uid, change.site)),
        "reinstall" => answered(control.reinstall(&uid).map(|uid| json!({"uid": uid}))),
        "vanish" => done(control.vanish(&uid)),
        "restore" => done(control.restore(&uid)),
        "silence" => done(control.silence(&uid)),
        "wake" => done(control.wake(&uid)),
        "rename" => done(control.rename(&uid, &change.name)),
        "describe" => done(control.describe(&uid, change.text.as_deref())),
        "audit" => done(control.renew_audit(&uid)),
        _ => done(Err(UnknownId("change"))),
    }
}

async fn job_output(
    State(control): Handle,
    Path(uid): Path<String>,
    Json(body): Json<JobOutput>,
) -> Response {
    done(control.set_job_output(&uid, body))
}

async fn set_webhooks(State(control): Handle, Json(body): Json<Webhooks>) -> Response {
    control.set_webhooks(body);
    ok()
}

async fn test_webhook(State(control): Handle) -> Response {
    answered(Ok(json!({"status": control.test_webhook().await})))
}
