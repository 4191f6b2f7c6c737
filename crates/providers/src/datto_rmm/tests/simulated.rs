//! Against the simulated server: whole passes, and the limits and rights that a real account has.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::device::DeviceDetail;
use futures::TryStreamExt;
use provider::{
    AccountPage, CheckReport, Connection, Dictionary, ErrorKind, Inventory, LineState, Provider, WalkEnd,
};
use secrecy::SecretString;
use simulator::datto_rmm::{Config, Fault, FaultKind, Server, start};

use super::{Book, Ledger, connection, device};
use crate::datto_rmm::{API_KEY, API_ROOT, API_SECRET, DattoRmm, KEY_HEADER};

async fn server(config: Config) -> Server {
    start(config).await.unwrap()
}

/// Not signed in yet.
fn with_key(server: &Server, key: &str, secret: &str) -> Connection {
    let mut connection = Connection { token: None, ..connection(server.url()) };
    connection.secrets.set(API_KEY, SecretString::from(key.to_owned()));
    connection.secrets.set(API_SECRET, SecretString::from(secret.to_owned()));
    connection
}

async fn signed_in(server: &Server) -> Connection {
    let accounts = server.accounts();
    let mut connection = with_key(server, &accounts.api_key, &accounts.api_secret);
    connection.token = Some(DattoRmm.sign_in(&connection, None).await.unwrap().token);
    connection
}

async fn walk(connection: &Connection) -> provider::Result<Vec<AccountPage>> {
    let dictionary = Dictionary::default();
    DattoRmm.account_devices(connection, &dictionary).unwrap().try_collect().await
}

fn end(pages: &[AccountPage]) -> WalkEnd {
    pages.last().unwrap().end.unwrap()
}

#[tokio::test]
async fn whole_account_is_walked_and_every_device_belongs_to_a_site() {
    let server = server(Config::sized(1_300)).await;
    let mut connection = signed_in(&server).await;
    connection.settings.include_deleted = true;
    connection.settings.include_on_demand = true;
    let sites: BTreeSet<String> =
        DattoRmm.organizations(&connection).await.unwrap().into_iter().map(|site| site.external_id).collect();
    let pages = walk(&connection).await.unwrap();
    let walk_end = end(&pages);
    assert!(walk_end.is_complete, "{walk_end:?}");
    let met: BTreeSet<&str> = pages
        .iter()
        .flat_map(|page| &page.devices)
        .map(|device| device.record.external_id.as_str())
        .collect();
    let rejected: usize = pages.iter().map(|page| page.rejected.len()).sum();
    assert_eq!((met.len() + rejected) as u64, walk_end.listed);
    assert_eq!(rejected, 1, "the malformed row is told and fails nothing");
    for device in pages.iter().flat_map(|page| &page.devices) {
        assert!(sites.contains(&device.organization), "{}", device.organization);
    }
    let calls: u64 = pages.iter().map(|page| page.calls).sum();
    assert_eq!(calls, walk_end.listed.div_ceil(250), "one request for each page");
}

#[tokio::test]
async fn deleted_devices_are_left_out_and_still_counted() {
    let server = server(Config::sized(600)).await;
    let mut connection = signed_in(&server).await;
    let without = walk(&connection).await.unwrap();
    connection.settings.include_deleted = true;
    let with = walk(&connection).await.unwrap();
    let devices = |pages: &[AccountPage]| pages.iter().map(|page| page.devices.len()).sum::<usize>();
    assert!(devices(&without) < devices(&with), "the simulator has deleted devices");
    assert_eq!(end(&without), end(&with));
}

#[tokio::test]
async fn rows_that_move_make_the_walk_incomplete() {
    let server = server(Config { malformed_row: false, ..Config::sized(1_000) }).await;
    let connection = signed_in(&server).await;
    server.control().set_moves_per_page(40);
    let moved = end(&walk(&connection).await.unwrap());
    server.control().set_moves_per_page(0);
    let quiet = end(&walk(&connection).await.unwrap());
    assert!(quiet.is_complete, "{quiet:?}");
    assert!(!moved.is_complete || moved.listed == quiet.listed, "{moved:?}");
}

