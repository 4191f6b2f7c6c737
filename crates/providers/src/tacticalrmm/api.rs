//! One request and its answer: credentials on, limits on, and every answer that is not the wanted one named.
//!
//! Success means the right status, the right content type and a body of the right shape; "no error came" is not
//! enough, because Tactical's dashboard answers any path with a page. Redirects are not followed. Bodies are never
//! logged, and of errors in them only the place is told.

use std::time::{Duration, Instant, SystemTime};

use outbound::{
    Bytes, HeaderName, HeaderValue, HttpError, HttpErrorKind, Method, Request, Response, RetryPolicy,
    StatusCode, Url, header, send_with_retries,
};
use provider::{Connection, ErrorKind, ProviderError, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    ACTION_API_KEY, KNOX, auth,
    sentences::{self, Credential, Guess},
    wire::{self, Detail},
};

const MB: u64 = 1 << 20;

/// Silence while a person waits. A list is silent until all of it was computed: 4 s for a thousand agents, 11 s for five
/// thousand (API, section 8), 30 s on a slow server. The client adds the ten seconds in which it may connect.
const PERSON_SILENCE: Duration = Duration::from_secs(20);

/// The whole of one answer while a person waits.
const PERSON_TOTAL: Duration = Duration::from_secs(45);

/// A route of Tactical's API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// For people: without host and query.
    pub(super) name: &'static str,
    /// The right it needs, by Tactical's name.
    pub(super) right: Option<&'static str>,
    kind: RouteKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteKind {
    /// Many rows.
    List,
    /// One object, or few rows.
    Small,
    /// Throttled, and never sent twice.
    Login,
    /// Exists only where it was switched on; many rows.
    Beta,
}

impl Route {
    pub(super) const fn list(name: &'static str, right: &'static str) -> Route {
        Route { name, right: Some(right), kind: RouteKind::List }
    }

    pub(super) const fn small(name: &'static str, right: Option<&'static str>) -> Route {
        Route { name, right, kind: RouteKind::Small }
    }

    pub(super) const fn login(name: &'static str) -> Route {
        Route { name, right: None, kind: RouteKind::Login }
    }

    pub(super) const fn beta(name: &'static str, right: &'static str) -> Route {
        Route { name, right: Some(right), kind: RouteKind::Beta }
    }

    fn limit(self, request: &mut Request) {
        let (silence_s, total_s, max_body_bytes) = match self.kind {
            RouteKind::List | RouteKind::Beta => (60, 300, 100 * MB),
            RouteKind::Small => (60, 120, 8 * MB),
            // Takes a second there, and usually a person waits.
            RouteKind::Login => (20, 40, MB),
        };
        request.read_timeout = Duration::from_secs(silence_s);
        request.total_timeout = Duration::from_secs(total_s);
        request.max_body_bytes = max_body_bytes;
    }
}

/// How long to bear with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// A job in the background: reads are tried three times.
    Job,
    /// A person waits: one try, and an end in time to say what happened.
    Person {
        /// When that is.
        until: Instant,
    },
}

impl Patience {
    /// Shortens the limits of a request where it must, and says how often to try.
    fn limit(self, request: &mut Request, now: Instant) -> RetryPolicy {
        match self {
            Patience::Job => RetryPolicy::default(),
            Patience::Person { until } => {
                let left = until.saturating_duration_since(now).max(Duration::from_secs(1));
                request.total_timeout = request.total_timeout.min(PERSON_TOTAL).min(left);
                request.read_timeout = request.read_timeout.min(PERSON_SILENCE);
                RetryPolicy::ONCE
            }
        }
    }
}

/// A connection with the credential to use.
pub(super) struct Api<'a> {
    connection: &'a Connection,
    credential: Option<&'a SecretString>,
    who: Credential,
    patience: Patience,
}

