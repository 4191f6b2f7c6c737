//! Reads what people paste as the address. Pure: no network.
//!
//! Tactical's API is always at the root of its host, so whatever stands after the host is left out, and said so.
//! Nothing is changed silently, and a guess is only offered.

use std::net::Ipv4Addr;

use ::url::{Host, Url};
use provider::{Problem, ReadUrl};

use super::sentences;
use crate::pasted::{self, Pasted};

/// First labels of Tactical's other hosts: the dashboard and MeshCentral.
const OTHER_HOSTS: &[&str] = &["rmm", "mesh", "dashboard"];

pub(super) fn read_url(pasted: &str) -> Result<ReadUrl, Problem> {
    let Pasted { mut url, mut notes } = pasted::read(pasted, is_key).map_err(sentences::no_address)?;
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

fn is_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
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
