//! What whoever runs the server relies on: health, numbers, `doctor`, and a configuration that is never half right.

use std::{fs, fs::Permissions, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::json;

use crate::{
    home::{Home, PASSWORD},
    raw, rmm,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_numbers_are_told() {
    let mut home = Home::sqlite();
    let rmm = rmm::start(20, 2, Duration::ZERO).await;
    let connected = rmm::connect(&mut home, &rmm).await;
    connected.api.sync(&connected.integration, "devices", false).await;
    home.add_user("bob@example.com", "read_only");
    let bob = home.token("bob@example.com", "user");
    let server = &connected.server;
    let nobody = server.api(None).never_showing(&[&rmm.accounts().api_key, &connected.token, &bob, PASSWORD]);
    assert_eq!(nobody.get("/healthz").await, json!({ "status": "ok" }));
    assert_eq!(nobody.get("/readyz").await, json!({ "status": "ok" }));
    nobody.fetch("/assets/made-up-path-of-a-stranger").await;
    let metrics = nobody.fetch("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let samples = metrics.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let names: Vec<&str> = samples.map(sample_name).collect();
    for name in ["fleetgate_http_requests_total", "fleetgate_sql_statements_total", "fleetgate_event_streams"]
    {
        assert!(names.contains(&name), "{name} is missing: {names:?}");
    }
    for told in ["stranger", "ann@example.com", "127.0.0.1"] {
        assert!(!metrics.text.contains(told), "`{told}` has no place in numbers:\n{}", metrics.text);
    }

    let ask = |headers: &[&str]| raw::send(server.authority(), "GET", "/metrics", headers, "").0;
    let authorization = |token: &str| format!("authorization: Bearer {token}");
    assert_eq!(ask(&["host: localhost"]), 200);
    assert_eq!(ask(&["host: fleet.example.com"]), 401);
    assert_eq!(ask(&["x-forwarded-for: 127.0.0.1"]), 401);
    assert_eq!(ask(&["x-forwarded-for: 127.0.0.1", &authorization(&bob)]), 403);
    assert_eq!(ask(&["x-forwarded-for: 127.0.0.1", &authorization(&connected.token)]), 200);
}

/// The name of `name{label="value"} 1.5`, if the line is one.
#[track_caller]
fn sample_name(line: &str) -> &str {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
    value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, labels) = series.split_once('{').map_or((series, ""), |(name, labels)| (name, labels));
    assert!(labels.is_empty() || labels.ends_with("\"}"), "{line}");
    assert!(
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
        "{line}"
    );
    name
}

#[test]
fn the_doctor_says_what_to_mend() {
    let home = Home::sqlite();
    home.add_user("ann@example.com", "admin");
    let well = home.run(&["doctor"], "").ends_with(0);
    assert!(well.out.contains("SQLite") || well.out.contains("sqlite"), "{}", well.out);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&home.data()), mode(&home.key_file())), (0o700, 0o600));

    fs::set_permissions(home.key_file(), Permissions::from_mode(0o644)).unwrap();
    let readable = home.run(&["doctor"], "");
    assert_ne!(readable.code, 0);
    let told = format!("{}{}", readable.out, readable.err);
    assert!(told.contains("chmod 600"), "{told}");
    let serve = home.run(&["serve", "--listen", "127.0.0.1:0"], "");
    assert_eq!(serve.code, 2, "it does not start with a key that others can read: {}", serve.err);
    fs::set_permissions(home.key_file(), Permissions::from_mode(0o600)).unwrap();

    fs::set_permissions(home.data(), Permissions::from_mode(0o755)).unwrap();
    let open = home.run(&["doctor"], "").ends_with(1);
    assert!(open.out.contains("chmod 700"), "{}", open.out);
    fs::set_permissions(home.data(), Permissions::from_mode(0o700)).unwrap();

    fs::remove_file(home.key_file()).unwrap();
    let lost = home.run(&["doctor"], "").ends_with(1);
    assert!(lost.out.contains("root key"), "{}", lost.out);
}

#[test]
fn what_is_not_known_in_the_configuration_is_an_error() {
    let home = Home::sqlite();
    let file = home.folder().join("fleetgate.toml");
    let check = |text: &str, told: &[&str]| {
        fs::write(&file, text).unwrap();
        let ran = home.run(&["config"], "").ends_with(2);
        for part in told {
            assert!(ran.err.contains(part), "`{part}` is not told: {}", ran.err);
        }
    };
    check("lisen = \"127.0.0.1:1\"", &["`lisen`", "line 1", "`listen`"]);
    check("\n[log]\nlevle = \"info\"", &["`log.levle`", "line 3", "`log.level`"]);
    check("[jobs]\nworkers = 100", &["`jobs.workers`", "1 to 64"]);
    check("[keys]\nroot_key = \"c2VjcmV0\"", &["FLEETGATE_ROOT_KEY"]);
    fs::write(&file, "[jobs]\nworkers = 3\n").unwrap();
    let shown = home.run(&["config"], "").ends_with(0);
    assert!(shown.out.contains("jobs.workers"), "{}", shown.out);
    fs::remove_file(&file).unwrap();

    let mut command = home.command(&["config"]);
    command.env("FLEETGATE_LISTN", "127.0.0.1:1");
    let ran = crate::home::run(command, home.folder(), "").ends_with(2);
    assert!(ran.err.contains("`FLEETGATE_LISTN`") && ran.err.contains("`FLEETGATE_LISTEN`"), "{}", ran.err);
    let flag = home.run(&["serve", "--lisen", "127.0.0.1:1"], "").ends_with(2);
    assert!(flag.err.contains("--lisen") && flag.err.contains("--listen"), "{}", flag.err);

    let mut command = home.command(&["config"]);
    command.env("FLEETGATE_DATABASE_URL", "postgres://fleet:s3cr3t-w0rd@db.example.com/fleetgate");
    command.env("FLEETGATE_ROOT_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let shown = crate::home::run(command, home.folder(), "").ends_with(0);
    assert!(shown.out.contains("db.example.com"), "{}", shown.out);
    for secret in ["s3cr3t-w0rd", "AAAAAAAA"] {
        assert!(!shown.out.contains(secret) && !shown.err.contains(secret), "{}", shown.out);
    }
}
