//! Every recorded request, sent to the recorded world: status, headers, JSON shape, and errors to the letter.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use simulator::tacticalrmm::{Failure, Messaging};

use crate::client::{Got, Sim, send};
use crate::login;
use crate::shape::Shape;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tacticalrmm");
const SQL_SERVER: &str = "MiHooVFIBeRnkwTCwArmeFsMpRVIfjGIOyrwLbaz";

/// Pairs that are not requests to the API, and who covers them.
fn excluded(name: &str) -> Option<&'static str> {
    if name == "webhook-alert-afterwards" {
        return None;
    }
    if name.starts_with("webhook-") {
        return Some("what a receiver got; `webhooks` sends and compares them");
    }
    if name.starts_with("agentapi-") {
        return Some("the agents' own API, which a simulated fleet does not use");
    }
    None
}

#[derive(Debug)]
struct Pair {
    name: String,
    request: Value,
    response: Value,
}

fn pairs() -> Vec<Pair> {
    let mut files: Vec<_> = fs::read_dir(FIXTURES).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Pair {
    let mut pair: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    Pair { name, request: pair["request"].take(), response: pair["response"].take() }
}

#[tokio::test]
async fn recorded_requests_get_recorded_answers() {
    let pairs = pairs();
    assert!(pairs.len() >= 240, "only {} pairs in {FIXTURES}", pairs.len());
    let shapes = shapes(&pairs);
    let mut differences = Vec::new();
    let mut replayed = 0;
    for pair in pairs.iter().filter(|pair| excluded(&pair.name).is_none()) {
        let sim = Sim::recorded().await;
        let request = arranged(&sim, pair).await;
        let got = send(request).await.unwrap();
        compare(pair, &got, &shapes, &mut differences);
        sim.server.shutdown().await;
        replayed += 1;
    }
    let left_out = pairs.iter().filter_map(|pair| Some((pair.name.as_str(), excluded(&pair.name)?)));
    left_out.for_each(|(name, reason)| println!("left out {name}: {reason}"));
    println!("{replayed} of {} pairs replayed", pairs.len());
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Pairs that ask the same question, so that each shows where a value may be null or a key absent.
fn question(pair: &Pair) -> String {
    let path = pair.request["path"].as_str().unwrap();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts = path.split('/').map(|part| match part {
        number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => "<pk>",
        id if id.len() == 40 => "<agent_id>",
        word => word,
    });
    let detail = if query.contains("detail=false") { "short" } else { "" };
    let top = if pair.request["body"].get("top").is_some() { "top" } else { "" };
    let path: Vec<&str> = parts.collect();
    format!("{} {} {detail}{top} {}", pair.request["method"], path.join("/"), pair.response["status"])
}

fn shapes(pairs: &[Pair]) -> BTreeMap<String, Shape> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.response["body_is_json"] == true) {
        shapes.entry(question(pair)).or_default().add(&pair.response["body"]);
    }
    shapes
}

/// Brings the server into the state of the pair and builds its request.
async fn arranged(sim: &Sim, pair: &Pair) -> reqwest::RequestBuilder {
    let control = sim.server.control();
    let name = pair.name.as_str();
    control.set_beta(name.starts_with("beta-") && !name.starts_with("beta-off-"));
    if name.starts_with("nats-down-") {
        control.set_messaging(Messaging::Down);
    } else if name.starts_with("nats-noresponders-") {
        control.set_messaging(Messaging::NoResponders);
    }
    let mut body = pair.request["body"].clone();
    let mut headers = pair.request["headers"].as_object().cloned().unwrap_or_default();
    match name {
        "auth-login-totp-ok" => body["twofactor"] = login::code(&sim.server, 0).into(),
        "auth-login-totp-drift-4min" => body["twofactor"] = login::code(&sim.server, -240).into(),
        "auth-login-throttled" => {
            for _ in 0..10 {
                let got = send(sim.request("POST", "/v2/login/").json(&body)).await.unwrap();
                assert_eq!(got.status, 400);
            }
        }
        "auth-wrong-host-header" => _ = headers.insert("Host".to_owned(), "wrong.example.com".into()),
        "auth-short-token-works" => set_token(&mut headers, &login::plain_token(sim).await),
        "auth-token-after-logout" => {
            let token = login::token(sim).await;
            let logout = sim.request("POST", "/logout/").header("Authorization", format!("Token {token}"));
            assert_eq!(send(logout).await.unwrap().status, 204);
            set_token(&mut headers, &token);
        }
        "auth-logout" | "auth-token-ok" | "auth-token-lowercase-scheme" | "auth-token-bearer-scheme" => {
            set_token(&mut headers, &login::token(sim).await);
        }
        "alerts-detail-resolved" | "alerts-resolve-again" => {
            sim.call("PUT", "/alerts/1/", json!({"type": "resolve"})).await;
        }
        "resolve-loop-1-resolve" | "resolve-loop-2-after-next-failing-run" | "snooze-then-fail" => {
            for check in 101..106 {
                control.fail(SQL_SERVER, failure(check)).await.unwrap();
            }
        }
        _ if name.starts_with("provision-") => provision(sim, name).await,
        _ => {}
    }
    let mut request =
        sim.request(pair.request["method"].as_str().unwrap(), pair.request["path"].as_str().unwrap());
    for (name, value) in &headers {
        request = request.header(name, value.as_str().unwrap());
    }
    match body {
        Value::Null => request,
        Value::String(raw) => request.body(raw),
        json => request.body(json.to_string()),
    }
}

