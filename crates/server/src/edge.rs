//! Where a request comes from, and whether it came by https.
//!
//! The connection tells, and headers only if the connection is that of a proxy the operator named. What cannot be read
//! is not believed: the proxy's own address then stands for the caller, which brakes too many rather than too few.

mod network;

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, header::AsHeaderName};

pub use self::network::{NetworkError, TrustedProxies};
use crate::ServerOptions;

/// Each proxy adds the address it was asked from at the end.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How the caller reached the proxy: `http` or `https`.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How a request arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The caller, as far as it can be known; none where there is no connection.
    pub(crate) client: Option<IpAddr>,
    /// The caller's side of the connection is encrypted.
    pub(crate) is_https: bool,
}

impl Arrival {
    /// Reads the connection, and the headers of a proxy that may be believed.
    pub(crate) fn of(extensions: &Extensions, headers: &HeaderMap, options: &ServerOptions) -> Arrival {
        let peer = extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|ConnectInfo(address)| address.ip().to_canonical());
        let proxies = &options.trusted_proxies;
        let Some(proxy) = peer.filter(|peer| proxies.contains(*peer)) else {
            return Arrival { client: peer, is_https: options.is_https() };
        };
        Arrival {
            client: Some(forwarded_client(headers, proxies).unwrap_or(proxy)),
            is_https: options.is_https() || is_forwarded_https(headers),
        }
    }
}

/// The address nearest to us that no trusted proxy has; whatever stands before it may be made up. If all are trusted
/// proxies, the first of them called. None: there is no such header, or it cannot be read as far as it counts.
fn forwarded_client(headers: &HeaderMap, proxies: &TrustedProxies) -> Option<IpAddr> {
    let hops = parts(headers, FORWARDED_FOR)?;
    let mut last = None;
    for hop in hops.into_iter().rev() {
        let address = address_of(hop)?;
        if !proxies.contains(address) {
            return Some(address);
        }
        last = Some(address);
    }
    last
}