impl<'a> Api<'a> {
    /// Sends no credential.
    pub(super) fn anonymous(connection: &'a Connection) -> Api<'a> {
        Api { connection, credential: None, who: Credential::Nobody, patience: Patience::Job }
    }

    /// With the credential for reading.
    pub(super) fn reading(connection: &'a Connection) -> Result<Api<'a>> {
        let (credential, who) = if connection.auth_mode == KNOX {
            (connection.token.as_ref().ok_or_else(sentences::not_signed_in)?, Credential::Token)
        } else {
            (auth::api_key(connection).ok_or_else(sentences::key_not_set)?, Credential::ReadKey)
        };
        Ok(Api { connection, credential: Some(credential), who, patience: Patience::Job })
    }

    /// With this token instead of the connection's.
    pub(super) fn with_token(connection: &'a Connection, token: &'a SecretString) -> Api<'a> {
        Api { connection, credential: Some(token), who: Credential::Token, patience: Patience::Job }
    }

    /// With the credential for actions, if there is one of its own.
    pub(super) fn acting(connection: &'a Connection) -> Option<Api<'a>> {
        let key = connection.secrets.get(ACTION_API_KEY)?;
        let is_set = !key.expose_secret().trim().is_empty();
        is_set.then_some(Api {
            connection,
            credential: Some(key),
            who: Credential::ActionKey,
            patience: Patience::Job,
        })
    }

    /// A person waits for the answer, until then.
    pub(super) fn for_a_person(mut self, until: Instant) -> Api<'a> {
        self.patience = Patience::Person { until };
        self
    }

    /// Which credential it uses.
    pub(super) fn who(&self) -> Credential {
        self.who
    }

    /// A read.
    pub(super) async fn get(&self, route: &Route, path: &[&str], query: &[(&str, &str)]) -> Result<Answer> {
        let request = Request::get(self.url(path, query));
        self.exchange(route, request).await?.json(route).await
    }

    /// A request with a JSON body.
    pub(super) async fn send_json<T: Serialize>(
        &self,
        route: &Route,
        method: Method,
        path: &[&str],
        body: &T,
    ) -> Result<Answer> {
        let url = self.url(path, &[]);
        let request =
            Request::json(method, url.clone(), body).map_err(|error| network_error(error, route, &url))?;
        self.exchange(route, request).await?.json(route).await
    }

    /// A read by PATCH: sent again like any other read.
    pub(super) async fn ask_json<T: Serialize>(
        &self,
        route: &Route,
        path: &[&str],
        body: &T,
    ) -> Result<Answer> {
        let url = self.url(path, &[]);
        let request = Request::json(Method::PATCH, url.clone(), body)
            .map_err(|error| network_error(error, route, &url))?;
        self.exchange(route, request.repeatable()).await?.json(route).await
    }

    /// A request without a body, answered without one.
    pub(super) async fn send_empty(&self, route: &Route, method: Method, path: &[&str]) -> Result<()> {
        let request = Request::new(method, self.url(path, &[]));
        let success = self.exchange(route, request).await?;
        if success.response.is_html() { Err(not_json(&success.response, route)) } else { Ok(()) }
    }

    /// Every path ends in a slash: without it Tactical answers with a redirect.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.connection.base_url.clone();
        if let (false, Ok(mut segments)) = (path.is_empty(), url.path_segments_mut()) {
            segments.pop_if_empty().extend(path).push("");
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends and answers only success.
    async fn exchange(&self, route: &Route, mut request: Request) -> Result<Success> {
        if self.connection.base_url.scheme() == "http" && !self.connection.settings.allow_plain_http {
            let problem = sentences::plain_http().at(route.name);
            return Err(ProviderError::new(ErrorKind::Denied, problem));
        }
        route.limit(&mut request);
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut request = self.authorize(route, request)?;
        let policy = self.patience.limit(&mut request, Instant::now());
        let url = request.url.clone();
        let sent = send_with_retries(&self.connection.http, request, policy).await;
        let response = sent.map_err(|error| network_error(error, route, &url))?;
        if response.status.is_success() {
            return Ok(Success { response, url });
        }
        let failure = Failure::read(response, &url).await;
        let mut error = failure.explain(route, self.who);
        error.problem.endpoint = Some(route.name.to_owned());
        Err(error)
    }

    /// The credential goes to the connection's own scheme, host and port and nowhere else.
    fn authorize(&self, route: &Route, request: Request) -> Result<Request> {
        let Some(credential) = self.credential else { return Ok(request) };
        let secret = credential.expose_secret().trim();
        let (name, value) = match self.who {
            Credential::Token => (header::AUTHORIZATION, format!("Token {secret}")),
            Credential::Nobody | Credential::ReadKey | Credential::ActionKey => {
                (HeaderName::from_static("x-api-key"), secret.to_owned())
            }
        };
        request.secret_header(name, &value).map_err(|_| {
            let mut error = sentences::key_unusable();
            error.problem.endpoint = Some(route.name.to_owned());
            error
        })
    }
}

/// The head of an answer with success.
struct Success {
    response: Response,
    url: Url,
}

impl Success {
    /// The body, if it is announced as JSON.
    async fn json(self, route: &Route) -> Result<Answer> {
        if !self.response.is_json() {
            return Err(not_json(&self.response, route));
        }
        let elapsed = self.response.elapsed_to_headers;
        let clock_skew_s = self.response.date().map(|theirs| skew_s(theirs, self.response.received_at()));
        let body = self.response.bytes().await.map_err(|error| network_error(error, route, &self.url))?;
        Ok(Answer { body, elapsed, clock_skew_s, route: route.name })
    }
}

/// Success, but not as JSON: pages come from a dashboard.
fn not_json(response: &Response, route: &Route) -> ProviderError {
    let mut error = if response.is_html() {
        sentences::dashboard_host(&Guess::Unknown)
    } else {
        sentences::answer_not_json()
    };
    error.problem.endpoint = Some(route.name.to_owned());
    error
}

fn skew_s(theirs: SystemTime, ours: SystemTime) -> i64 {
    let seconds = |since: Duration| i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    match theirs.duration_since(ours) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}

/// A whole answer announced as JSON.
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// Until the head was there.
    pub(super) elapsed: Duration,
    /// The server's clock minus ours.
    pub(super) clock_skew_s: Option<i64>,
    route: &'static str,
}

impl Answer {
    /// An object.
    pub(super) fn object<'b, T: Deserialize<'b>>(&'b self) -> Result<T> {
        let text = std::str::from_utf8(&self.body).map_err(|_| self.misshapen())?;
        wire::object(text).map_err(|error| unreadable(&error, self.route))
    }

