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
                "Change the address of the integration to the one of the API, like `https://api.example.com`.",
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
                "Check the port in the address. Tactical's API usually needs none: `https://api.example.com`.",
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
            "Check the port in the address, and that Tactical and its web server are running.",
        ),
        HttpErrorKind::Unreachable => (
            "host_unreachable",
            format!("There is no way through the network to `{place}`."),
            "Check that the machine that runs Fleetgate can reach it: VPN, routing, firewall.",
        ),
        HttpErrorKind::ConnectTimeout => (
            "connect_timeout",
            format!("`{place}` did not accept a connection in time."),
            "Usually a firewall drops the packets. Allow the machine that runs Fleetgate to reach this host and port.",
        ),
        HttpErrorKind::ReadTimeout => (
            "read_timeout",
            format!("`{place}` accepted the request and then fell silent."),
            "Tactical may be overloaded. Look at the load of its server. Fleetgate tries again by itself.",
        ),
        HttpErrorKind::TotalTimeout => (
            "total_timeout",
            format!("`{place}` did not finish its answer in time."),
            "The server or the network is too slow for the size of the answer. Look at the load of the Tactical \
             server. Fleetgate tries again by itself.",
        ),
        HttpErrorKind::Reset => (
            "connection_reset",
            format!("`{place}` closed the connection without an answer."),
            "If it happens again, look into the log of the web server in front of Tactical, and at firewalls between.",
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
            "Use a certificate of a public authority (Tactical's installer sets one up with Let's Encrypt), or add \
             your own authority to the trusted certificates of the machine that runs Fleetgate. If only some clients \
             fail, the server does not send its intermediate certificate.",
        ),
        HttpErrorKind::TlsExpired => (
            "tls_expired",
            format!("The certificate of `{place}` has expired."),
            "Renew it on the Tactical server, and reload its web server. If it is new, check the clock of the machine \
             that runs Fleetgate.",
        ),
        HttpErrorKind::TlsNotYetValid => (
            "tls_not_yet_valid",
            format!("The certificate of `{place}` is not valid yet."),
            "Check the clock of the machine that runs Fleetgate: it is probably behind.",
        ),
        HttpErrorKind::TlsWrongName { presented } => (
            "tls_wrong_name",
            wrong_name(place, presented),
            "Enter the name for which the certificate was issued, or get a certificate that includes this name.",
        ),
        HttpErrorKind::PlainHttpOnTls => (
            "http_on_tls_port",
            format!("`{place}` speaks HTTPS, but the address starts with `http://`."),
            "Change the address to `https://`.",
        ),
        HttpErrorKind::TlsOnPlainHttp => (
            "https_on_plain_port",
            format!("`{place}` does not speak HTTPS on this port."),
            "Check the port: Tactical's API is usually at port 443, without a port in the address.",
        ),
        _ => (
            "tls_failed",
            format!("No secure connection to `{place}` could be agreed upon."),
            "Check that the web server in front of Tactical offers TLS 1.2 or 1.3. The log of Fleetgate names the cause.",
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
                "If Tactical really is there, add this line to the configuration and restart Fleetgate: `{line}`"
            ),
        ),
        None => {
            let fix = match denied.reason {
                DenyReason::OwnListener => {
                    "Enter the address of Tactical: this one leads back to Fleetgate itself."
                }
                _ => {
                    "Enter the address of Tactical's API. If it is right, correct what its name leads to in the DNS."
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
        "Check that the address leads to Tactical and not to something that sends endless data. If Tactical really \
         has that much, split the client into smaller ones there.",
    )
}

/// `http://` without permission.
pub(crate) fn plain_http() -> Problem {
    Problem::new(
        "plain_http",
        "The address starts with `http://`, so the credentials would cross the network readable for everyone.",
        "Change the address to `https://`. Allow plain HTTP only if the way to Tactical lies in a network you trust.",
    )
    .offering(Offer::AllowPlainHttp)
}
