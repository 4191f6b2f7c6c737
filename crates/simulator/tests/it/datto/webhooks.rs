//! Webhooks (§15): substitution without escaping, the test button, resolved payloads, copies, bursts.

use serde_json::Value;
use simulator::datto_rmm::{Trouble, Webhooks};
use tokio::net::TcpListener;

use crate::datto::Datto;
use crate::webhooks::{Received, receive};

const TEMPLATE: &str = r#"{"alert":"[alert_uid]","device":"[device_uid]","site":"[site_uid]","at":"[timestamp]","text":"[alert_message]"}"#;

async fn sending(change: impl FnOnce(&mut Webhooks)) -> (Datto, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sim = Datto::of(60).await;
    let mut webhooks = Webhooks {
        url: format!("http://{}/hook", listener.local_addr().unwrap()),
        headers: [("x-webhook-secret".to_owned(), Value::from("s3cret"))].into_iter().collect(),
        raised: TEMPLATE.to_owned(),
        resolved: Some(r#"{"alert":"[alert_uid]","event":"resolved"}"#.to_owned()),
        ..Webhooks::default()
    };
    change(&mut webhooks);
    sim.server.control().set_webhooks(webhooks);
    (sim, listener)
}

async fn raise(sim: &Datto, listener: &TcpListener, message: &str) -> (String, Received) {
    let trouble = Trouble { message: message.to_owned(), ..Trouble::default() };
    let (control, uid) = (sim.server.control(), sim.device("device"));
    let (raised, received) = tokio::join!(control.raise(&uid, trouble), receive(listener));
    (raised.unwrap(), received)
}

#[tokio::test]
async fn placeholders_are_replaced_and_unknown_ones_stay() {
    let (sim, listener) = sending(|_| {}).await;
    let (alert, received) = raise(&sim, &listener, "all is lost").await;
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hook"));
    assert_eq!(received.headers.get("x-webhook-secret").map(String::as_str), Some("s3cret"));
    let body: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!((body["alert"].as_str(), body["at"].as_str()), (Some(alert.as_str()), Some("[timestamp]")));
    let stored = sim.json(&format!("/v2/alert/{alert}")).await;
    assert_eq!(body["device"], stored["alertSourceInfo"]["deviceUid"]);
    let told = stored["responseActions"].to_string();
    assert!(told.contains("WEBHOOK_EXECUTED") && !told.contains("WEBHOOK_EXECUTION_ERROR"), "{told}");
}

#[tokio::test]
async fn text_is_not_escaped_and_can_break_the_json() {
    let (sim, listener) = sending(|_| {}).await;
    let (alert, received) = raise(&sim, &listener, "he said \"no\"\nand left").await;
    assert!(serde_json::from_str::<Value>(&received.body).is_err(), "{}", received.body);
    assert!(received.body.contains(&alert), "and still says which alert it is");
}

#[tokio::test]
async fn the_test_button_sends_placeholders_as_they_are() {
    let (sim, listener) = sending(|_| {}).await;
    let control = sim.server.control();
    let (status, received) = tokio::join!(control.test_webhook(), receive(&listener));
    assert_eq!((status, received.body.as_str()), (200, TEMPLATE));
}

#[tokio::test]
async fn a_resolved_alert_is_told_and_copies_are_sent() {
    let (sim, listener) = sending(|webhooks| webhooks.copies = 2).await;
    let (control, uid) = (sim.server.control(), sim.device("device"));
    let both = async { (receive(&listener).await, receive(&listener).await) };
    let (alert, (first, second)) = tokio::join!(control.raise(&uid, Trouble::default()), both);
    let alert = alert.unwrap();
    assert_eq!(first.body, second.body);
    let both = async { (receive(&listener).await, receive(&listener).await) };
    let (resolved, (told, _)) = tokio::join!(control.resolve(&alert), both);
    resolved.unwrap();
    assert_eq!(told.body, format!(r#"{{"alert":"{alert}","event":"resolved"}}"#));
    let stored = sim.json(&format!("/v2/alert/{alert}")).await;
    assert_eq!((&stored["resolved"], &stored["resolvedBy"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(control.counts().webhooks_sent, 4);
}

#[tokio::test]
async fn an_outage_raises_one_alert_per_device_at_once() {
    let (sim, listener) = sending(|_| {}).await;
    let control = sim.server.control();
    let site = control.sites().into_iter().find(|site| site.devices > 5).unwrap();
    let all = async {
        for _ in 0..site.devices {
            receive(&listener).await;
        }
    };
    let (raised, ()) = tokio::join!(control.burst(site.id), all);
    assert_eq!(raised.unwrap(), site.devices);
}

#[tokio::test]
async fn lost_deliveries_leave_the_alert_and_failed_ones_their_trace() {
    let (sim, _listener) = sending(|webhooks| webhooks.is_lossy = true).await;
    let uid = sim.device("device");
    let alert = sim.server.control().raise(&uid, Trouble { kind: 2, ..Trouble::default() }).await.unwrap();
    let open = sim.walk(&format!("/v2/device/{uid}/alerts/open"), "alerts").await;
    assert!(open.iter().any(|open| open["alertUid"] == alert.as_str()));
    let refusing = Webhooks { url: "http://127.0.0.1:1/".to_owned(), ..Webhooks::default() };
    sim.server.control().set_webhooks(refusing);
    let failed = sim.server.control().raise(&uid, Trouble { kind: 2, ..Trouble::default() }).await.unwrap();
    let stored = sim.json(&format!("/v2/alert/{failed}")).await;
    assert!(stored["responseActions"].to_string().contains("WEBHOOK_EXECUTION_ERROR"));
}
