//! Backups beside a running server, what comes back from them, and who is kept out meanwhile.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    api::Api,
    home::{ADMIN, Home, PASSWORD},
    rmm,
};

mod a_backup_beside_a_server_comes_back {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        story(Home::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        story(Home::postgres().await).await;
    }
}

async fn story(mut home: Home) {
    let rmm = rmm::start(300, 4, Duration::from_millis(5)).await;
    let rmm::Connected { server, api, integration, .. } = rmm::connect(&mut home, &rmm).await;
    let signed_in = api.post("/session", &json!({ "email": ADMIN, "password": PASSWORD })).await;
    signed_in.is(200);

    // While a sync writes.
    let path = format!("/integrations/{integration}/sync");
    let run = api.post(&path, &json!({ "kind": "devices" })).await.is(202);
    let run = run["id"].as_str().unwrap().to_owned();
    api.run_until(&run, |run| run["progress"]["done"].as_u64().unwrap() > 0).await;
    home.run(&["backup", "--to", "amid.db"], "").ends_with(0);
    assert_eq!(api.end_of(&run).await["state"], "succeeded");
    let made = home.run(&["backup", "--to", "after.db", "--json"], "").ends_with(0).json();
    assert_eq!(made["not_included"][0], "root_key");
    let file = home.folder().join("after.db");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = home.run(&["backup", "--to", "after.db"], "").ends_with(5);
    assert!(again.err.contains("file_exists"), "{}", again.err);

    // Operator commands work beside the server, those that need the data for themselves do not.
    home.run(&["user", "list"], "").ends_with(0);
    home.well();
    for alone in [&["migrate"][..], &["restore", "--from", "after.db"], &["db", "copy", "--to", "elsewhere"]]
    {
        let refused = home.run(alone, "").ends_with(5);
        assert!(refused.err.contains("_in_use"), "{alone:?}: {}", refused.err);
    }
    let counts = counts(&api).await;
    assert_eq!(counts["assets"], 300);
    let (code, log) = server.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0), "{log}");
    home.run(&["migrate"], "").ends_with(0);
    let refused = home.run(&["restore", "--from", "after.db"], "").ends_with(5);
    assert!(refused.err.contains("target_not_empty"), "{}", refused.err);

    come_back(&home, &rmm, &integration, &counts).await;
    amid_is_of_one_moment(&home).await;
}

/// Into SQLite elsewhere, with the root key: people sign in, secrets open, the register is what it was.
async fn come_back(old: &Home, rmm: &simulator::tacticalrmm::Server, integration: &str, counts: &Value) {
    let mut home = Home::sqlite();
    rmm::allow(&mut home, rmm);
    let file = old.folder().join("after.db").display().to_string();
    let without_key = home.run(&["restore", "--from", &file], "").ends_with(8);
    assert!(without_key.out.contains("data.key"), "{}", without_key.out);
    assert!(!home.key_file().exists(), "a key that does not fit was not made");
    take_key(old, &mut home);
    home.well();
    let server = home.start();
    let nobody = server.api(None);
    let wrong = nobody.post("/session", &json!({ "email": ADMIN, "password": "not the password" })).await;
    wrong.problem(401, "bad_credentials");
    nobody.post("/session", &json!({ "email": ADMIN, "password": PASSWORD })).await.is(200);
    let token = home.token(ADMIN, "user");
    let api = server.api(token.as_str()).never_showing(&[&rmm.accounts().api_key]);
    assert_eq!(&self::counts(&api).await, counts);
    let tested = api.post(&format!("/integrations/{integration}/test"), &json!({})).await.is(200);
    assert_eq!(tested["ok"], true, "the credential opens: {tested}");
    let synced = api.sync(integration, "devices", false).await;
    assert_eq!(
        (&synced["state"], &synced["counts"]["created"]),
        (&json!("succeeded"), &json!(0)),
        "{synced}"
    );
}

/// The key of the old server, by file or by variable, for the new one.
fn take_key(old: &Home, new: &mut Home) {
    if old.key_file().exists() {
        fs::copy(old.key_file(), new.key_file()).unwrap();
    } else {
        new.set("FLEETGATE_ROOT_KEY", &old.root_key_text());
    }
}

async fn counts(api: &Api) -> Value {
    let clients = api.all("/clients", 200).await;
    let counted: u64 = clients.iter().map(|client| client["asset_count"].as_u64().unwrap()).sum();
    let assets = api.get("/assets.json").await.as_array().unwrap().len();
    json!({ "assets": assets, "counted": counted, "clients": clients.len() })
}

