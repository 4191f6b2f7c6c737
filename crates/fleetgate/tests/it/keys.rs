//! Rotation of keys beside a running server, and what becomes of backups, of keys that are not in a file of ours, and of a
//! rotation that did not come to its end.

use std::{fs, path::PathBuf, time::Duration};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use simulator::tacticalrmm::Server as Rmm;
use store::{RootKey, secret::RootKeyFile};

use crate::{
    api::Api,
    home::{Home, Server, write_key},
    rmm::{self, NAME},
};

mod a_server_goes_on_through_both_rotations {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        story(Home::sqlite()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        let mut home = Home::postgres().await;
        home.keep_key_in_file();
        story(home).await;
    }
}

async fn story(mut home: Home) {
    let rmm = rmm::start(20, 2, Duration::ZERO).await;
    let rmm::Connected { server, token, api, integration } = rmm::connect(&mut home, &rmm).await;
    let first = fingerprint(&home);
    let before = status(&home);
    assert_eq!(before["root_key"]["fingerprint"], json!(first));
    assert_eq!((data_keys(&before), &before["unfinished"]), (vec![1], &json!([])));
    let secrets = before["data_keys"][0]["secrets"].as_u64().unwrap();
    assert!(secrets >= 1, "{before}");
    home.run(&["backup", "--to", "before.db", "--quiet"], "").ends_with(0);

    let rotated = home.run(&["keys", "rotate", "--json"], "").ends_with(0).json();
    let expected = json!({
        "data_key": 2, "begun": "now", "resealed": secrets, "deleted": [1], "still_used": [], "unreadable": [],
    });
    assert_eq!(rotated, expected);
    check_secrets(&home, &server, &token, &api, &integration, &rmm).await;

    let told = home.run(&["keys", "rotate", "--root"], "").ends_with(0);
    let second = fingerprint(&home);
    assert_ne!(first, second);
    let kept = RootKeyFile::new(&home.key_file()).kept_path(&first);
    for part in [second.clone(), kept.display().to_string()] {
        assert!(told.out.contains(&part), "{}", told.out);
    }
    assert_eq!(RootKey::read(&kept).unwrap().fingerprint(), first);
    check_secrets(&home, &server, &token, &api, &integration, &rmm).await;
    // The server meets a data key that the root key of its start does not open.
    let again = home.run(&["keys", "rotate"], "").ends_with(0);
    assert!(
        again.out.starts_with("Data key 3 is in use; ") && again.out.contains("Gone: data key 2."),
        "{}",
        again.out
    );
    check_secrets(&home, &server, &token, &api, &integration, &rmm).await;
    let doctor = home.well();
    assert!(doctor.out.contains(&second) && doctor.out.contains("data key 3"), "{}", doctor.out);
    let shown = home.run(&["keys", "status"], "").ends_with(0);
    for secret in [key_text(&home), rmm.accounts().api_key.clone()] {
        assert!(![&told.out, &told.err, &shown.out, &server.log()].iter().any(|text| text.contains(&secret)));
    }

    let (code, log) = server.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
    let server = home.start();
    let api = server.api(token.as_str());
    check_secrets(&home, &server, &token, &api, &integration, &rmm).await;
    come_back(&home, &rmm, &integration, &first).await;
}

/// The server opens what is stored, takes a new credential, and opens that.
async fn check_secrets(home: &Home, server: &Server, token: &str, api: &Api, integration: &str, rmm: &Rmm) {
    check_credential(api, integration).await;
    let key = format!("{}\n", rmm.accounts().api_key);
    let edit = ["integration", "edit", NAME, "--secret", "tacticalrmm_api_key=-"];
    home.cli(server, token, &edit, &key).ends_with(0);
    check_credential(api, integration).await;
}

async fn check_credential(api: &Api, integration: &str) {
    let tested = api.post(&format!("/integrations/{integration}/test"), &json!({})).await.is(200);
    assert_eq!(tested["ok"], true, "the credential opens: {tested}");
}

