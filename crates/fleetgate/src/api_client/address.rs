//! The server's address: read, judged, and joined with paths.

use url::{Host, Url};

use super::Query;
use crate::cli::failure::Failure;

/// Reads what was given as the address.
pub(super) fn read(text: &str) -> Result<Url, Failure> {
    let wrong = |problem: &str| {
        Failure::usage(format!("the address of the server {problem}"))
            .advise("Write it like `https://fleet.example.com`, with --server or FLEETGATE_URL.")
    };
    let mut url = Url::parse(text.trim()).map_err(|_| wrong("is no web address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("does not begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user name or password"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Refuses to send the token readably to another machine.
pub(super) fn check_secrecy(base: &Url, insecure_http: bool) -> Result<(), Failure> {
    if base.scheme() == "https" || is_this_machine(base) || insecure_http {
        return Ok(());
    }
    let host = base.host_str().unwrap_or_default();
    Err(Failure::usage(format!("the token would go to `{host}` over plain http, where others can read it"))
        .advise("Use the https:// address of the server.")
        .advise("If the way there is safe (a VPN, your own cable), add --insecure-http."))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `base/api/v1/path…?query`, each part encoded.
pub(super) fn endpoint(base: &Url, path: &[&str], query: &Query) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "v1"]).extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (*name, value.as_str())));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[track_caller]
    fn check_plain_http(address: &str, allowed: bool) {
        let result = check_secrecy(&read(address).unwrap(), false);
        assert_eq!(result.is_ok(), allowed, "{address}");
    }

    #[test]
    fn the_token_goes_over_plain_http_to_this_machine_only() {
        for address in
            ["http://127.0.0.1:8800", "http://localhost", "http://[::1]:1", "https://fleet.example.com"]
        {
            check_plain_http(address, true);
        }
        for address in
            ["http://fleet.example.com", "http://10.0.0.1", "http://localhost.evil.com", "http://[::2]"]
        {
            check_plain_http(address, false);
        }
        assert!(check_secrecy(&read("http://10.0.0.1").unwrap(), true).is_ok());
    }

    #[test]
    fn addresses_that_are_none_are_usage_errors() {
        for address in ["", "fleet.example.com", "ftp://x", "https://user:s3cret@x"] {
            let failure = read(address).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{address}");
            assert!(!format!("{failure:?}").contains("s3cret"));
        }
    }

    #[test]
    fn parts_are_encoded_and_a_prefix_is_kept() {
        let base = read("https://x/fleet/").unwrap();
        let url = endpoint(&base, &["assets", "a/../b"], &vec![("text", "a&b=c".to_owned())]);
        assert_eq!(url.as_str(), "https://x/fleet/api/v1/assets/a%2F..%2Fb?text=a%26b%3Dc");
    }
}
