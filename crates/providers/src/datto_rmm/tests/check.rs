//! Test Connection, line by line.

use std::sync::Arc;

use provider::{CheckReport, Connection, LineState, Offer, Provider};

use super::{Book, Ledger, connection, reply};
use crate::{
    datto_rmm::{DattoRmm, KEY_HEADER},
    fake::{Fake, Reply},
};

const DEVICE: &str = "de71ce00-0000-4000-8000-000000000001";

fn good() -> Vec<(String, Reply)> {
    vec![
        ("GET /api/v2/system/status".to_owned(), reply("system-status")),
        ("POST /auth/oauth/token".to_owned(), reply("token")),
        ("GET /api/v2/account".to_owned(), reply("account")),
        ("GET /api/v2/system/request_rate".to_owned(), reply("request-rate")),
        ("GET /api/v2/account/sites?page=0&max=1".to_owned(), reply("sites")),
        ("GET /api/v2/account/devices?page=0&max=25".to_owned(), reply("devices")),
        (format!("GET /api/v2/audit/device/{DEVICE}"), reply("audit-device")),
        (format!("GET /api/v2/audit/device/{DEVICE}/software?page=0&max=1"), reply("software")),
        ("GET /api/v2/account/alerts/open?page=0&max=1".to_owned(), reply("alerts-open")),
        ("GET /api/v2/account/components?page=0&max=1".to_owned(), reply("components")),
        ("GET /api/v2/activity-logs?size=1".to_owned(), reply("activity-logs")),
    ]
}

fn with(changes: &[(&str, Reply)]) -> Fake {
    let mut replies = good();
    replies.retain(|(line, _)| !changes.iter().any(|(changed, _)| changed == line));
    replies.extend(changes.iter().map(|(line, reply)| ((*line).to_owned(), reply.clone())));
    let replies: Vec<(&str, Reply)> =
        replies.iter().map(|(line, reply)| (line.as_str(), reply.clone())).collect();
    Fake::start(&replies)
}

fn new(fake: &Fake) -> Connection {
    Connection { token: None, ..connection(&fake.url) }
}

async fn report(connection: &Connection) -> CheckReport {
    let report = DattoRmm.check(connection, None).await;
    let everything = format!("{report:?}");
    assert!(!everything.contains("CANARY"), "{everything}");
    report
}

fn show(report: &CheckReport) -> String {
    let mut text =
        format!("ok: {}, account: {:?}, version: {:?}\n", report.ok, report.account, report.version);
    for line in &report.lines {
        text.push_str(&format!("{} {:?}: {}", line.id, line.state, line.message));
        if let Some(right) = &line.right {
            text.push_str(&format!(" (right: {right})"));
        }
        if let Some(endpoint) = &line.endpoint {
            text.push_str(&format!("\n  at {endpoint}"));
        }
        if let Some(fix) = &line.fix {
            text.push_str(&format!("\n  → {fix}"));
        }
        text.push('\n');
    }
    if let Some(problem) = &report.problem {
        text.push_str(&format!("problem: {}\n", problem.code));
    }
    text
}

#[track_caller]
fn line<'a>(report: &'a CheckReport, id: &str) -> &'a provider::CheckLine {
    report.lines.iter().find(|line| line.id == id).unwrap()
}

#[tokio::test]
async fn good_connection_has_a_line_for_each_capability() {
    let fake = with(&[]);
    let report = report(&new(&fake)).await;
    assert!(report.latency_ms.is_some() && report.signed_in.is_some());
    assert_eq!(report.signed_in.as_ref().unwrap().account.as_deref(), Some("Northwind IT"));
    insta::assert_snapshot!(show(&report));
    assert_eq!(fake.lines().len(), good().len(), "cheap questions only, each once");
}

#[tokio::test]
async fn host_is_asked_first_and_without_the_key() {
    let fake = with(&[]);
    report(&new(&fake)).await;
    let asked = fake.asked();
    assert_eq!(asked[0].line, "GET /api/v2/system/status");
    assert!(!asked[0].headers.contains_key("authorization"));
    assert_eq!(asked[2].headers["authorization"], "Bearer eyJhbGciOiJub25lIn0.e30.fixture");
    assert!(
        asked.iter().all(|asked| asked.line.starts_with("GET ") || asked.line == "POST /auth/oauth/token")
    );
}

