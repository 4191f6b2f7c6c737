//! Against the simulated server: whole passes, and faults where a real server has them.

use std::collections::{BTreeMap, BTreeSet};

use domain::device::DeviceDetail;
use futures::{StreamExt, TryStreamExt};
use outbound::{ClientOptions, EgressRules, HttpClient};
use provider::{CheckReport, Connection, DevicePage, ErrorKind, Inventory, LineState, Problem, Provider};
use simulator::tacticalrmm::{Config, Fault, FaultKind, Server, start};

use super::{connection, device, with_secret};
use crate::tacticalrmm::{ACTION_API_KEY, API_KEY, KNOX, PASSWORD, TOTP_SECRET, TacticalRmm, USERNAME};

async fn server(beta: bool) -> Server {
    start(Config { recorded: true, beta, time_scale: 0.01, ..Config::default() }).await.unwrap()
}

fn with_key(server: &Server, key: &str) -> Connection {
    with_secret(connection(server.url()), API_KEY, key)
}

fn superuser(server: &Server) -> Connection {
    with_key(server, &server.accounts().api_key)
}

async fn pages(connection: &Connection, client: &str) -> provider::Result<Vec<DevicePage>> {
    let dictionary = TacticalRmm.dictionary(connection).await?;
    TacticalRmm.devices(connection, client, &dictionary, 3).try_collect().await
}

#[tokio::test]
async fn every_client_lists_as_many_agents_as_it_counts() {
    let server = server(false).await;
    let connection = superuser(&server);
    let organizations = TacticalRmm.organizations(&connection).await.unwrap();
    let mut ids = BTreeSet::new();
    for organization in &organizations {
        let pages = pages(&connection, &organization.external_id).await.unwrap();
        let found: Vec<String> =
            pages.iter().flat_map(|page| &page.records).map(|record| record.external_id.clone()).collect();
        assert_eq!(Some(found.len() as u64), organization.device_count, "{}", organization.name);
        assert!(pages.last().unwrap().last);
        ids.extend(found);
    }
    assert_eq!(ids.len(), 31);
    let asked: Vec<String> = ids.into_iter().collect();
    assert_eq!(TacticalRmm.locate(&connection, &asked).await.unwrap().len(), 31);
}

async fn details_one_by_one(connection: &Connection) -> BTreeMap<String, DeviceDetail> {
    let mut details = BTreeMap::new();
    for client in TacticalRmm.organizations(connection).await.unwrap() {
        for page in pages(connection, &client.external_id).await.unwrap() {
            for record in page.records {
                let detail = TacticalRmm.detail(connection, &device(&record.external_id)).await.unwrap();
                details.insert(detail.external_id, detail.detail);
            }
        }
    }
    details
}

#[tokio::test]
async fn beta_on_or_off_gives_the_same_details() {
    let server = server(false).await;
    let connection = superuser(&server);
    assert!(TacticalRmm.bulk_details(&connection).await.unwrap().is_none());
    server.control().set_beta(true);
    let singly = details_one_by_one(&connection).await;
    let bulk = TacticalRmm.bulk_details(&connection).await.unwrap().unwrap();
    let bulk: Vec<_> =
        bulk.map(|page| page.unwrap()).collect::<Vec<_>>().await.into_iter().flatten().collect();
    let bulk: BTreeMap<String, DeviceDetail> =
        bulk.into_iter().map(|record| (record.external_id, record.detail)).collect();
    assert_eq!(bulk.len(), 31);
    assert_eq!(bulk, singly);
}

#[tokio::test]
async fn accounts_with_and_without_second_factor_sign_in() {
    let server = server(false).await;
    let accounts = server.accounts();
    let mut knox = connection(server.url());
    knox.auth_mode = KNOX.to_owned();
    let plain = with_secret(knox.clone(), USERNAME, &accounts.plain_username);
    let plain = with_secret(plain, PASSWORD, &accounts.plain_password);
    let full = with_secret(knox, USERNAME, &accounts.username);
    let full = with_secret(full, PASSWORD, &accounts.password);
    let error = TacticalRmm.sign_in(&full, None).await.unwrap_err();
    assert_eq!((error.kind, error.problem.code.as_str()), (ErrorKind::CodeNeeded, "totp_needed"));
    let full = with_secret(full, TOTP_SECRET, &accounts.totp_secret);
    for mut connection in [plain, full] {
        let signed_in = TacticalRmm.sign_in(&connection, None).await.unwrap();
        connection.token = Some(signed_in.token);
        assert_eq!(TacticalRmm.organizations(&connection).await.unwrap().len(), 4);
        TacticalRmm.sign_out(&connection).await.unwrap();
        let error = TacticalRmm.organizations(&connection).await.unwrap_err();
        assert_eq!(error.problem.code, "token_lapsed");
        let report = TacticalRmm.check(&connection, None).await;
        assert!(report.ok && report.signed_in.is_some(), "a token that ended is replaced: {report:?}");
    }
}

