//! One line of `outbound.allow`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

use super::ranges::{Verdict, judge};

/// A network, with an optional port, that may be reached although it is not public.
///
/// `10.1.0.0/16`, `127.0.0.1/32:8801`, `192.168.1.5`, `[fd00::]/8`, `[fd00::1]/128:443`. Deserialises from that text
/// (configuration).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AllowRule {
    network: IpAddr,
    prefix: u8,
    port: Option<u16>,
}

/// A line of `outbound.allow` that cannot be understood; says what a right one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowRuleError {
    /// The address part.
    #[error(
        "`{0}` is not a network: write `10.1.0.0/16`, `127.0.0.1/32:8801`, `192.168.1.5` or `[fd00::]/8:443`"
    )]
    Address(String),
    /// The part after `/`.
    #[error(
        "`{text}` has no valid prefix length: after `/` comes a number from 0 to {max}, as in `{example}`"
    )]
    Prefix {
        /// The line.
        text: String,
        /// 32 or 128.
        max: u8,
        /// A right line of the same family.
        example: &'static str,
    },
    /// The part after the last `:`.
    #[error("`{0}` has no valid port: after `:` comes a number from 1 to 65535, as in `127.0.0.1/32:8801`")]
    Port(String),
    /// Bits of the address beyond the prefix.
    #[error("`{text}` names an address inside the network: write `{network}` for all of it, or `{single}`")]
    HostBits {
        /// The line.
        text: String,
        /// The network meant, if the prefix is right.
        network: String,
        /// The single address, if that was meant.
        single: String,
    },
    /// The network lies in a range that is refused whatever the configuration.
    #[error("`{text}` is {reason}, which is never allowed")]
    NeverAllowed {
        /// The line.
        text: String,
        /// The range.
        reason: super::DenyReason,
    },
}

impl AllowRule {
    pub(crate) fn exactly(ip: IpAddr, port: u16) -> Self {
        Self { network: ip, prefix: bits_of(ip), port: Some(port) }
    }

    /// Whether this line covers the address; `ip` is the address as judged.
    pub(crate) fn matches(&self, ip: IpAddr, port: u16) -> bool {
        let port_fits = self.port.is_none_or(|listed| listed == port);
        port_fits && self.network.is_ipv4() == ip.is_ipv4() && first_of(ip, self.prefix) == self.network
    }

    fn last(&self) -> IpAddr {
        match self.network {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) | !mask_v4(self.prefix)).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) | !mask_v6(self.prefix)).into()),
        }
    }
}

impl FromStr for AllowRule {
    type Err = AllowRuleError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let text = line.trim();
        let parts = split(text)?;
        let ip = parts.address;
        let (ip, prefix) = match parts.prefix {
            Some(digits) => plain(ip, parse_prefix(text, ip, digits)?),
            None => plain(ip, bits_of(ip)),
        };
        let port = match parts.port {
            Some(digits) => Some(parse_port(text, digits)?),
            None => None,
        };
        let network = first_of(ip, prefix);
        let rule = Self { network, prefix, port };
        if network != ip {
            let single = Self { network: ip, prefix: bits_of(ip), port };
            return Err(AllowRuleError::HostBits {
                text: text.to_owned(),
                network: rule.to_string(),
                single: single.to_string(),
            });
        }
        match (judge(network).verdict, judge(rule.last()).verdict) {
            (Verdict::Never(reason), Verdict::Never(last)) if reason == last => {
                Err(AllowRuleError::NeverAllowed { text: text.to_owned(), reason })
            }
            _ => Ok(rule),
        }
    }
}

impl TryFrom<String> for AllowRule {
    type Error = AllowRuleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for AllowRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            IpAddr::V4(ip) => write!(f, "{ip}/{}", self.prefix)?,
            IpAddr::V6(ip) => write!(f, "[{ip}]/{}", self.prefix)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

struct Parts<'a> {
    address: IpAddr,
    prefix: Option<&'a str>,
    port: Option<&'a str>,
}

fn split(text: &str) -> Result<Parts<'_>, AllowRuleError> {
    let wrong = || AllowRuleError::Address(text.to_owned());
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or_else(wrong)?;
        let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
        let (before_port, port) = split_port(rest);
        let prefix = match before_port {
            "" => None,
            other => Some(other.strip_prefix('/').ok_or_else(wrong)?),
        };
        return Ok(Parts { address: address.into(), prefix, port });
    }
    // Without brackets a colon may belong to an IPv6 address, which then cannot have a port.
    let is_v6 = text.split('/').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    let (before_port, port) = if is_v6 { (text, None) } else { split_port(text) };
    let (address, prefix) = match before_port.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (before_port, None),
    };
    Ok(Parts { address: address.parse().map_err(|_| wrong())?, prefix, port })
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((before, port)) => (before, Some(port)),
        None => (text, None),
    }
}

