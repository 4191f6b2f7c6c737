//! The list of proxies: addresses and networks.

use std::{fmt, net::IpAddr};

/// Proxies whose word about the caller counts. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// An entry of the list that cannot be used; says what a right one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address, or no length after `/`.
    #[error("`{0}` is no address or network; write `10.0.0.5`, `10.0.0.0/24` or `fd00::/8`")]
    Malformed(String),
    /// Bits of the address beyond the length.
    #[error("`{text}` names an address inside a network; write `{network}` for all of it, or `{single}`")]
    HostBits {
        /// The entry.
        text: String,
        /// The network meant, if the length is right.
        network: String,
        /// The address meant, if that is right.
        single: String,
    },
    /// Everybody.
    #[error(
        "`{0}` is everybody, and then every caller could claim to be another; write the addresses of your proxies"
    )]
    Everybody(String),
}

impl TrustedProxies {
    /// Reads `10.0.0.5`, `10.0.0.0/24`, `::1`, `fd00::/8`.
    ///
    /// # Errors
    /// The first entry that cannot be used.
    pub fn parse<T: AsRef<str>>(lines: &[T]) -> Result<TrustedProxies, NetworkError> {
        lines.iter().map(|line| Network::parse(line.as_ref())).collect::<Result<_, _>>().map(TrustedProxies)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the address is that of a trusted proxy. IPv4 inside IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    length: u8,
}

impl Network {
    fn parse(line: &str) -> Result<Network, NetworkError> {
        let text = line.trim();
        let malformed = || NetworkError::Malformed(text.to_owned());
        let (address, digits) = match text.split_once('/') {
            Some((address, digits)) => (address, Some(digits)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| malformed())?;
        let length = match digits {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| malformed())?
            }
            Some(_) => return Err(malformed()),
            None => bits_of(written),
        };
        if length > bits_of(written) {
            return Err(malformed());
        }
        let (address, length) = plain(written, length);
        let network = Network { first: first_of(address, length), length };
        if length == 0 {
            return Err(NetworkError::Everybody(text.to_owned()));
        }
        if network.first != address {
            let single = address.to_string();
            return Err(NetworkError::HostBits {
                text: text.to_owned(),
                network: network.to_string(),
                single,
            });
        }
        Ok(network)
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && first_of(address, self.length) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

/// Callers are compared as IPv4 where they are, so `::ffff:10.0.0.0/104` is kept as `10.0.0.0/8`.
fn plain(address: IpAddr, length: u8) -> (IpAddr, u8) {
    match (address, address.to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(v4)) if length >= 96 => (v4.into(), length - 96),
        _ => (address, length),
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn first_of(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match Network::parse(line) {
            Ok(network) => network.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(found == expected || found.starts_with(&format!("{expected} ")), "{line}: {found}");
    }

    #[test]
    fn addresses_and_networks_are_read() {
        check("10.0.0.5", "10.0.0.5/32");
        check(" 10.0.0.0/24 ", "10.0.0.0/24");
        check("::1", "::1/128");
        check("fd00::/8", "fd00::/8");
        check("::ffff:10.0.0.0/104", "10.0.0.0/8");
        check("::ffff:10.0.0.5", "10.0.0.5/32");
    }

    #[test]
    fn wrong_entries_are_explained() {
        for line in
            ["", "10.0.0", "proxy.example", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.5:80", "*"]
        {
            check(line, &format!("`{line}` is no address or network; write"));
        }
        check(
            "10.0.0.5/24",
            "`10.0.0.5/24` names an address inside a network; write `10.0.0.0/24` for all of it, or `10.0.0.5`",
        );
        for line in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
            check(line, &format!("`{line}` is everybody,"));
        }
    }

    #[test]
    fn membership_ends_at_the_edge_of_the_network() {
        let proxies = TrustedProxies::parse(&["10.0.0.0/30", "fd00::/64"]).unwrap();
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.0.0.3", true),
            ("10.0.0.4", false),
            ("9.255.255.255", false),
            ("::ffff:10.0.0.1", true),
            ("fd00::ffff", true),
            ("fd00:0:0:1::", false),
            ("::1", false),
        ] {
            assert_eq!(proxies.contains(address.parse().unwrap()), expected, "{address}");
        }
        assert!(TrustedProxies::default().is_empty() && !proxies.is_empty());
    }
}
