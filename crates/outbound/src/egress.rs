//! Which addresses may be reached.
//!
//! Pure values in, a verdict out; the one exception is the question whether an address is this machine's own, asked
//! only about a port we listen on everywhere. The order is: never allowed, our own listeners, listed, public.

mod allow;
mod ranges;
mod this_machine;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use self::allow::{AllowRule, AllowRuleError};
pub(crate) use self::ranges::is_metadata_name;
use self::ranges::{Verdict, judge};

/// The rules for everything that leaves: `outbound.allow` and our own listeners.
#[derive(Clone, Debug, Default)]
pub struct EgressRules {
    allow: Vec<AllowRule>,
    own_listeners: Vec<SocketAddr>,
}

impl EgressRules {
    /// Public addresses and what `allow` lists.
    pub fn new(allow: Vec<AllowRule>) -> Self {
        Self { allow, own_listeners: Vec::new() }
    }

    /// Never connect to this listener of ours; an unspecified address stands for all of this machine's addresses.
    #[must_use]
    pub fn deny_listener(mut self, listener: SocketAddr) -> Self {
        self.own_listeners.push(SocketAddr::new(listener.ip().to_canonical(), listener.port()));
        self
    }

    /// Whether a connection to this address may be opened.
    pub fn check(&self, ip: IpAddr, port: u16) -> Result<(), Denied> {
        let judged = judge(ip);
        let deny = |reason| Err(Denied { addr: judged.addr, port, reason });
        if let Verdict::Never(reason) = judged.verdict {
            return deny(reason);
        }
        if self.is_own_listener(judged.target, port) {
            return deny(DenyReason::OwnListener);
        }
        match judged.verdict {
            Verdict::Public => Ok(()),
            Verdict::IfListed(_) if self.allow.iter().any(|rule| rule.matches(judged.addr, port)) => Ok(()),
            Verdict::IfListed(reason) | Verdict::Never(reason) => deny(reason),
        }
    }

    fn is_own_listener(&self, ip: IpAddr, port: u16) -> bool {
        let same_port = self.own_listeners.iter().filter(|listener| listener.port() == port);
        for listener in same_port {
            let everywhere = listener.ip().is_unspecified();
            if listener.ip() == ip || (everywhere && this_machine::has_address(ip)) {
                return true;
            }
        }
        false
    }
}

/// A refused address and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Denied {
    /// The address as it was judged: IPv4 inside IPv6 is written as IPv4.
    pub addr: IpAddr,
    /// The port that was asked for.
    pub port: u16,
    /// Which rule spoke against it.
    pub reason: DenyReason,
}

impl Denied {
    /// The line that would allow exactly this address and port, or `None` if none can.
    pub fn config_line(&self) -> Option<String> {
        if self.reason.is_final() {
            return None;
        }
        let rule = AllowRule::exactly(self.addr, self.port);
        Some(format!("outbound.allow = [\"{rule}\"]"))
    }

    fn sentence(&self) -> String {
        let target = SocketAddr::new(self.addr, self.port);
        let what = self.reason;
        if self.reason.is_final() {
            format!("`{target}` is {what}, which is never allowed")
        } else {
            format!("`{target}` is {what} and is not listed in `outbound.allow`")
        }
    }
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenyReason {
    /// 169.254/16 and fe80::/10: never.
    LinkLocal,
    /// Address or name of a cloud's metadata service: never.
    Metadata,
    /// 0.0.0.0/8 and `::`: never.
    Unspecified,
    /// Multicast and broadcast: never.
    Multicast,
    /// Fleetgate itself: never.
    OwnListener,
    /// 127/8 and `::1`.
    Loopback,
    /// 10/8, 172.16/12, 192.168/16.
    Private,
    /// 100.64/10.
    CarrierGrade,
    /// fc00::/7.
    UniqueLocal,
    /// Documentation, benchmark, tunnel and unassigned ranges.
    Reserved,
}

impl DenyReason {
    /// Whether no configuration can allow it.
    pub fn is_final(self) -> bool {
        match self {
            Self::LinkLocal | Self::Metadata | Self::Unspecified | Self::Multicast | Self::OwnListener => {
                true
            }
            Self::Loopback | Self::Private | Self::CarrierGrade | Self::UniqueLocal | Self::Reserved => false,
        }
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata service",
            Self::Unspecified => "an unspecified address",
            Self::Multicast => "a multicast or broadcast address",
            Self::OwnListener => "a listener of Fleetgate itself",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::CarrierGrade => "a carrier-grade address",
            Self::UniqueLocal => "a unique local address",
            Self::Reserved => "a reserved address",
        })
    }
}

#[cfg(test)]
mod tests;