#[tokio::test]
async fn list_by_site_and_list_of_the_account_say_the_same() {
    let server = server(Config { malformed_row: false, ..Config::sized(300) }).await;
    let connection = signed_in(&server).await;
    let pages = walk(&connection).await.unwrap();
    let dictionary = Dictionary::default();
    let mut checked = 0;
    for site in DattoRmm.organizations(&connection).await.unwrap() {
        let listed: Vec<_> =
            DattoRmm.devices(&connection, &site.external_id, &dictionary, 50).try_collect().await.unwrap();
        let by_site: BTreeSet<&str> =
            listed.iter().flat_map(|page| &page.records).map(|record| record.external_id.as_str()).collect();
        let of_account: BTreeSet<&str> = pages
            .iter()
            .flat_map(|page| &page.devices)
            .filter(|device| device.organization == site.external_id)
            .map(|device| device.record.external_id.as_str())
            .collect();
        assert_eq!(by_site, of_account, "{}", site.name);
        assert!(listed.last().unwrap().last);
        checked += by_site.len();
    }
    assert!(checked > 100, "{checked}");
}

#[tokio::test]
async fn details_come_by_class_and_no_custom_field_leaks() {
    let server = server(Config { malformed_row: false, udfs: 300, ..Config::sized(240) }).await;
    let connection = signed_in(&server).await;
    let mut full = 0;
    for page in walk(&connection).await.unwrap() {
        for listed in page.devices {
            let record = listed.record;
            assert!(record.facts.custom_fields.values().all(|value| value["masked"] == true));
            let kept: serde_json::Value = serde_json::from_str(record.raw.get()).unwrap();
            let kept = kept["udf"].as_object().unwrap();
            assert!(kept.values().all(|value| value["masked"] == true), "{kept:?}");
            let asked = device(&record.external_id, record.facts.device_type);
            match DattoRmm.detail(&connection, &asked).await {
                Ok(detail) => full += usize::from(detail.detail != DeviceDetail::default()),
                Err(error) => assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}"),
            }
        }
    }
    assert!(full > 100, "{full}");
}

#[tokio::test]
async fn limit_is_heard_of_and_the_block_is_recognised() {
    let server = server(Config::sized(240)).await;
    let connection = signed_in(&server).await;
    let mut rate = server.control().rate();
    (rate.reads, rate.block_after, rate.slow_millis) = (2, 3, 0);
    server.control().set_rate(rate);
    let ledger = Ledger::of(Book::default());
    let connection = Connection { budget: ledger.clone(), ..connection };
    let mut codes = Vec::new();
    for _ in 0..8 {
        match DattoRmm.organizations(&connection).await {
            Ok(_) => codes.push("ok".to_owned()),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::RateLimited, "{error:?}");
                codes.push(error.problem.code);
            }
        }
    }
    assert_eq!(codes[0], "ok");
    assert!(codes.contains(&"rate_limited".to_owned()), "{codes:?}");
    assert_eq!(codes.last().map(String::as_str), Some("blocked"), "{codes:?}");
    let pauses = ledger.book().pauses;
    assert!(pauses.iter().all(|(wait, _)| *wait >= Duration::from_secs(1)), "{pauses:?}");
    assert!(pauses.iter().any(|(wait, code)| code == "blocked" && *wait == Duration::from_secs(300)));
}

#[tokio::test]
async fn counters_are_read_in_both_shapes() {
    let server = server(Config::sized(30)).await;
    for legacy in [false, true] {
        let mut rate = server.control().rate();
        (rate.legacy, rate.others_per_minute) = (legacy, 240);
        server.control().set_rate(rate);
        let ledger = Ledger::of(Book { wants_status: true, ..Book::default() });
        let connection = Connection { budget: ledger.clone(), ..signed_in(&server).await };
        walk(&connection).await.unwrap();
        let observed = ledger.book().observed;
        assert_eq!(observed.len(), 1);
        assert_eq!((observed[0].reads.limit, observed[0].writes.is_none()), (600, legacy));
    }
}

#[tokio::test]
async fn revoked_token_is_a_lapsed_one_and_check_replaces_it() {
    let server = server(Config::sized(60)).await;
    let connection = signed_in(&server).await;
    server.control().revoke_tokens();
    let error = DattoRmm.organizations(&connection).await.unwrap_err();
    assert_eq!((error.kind, error.problem.code.as_str()), (ErrorKind::Unauthorized, "token_lapsed"));
    let report = DattoRmm.check(&connection, None).await;
    assert!(report.ok && report.signed_in.is_some(), "{report:?}");
}

fn state(report: &CheckReport, id: &str) -> LineState {
    report.lines.iter().find(|line| line.id == id).unwrap().state
}

