//! From when until when a certificate is valid. rustls checks that for the certificates of others, and tells nobody.
//!
//! Only as much of X.509 (RFC 5280, 4.1) is read as stands before the two times.

use domain::Time;
use jiff::{civil::DateTime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate begins and ends, from its DER form; none for what is no certificate.
pub(super) fn validity(der: &[u8]) -> Option<(Time, Time)> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (signed_part, _) = element(certificate, SEQUENCE)?;
    let after_version = match element(signed_part, VERSION) {
        Some((_, rest)) => rest,
        None => signed_part,
    };
    let (_, _, after_serial) = any(after_version)?;
    let (_, after_algorithm) = element(after_serial, SEQUENCE)?;
    let (_, after_issuer) = element(after_algorithm, SEQUENCE)?;
    let (validity, _) = element(after_issuer, SEQUENCE)?;
    let (begins, rest) = time(validity)?;
    let (ends, _) = time(rest)?;
    Some((begins, ends))
}

/// The content of the element that comes first, if it has this tag, and what follows it.
fn element(input: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any(input)?;
    (tag == expected).then_some((content, rest))
}

/// The tag and content of the element that comes first, and what follows it.
fn any(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The number of bytes that hold the length. More than three are more than a certificate has.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` (1950 to 2049) or `YYYYMMDDHHMMSSZ`.
fn time(input: &[u8]) -> Option<(Time, &[u8])> {
    let (tag, content, rest) = any(input)?;
    let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, digits) = match tag {
        UTC_TIME => {
            let (year, digits) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { year + 2000 } else { year + 1900 }, digits)
        }
        GENERALIZED_TIME => {
            let (year, digits) = digits.split_at_checked(4)?;
            (year.parse().ok()?, digits)
        }
        _ => return None,
    };
    let two = |at: usize| digits.get(at..at + 2)?.parse::<i8>().ok();
    if digits.len() != 10 {
        return None;
    }
    let at = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    Some((TimeZone::UTC.to_timestamp(at).ok()?.into(), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, to: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["fleet.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 2, 3);
        params.not_after = date_time_ymd(to, 11, 12);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (from, to) in [(2001, 2049), (1951, 2050), (2050, 2999)] {
            let (begins, ends) = validity(&certificate(from, to)).unwrap();
            assert_eq!(begins.to_string(), format!("{from}-02-03T00:00:00.000Z"));
            assert_eq!(ends.to_string(), format!("{to}-11-12T00:00:00.000Z"));
        }
    }

    #[test]
    fn what_is_cut_or_no_certificate_has_no_times() {
        let whole = certificate(2001, 2049);
        for length in 0..whole.len() {
            assert_eq!(validity(&whole[..length]), None, "{length}");
        }
        assert_eq!(validity(b"-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(validity(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]), None);
    }

    #[test]
    fn any_changed_byte_is_read_or_refused_without_a_panic() {
        let whole = certificate(2001, 2049);
        for at in 0..whole.len() {
            for value in [0x00, 0x7f, 0x80, 0x83, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _read_or_refused = validity(&changed);
            }
        }
    }
}