fn failure(check: u32) -> Failure {
    Failure {
        check,
        severity: "error".to_owned(),
        message: String::new(),
        stdout: None,
        more_info: None,
        retcode: Some(1),
    }
}

fn set_token(headers: &mut serde_json::Map<String, Value>, token: &str) {
    let recorded = headers["Authorization"].as_str().unwrap();
    let scheme = recorded.split(' ').next().unwrap();
    headers.insert("Authorization".to_owned(), format!("{scheme} {token}").into());
}

/// The steps of the webhook set-up that came before.
async fn provision(sim: &Sim, name: &str) {
    let step = name.split('-').nth(1).and_then(|step| step.parse().ok()).unwrap_or(1);
    for done in ["provision-1-urlaction-create", "provision-3-alerttemplate-create"] {
        let pair = read(&Path::new(FIXTURES).join(format!("{done}.json")));
        if done
            .split('-')
            .nth(1)
            .and_then(|number| number.parse().ok())
            .is_some_and(|number: u32| number < step)
        {
            let path = pair.request["path"].as_str().unwrap();
            assert_eq!(sim.call("POST", path, pair.request["body"].clone()).await.status, 200);
        }
    }
}

fn compare(pair: &Pair, got: &Got, shapes: &BTreeMap<String, Shape>, out: &mut Vec<String>) {
    let name = &pair.name;
    let status = pair.response["status"].as_u64().unwrap();
    if status != u64::from(got.status) {
        out.push(format!("{name}: status {} instead of {status}: {}", got.status, got.text));
        return;
    }
    compare_headers(pair, got, out);
    let recorded = &pair.response["body"];
    let is_json = pair.response["body_is_json"] == true;
    if !is_json {
        let text = recorded.as_str().unwrap_or("");
        if text != got.text {
            out.push(format!("{name}: body {:?} instead of {text:?}", got.text));
        }
        return;
    }
    let found: Value = match serde_json::from_str(&got.text) {
        Ok(found) => found,
        Err(e) => {
            out.push(format!("{name}: no JSON ({e}): {:?}", got.text));
            return;
        }
    };
    if status >= 400 || recorded.is_string() {
        let (wanted, found) = if status == 429 {
            (without_digits(recorded), without_digits(&found))
        } else {
            (recorded.clone(), found)
        };
        if wanted != found {
            out.push(format!("{name}: body {found} instead of {wanted}"));
        }
        return;
    }
    let mut own = Vec::new();
    shapes[&question(pair)].differences(&Shape::of(&found), name, &mut own);
    own.dedup();
    out.extend(own);
}

fn without_digits(value: &Value) -> Value {
    value.to_string().chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>().into()
}

fn compare_headers(pair: &Pair, got: &Got, out: &mut Vec<String>) {
    let recorded = pair.response["headers"].as_object().unwrap();
    for name in ["Content-Type", "Allow", "WWW-Authenticate", "Location", "Vary", "Retry-After", "Set-Cookie"]
    {
        let wanted = recorded.get(name).and_then(Value::as_str);
        let found = got.header(name);
        let is_same = match name {
            // Seconds and session ids differ; what matters is that they are there.
            "Retry-After" => wanted.is_some() == found.is_some_and(|value| value.parse::<u32>().is_ok()),
            "Set-Cookie" => wanted.map(cookie_attributes) == found.map(cookie_attributes),
            _ => wanted == found,
        };
        if !is_same {
            out.push(format!("{}: {name} {found:?} instead of {wanted:?}", pair.name));
        }
    }
}

fn cookie_attributes(cookie: &str) -> Vec<&str> {
    cookie.split("; ").map(|part| part.split('=').next().unwrap_or("")).collect()
}
