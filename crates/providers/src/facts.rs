//! What every RMM's words are cleaned by on the way to canonical records. Pure.

use std::net::{IpAddr, Ipv6Addr};

use domain::{
    Time,
    device::{MAX_TEXT_CHARS, clean_text},
};

/// The last second that has a four-digit year.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// An id as it is written: opaque, so only blanks around it are taken off.
pub(crate) fn identity(text: Option<&str>) -> Option<String> {
    let id = text?.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// [`clean_text`], with a short way for the plain ASCII that nearly all of it is: this runs many times a row.
pub(crate) fn clean(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = text.len() <= MAX_TEXT_CHARS && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match (is_plain, text) {
        (true, "") => None,
        (true, plain) => Some(plain.to_owned()),
        (false, other) => clean_text(other),
    }
}

/// Not one that every machine has, or that only means something on its own wire.
pub(crate) fn identifies_a_machine(ip: IpAddr) -> bool {
    let link_local = matches!(ip, IpAddr::V6(v6) if is_link_local(v6));
    !(link_local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

/// Seconds since 1970 with a fraction.
pub(crate) fn whole_second(epoch_seconds: f64) -> Option<Time> {
    let sane = epoch_seconds > 0.0 && epoch_seconds < LAST_SECOND;
    sane.then(|| Time(epoch_seconds.round() as i64 * 1_000))
}
