//! `fleetgate health`: does the server on this machine answer? For containers, which have no other program to ask.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use serde_json::json;

use super::edge;
use crate::{
    cli::{exit::Exit, failure::Failure},
    config::Config,
    output::Output,
};

/// A server that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `/healthz` at `listen`.
pub(crate) async fn health(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let url = edge::local_url(config, near(config.listen));
    let failed = |what: String| {
        Failure::new(Exit::Failure, "unhealthy", format!("the server at {url} {what}")).advise(
            "Its log says more. Where it listens comes from the same configuration: see `fleetgate config`.",
        )
    };
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // The certificate bears the public name, and here an address of this machine is asked. Nothing secret is sent,
        // and the answer is believed no further than that something answers.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| {
            Failure::new(Exit::Failure, "tls", format!("the HTTP client cannot be set up: {error}"))
        })?;
    let asked = http.get(format!("{url}/healthz")).send().await;
    let answer = asked.map_err(|error| failed(reason(&error).to_owned()))?;
    if !answer.status().is_success() {
        return Err(failed(format!("answers {}", answer.status())));
    }
    if output.is_json() {
        output.json(&json!({ "ok": true, "url": url }).to_string())?;
    } else {
        output.line(&format!("The server at {url} is well."))?;
    }
    Ok(Exit::Ok)
}

/// Where a listener of this machine can be asked.
fn near(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "does not answer within 5 seconds"
    } else if error.is_connect() {
        "cannot be reached: nothing listens there, or it speaks http where https is configured"
    } else {
        "breaks off or speaks no HTTP: it may speak https where http is configured"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8800", "127.0.0.1:8800"),
            ("[::]:8800", "[::1]:8800"),
            ("10.0.0.5:443", "10.0.0.5:443"),
        ] {
            assert_eq!(near(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
