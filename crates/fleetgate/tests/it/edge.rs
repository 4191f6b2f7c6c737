//! The rim to the network: TLS, proxies, headers, and where the root key may come from.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use secrecy::ExposeSecret;
use serde_json::json;
use store::RootKey;

use crate::{
    home::{ADMIN, Home, PASSWORD, Server, run},
    raw, rmm,
};

/// Writes `c.pem` and `k.pem`.
fn write_pair(folder: &Path, ends: i32) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["fleet.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(ends, 1, 1);
    fs::write(folder.join("c.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join("k.pem"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("k.pem"), Permissions::from_mode(0o600)).unwrap();
}

fn encrypted(home: &mut Home, ends: i32) {
    write_pair(home.folder(), ends);
    home.set("FLEETGATE_TLS_CERTIFICATE", &home.folder().join("c.pem").display().to_string());
    home.set("FLEETGATE_TLS_KEY", &home.folder().join("k.pem").display().to_string());
}

fn serve(home: &Home, more: &[&str]) -> Command {
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(more);
    command
}

/// `https://127.0.0.1:PORT` in what the server prints.
fn https_address(out: &str) -> Option<String> {
    let line = out.lines().find(|line| line.starts_with("Fleetgate listens on "))?;
    line.split_whitespace().find(|word| word.starts_with("https://")).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_certificate_everything_is_encrypted() {
    let mut home = Home::sqlite();
    encrypted(&mut home, 2120);
    home.add_user(ADMIN, "admin");
    let server = Server::start_at(serve(&home, &[]), home.folder(), https_address);
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let login = json!({ "email": ADMIN, "password": PASSWORD });
    let answer = http.post(format!("{}/api/v1/session", server.url)).json(&login).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-fleetgate=") && cookie.contains("; Secure"), "{cookie}");

    let authority = server.url.trim_start_matches("https://");
    let well = home.run(&["health", "--listen", authority], "").ends_with(0);
    assert!(well.out.contains("is well"), "{}", well.out);
    let plain = home.run(&["health", "--listen", "127.0.0.1:1"], "").ends_with(1);
    assert!(plain.err.contains("cannot be reached"), "{}", plain.err);
    assert!(server.log().contains("`public_url` is not set"), "{}", server.log());
    let (code, log) = server.stop(Duration::from_secs(20));
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn files_that_cannot_be_used_stop_the_start_and_are_named_by_the_doctor() {
    let mut home = Home::sqlite();
    encrypted(&mut home, 2120);
    home.add_user(ADMIN, "admin");
    home.set("FLEETGATE_PUBLIC_URL", "https://fleet.example");
    let well = home.run(&["doctor"], "").ends_with(0);
    assert!(well.out.contains("fits its key, until 2120-01-01"), "{}", well.out);

    let check = |told: &[&str]| {
        let doctor = home.run(&["doctor"], "").ends_with(1);
        let serve = home.run(&["serve", "--listen", "127.0.0.1:0"], "").ends_with(2);
        let doctor = doctor.out.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in told {
            assert!(doctor.contains(part) && serve.err.contains(part), "{part}: {doctor}\n{}", serve.err);
        }
    };
    fs::set_permissions(home.folder().join("k.pem"), Permissions::from_mode(0o644)).unwrap();
    check(&["can be read by everybody", "chmod o="]);
    fs::write(home.folder().join("k.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    fs::set_permissions(home.folder().join("k.pem"), Permissions::from_mode(0o600)).unwrap();
    check(&["is not the certificate of the key"]);
    fs::remove_file(home.folder().join("c.pem")).unwrap();
    check(&["cannot read the TLS certificate", "No such file"]);

    write_pair(home.folder(), 2021);
    let old = home.run(&["doctor"], "").ends_with(1);
    assert!(old.out.contains("ended at 2021-01-01"), "{}", old.out);

    home.set("FLEETGATE_TLS_KEY", "");
    let half = home.run(&["doctor"], "").ends_with(2);
    assert!(half.err.contains("`server.tls_key` is missing"), "{}", half.err);
}

#[test]
fn plain_http_on_a_network_is_named_by_the_doctor() {
    let home = Home::sqlite();
    home.add_user(ADMIN, "admin");
    let open = home.run(&["doctor", "--listen", "0.0.0.0:8800"], "").ends_with(1);
    let told = open.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("plain http on 0.0.0.0:8800") && told.contains("`server.trusted_proxies`"),
        "{told}"
    );
    let behind = ["doctor", "--listen", "0.0.0.0:8800", "--trusted-proxies", "10.0.0.5"];
    let open = home.run(&behind, "").ends_with(1);
    assert!(open.out.contains("`public_url` is not set"), "{}", open.out);
    let known = [&behind[..], &["--public-url", "https://fleet.example"]].concat();
    home.run(&known, "").ends_with(0);
    home.run(&["doctor"], "").ends_with(0);
}

#[tokio::test]
async fn a_callers_address_is_the_proxys_word_only_if_it_is_listed() {
    let home = Home::sqlite();
    home.add_user(ADMIN, "admin");
    let spoofed = ["x-forwarded-for: 6.6.6.6, 198.51.100.7", "x-forwarded-proto: https"];

    let server = home.start();
    let (status, answer) = raw::send(server.authority(), "GET", "/api/v1/me", &spoofed, "");
    assert_eq!(status, 401);
    assert!(!answer.to_lowercase().contains("strict-transport-security"), "{answer}");
    let log = server.kill();
    assert!(log.contains("client=\"127.0.0.1\"") && !log.contains("198.51.100.7"), "{log}");

    let server = Server::start(serve(&home, &["--trusted-proxies", "127.0.0.0/8"]), home.folder());
    let (_, answer) = raw::send(server.authority(), "GET", "/api/v1/me", &spoofed, "");
    assert!(answer.to_lowercase().contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    let bad = ["x-forwarded-for: 198.51.100.8, somewhere", "x-forwarded-proto: http"];
    let (_, answer) = raw::send(server.authority(), "GET", "/api/v1/me", &bad, "");
    assert!(!answer.to_lowercase().contains("strict-transport-security"), "{answer}");

    // Each of the callers behind the proxy has tries of its own; all others are braked by the address they come from.
    let guess = |client: &str, email: &str| {
        let body = json!({ "email": email, "password": "wrong wrong wrong" }).to_string();
        let forwarded = format!("x-forwarded-for: {client}");
        let headers = ["content-type: application/json", "sec-fetch-site: same-origin", &forwarded];
        raw::send(server.authority(), "POST", "/api/v1/session", &headers, &body).0
    };
    for number in 0..50 {
        assert_eq!(guess("198.51.100.20", &format!("n{number}@example.com")), 401, "{number}");
    }
    assert_eq!(guess("198.51.100.20", "next@example.com"), 429);
    assert_eq!(guess("7.7.7.7, 198.51.100.20", "next@example.com"), 429);
    assert_eq!(guess("198.51.100.21", "next@example.com"), 401);
    let log = server.kill();
    assert!(log.contains("client=\"198.51.100.7\"") && log.contains("client=\"198.51.100.20\""), "{log}");
    assert!(!log.contains("6.6.6.6") && !log.contains("7.7.7.7") && !log.contains("198.51.100.8"), "{log}");
}

#[test]
fn every_kind_of_answer_carries_strict_headers() {
    let home = Home::sqlite();
    let token = home.admin_token();
    let server = home.start();
    let authorization = format!("authorization: Bearer {token}");
    for (method, path, headers, status) in [
        ("GET", "/healthz", vec![], 200),
        ("GET", "/openapi.json", vec![], 200),
        ("GET", "/metrics", vec![], 200),
        ("GET", "/api/v1/clients", vec![authorization.as_str()], 200),
        ("GET", "/api/v1/assets.csv", vec![authorization.as_str()], 200),
        ("GET", "/api/v1/clients", vec![], 401),
        ("POST", "/api/v1/session", vec!["origin: https://evil.example"], 403),
        ("GET", "/nothing", vec![], 404),
        ("GET", "/api/v1/nothing", vec![], 404),
        ("PUT", "/api/v1/clients", vec![], 405),
    ] {
        let (found, answer) = raw::send(server.authority(), method, path, &headers, "");
        assert_eq!(found, status, "{method} {path}");
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        for expected in [
            "content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
            "x-request-id: req_",
        ] {
            assert_eq!(head.matches(expected).count(), 1, "{method} {path}: {expected}\n{head}");
        }
        for unwanted in ["strict-transport-security", "access-control-allow", "\r\nserver:"] {
            assert!(!head.contains(unwanted), "{method} {path}: {unwanted}\n{head}");
        }
    }
}

#[test]
fn a_public_address_with_https_is_promised_and_no_other_origin_may_write() {
    let home = Home::sqlite();
    home.add_user(ADMIN, "admin");
    let server = Server::start(serve(&home, &["--public-url", "https://fleet.example"]), home.folder());
    let authority = server.authority();
    let body = json!({ "email": ADMIN, "password": PASSWORD }).to_string();
    let sign_in = |origin: &str| {
        let origin = format!("origin: {origin}");
        let headers = ["content-type: application/json", origin.as_str()];
        raw::send(authority, "POST", "/api/v1/session", &headers, &body)
    };
    for origin in
        [format!("http://{authority}"), format!("https://{authority}"), "http://fleet.example".to_owned()]
    {
        assert_eq!(sign_in(&origin).0, 403, "{origin}");
    }
    let (status, answer) = sign_in("https://fleet.example");
    assert_eq!(status, 200, "{answer}");
    let head = answer.to_lowercase();
    assert!(head.contains("strict-transport-security: max-age=31536000\r\n"), "{head}");
    assert!(head.contains("set-cookie: __host-fleetgate=") && head.contains("; secure"), "{head}");
}

#[test]
fn the_root_key_may_be_a_credential_of_the_service_manager() {
    let home = Home::sqlite();
    let credentials = home.folder().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let path = credentials.join("root.key");
    fs::write(&path, RootKey::generate().to_base64().expose_secret()).unwrap();
    let read = |mode: u32, folder: &Path| {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let mut command = home.command(&["user", "list"]);
        command.env("FLEETGATE_ROOT_KEY_FILE", &path).env("CREDENTIALS_DIRECTORY", folder);
        run(command, home.folder(), "")
    };
    read(0o440, &credentials).ends_with(0);
    read(0o400, &credentials).ends_with(0);
    let exposed = read(0o444, &credentials).ends_with(2);
    assert!(exposed.err.contains("chmod 600"), "{}", exposed.err);
    read(0o440, Path::new("/elsewhere")).ends_with(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_asks_each_rmm() {
    let mut home = Home::sqlite();
    let rmm = rmm::start(5, 1, Duration::ZERO).await;
    let connected = rmm::connect(&mut home, &rmm).await;
    let well = home.run(&["doctor"], "").ends_with(0);
    assert!(well.out.contains("works; "), "{}", well.out);
    rmm.shutdown().await;
    let ill = home.run(&["doctor", "--json"], "").ends_with(1);
    let findings = ill.json()["findings"].as_array().unwrap().clone();
    let found: Vec<_> = findings.iter().filter(|found| found["what"] == "integration").collect();
    assert_eq!(found.len(), 1, "{findings:?}");
    assert!(
        found[0]["ok"] == false && found[0]["fix"].as_str().is_some_and(|fix| !fix.is_empty()),
        "{found:?}"
    );
    drop(connected);
}

/// A key or a database that it made would hide what is missing: after a restore without the key, say.
#[test]
fn the_doctor_makes_nothing() {
    let home = Home::sqlite();
    let told = || {
        let ran = home.run(&["doctor"], "").ends_with(1);
        ran.out.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    home.add_user(ADMIN, "admin");
    fs::remove_dir_all(home.data()).unwrap();
    fs::create_dir(home.data()).unwrap();
    let without_database = told();
    assert!(without_database.contains("fleetgate.db does not exist"), "{without_database}");
    assert!(fs::read_dir(home.data()).unwrap().next().is_none());
    fs::remove_file(home.key_file()).unwrap();
    let without_key = told();
    assert!(without_key.contains("Put the key file that belongs to the database there"), "{without_key}");
    assert!(!home.key_file().exists());
}
