//! Reads what people paste as the address. Pure: no network.
//!
//! Tactical's API is always at the root of its host, so whatever stands after the host is left out, and said so.
//! Nothing is changed silently, and a guess is only offered.

use std::net::{Ipv4Addr, Ipv6Addr};

use ::url::{Host, Url};
use provider::{Problem, ReadUrl};

use super::sentences;

/// First labels of Tactical's other hosts: the dashboard and MeshCentral.
const OTHER_HOSTS: &[&str] = &["rmm", "mesh", "dashboard"];

/// Marks that surround an address in mails, chats and documents.
const WRAPPING: &[char] =
    &['"', '\'', '`', '<', '>', '(', ')', '[', ']', '“', '”', '‘', '’', '«', '»', ',', ';', '*'];

pub(super) fn read_url(pasted: &str) -> Result<ReadUrl, Problem> {
    let mut notes = Vec::new();
    let text = pick(pasted, &mut notes)?;
    let (scheme, rest) = split_scheme(&text)?;
    if authority(rest).contains('@') {
        return Err(sentences::url_userinfo());
    }
    let scheme = scheme.unwrap_or_else(|| {
        notes.push("Added `https://`.".to_owned());
        "https"
    });
    let mut url = parse(scheme, rest)?;
    if url.port_or_known_default() == Some(0) {
        return Err(sentences::url_unreadable());
    }
    drop_final_dot(&mut url, &mut notes)?;
    drop_path(&mut url, &mut notes);
    if matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_))) {
        notes.push(
            "This is an IP address. Tactical usually answers only to the host names it was installed with."
                .to_owned(),
        );
    }
    let warning = warning(&url);
    Ok(ReadUrl { url, notes, warning })
}

/// The address inside what was pasted, without the marks around it.
fn pick(pasted: &str, notes: &mut Vec<String>) -> Result<String, Problem> {
    let visible: String =
        pasted.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = visible.split_whitespace().map(unwrap).filter(|word| !word.is_empty()).collect();
    let looks_right = |word: &&&str| word.contains("://") || word.contains('.') || **word == "localhost";
    let chosen = match words.as_slice() {
        [] => return Err(sentences::url_empty()),
        [only] => only,
        several => {
            let found =
                several.iter().find(|word| word.contains("://")).or_else(|| several.iter().find(looks_right));
            notes.push("Left out the text around the address.".to_owned());
            found.ok_or_else(sentences::url_unreadable)?
        }
    };
    if is_key(chosen) {
        return Err(sentences::url_is_key());
    }
    Ok((*chosen).to_owned())
}

/// Brackets belong to an IPv6 address unless they enclose everything else.
fn unwrap(word: &str) -> &str {
    let unwrapped = word.trim_matches(|c| WRAPPING.contains(&c) && c != '[' && c != ']');
    if unwrapped.contains("::") { unwrapped } else { unwrapped.trim_matches(WRAPPING) }
}

/// Blanks of no width, which come along when text is copied from pages.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{00ad}')
}

fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn split_scheme(text: &str) -> Result<(Option<&'static str>, &str), Problem> {
    let lower = text.to_ascii_lowercase();
    for (prefix, scheme) in [("https:", "https"), ("http:", "http")] {
        // `https:/api…` and `https:api…` are slips of the hand, `https:8443` would be a host with a port.
        let rest = text.get(prefix.len()..).unwrap_or_default();
        let is_port = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
        if lower.starts_with(prefix) && !is_port {
            return Ok((Some(scheme), rest.trim_start_matches(['/', '\\'])));
        }
    }
    if let Some((other, _)) = lower.split_once("://") {
        let word: String = other.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        return Err(sentences::url_scheme(&word));
    }
    Ok((None, text.trim_start_matches(['/', '\\'])))
}

/// Host and port, with whatever stands before an `@`.
fn authority(rest: &str) -> &str {
    rest.split(['/', '\\', '?', '#']).next().unwrap_or(rest)
}

fn parse(scheme: &str, rest: &str) -> Result<Url, Problem> {
    let host = authority(rest);
    let after = rest.get(host.len()..).unwrap_or_default();
    let text = match host.parse::<Ipv6Addr>() {
        Ok(bare) => format!("{scheme}://[{bare}]{after}"),
        Err(_) => format!("{scheme}://{rest}"),
    };
    let url = Url::parse(&text).map_err(|_| sentences::url_unreadable())?;
    match url.host() {
        Some(Host::Domain(name)) if name.trim_matches('.').is_empty() => Err(sentences::url_unreadable()),
        Some(_) => Ok(url),
        None => Err(sentences::url_unreadable()),
    }
}

fn drop_final_dot(url: &mut Url, notes: &mut Vec<String>) -> Result<(), Problem> {
    let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
    if !name.ends_with('.') {
        return Ok(());
    }
    let without = name.trim_end_matches('.').to_owned();
    url.set_host(Some(&without)).map_err(|_| sentences::url_unreadable())?;
    notes.push("Left out the dot at the end of the name.".to_owned());
    Ok(())
}

fn drop_path(url: &mut Url, notes: &mut Vec<String>) {
    let path = url.path().to_owned();
    if path != "/" {
        // A path may hold a token, so only its first part is repeated.
        let first: String = path.split('/').nth(1).unwrap_or_default().chars().take(40).collect();
        notes.push(format!("Left out the path `/{first}`: Tactical's API has none."));
    }
    if url.query().is_some() {
        notes.push("Left out what follows the `?`.".to_owned());
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
}

fn warning(url: &Url) -> Option<Problem> {
    if let Some(label) = other_host_label(url)
        && let Some(guess) = guess_api(url, "https")
    {
        return Some(sentences::looks_like_dashboard(label, &text(&guess)));
    }
    (url.scheme() == "http").then(sentences::plain_http)
}

fn other_host_label(url: &Url) -> Option<&'static str> {
    let Some(Host::Domain(name)) = url.host() else { return None };
    let (first, _) = name.split_once('.')?;
    OTHER_HOSTS.iter().copied().find(|label| *label == first)
}

/// Where the API of this dashboard probably is; none for an address in numbers and for an API's own name.
pub(super) fn guess_api(url: &Url, scheme: &str) -> Option<Url> {
    let Some(Host::Domain(name)) = url.host() else { return None };
    if name.parse::<Ipv4Addr>().is_ok() || name.starts_with("api.") {
        return None;
    }
    let domain = match name.split_once('.') {
        Some((first, domain)) if OTHER_HOSTS.contains(&first) => domain,
        _ => name,
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Url::parse(&format!("{scheme}://api.{domain}{port}/")).ok()
}

/// An address as people write it: without the slash at the end.
pub(super) fn text(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
