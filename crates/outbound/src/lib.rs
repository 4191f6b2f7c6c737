//! The guarded way out: everything that leaves Fleetgate passes one set of rules.
//!
//! Promises: no connection to an address that [`EgressRules`] deny, whatever a name resolves to at the moment of
//! connecting; no redirect followed; no proxy, cookie or referer taken from the surroundings; every wait and every
//! body has a limit; errors say what happened in terms a connection test can show, without URL queries or secrets.
//!
//! Deliberately not here: whose credentials go to which host, rate budgets, and what an answer means. Those belong
//! to the callers, who know the RMM.

mod address;
mod egress;
mod http;
pub mod redact;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use bytes::Bytes;
pub use url::Url;

pub use crate::address::{PlainHttp, UrlProblem, check_url, normalise_host, parse_base_url};
pub use crate::egress::{AllowRule, AllowRuleError, Denied, DenyReason, EgressRules};
pub use crate::http::{
    BuildError, ClientOptions, HttpClient, HttpError, HttpErrorKind, Lookup, LookupFuture, Repeatable,
    Request, Response, RetryPolicy, Sent, send_with_retries,
};
