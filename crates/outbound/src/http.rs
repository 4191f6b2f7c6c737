//! The guarded HTTP client.
//!
//! The rules are applied inside the resolver that the connection uses, so a name cannot point elsewhere between
//! check and use; literal addresses, which skip the resolver, are checked before. reqwest tells a resolver the name
//! but not the port, and rules know ports: so there is one reqwest client per port, each with a resolver that knows
//! its own.

mod classify;
mod date;
mod error;
mod request;
mod resolver;
mod response;
mod retry;
mod tls;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use tracing::debug;
use url::{Host, Url};

use self::classify::classify;
pub use self::error::{BuildError, HttpError, HttpErrorKind, Sent};
pub use self::request::{Repeatable, Request};
use self::resolver::{GuardedResolver, SystemLookup};
pub use self::resolver::{Lookup, LookupFuture};
pub use self::response::Response;
pub use self::retry::{RetryPolicy, send_with_retries};
use crate::address::{PlainHttp, UrlProblem, check_url};
use crate::egress::{Denied, DenyReason, EgressRules, is_metadata_name};
use crate::redact;

/// Connections kept for reuse: shorter than the 60 to 75 s after which usual servers close them.
const POOL_IDLE: Duration = Duration::from_secs(30);
const POOL_MAX_IDLE_PER_HOST: usize = 8;

/// Ports in use at a time are few; beyond this the clients are dropped and built anew.
const MAX_PORTS: usize = 64;

/// Longest look at what a failure may come from.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// How to build an [`HttpClient`].
#[derive(Clone)]
pub struct ClientOptions {
    /// `User-Agent` of every request.
    pub user_agent: String,
    /// Limit for name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Private authorities to trust besides the platform's, in PEM; one entry may hold several certificates.
    pub extra_roots_pem: Vec<Vec<u8>>,
    /// Replaces the system's resolver (tests). The rules apply to its answers as well.
    pub resolver_override: Option<Arc<dyn Lookup>>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("Fleetgate/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            extra_roots_pem: Vec::new(),
            resolver_override: None,
        }
    }
}

/// Sends requests to where [`EgressRules`] allow. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    rules: Arc<EgressRules>,
    lookup: Arc<dyn Lookup>,
    user_agent: String,
    connect_timeout: Duration,
    tls: rustls::ClientConfig,
    by_port: Mutex<HashMap<u16, reqwest::Client>>,
}

impl HttpClient {
    /// Builds the client; fails on unreadable extra roots or an impossible user agent.
    pub fn new(rules: EgressRules, options: ClientOptions) -> Result<Self, BuildError> {
        let inner = Inner {
            rules: Arc::new(rules),
            lookup: options.resolver_override.unwrap_or_else(|| Arc::new(SystemLookup)),
            user_agent: options.user_agent,
            connect_timeout: options.connect_timeout,
            tls: tls::client_config(&options.extra_roots_pem)?,
            by_port: Mutex::new(HashMap::new()),
        };
        // Building one now shows what is wrong with the options before the first request does.
        let https = inner.build(443)?;
        inner.by_port.lock().unwrap_or_else(PoisonError::into_inner).insert(443, https);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The rules this client obeys.
    pub fn rules(&self) -> &EgressRules {
        &self.inner.rules
    }

    /// Sends once and waits for the head of the answer. Any status is an `Ok`, redirects are not followed.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let url = request.url.clone();
        self.explained(&url, self.try_once(request).await).await
    }

    /// [`HttpClient::send`] without a further look at what a failure may come from.
    async fn try_once(&self, request: Request) -> Result<Response, HttpError> {
        let url = request.url.clone();
        let method = request.method.clone();
        let started = Instant::now();
        let outcome = self.send_once(request).await;
        let elapsed_ms = started.elapsed().as_millis();
        let origin = redact::origin(&url);
        match &outcome {
            Ok(response) => {
                let status = response.status.as_u16();
                debug!(%method, origin, status, elapsed_ms, "{method} to `{origin}` answered {status}");
            }
            Err(error) => {
                debug!(%method, origin, elapsed_ms, "{method} to `{origin}` failed: {}", error.kind)
            }
        }
        outcome
    }

    async fn send_once(&self, request: Request) -> Result<Response, HttpError> {
        let port = self.check_target(&request.url)?;
        let client = self.inner.client_for(port)?;
        let Request {
            method,
            url,
            headers,
            body,
            repeatable: _,
            read_timeout,
            total_timeout,
            max_body_bytes,
        } = request;
        let mut outgoing = reqwest::Request::new(method, url);
        *outgoing.headers_mut() = with_secrets_marked(headers);
        *outgoing.body_mut() = body.map(reqwest::Body::from);

        let started = Instant::now();
        let head_limit = self.inner.connect_timeout.saturating_add(read_timeout);
        let waiting = tokio::time::timeout(head_limit.min(total_timeout), client.execute(outgoing)).await;
        let Ok(answered) = waiting else {
            // Not one byte came. Only where there was no time to connect it is not known who was silent.
            let may_be_connecting = total_timeout <= self.inner.connect_timeout;
            let kind =
                if may_be_connecting { HttpErrorKind::TotalTimeout } else { HttpErrorKind::ReadTimeout };
            return Err(HttpError::new(kind, Sent::Maybe));
        };
        let answer = answered.map_err(classify)?;
        let limits = response::Limits { started, read_timeout, total_timeout, max_body_bytes };
        Ok(Response::new(answer, limits))
    }

