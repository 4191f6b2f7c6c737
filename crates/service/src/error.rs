//! What can go wrong in a use case, without a word of HTTP.

use domain::{
    auth::Permission,
    ctx::{LimitedToClients, MissingPermission},
};
use provider::{Problem, ProviderError};
use store::StoreError;

/// The result of a use case.
pub type Result<T> = std::result::Result<T, ServiceError>;

/// A failed use case.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nothing by this id in this tenant.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for: `asset`, `client` …
        what: &'static str,
    },
    /// The input cannot be used; the message says what to change.
    #[error("{message}")]
    Invalid {
        /// The field, as in the request; none if it is about the whole.
        field: Option<String>,
        /// Stable code.
        code: &'static str,
        /// What to change.
        message: String,
    },
    /// The state of things forbids it; the message says what to do.
    #[error("{message}")]
    Conflict {
        /// Stable code.
        code: &'static str,
        /// What to do.
        message: String,
    },
    /// Nobody is signed in, or the credentials are wrong.
    #[error("{message}")]
    Unauthenticated {
        /// Stable code.
        code: &'static str,
        /// What to do.
        message: String,
    },
    /// The actor has to prove first who they are; the message says how.
    #[error("{message}")]
    ProofNeeded {
        /// Stable code.
        code: &'static str,
        /// What to do.
        message: String,
    },
    /// The actor lacks a permission.
    #[error("this needs the permission `{}`", .0.name())]
    Forbidden(Permission),
    /// The actor may see only some clients, and this concerns more.
    #[error("{LimitedToClients}")]
    Limited,
    /// Too many tries.
    #[error("too many tries; wait {wait_s} seconds")]
    Throttled {
        /// Seconds to wait.
        wait_s: u64,
    },
    /// The RMM answered with a problem, or not at all.
    #[error("{}", .0.problem.message)]
    Provider(#[source] Box<ProviderError>),
    /// The database cannot be used now.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A bug or damaged data; the cause is logged, never shown.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ServiceError {
    /// Input that cannot be used.
    pub fn invalid(field: &str, code: &'static str, message: impl Into<String>) -> ServiceError {
        ServiceError::Invalid { field: Some(field.to_owned()), code, message: message.into() }
    }

    /// A state that forbids it.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> ServiceError {
        ServiceError::Conflict { code, message: message.into() }
    }

    /// The sentence of the RMM, if that is what failed.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ServiceError::Provider(error) => Some(&error.problem),
            _ => None,
        }
    }
}

impl From<MissingPermission> for ServiceError {
    fn from(missing: MissingPermission) -> Self {
        ServiceError::Forbidden(missing.0)
    }
}

impl From<LimitedToClients> for ServiceError {
    fn from(_: LimitedToClients) -> Self {
        ServiceError::Limited
    }
}

impl From<ProviderError> for ServiceError {
    fn from(error: ProviderError) -> Self {
        ServiceError::Provider(Box::new(error))
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => ServiceError::NotFound { what: "row" },
            StoreError::Conflict { what: "bad_cursor" } => ServiceError::invalid(
                "cursor",
                "invalid_cursor",
                "this is not a `next_cursor` of this list; hand it back as it came, with the same `sort`",
            ),
            StoreError::Conflict { what } => {
                ServiceError::conflict(what, format!("this collides with another row ({what})"))
            }
            StoreError::Beyond(permission) => ServiceError::Forbidden(permission),
            StoreError::BeyondClients => ServiceError::Limited,
            StoreError::Stale => ServiceError::conflict(
                "stale",
                "someone else changed this in the meantime; load it again and repeat your change",
            ),
            StoreError::Unavailable(source) | StoreError::Migration(source) => {
                ServiceError::Unavailable(source)
            }
            other @ (StoreError::Corrupt { .. }
            | StoreError::OtherRootKey { .. }
            | StoreError::RootKey(_)
            | StoreError::OldSqlite { .. }
            | StoreError::OtherInstallation { .. }
            | StoreError::NoSuchRole
            | StoreError::MayNotMigrate
            | StoreError::BadAddress) => ServiceError::Internal(Box::new(other)),
        }
    }
}

/// Names what was not found, where the store can only say that something was not.
pub(crate) fn named(what: &'static str) -> impl Fn(StoreError) -> ServiceError {
    move |error| match error {
        StoreError::NotFound => ServiceError::NotFound { what },
        other => other.into(),
    }
}