async fn list_error(server: &Server, fault: FaultKind) -> (ErrorKind, String) {
    let control = server.control();
    control.set_fault(Fault::new("/agents/?client=1", fault));
    let error = pages(&superuser(server), "1").await.expect_err("must fail");
    control.clear_faults();
    (error.kind, error.problem.code)
}

#[tokio::test]
async fn faults_in_a_list_save_nothing_and_are_named() {
    let server = server(false).await;
    let expected = [
        (FaultKind::Status { status: 500 }, ErrorKind::Unavailable, "server_error"),
        (FaultKind::Status { status: 404 }, ErrorKind::NotAnApi, "unknown_path"),
        (FaultKind::Status { status: 400 }, ErrorKind::NotAnApi, "wrong_host"),
        (FaultKind::Status { status: 503 }, ErrorKind::Unavailable, "gateway_error"),
        (FaultKind::Dashboard, ErrorKind::NotAnApi, "dashboard_host"),
        (
            FaultKind::Redirect { to: "https://login.example.com/".to_owned() },
            ErrorKind::NotAnApi,
            "redirected",
        ),
        (FaultKind::CloseUnhandled, ErrorKind::Unavailable, "connection_reset"),
        (FaultKind::CutBody, ErrorKind::Malformed, "answer_cut"),
        (FaultKind::TruncatedJson, ErrorKind::Malformed, "answer_cut"),
        (FaultKind::WrongTypes, ErrorKind::Malformed, "answer_shape"),
    ];
    for (fault, kind, code) in expected {
        let name = format!("{fault:?}");
        assert_eq!(list_error(&server, fault).await, (kind, code.to_owned()), "{name}");
    }
}

#[tokio::test]
async fn spoiled_row_is_rejected_and_its_neighbours_are_kept() {
    let server = server(false).await;
    server.control().set_fault(Fault::new("/agents/?client=1", FaultKind::BadRow));
    let pages = pages(&superuser(&server), "1").await.unwrap();
    let (kept, rejected): (usize, usize) = pages
        .iter()
        .fold((0, 0), |(kept, rejected), page| (kept + page.records.len(), rejected + page.rejected.len()));
    assert_eq!((kept, rejected), (10, 1));
    let row = pages.iter().flat_map(|page| &page.rejected).next().unwrap();
    assert!(row.name.is_some() && row.external_id.is_none(), "{row:?}");
    assert!(
        row.reason.starts_with("row 6 of the list: `agent_id` must be a text, but a number came"),
        "{row:?}"
    );
}

#[tokio::test]
async fn wrong_type_on_one_route_is_not_called_the_dashboard() {
    let server = server(false).await;
    let html = FaultKind::ContentType { value: "text/html".to_owned() };
    server.control().set_fault(Fault::new("/clients/", html));
    let report = check_with(&server, &server.accounts().readonly_key).await;
    let problem = report.problem.unwrap();
    assert_eq!(
        (problem.code.as_str(), problem.endpoint.as_deref()),
        ("answer_not_json", Some("GET /clients/"))
    );
}

#[tokio::test]
async fn https_to_a_plain_port_is_told() {
    let server = server(false).await;
    let connection = connection(&server.url().replace("http://", "https://"));
    assert_eq!(host_problem(&connection).await.code, "https_on_plain_port");
}

async fn check_with(server: &Server, key: &str) -> CheckReport {
    TacticalRmm.check(&with_key(server, key), None).await
}

fn state(report: &CheckReport, id: &str) -> LineState {
    report.lines.iter().find(|line| line.id == id).unwrap().state
}

