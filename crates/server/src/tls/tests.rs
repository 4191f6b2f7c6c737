use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A folder with certificate and key.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(name: &str, from: i32, to: i32) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        let (certificate, key) = pair(name, from, to);
        folder.write("certificate.pem", &certificate);
        folder.write("key.pem", &key);
        folder
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.0.path().join("certificate.pem"), key: self.0.path().join("key.pem") }
    }

    /// As tools that renew do it: a new file takes the place of the old one.
    fn write(&self, name: &str, text: &str) {
        let (draft, path) = (self.0.path().join("draft"), self.0.path().join(name));
        fs::write(&draft, text).unwrap();
        fs::set_permissions(&draft, Permissions::from_mode(0o600)).unwrap();
        fs::rename(draft, path).unwrap();
    }

    #[track_caller]
    fn check_refused(&self, expected: &str) {
        let error = self.files().check().unwrap_err();
        let text = error.to_string().replace(&format!("{}/", self.0.path().display()), "");
        assert!(text.contains(expected), "{text}");
    }
}

/// A certificate that signed itself, and its key, in PEM form.
fn pair(name: &str, from: i32, to: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn at(text: &str) -> Time {
    text.parse().unwrap()
}

#[test]
fn a_pair_that_fits_is_taken() {
    let folder = Folder::new("fleet.example", 2020, 2120);
    let validity = folder.files().check().unwrap();
    assert_eq!(validity.begins, at("2020-01-01T00:00:00Z"));
    assert_eq!(validity.ends, at("2120-01-01T00:00:00Z"));
    assert!(Tls::load(folder.files()).is_ok());
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_what_to_do() {
    let folder = Folder::new("fleet.example", 2020, 2120);
    let (other_certificate, other_key) = pair("fleet.example", 2020, 2120);
    let own_key = fs::read_to_string(folder.files().key).unwrap();

    folder.write("key.pem", &other_key);
    folder.check_refused("`certificate.pem` is not the certificate of the key `key.pem`");
    folder.write("key.pem", &other_certificate);
    folder.check_refused("`key.pem` holds no private key; it is a PEM file");
    folder.write(
        "key.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.check_refused("needs a passphrase");
    folder.write("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    folder.check_refused("the TLS key `key.pem` cannot be used; RSA of 2048 bits or more");
    fs::remove_file(folder.files().key).unwrap();
    folder.check_refused("cannot read the TLS key `key.pem`; check the path");

    folder.write("key.pem", &own_key);
    folder.write("certificate.pem", &own_key);
    folder.check_refused("`certificate.pem` holds no certificate");
    folder.write("certificate.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.check_refused("the TLS certificate `certificate.pem` cannot be used");
    folder.write("certificate.pem", "");
    folder.check_refused("`certificate.pem` holds no certificate");
}

#[test]
fn a_key_that_everybody_can_read_is_refused_and_one_for_a_group_is_not() {
    let folder = Folder::new("fleet.example", 2020, 2120);
    for mode in [0o644, 0o604, 0o601, 0o666] {
        fs::set_permissions(folder.files().key, Permissions::from_mode(mode)).unwrap();
        folder.check_refused("run `chmod o= ");
    }
    for mode in [0o400, 0o440, 0o600, 0o640] {
        fs::set_permissions(folder.files().key, Permissions::from_mode(mode)).unwrap();
        assert!(folder.files().check().is_ok(), "{mode:o}");
    }
}

#[test]
fn the_end_of_a_certificate_is_foreseen() {
    let validity = Validity { begins: at("2026-01-01T00:00:00Z"), ends: at("2026-04-01T00:00:00Z") };
    for (now, age, told) in [
        ("2025-12-31T23:59:59Z", Age::NotYet, Some("check the clock")),
        ("2026-01-01T00:00:00Z", Age::Good, None),
        ("2026-03-18T00:00:00Z", Age::Good, None),
        ("2026-03-18T00:00:01Z", Age::EndsSoon, Some("ends at 2026-04-01T00:00:00.000Z; renew it")),
        ("2026-03-31T23:59:59Z", Age::EndsSoon, Some("renew it")),
        ("2026-04-01T00:00:00Z", Age::Ended, Some("ended at 2026-04-01T00:00:00.000Z")),
    ] {
        assert_eq!(validity.age(at(now)), age, "{now}");
        let warning = validity.warning(at(now));
        match told {
            Some(part) => assert!(warning.unwrap().contains(part), "{now}"),
            None => assert_eq!(warning, None, "{now}"),
        }
    }
}

#[test]
fn a_renewed_pair_is_used_and_a_broken_one_is_not() {
    let folder = Folder::new("fleet.example", 2020, 2030);
    let tls = Tls::load(folder.files()).unwrap();
    let shown = || tls.0.shown.validity().ends;
    assert!(matches!(tls.look(), Look::Same));

    // Two looks: at the first one the files may still be changing.
    let look = || {
        assert!(matches!(tls.look(), Look::Same), "it waits until they have settled");
        tls.look()
    };
    let (certificate, key) = pair("fleet.example", 2020, 2040);
    folder.write("certificate.pem", &certificate);
    assert!(matches!(tls.look(), Look::Same));
    folder.write("key.pem", &key);
    assert!(matches!(look(), Look::Reloaded), "written one after the other");
    assert!(matches!(tls.look(), Look::Same));
    assert_eq!(shown(), at("2040-01-01T00:00:00Z"));

    folder.write("certificate.pem", &pair("fleet.example", 2020, 2050).0);
    assert!(matches!(look(), Look::Refused(TlsError::Strangers { .. })));
    assert!(matches!(tls.look(), Look::Same), "it is told once");
    folder.write("certificate.pem", &certificate);
    assert!(matches!(look(), Look::Reloaded));

    fs::set_permissions(folder.files().key, Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(look(), Look::Refused(TlsError::Exposed(_))));
    fs::remove_file(folder.files().certificate).unwrap();
    assert!(matches!(look(), Look::Refused(TlsError::Unreadable { .. })));
    assert_eq!(shown(), at("2040-01-01T00:00:00Z"));
}

#[test]
fn debug_output_holds_no_key() {
    let folder = Folder::new("fleet.example", 2020, 2120);
    let tls = Tls::load(folder.files()).unwrap();
    let text = format!("{tls:?}");
    assert!(text.starts_with("Tls(TlsFiles") && text.len() < 400, "{text}");
}
