//! Webhooks as a receiver gets them, against what real receivers got.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use simulator::tacticalrmm::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Sim;

const SQL_SERVER: &str = "MiHooVFIBeRnkwTCwArmeFsMpRVIfjGIOyrwLbaz";
const SCANNER: &str = "cjcDvadhELqOJFUFdIbTdfIzpiUwJzSPWvfuOQMI";

/// One request as it came in.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Takes one request and answers it as the recorded receiver did.
pub(crate) async fn receive(listener: &TcpListener) -> Received {
    let (mut stream, _) = listener.accept().await.unwrap();
    let text = read_request(&mut stream).await;
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"received\": true}";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Received { method, path, headers: headers.collect(), body: body.to_owned() }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}

fn pair(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tacticalrmm");
    let text = std::fs::read_to_string(Path::new(folder).join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A receiver, and the recorded world with its URL actions pointed there.
async fn world() -> (Sim, TcpListener) {
    let sim = Sim::recorded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hooks/tactical", listener.local_addr().unwrap());
    for action in [1, 2] {
        let path = format!("/core/urlaction/{action}/");
        assert_eq!(sim.call("PUT", &path, json!({"pattern": address})).await.status, 200);
    }
    (sim, listener)
}

/// Compares with a recorded webhook: values that hold a time or an alert's number by their place only.
#[track_caller]
fn check(received: &Received, name: &str) {
    let pair = pair(name);
    let recorded = &pair["request"];
    assert_eq!(received.method, recorded["method"].as_str().unwrap(), "{name}");
    assert_eq!(received.path, recorded["path"].as_str().unwrap(), "{name}");
    let wanted: BTreeMap<String, String> = serde_json::from_value(recorded["headers"].clone()).unwrap();
    let without_changing = |mut headers: BTreeMap<String, String>| {
        headers.remove("Host");
        headers.remove("Content-Length");
        headers
    };
    assert_eq!(without_changing(received.headers.clone()), without_changing(wanted), "{name}");
    let raw = recorded["body_raw"].as_str().unwrap_or("");
    assert_eq!(digits_blanked(&received.body), digits_blanked(raw), "{name}");
}

/// Digits become `0`, runs of them one: times and numbers differ, their form does not.
fn digits_blanked(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }) {
        if letter != '0' || !out.ends_with('0') {
            out.push(letter);
        }
    }
    out
}

fn cpu_failure() -> Failure {
    Failure {
        check: 7,
        severity: "warning".to_owned(),
        message: "FAB-SQL01 has a cpuload check: CPU Load Check -  Warning Threshold: 80% Error Threshold: 95% that failed."
            .to_owned(),
        stdout: None,
        more_info: Some("Average CPU Load: 86%".to_owned()),
        retcode: None,
    }
}

fn script_failure() -> Failure {
    Failure {
        check: 116,
        severity: "error".to_owned(),
        message: "FAB-SQL01 has a script check: Script Check: Disk usage that failed.".to_owned(),
        stdout: Some("backup \"full\" failed\nline two\tC:\\Temp\\x".to_owned()),
        more_info: None,
        retcode: Some(1),
    }
}

#[tokio::test]
async fn failure_and_recovery_of_a_check_are_sent_as_recorded_and_kept_in_the_alert() {
    let (sim, listener) = world().await;
    let control = sim.server.control();
    let (id, received) = tokio::join!(control.fail(SQL_SERVER, cpu_failure()), receive(&listener));
    let id = id.unwrap();
    check(&received, "webhook-alert-cpuload");
    let alert = sim.get(&format!("/alerts/{id}/")).await.json();
    assert_eq!(
        (&alert["action_retcode"], &alert["action_stdout"]),
        (&json!(200), &json!("{\"received\": true}"))
    );
    let (passed, received) = tokio::join!(control.pass(id), receive(&listener));
    assert_eq!(passed, Ok(()));
    check(&received, "webhook-alert-cpuload-resolved");
    assert_eq!(sim.get(&format!("/alerts/{id}/")).await.json()["resolved_action_retcode"], 200);
}

#[tokio::test]
async fn quotes_in_an_output_turn_the_payload_into_one_json_string() {
    let (sim, listener) = world().await;
    let control = sim.server.control();
    let (_, received) = tokio::join!(control.fail(SQL_SERVER, script_failure()), receive(&listener));
    check(&received, "webhook-alert-script-quotes");
}

