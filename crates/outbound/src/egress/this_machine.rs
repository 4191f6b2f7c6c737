//! Whether an address belongs to this machine. Asks the kernel, sends nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// Documentation range: no machine has it, so binding to it shows that any address can be bound.
const NOBODYS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Loopback, or an address of one of the interfaces.
pub(crate) fn has_address(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    if !can_bind(ip) {
        return false;
    }
    // With `ip_nonlocal_bind` (usual beside keepalived) every bind succeeds; the route then tells more.
    !can_bind(NOBODYS) || is_own_route(ip)
}

fn can_bind(ip: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// The kernel answers to an own address from that same address. Connecting a datagram socket sends no packet.
fn is_own_route(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { [0u8; 4].into() } else { [0u8; 16].into() };
    let Ok(socket) = UdpSocket::bind(SocketAddr::new(any, 0)) else { return false };
    socket.connect(SocketAddr::new(ip, 9)).is_ok() && socket.local_addr().is_ok_and(|local| local.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours_and_documentation_is_not() {
        assert!(has_address("127.0.0.1".parse().unwrap()));
        assert!(has_address("127.9.9.9".parse().unwrap()));
        assert!(!has_address("192.0.2.77".parse().unwrap()));
    }
}
