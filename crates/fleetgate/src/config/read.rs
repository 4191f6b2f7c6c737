//! What a value must look like, and values in their types.

use std::{net::SocketAddr, path::PathBuf};

use outbound::AllowRule;
use secrecy::SecretString;
use server::{TrustedProxies, tls::TlsFiles};
use url::{Host, Url};

use super::{ConfigError, Raw, Setting, Settings, Source, key, keys::Kind};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Turns one line of text (a flag or a variable) into what the kind asks for.
pub(super) fn from_text(kind: Kind, text: &str) -> Result<Raw, String> {
    let raw = match kind {
        Kind::Networks | Kind::Proxies | Kind::Hosts => Raw::List(
            text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect(),
        ),
        Kind::Count(least, most) => {
            let number = text.trim().parse();
            Raw::Number(number.map_err(|_| format!("`{text}` is not a whole number from {least} to {most}"))?)
        }
        _ => Raw::Text(text.to_owned()),
    };
    check(kind, &raw)?;
    Ok(raw)
}

/// Is the value usable? The answer says what is expected, and repeats the value only if it cannot be secret.
pub(super) fn check(kind: Kind, raw: &Raw) -> Result<(), String> {
    match (kind, raw) {
        (Kind::Address, Raw::Text(text)) => address(text).map(|_| ()),
        (Kind::WebAddress, Raw::Text(text)) => web_address(text).map(|_| ()),
        (Kind::Database, Raw::Text(text)) => check_database(text),
        (Kind::Levels, Raw::Text(text)) => check_levels(text),
        (Kind::Path | Kind::Secret, Raw::Text(text)) if text.trim().is_empty() => {
            Err("it is empty".to_owned())
        }
        (Kind::Path | Kind::Secret, Raw::Text(_)) => Ok(()),
        (Kind::Networks, Raw::List(networks)) => check_networks(networks),
        (Kind::Proxies, Raw::List(proxies)) => {
            TrustedProxies::parse(proxies).map(|_| ()).map_err(|error| error.to_string())
        }
        (Kind::Hosts, Raw::List(hosts)) => check_hosts(hosts),
        (Kind::Choice(words), Raw::Text(text)) if words.contains(&text.as_str()) => Ok(()),
        (Kind::Choice(_), Raw::Text(text)) => Err(format!("`{text}` is not {}", kind.expected())),
        (Kind::Count(least, most), Raw::Number(number)) if (least..=most).contains(number) => Ok(()),
        (Kind::Count(least, most), Raw::Number(number)) => {
            Err(format!("{number} is not a whole number from {least} to {most}"))
        }
        _ => Err(format!("expected is {}", kind.expected())),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        format!("`{text}` is not an address with a port; write `127.0.0.1:8800`, or `0.0.0.0:8800` for all networks")
    })
}

fn check_networks(networks: &[String]) -> Result<(), String> {
    let first_wrong = networks.iter().find_map(|text| text.parse::<AllowRule>().err());
    first_wrong.map_or(Ok(()), |error| Err(error.to_string()))
}

/// Names or addresses alone: a scheme, a port or a path would never match.
fn check_hosts(hosts: &[String]) -> Result<(), String> {
    let is_host = |text: &&String| {
        let is_bare =
            !text.contains(['/', '@', '*', '%', ' ']) && (!text.contains(':') || text.starts_with('['));
        is_bare && Host::parse(text).is_ok()
    };
    match hosts.iter().find(|text| !is_host(text)) {
        None => Ok(()),
        Some(wrong) => Err(format!(
            "`{wrong}` is not the name of a host; write it without `https://`, port and path, as `rmm.example.com`"
        )),
    }
}

fn web_address(text: &str) -> Result<Url, String> {
    let wrong = || "not a web address; write it like `https://fleet.example.com`".to_owned();
    let url = Url::parse(text.trim()).map_err(|_| wrong())?;
    let has_extras = url.query().is_some() || url.fragment().is_some() || !url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || has_extras {
        return Err(wrong());
    }
    Ok(url)
}

