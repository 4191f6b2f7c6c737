//! The ranges: IANA's special-purpose registries for IPv4 and IPv6 (read 2026-11) and the clouds' metadata services.
//!
//! An IPv4 address hidden in IPv6 is judged as the IPv4 address it means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::DenyReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Public,
    IfListed(DenyReason),
    Never(DenyReason),
}

/// How an address was understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// What an allow rule has to list.
    pub(crate) addr: IpAddr,
    /// Where packets end up; differs from `addr` for tunnels.
    pub(crate) target: IpAddr,
}

pub(crate) fn judge(ip: IpAddr) -> Judged {
    match ip {
        IpAddr::V4(ip) => judged_v4(ip),
        IpAddr::V6(ip) => match translated(ip) {
            Some(inner) => judged_v4(inner),
            None => judge_v6(ip),
        },
    }
}

fn judged_v4(ip: Ipv4Addr) -> Judged {
    Judged { verdict: verdict_v4(ip), addr: ip.into(), target: ip.into() }
}

fn judge_v6(ip: Ipv6Addr) -> Judged {
    let own = verdict_v6(ip);
    let mut judged = Judged { verdict: own, addr: ip.into(), target: ip.into() };
    if matches!(own, Verdict::Never(_)) {
        return judged;
    }
    for inner in tunnelled(ip) {
        match verdict_v4(inner) {
            verdict @ Verdict::Never(_) => return Judged { verdict, addr: ip.into(), target: inner.into() },
            verdict @ Verdict::IfListed(_) if judged.target == judged.addr => {
                judged = Judged { verdict, addr: ip.into(), target: inner.into() };
            }
            Verdict::IfListed(_) | Verdict::Public => {}
        }
    }
    judged
}

fn verdict_v4(ip: Ipv4Addr) -> Verdict {
    use DenyReason::{
        CarrierGrade, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Unspecified,
    };
    if is_metadata_v4(ip) {
        return Verdict::Never(Metadata);
    }
    match ip.octets() {
        [0, ..] => Verdict::Never(Unspecified),
        [169, 254, ..] => Verdict::Never(LinkLocal),
        [224..=239, ..] | [255, 255, 255, 255] => Verdict::Never(Multicast),
        [127, ..] => Verdict::IfListed(Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Verdict::IfListed(Private),
        [100, 64..=127, ..] => Verdict::IfListed(CarrierGrade),
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Verdict::IfListed(Reserved),
        [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => Verdict::IfListed(Reserved),
        _ => Verdict::Public,
    }
}

fn verdict_v6(ip: Ipv6Addr) -> Verdict {
    use DenyReason::{LinkLocal, Loopback, Metadata, Multicast, Reserved, UniqueLocal, Unspecified};
    if METADATA_V6.contains(&ip) {
        return Verdict::Never(Metadata);
    }
    if ip.is_unspecified() {
        return Verdict::Never(Unspecified);
    }
    if ip.is_loopback() {
        return Verdict::IfListed(Loopback);
    }
    match ip.segments() {
        [0xfe80..=0xfebf, ..] => Verdict::Never(LinkLocal),
        [0xff00..=0xffff, ..] => Verdict::Never(Multicast),
        [0xfc00..=0xfdff, ..] => Verdict::IfListed(UniqueLocal),
        // Protocol assignments with Teredo and ORCHID, documentation, 6to4, documentation again.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] => Verdict::IfListed(Reserved),
        [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => Verdict::IfListed(Reserved),
        [0x2000..=0x3fff, ..] => Verdict::Public,
        _ => Verdict::IfListed(Reserved),
    }
}

/// Forms that a host or its network turns into plain IPv4: mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96) and
/// the well-known NAT64 prefix (64:ff9b::/96).
pub(crate) fn translated(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let inner = match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [high, low],
        _ => return None,
    };
    Some(from_segments(inner[0], inner[1]))
}

/// IPv4 addresses that an IPv6 address may lead to by way of a tunnel or a local translator.
fn tunnelled(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0..=1] => Vec::new(),
        // Compatible addresses (RFC 4291, deprecated).
        [0, 0, 0, 0, 0, 0, high, low] => vec![from_segments(high, low)],
        [0x2002, high, low, ..] => vec![from_segments(high, low)],
        // Teredo: server, and client with all bits turned.
        [0x2001, 0, server_high, server_low, .., high, low] => {
            vec![from_segments(server_high, server_low), from_segments(!high, !low)]
        }
        [0x64, 0xff9b, 1, ..] => local_translations(ip.octets()),
        // ISATAP: an interface id that spells out an IPv4 address.
        [_, _, _, _, 0x0000 | 0x0200, 0x5efe, high, low] => vec![from_segments(high, low)],
        _ => Vec::new(),
    }
}

/// NAT64 for local use (RFC 8215): the network picks one of the layouts of RFC 6052, so all are judged. A layout
/// that reads 0.x.x.x is not the one in use; if all do, it is that and goes nowhere good.
fn local_translations(o: [u8; 16]) -> Vec<Ipv4Addr> {
    let layouts = [
        [o[12], o[13], o[14], o[15]],
        [o[6], o[7], o[9], o[10]],
        [o[7], o[9], o[10], o[11]],
        [o[9], o[10], o[11], o[12]],
    ];
    let read: Vec<Ipv4Addr> =
        layouts.into_iter().filter(|layout| layout[0] != 0).map(Ipv4Addr::from).collect();
    if read.is_empty() { vec![Ipv4Addr::UNSPECIFIED] } else { read }
}

fn from_segments(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// AWS, GCP, Azure, DigitalOcean, Oracle and most others; ECS tasks; Alibaba; Azure's wire server; Oracle's old one.
fn is_metadata_v4(ip: Ipv4Addr) -> bool {
    matches!(
        ip.octets(),
        [169, 254, 169, 254 | 253]
            | [169, 254, 170, 2 | 23]
            | [100, 100, 100, 200]
            | [168, 63, 129, 16]
            | [192, 0, 0, 192]
    )
}

/// AWS (service, and pod identity on EKS), GCP, Scaleway.
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

const METADATA_NAMES: [&str; 14] = [
    "metadata",
    "metadata.internal",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.google",
    "metadata.azure.internal",
    "metadata.azure.com",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "instance-data",
    "instance-data.ec2.internal",
    "rancher-metadata",
    "api.metadata.cloud.ibm.com",
];

/// Whether a host is one under which clouds serve their metadata, however it is spelt.
pub(crate) fn is_metadata_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    METADATA_NAMES.contains(&host.as_str())
}