#[tokio::test]
async fn an_outage_and_its_end_are_sent_as_recorded() {
    let (sim, listener) = world().await;
    let control = sim.server.control();
    // Nothing else may become overdue meanwhile: the other agents of the client are taken away.
    for agent in control.agent_ids(2).iter().filter(|agent| *agent != SCANNER) {
        control.vanish(agent).unwrap();
    }
    control.silence(SCANNER).unwrap();
    control.advance(31 * 60);
    let received = receive(&listener).await;
    check(&received, "webhook-alert-overdue");
    control.wake(SCANNER).unwrap();
    control.advance(60);
    let received = receive(&listener).await;
    check(&received, "webhook-alert-overdue-resolved");
}

#[tokio::test]
async fn the_api_resolves_without_a_webhook_and_the_next_failure_is_a_new_alert_with_one() {
    let (sim, listener) = world().await;
    let control = sim.server.control();
    let (first, _) = tokio::join!(control.fail(SQL_SERVER, script_failure()), receive(&listener));
    let first = first.unwrap();
    assert_eq!(
        control.fail(SQL_SERVER, script_failure()).await,
        Ok(first),
        "another run of an open alert changes nothing"
    );
    assert_eq!(sim.call("PUT", &format!("/alerts/{first}/"), json!({"type": "resolve"})).await.status, 200);
    assert_eq!(control.counts().webhooks_sent, 1);
    let (second, _) = tokio::join!(control.fail(SQL_SERVER, script_failure()), receive(&listener));
    assert_ne!(second.unwrap(), first);
    assert_eq!(control.counts().webhooks_sent, 2);
}

#[tokio::test]
async fn info_alerts_and_agents_without_a_template_send_nothing() {
    let (sim, _listener) = world().await;
    let control = sim.server.control();
    let info = Failure { severity: "info".to_owned(), ..cpu_failure() };
    control.fail(SQL_SERVER, info).await.unwrap();
    let elsewhere = control.agent_ids(1)[0].clone();
    control.fail(&elsewhere, script_failure()).await.unwrap();
    assert_eq!(control.counts().webhooks_sent, 0);
}

#[tokio::test]
async fn the_test_call_sends_what_was_recorded() {
    let cases = [
        ("urlaction-test-agent", "webhook-test-received"),
        ("urlaction-test-none", "webhook-test-none-received"),
        ("urlaction-test-get", "webhook-get-received"),
        ("urlaction-test-no-headers", "webhook-no-content-type-received"),
    ];
    for (asked, sent) in cases {
        let (sim, listener) = world().await;
        let mut body = pair(asked)["request"]["body"].clone();
        let address = listener.local_addr().unwrap().to_string();
        body["pattern"] = body["pattern"].as_str().unwrap().replace("127.0.0.1:9099", &address).into();
        let (got, received) =
            tokio::join!(sim.call("POST", "/core/urlaction/run/test/", body), receive(&listener));
        check(&received, sent);
        let recorded = pair(asked)["response"]["body"].clone();
        assert_eq!(got.json()["result"], recorded["result"], "{asked}");
        let shown = |value: &Value| value.as_str().map(digits_blanked);
        assert_eq!(shown(&got.json()["body"]), shown(&recorded["body"]), "{asked}");
    }
}

#[tokio::test]
async fn a_broken_template_is_sent_as_one_string_and_a_refused_connection_is_still_200() {
    let (sim, listener) = world().await;
    let mut body = pair("urlaction-test-broken-json")["request"]["body"].clone();
    body["pattern"] =
        format!("http://{}/hooks/tactical?h={{{{agent.hostname}}}}", listener.local_addr().unwrap()).into();
    let (got, received) =
        tokio::join!(sim.call("POST", "/core/urlaction/run/test/", body), receive(&listener));
    assert_eq!(got.json()["body"], pair("urlaction-test-broken-json")["response"]["body"]["body"]);
    check(&received, "webhook-broken-json-received");

    let refused = pair("urlaction-test-connection-refused");
    let got = sim.call("POST", "/core/urlaction/run/test/", refused["request"]["body"].clone()).await;
    assert_eq!(got.json()["result"], refused["response"]["body"]["result"]);
}
