//! Test Connection, line by line.

use std::sync::Arc;

use outbound::{AllowRule, ClientOptions, EgressRules, HttpClient, Lookup, LookupFuture};
use provider::{CheckReport, Connection, LineState, Offer, Provider};

use super::{
    connection,
    fake::{Fake, Reply},
    with_secret,
};
use crate::tacticalrmm::{ACTION_API_KEY, KNOX, PASSWORD, TacticalRmm, USERNAME};

const PROBE: &str = "fleetgatePermissionProbeNoSuchAgentExists";
const AGENT: &str = "WkXuEfySaTplCbfSwAAxzoFOPHwbZWYGZbGLzjeR";

fn not_found() -> Reply {
    Reply::recorded("cmd-unknown-agent")
}

fn forbidden() -> Reply {
    Reply::recorded("auth-apikey-no-permission")
}

/// Everything switched on and allowed for reading; no right to act.
fn good() -> Vec<(String, Reply)> {
    let agents =
        serde_json::json!([{"agent_id": AGENT, "hostname": "fab-print", "client_name": "Fabrikam & Sons"}]);
    let detail = serde_json::json!({"agent_id": AGENT, "offline_time": 4, "overdue_time": 30});
    let lines = [
        ("GET /".to_owned(), Reply::recorded("auth-home-unauthenticated")),
        ("GET /core/version/".to_owned(), Reply::recorded("core-version")),
        ("GET /clients/".to_owned(), Reply::recorded("clients-list")),
        ("GET /agents/?client=2".to_owned(), Reply::json(agents.to_string())),
        (format!("GET /agents/{AGENT}/"), Reply::json(detail.to_string())),
        ("GET /core/customfields/".to_owned(), Reply::recorded("customfields-list")),
        (format!("GET /software/{AGENT}/"), Reply::recorded("software-agent")),
        ("PATCH /alerts/".to_owned(), Reply::recorded("alerts-top")),
        ("GET /scripts/?showCommunityScripts=false".to_owned(), Reply::recorded("scripts-list-own-only")),
        (format!("POST /agents/{PROBE}/cmd/"), forbidden()),
        (format!("POST /agents/{PROBE}/runscript/"), forbidden()),
        (format!("POST /agents/{PROBE}/reboot/"), forbidden()),
        ("GET /core/urlaction/".to_owned(), Reply::recorded("urlaction-list")),
        ("GET /alerts/templates/".to_owned(), Reply::recorded("alerttemplates-list")),
        ("GET /beta/v1/agent/?page=1&page_size=1".to_owned(), Reply::recorded("beta-agent-list-p1")),
    ];
    lines.into()
}

fn with(changes: &[(&str, Reply)]) -> Fake {
    let mut replies = good();
    for (line, reply) in changes {
        replies.retain(|(known, _)| known != line);
        replies.push(((*line).to_owned(), reply.clone()));
    }
    let replies: Vec<(&str, Reply)> =
        replies.iter().map(|(line, reply)| (line.as_str(), reply.clone())).collect();
    Fake::start(&replies)
}

