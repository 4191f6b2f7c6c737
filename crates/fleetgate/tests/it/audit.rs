//! The audit log as its readers meet it: over REST, with the command line, and checked on the server's machine.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::{Value, json};
use store::testing::tamper;

use crate::home::{ADMIN, Home, PASSWORD};

fn acts(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["act"].as_str().unwrap()).collect()
}

async fn what_is_done_is_told(home: Home) {
    let token = home.admin_token();
    let server = home.start();
    let admin = server.api(token.as_str());
    let client = admin.post("/clients", &json!({ "name": "=Northwind" })).await.is(201);
    let id = client["id"].as_str().unwrap();
    admin.patch(&format!("/clients/{id}"), &json!({ "name": "Contoso" })).await.is(200);
    let wrong = json!({ "email": ADMIN, "password": "not the password" });
    server.api(None).post("/session", &wrong).await.problem(401, "bad_credentials");
    let unknown = json!({ "email": "a-password-in-the-wrong-field", "password": "x" });
    server.api(None).post("/session", &unknown).await.problem(401, "bad_credentials");

    let renamed = admin.get(&format!("/audit?target={id}&act=client.")).await;
    assert_eq!(acts(&renamed), ["client.rename", "client.create"]);
    let item = &renamed["items"][0];
    assert_eq!((&item["actor_kind"], &item["actor_name"]), (&json!("script"), &json!(ADMIN)));
    assert!(item["user_id"].is_string() && item["token_id"].is_string(), "{item}");
    assert_eq!(item["outcome"], "done");
    let refused = admin.get("/audit?outcome=refused").await;
    let rules: Vec<&str> =
        refused["items"].as_array().unwrap().iter().map(|item| item["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["unknown_user", "wrong_password"]);
    let operator = admin.get("/audit?act=token.create").await;
    assert_eq!(operator["items"][0]["actor_kind"], "operator");

    let lines = admin.fetch("/audit.jsonl?act=client.").await;
    assert_eq!(lines.status, 200);
    assert_eq!(lines.text.lines().map(serde_json::from_str::<Value>).filter(Result::is_ok).count(), 2);
    let table = admin.fetch("/audit.csv").await.text;
    assert!(table.starts_with("seq,at,actor_kind,") && table.contains("\"'=Northwind\""), "{table}");
    let everything = admin.fetch("/audit.jsonl").await.text + &table;
    for secret in [PASSWORD, "not the password", "a-password-in-the-wrong-field", token.as_str()] {
        assert!(!everything.contains(secret), "{secret}");
    }
    home.add_user("bob@example.com", "technician");
    let bobs = home.token("bob@example.com", "user");
    server.api(bobs.as_str()).fetch("/audit").await.problem(403, "permission_missing");

    let listed = home.cli(&server, &token, &["audit-log", "list", "--act", "client."], "").ends_with(0);
    assert!(listed.out.contains("client.rename") && listed.out.contains("Contoso"), "{}", listed.out);
    let exported =
        home.cli(&server, &token, &["audit-log", "export", "--outcome", "refused"], "").ends_with(0);
    assert_eq!(exported.out.lines().count(), 2);
}

#[tokio::test]
async fn what_is_done_is_told_sqlite() {
    what_is_done_is_told(Home::sqlite()).await;
}

#[tokio::test]
async fn what_is_done_is_told_postgres() {
    what_is_done_is_told(Home::postgres().await).await;
}

#[tokio::test]
async fn a_check_names_the_first_bad_row_and_needs_checkpoints_for_the_end() {
    let home = Home::sqlite();
    let token = home.admin_token();
    let server = home.start();
    let admin = server.api(token.as_str());
    for n in 0..5 {
        admin.post("/clients", &json!({ "name": format!("Client {n}") })).await.is(201);
    }
    let none = home.run(&["audit", "verify", "--checkpoints", "no-such-file"], "").ends_with(1);
    assert!(none.err.contains("no-such-file"), "{}", none.err);
    let made = home.run(&["audit", "checkpoint"], "").ends_with(0);
    assert!(made.out.contains("signed up to row"), "{}", made.out);
    home.run(&["audit", "checkpoint"], "").ends_with(0);
    let good = home.run(&["audit", "verify"], "").ends_with(0);
    assert!(
        good.out.starts_with("Tenant 1: ") && good.out.contains("A signed checkpoint covers"),
        "{}",
        good.out
    );
    let key = home.run(&["audit", "public-key"], "").ends_with(0).out;
    let mode = fs::metadata(home.folder().join("data.checkpoint.key")).unwrap().permissions().mode();
    assert_eq!((key.trim().len(), mode & 0o777), (64, 0o600));
    let other = home.run(&["audit", "verify", "--public-key", &"0".repeat(64)], "").ends_with(5);
    assert!(other.out.contains("not signed by a key that you trust"), "{}", other.out);
    server.stop(Duration::from_secs(10));

    let store = home.store().await;
    tamper(&store, "DELETE FROM audit_log WHERE seq = (SELECT MAX(seq) FROM audit_log)").await;
    let cut = home.run(&["audit", "verify", "--json"], "").ends_with(5).json();
    assert_eq!((&cut["ok"], &cut["items"][0]["bad"]["fault"]), (&json!(false), &json!("cut")));
    tamper(&store, "UPDATE audit_log SET actor_name = 'eve' WHERE seq = 3").await;
    let changed = home.run(&["audit", "verify"], "").ends_with(5);
    assert!(changed.out.starts_with("Tenant 1: BAD. Row 3 (aud_"), "{}", changed.out);
    assert!(
        changed.out.contains("is not what Fleetgate wrote. 2 rows are right before it."),
        "{}",
        changed.out
    );
}

#[tokio::test]
async fn what_operators_do_to_the_whole_is_told() {
    let home = Home::sqlite();
    let token = home.admin_token();
    home.run(&["backup", "--to", "one.db"], "").ends_with(0);
    let server = home.start();
    let backups = server.api(token.as_str()).get("/audit?act=installation.").await;
    assert_eq!(acts(&backups), ["installation.backup"]);
    assert_eq!(backups["items"][0]["arguments"]["to"], "one.db");
    let restore = ["restore", "--from", "one.db", "--data-dir", "back", "--root-key-file", "data.key"];
    home.run(&restore, "").ends_with(0);
    let verify = ["audit", "verify", "--data-dir", "back", "--root-key-file", "data.key", "--json"];
    let report = home.run(&verify, "").ends_with(0).json();
    assert_eq!((&report["ok"], &report["items"][0]["bad"]), (&json!(true), &Value::Null));
    assert_eq!(
        report["items"][0]["unsealed"], 3,
        "user and token of the admin, and the restore: no server was there"
    );
}
