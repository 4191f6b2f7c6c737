//! No answer, or none that arrived whole: one sentence for each way.

use ::url::Url;
use outbound::{Denied, DenyReason, HttpErrorKind, redact};
use provider::{ErrorKind, Offer, Problem};

/// The class and the sentence for a request without a (complete) answer.
pub(crate) fn from_http_error(kind: &HttpErrorKind, endpoint: &str, url: &Url) -> (ErrorKind, Problem) {
    let place = redact::origin(url);
    let (class, problem) = match kind {
        HttpErrorKind::Denied(denied) => (ErrorKind::Denied, address_denied(denied)),
        HttpErrorKind::BodyTooLarge { limit } => (ErrorKind::Malformed, body_too_large(*limit)),
        HttpErrorKind::BodyCut => (ErrorKind::Malformed, super::answer_cut()),
        HttpErrorKind::InvalidUrl(_) => (
            ErrorKind::Denied,
            Problem::new(
                "url_invalid",
                "The address of this integration cannot be used.",
                "Change the address of the integration to the API URL that Datto RMM shows beside the key.",
            ),
        ),
        HttpErrorKind::TlsUntrusted
        | HttpErrorKind::TlsExpired
        | HttpErrorKind::TlsNotYetValid
        | HttpErrorKind::TlsWrongName { .. }
        | HttpErrorKind::TlsOther(_)
        | HttpErrorKind::PlainHttpOnTls
        | HttpErrorKind::TlsOnPlainHttp => (ErrorKind::Unavailable, tls(kind, &place)),
        HttpErrorKind::NotHttp => (
            ErrorKind::NotAnApi,
            Problem::new(
                "not_http",
                format!("Something answers at `{place}`, but it does not speak HTTP."),
                "Check the address. The API URL of Datto RMM has no port: `https://pinotage-api.centrastage.net`.",
            ),
        ),
        HttpErrorKind::Dns { .. }
        | HttpErrorKind::Refused
        | HttpErrorKind::Unreachable
        | HttpErrorKind::ConnectTimeout
        | HttpErrorKind::ReadTimeout
        | HttpErrorKind::TotalTimeout
        | HttpErrorKind::Reset
        | HttpErrorKind::Other(_) => (ErrorKind::Unavailable, unreachable(kind, &place)),
    };
    (class, problem.at(endpoint))
}

fn unreachable(kind: &HttpErrorKind, place: &str) -> Problem {
    let (code, message, fix) = match kind {
        HttpErrorKind::Dns { host } => (
            "dns",
            format!("The name `{host}` was not found."),
            "Check its spelling. If the name is known only in your network, let the machine that runs Fleetgate use \
             the name server of that network.",
        ),
        HttpErrorKind::Refused => (
            "connection_refused",
            format!("Nothing listens at `{place}`."),
            "Check the API URL. If it is right, look at Datto's status page, and at firewalls between.",
        ),
        HttpErrorKind::Unreachable => (
            "host_unreachable",
            format!("There is no way through the network to `{place}`."),
            "Check that the machine that runs Fleetgate can reach the internet: routing, firewall.",
        ),
        HttpErrorKind::ConnectTimeout => (
            "connect_timeout",
            format!("`{place}` did not accept a connection in time."),
            "Usually a firewall drops the packets. Allow the machine that runs Fleetgate to reach this host and port.",
        ),
        HttpErrorKind::ReadTimeout => (
            "read_timeout",
            format!("`{place}` accepted the request and then fell silent."),
            "Datto RMM may be overloaded: look at its status page. Fleetgate tries again by itself.",
        ),
        HttpErrorKind::TotalTimeout => (
            "total_timeout",
            format!("`{place}` did not finish its answer in time."),
            "Datto RMM or the network is too slow for the size of the answer. Fleetgate tries again by itself.",
        ),
        HttpErrorKind::Reset => (
            "connection_reset",
            format!("`{place}` closed the connection without an answer."),
            "If it happens again, look at Datto's status page, and at firewalls and proxies between.",
        ),
        _ => (
            "network_failed",
            format!("The connection to `{place}` failed."),
            "Try again. If it goes on, the log of Fleetgate names the cause.",
        ),
    };
    Problem::new(code, message, fix)
}

