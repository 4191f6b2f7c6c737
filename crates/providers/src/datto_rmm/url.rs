//! Reads what people paste as the address: a platform's name, the API's host, the address of the console. Pure.
//!
//! Credentials go to Datto's own hosts only, and to those that the operator listed. The platform is never guessed: what
//! does not name it is refused.

use ::url::{Host, Url};
use provider::{Problem, ReadUrl};

use super::sentences;
use crate::pasted::{self, Pasted};

/// The platforms that customers live on, by the names in the hosts of their APIs.
pub(super) const PLATFORMS: [&str; 6] = ["pinotage", "merlot", "concord", "vidal", "zinfandel", "syrah"];

/// The domain of APIs and of the old console.
const API_DOMAIN: &str = "centrastage.net";

/// The domain of the console.
const CONSOLE_DOMAIN: &str = "rmm.datto.com";

const API_SUFFIX: &str = "-api";

pub(super) fn read_url(pasted: &str, hosts: &[String]) -> Result<ReadUrl, Problem> {
    if let Some(read) = platform_name(pasted, hosts)? {
        return Ok(read);
    }
    let Pasted { url, mut notes } = pasted::read(pasted, is_key).map_err(sentences::no_address)?;
    if is_listed(&url, hosts) {
        return Ok(operators_own(url, notes));
    }
    let Some(Host::Domain(name)) = url.host() else { return Err(sentences::url_not_datto()) };
    let label = api_label(&name.to_ascii_lowercase(), &mut notes)?;
    if url.scheme() == "http" {
        notes.push("Changed `http://` to `https://`.".to_owned());
    }
    if url.port().is_some_and(|port| !matches!(port, 80 | 443)) {
        notes.push("Left out the port: the API has the usual one.".to_owned());
    }
    note_path(&url, &mut notes);
    let url = api_url(&label).ok_or_else(sentences::url_unreadable)?;
    Ok(ReadUrl { url, notes, warning: None })
}

/// One word that is a platform, as people say it.
fn platform_name(pasted: &str, hosts: &[String]) -> Result<Option<ReadUrl>, Problem> {
    let mut notes = Vec::new();
    let words = pasted.split_whitespace().count();
    let Ok(word) = pasted::pick(pasted, |_| false, &mut notes) else { return Ok(None) };
    let word = word.to_ascii_lowercase();
    let is_one_word = words == 1 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let is_listed = hosts.iter().any(|host| host.trim().eq_ignore_ascii_case(&word));
    if !is_one_word || is_listed {
        return Ok(None);
    }
    let platform = word.strip_suffix(API_SUFFIX).unwrap_or(&word);
    if !PLATFORMS.contains(&platform) {
        return Err(sentences::url_platform_unknown());
    }
    let url = api_url(&format!("{platform}{API_SUFFIX}")).ok_or_else(sentences::url_unreadable)?;
    let notes = vec![format!("Took `{platform}` for the platform: its API is at `{}`.", text(&url))];
    Ok(Some(ReadUrl { url, notes, warning: None }))
}

/// The first part of the API's host for this host.
fn api_label(host: &str, notes: &mut Vec<String>) -> Result<String, Problem> {
    let console = |platform: &str, notes: &mut Vec<String>| {
        let label = format!("{platform}{API_SUFFIX}");
        notes.push(format!(
            "This is the address of the console. The API of this platform is at `https://{label}.{API_DOMAIN}`."
        ));
        label
    };
    if host == CONSOLE_DOMAIN {
        return Err(sentences::url_console());
    }
    if let Some(platform) = below(host, CONSOLE_DOMAIN) {
        let is_platform = !platform.contains('.') && platform != "www";
        return if is_platform { Ok(console(platform, notes)) } else { Err(sentences::url_console()) };
    }
    match below(host, API_DOMAIN) {
        // The old console: one word before the domain.
        Some(label) if !label.contains(['.', '-']) && label != "www" => Ok(console(label, notes)),
        Some("www") | None => Err(sentences::url_not_datto()),
        Some(label) => Ok(label.to_owned()),
    }
}

fn below<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    host.strip_suffix(domain)?.strip_suffix('.').filter(|label| !label.is_empty())
}

fn api_url(label: &str) -> Option<Url> {
    Url::parse(&format!("https://{label}.{API_DOMAIN}/")).ok()
}

/// `host`, at any port, or `host:port`.
fn is_listed(url: &Url, hosts: &[String]) -> bool {
    let Some(host) = url.host_str() else { return false };
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    hosts
        .iter()
        .map(|listed| listed.trim())
        .any(|listed| listed.eq_ignore_ascii_case(host) || listed.eq_ignore_ascii_case(&with_port))
}

fn operators_own(mut url: Url, mut notes: Vec<String>) -> ReadUrl {
    note_path(&url, &mut notes);
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    let warning = (url.scheme() == "http").then(sentences::plain_http);
    ReadUrl { url, notes, warning }
}

fn note_path(url: &Url, notes: &mut Vec<String>) {
    if url.path() != "/" {
        // A path may hold a token, so only its first part is repeated.
        let first: String = url.path().split('/').nth(1).unwrap_or_default().chars().take(40).collect();
        notes.push(format!("Left out the path `/{first}`."));
    }
    if url.query().is_some() {
        notes.push("Left out what follows the `?`.".to_owned());
    }
}

/// Keys and secrets are long words of letters and digits alone; no address is.
fn is_key(text: &str) -> bool {
    text.len() >= 20 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The APIs of the other platforms, where this is one of them.
pub(super) fn other_platforms(url: &Url) -> Vec<String> {
    let Some(host) = url.host_str() else { return Vec::new() };
    let here = |platform: &str| host == format!("{platform}{API_SUFFIX}.{API_DOMAIN}");
    if !PLATFORMS.iter().any(|platform| here(platform)) {
        return Vec::new();
    }
    PLATFORMS
        .iter()
        .filter(|platform| !here(platform))
        .map(|platform| format!("https://{platform}{API_SUFFIX}.{API_DOMAIN}"))
        .collect()
}

/// An address as people write it: without the slash at the end.
pub(super) fn text(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
