//! Every way to write an IPv4 address, times addresses of every refused kind. A listener on all addresses of this machine
//! counts who comes: nobody does.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use outbound::{DenyReason, HttpClient, HttpErrorKind, Request, Sent, Url};
use tokio::time::timeout;

use super::support::{error_of, options, rules};

/// With the reason that is told if nothing is listed.
const ADDRESSES: [(Ipv4Addr, DenyReason); 14] = [
    (Ipv4Addr::new(127, 0, 0, 1), DenyReason::Loopback),
    (Ipv4Addr::new(127, 1, 2, 3), DenyReason::Loopback),
    (Ipv4Addr::new(10, 0, 0, 1), DenyReason::Private),
    (Ipv4Addr::new(172, 16, 0, 1), DenyReason::Private),
    (Ipv4Addr::new(192, 168, 1, 1), DenyReason::Private),
    (Ipv4Addr::new(100, 64, 0, 1), DenyReason::CarrierGrade),
    (Ipv4Addr::new(198, 18, 0, 1), DenyReason::Reserved),
    (Ipv4Addr::new(0, 0, 0, 0), DenyReason::Unspecified),
    (Ipv4Addr::new(0, 1, 2, 3), DenyReason::Unspecified),
    (Ipv4Addr::new(169, 254, 1, 1), DenyReason::LinkLocal),
    (Ipv4Addr::new(169, 254, 169, 254), DenyReason::Metadata),
    (Ipv4Addr::new(100, 100, 100, 200), DenyReason::Metadata),
    (Ipv4Addr::new(224, 0, 0, 1), DenyReason::Multicast),
    (Ipv4Addr::new(255, 255, 255, 255), DenyReason::Multicast),
];

/// How an address can be written, and whether that form means it in whatever network: tunnels and local translations may
/// lead elsewhere, so for those the reason is not always that of the address inside.
fn forms(ip: Ipv4Addr) -> Vec<(String, bool)> {
    let [a, b, c, d] = ip.octets();
    let number = u32::from(ip);
    let (high, low) = (number >> 16, number & 0xffff);
    let (last_three, last_two) = (number & 0xff_ffff, number & 0xffff);
    let (not_high, not_low) = (!high & 0xffff, !low & 0xffff);
    let wide: String = ip.to_string().chars().map(full_width).collect();
    let meant = [
        format!("{ip}"),
        format!("{ip}."),
        wide,
        format!("{number}"),
        format!("{number:#x}"),
        format!("{number:#X}").replace("0X", "0x"),
        format!("0{number:o}"),
        format!("00000{number:o}"),
        format!("{a}.{last_three}"),
        format!("{a}.{b}.{last_two}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:#x}.0{b:o}.{c}.{d:#04x}"),
        format!("0{a:o}.{last_three:#x}"),
        format!("someone@{ip}"),
        format!("[::ffff:{ip}]"),
        format!("[::ffff:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:FFFF:{high:04X}:{low:04X}]"),
        format!("[::ffff:0:{high:x}:{low:x}]"),
        format!("[64:ff9b::{ip}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[0064:ff9b:0:0:0:0:{high:x}:{low:x}]"),
    ];
    let tunnelled = [
        format!("[::{ip}]"),
        format!("[64:ff9b:1::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::]"),
        format!("[2002:{high:04x}:{low:04x}:0:1:2:3:4]"),
        format!("[2001:0:{high:x}:{low:x}::1]"),
        format!("[2001:0:808:808:0:0:{not_high:x}:{not_low:x}]"),
        format!("[2600::5efe:{high:x}:{low:x}]"),
    ];
    meant
        .into_iter()
        .map(|form| (form, true))
        .chain(tunnelled.into_iter().map(|form| (form, false)))
        .collect()
}

fn full_width(c: char) -> char {
    match c {
        '0'..='9' => char::from_u32(u32::from(c) - u32::from('0') + u32::from('０')).unwrap(),
        _ => '。',
    }
}

/// A listener on every address of this machine. Connections wait in it until they are counted.
struct Counter(TcpListener);

impl Counter {
    fn new() -> Counter {
        let all: [SocketAddr; 2] = [([0_u16; 8], 0).into(), ([0_u8; 4], 0).into()];
        let listener = TcpListener::bind(&all[..]).unwrap();
        listener.set_nonblocking(true).unwrap();
        Counter(listener)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn count(&self) -> usize {
        let mut count = 0;
        loop {
            match self.0.accept() {
                Ok(_) => count += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The reason of the refusal; none for a URL that cannot be read at all.
async fn refusal(client: &HttpClient, text: &str) -> Option<DenyReason> {
    let url = Url::parse(text).ok()?;
    let error = error_of(client, Request::get(url)).await;
    assert_eq!(error.sent, Sent::No, "{text}");
    match error.kind {
        HttpErrorKind::Denied(denied) => Some(denied.reason),
        HttpErrorKind::InvalidUrl(_) => None,
        other => panic!("{text}: {other:?}"),
    }
}

#[tokio::test]
async fn no_form_of_a_refused_address_is_connected_to() {
    let counter = Counter::new();
    let port = counter.address().port();
    let client = HttpClient::new(rules(&[]), options()).unwrap();
    let (mut tried, mut judged) = (0, 0);
    for (ip, reason) in ADDRESSES {
        for (form, is_meant) in forms(ip) {
            for url in [format!("http://{form}:{port}/"), format!("https://{form}:{port}/x?y=z")] {
                tried += 1;
                let Some(found) = refusal(&client, &url).await else { continue };
                judged += 1;
                assert!(found == reason || !is_meant, "{url}: {found:?}");
            }
        }
    }
    println!("{tried} urls, {judged} refused by the rules, the rest are no addresses");
    assert!(tried >= 800 && judged >= 700, "{tried} {judged}");
    assert_eq!(counter.count(), 0);
}

/// Whatever the configuration: what is never allowed, and our own listener.
#[tokio::test]
async fn listing_all_networks_opens_neither_the_final_ones_nor_our_listener() {
    let counter = Counter::new();
    let port = counter.address().port();
    let all = rules(&["0.0.0.0/0", "::/0"]).deny_listener(counter.address());
    let client = HttpClient::new(all, options()).unwrap();
    let (mut tried, mut judged) = (0, 0);
    let kept = ADDRESSES.iter().filter(|(ip, reason)| reason.is_final() || ip.is_loopback());
    for (ip, reason) in kept {
        let expected = if reason.is_final() { *reason } else { DenyReason::OwnListener };
        for (form, is_meant) in forms(*ip) {
            let url = format!("http://{form}:{port}/");
            tried += 1;
            let Some(found) = refusal(&client, &url).await else { continue };
            judged += 1;
            assert!(found.is_final() && (found == expected || !is_meant), "{url}: {found:?}");
        }
    }
    assert!(tried >= 200 && judged >= 200, "{tried} {judged}");
    assert_eq!(counter.count(), 0);
}

/// The two tests above could not fail if the listener were out of reach.
#[tokio::test]
async fn the_listener_counts_what_is_allowed() {
    let counter = Counter::new();
    let port = counter.address().port();
    let client = HttpClient::new(rules(&["127.0.0.0/8"]), options()).unwrap();
    let forms = ["127.0.0.1", "127.1.2.3", "2130706433", "[::ffff:7f00:1]"];
    for form in forms {
        let url = Url::parse(&format!("http://{form}:{port}/")).unwrap();
        // Nobody answers.
        let sent = timeout(Duration::from_millis(200), client.send(Request::get(url))).await;
        assert!(sent.is_err(), "{form}: {sent:?}");
    }
    assert_eq!(counter.count(), forms.len());
}
