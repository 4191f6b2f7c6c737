//! One request and its answer: the account's limit asked, credentials on, and every answer that is not the wanted one
//! named.
//!
//! Success means the right status, the right content type and a body of the right shape. Redirects are not followed.
//! Bodies are never logged, and of errors in them only the place is told. Each try is a request that Datto RMM counts,
//! so each asks the budget: reads are repeated here after passing trouble, never after "too many requests".

use std::time::{Duration, Instant, SystemTime};

use outbound::{Bytes, HeaderName, HeaderValue, HttpError, Request, Response, StatusCode, Url, header};
use provider::{Connection, ErrorKind, ProviderError, RequestKind, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    OAUTH, auth,
    sentences::{self, Right},
    wire::Refusal,
};
use crate::json;

const MB: u64 = 1 << 20;

/// Nothing is sent for so long once our address is shut out, and a bare "forbidden" so soon after "too many requests"
/// is taken for the same.
pub(super) const BLOCK: Duration = Duration::from_secs(5 * 60);

/// The wait after "too many requests" where Datto RMM does not say one: the length of its window.
const WINDOW: Duration = Duration::from_secs(60);

/// No server is obeyed for longer in one go: it is asked again then.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Tries of one read in the background.
const TRIES: u32 = 3;

/// The wait before the second try; doubled before the third.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Silence while a person waits.
const PERSON_SILENCE: Duration = Duration::from_secs(15);

/// The whole of one answer while a person waits.
const PERSON_TOTAL: Duration = Duration::from_secs(30);

/// Words by which clients tell a block from a missing right, where the answer has any (a guess of theirs).
const BLOCK_WORDS: [&str; 3] = ["blocked", "rate limit", "too many requests"];

/// A route of Datto RMM's API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// For people: without host, root and query.
    pub(super) name: &'static str,
    /// The right it needs.
    pub(super) right: Option<Right>,
    kind: RouteKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RouteKind {
    /// Up to 250 rows, each with up to 300 custom fields.
    List,
    /// One object.
    Small,
    /// The request for a token: not counted with the others.
    Token,
}

impl Route {
    pub(super) const fn list(name: &'static str, right: Right) -> Route {
        Route { name, right: Some(right), kind: RouteKind::List }
    }

    pub(super) const fn small(name: &'static str, right: Option<Right>) -> Route {
        Route { name, right, kind: RouteKind::Small }
    }

    pub(super) const fn token(name: &'static str) -> Route {
        Route { name, right: None, kind: RouteKind::Token }
    }