/// A backup of before a new root key: the answer names the key that it needs, and how to come to the key in use.
async fn come_back(old: &Home, rmm: &Rmm, integration: &str, needed: &str) {
    let mut home = Home::sqlite();
    rmm::allow(&mut home, rmm);
    fs::copy(old.key_file(), home.key_file()).unwrap();
    let backup = old.folder().join("before.db").display().to_string();
    let restored = home.run(&["restore", "--from", &backup], "").ends_with(8);
    assert!(restored.out.contains(needed) && restored.out.contains("data.key"), "{}", restored.out);
    let refused = home.run(&["serve", "--listen", "127.0.0.1:0"], "").ends_with(2);
    assert!(refused.err.contains(needed) && refused.err.contains("other_root_key"), "{}", refused.err);

    let kept = RootKeyFile::new(&home.key_file()).kept_path(needed);
    fs::copy(RootKeyFile::new(&old.key_file()).kept_path(needed), &kept).unwrap();
    let advised = home.run(&["doctor"], "").ends_with(1);
    let (file, kept) = (home.key_file().display().to_string(), kept.display().to_string());
    let command = format!("fleetgate keys rotate --root --root-key-file {kept} --new-key-file {file}");
    assert!(advised.out.contains(&command), "{}", advised.out);
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    home.run(&words, "").ends_with(0);
    home.well();
    let token = home.token(crate::home::ADMIN, "user");
    let server = home.start();
    check_credential(&server.api(token.as_str()), integration).await;
}

fn status(home: &Home) -> Value {
    home.run(&["keys", "status", "--json"], "").ends_with(0).json()
}

fn data_keys(status: &Value) -> Vec<u64> {
    status["data_keys"].as_array().unwrap().iter().map(|key| key["version"].as_u64().unwrap()).collect()
}

fn fingerprint(home: &Home) -> String {
    RootKey::read(&home.key_file()).unwrap().fingerprint()
}

fn key_text(home: &Home) -> String {
    RootKey::read(&home.key_file()).unwrap().to_base64().expose_secret().to_owned()
}

fn new_key(home: &Home, name: &str) -> (PathBuf, RootKey) {
    let (path, key) = (home.folder().join(name), RootKey::generate());
    write_key(&path, key.to_base64().expose_secret());
    (path, key)
}

/// As a power cut leaves it: the data keys are wrapped by a key whose file has not got its name yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_did_not_end_is_told_and_finished() {
    let home = Home::sqlite();
    home.add_user(crate::home::ADMIN, "admin");
    let first = fingerprint(&home);
    let (next_path, next) = new_key(&home, "data.key.next");
    let told = |command: &[&str], code: i32, parts: &[&str]| {
        let ran = home.run(command, "").ends_with(code);
        for part in parts {
            assert!(ran.out.contains(part), "`{part}` is missing: {}", ran.out);
        }
    };
    told(&["doctor"], 1, &["waits in", "data.key.next", "fleetgate keys rotate --root"]);
    told(&["keys", "status"], 0, &["To call it off", &first]);

    let store = home.store().await;
    store.rewrap_data_keys(&next).await.unwrap();
    store.close().await;
    let next = next.fingerprint();
    told(&["doctor"], 1, &["has not ended", &next, "fleetgate keys rotate --root"]);
    let server = home.start();
    assert!(server.log().contains("WARN") && server.log().contains("data.key.next"), "{}", server.log());
    told(&["keys", "rotate"], 0, &["Data key 2 is in use"]);
    told(&["keys", "rotate", "--root"], 0, &[&next, &first]);
    assert!(!next_path.exists());
    assert_eq!(status(&home)["unfinished"], json!([]));
    assert_eq!(fingerprint(&home), next);
    told(&["doctor"], 0, &[&next]);
    server.stop(Duration::from_secs(15));
}

/// A server that has the old key in a variable goes on; what it cannot do before its restart, its log says precisely.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_of_a_variable_is_changed_by_hand() {
    let mut home = Home::sqlite();
    let old = RootKey::generate();
    home.set("FLEETGATE_ROOT_KEY", old.to_base64().expose_secret());
    let rmm = rmm::start(20, 2, Duration::ZERO).await;
    let rmm::Connected { server, token, api, integration } = rmm::connect(&mut home, &rmm).await;
    let refused = home.run(&["keys", "rotate", "--root"], "").ends_with(5);
    for part in ["FLEETGATE_ROOT_KEY", "--new-key-file", "openssl rand", &old.fingerprint(), "restart"] {
        assert!(refused.err.contains(part), "`{part}` is missing: {}", refused.err);
    }
    let (path, new) = new_key(&home, "new.key");
    let by_hand = ["keys", "rotate", "--root", "--new-key-file", "new.key"];
    let done = home.run(&by_hand, "").ends_with(0);
    assert!(done.out.contains("now.") && done.out.contains("Put the key of"), "{}", done.out);
    let again = home.run(&by_hand, "").ends_with(0);
    assert!(again.out.contains("already."), "{}", again.out);
    let closed = home.run(&["user", "list"], "").ends_with(2);
    assert!(closed.err.contains(&new.fingerprint()), "{}", closed.err);
    check_secrets(&home, &server, &token, &api, &integration, &rmm).await;
    home.set("FLEETGATE_ROOT_KEY", new.to_base64().expose_secret());
    home.run(&["user", "list"], "").ends_with(0);
    assert!(path.exists());
    assert_eq!(home.run(&by_hand, "").ends_with(0).out.lines().count(), 1, "nothing is left to do");

    home.run(&["keys", "rotate"], "").ends_with(0);
    let test = format!("/integrations/{integration}/test");
    api.post(&test, &json!({})).await.problem(500, "internal");
    assert!(server.log().contains(&new.fingerprint()), "{}", server.log());
    server.stop(Duration::from_secs(15));
    let server = home.start();
    check_credential(&server.api(token.as_str()), &integration).await;
}

