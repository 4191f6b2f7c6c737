//! `fleetgate demo`, and folders that are not for the command that asks for them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::Value;

use crate::home::{Home, Server};

/// Starts the demo and waits for its file.
fn start_demo(home: &Home, data: &str) -> Server {
    let args = ["demo", "--agents", "60", "--clients", "6", "--listen", "127.0.0.1:0", "--data-dir", data];
    let file = home.folder().join(data).join("demo.json");
    let ready = move |_: &str| Some(read(&file)?["url"].as_str()?.to_owned());
    Server::start_at(home.command(&args), home.folder(), ready)
}

fn read(file: &Path) -> Option<Value> {
    let text = fs::read_to_string(file).ok()?;
    Some(serde_json::from_str(&text).expect("the file is never seen half written"))
}

#[tokio::test]
async fn the_demo_is_ready_to_look_around() {
    let home = Home::sqlite();
    let server = start_demo(&home, "demo-data");
    let file = home.folder().join("demo-data/demo.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let summary = read(&file).unwrap();
    let text = |path: &str| {
        summary.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path}")).to_owned()
    };
    let first: &[&str] = &["url", "api_key", "username", "password", "totp_secret", "control_url"];
    let second: &[&str] = &["url", "api_key", "api_secret", "control_url"];
    for (rmm, keys) in [("tacticalrmm", first), ("datto_rmm", second)] {
        for key in keys {
            assert!(!text(&format!("/simulators/{rmm}/{key}")).is_empty());
        }
    }
    let api = server.api(text("/token").as_str());
    assert_eq!(api.get("/me").await["user"]["email"], text("/email"));
    let assets = api.get("/assets").await["total"].as_u64().unwrap();
    assert!((50..120).contains(&assets), "synced, and something is left to map: {assets}");
    assert_eq!(
        api.get("/organizations?state=unmapped").await["total"],
        4,
        "three of one RMM, one of the other"
    );
    assert_eq!(api.get("/integrations").await["items"].as_array().unwrap().len(), 2);
    let login = serde_json::json!({ "email": text("/email"), "password": text("/password") });
    assert_eq!(server.api(None).post("/session", &login).await.status, 200);
    let log = server.log();
    let secrets =
        ["tacticalrmm/api_key", "tacticalrmm/password", "datto_rmm/api_key", "datto_rmm/api_secret"];
    let secrets = secrets.map(|secret| format!("/simulators/{secret}"));
    for secret in ["/token", "/password"].into_iter().chain(secrets.iter().map(String::as_str)) {
        assert!(!log.contains(&text(secret)), "`{secret}` stands in the log");
    }

    let busy = home.run(&["demo", "--listen", "127.0.0.1:0", "--data-dir", "demo-data"], "").ends_with(5);
    assert!(busy.err.contains("another Fleetgate uses the folder"), "{}", busy.err);
    assert!(file.exists(), "a second demo that is refused takes nothing away from the first");
    let (code, _) = server.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0));
    assert!(!file.exists(), "the file goes with the demo");

    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "demo-data"];
    let refused = home.run(&serve, "").ends_with(5);
    assert!(refused.err.contains("demo"), "{}", refused.err);

    let again = start_demo(&home, "demo-data");
    let token = read(&file).unwrap()["token"].as_str().unwrap().to_owned();
    assert_eq!(again.api(token.as_str()).get("/assets").await["total"], assets, "the same data as before");
}

#[test]
fn the_demo_answers_on_this_machine_only() {
    let home = Home::sqlite();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.7:8800"] {
        let refused = home.run(&["demo", "--listen", listen, "--data-dir", "demo-data"], "").ends_with(2);
        assert!(refused.err.contains("on this machine only"), "{}", refused.err);
    }
    assert!(!home.folder().join("demo-data").exists(), "nothing was begun");
}

#[test]
fn a_folder_belongs_to_one_process_and_one_kind() {
    let home = Home::sqlite();
    let server = home.start();
    let second = home.run(&["serve", "--listen", "127.0.0.1:0"], "").ends_with(5);
    assert!(second.err.contains("another Fleetgate uses the folder"), "{}", second.err);
    let migrate = home.run(&["migrate"], "").ends_with(5);
    assert!(migrate.err.contains("another Fleetgate uses the folder"), "{}", migrate.err);
    server.kill();
    let args = ["demo", "--agents", "5", "--clients", "1", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    let demo = home.run(&args, "").ends_with(5);
    assert!(demo.err.contains("serve"), "{}", demo.err);
    home.run(&["migrate"], "").ends_with(0);
}