fn show(report: &CheckReport) -> String {
    let mut text =
        format!("ok: {}, account: {:?}, version: {:?}\n", report.ok, report.account, report.version);
    for line in &report.lines {
        text.push_str(&format!("{} [{}] {:?}: {}", line.id, line.credential, line.state, line.message));
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
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    assert!(report.latency_ms.is_some());
    insta::assert_snapshot!(show(&report));
    assert_eq!(fake.lines().len(), 15, "cheap questions only, each once");
}

#[tokio::test]
async fn host_is_asked_without_credentials_and_first() {
    let fake = with(&[]);
    TacticalRmm.check(&connection(&fake.url), None).await;
    let asked = fake.asked();
    assert_eq!(asked[0].line, "GET /");
    assert!(!asked[0].headers.contains_key("x-api-key"));
    assert!(asked[1..].iter().all(|asked| asked.headers.contains_key("x-api-key")));
}

/// Nothing that changes something: reads, and the three actions on an agent that does not exist.
#[tokio::test]
async fn test_changes_nothing() {
    let fake = with(&[]);
    TacticalRmm.check(&connection(&fake.url), None).await;
    for line in fake.lines() {
        let harmless = line.starts_with("GET ") || line == "PATCH /alerts/" || line.contains(PROBE);
        assert!(harmless, "{line}");
    }
}

#[tokio::test]
async fn missing_rights_are_named_and_only_the_inventory_ones_fail() {
    let fake = with(&[
        ("GET /core/customfields/", forbidden()),
        ("PATCH /alerts/", forbidden()),
        ("GET /alerts/templates/", forbidden()),
        ("GET /beta/v1/agent/?page=1&page_size=1", Reply::recorded("beta-off-agent")),
    ]);
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    assert!(report.ok && report.problem.is_none());
    insta::assert_snapshot!(show(&report));
    let fake = with(&[("GET /agents/?client=2", forbidden())]);
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    assert!(!report.ok);
    assert_eq!(line(&report, "agents").right.as_deref(), Some("can_list_agents"));
    assert_eq!(line(&report, "software").state, LineState::Skipped);
    assert_eq!(report.problem.unwrap().code, "right_missing");
}

#[tokio::test]
async fn wrong_key_stops_the_test_after_one_try() {
    let fake = with(&[("GET /core/version/", Reply::recorded("auth-apikey-invalid"))]);
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    assert_eq!(report.problem.as_ref().unwrap().code, "key_wrong");
    assert_eq!(fake.lines(), ["GET /", "GET /core/version/"]);
    insta::assert_snapshot!(show(&report));
}

#[tokio::test]
async fn reading_key_that_can_act_is_warned_about() {
    let probes: Vec<(String, Reply)> = ["cmd", "runscript", "reboot"]
        .iter()
        .map(|action| (format!("POST /agents/{PROBE}/{action}/"), not_found()))
        .collect();
    let changes: Vec<(&str, Reply)> =
        probes.iter().map(|(line, reply)| (line.as_str(), reply.clone())).collect();
    let fake = with(&changes);
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    assert!(report.ok);
    let actions = line(&report, "actions");
    assert_eq!(actions.state, LineState::Warning);
    assert!(
        actions.message.contains("`can_send_cmd`, `can_run_scripts`, `can_reboot_agents`"),
        "{}",
        actions.message
    );
    assert!(actions.fix.as_ref().unwrap().contains("second API key"));
}

#[tokio::test]
async fn key_for_actions_gets_a_line_of_its_own() {
    let fake = with(&[]);
    let connection = with_secret(connection(&fake.url), ACTION_API_KEY, "ACTIONKEY");
    let report = TacticalRmm.check(&connection, None).await;
    let lines: Vec<(&str, LineState)> = report
        .lines
        .iter()
        .filter(|line| line.id == "actions")
        .map(|line| (line.credential.as_str(), line.state))
        .collect();
    assert_eq!(lines, [("read", LineState::Ok), ("action", LineState::Missing)]);
    let with_action_key = fake
        .asked()
        .iter()
        .filter(|asked| asked.headers.get("x-api-key").is_some_and(|key| key == "ACTIONKEY"))
        .count();
    assert_eq!(with_action_key, 5, "three probes and the two lists of the webhook");
}

#[tokio::test]
async fn rights_that_cannot_be_told_are_not_guessed() {
    let fake = with(&[(&format!("POST /agents/{PROBE}/cmd/"), Reply::html(500))]);
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    let actions = line(&report, "actions");
    assert_eq!(actions.state, LineState::Skipped);
    assert!(actions.message.contains("cannot be told without acting"));
}

#[tokio::test]
async fn every_line_that_failed_names_its_route() {
    let fake = with(&[
        ("GET /clients/", Reply::json("[{\"id\": 1")),
        ("GET /agents/?detail=false", Reply::html(500)),
        ("PATCH /alerts/", Reply::json("[]")),
        ("GET /scripts/?showCommunityScripts=false", forbidden()),
        (&format!("POST /agents/{PROBE}/cmd/"), Reply::html(502)),
        ("GET /alerts/templates/", Reply::json("{}")),
    ]);
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    let routes: Vec<(&str, &str)> = report
        .lines
        .iter()
        .filter_map(|line| line.endpoint.as_deref().map(|endpoint| (line.id.as_str(), endpoint)))
        .collect();
    let expected = [
        ("clients", "GET /clients/"),
        ("agents", "GET /agents/"),
        ("alerts", "PATCH /alerts/"),
        ("scripts", "GET /scripts/"),
        ("actions", "POST /agents/<agent_id>/cmd/"),
        ("webhook_setup", "GET /alerts/templates/"),
    ];
    assert_eq!(routes, expected);
    let without = report.lines.iter().filter(|line| line.endpoint.is_none());
    assert!(without.into_iter().all(|line| matches!(line.state, LineState::Ok | LineState::Skipped)));
    assert_eq!(report.problem.unwrap().endpoint.as_deref(), Some("GET /clients/"));
}

#[tokio::test]
async fn page_on_one_route_of_the_api_is_not_its_dashboard() {
    let check = async |route: &str, id: &str, endpoint: &str| {
        let fake = with(&[(route, Reply::html(200))]);
        let report = TacticalRmm.check(&connection(&fake.url), None).await;
        let told = line(&report, id);
        assert!(told.message.contains("The answer is not JSON."), "{}", told.message);
        assert_eq!(told.endpoint.as_deref(), Some(endpoint));
        let code = report.problem.map(|problem| (problem.code, problem.endpoint));
        (report.ok, code)
    };
    let stops = |endpoint: &str| (false, Some(("answer_not_json".to_owned(), Some(endpoint.to_owned()))));
    let (version, clients) = ("GET /core/version/", "GET /clients/");
    assert_eq!(check(version, "account", version).await, stops(version));
    assert_eq!(check(clients, "clients", clients).await, stops(clients));
    assert_eq!(check("PATCH /alerts/", "alerts", "PATCH /alerts/").await, (true, None));
    let probe = format!("POST /agents/{PROBE}/cmd/");
    assert_eq!(check(&probe, "actions", "POST /agents/<agent_id>/cmd/").await, (true, None));
}

#[tokio::test]
async fn clock_far_off_is_warned_about() {
    let home = Reply::recorded("auth-home-unauthenticated").header("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let fake = with(&[("GET /", home)]);
    let report = TacticalRmm.check(&connection(&fake.url), None).await;
    assert!(report.clock_skew_s.unwrap() < -86_400);
    assert_eq!(line(&report, "host").state, LineState::Warning);
    assert!(report.ok);
}

#[tokio::test]
async fn something_else_is_not_taken_for_tactical() {
    for reply in [
        Reply::html(404),
        Reply::json("{\"status\": \"fine\"}"),
        Reply::json("[]"),
        Reply::new(200, "text/plain", "ok"),
    ] {
        let fake = Fake::start(&[("GET /", reply)]);
        let report = TacticalRmm.check(&connection(&fake.url), None).await;
        assert_eq!(report.problem.unwrap().code, "not_tactical");
        assert_eq!(fake.lines(), ["GET /"], "no credential is sent there");
    }
}

#[tokio::test]
async fn greeting_of_another_protocol_is_not_http() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.6\r\n").unwrap();
            held.push(stream);
        }
    });
    for (scheme, code) in [("http", "not_http"), ("https", "https_on_plain_port")] {
        let report = TacticalRmm.check(&connection(&format!("{scheme}://{address}")), None).await;
        assert_eq!(line(&report, "host").endpoint.as_deref(), Some("GET /"));
        assert_eq!(report.problem.unwrap().code, code);
    }
}

