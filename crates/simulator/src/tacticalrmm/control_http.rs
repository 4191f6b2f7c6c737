//! The control URL: [`Control`] over HTTP. The calls are listed in the documentation of the parent module.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::faults::Fault;
use crate::tacticalrmm::alerts::Failure;
use crate::tacticalrmm::control::{Control, UnknownId};
use crate::tacticalrmm::sim::{Messaging, Output};

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
        .route(
            "/counts/reset",
            post(|State(control): Handle| async move {
                control.reset_counts();
                ok()
            }),
        )
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/beta", post(beta))
        .route("/messaging", post(messaging))
        .route("/advance", post(advance))
        .route("/change", post(change))
        .route(
            "/live",
            post(|State(control): Handle| async move {
                control.live();
                ok()
            }),
        )
        .route(
            "/warm",
            post(|State(control): Handle| async move {
                control.warm();
                ok()
            }),
        )
        .route("/skew", post(skew))
        .route("/permission", post(permission))
        .route("/scope", post(scope))
        .route("/login", post(login))
        .route(
            "/tokens/expire",
            post(|State(control): Handle| async move {
                control.expire_tokens();
                ok()
            }),
        )
        .route(
            "/throttle/reset",
            post(|State(control): Handle| async move {
                control.reset_throttle();
                ok()
            }),
        )
        .route("/output", post(output))
        .route("/agents", get(agents))
        .route("/agents/{agent_id}/fail", post(fail))
        .route("/agents/{agent_id}/{change}", post(change_agent))
        .route("/alerts/{id}/pass", post(pass))
        .route(
            "/clients",
            get(|State(control): Handle| async move { Json(control.clients()) }).post(add_client),
        )
        .route("/clients/{id}", delete(remove_client))
        .route("/clients/{id}/rename", post(rename_client))
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

#[derive(Deserialize)]
struct Enabled {
    enabled: bool,
}

async fn beta(State(control): Handle, Json(body): Json<Enabled>) -> Response {
    control.set_beta(body.enabled);
    ok()
}

#[derive(Deserialize)]
struct MessagingState {
    state: Messaging,
}

async fn messaging(State(control): Handle, Json(body): Json<MessagingState>) -> Response {
    control.set_messaging(body.state);
    ok()
}

#[derive(Deserialize)]
struct Seconds {
    seconds: i64,
}

async fn advance(State(control): Handle, Json(body): Json<Seconds>) -> Response {
    control.advance(u64::try_from(body.seconds).unwrap_or(0));
    ok()
}

async fn skew(State(control): Handle, Json(body): Json<Seconds>) -> Response {
    control.set_clock_skew(body.seconds);
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
struct Permission {
    who: String,
    right: String,
    granted: bool,
}

async fn permission(State(control): Handle, Json(body): Json<Permission>) -> Response {
    done(control.set_permission(&body.who, &body.right, body.granted))
}

#[derive(Deserialize)]
struct ScopeOf {
    who: String,
    clients: Vec<u32>,
}

async fn scope(State(control): Handle, Json(body): Json<ScopeOf>) -> Response {
    done(control.set_scope(&body.who, body.clients))
}

#[derive(Deserialize)]
struct LoginOf {
    user: String,
    blocked: bool,
}

async fn login(State(control): Handle, Json(body): Json<LoginOf>) -> Response {
    done(control.block_login(&body.user, body.blocked))
}

async fn output(State(control): Handle, Json(body): Json<Output>) -> Response {
    control.set_output(body);
    ok()
}

#[derive(Deserialize)]
struct OfClient {
    client: Option<u32>,
}

async fn agents(State(control): Handle, Query(query): Query<OfClient>) -> Response {
    Json(control.agents(query.client)).into_response()
}

async fn fail(State(control): Handle, Path(agent_id): Path<String>, Json(body): Json<Failure>) -> Response {
    answered(control.fail(&agent_id, body).await.map(|id| json!({"alert": id})))
}

async fn pass(State(control): Handle, Path(id): Path<u32>) -> Response {
    done(control.pass(id).await)
}

/// What a change of an agent may say; which fields count depends on the change.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Change {
    client: u32,
    name: String,
    text: Option<String>,
}

async fn change_agent(
    State(control): Handle,
    Path((id, what)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let Ok(change) = serde_json::from_slice::<Option<Change>>(if body.is_empty() { b"null" } else { &body })
    else {
        let error = json!({"error": "the body is not what this change needs"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let change = change.unwrap_or_default();
    match what.as_str() {
        "move" => done(control.move_agent(&id, change.client)),
        "reinstall" => answered(control.reinstall(&id).map(|id| json!({"agent_id": id}))),
        "vanish" => done(control.vanish(&id)),
        "restore" => done(control.restore(&id)),
        "silence" => done(control.silence(&id)),
        "wake" => done(control.wake(&id)),
        "rename" => done(control.rename(&id, &change.name)),
        "describe" => done(control.describe(&id, change.text.as_deref())),
        _ => done(Err(UnknownId("change"))),
    }
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

async fn add_client(State(control): Handle, Json(body): Json<Named>) -> Response {
    answered(Ok(json!({"id": control.add_client(&body.name)})))
}

async fn rename_client(State(control): Handle, Path(id): Path<u32>, Json(body): Json<Named>) -> Response {
    done(control.rename_client(id, &body.name))
}

async fn remove_client(State(control): Handle, Path(id): Path<u32>) -> Response {
    done(control.remove_client(id))
}
