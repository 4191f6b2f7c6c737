//! Classes of failure, and the sentence for each.

use std::time::Duration;

use serde::Serialize;

/// The result of a call to an RMM.
pub type Result<T> = std::result::Result<T, ProviderError>;

/// What a caller does next is decided by the class alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The credentials or the token were refused.
    Unauthorized,
    /// A person has to type a one-time code.
    CodeNeeded,
    /// The credentials are good but lack a right.
    Forbidden,
    /// Something answered, but it is not this API.
    NotAnApi,
    /// The feature is switched off at the RMM.
    FeatureOff,
    /// Too many calls; the problem carries the wait.
    RateLimited,
    /// Not reachable, or an error on its side: may be tried again later.
    Unavailable,
    /// Our own rules forbid the address.
    Denied,
    /// Sent, but no answer: look before trying again. Never for reads.
    Ambiguous,
    /// The named thing does not exist there.
    NotFound,
    /// The RMM understood and refused.
    Rejected,
    /// The answer could not be understood: nothing of it may be used.
    Malformed,
}

impl ErrorKind {
    /// May the same read go well a little later without anyone doing something?
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Malformed | ErrorKind::NotAnApi
        )
    }
}

/// What a person reads: what happened, and what to do. Serialized for REST and stored with runs. Holds no secret
/// and no part of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Problem {
    /// Stable code, `dashboard_host`, `tls_expired` …
    pub code: String,
    /// What happened: one sentence.
    pub message: String,
    /// What to do next: one or two sentences.
    pub fix: String,
    /// The route that was called, without host and query.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// One click that may mend it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offer: Option<Offer>,
    /// Seconds to wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_s: Option<u64>,
}

impl Problem {
    /// A problem with its code, what happened and what to do.
    pub fn new(code: &str, message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem {
            code: code.to_owned(),
            message: message.into(),
            fix: fix.into(),
            endpoint: None,
            offer: None,
            wait_s: None,
        }
    }

    /// Names the route that was called.
    #[must_use]
    pub fn at(mut self, endpoint: impl Into<String>) -> Problem {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Adds one click that may mend it.
    #[must_use]
    pub fn offering(mut self, offer: Offer) -> Problem {
        self.offer = Some(offer);
        self
    }
}

/// One click that may mend a problem. A guessed address was probed without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Offer {
    /// Use this address instead; the credential goes there only after the click.
    UseUrl {
        /// The address.
        url: String,
    },
    /// Ask for the one-time code.
    AskCode,
    /// Allow plain http for this integration.
    AllowPlainHttp,
}

/// A failed call to an RMM.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", problem.message, endpoint_suffix(problem))]
pub struct ProviderError {
    /// Its class.
    pub kind: ErrorKind,
    /// The sentence.
    pub problem: Problem,
    /// The cause, for logs.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn endpoint_suffix(problem: &Problem) -> String {
    problem.endpoint.as_ref().map(|endpoint| format!(" (`{endpoint}`)")).unwrap_or_default()
}

impl ProviderError {
    /// An error without a cause of its own.
    pub fn new(kind: ErrorKind, problem: Problem) -> ProviderError {
        ProviderError { kind, problem, source: None }
    }

    /// An error with its cause.
    pub fn caused(
        kind: ErrorKind,
        problem: Problem,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> ProviderError {
        ProviderError { kind, problem, source: Some(Box::new(source)) }
    }

    /// How long the RMM asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem.wait_s.map(Duration::from_secs)
    }
}
