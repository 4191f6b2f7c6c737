//! From when until when a certificate is valid. rustls checks that for the certificates of others, and tells nobody.

use domain::Time;
use x509_parser::{parse_x509_certificate, time::ASN1Time};

/// When a certificate begins and ends, from its DER form; none for what is no certificate.
pub(super) fn validity(der: &[u8]) -> Option<(Time, Time)> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let at = |time: ASN1Time| time.timestamp().checked_mul(1_000).map(Time);
    Some((at(certificate.validity().not_before)?, at(certificate.validity().not_after)?))
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
}
