//! The way of a request: block, token endpoint, limits, route, token, right, view.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::answer::{Answer, Delivery};
use crate::datto_rmm::access::User;
use crate::datto_rmm::call::Call;
use crate::datto_rmm::rate::{Counted, Verdict};
use crate::datto_rmm::reply::{self, DattoPages};
use crate::datto_rmm::routes::{self, Found, Params, Route, STATUS};
use crate::datto_rmm::sim::Sim;
use crate::faults::{Before, Target};
use crate::listen::{self, ClosedOnPurpose, parse_query};

const BODY_LIMIT_BYTES: usize = 4 << 20;
/// Where tokens are given out; not below the root of the API.
const TOKEN: &str = "/auth/oauth/token";

/// Accepts connections for ever.
pub(crate) async fn serve(listener: TcpListener, sim: Arc<Sim>) {
    listen::serve(listener, move |peer, request| answer(sim.clone(), peer, request)).await;
}

/// What a path means before anything is asked of it.
enum Aim {
    Token,
    /// Below the root, with the rest of the path.
    Api {
        rest: String,
    },
    Elsewhere,
}

async fn answer(
    sim: Arc<Sim>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, ClosedOnPurpose> {
    let method = request.method().as_str().to_owned();
    let path_and_query =
        request.uri().path_and_query().map_or_else(|| request.uri().path().to_owned(), ToString::to_string);
    let aim = aim(&sim, request.uri().path(), request.headers());
    let found = match &aim {
        Aim::Api { rest } => routes::find(if method == "HEAD" { "GET" } else { &method }, rest),
        Aim::Token | Aim::Elsewhere => Found::Nothing,
    };
    let (template, list, operation) = match (&aim, &found) {
        (Aim::Token, _) => (TOKEN, "", None),
        (_, Found::Route(route, _)) => (route.template, route.list, route.operation),
        (_, Found::OtherMethod(route)) => (route.template, "", None),
        (_, Found::Nothing) => ("(none)", "", None),
    };
    let _counted = sim.enter(&method, template);
    let verdict = judge(&sim, &aim, Counted { peer, method: &method, template, operation });
    tokio::time::sleep(sim.delay()).await;
    let fault = sim.faults.strike(Target { method: &method, template, path_and_query: &path_and_query });
    let instead = match fault.as_ref().map(|fault| fault.before(&DattoPages { list })) {
        Some(Before::Close) => return Err(ClosedOnPurpose),
        Some(Before::Answer(answer)) => Some(*answer),
        Some(Before::Handle { wait }) => {
            tokio::time::sleep(wait).await;
            None
        }
        None => None,
    };
    let mut answer = match instead {
        Some(answer) => answer,
        None => handle(&sim, request, verdict, (aim, found)).await,
    };
    if let Some(fault) = fault {
        answer = fault.after(answer).ok_or(ClosedOnPurpose)?;
    }
    Ok(finish(&sim, answer, &method))
}

/// Reads a path. A request with the single key may use another root, with or without `/v2`.
fn aim(sim: &Sim, path: &str, headers: &HeaderMap) -> Aim {
    if path == TOKEN {
        return Aim::Token;
    }
    if headers.contains_key("x-au-api-key")
        && let Some(rest) = path.strip_prefix(sim.header_root.as_str())
        && rest.starts_with('/')
    {
        let has_version = rest.starts_with("/v2/");
        return Aim::Api { rest: if has_version { rest.to_owned() } else { format!("/v2{rest}") } };
    }
    match path.strip_prefix("/api") {
        Some(rest) if rest.starts_with('/') => Aim::Api { rest: rest.to_owned() },
        Some(_) | None => Aim::Elsewhere,
    }
}

/// Every request of the API counts, also failed ones; a blocked address gets nothing at all.
fn judge(sim: &Sim, aim: &Aim, counted: Counted<'_>) -> Verdict {
    let now = sim.clock.wall_now();
    let mut limiter = sim.limiter();
    match aim {
        Aim::Api { rest } if rest != STATUS => limiter.count(counted, now),
        Aim::Api { .. } | Aim::Token | Aim::Elsewhere if limiter.is_blocked(counted.peer, now) => {
            Verdict::Blocked
        }
        Aim::Api { .. } | Aim::Token | Aim::Elsewhere => Verdict::Pass,
    }
}

/// What every answer carries.
fn finish(sim: &Sim, answer: Answer, method: &str) -> Response<Body> {
    let sent = match answer.delivery {
        Delivery::Whole | Delivery::Slow { .. } => answer.size_bytes(),
        Delivery::Cut => answer.size_bytes() / 2,
        Delivery::Repeated { bytes } => bytes,
    };
    let is_head = method == "HEAD";
    sim.count_bytes(if is_head { 0 } else { sent });
    let response = answer.only_header(header::DATE, sim.clock.date_header()).into_response();
    if is_head { response.map(|_| Body::empty()) } else { response }
}

async fn handle(
    sim: &Arc<Sim>,
    request: Request<Incoming>,
    verdict: Verdict,
    (aim, found): (Aim, Found),
) -> Answer {
    match verdict {
        Verdict::Blocked => return reply::blocked(),
        Verdict::Refused { retry_after_s } => return reply::too_many(retry_after_s),
        Verdict::Slow(wait) => tokio::time::sleep(wait).await,
        Verdict::Pass => {}
    }
    match aim {
        Aim::Token => return token(sim, request).await,
        Aim::Elsewhere => return reply::no_route(request.uri().path()),
        Aim::Api { .. } => {}
    }
    match admit(sim, request.headers(), &found) {
        Err(refused) => refused,
        Ok(user) => match found {
            Found::Nothing => reply::no_route(request.uri().path()),
            Found::OtherMethod(_) => {
                let method = request.method().as_str();
                reply::error(405, &format!("Request method '{method}' is not supported"))
            }
            Found::Route(route, params) => match read(sim, request, route, params, user).await {
                Ok(call) => (route.answer)(&call).unwrap_or_else(|refused| refused),
                Err(refused) => refused,
            },
        },
    }
}

async fn token(sim: &Sim, request: Request<Incoming>) -> Answer {
    if request.method() != http::Method::POST {
        let text = format!("Request method '{}' not supported", request.method());
        return reply::oauth(405, "method_not_allowed", &text);
    }
    let authorization = header_text(request.headers(), "authorization").to_owned();
    let is_form =
        header_text(request.headers(), "content-type").starts_with("application/x-www-form-urlencoded");
    let body = body_of(request).await.unwrap_or_default();
    let form = if is_form { parse_query(&String::from_utf8_lossy(&body)) } else { Vec::new() };
    sim.access().give_token(&authorization, &form, sim.clock.wall_now())
}

/// Who asks, and whether he may. Everything but the status needs a token, unknown paths too.
fn admit(sim: &Sim, headers: &HeaderMap, found: &Found) -> Result<Option<User>, Answer> {
    let right = match found {
        Found::Route(route, _) if route.template == STATUS => return Ok(None),
        Found::Route(route, _) => route.right,
        Found::OtherMethod(_) | Found::Nothing => "",
    };
    let user = authenticate(sim, headers)?;
    if right.is_empty() || user.may(right) { Ok(Some(user)) } else { Err(reply::forbidden()) }
}

fn authenticate(sim: &Sim, headers: &HeaderMap) -> Result<User, Answer> {
    let key = header_text(headers, "x-au-api-key");
    if !key.is_empty() {
        return sim.access().by_header(key).ok_or_else(|| reply::unauthorized("Invalid API key"));
    }
    match header_text(headers, "authorization").strip_prefix("Bearer ") {
        Some(token) => sim.access().by_token(token.trim(), sim.clock.wall_now()).map_err(reply::unauthorized),
        None => {
            Err(reply::oauth(401, "unauthorized", "Full authentication is required to access this resource"))
        }
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

async fn body_of(request: Request<Incoming>) -> Option<Bytes> {
    axum::body::to_bytes(Body::new(request.into_body()), BODY_LIMIT_BYTES).await.ok()
}

async fn read(
    sim: &Arc<Sim>,
    request: Request<Incoming>,
    route: &'static Route,
    params: Params,
    user: Option<User>,
) -> Result<Call, Answer> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().map_or_else(Vec::new, parse_query);
    let body = tokio::time::timeout(Duration::from_secs(30), body_of(request)).await.ok().flatten();
    let body = body.ok_or_else(|| reply::error(413, "Request body too large"))?;
    Ok(Call { sim: sim.clone(), route, params, path, query, body, user })
}