    fn limit(self, request: &mut Request) {
        let (silence_s, total_s, max_body_bytes) = match self.kind {
            RouteKind::List => (60, 180, 32 * MB),
            RouteKind::Small => (60, 120, 8 * MB),
            RouteKind::Token => (20, 40, MB),
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
    fn tries(self) -> u32 {
        match self {
            Patience::Job => TRIES,
            Patience::Person { .. } => 1,
        }
    }

    /// Shortens the limits of a request where it must.
    fn limit(self, request: &mut Request, now: Instant) {
        if let Patience::Person { until } = self {
            let left = until.saturating_duration_since(now).max(Duration::from_secs(1));
            request.total_timeout = request.total_timeout.min(PERSON_TOTAL).min(left);
            request.read_timeout = request.read_timeout.min(PERSON_SILENCE);
        }
    }
}

/// What a request carries to say who asks.
#[derive(Clone, Copy)]
enum Credential<'a> {
    Nobody,
    Token(&'a SecretString),
    KeyHeader(&'a SecretString),
}

/// A connection with the credential to use.
#[derive(Clone, Copy)]
pub(super) struct Api<'a> {
    connection: &'a Connection,
    credential: Credential<'a>,
    patience: Patience,
}

impl<'a> Api<'a> {
    /// Sends no credential.
    pub(super) fn anonymous(connection: &'a Connection) -> Api<'a> {
        Api { connection, credential: Credential::Nobody, patience: Patience::Job }
    }

    /// With the connection's credential.
    pub(super) fn reading(connection: &'a Connection) -> Result<Api<'a>> {
        let credential = if connection.auth_mode == OAUTH {
            Credential::Token(connection.token.as_ref().ok_or_else(sentences::not_signed_in)?)
        } else {
            Credential::KeyHeader(auth::api_key(connection).ok_or_else(sentences::key_not_set)?)
        };
        Ok(Api { connection, credential, patience: Patience::Job })
    }

    /// With this token instead of the connection's.
    pub(super) fn with_token(connection: &'a Connection, token: &'a SecretString) -> Api<'a> {
        Api { connection, credential: Credential::Token(token), patience: Patience::Job }
    }

    /// A person waits for the answer, until then.
    pub(super) fn for_a_person(mut self, until: Instant) -> Api<'a> {
        self.patience = Patience::Person { until };
        self
    }

    /// The connection.
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// A read, counted like any other by Datto RMM. `path` is below the root of the API.
    pub(super) async fn get(&self, route: &Route, path: &[&str], query: &[(&str, &str)]) -> Result<Answer> {
        let url = self.url(path, query).map_err(|error| at(error, route))?;
        let mut tried = 1;
        loop {
            let mut request = Request::get(url.clone());
            request = self.authorize(route, request)?;
            self.connection.budget.take(RequestKind::Read).await?;
            let outcome = match self.send_once(route, request).await {
                Ok(raw) => self.judge(route, raw).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if tried < self.patience.tries() && is_passing(&error) => {
                    tokio::time::sleep(FIRST_WAIT * tried).await;
                    tried += 1;
                }
                Err(error) => return Err(at(error, route)),
                Ok(mut answer) => {
                    answer.calls = u64::from(tried);
                    return Ok(answer);
                }
            }
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url> {
        // A segment of dots would lead to another route instead of to nothing.
        if path.iter().any(|part| part.trim_matches('.').is_empty()) {
            return Err(sentences::not_found());
        }
        let mut url = self.connection.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(auth::root(self.connection)?).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Sends once and reads the whole answer, whatever it is.
    pub(super) async fn send_once(&self, route: &Route, mut request: Request) -> Result<Raw> {
        if self.connection.base_url.scheme() == "http" && !self.connection.settings.allow_plain_http {
            let problem = sentences::plain_http().at(route.name);
            return Err(ProviderError::new(ErrorKind::Denied, problem));
        }
        route.limit(&mut request);
        self.patience.limit(&mut request, Instant::now());
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let url = request.url.clone();
        let response = self.connection.http.send(request).await;
        let response = response.map_err(|error| network_error(error, route, &url))?;
        Raw::read(response, &url).await.map_err(|error| network_error(error, route, &url))
    }

    /// The credential goes to the connection's own scheme, host and port and nowhere else.
    fn authorize(&self, route: &Route, request: Request) -> Result<Request> {
        let (name, value) = match self.credential {
            Credential::Nobody => return Ok(request),
            Credential::Token(token) => {
                (header::AUTHORIZATION, format!("Bearer {}", token.expose_secret().trim()))
            }
            Credential::KeyHeader(key) => {
                (HeaderName::from_static("x-au-api-key"), key.expose_secret().trim().to_owned())
            }
        };
        request.secret_header(name, &value).map_err(|_| at(sentences::key_unusable(), route))
    }

    /// Success, or the sentence for what it is instead.
    async fn judge(&self, route: &Route, raw: Raw) -> Result<Answer> {
        if raw.status.is_success() {
            if !raw.is_json {
                return Err(sentences::answer_not_json());
            }
            let Raw { body, elapsed, clock_skew_s, .. } = raw;
            return Ok(Answer { body, elapsed, clock_skew_s, calls: 1, route: *route });
        }
        if let Some(host) = &raw.redirect_host {
            return Err(sentences::redirected(host.as_deref()));
        }
        Err(match raw.status.as_u16() {
            400 => sentences::bad_request(),
            401 => self.unauthorized(),
            403 if raw.is_block(self.connection).await => self.shut_out(&raw).await,
            403 => sentences::right_missing(route.right),
            404 if raw.is_unknown_route() => sentences::unknown_route(),
            404 => sentences::not_found(),
            409 => sentences::conflict(),
            429 => self.too_many(&raw).await,
            status @ (502 | 503 | 504 | 520..=530) => sentences::gateway_error(status),
            status @ 500..=599 => sentences::server_error(status),
            status => sentences::refused(status),
        })
    }

    fn unauthorized(&self) -> ProviderError {
        match self.credential {
            Credential::Token(_) => sentences::token_lapsed(),
            Credential::KeyHeader(_) => sentences::key_refused(),
            // An open route that wants a credential is not the one that was meant.
            Credential::Nobody => sentences::not_datto(),
        }
    }

    async fn too_many(&self, raw: &Raw) -> ProviderError {
        let wait = raw.retry_after.unwrap_or(WINDOW).clamp(Duration::from_secs(1), LONGEST_PAUSE);
        let error = sentences::rate_limited(wait);
        self.connection.budget.pause(wait, &error.problem).await;
        error
    }

    async fn shut_out(&self, raw: &Raw) -> ProviderError {
        let wait = raw.retry_after.unwrap_or(BLOCK).clamp(BLOCK, LONGEST_PAUSE);
        let error = sentences::blocked(wait);
        self.connection.budget.pause(wait, &error.problem).await;
        error
    }
}

/// A read may go well a moment later. Not after "too many requests": that is the budget's to wait for.
fn is_passing(error: &ProviderError) -> bool {
    let from_network = error.source.as_ref().and_then(|source| source.downcast_ref::<HttpError>());
    from_network.is_some_and(|error| error.kind.is_transient()) || error.problem.code == "gateway_error"
}

fn at(mut error: ProviderError, route: &Route) -> ProviderError {
    error.problem.endpoint = Some(route.name.to_owned());
    error
}

/// An answer read to its end, whatever its status.
pub(super) struct Raw {
    pub(super) status: StatusCode,
    pub(super) is_html: bool,
    is_json: bool,
    pub(super) retry_after: Option<Duration>,
    /// Only of a redirect: where to, if it says so.
    pub(super) redirect_host: Option<Option<String>>,
    pub(super) body: Bytes,
    elapsed: Duration,
    clock_skew_s: Option<i64>,
}

impl Raw {
    async fn read(response: Response, url: &Url) -> std::result::Result<Raw, HttpError> {
        let status = response.status;
        let (is_html, is_json, retry_after) =
            (response.is_html(), response.is_json(), response.retry_after());
        let redirect_host = status.is_redirection().then(|| {
            let target = response.location().and_then(|location| url.join(location).ok());
            target.and_then(|target| target.host_str().map(str::to_owned))
        });
        let elapsed = response.elapsed_to_headers;
        let clock_skew_s = response.date().map(|theirs| skew_s(theirs, response.received_at()));
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) if status.is_success() => return Err(error),
            // A body that cannot be read explains nothing; the status still does.
            Err(_) => Bytes::new(),
        };
        Ok(Raw { status, is_html, is_json, retry_after, redirect_host, body, elapsed, clock_skew_s })
    }

    /// What the body says of itself, in any of the shapes seen; lower case.
    fn words(&self) -> String {
        if !self.is_json {
            return String::new();
        }
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        json::object::<Refusal<'_>>(text).map(|refusal| refusal.words()).unwrap_or_default()
    }

    fn is_unknown_route(&self) -> bool {
        self.is_html || self.words().contains("no static resource")
    }

    /// Is this "forbidden" a block of our address? No marker for that is known: a page of a firewall is one, so is a
    /// wait, so are some words, and so is any "forbidden" right after "too many requests".
    pub(super) async fn is_block(&self, connection: &Connection) -> bool {
        let by_firewall = self.is_html || !(self.is_json || self.body.is_empty());
        let words = self.words();
        if by_firewall || self.retry_after.is_some() || BLOCK_WORDS.iter().any(|block| words.contains(block))
        {
            return true;
        }
        connection.budget.refused_ago().await.is_some_and(|ago| ago <= BLOCK)
    }
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
    body: Bytes,
    /// Until the head was there.
    pub(super) elapsed: Duration,
    /// The server's clock minus ours.
    pub(super) clock_skew_s: Option<i64>,
    /// Requests that it took.
    pub(super) calls: u64,
    route: Route,
}

impl Answer {
    /// An object.
    pub(super) fn object<'b, T: Deserialize<'b>>(&'b self) -> Result<T> {
        object(&self.body, &self.route)
    }

    /// The body as text.
    pub(super) fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.body).map_err(|_| self.misshapen())
    }

    /// An object that can be read but is not the wanted one.
    pub(super) fn misshapen(&self) -> ProviderError {
        ProviderError::new(ErrorKind::Malformed, sentences::answer_shape().at(self.route.name))
    }
}

/// An object in a body.
pub(super) fn object<'b, T: Deserialize<'b>>(body: &'b [u8], route: &Route) -> Result<T> {
    let shape = || ProviderError::new(ErrorKind::Malformed, sentences::answer_shape().at(route.name));
    let text = std::str::from_utf8(body).map_err(|_| shape())?;
    json::object(text).map_err(|error| unreadable(&error, route))
}

/// Where a body stopped being readable. serde's own text may quote the body, so it is not kept.
#[derive(Debug, thiserror::Error)]
#[error("not readable at line {line}, column {column}")]
struct Unreadable {
    line: usize,
    column: usize,
}

/// A body that cannot be read.
pub(super) fn unreadable(error: &serde_json::Error, route: &Route) -> ProviderError {
    let problem = if error.is_eof() { sentences::answer_cut() } else { sentences::answer_shape() };
    let place = Unreadable { line: error.line(), column: error.column() };
    ProviderError::caused(ErrorKind::Malformed, problem.at(route.name), place)
}

fn network_error(error: HttpError, route: &Route, url: &Url) -> ProviderError {
    let (kind, problem) = sentences::from_http_error(&error.kind, route.name, url);
    ProviderError::caused(kind, problem, error)
}