async fn amid_is_of_one_moment(old: &Home) {
    let mut home = Home::sqlite();
    take_key(old, &mut home);
    let file = old.folder().join("amid.db").display().to_string();
    home.run(&["restore", "--from", &file], "").ends_with(0);
    let token = home.token(ADMIN, "user");
    let server = home.start();
    let counts = counts(&server.api(token.as_str())).await;
    assert_eq!(counts["assets"], counts["counted"], "{counts}");
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_changed() {
    let home = Home::sqlite();
    let check = |args: &[&str], code: i32, told: &str| {
        let ran = home.run(args, "").ends_with(code);
        assert!(ran.err.contains(told), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    };
    check(&["backup", "--to", "x.db"], 4, "--data-dir");
    check(&["restore", "--from", "x.db"], 4, "x.db");
    assert!(!home.data().exists(), "a mistyped folder is not made");
    home.add_user(ADMIN, "admin");
    home.run(&["backup", "--to", "x.db", "--quiet"], "").ends_with(0);
    fs::write(home.folder().join("cut.db"), &fs::read(home.folder().join("x.db")).unwrap()[..9_000]).unwrap();
    check(&["restore", "--from", "cut.db", "--data-dir", "new"], 5, "damaged");
    fs::copy(home.data().join("fleetgate.db"), home.folder().join("live.db")).unwrap();
    fs::write(home.folder().join("live.db-wal"), "a log").unwrap();
    check(&["restore", "--from", "live.db"], 5, "no_backup");
    check(&["restore", "--from", "x.db"], 5, "target_not_empty");
    check(&["db", "copy", "--to", "postgres://ann:s3cret@db/fleetgate"], 2, "command line");
    check(&["db", "copy", "--to", "env:NO_SUCH_VARIABLE"], 2, "NO_SUCH_VARIABLE");
    check(&["db", "copy", "--to", "data"], 2, "same database");
    check(&["db", "copy", "--to", "x.db"], 2, "data folder");
    check(&["db", "copy", "--from", "nowhere", "--to", "new2"], 4, "nowhere");
    assert!(is_empty(&home.folder().join("new")), "nothing is left of a backup that is damaged");

    fs::write(home.folder().join("other.key"), "c29tZSBvdGhlciBrZXksIDMyIGJ5dGVzIGluIGFsbCE=\n").unwrap();
    fs::set_permissions(home.folder().join("other.key"), Permissions::from_mode(0o600)).unwrap();
    let args = ["restore", "--from", "x.db", "--data-dir", "third", "--root-key-file", "other.key"];
    let wrong = home.run(&args, "").ends_with(8);
    assert!(wrong.out.contains("another root key") && wrong.out.contains("other.key"), "{}", wrong.out);
}

/// But for the lock.
fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().all(|entry| entry.unwrap().file_name() == "lock")
}

mod postgres {
    use store::{Location, testing};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_database_moves_there_and_back_by_address_file_and_variable() {
        let mut home = Home::sqlite();
        home.add_user(ADMIN, "admin");
        let Location::Server(url) = testing::empty_postgres().await.owner else { panic!("a server") };
        let file = home.folder().join("url");
        fs::write(&file, &url).unwrap();
        let exposed = home.run(&["db", "copy", "--to", "@url"], "");
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o077;
        assert_eq!(exposed.code, if mode == 0 { 0 } else { 2 }, "{}", exposed.err);
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let there = home.run(&["db", "copy", "--to", "@url", "--json"], "").ends_with(0).json();
        assert_eq!(there["root_key"], "fits", "{there}");
        home.set("MOVED", &url);
        let back =
            home.run(&["db", "copy", "--from", "env:MOVED", "--to", "back", "--json"], "").ends_with(0);
        let mut moved = there["tables"].clone();
        moved["audit_log"] = json!(moved["audit_log"].as_u64().unwrap() + 1);
        assert_eq!(back.json()["tables"], moved, "all of it, and the note of the first move");
        assert!(!back.out.contains("postgres://") && !back.err.contains("postgres://"), "{}", back.out);
        let users = home.run(&["user", "list", "--data-dir", "back", "--root-key-file", "data.key"], "");
        assert!(users.ends_with(0).out.contains(ADMIN));
    }

    /// Both look for missing migrations, and neither is in the other's way.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_servers_start_at_the_same_time_and_commands_wait_for_both() {
        let home = Home::postgres().await;
        let (one, other) = std::thread::scope(|scope| {
            let starts = [scope.spawn(|| home.start()), scope.spawn(|| home.start())];
            let [one, other] = starts.map(|start| start.join().unwrap());
            (one, other)
        });
        for server in [one, other] {
            let refused = home.run(&["migrate"], "").ends_with(5);
            assert!(refused.err.contains("database_in_use"), "{}", refused.err);
            assert_eq!(server.stop(Duration::from_secs(15)).0, Some(0));
        }
        home.run(&["migrate"], "").ends_with(0);
    }
}