    /// A list, or a bare value.
    pub(super) fn value<'b, T: Deserialize<'b>>(&'b self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| unreadable(&error, self.route))
    }

    /// An object that can be read but is not the wanted one.
    pub(super) fn misshapen(&self) -> ProviderError {
        ProviderError::new(ErrorKind::Malformed, sentences::answer_shape().at(self.route))
    }
}

/// Where a body stopped being readable. serde's own text may quote the body, so it is not kept.
#[derive(Debug, thiserror::Error)]
#[error("not readable at line {line}, column {column}")]
struct Unreadable {
    line: usize,
    column: usize,
}

fn unreadable(error: &serde_json::Error, route: &str) -> ProviderError {
    let problem = if error.is_eof() { sentences::answer_cut() } else { sentences::answer_shape() };
    let place = Unreadable { line: error.line(), column: error.column() };
    ProviderError::caused(ErrorKind::Malformed, problem.at(route), place)
}

fn network_error(error: HttpError, route: &Route, url: &Url) -> ProviderError {
    let (kind, problem) = sentences::from_http_error(&error.kind, route.name, url);
    ProviderError::caused(kind, problem, error)
}

/// How nginx, Apache and servers written in Go (Caddy, Traefik) say that they expect TLS.
const PLAIN_HTTP_ON_TLS: [&str; 3] = [
    "plain HTTP request was sent to HTTPS port",
    "speaking plain HTTP to an SSL-enabled server port",
    "Client sent an HTTP request to an HTTPS server",
];

/// An answer without success, as far as it explains itself.
struct Failure {
    status: StatusCode,
    is_html: bool,
    /// Tactical's own words, where it says some.
    detail: Option<String>,
    wait_s: Option<u64>,
    redirect_host: Option<String>,
    /// Web servers answer plain HTTP on their TLS port with a text that says so.
    plain_http_on_tls: bool,
    url: Url,
}

impl Failure {
    async fn read(response: Response, url: &Url) -> Failure {
        let status = response.status;
        let (is_html, is_json) = (response.is_html(), response.is_json());
        let wait = response.retry_after().map(|wait| wait.as_secs());
        let redirect_host = response
            .location()
            .and_then(|location| url.join(location).ok())
            .and_then(|target| target.host_str().map(str::to_owned));
        // A body that cannot be read explains nothing; the status still does.
        let body = response.bytes().await.unwrap_or_default();
        let detail = if is_json { detail(&body) } else { None };
        let wait_s = wait.or_else(|| detail.as_deref().and_then(seconds_in));
        let plain_http_on_tls = PLAIN_HTTP_ON_TLS.iter().any(|words| find(&body, words.as_bytes()));
        Failure { status, is_html, detail, wait_s, redirect_host, plain_http_on_tls, url: url.clone() }
    }