#[tokio::test]
async fn each_kind_of_key_gets_its_own_report() {
    let server = server(Config::sized(120)).await;
    let accounts = server.accounts().clone();
    let check = async |key: &str, secret: &str| DattoRmm.check(&with_key(&server, key, secret), None).await;
    let wrong = check(&accounts.api_key, "wrong").await;
    assert_eq!(wrong.problem.unwrap().code, "login_refused");
    let administrator = check(&accounts.api_key, &accounts.api_secret).await;
    assert!(administrator.ok, "{administrator:?}");
    assert_eq!(state(&administrator, "activity_log"), LineState::Ok);
    let technician = check(&accounts.technician_key, &accounts.technician_secret).await;
    assert!(technician.ok);
    assert_eq!(state(&technician, "activity_log"), LineState::Missing);
    let inventory = check(&accounts.inventory_key, &accounts.inventory_secret).await;
    assert!(inventory.ok);
    assert_eq!(state(&inventory, "alerts"), LineState::Missing);
    assert_eq!(state(&inventory, "components"), LineState::Missing);
}

#[tokio::test]
async fn right_taken_away_is_named() {
    let server = server(Config::sized(120)).await;
    let accounts = server.accounts().clone();
    let connection = signed_in(&server).await;
    for (right, id) in [
        ("sites", "sites"),
        ("devices", "devices"),
        ("audit", "audit"),
        ("alerts", "alerts"),
        ("jobs", "components"),
        ("administrator", "activity_log"),
    ] {
        server.control().set_right(&accounts.api_key, right, false).unwrap();
        let report = DattoRmm.check(&connection, None).await;
        let line = report.lines.iter().find(|line| line.id == id).unwrap();
        assert!(line.right.is_some() && line.fix.is_some(), "{right}: {line:?}");
        assert_eq!(report.ok, line.state == LineState::Missing, "{right}");
        server.control().set_right(&accounts.api_key, right, true).unwrap();
    }
}

#[tokio::test]
async fn single_key_works_at_a_root_of_its_own() {
    let server = server(Config::sized(60)).await;
    let mut connection = with_key(&server, &server.accounts().header_key, "unused");
    connection.auth_mode = KEY_HEADER.to_owned();
    connection.secrets.set(API_ROOT, SecretString::from("/api/v1".to_owned()));
    assert!(!DattoRmm.organizations(&connection).await.unwrap().is_empty());
    assert!(DattoRmm.check(&connection, None).await.ok);
    connection.secrets.set(API_KEY, SecretString::from("not the key".to_owned()));
    assert_eq!(DattoRmm.organizations(&connection).await.unwrap_err().problem.code, "key_refused");
}

#[tokio::test]
async fn sign_in_answered_with_a_page_is_told_apart() {
    let server = server(Config::sized(30)).await;
    let accounts = server.accounts();
    let connection = with_key(&server, &accounts.api_key, &accounts.api_secret);
    server.control().set_fault(Fault::new("/auth/oauth/token", FaultKind::Dashboard));
    let error = DattoRmm.sign_in(&connection, None).await.unwrap_err();
    assert_eq!((error.kind, error.problem.code.as_str()), (ErrorKind::Unavailable, "sign_in_page"));
}

#[tokio::test]
async fn software_of_a_device_is_read() {
    let server = server(Config { malformed_row: false, ..Config::sized(60) }).await;
    let connection = signed_in(&server).await;
    let pages = walk(&connection).await.unwrap();
    let source = DattoRmm.software().unwrap();
    let mut programs = 0;
    for listed in pages.iter().flat_map(|page| &page.devices) {
        let asked = device(&listed.record.external_id, listed.record.facts.device_type);
        match source.installed(&connection, &asked).await {
            Ok(installed) => programs += installed.len(),
            Err(error) => {
                assert!(matches!(error.kind, ErrorKind::Rejected | ErrorKind::NotFound), "{error:?}")
            }
        }
    }
    assert!(programs > 50, "{programs}");
}

#[tokio::test]
async fn requests_go_no_further_ahead_than_they_may() {
    let server = server(Config { delay: Duration::from_millis(30), ..Config::sized(2_500) }).await;
    let ledger = Ledger::of(Book::default());
    let connection = Connection { budget: ledger.clone(), ..signed_in(&server).await };
    server.control().reset_counts();
    walk(&Arc::new(connection)).await.unwrap();
    let counts = server.control().counts();
    assert!((2..=3).contains(&counts.in_flight_max), "{counts:?}");
}
