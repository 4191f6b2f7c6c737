//! Faults, one by one, as a client sees them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::faults::{Fault, FaultKind};

use crate::client::{Got, Sim, send};

async fn struck(kind: FaultKind) -> (Sim, Result<Got, reqwest::Error>) {
    let sim = Sim::of(60).await;
    sim.server.control().set_fault(Fault::new("/agents/", kind));
    let key = &sim.server.accounts().api_key;
    let got = send(sim.request("GET", "/agents/?client=1").header("X-API-KEY", key)).await;
    (sim, got)
}

async fn answered(kind: FaultKind) -> Got {
    struck(kind).await.1.unwrap()
}

#[tokio::test]
async fn answers_can_be_replaced() {
    let got = answered(FaultKind::Status { status: 500 }).await;
    assert_eq!((got.status, got.header("content-type")), (500, Some("text/html; charset=utf-8")));
    let got = answered(FaultKind::Dashboard).await;
    assert!(got.status == 200 && got.text.contains("<title>Tactical RMM</title>"));
    let got = answered(FaultKind::Redirect { to: "http://127.0.0.1:1/".to_owned() }).await;
    assert_eq!((got.status, got.header("location")), (301, Some("http://127.0.0.1:1/")));
    let got = answered(FaultKind::Throttled { retry_after_s: 7 }).await;
    assert_eq!((got.status, got.header("retry-after")), (429, Some("7")));
    assert_eq!(answered(FaultKind::EmptyList).await.text, "[]");
    assert_eq!(answered(FaultKind::WrongHost).await.status, 400);
    assert_eq!(answered(FaultKind::BadCredentials).await.text, "\"Bad credentials\"");
    let canned =
        FaultKind::Canned { status: 418, content_type: "text/plain".to_owned(), body: "tea".to_owned() };
    assert_eq!(answered(canned).await.text, "tea");
}

#[tokio::test]
async fn answers_can_be_spoiled() {
    let rows = answered(FaultKind::WrongTypes).await.json();
    assert!(rows.as_array().unwrap().iter().all(|row| row["hostname"].is_number()));
    let rows = answered(FaultKind::BadRow).await.json();
    let bad = rows.as_array().unwrap().iter().filter(|row| row["hostname"].is_number()).count();
    assert_eq!(bad, 1);
    let got = answered(FaultKind::ContentType { value: "text/html".to_owned() }).await;
    assert_eq!((got.header("content-type"), got.json().is_array()), (Some("text/html"), true));
    let got = answered(FaultKind::TruncatedJson).await;
    assert!(serde_json::from_str::<Value>(&got.text).is_err());
}

#[tokio::test]
async fn connections_break_before_and_within_an_answer() {
    for kind in [FaultKind::CloseBeforeAnswer, FaultKind::CloseUnhandled, FaultKind::CutBody] {
        assert!(struck(kind.clone()).await.1.is_err(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_was_handled_or_not() {
    let sim = Sim::of(60).await;
    let control = sim.server.control();
    let note = json!({"agent_id": control.agent_ids(1)[0], "note": "n"});
    for (kind, notes) in [(FaultKind::CloseUnhandled, 0), (FaultKind::CloseBeforeAnswer, 1)] {
        control.set_fault(Fault::new("/agents/notes/", kind).method("POST"));
        let request =
            sim.request("POST", "/agents/notes/").header("X-API-KEY", &sim.server.accounts().api_key);
        assert!(send(request.json(&note)).await.is_err());
        assert_eq!(sim.get("/agents/notes/").await.json().as_array().unwrap().len(), notes);
        control.clear_faults();
    }
}

#[tokio::test]
async fn answers_hang_and_bodies_crawl() {
    for kind in [FaultKind::Hang { millis: 150 }, FaultKind::SlowBody { millis: 3 }] {
        let start = Instant::now();
        let got = answered(kind).await;
        assert!(start.elapsed() > Duration::from_millis(100) && got.json().is_array());
    }
}

#[tokio::test]
async fn a_body_can_be_too_large() {
    let got = answered(FaultKind::Endless { bytes: Some(3_000_000) }).await;
    assert!(got.text.len() >= 3_000_000);
}

#[tokio::test]
async fn faults_wait_their_turn_strike_so_often_and_match_only_their_route() {
    let sim = Sim::of(240).await;
    let fault = Fault::new("/agents/?client=2", FaultKind::Status { status: 502 }).after(1).times(2);
    sim.server.control().set_fault(fault);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(sim.get("/agents/?client=2").await.status);
        assert_eq!(sim.get("/agents/?client=1").await.status, 200);
    }
    assert_eq!(statuses, [200, 502, 502, 200]);
}

#[tokio::test]
async fn faults_are_set_and_removed_over_the_control_url() {
    let sim = Sim::of(60).await;
    let faults = json!([
        {"route": "/agents/<agent_id>/*", "kind": "hang", "millis": 1},
        {"route": "*", "kind": "dashboard", "times": 1},
    ]);
    let url = format!("{}faults", sim.server.control_url());
    assert_eq!(send(sim.http.post(&url).json(&faults)).await.unwrap().status, 200);
    assert!(sim.get("/clients/").await.text.starts_with("<!DOCTYPE"));
    assert_eq!(sim.get("/clients/").await.status, 200);
    assert_eq!(sim.server.control().faults().len(), 2);
    assert_eq!(send(sim.http.delete(&url)).await.unwrap().status, 200);
    assert!(sim.server.control().faults().is_empty());
}
