//! What the network sees: listener, certificate, public address, proxies.

use server::tls::TlsFiles;
use service::account::RelyingParty;

use super::Finding;
use crate::{
    boot::edge::{About, Remark, local_url, remarks, told},
    config::Config,
};

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let remarks = remarks(config);
    let remark = |about| remarks.iter().find(|remark| remark.about == about);
    let mut findings = vec![match remark(About::Listener) {
        Some(remark) => bad("listener", remark),
        None => Finding::good("listener", local_url(config, config.listen)),
    }];
    if let Some(files) = &config.server.tls {
        findings.push(certificate(files, service::now()));
    }
    findings.push(match (remark(About::PublicUrl), &config.public_url) {
        (Some(remark), _) => bad("public_url", remark),
        (None, Some(url)) => Finding::good("public_url", format!("{url}; {}", passkeys(url.as_str()))),
        (None, None) => Finding::good(
            "public_url",
            "not set; only this machine is meant to reach the server, and there are no passkeys",
        ),
    });
    findings.push(match config.server.trusted_proxies.len() {
        0 => Finding::good("server.trusted_proxies", "none; headers about the caller are not believed"),
        listed => Finding::good("server.trusted_proxies", format!("{listed} listed")),
    });
    findings
}

/// Whether people can use passkeys at this address.
fn passkeys(public_url: &str) -> String {
    match RelyingParty::at(Some(public_url)) {
        Ok(rp) => format!("passkeys are bound to `{}`", rp.id()),
        Err(why) => format!("no passkeys: {why}"),
    }
}

fn bad(what: &'static str, remark: &Remark) -> Finding {
    Finding::bad(what, remark.found.clone(), remark.mend.clone())
}

fn certificate(files: &TlsFiles, now: domain::Time) -> Finding {
    const WHAT: &str = "server.tls_certificate";
    match files.check() {
        Ok(validity) => match validity.warning(now) {
            None => Finding::good(WHAT, format!("fits its key, until {}", validity.ends)),
            Some(warning) => Finding::bad(
                WHAT,
                warning,
                format!(
                    "Put a new certificate into `{}` and its key into `{}`; a running server takes it within seconds.",
                    files.certificate.display(),
                    files.key.display()
                ),
            ),
        },
        Err(error) => Finding::bad(
            WHAT,
            told(&error),
            "Do what the line above says; a running server goes on with the old one.",
        ),
    }
}
