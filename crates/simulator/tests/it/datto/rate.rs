//! Limits on requests (§4).

use std::time::{Duration, Instant};

use serde_json::json;
use simulator::datto_rmm::{Config, Fault, FaultKind, Rate};

use crate::client::send;
use crate::datto::{Datto, number};

async fn limited(rate: Rate) -> Datto {
    Datto::start(Config { rate, ..Config::sized(30) }).await
}

fn of(reads: u32) -> Rate {
    Rate { reads, slow_millis: 0, ..Rate::default() }
}

/// §4: a window that rolls; above it 429 with `Retry-After`; when the window has moved on, all is well.
#[tokio::test]
async fn reads_over_the_limit_are_refused_until_the_window_has_moved_on() {
    let sim = limited(of(5)).await;
    let control = sim.server.control();
    for _ in 0..5 {
        assert_eq!(sim.get("/v2/account").await.status, 200);
    }
    let refused = sim.get("/v2/account").await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((55..=61).contains(&wait), "{wait}");
    control.advance(wait);
    assert_eq!(sim.get("/v2/account").await.status, 200);
    let record = control.rate_record();
    assert_eq!((record.requests, record.refused, record.max_reads), (7, 1, 6));
}

/// §4: nobody documents that `Retry-After` is always there.
#[tokio::test]
async fn the_wait_may_be_left_unsaid() {
    let sim = limited(Rate { retry_after: false, ..of(1) }).await;
    sim.get("/v2/account").await;
    let refused = sim.get("/v2/account").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, None));
}

/// §4: going on leads to 403 for the address, HTML, token endpoint and all; it ends after its time.
#[tokio::test]
async fn going_on_blocks_the_address() {
    let sim = limited(Rate { block_after: 3, block_s: 300, ..of(2) }).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(sim.get("/v2/account").await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429, 429, 403]);
    let blocked = sim.get("/v2/account").await;
    assert!(
        blocked.header("content-type").unwrap().starts_with("text/html")
            && blocked.text.starts_with("<!DOCTYPE")
    );
    assert_eq!(sim.ask_token(&[]).await.status, 403);
    let control = sim.server.control();
    control.advance(299);
    assert_eq!(sim.get("/v2/account").await.status, 403);
    control.advance(1);
    assert_eq!(sim.get("/v2/account").await.status, 200);
    assert_eq!(control.rate_record().blocked, 3);
}

/// §4: above 90 % each answer is slowed down.
#[tokio::test]
async fn answers_near_the_limit_are_slow() {
    let sim = limited(Rate { slow_millis: 200, ..of(10) }).await;
    for _ in 0..10 {
        assert_eq!(sim.get("/v2/account").await.status, 200);
    }
    assert_eq!(sim.server.control().rate_record().slowed, 0, "nine tenths are free");
    sim.server.control().set_rate(Rate { slow_millis: 200, ..of(11) });
    let start = Instant::now();
    assert_eq!(sim.get("/v2/account").await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(sim.server.control().rate_record().slowed, 1);
}

/// §4: the account is shared: what others do counts, and is told.
#[tokio::test]
async fn others_use_the_same_account() {
    let sim = limited(Rate { others_per_minute: 7, ..of(10) }).await;
    sim.get("/v2/account").await;
    let status = sim.json("/v2/system/request_rate").await;
    assert_eq!(
        (number(&status, "/accountCount"), number(&status, "/accountRateLimit")),
        (9, 10),
        "the question costs one"
    );
    assert_eq!(sim.get("/v2/account").await.status, 200);
    assert_eq!(sim.get("/v2/account").await.status, 429);
    let record = sim.server.control().rate_record();
    assert_eq!((record.max_reads, record.max_reads_with_others), (4, 11));
}

/// §4: reads and writes are apart, with budgets of single operations; older accounts have one for all.
#[tokio::test]
async fn writes_have_budgets_of_their_own_or_count_as_reads() {
    let mut rate = of(100);
    rate.operations.insert("device-udf-set".to_owned(), 2);
    let sim = limited(rate.clone()).await;
    let path = format!("/v2/device/{}/udf", sim.device("device"));
    for expected in [200, 200, 429] {
        assert_eq!(sim.write("POST", &path, &json!({ "udf9": "x" })).await.unwrap().status, expected);
    }
    assert_eq!(
        sim.write("PUT", "/v2/site", &json!({ "name": "New" })).await.unwrap().status,
        200,
        "another operation"
    );
    let status = sim.json("/v2/system/request_rate").await;
    assert_eq!(status["operationWriteStatus"]["device-udf-set"], json!({ "limit": 2, "count": 3 }));
    assert_eq!((number(&status, "/accountWriteCount"), number(&status, "/accountCount")), (4, 1));

    let old = limited(Rate { legacy: true, ..of(100) }).await;
    old.write("PUT", "/v2/site", &json!({ "name": "New" })).await.unwrap();
    let status = old.json("/v2/system/request_rate").await;
    assert_eq!((status.get("accountWriteCount"), status.get("operationWriteStatus")), (None, None));
    assert_eq!(number(&status, "/accountCount"), 2);
}

/// §4: every request that reached the server counts, also one that failed; tokens and the status do not.
#[tokio::test]
async fn failed_requests_count_and_tokens_do_not() {
    let sim = limited(of(100)).await;
    let control = sim.server.control();
    sim.get("/v2/nothing").await;
    sim.get("/v2/account/devices?max=999").await;
    send(sim.request("GET", "/api/v2/account")).await.unwrap();
    control.set_fault(Fault::new("/v2/account", FaultKind::Status { status: 504 }));
    assert_eq!(sim.get("/v2/account").await.status, 504);
    send(sim.request("GET", "/api/v2/system/status")).await.unwrap();
    sim.ask_token(&[]).await;
    let requests = control.requests();
    let routes: Vec<&str> = requests.iter().map(|request| request.route.as_str()).collect();
    assert_eq!(routes, ["(none)", "/v2/account/devices", "/v2/account", "/v2/account"]);
    assert!(requests.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms));
}