#[test]
fn what_is_not_there_is_neither_rotated_nor_made() {
    let home = Home::sqlite();
    for command in [&["keys", "status"][..], &["keys", "rotate"], &["keys", "rotate", "--root"]] {
        home.run(command, "").ends_with(4);
    }
    assert!(!home.data().exists() && !home.key_file().exists());
    home.add_user(crate::home::ADMIN, "admin");
    let first = fingerprint(&home);
    let no_key = home.run(&["keys", "rotate", "--root", "--new-key-file", "nowhere.key"], "").ends_with(2);
    assert!(no_key.err.contains("nowhere.key") && no_key.err.contains("openssl"), "{}", no_key.err);
    home.run(&["keys", "rotate", "--new-key-file", "nowhere.key"], "").ends_with(2);
    assert_eq!(status(&home)["data_keys"][0]["root_key"], json!(first));
    let lost = home.folder().join("lost.key");
    fs::rename(home.key_file(), &lost).unwrap();
    let refused = home.run(&["keys", "rotate"], "").ends_with(4);
    assert!(refused.err.contains("data.key") && !home.key_file().exists(), "{}", refused.err);
}

mod one_rotation_at_a_time {
    use store::{Location, presence};

    use super::*;

    fn check(home: &Home) {
        for command in [&["keys", "rotate"][..], &["keys", "rotate", "--root"]] {
            let refused = home.run(command, "").ends_with(5);
            assert!(refused.err.contains("rotation_at_work"), "{}", refused.err);
        }
        home.run(&["keys", "status"], "").ends_with(0);
        assert_eq!(
            fs::read_dir(home.folder()).unwrap().filter(|entry| is_key(entry.as_ref().unwrap())).count(),
            1
        );
    }

    fn is_key(entry: &fs::DirEntry) -> bool {
        entry.file_name().to_string_lossy().starts_with("data.key")
    }

    #[test]
    fn sqlite() {
        let home = Home::sqlite();
        home.add_user(crate::home::ADMIN, "admin");
        let held = fs::File::create(home.data().join("keys.lock")).unwrap();
        held.lock().unwrap();
        check(&home);
        drop(held);
        home.run(&["keys", "rotate"], "").ends_with(0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        let mut home = Home::postgres().await;
        home.keep_key_in_file();
        home.add_user(crate::home::ADMIN, "admin");
        let app = Location::clone(&home.roles.as_ref().unwrap().app);
        let _held = presence::rotate(&app).await.unwrap().unwrap();
        check(&home);
    }
}

mod postgres {
    use super::*;

    fn of_other<'a>(command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--root-key-file", "other.key"]].concat()
    }

    /// Two machines with one database: each has a key file of its own.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn several_machines_take_a_new_root_key_that_they_were_given_before() {
        let mut home = Home::postgres().await;
        home.keep_key_in_file();
        fs::copy(home.key_file(), home.folder().join("other.key")).unwrap();
        let (next, key) = new_key(&home, "data.key.next");
        fs::copy(next, home.folder().join("other.key.next")).unwrap();
        let server =
            Server::start(home.command(&of_other(&["serve", "--listen", "127.0.0.1:0"])), home.folder());
        home.run(&["keys", "rotate", "--root"], "").ends_with(0);
        home.run(&["keys", "rotate"], "").ends_with(0);
        server.kill();
        home.run(&of_other(&["user", "list"]), "").ends_with(0);
        home.run(&of_other(&["keys", "rotate", "--root"]), "").ends_with(0);
        for other in [of_other(&["keys", "status", "--json"]), vec!["keys", "status", "--json"]] {
            let status = home.run(&other, "").ends_with(0).json();
            assert_eq!(status["root_key"]["fingerprint"], json!(key.fingerprint()));
            assert_eq!(status["unfinished"], json!([]));
        }
        // A machine that was forgotten does not start, and says what it lacks.
        home.run(&["keys", "rotate", "--root"], "").ends_with(0);
        let forgotten = home.run(&of_other(&["user", "list"]), "").ends_with(2);
        assert!(forgotten.err.contains(&fingerprint(&home)), "{}", forgotten.err);
    }
}