#[tokio::test]
async fn host_that_is_something_else_never_sees_the_key() {
    for (reply, code) in [
        (Reply::html(200), "not_datto"),
        (Reply::html(404), "not_datto"),
        (Reply::json("{\"hello\": 1}"), "not_datto"),
        (Reply::new(401, "application/json", "{}"), "not_datto"),
        (Reply::html(302).header("Location", "https://sso.example.com/"), "redirected"),
        (Reply::html(502), "gateway_error"),
        (super::reply("shut-out"), "blocked"),
    ] {
        let fake = with(&[("GET /api/v2/system/status", reply)]);
        let report = report(&new(&fake)).await;
        assert_eq!(report.problem.as_ref().unwrap().code, code);
        assert!(!report.ok && report.offers.is_empty());
        assert_eq!(fake.lines().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn token_that_has_ended_is_replaced_at_once() {
    let fake =
        with(&[("GET /api/v2/account", reply("token-ended")), ("GET /api/v2/account", reply("account"))]);
    let report = report(&connection(&fake.url)).await;
    assert!(report.ok && report.signed_in.is_some(), "{}", show(&report));
    let fake = with(&[("GET /api/v2/account", reply("token-ended"))]);
    let report = self::report(&connection(&fake.url)).await;
    assert_eq!(report.problem.unwrap().code, "token_lapsed");
    let lines = fake.lines();
    assert_eq!(lines.iter().filter(|line| *line == "GET /api/v2/account").count(), 2, "one retry only");
    let fake = with(&[]);
    let good = self::report(&connection(&fake.url)).await;
    assert!(good.ok && good.signed_in.is_none(), "a token that is good is kept");
}

#[tokio::test]
async fn refused_key_stops_the_test() {
    let fake = with(&[("POST /auth/oauth/token", reply("token-refused"))]);
    let report = report(&new(&fake)).await;
    insta::assert_snapshot!(show(&report));
    assert_eq!(fake.lines().len(), 2);
    assert!(report.offers.is_empty(), "another platform is only offered where this is one");
}

/// The key may belong to another platform: each is offered, none is asked.
#[tokio::test]
async fn other_platforms_are_offered_and_not_asked() {
    use outbound::{AllowRule, ClientOptions, EgressRules, HttpClient, Lookup, LookupFuture};
    struct ToLoopback;
    impl Lookup for ToLoopback {
        fn lookup(&self, _host: &str) -> LookupFuture {
            Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) })
        }
    }
    let fake = with(&[("POST /auth/oauth/token", reply("token-refused"))]);
    let port = fake.url.rsplit(':').next().unwrap().to_owned();
    let rules = EgressRules::new(vec!["127.0.0.1/32".parse::<AllowRule>().unwrap()]);
    let options = ClientOptions { resolver_override: Some(Arc::new(ToLoopback)), ..ClientOptions::default() };
    let mut connection = new(&fake);
    connection.http = HttpClient::new(rules, options).unwrap();
    connection.base_url = format!("http://vidal-api.centrastage.net:{port}/").parse().unwrap();
    let report = report(&connection).await;
    let offered: Vec<&str> = report
        .offers
        .iter()
        .map(|offer| match offer {
            Offer::UseUrl { url } => url.as_str(),
            Offer::AskCode | Offer::AllowPlainHttp => panic!("{offer:?}"),
        })
        .collect();
    assert_eq!(offered.len(), 5, "{offered:?}");
    assert!(offered.contains(&"https://pinotage-api.centrastage.net"));
    let hosts: Vec<String> = fake.asked().iter().map(|asked| asked.headers["host"].clone()).collect();
    assert!(hosts.iter().all(|host| host.starts_with("vidal-api.")), "{hosts:?}");
}

#[tokio::test]
async fn missing_rights_are_named_and_only_the_inventory_ones_fail() {
    let forbidden = || reply("right-missing");
    let audit = format!("GET /api/v2/audit/device/{DEVICE}");
    let software = format!("{audit}/software?page=0&max=1");
    let fake = with(&[
        ("GET /api/v2/account/sites?page=0&max=1", forbidden()),
        (&audit, forbidden()),
        (&software, forbidden()),
        ("GET /api/v2/account/alerts/open?page=0&max=1", forbidden()),
        ("GET /api/v2/account/components?page=0&max=1", forbidden()),
        ("GET /api/v2/activity-logs?size=1", forbidden()),
    ]);
    let report = report(&new(&fake)).await;
    insta::assert_snapshot!(show(&report));
}

#[tokio::test]
async fn optional_lines_do_not_stop_the_inventory() {
    let fake = with(&[
        ("GET /api/v2/system/request_rate", reply("request-rate-older")),
        ("GET /api/v2/activity-logs?size=1", Reply::json("{\"activities\": null, \"error\": \"timeout\"}")),
        ("GET /api/v2/account/components?page=0&max=1", Reply::html(500)),
    ]);
    let ledger = Ledger::of(Book::default());
    let report = report(&Connection { budget: ledger.clone(), ..new(&fake) }).await;
    assert!(report.ok, "{}", show(&report));
    let rate = line(&report, "request_rate");
    assert_eq!(rate.state, LineState::Warning);
    assert!(rate.message.starts_with("571 of 600 requests"), "{}", rate.message);
    assert!(line(&report, "activity_log").message.contains("could not read its activity log"));
    assert_eq!(line(&report, "components").state, LineState::Failed);
    let book = ledger.book();
    assert_eq!(book.observed.len(), 1, "the budget hears of the counters");
    assert_eq!(book.taken as usize, fake.lines().len() - 1, "every request but the token's is counted");
}

#[tokio::test]
async fn account_without_devices_is_told() {
    let none = Reply::json("{\"pageDetails\": {\"totalCount\": 0}, \"devices\": []}");
    let fake = with(&[("GET /api/v2/account/devices?page=0&max=25", none)]);
    let report = report(&new(&fake)).await;
    assert!(line(&report, "devices").message.contains("may see none"));
    assert_eq!(line(&report, "audit").state, LineState::Skipped);
}

#[tokio::test]
async fn wrong_clock_is_told() {
    let status = reply("system-status").header("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let fake = with(&[("GET /api/v2/system/status", status)]);
    let report = report(&new(&fake)).await;
    let host = line(&report, "host");
    assert_eq!(host.state, LineState::Warning);
    assert!(host.message.contains("behind Fleetgate's"), "{}", host.message);
}

#[tokio::test]
async fn key_alone_is_tried_without_a_sign_in() {
    let fake = with(&[("GET /api/v2/system/status", Reply::html(404))]);
    let mut connection = new(&fake);
    connection.auth_mode = KEY_HEADER.to_owned();
    let report = report(&connection).await;
    assert!(report.ok && report.signed_in.is_none(), "{}", show(&report));
    assert_eq!(line(&report, "host").state, LineState::Warning);
    assert!(!fake.lines().iter().any(|line| line.contains("token")));
}