    /// Shape of the URL, literal addresses and metadata names; returns the port.
    fn check_target(&self, url: &Url) -> Result<u16, HttpError> {
        let unsent = |kind| HttpError::new(kind, Sent::No);
        match check_url(url, PlainHttp::Allowed) {
            // A fragment is harmless here, it is never sent.
            Ok(()) | Err(UrlProblem::Fragment) => {}
            Err(problem) => return Err(unsent(HttpErrorKind::InvalidUrl(problem.to_string()))),
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(unsent(HttpErrorKind::InvalidUrl(UrlProblem::Host.to_string())));
        };
        let checked = match host {
            Host::Ipv4(ip) => self.inner.rules.check(IpAddr::V4(ip), port),
            Host::Ipv6(ip) => self.inner.rules.check(IpAddr::V6(ip), port),
            Host::Domain(name) if is_metadata_name(name) => Err(metadata_name_denied(port)),
            Host::Domain(_) => Ok(()),
        };
        checked.map_err(|denied| unsent(HttpErrorKind::Denied(denied)))?;
        Ok(port)
    }

    /// The usual slip is the scheme: what a failure could come from that is found out with the other one.
    async fn explained(
        &self,
        url: &Url,
        outcome: Result<Response, HttpError>,
    ) -> Result<Response, HttpError> {
        let error = match outcome {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let kind = match (url.scheme(), &error.kind) {
            ("http", HttpErrorKind::NotHttp | HttpErrorKind::Reset) if self.speaks_tls(url).await => {
                HttpErrorKind::PlainHttpOnTls
            }
            ("https", HttpErrorKind::Reset | HttpErrorKind::ConnectTimeout)
                if error.sent == Sent::No && self.speaks_no_tls(url).await =>
            {
                HttpErrorKind::TlsOnPlainHttp
            }
            _ => return Err(error),
        };
        Err(error.with_kind(kind))
    }

    async fn speaks_tls(&self, url: &Url) -> bool {
        match self.probe(url, "https").await {
            Some(Ok(_)) => true,
            // Whatever TLS failed by, it was spoken: bytes that are not TLS have a kind of their own.
            Some(Err(error)) => {
                error.kind.is_certificate_problem() || matches!(error.kind, HttpErrorKind::TlsOther(_))
            }
            None => false,
        }
    }

    /// A web server that expects TLS often answers plain HTTP with 400: that proves nothing.
    async fn speaks_no_tls(&self, url: &Url) -> bool {
        match self.probe(url, "http").await {
            Some(Ok(response)) => response.status != StatusCode::BAD_REQUEST,
            Some(Err(error)) => error.kind == HttpErrorKind::NotHttp,
            None => false,
        }
    }

    /// A bare `HEAD /` to the same port with this scheme: without credentials, path and query.
    async fn probe(&self, url: &Url, scheme: &str) -> Option<Result<Response, HttpError>> {
        let port = url.port_or_known_default();
        let mut probe = url.clone();
        probe.set_path("/");
        probe.set_query(None);
        probe.set_scheme(scheme).ok()?;
        probe.set_port(port).ok()?;
        let mut request = Request::new(Method::HEAD, probe);
        request.total_timeout = PROBE_LIMIT.min(self.inner.connect_timeout);
        Some(self.send_once(request).await)
    }
}

impl Inner {
    fn client_for(&self, port: u16) -> Result<reqwest::Client, HttpError> {
        let mut by_port = self.by_port.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = by_port.get(&port) {
            return Ok(client.clone());
        }
        let built = self.build(port).map_err(|error| {
            let kind = HttpErrorKind::Other("the http client could not be built".into());
            HttpError::new(kind, Sent::No).with_source(error)
        })?;
        if by_port.len() >= MAX_PORTS {
            by_port.clear();
        }
        by_port.insert(port, built.clone());
        Ok(built)
    }

    fn build(&self, port: u16) -> Result<reqwest::Client, BuildError> {
        let resolver = GuardedResolver { rules: self.rules.clone(), lookup: self.lookup.clone(), port };
        let built = reqwest::Client::builder()
            .user_agent(self.user_agent.as_str())
            .connect_timeout(self.connect_timeout)
            .dns_resolver(Arc::new(resolver))
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .gzip(true)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
            .build();
        built.map_err(BuildError::Client)
    }
}

/// Names have no address of their own here; the usual one stands for what they lead to.
fn metadata_name_denied(port: u16) -> Denied {
    Denied { addr: IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), port, reason: DenyReason::Metadata }
}

/// Headers that are secret whoever sets them: kept out of debug output.
fn with_secrets_marked(mut headers: HeaderMap) -> HeaderMap {
    const SECRETS: [HeaderName; 4] = [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
        HeaderName::from_static("x-api-key"),
    ];
    for (name, value) in &mut headers {
        if SECRETS.contains(name) {
            value.set_sensitive(true);
        }
    }
    headers
}
