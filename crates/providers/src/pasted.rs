//! Reads what people paste where an address belongs, up to the point where vendors differ. Pure: no network.

use std::net::Ipv6Addr;

use ::url::{Host, Url};

/// Marks that surround an address in mails, chats and documents.
const WRAPPING: &[char] =
    &['"', '\'', '`', '<', '>', '(', ')', '[', ']', '“', '”', '‘', '’', '«', '»', ',', ';', '*'];

/// An address, and what was changed to get at it.
#[derive(Debug)]
pub(crate) struct Pasted {
    pub(crate) url: Url,
    pub(crate) notes: Vec<String>,
}

/// Why there is no address in it. Nothing of the text is kept but the name of a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAddress {
    Empty,
    Unreadable,
    /// Another scheme than `http` and `https`.
    Scheme(String),
    /// A user name or password stands before an `@`.
    Userinfo,
    /// It is a credential.
    Key,
}

/// The address with scheme, without a dot at the end of the name; path and query as they are. `is_key` knows what the
/// vendor's credentials look like.
pub(crate) fn read(pasted: &str, is_key: fn(&str) -> bool) -> Result<Pasted, NoAddress> {
    let mut notes = Vec::new();
    let text = pick(pasted, is_key, &mut notes)?;
    let (scheme, rest) = split_scheme(&text)?;
    if authority(rest).contains('@') {
        return Err(NoAddress::Userinfo);
    }
    let scheme = scheme.unwrap_or_else(|| {
        notes.push("Added `https://`.".to_owned());
        "https"
    });
    let mut url = parse(scheme, rest)?;
    if url.port_or_known_default() == Some(0) {
        return Err(NoAddress::Unreadable);
    }
    drop_final_dot(&mut url, &mut notes)?;
    Ok(Pasted { url, notes })
}

/// The address inside what was pasted, without the marks around it.
pub(crate) fn pick(
    pasted: &str,
    is_key: fn(&str) -> bool,
    notes: &mut Vec<String>,
) -> Result<String, NoAddress> {
    let visible: String =
        pasted.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = visible.split_whitespace().map(unwrap).filter(|word| !word.is_empty()).collect();
    let looks_right = |word: &&&str| word.contains("://") || word.contains('.') || **word == "localhost";
    let chosen = match words.as_slice() {
        [] => return Err(NoAddress::Empty),
        [only] => only,
        several => {
            let found =
                several.iter().find(|word| word.contains("://")).or_else(|| several.iter().find(looks_right));
            notes.push("Left out the text around the address.".to_owned());
            found.ok_or(NoAddress::Unreadable)?
        }
    };
    if is_key(chosen) {
        return Err(NoAddress::Key);
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

fn split_scheme(text: &str) -> Result<(Option<&'static str>, &str), NoAddress> {
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
        return Err(NoAddress::Scheme(word));
    }
    Ok((None, text.trim_start_matches(['/', '\\'])))
}

/// Host and port, with whatever stands before an `@`.
fn authority(rest: &str) -> &str {
    rest.split(['/', '\\', '?', '#']).next().unwrap_or(rest)
}

fn parse(scheme: &str, rest: &str) -> Result<Url, NoAddress> {
    let host = authority(rest);
    let after = rest.get(host.len()..).unwrap_or_default();
    let text = match host.parse::<Ipv6Addr>() {
        Ok(bare) => format!("{scheme}://[{bare}]{after}"),
        Err(_) => format!("{scheme}://{rest}"),
    };
    let url = Url::parse(&text).map_err(|_| NoAddress::Unreadable)?;
    match url.host() {
        Some(Host::Domain(name)) if name.trim_matches('.').is_empty() => Err(NoAddress::Unreadable),
        Some(_) => Ok(url),
        None => Err(NoAddress::Unreadable),
    }
}

fn drop_final_dot(url: &mut Url, notes: &mut Vec<String>) -> Result<(), NoAddress> {
    let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
    if !name.ends_with('.') {
        return Ok(());
    }
    let without = name.trim_end_matches('.').to_owned();
    url.set_host(Some(&without)).map_err(|_| NoAddress::Unreadable)?;
    notes.push("Left out the dot at the end of the name.".to_owned());
    Ok(())
}
