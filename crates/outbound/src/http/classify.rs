//! From reqwest's chain of errors to one of our kinds.
//!
//! reqwest, hyper and rustls tell things apart by types deep in the chain, so the chain is searched for them.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::error::{HttpError, HttpErrorKind, Sent};
use super::resolver::ResolveError;

/// Deeper than any chain seen; guards against a cycle.
const MAX_DEPTH: usize = 32;

/// hyper's words for bytes that come in before a request went out.
const SPOKE_FIRST: &str = "received unexpected message from connection";

/// An error before the head of the answer.
pub(crate) fn classify(error: reqwest::Error) -> HttpError {
    let unsent = error.is_connect() || error.is_builder();
    let sent = if unsent { Sent::No } else { Sent::Maybe };
    let kind = if error.is_builder() {
        HttpErrorKind::InvalidUrl(innermost(&error))
    } else if error.is_connect() {
        connect_kind(&error)
    } else {
        exchange_kind(&error)
    };
    HttpError::new(kind, sent).with_source(error.without_url())
}

/// An error after the head.
pub(crate) fn classify_body(error: reqwest::Error) -> HttpError {
    let framing_broken = find::<hyper::Error>(&error).is_some();
    let kind = match exchange_kind(&error) {
        HttpErrorKind::Reset | HttpErrorKind::NotHttp => HttpErrorKind::BodyCut,
        HttpErrorKind::Other(_) if framing_broken => HttpErrorKind::BodyCut,
        other => other,
    };
    HttpError::new(kind, Sent::Maybe).with_source(error.without_url())
}

fn connect_kind(error: &reqwest::Error) -> HttpErrorKind {
    match find::<ResolveError>(error) {
        Some(ResolveError::Denied(denied)) => return HttpErrorKind::Denied(denied.clone()),
        Some(ResolveError::Lookup { host, .. }) => return HttpErrorKind::Dns { host: host.clone() },
        None => {}
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_kind(tls);
    }
    if error.is_timeout() {
        return HttpErrorKind::ConnectTimeout;
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => HttpErrorKind::Refused,
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            HttpErrorKind::Unreachable
        }
        Some(kind) if is_closed(kind) => HttpErrorKind::Reset,
        _ => HttpErrorKind::Other(innermost(error)),
    }
}

fn exchange_kind(error: &reqwest::Error) -> HttpErrorKind {
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_kind(tls);
    }
    if let Some(kind) = find::<hyper::Error>(error).and_then(hyper_kind) {
        return kind;
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(kind) if is_closed(kind) => HttpErrorKind::Reset,
        Some(io::ErrorKind::TimedOut) => HttpErrorKind::ReadTimeout,
        _ => HttpErrorKind::Other(innermost(error)),
    }
}

fn hyper_kind(error: &hyper::Error) -> Option<HttpErrorKind> {
    if error.is_parse_too_large() {
        return Some(HttpErrorKind::Other("the head of the answer is too large".into()));
    }
    if error.is_parse() {
        return Some(HttpErrorKind::NotHttp);
    }
    if spoke_first(error) {
        return Some(HttpErrorKind::NotHttp);
    }
    let closed = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    closed.then_some(HttpErrorKind::Reset)
}

/// Whoever speaks before being asked does not speak HTTP. hyper has no question for this one: it calls the request
/// canceled and gives the reason as the cause.
fn spoke_first(error: &hyper::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    for _ in 0..MAX_DEPTH {
        let Some(current) = next else { return false };
        if current.is::<hyper::Error>() && current.to_string() == SPOKE_FIRST {
            return true;
        }
        next = current.source();
    }
    false
}

fn is_closed(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof)
}

fn tls_kind(error: &rustls::Error) -> HttpErrorKind {
    use CertificateError as C;
    match error {
        rustls::Error::InvalidMessage(_) => HttpErrorKind::TlsOnPlainHttp,
        rustls::Error::InvalidCertificate(problem) => match problem {
            // A bad signature is what an authority looks like that has been set up anew under its old name.
            C::UnknownIssuer | C::BadSignature => HttpErrorKind::TlsUntrusted,
            C::Other(other) if is_self_signed_authority(other) => HttpErrorKind::TlsUntrusted,
            C::Expired | C::ExpiredContext { .. } => HttpErrorKind::TlsExpired,
            C::NotValidYet | C::NotValidYetContext { .. } => HttpErrorKind::TlsNotYetValid,
            C::NotValidForName => HttpErrorKind::TlsWrongName { presented: Vec::new() },
            C::NotValidForNameContext { presented, .. } => HttpErrorKind::TlsWrongName {
                presented: presented.iter().map(|name| plain_name(name)).collect(),
            },
            other => HttpErrorKind::TlsOther(other.to_string()),
        },
        other => HttpErrorKind::TlsOther(other.to_string()),
    }
}

/// The usual self-made certificate (`openssl req -x509`) calls itself an authority; webpki stumbles over that first.
fn is_self_signed_authority(error: &rustls::OtherError) -> bool {
    error.to_string().contains("CaUsedAsEndEntity")
}

/// webpki renders names as `DnsName("a.example")`.
fn plain_name(name: &str) -> String {
    match name.split('"').nth(1) {
        Some(inner) => inner.to_owned(),
        None => name.to_owned(),
    }
}

/// The first error of that type. An `io::Error` does not count what it wraps among its sources, so that is opened too.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    for _ in 0..MAX_DEPTH {
        let current = next?;
        if let Some(found) = current.downcast_ref::<T>() {
            // An io error that only carries another one says less than what it carries.
            let deeper = inside_io(current).and_then(find::<T>);
            return Some(deeper.unwrap_or(found));
        }
        next = inside_io(current).or_else(|| current.source());
    }
    None
}

fn inside_io<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    Some(inner)
}

/// The text of the deepest error: the others only say "sending failed", and some of them the URL.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut current = error;
    for _ in 0..MAX_DEPTH {
        match inside_io(current).or_else(|| current.source()) {
            Some(deeper) => current = deeper,
            None => break,
        }
    }
    if current.is::<reqwest::Error>() { "the request failed".to_owned() } else { current.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_io_error_carries_is_found() {
        let inner = io::Error::new(io::ErrorKind::ConnectionReset, "inner");
        let tls = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(find::<rustls::Error>(&outer).map(tls_kind), Some(HttpErrorKind::TlsExpired));
        assert_eq!(find::<io::Error>(&outer).map(io::Error::kind), Some(io::ErrorKind::InvalidData));
        let wrapped = io::Error::other(inner);
        assert_eq!(find::<io::Error>(&wrapped).map(io::Error::kind), Some(io::ErrorKind::ConnectionReset));
        assert_eq!(innermost(&wrapped), "inner");
    }

    #[test]
    fn presented_names_are_written_plainly() {
        assert_eq!(plain_name("DnsName(\"a.example\")"), "a.example");
        assert_eq!(plain_name("a.example"), "a.example");
    }
}
