//! The control handle and the control URL.

use serde_json::{Value, json};
use simulator::tacticalrmm::{Config, Counts, Output};

use crate::client::{Got, Sim, quick, send};

async fn control(sim: &Sim, method: &str, path: &str, body: Value) -> Got {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    send(sim.http.request(method, format!("{}{path}", sim.server.control_url())).json(&body)).await.unwrap()
}

async fn agent(sim: &Sim, id: &str) -> Option<Value> {
    let rows = sim.get("/agents/").await.json();
    rows.as_array().unwrap().iter().find(|row| row["agent_id"] == id).cloned()
}

/// An online Windows workstation of the first client.
async fn some_agent(sim: &Sim) -> String {
    let rows = sim.get("/agents/?client=1").await.json();
    let is_wanted = |row: &&Value| row["status"] == "online" && row["plat"] == "windows";
    rows.as_array().unwrap().iter().find(is_wanted).unwrap()["agent_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_silenced_agent_goes_offline_then_overdue_and_returns() {
    let sim = Sim::of(60).await;
    let id = some_agent(&sim).await;
    let control = sim.server.control();
    control.silence(&id).unwrap();
    for (seconds, status) in [(0, "online"), (250, "offline"), (30 * 60, "overdue")] {
        control.advance(seconds);
        assert_eq!(agent(&sim, &id).await.unwrap()["status"], status);
    }
    control.wake(&id).unwrap();
    assert_eq!(agent(&sim, &id).await.unwrap()["status"], "online");
}

#[tokio::test]
async fn time_moves_last_seen_of_agents_that_report_and_of_no_other() {
    let sim = Sim::of(60).await;
    let before = sim.get("/agents/").await.json();
    sim.server.control().advance(60);
    let after = sim.get("/agents/").await.json();
    for (before, after) in before.as_array().unwrap().iter().zip(after.as_array().unwrap()) {
        let moved = before["last_seen"] != after["last_seen"];
        assert_eq!(moved, before["status"] == "online", "{}", before["hostname"]);
    }
}

#[tokio::test]
async fn reinstalling_adds_a_row_with_the_same_serial_and_leaves_the_old_one_silent() {
    let sim = Sim::of(60).await;
    let old = some_agent(&sim).await;
    let got = control(&sim, "POST", &format!("agents/{old}/reinstall"), Value::Null).await.json();
    let new = got["agent_id"].as_str().unwrap();
    sim.server.control().advance(300);
    let (old, new) = (agent(&sim, &old).await.unwrap(), agent(&sim, new).await.unwrap());
    assert_eq!((&old["status"], &new["status"]), (&json!("offline"), &json!("online")));
    assert_eq!((&old["serial_number"], &old["hostname"]), (&new["serial_number"], &new["hostname"]));
}

#[tokio::test]
async fn agents_vanish_return_move_and_are_renamed_over_the_control_url() {
    let sim = Sim::of(240).await;
    let id = some_agent(&sim).await;
    let change = async |what: &str, body: Value| {
        control(&sim, "POST", &format!("agents/{id}/{what}"), body).await.status
    };
    assert_eq!(change("vanish", Value::Null).await, 200);
    assert_eq!(agent(&sim, &id).await, None);
    assert_eq!(change("restore", Value::Null).await, 200);
    assert_eq!(change("move", json!({"client": 2})).await, 200);
    assert_eq!(change("rename", json!({"name": "=new\"name"})).await, 200);
    assert_eq!(change("describe", json!({"text": null})).await, 200);
    let row = agent(&sim, &id).await.unwrap();
    let name = sim.server.control().clients()[1].name.clone();
    assert_eq!(
        (&row["client_name"], &row["hostname"], &row["description"]),
        (&json!(name), &json!("=new\"name"), &Value::Null)
    );
    assert_eq!(change("move", json!({"client": 999})).await, 404);
    assert_eq!(change("explode", Value::Null).await, 404);
}

#[tokio::test]
async fn clients_come_go_and_change_their_names() {
    let sim = Sim::of(240).await;
    let id = control(&sim, "POST", "clients", json!({"name": "New & <b>"})).await.json()["id"].clone();
    assert_eq!(
        control(&sim, "POST", &format!("clients/{id}/rename"), json!({"name": "Newer"})).await.status,
        200
    );
    let names = async || sim.get("/clients/").await.text;
    assert!(names().await.contains("\"Newer\""));
    assert_eq!(control(&sim, "DELETE", &format!("clients/{id}"), Value::Null).await.status, 200);
    assert!(!names().await.contains("\"Newer\""));
    assert_eq!(sim.get(&format!("/clients/{id}/")).await.status, 404);
    let list = async || sim.get("/agents/?client=1").await.text;
    assert!(!list().await.contains("\"client_name\":\"Renamed\""));
    sim.server.control().rename_client(1, "Renamed").unwrap();
    assert!(list().await.contains("\"client_name\":\"Renamed\""));
}

#[tokio::test]
async fn a_fraction_changes_description_and_system_of_about_that_many() {
    let sim = Sim::of(2_000).await;
    let before = sim.get("/agents/").await.json();
    let changed =
        control(&sim, "POST", "change", json!({"fraction": 0.05})).await.json()["changed"].as_u64().unwrap();
    assert!((60..=140).contains(&changed), "{changed}");
    let after = sim.get("/agents/").await.json();
    let differing =
        before.as_array().unwrap().iter().zip(after.as_array().unwrap()).filter(|(a, b)| a != b).count();
    assert_eq!(differing as u64, changed);
}

#[tokio::test]
async fn requests_bytes_and_tokens_are_counted_by_route() {
    let sim = Sim::of(60).await;
    let id = some_agent(&sim).await;
    control(&sim, "POST", "counts/reset", Value::Null).await;
    let size = sim.get(&format!("/agents/{id}/")).await.text.len() as u64;
    sim.get("/nothing/here/").await;
    let counts: Counts =
        serde_json::from_value(control(&sim, "GET", "counts", Value::Null).await.json()).unwrap();
    assert_eq!((counts.of("GET /agents/<agent_id>/"), counts.of("GET (none)"), counts.total()), (1, 1, 2));
    assert!(counts.bytes_sent > size && counts.in_flight_max == 1);
}

#[tokio::test]
async fn rights_are_granted_and_taken_while_the_server_runs() {
    let sim = Sim::of(60).await;
    let key = sim.server.accounts().readonly_key.clone();
    let list = async || send(sim.request("GET", "/agents/").header("X-API-KEY", &key)).await.unwrap().status;
    assert_eq!(list().await, 200);
    let body = json!({"who": key, "right": "can_list_agents", "granted": false});
    assert_eq!(control(&sim, "POST", "permission", body).await.status, 200);
    assert_eq!(list().await, 403);
    assert_eq!(
        sim.server.control().set_permission("nobody", "x", true).unwrap_err().to_string(),
        "no such user"
    );
}

#[tokio::test]
async fn the_scoped_key_sees_its_client_and_no_other() {
    let sim = Sim::of(240).await;
    let key = sim.server.accounts().scoped_key.clone();
    let get = async |path: &str| send(sim.request("GET", path).header("X-API-KEY", &key)).await.unwrap();
    let of_client = |client| sim.server.control().agent_ids(client);
    assert_eq!(get("/agents/").await.json().as_array().unwrap().len(), of_client(1).len());
    assert_eq!(get("/agents/?client=2").await.text, "[]");
    assert_eq!(get("/clients/").await.json().as_array().unwrap().len(), 1);
    assert_eq!(get("/clients/2/").await.status, 403);
    assert_eq!(get(&format!("/agents/{}/", of_client(2)[0])).await.status, 403);
    assert_eq!(get(&format!("/software/{}/", of_client(2)[0])).await.status, 403);
}

#[tokio::test]
async fn what_agents_print_can_be_set() {
    let sim = Sim::of(60).await;
    let id = some_agent(&sim).await;
    let output = Output {
        contains: "Get-Secret".to_owned(),
        stdout: "<b>out</b>".to_owned(),
        stderr: "err".to_owned(),
        retcode: 7,
    };
    sim.server.control().set_output(output);
    let body = json!({"shell": "powershell", "cmd": "Get-Secret", "timeout": 5, "custom_shell": null, "run_as_user": false});
    assert_eq!(sim.call("POST", &format!("/agents/{id}/cmd/"), body).await.json(), "<b>out</b>err");
    let body = json!({"shell": "powershell", "code": "Get-Secret", "args": [], "env_vars": [], "timeout": 5, "run_as_user": false});
    assert_eq!(sim.call("POST", &format!("/scripts/{id}/test/"), body).await.json()["retcode"], 7);
}

#[tokio::test]
async fn only_its_own_names_are_served() {
    let sim = Sim::start(Config { hosts: vec!["rmm.example.test".to_owned()], ..quick() }).await;
    for (host, status) in
        [("rmm.example.test", 200), ("localhost:80", 200), ("127.0.0.1", 200), ("evil.test", 400)]
    {
        assert_eq!(
            send(sim.request("GET", "/").header("Host", host)).await.unwrap().status,
            status,
            "{host}"
        );
    }
}