#[tokio::test]
async fn each_kind_of_key_gets_its_own_report() {
    let server = server(false).await;
    let accounts = server.accounts();
    for (key, code) in [
        ("WRONG", "key_wrong"),
        (&accounts.expired_key, "key_expired"),
        (&accounts.inactive_key, "user_inactive"),
        (&accounts.norole_key, "right_missing"),
    ] {
        let report = check_with(&server, key).await;
        assert!(!report.ok);
        assert_eq!(report.problem.unwrap().code, code);
    }
    let reader = check_with(&server, &accounts.readonly_key).await;
    assert!(reader.ok, "{reader:?}");
    assert_eq!(state(&reader, "actions"), LineState::Missing);
    assert_eq!(state(&reader, "beta"), LineState::Missing);
    let worker = check_with(&server, &accounts.integration_key).await;
    assert_eq!(state(&worker, "actions"), LineState::Warning);
    let two =
        with_secret(with_key(&server, &accounts.readonly_key), ACTION_API_KEY, &accounts.integration_key);
    let report = TacticalRmm.check(&two, None).await;
    let actions: Vec<LineState> =
        report.lines.iter().filter(|line| line.id == "actions").map(|line| line.state).collect();
    assert_eq!(actions, [LineState::Ok, LineState::Ok]);
}

#[tokio::test]
async fn right_taken_away_is_named() {
    let server = server(false).await;
    let key = server.accounts().readonly_key.clone();
    for (right, id) in [
        ("can_list_software", "software"),
        ("can_list_alerts", "alerts"),
        ("can_list_scripts", "scripts"),
        ("can_list_agents", "agents"),
        ("can_list_clients", "clients"),
    ] {
        let control = server.control();
        control.set_permission(&key, right, false).unwrap();
        let report = check_with(&server, &key).await;
        let line = report.lines.iter().find(|line| line.id == id).unwrap();
        assert_eq!(line.right.as_deref(), Some(right));
        assert_eq!(report.ok, line.state == LineState::Missing, "{right}");
        control.set_permission(&key, right, true).unwrap();
    }
}

async fn host_problem(connection: &Connection) -> Problem {
    let report = TacticalRmm.check(connection, None).await;
    assert!(!report.ok);
    assert!(report.lines.iter().skip(1).all(|line| line.state == LineState::Skipped));
    report.problem.unwrap()
}

#[tokio::test]
async fn private_address_is_refused_with_the_line_that_allows_it() {
    let server = server(false).await;
    let mut connection = superuser(&server);
    connection.http = HttpClient::new(EgressRules::default(), ClientOptions::default()).unwrap();
    let problem = host_problem(&connection).await;
    let port = connection.base_url.port().unwrap();
    assert_eq!(problem.code, "address_denied");
    assert!(problem.fix.contains(&format!("outbound.allow = [\"127.0.0.1/32:{port}\"]")), "{}", problem.fix);
}

#[tokio::test]
async fn host_that_does_not_work_is_named_before_any_credential_is_sent() {
    let server = server(false).await;
    let connection = superuser(&server);
    let control = server.control();
    for (fault, code) in [
        (FaultKind::Endless { bytes: Some(10 << 20) }, "body_too_large"),
        (FaultKind::WrongHost, "wrong_host"),
        (FaultKind::CloseUnhandled, "connection_reset"),
        (FaultKind::Redirect { to: "https://login.example.com/".to_owned() }, "redirected"),
        (FaultKind::CutBody, "answer_cut"),
        (FaultKind::WrongTypes, "not_tactical"),
        (FaultKind::ContentType { value: "text/plain".to_owned() }, "not_tactical"),
        (FaultKind::Dashboard, "dashboard_host"),
    ] {
        control.set_fault(Fault::new("/", fault));
        assert_eq!(host_problem(&connection).await.code, code);
        control.clear_faults();
    }
    let url = server.url().to_owned();
    server.shutdown().await;
    assert_eq!(host_problem(&super::connection(&url)).await.code, "connection_refused");
}

#[tokio::test]
async fn throttled_sign_in_says_how_long_to_wait() {
    let server = server(false).await;
    let accounts = server.accounts();
    let mut connection = with_secret(connection(server.url()), USERNAME, &accounts.blocked_username);
    connection = with_secret(connection, PASSWORD, &accounts.blocked_password);
    connection.auth_mode = KNOX.to_owned();
    let mut codes = BTreeSet::new();
    for _ in 0..11 {
        let error = TacticalRmm.sign_in(&connection, None).await.unwrap_err();
        if error.kind == ErrorKind::RateLimited {
            assert!(error.retry_after().is_some_and(|wait| wait.as_secs() <= 60));
        }
        codes.insert(error.problem.code);
    }
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["login_refused", "login_throttled"]);
}