fn tls(kind: &HttpErrorKind, place: &str) -> Problem {
    let (code, message, fix) = match kind {
        HttpErrorKind::TlsUntrusted => (
            "tls_untrusted",
            format!("The certificate of `{place}` comes from an issuer that is not trusted here."),
            "Datto RMM's certificates come from a public authority, so something in between answers in its place: often a \
             firewall that looks into TLS. Let it pass this host, or add its authority to the trusted certificates of the \
             machine that runs Fleetgate.",
        ),
        HttpErrorKind::TlsExpired => (
            "tls_expired",
            format!("The certificate of `{place}` has expired."),
            "Check the clock of the machine that runs Fleetgate. If it is right, look at Datto's status page.",
        ),
        HttpErrorKind::TlsNotYetValid => (
            "tls_not_yet_valid",
            format!("The certificate of `{place}` is not valid yet."),
            "Check the clock of the machine that runs Fleetgate: it is probably behind.",
        ),
        HttpErrorKind::TlsWrongName { presented } => (
            "tls_wrong_name",
            wrong_name(place, presented),
            "Check the API URL for a slip. If it is right, something in between answers in place of Datto RMM.",
        ),
        HttpErrorKind::PlainHttpOnTls => (
            "http_on_tls_port",
            format!("`{place}` speaks HTTPS, but the address starts with `http://`."),
            "Change the address to `https://`.",
        ),
        HttpErrorKind::TlsOnPlainHttp => (
            "https_on_plain_port",
            format!("`{place}` does not speak HTTPS on this port."),
            "Check the port in the address: Datto RMM's API has none.",
        ),
        _ => (
            "tls_failed",
            format!("No secure connection to `{place}` could be agreed upon."),
            "Look for a firewall or proxy between that changes TLS. The log of Fleetgate names the cause.",
        ),
    };
    Problem::new(code, message, fix)
}

fn wrong_name(place: &str, presented: &[String]) -> String {
    let names: Vec<String> = presented.iter().take(5).map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return format!("The certificate of `{place}` was issued for another name.");
    }
    format!("The certificate of `{place}` was issued for {}.", names.join(", "))
}

fn address_denied(denied: &Denied) -> Problem {
    let address = denied.addr;
    match denied.config_line() {
        Some(line) => Problem::new(
            "address_denied",
            format!(
                "`{address}` is {}. Fleetgate goes to such addresses only when they are listed.",
                denied.reason
            ),
            format!(
                "If the name really leads there (a proxy of your own), add this line to the configuration and restart Fleetgate: `{line}`"
            ),
        ),
        None => {
            let fix = match denied.reason {
                DenyReason::OwnListener => {
                    "Enter the API URL of Datto RMM: this one leads back to Fleetgate itself."
                }
                _ => {
                    "Enter the API URL of Datto RMM. If it is right, correct what its name leads to in the DNS."
                }
            };
            let what = format!("`{address}` is {}. Fleetgate never goes there.", denied.reason);
            Problem::new("address_forbidden", what, fix)
        }
    }
}

fn body_too_large(limit: u64) -> Problem {
    Problem::new(
        "body_too_large",
        format!(
            "The answer is larger than {} MB and was dropped. Nothing of it was saved.",
            limit.div_ceil(1 << 20)
        ),
        "Check the API URL. If it is right, report it with the route named here: no page of Datto RMM is this large.",
    )
}

/// `http://` without permission.
pub(crate) fn plain_http() -> Problem {
    Problem::new(
        "plain_http",
        "The address starts with `http://`, so the credentials would cross the network readable for everyone.",
        "Change the address to `https://`. Allow plain HTTP only for a host of your own, in a network you trust.",
    )
    .offering(Offer::AllowPlainHttp)
}