fn check_database(text: &str) -> Result<(), String> {
    let scheme = Url::parse(text.trim()).map(|url| url.scheme().to_owned()).unwrap_or_default();
    match scheme.as_str() {
        "postgres" | "postgresql" => Ok(()),
        "sqlite" => Err("SQLite needs no address: leave this key out, and set `data_dir`".to_owned()),
        _ => Err("not a database address; write it like `postgres://user@host/fleetgate`".to_owned()),
    }
}

/// `info`, or with exceptions `info,store=debug`.
fn check_levels(text: &str) -> Result<(), String> {
    for part in text.split(',') {
        let level = part.split_once('=').map_or(part, |(_, level)| level).trim();
        if !LEVELS.contains(&level) {
            return Err(format!("`{level}` is not a level; levels are {}", LEVELS.join(", ")));
        }
    }
    Ok(())
}

impl Settings {
    /// The text of a key. A default is put down as such.
    pub(super) fn text_or(&mut self, name: &str, default: &str) -> String {
        if let Some(Setting { raw: Raw::Text(text), .. }) = self.find(name) {
            return text.clone();
        }
        self.put_default(name, Raw::Text(default.to_owned()));
        default.to_owned()
    }

    pub(super) fn address(&mut self, name: &str, default: &str) -> Result<SocketAddr, ConfigError> {
        let text = self.text_or(name, default);
        address(&text).map_err(|problem| self.wrong(name, &problem))
    }

    pub(super) fn web_address(&self, name: &str) -> Result<Option<Url>, ConfigError> {
        let Some(Setting { raw: Raw::Text(text), .. }) = self.find(name) else { return Ok(None) };
        web_address(text).map(Some).map_err(|problem| self.wrong(name, &problem))
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        match self.find(name) {
            Some(Setting { raw: Raw::Text(text), .. }) => Some(SecretString::from(text.trim().to_owned())),
            _ => None,
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        if let Some(Setting { raw: Raw::List(list), .. }) = self.find(name) {
            return list.clone();
        }
        self.put_default(name, Raw::List(Vec::new()));
        Vec::new()
    }

    /// Names as a URL holds them: in lower case, other letters encoded.
    pub(super) fn hosts(&mut self, name: &str) -> Vec<String> {
        let listed = self.list(name);
        listed.iter().filter_map(|text| Host::parse(text).ok()).map(|host| host.to_string()).collect()
    }

    pub(super) fn proxies(&mut self, name: &str) -> Result<TrustedProxies, ConfigError> {
        let listed = self.list(name);
        TrustedProxies::parse(&listed).map_err(|error| self.wrong(name, &error.to_string()))
    }

    /// Certificate and key: both or neither.
    pub(super) fn tls_files(&self, certificate: &str, key: &str) -> Result<Option<TlsFiles>, ConfigError> {
        match (self.path(certificate), self.path(key)) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.alone(certificate, key)),
            (None, Some(_)) => Err(self.alone(key, certificate)),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        match self.find(name) {
            Some(Setting { raw: Raw::Text(text), .. }) => Some(PathBuf::from(text)),
            _ => None,
        }
    }

    fn alone(&self, given: &str, missing: &str) -> ConfigError {
        let problem = format!("`{missing}` is missing; set both for TLS, or neither behind a proxy");
        self.wrong(given, &problem)
    }

    pub(super) fn count_or(&mut self, name: &str, default: i64) -> usize {
        if let Some(Setting { raw: Raw::Number(number), .. }) = self.find(name) {
            return usize::try_from(*number).unwrap_or(1);
        }
        self.put_default(name, Raw::Number(default));
        usize::try_from(default).unwrap_or(1)
    }

    fn put_default(&mut self, name: &str, raw: Raw) {
        self.overlay(vec![Setting { key: key(name), raw, source: Source::Default }]);
    }

    fn wrong(&self, name: &str, problem: &str) -> ConfigError {
        match self.find(name) {
            Some(setting) => ConfigError::at(setting, problem),
            None => ConfigError::one(format!("`{name}`: {problem}")),
        }
    }
}