/// Two names that both lead to loopback.
struct Names;

impl Lookup for Names {
    fn lookup(&self, _: &str) -> LookupFuture {
        Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) })
    }
}

fn named(fake: &Fake, host: &str) -> Connection {
    let rules = EgressRules::new(vec!["127.0.0.1/32".parse::<AllowRule>().unwrap()]);
    let options = ClientOptions { resolver_override: Some(Arc::new(Names)), ..ClientOptions::default() };
    let mut connection = connection(&fake.url.replace("127.0.0.1", host));
    connection.http = HttpClient::new(rules, options).unwrap();
    connection
}

#[tokio::test]
async fn dashboard_is_recognised_and_the_api_looked_for_without_credentials() {
    // Both names lead to one port here; a dashboard answers pages on any path, so neither is the API.
    let fake = Fake::start(&[("*", Reply::html(200))]);
    let report = TacticalRmm.check(&named(&fake, "rmm.example.test"), None).await;
    let problem = report.problem.unwrap();
    assert_eq!(problem.code, "dashboard_host");
    assert!(problem.message.contains("http://api.example.test:"), "{}", problem.message);
    assert_eq!(report.offers, []);
    let asked = fake.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| !asked.headers.contains_key("x-api-key")));
    let hosts: Vec<&str> =
        asked.iter().map(|asked| asked.headers["host"].split(':').next().unwrap()).collect();
    assert_eq!(hosts, ["rmm.example.test", "api.example.test"]);
}

