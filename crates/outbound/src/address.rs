//! What a base URL may look like, before anything is sent to it.
//!
//! This is about shape only (scheme, user, host, port). Whether its address may be reached is decided by
//! [`crate::EgressRules`] when connecting.

use std::net::IpAddr;

use url::{Host, Url};

/// Whether a connection may do without TLS ("plain http on my network", set per integration).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only `https`.
    Refused,
    /// `http` as well.
    Allowed,
}

/// What is wrong with a URL, in words for the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// It does not parse; the text says why.
    #[error("not a web address: {0}")]
    NotAUrl(String),
    /// Neither `https` nor `http`.
    #[error("the address has to start with `https://`, not `{0}://`")]
    Scheme(String),
    /// `http`, and plain http was not allowed.
    #[error("the address has to start with `https://`; plain http has to be allowed explicitly")]
    PlainHttp,
    /// `user:password@` before the host.
    #[error("the address must not contain a user name or password")]
    Userinfo,
    /// `#…` at the end.
    #[error("the address must not contain a `#` part")]
    Fragment,
    /// `?…` at the end of a base URL.
    #[error("the address must not contain a `?` part")]
    Query,
    /// Empty host, or a host that is no name and no address.
    #[error("the address has no valid host name")]
    Host,
    /// Port 0.
    #[error("port 0 cannot be reached")]
    Port,
}

/// Checks the shape of an absolute URL: scheme, no user, no fragment, a real host and port.
pub fn check_url(url: &Url, plain_http: PlainHttp) -> Result<(), UrlProblem> {
    match (url.scheme(), plain_http) {
        ("https", _) | ("http", PlainHttp::Allowed) => {}
        ("http", PlainHttp::Refused) => return Err(UrlProblem::PlainHttp),
        (other, _) => return Err(UrlProblem::Scheme(other.to_owned())),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlProblem::Userinfo);
    }
    if url.fragment().is_some() {
        return Err(UrlProblem::Fragment);
    }
    if url.port_or_known_default() == Some(0) {
        return Err(UrlProblem::Port);
    }
    match url.host() {
        Some(Host::Domain(name)) if name.trim_end_matches('.').is_empty() => Err(UrlProblem::Host),
        Some(_) => Ok(()),
        None => Err(UrlProblem::Host),
    }
}

/// Parses what a person typed as a server's address: white space trimmed, path ends in `/`, no query.
///
/// Without a scheme `https://` is assumed.
pub fn parse_base_url(text: &str, plain_http: PlainHttp) -> Result<Url, UrlProblem> {
    let text = text.trim();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&with_scheme).map_err(|error| match error {
        url::ParseError::EmptyHost => UrlProblem::Host,
        other => UrlProblem::NotAUrl(other.to_string()),
    })?;
    check_url(&url, plain_http)?;
    if url.query().is_some() {
        return Err(UrlProblem::Query);
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// A host in the one form to compare and store: lower case, punycode, without a final dot, addresses written plainly
/// (`0x7f.1` is `127.0.0.1`, `[::ffff:127.0.0.1]` as well).
pub fn normalise_host(host: &str) -> Result<String, UrlProblem> {
    let parsed = Host::parse(host.trim()).map_err(|_| UrlProblem::Host)?;
    match parsed {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            if name.is_empty() { Err(UrlProblem::Host) } else { Ok(name.to_owned()) }
        }
        Host::Ipv4(ip) => Ok(ip.to_string()),
        Host::Ipv6(ip) => match IpAddr::V6(ip).to_canonical() {
            IpAddr::V4(ip) => Ok(ip.to_string()),
            IpAddr::V6(ip) => Ok(format!("[{ip}]")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, plain_http: PlainHttp, expected: Result<&str, UrlProblem>) {
        let found = parse_base_url(text, plain_http).map(String::from);
        assert_eq!(found, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn base_urls_are_completed() {
        check(" https://API.Example.com ", PlainHttp::Refused, Ok("https://api.example.com/"));
        check("api.example.com/rmm", PlainHttp::Refused, Ok("https://api.example.com/rmm/"));
        check("api.example.com:8443", PlainHttp::Refused, Ok("https://api.example.com:8443/"));
        check("http://10.1.2.3", PlainHttp::Allowed, Ok("http://10.1.2.3/"));
        check("https://bücher.example", PlainHttp::Refused, Ok("https://xn--bcher-kva.example/"));
    }

    #[test]
    fn wrong_base_urls_are_explained() {
        check("http://api.example.com", PlainHttp::Refused, Err(UrlProblem::PlainHttp));
        check("ftp://api.example.com", PlainHttp::Allowed, Err(UrlProblem::Scheme("ftp".into())));
        check("file:///etc/passwd", PlainHttp::Allowed, Err(UrlProblem::Scheme("file".into())));
        check("https://me@api.example.com", PlainHttp::Refused, Err(UrlProblem::Userinfo));
        check("https://:pw@api.example.com", PlainHttp::Refused, Err(UrlProblem::Userinfo));
        check("https://api.example.com/#x", PlainHttp::Refused, Err(UrlProblem::Fragment));
        check("https://api.example.com/?x=1", PlainHttp::Refused, Err(UrlProblem::Query));
        check("https://", PlainHttp::Refused, Err(UrlProblem::Host));
        check("https://.", PlainHttp::Refused, Err(UrlProblem::Host));
        check("https://a.example:0", PlainHttp::Refused, Err(UrlProblem::Port));
        let problem = parse_base_url("https://1.2.3.4.5", PlainHttp::Refused);
        assert!(matches!(problem, Err(UrlProblem::NotAUrl(_))), "{problem:?}");
    }

    #[test]
    fn hosts_have_one_form() {
        for text in [
            "127.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "127.0.0.1.",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
        ] {
            assert_eq!(normalise_host(text), Ok("127.0.0.1".into()), "{text}");
        }
        assert_eq!(normalise_host("API.Example.COM."), Ok("api.example.com".into()));
        assert_eq!(normalise_host("[2001:DB8::1]"), Ok("[2001:db8::1]".into()));
        assert_eq!(normalise_host("a b"), Err(UrlProblem::Host));
        assert_eq!(normalise_host(""), Err(UrlProblem::Host));
    }
}