    fn explain(&self, route: &Route, who: Credential) -> ProviderError {
        let detail = self.detail.as_deref();
        match self.status.as_u16() {
            300..=399 => sentences::redirected(self.redirect_host.as_deref()),
            400 if self.plain_http_on_tls => {
                let (kind, problem) =
                    sentences::from_http_error(&HttpErrorKind::PlainHttpOnTls, route.name, &self.url);
                ProviderError::new(kind, problem)
            }
            400 if self.is_html => sentences::wrong_host(),
            401 => {
                detail.map_or_else(sentences::login_in_front, |detail| sentences::unauthorized(who, detail))
            }
            403 if detail.is_some() => sentences::right_missing(who, route.right),
            403 => sentences::blocked_in_front(),
            404 if detail.is_some() => sentences::not_found(),
            404 if route.kind == RouteKind::Beta => {
                ProviderError::new(ErrorKind::FeatureOff, sentences::beta_off())
            }
            404 => sentences::unknown_path(),
            429 if route.kind == RouteKind::Login => sentences::login_throttled(self.wait_s),
            429 => sentences::rate_limited(self.wait_s),
            status @ (502 | 503 | 504 | 520..=530) => sentences::gateway_error(status),
            status @ 500..=599 => sentences::server_error(status),
            status => sentences::refused(status),
        }
    }
}

/// The framework's `{"detail": "…"}`.
fn detail(body: &[u8]) -> Option<String> {
    let parsed: Detail<'_> = wire::object(std::str::from_utf8(body).ok()?).ok()?;
    parsed.detail.as_str().map(str::to_owned)
}

/// `Request was throttled. Expected available in 53 seconds.`
fn seconds_in(detail: &str) -> Option<u64> {
    let (_, after) = detail.split_once("available in ")?;
    after.split_whitespace().next()?.parse().ok()
}

fn find(body: &[u8], needle: &[u8]) -> bool {
    body.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Silence ends before the whole time does, so that each of the two can be what happened.
    #[test]
    fn silence_and_slowness_are_told_apart_whoever_waits() {
        let now = Instant::now();
        let connecting = outbound::ClientOptions::default().connect_timeout;
        for patience in [Patience::Job, Patience::Person { until: now + Duration::from_secs(55) }] {
            for kind in [RouteKind::List, RouteKind::Small, RouteKind::Login, RouteKind::Beta] {
                let mut request = Request::get("https://api.example.com/".parse().unwrap());
                Route { name: "GET /", right: None, kind }.limit(&mut request);
                patience.limit(&mut request, now);
                let silence = connecting + request.read_timeout;
                assert!(silence < request.total_timeout, "{patience:?} {kind:?} {request:?}");
                assert!(silence >= Duration::from_secs(30), "a large list may begin late: {kind:?}");
            }
        }
    }

    #[test]
    fn person_gets_the_last_answer_before_the_caller_gives_up() {
        let now = Instant::now();
        let mut request = Request::get("https://api.example.com/".parse().unwrap());
        Patience::Person { until: now + Duration::from_secs(7) }.limit(&mut request, now);
        assert_eq!(request.total_timeout, Duration::from_secs(7));
    }
}
