//! The way of a request, in the order of the real server: host, slash, route, authentication, throttle, view.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::answer::{Answer, Delivery};
use crate::faults::{Before, Target};
use crate::listen::{self, ClosedOnPurpose, parse_query};
use crate::tacticalrmm::accounts::Caller;
use crate::tacticalrmm::call::Call;
use crate::tacticalrmm::reply::{self, TacticalPages};
use crate::tacticalrmm::routes::{self, Params, Route, View};
use crate::tacticalrmm::sim::Sim;
use crate::tacticalrmm::views;

/// nginx in front of a usual install accepts up to 300 MB; the simulator has no need for more than this.
const BODY_LIMIT_BYTES: usize = 16 << 20;

/// Accepts connections for ever.
pub(crate) async fn serve(listener: TcpListener, sim: Arc<Sim>) {
    listen::serve(listener, move |peer, request| answer(sim.clone(), peer, request)).await;
}

async fn answer(
    sim: Arc<Sim>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, ClosedOnPurpose> {
    let method = request.method().as_str().to_owned();
    let path = request.uri().path().to_owned();
    let path_and_query = request.uri().path_and_query().map_or(path.clone(), ToString::to_string);
    let route = routes::find(&path).filter(|(route, _)| sim.is_beta() || !route.view.is_beta());
    let template = route.as_ref().map_or("(none)", |(route, _)| route.template);
    let _counted = sim.enter(&method, template);
    tokio::time::sleep(sim.delay).await;
    let fault = sim.faults.strike(Target { method: &method, template, path_and_query: &path_and_query });
    let instead = match fault.as_ref().map(|fault| fault.before(&TacticalPages)) {
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
        None => handle(&sim, peer, request, route).await,
    };
    if let Some(fault) = fault {
        answer = fault.after(answer).ok_or(ClosedOnPurpose)?;
    }
    Ok(finish(&sim, answer, &method))
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
    let has_cookie = answer.headers.iter().any(|(name, _)| *name == header::SET_COOKIE);
    let vary = if has_cookie { "Cookie, origin" } else { "origin" };
    let answer = answer.header(header::VARY, vary).only_header(header::DATE, sim.clock.date_header());
    let response = answer.into_response();
    if is_head { response.map(|_| Body::empty()) } else { response }
}

type Found = Option<(&'static Route, Params)>;

async fn handle(sim: &Arc<Sim>, peer: IpAddr, request: Request<Incoming>, route: Found) -> Answer {
    if !is_our_host(sim, &request) {
        return reply::wrong_host();
    }
    let Some((route, params)) = route else { return unknown_path(sim, &request) };
    let admitted = read(sim, peer, request, route, params).await.and_then(admitted);
    let answer = match admitted {
        Ok(call) => views::answer(call).await,
        Err(answer) => answer,
    };
    // HTML pages come from outside of the framework's views, which are what knows the methods.
    let is_html =
        answer.headers.iter().any(|(name, value)| *name == header::CONTENT_TYPE && value.contains("html"));
    if is_html { answer } else { answer.header(header::ALLOW, route.allow) }
}

/// Another `Host` than the server's own names is refused.
fn is_our_host(sim: &Sim, request: &Request<Incoming>) -> bool {
    let Some(host) = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host == sim.authority
        || name == "localhost"
        || Some(name) == sim.authority.rsplit_once(':').map(|(name, _)| name)
        || sim.hosts.iter().any(|other| other == name || other == host)
}

/// A known path without its slash is redirected, whatever the method; anything else is not found.
fn unknown_path(sim: &Sim, request: &Request<Incoming>) -> Answer {
    let with_slash = format!("{}/", request.uri().path());
    match routes::find(&with_slash) {
        Some((route, _)) if sim.is_beta() || !route.view.is_beta() => {
            let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
            reply::add_slash(with_slash + &query)
        }
        Some(_) | None => reply::no_route(),
    }
}

async fn read(
    sim: &Arc<Sim>,
    peer: IpAddr,
    request: Request<Incoming>,
    route: &'static Route,
    params: Params,
) -> Result<Call, Answer> {
    let (parts, body) = request.into_parts();
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let query = parts.uri.query().map_or_else(Vec::new, parse_query);
    let method = if parts.method == http::Method::HEAD { "GET" } else { parts.method.as_str() };
    let mut call = Call {
        sim: sim.clone(),
        route,
        params,
        method: method.to_owned(),
        path: parts.uri.path().to_owned(),
        query,
        content_type: content_type.to_owned(),
        body: Bytes::new(),
        peer,
        caller: None,
        token: None,
    };
    if !matches!(route.view, View::Home | View::CheckCreds | View::Login) {
        let (caller, token) = authenticate(sim, &parts.headers)?;
        call.caller = Some(caller);
        call.token = token;
    }
    call.body = axum::body::to_bytes(Body::new(body), BODY_LIMIT_BYTES)
        .await
        .map_err(|_| reply::detail(413, "Request body exceeded settings.DATA_UPLOAD_MAX_MEMORY_SIZE."))?;
    Ok(call)
}

/// The login paths are throttled by address.
fn admitted(call: Call) -> Result<Call, Answer> {
    if matches!(call.route.view, View::CheckCreds | View::Login) {
        let now = call.sim.clock.wall_now();
        let throttled = call.sim.access().throttle(call.peer, &call.path, now);
        throttled.map_err(reply::throttled)?;
    }
    Ok(call)
}

/// A token if the header says `Token` in any case, else the key. `Bearer` is not seen at all.
fn authenticate(sim: &Sim, headers: &http::HeaderMap) -> Result<(Caller, Option<String>), Answer> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut words = text("authorization").split_whitespace();
    if words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("token")) {
        let token = match (words.next(), words.next()) {
            (None, _) => Err("Invalid token header. No credentials provided."),
            (Some(token), None) => Ok(token),
            (Some(_), Some(_)) => Err("Invalid token header. Token string should not contain spaces."),
        }
        .map_err(reply::unauthorized)?;
        let caller = sim.access().by_token(token, sim.clock.wall_now()).map_err(reply::unauthorized)?;
        return Ok((caller, Some(token.to_owned())));
    }
    match text("x-api-key") {
        "" => Err(reply::unauthorized("Authentication credentials were not provided.")),
        key => sim.access().by_key(key).map(|caller| (caller, None)).map_err(reply::unauthorized),
    }
}