fn parse_prefix(text: &str, ip: IpAddr, digits: &str) -> Result<u8, AllowRuleError> {
    let max = bits_of(ip);
    let example = if ip.is_ipv4() { "10.1.0.0/16" } else { "[fd00::]/8" };
    digits
        .parse::<u8>()
        .ok()
        .filter(|prefix| *prefix <= max && is_number(digits))
        .ok_or(AllowRuleError::Prefix { text: text.to_owned(), max, example })
}

fn parse_port(text: &str, digits: &str) -> Result<u16, AllowRuleError> {
    digits
        .parse::<u16>()
        .ok()
        .filter(|port| *port != 0 && is_number(digits))
        .ok_or_else(|| AllowRuleError::Port(text.to_owned()))
}

/// Rust's number parser takes a leading `+`; we do not.
fn is_number(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Addresses are judged as plain IPv4 where they mean that, so rules are kept in that form as well.
fn plain(ip: IpAddr, prefix: u8) -> (IpAddr, u8) {
    match ip {
        IpAddr::V6(v6) if prefix >= 96 => match super::ranges::translated(v6) {
            Some(v4) => (v4.into(), prefix - 96),
            None => (ip, prefix),
        },
        _ => (ip, prefix),
    }
}

fn bits_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn first_of(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) & mask_v4(prefix)).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & mask_v6(prefix)).into()),
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match line.parse::<AllowRule>() {
            Ok(rule) => rule.to_string(),
            Err(error) => format!("error: {error}"),
        };
        assert!(found == expected || found.starts_with(&format!("{expected} ")), "{line}: {found}");
    }

    #[test]
    fn right_lines_are_understood() {
        for (line, expected) in [
            ("10.1.0.0/16", "10.1.0.0/16"),
            (" 10.1.0.0/16 ", "10.1.0.0/16"),
            ("127.0.0.1/32:8801", "127.0.0.1/32:8801"),
            ("127.0.0.1:8801", "127.0.0.1/32:8801"),
            ("192.168.1.5", "192.168.1.5/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("[fd00::]/8", "[fd00::]/8"),
            ("[fd00::]/8:443", "[fd00::]/8:443"),
            ("[fd00::1]:443", "[fd00::1]/128:443"),
            ("[::1]", "[::1]/128"),
            ("::1", "[::1]/128"),
            ("fd00::/8", "[fd00::]/8"),
            ("::/0", "[::]/0"),
            ("[::ffff:10.0.0.0]/104", "10.0.0.0/8"),
            ("[::ffff:10.0.0.1]", "10.0.0.1/32"),
        ] {
            check(line, expected);
            let rule: AllowRule = line.parse().unwrap();
            assert_eq!(rule.to_string().parse::<AllowRule>(), Ok(rule), "{line}");
        }
    }

    #[test]
    fn wrong_lines_are_explained() {
        for line in
            ["", "10.1", "rmm.example.com", "[10.0.0.1]/32", "[fd00::", "[fd00::]x", "10.0.0.256", "*"]
        {
            check(line, &format!("error: `{line}` is not a network: write"));
        }
        for line in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/+8", "[fd00::]/129", "10.0.0.0/-1"] {
            check(line, &format!("error: `{line}` has no valid prefix length:"));
        }
        for line in [
            "10.0.0.0/8:0",
            "10.0.0.0/8:",
            "10.0.0.0/8:65536",
            "10.0.0.0/8:http",
            "10.0.0.1:80/32",
            "10.0.0.1:+80",
            "[::1]:80:80",
        ] {
            check(line, &format!("error: `{line}` has no valid port:"));
        }
        check(
            "10.1.2.3/16:80",
            "error: `10.1.2.3/16:80` names an address inside the network: write `10.1.0.0/16:80` for all of it, or `10.1.2.3/32:80`",
        );
    }

    #[test]
    fn lines_that_could_never_help_are_refused() {
        check("169.254.0.0/16", "error: `169.254.0.0/16` is a link-local address, which is never allowed");
        check(
            "169.254.169.254:80",
            "error: `169.254.169.254:80` is a cloud metadata service, which is never allowed",
        );
        check("[fe80::]/10", "error: `[fe80::]/10` is a link-local address, which is never allowed");
        check("0.0.0.0", "error: `0.0.0.0` is an unspecified address, which is never allowed");
        check(
            "224.0.0.0/4",
            "error: `224.0.0.0/4` is a multicast or broadcast address, which is never allowed",
        );
    }

    #[test]
    fn network_and_port_both_have_to_fit() {
        let rule: AllowRule = "10.1.0.0/16:443".parse().unwrap();
        assert!(rule.matches("10.1.255.255".parse().unwrap(), 443));
        assert!(!rule.matches("10.2.0.0".parse().unwrap(), 443));
        assert!(!rule.matches("10.1.0.0".parse().unwrap(), 444));
        assert!(!rule.matches("fd00::1".parse().unwrap(), 443));
        let all: AllowRule = "::/0".parse().unwrap();
        assert!(all.matches("fd00::1".parse().unwrap(), 1));
        assert!(!all.matches("10.0.0.1".parse().unwrap(), 1));
    }
}