#[tokio::test]
async fn found_api_is_offered_as_one_click() {
    let dashboard = Reply::html(200);
    let fake = Fake::start(&[
        ("GET / rmm.example.test", dashboard),
        ("GET /", Reply::recorded("auth-home-unauthenticated")),
    ]);
    let report = TacticalRmm.check(&named(&fake, "rmm.example.test"), None).await;
    let url = named(&fake, "api.example.test").base_url.as_str().trim_end_matches('/').to_owned();
    assert_eq!(report.offers, [Offer::UseUrl { url: url.clone() }]);
    assert!(report.problem.unwrap().fix.contains(&url));
    assert!(!report.ok);
}

#[tokio::test]
async fn sign_in_that_needs_a_code_asks_for_it() {
    let fake = with(&[("POST /v2/checkcreds/", Reply::recorded("auth-checkcreds-totp-user"))]);
    let mut connection = with_secret(with_secret(connection(&fake.url), USERNAME, "root"), PASSWORD, "pw");
    connection.auth_mode = KNOX.to_owned();
    let report = TacticalRmm.check(&connection, None).await;
    assert_eq!(report.problem.as_ref().unwrap().code, "totp_needed");
    assert_eq!(report.offers, [Offer::AskCode]);
    assert!(report.signed_in.is_none());
}

#[tokio::test]
async fn code_typed_along_with_a_draft_is_used() {
    let fake = with(&[
        ("POST /v2/checkcreds/", Reply::recorded("auth-checkcreds-totp-user")),
        ("POST /v2/login/", Reply::recorded("auth-login-totp-ok")),
    ]);
    let mut connection = with_secret(with_secret(connection(&fake.url), USERNAME, "root"), PASSWORD, "pw");
    connection.auth_mode = KNOX.to_owned();
    let report = TacticalRmm.check(&connection, Some(&secrecy::SecretString::from("524318"))).await;
    assert!(report.ok && report.signed_in.is_some());
    assert_eq!(report.account.as_deref(), Some("root"));
}

#[tokio::test]
async fn sign_in_without_a_code_hands_its_token_over() {
    let fake = with(&[("POST /v2/checkcreds/", Reply::recorded("auth-checkcreds-no-totp-user"))]);
    let mut connection = with_secret(with_secret(connection(&fake.url), USERNAME, "admin"), PASSWORD, "pw");
    connection.auth_mode = KNOX.to_owned();
    let report = TacticalRmm.check(&connection, None).await;
    assert!(report.ok, "{}", show(&report));
    assert_eq!(report.account.as_deref(), Some("admin"));
    assert!(report.signed_in.is_some());
    assert!(!serde_json::to_string(&report).unwrap().contains("token\":"));
}
