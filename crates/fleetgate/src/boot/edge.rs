//! How the server is reached: TLS, proxies and the public address, from the configuration alone.

use std::{error::Error, net::SocketAddr};

use server::{
    ServerOptions,
    tls::{Tls, TlsError},
};
use tracing::warn;

use crate::{
    cli::{exit::Exit, failure::Failure},
    config::Config,
};

/// Reads the certificate and puts together what the server must know. Says in the log what an operator should mend.
pub(super) fn options(config: &Config) -> Result<ServerOptions, Failure> {
    let tls = match &config.server.tls {
        Some(files) => Some(Tls::load(files.clone()).map_err(tls_failure)?),
        None => None,
    };
    for remark in remarks(config) {
        warn!("{}. {}", remark.found, remark.mend);
    }
    Ok(ServerOptions {
        public_url: config.public_url.as_ref().map(ToString::to_string),
        trusted_proxies: config.server.trusted_proxies.clone(),
        tls,
    })
}

/// `https://ADDR:PORT` or `http://ADDR:PORT`.
pub(super) fn local_url(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// What is allowed and yet likely a mistake.
pub(super) struct Remark {
    /// Which line of `doctor` it belongs to.
    pub(super) about: About,
    pub(super) found: String,
    pub(super) mend: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Listener,
    PublicUrl,
}

/// Looks at the configuration as a whole.
pub(super) fn remarks(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let is_encrypted = config.server.tls.is_some();
    let has_proxy = !config.server.trusted_proxies.is_empty();
    if !is_encrypted && !has_proxy && !config.listen.ip().is_loopback() {
        remarks.push(Remark {
            about: About::Listener,
            found: format!(
                "plain http on {}: whoever is on the way can read passwords and tokens",
                config.listen
            ),
            mend: "Set `server.tls_certificate` and `server.tls_key`; or name the proxy that encrypts in \
                   `server.trusted_proxies`; or listen on 127.0.0.1."
                .to_owned(),
        });
    }
    match &config.public_url {
        None if is_encrypted || has_proxy => remarks.push(Remark {
            about: About::PublicUrl,
            found: "`public_url` is not set, and the server does not guess it from requests".to_owned(),
            mend: "Set it to the address people type, as `https://fleet.example.com`.".to_owned(),
        }),
        Some(url) if is_encrypted && url.scheme() == "http" => remarks.push(Remark {
            about: About::PublicUrl,
            found: format!("`public_url` is {url}, but the server speaks https alone"),
            mend: "Write it with `https://`: browsers that sign in from there are refused otherwise."
                .to_owned(),
        }),
        None | Some(_) => {}
    }
    remarks
}

/// With the cause, which the operator needs to mend a file.
fn tls_failure(error: TlsError) -> Failure {
    Failure::new(Exit::Usage, "tls", told(&error))
        .advise("`fleetgate doctor` checks the files again without starting the server.")
}

/// An error and what caused it, in one line.
pub(super) fn told(error: &dyn Error) -> String {
    let cause = error.source().map(|source| format!(" ({source})")).unwrap_or_default();
    format!("{error}{cause}")
}
