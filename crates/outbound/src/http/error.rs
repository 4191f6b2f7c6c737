//! What can go wrong, in the terms of someone testing a connection or deciding whether to try again.

use std::error::Error;

use crate::egress::Denied;

type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// A client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An entry of `extra_roots_pem`; counted from 0.
    #[error("extra root certificate {index} is not valid PEM with at least one certificate")]
    ExtraRoot {
        /// Which entry.
        index: usize,
        /// What the parser said, unless it found nothing at all.
        #[source]
        source: Option<BoxError>,
    },
    /// TLS could not be set up.
    #[error("tls could not be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client refused its options.
    #[error("the http client could not be built")]
    Client(#[source] reqwest::Error),
}

/// Whether a failed request may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It never left.
    No,
    /// It may have reached the server.
    Maybe,
}

/// A request without a (complete) answer.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct HttpError {
    /// What happened.
    pub kind: HttpErrorKind,
    /// Whether the server may have seen the request.
    pub sent: Sent,
    source: Option<BoxError>,
}

impl HttpError {
    pub(crate) fn new(kind: HttpErrorKind, sent: Sent) -> Self {
        Self { kind, sent, source: None }
    }

    pub(crate) fn with_kind(self, kind: HttpErrorKind) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn with_source(self, source: impl Into<BoxError>) -> Self {
        Self { source: Some(source.into()), ..self }
    }
}

/// What happened. Texts hold no URL queries and no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpErrorKind {
    /// The name has no address, or the resolver did not answer.
    #[error("`{host}` could not be resolved")]
    Dns {
        /// The name.
        host: String,
    },
    /// The address is refused by [`crate::EgressRules`].
    #[error(transparent)]
    Denied(Denied),
    /// Nothing listens on that port.
    #[error("connection refused")]
    Refused,
    /// No route to that address.
    #[error("host unreachable")]
    Unreachable,
    /// No connection in time (name, TCP and TLS together).
    #[error("no connection within the connect timeout")]
    ConnectTimeout,
    /// Connected, but the server fell silent, before its answer or in the middle of it.
    #[error("no data within the read timeout")]
    ReadTimeout,
    /// The whole exchange took too long, though something came all the time.
    #[error("not finished within the total timeout")]
    TotalTimeout,
    /// The certificate's issuer is not trusted (self-signed, private authority).
    #[error("the certificate is not from a trusted issuer")]
    TlsUntrusted,
    /// The certificate has expired.
    #[error("the certificate has expired")]
    TlsExpired,
    /// The certificate is for later; often a wrong clock.
    #[error("the certificate is not valid yet")]
    TlsNotYetValid,
    /// The certificate is for another name.
    #[error("the certificate is for another name")]
    TlsWrongName {
        /// The names in the certificate, empty if unknown.
        presented: Vec<String>,
    },
    /// Any other failure of TLS.
    #[error("tls failed: {0}")]
    TlsOther(String),
    /// `http://` was used for a port that speaks TLS.
    #[error("plain http was sent to a port that expects https")]
    PlainHttpOnTls,
    /// `https://` was used for a port that does not speak TLS.
    #[error("https was sent to a port that does not speak tls")]
    TlsOnPlainHttp,
    /// The answer is not HTTP.
    #[error("the answer is not http")]
    NotHttp,
    /// The server closed or reset the connection before the head of an answer.
    #[error("the connection was closed by the server")]
    Reset,
    /// The answer is longer than `max_body_bytes`.
    #[error("the answer is longer than {limit} bytes")]
    BodyTooLarge {
        /// The limit.
        limit: u64,
    },
    /// The answer ended in the middle.
    #[error("the answer was cut short")]
    BodyCut,
    /// The URL cannot be used.
    #[error("invalid url: {0}")]
    InvalidUrl(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl HttpErrorKind {
    /// Whether the same request may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. } | Self::Refused | Self::Unreachable => true,
            Self::ConnectTimeout | Self::ReadTimeout | Self::TotalTimeout | Self::Reset | Self::BodyCut => {
                true
            }
            Self::TlsUntrusted | Self::TlsExpired | Self::TlsNotYetValid | Self::TlsWrongName { .. } => false,
            Self::TlsOther(_) | Self::PlainHttpOnTls | Self::TlsOnPlainHttp | Self::NotHttp => false,
            Self::Denied(_) | Self::BodyTooLarge { .. } | Self::InvalidUrl(_) | Self::Other(_) => false,
        }
    }

    /// Whether TLS was spoken and only the certificate was wrong.
    pub fn is_certificate_problem(&self) -> bool {
        matches!(
            self,
            Self::TlsUntrusted | Self::TlsExpired | Self::TlsNotYetValid | Self::TlsWrongName { .. }
        )
    }
}