/// With several proxies, every one of them must have said so.
fn is_forwarded_https(headers: &HeaderMap) -> bool {
    let said = parts(headers, FORWARDED_PROTO).unwrap_or_default();
    !said.is_empty() && said.iter().all(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// The comma-separated parts of all headers of this name, in their order; none if one is no text.
fn parts(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    for value in headers.get_all(name) {
        parts.extend(value.to_str().ok()?.split(',').map(str::trim));
    }
    Some(parts)
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => match hop.parse() {
            Ok(address) => address,
            Err(_) => hop.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(proxies: &[&str]) -> ServerOptions {
        let lines: Vec<String> = proxies.iter().map(|line| (*line).to_owned()).collect();
        ServerOptions { trusted_proxies: TrustedProxies::parse(&lines).unwrap(), ..ServerOptions::default() }
    }

    fn arrival(options: &ServerOptions, peer: &str, pairs: &[(&'static str, &[u8])]) -> Arrival {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 50_000)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        Arrival::of(&extensions, &headers, options)
    }

    /// The caller that is seen when `peer` connects with these `X-Forwarded-For` lines.
    #[track_caller]
    fn check(proxies: &[&str], peer: &str, lines: &[&str], expected: &str) {
        let pairs: Vec<(&'static str, &[u8])> =
            lines.iter().map(|line| ("x-forwarded-for", line.as_bytes())).collect();
        let found = arrival(&options(proxies), peer, &pairs).client.unwrap();
        assert_eq!(found.to_string(), expected, "{proxies:?} {peer} {lines:?}");
    }

    #[test]
    fn nobody_is_believed_without_a_list() {
        check(&[], "127.0.0.1", &["198.51.100.7"], "127.0.0.1");
        check(&[], "203.0.113.9", &["127.0.0.1"], "203.0.113.9");
    }

    #[test]
    fn only_a_listed_proxy_is_believed() {
        check(&["10.0.0.5"], "10.0.0.5", &["198.51.100.7"], "198.51.100.7");
        check(&["10.0.0.5"], "10.0.0.6", &["198.51.100.7"], "10.0.0.6");
        check(&["10.0.0.5"], "10.0.0.5", &[], "10.0.0.5");
    }

    #[test]
    fn what_a_caller_wrote_before_the_proxy_does_not_count() {
        check(&["10.0.0.5"], "10.0.0.5", &["127.0.0.1, 198.51.100.7"], "198.51.100.7");
        check(&["10.0.0.5"], "10.0.0.5", &["1.2.3.4", "198.51.100.7"], "198.51.100.7");
        check(&["10.0.0.5"], "10.0.0.5", &["nonsense, \"<script>\", 198.51.100.7"], "198.51.100.7");
        check(&["10.0.0.5"], "10.0.0.5", &["10.0.0.5, 198.51.100.7"], "198.51.100.7");
    }

    #[test]
    fn several_proxies_are_passed_from_the_right() {
        let both = ["10.0.0.5", "10.1.0.0/16"];
        check(&both, "10.0.0.5", &["6.6.6.6, 198.51.100.7, 10.1.2.3"], "198.51.100.7");
        check(&both, "10.0.0.5", &["198.51.100.7", "10.1.2.3,10.1.9.9"], "198.51.100.7");
        check(&both, "10.0.0.5", &["10.1.2.3, 10.1.9.9"], "10.1.2.3");
        check(&["10.0.0.5"], "10.0.0.5", &["198.51.100.7, 10.1.2.3"], "10.1.2.3");
    }

    #[test]
    fn what_cannot_be_read_leaves_the_proxy() {
        for line in
            ["", "unknown", "198.51.100.7,", "198.51.100.7, ", "300.1.1.1", "[::1", "1.2.3.4:99999", "_x"]
        {
            check(&["10.0.0.5"], "10.0.0.5", &[line], "10.0.0.5");
        }
        let found = arrival(&options(&["10.0.0.5"]), "10.0.0.5", &[("x-forwarded-for", b"1.1.1.1, \xff")]);
        assert_eq!(found.client.unwrap().to_string(), "10.0.0.5");
    }

    #[test]
    fn both_families_are_read_in_every_form() {
        for (line, expected) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:DB8::7]:4711", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:198.51.100.7]:80", "198.51.100.7"),
        ] {
            check(&["fd00::/8"], "fd00::5", &[line], expected);
        }
        check(&["10.0.0.5"], "::ffff:10.0.0.5", &["198.51.100.7"], "198.51.100.7");
        check(&["::ffff:10.0.0.5"], "10.0.0.5", &["198.51.100.7"], "198.51.100.7");
        check(&["10.0.0.5"], "10.0.0.5", &["198.51.100.7, ::ffff:10.0.0.5"], "198.51.100.7");
    }

    #[test]
    fn https_is_believed_from_a_proxy_that_is_listed() {
        let check = |proxies: &[&str], said: &[&str], expected: bool| {
            let pairs: Vec<(&'static str, &[u8])> =
                said.iter().map(|line| ("x-forwarded-proto", line.as_bytes())).collect();
            assert_eq!(arrival(&options(proxies), "10.0.0.5", &pairs).is_https, expected, "{said:?}");
        };
        check(&["10.0.0.5"], &["https"], true);
        check(&["10.0.0.5"], &["HTTPS, https"], true);
        check(&["10.0.0.5"], &["https", "http"], false);
        check(&["10.0.0.5"], &["https, http"], false);
        check(&["10.0.0.5"], &["https,"], false);
        check(&["10.0.0.5"], &[], false);
        check(&["10.0.0.6"], &["https"], false);
        check(&[], &["https"], false);
    }

    #[test]
    fn a_public_address_with_https_counts_for_all() {
        let options = ServerOptions {
            public_url: Some("https://fleet.example/".to_owned()),
            ..ServerOptions::default()
        };
        assert!(arrival(&options, "10.0.0.5", &[("x-forwarded-proto", b"http")]).is_https);
        assert_eq!(Arrival::of(&Extensions::new(), &HeaderMap::new(), &options).client, None);
    }
}
