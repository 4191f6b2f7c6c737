//! Answers in, canonical records out.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    asset::AssetType,
    integration::{CustomField, IntegrationSettings},
};
use futures::{StreamExt, TryStreamExt};
use provider::{
    AccountPage, Connection, DevicePage, Dictionary, ErrorKind, Inventory, Provider, ProviderError,
    Unlimited, WalkEnd,
};
use serde_json::{Value, json};

use super::{body, connection, device, reply};
use crate::{
    datto_rmm::{DattoRmm, normalize, wire::moment},
    fake::{Fake, Reply},
};

const CONTOSO: &str = "51730000-0000-4000-8000-000000000001";
const FABRIKAM: &str = "51730000-0000-4000-8000-000000000002";
static NO_NAMES: Dictionary = Dictionary { custom_fields: BTreeMap::new() };

fn sites_line(page: u64) -> String {
    format!("GET /api/v2/account/sites?page={page}&max=250")
}

fn devices_line(page: u64) -> String {
    format!("GET /api/v2/account/devices?page={page}&max=250")
}

async fn walk(connection: &Connection) -> Result<Vec<AccountPage>, ProviderError> {
    DattoRmm.account_devices(connection, &NO_NAMES).unwrap().try_collect().await
}

async fn site_pages(connection: &Connection, site: &str) -> Result<Vec<DevicePage>, ProviderError> {
    DattoRmm.devices(connection, site, &NO_NAMES, 1_000).try_collect().await
}

fn shown(fields: &[(&str, Option<&str>, bool)]) -> IntegrationSettings {
    let custom_fields = fields
        .iter()
        .map(|(key, name, shown)| {
            ((*key).to_owned(), CustomField { name: name.map(str::to_owned), shown: *shown })
        })
        .collect();
    IntegrationSettings { allow_plain_http: true, custom_fields, ..IntegrationSettings::default() }
}

#[tokio::test]
async fn sites_become_organizations_with_their_company() {
    let fake = Fake::start(&[(&sites_line(0), reply("sites"))]);
    let organizations = DattoRmm.organizations(&connection(&fake.url)).await.unwrap();
    insta::assert_debug_snapshot!(organizations);
}

#[tokio::test]
async fn sites_left_out_by_default_are_taken_when_wanted() {
    let fake = Fake::start(&[(&sites_line(0), reply("sites"))]);
    let mut connection = connection(&fake.url);
    connection.settings.include_on_demand = true;
    connection.settings.include_deleted = true;
    let names: Vec<String> =
        DattoRmm.organizations(&connection).await.unwrap().into_iter().map(|site| site.name).collect();
    assert_eq!(names, ["Contoso Ltd", "Fabrikam & Söhne", "Walk-ins", "Deleted Devices", "Deleted Devices"]);
}

#[tokio::test]
async fn every_row_of_the_account_becomes_a_record_or_says_why_not() {
    let fake = Fake::start(&[(&devices_line(0), reply("devices"))]);
    let pages = walk(&connection(&fake.url)).await.unwrap();
    let [page] = pages.as_slice() else { panic!("{pages:?}") };
    let records: Vec<_> = page
        .devices
        .iter()
        .map(|device| {
            let record = &device.record;
            (&device.organization, &record.external_id, &record.facts, &record.presence, record.detail_as_of)
        })
        .collect();
    insta::assert_debug_snapshot!((records, &page.rejected, page.calls, page.end));
}

#[tokio::test]
async fn deleted_devices_are_taken_when_wanted() {
    let fake = Fake::start(&[(&devices_line(0), reply("devices"))]);
    let mut connection = connection(&fake.url);
    connection.settings.include_deleted = true;
    let pages = walk(&connection).await.unwrap();
    let gone = pages[0].devices.iter().find(|device| device.record.facts.name == "gone").unwrap();
    assert_eq!(gone.record.facts.more["Deleted in Datto RMM"], ["yes"]);
}

/// No value of a custom field that nobody unmasked is anywhere, neither in facts nor in the row that is kept.
#[test]
fn masked_fields_leave_no_value() {
    let devices: Value = serde_json::from_str(&body("devices")).unwrap();
    let row = devices["devices"][0].to_string();
    let raw = serde_json::value::RawValue::from_string(row).unwrap();
    let masked = json!({"set": true, "masked": true});
    let all = shown(&[]).custom_fields;
    let record = normalize::device(&raw, &all).unwrap().record;
    let expected = json!({"udf1": masked, "udf2": masked, "udf7": masked});
    assert_eq!(json!(record.facts.custom_fields), expected);
    let kept: Value = serde_json::from_str(record.raw.get()).unwrap();
    assert_eq!(kept["udf"], expected);
    assert_eq!(kept["description"], "Domain controller");
    assert!(!format!("{record:?}").contains("CANARY"));
    assert!(!record.raw.get().contains("Rack 4"));

    let some =
        shown(&[("udf1", Some("Rack"), true), ("udf2", Some("BitLocker key"), false), ("udf9", None, true)]);
    let record = normalize::device(&raw, &some.custom_fields).unwrap().record;
    let expected = json!({"Rack": "Rack 4", "BitLocker key": masked, "udf7": masked});
    assert_eq!(json!(record.facts.custom_fields), expected);
    let kept: Value = serde_json::from_str(record.raw.get()).unwrap();
    assert_eq!(kept["udf"], json!({"udf1": "Rack 4", "udf2": masked, "udf7": masked}));
    assert!(!format!("{record:?}").contains("CANARY"));
}

#[test]
fn strange_custom_fields_are_masked_whole() {
    let masked = json!({"set": true, "masked": true});
    for (udf, expected) in [
        (json!("CANARY"), json!({})),
        (json!(["CANARY"]), json!({})),
        (json!({"udf1": {"CANARY": "CANARY"}}), json!({"udf1": masked})),
        (json!({"CANARY": "x", "udf": "CANARY", "udfCANARY": "1", "udf12345": "CANARY"}), json!({})),
        (json!({"udf300": "a", "udf2": "b"}), json!({"udf2": masked, "udf300": masked})),
    ] {
        for key in ["udf", "UDF", "Udf"] {
            let row = json!({"uid": "u", "siteUid": "s", key: udf});
            let raw = serde_json::value::to_raw_value(&row).unwrap();
            let record =
                normalize::device(&raw, &shown(&[("udf1", None, true)]).custom_fields).unwrap().record;
            assert!(!format!("{record:?} {}", record.raw).contains("CANARY"), "{udf}");
            let kept: Value = serde_json::from_str(record.raw.get()).unwrap();
            let expected = if key == "udf" { expected.clone() } else { json!({}) };
            assert_eq!(kept[key], expected, "{udf}");
        }
    }
}

#[test]
fn two_fields_of_one_name_stay_two() {
    let row = json!({"uid": "u", "udf": {"udf1": "a", "udf2": "b", "udf3": "c"}});
    let raw = serde_json::value::to_raw_value(&row).unwrap();
    let settings =
        shown(&[("udf1", Some("Owner"), true), ("udf2", Some("Owner"), true), ("udf3", Some("udf1"), true)]);
    let facts = normalize::device(&raw, &settings.custom_fields).unwrap().record.facts;
    assert_eq!(json!(facts.custom_fields), json!({"Owner": "a", "Owner (udf2)": "b", "udf1 (udf3)": "c"}));
}

#[test]
fn dates_are_read_in_every_form_seen() {
    let at = 1_795_622_400_000;
    for text in [
        "1795622400000",
        "1795622400",
        "1795622400000.0",
        "1.7956224e12",
        " 1795622400 ",
        "2026-11-25T16:00:00Z",
        "2026-11-25T17:00:00+01:00",
        "2026-11-25T16:00:00.000+0000",
        "2026-11-25T16:00:00",
        "2026-11-25 16:00:00",
    ] {
        assert_eq!(moment(text).map(|time| time.0), Some(at), "{text}");
    }
    assert_eq!(moment("1795622400.25").map(|time| time.0), Some(at + 250));
    for text in
        ["-62135596800000", "-62135596800", "0", "", "never", "0001-01-01T00:00:00Z", "1e300", "NaN", "inf"]
    {
        assert_eq!(moment(text), None, "{text}");
    }
}

/// A row for the account's list.
fn row(n: usize) -> Value {
    json!({"uid": format!("d{n}"), "siteUid": CONTOSO, "hostname": format!("host-{n}"), "online": true})
}

fn page(rows: &[Value], total: Option<u64>, has_next: bool) -> Reply {
    let next = has_next.then_some("https://elsewhere.example.com/CANARY?page=99");
    Reply::json(
        json!({
            "pageDetails": {"count": rows.len(), "totalCount": total, "prevPageUrl": null, "nextPageUrl": next},
            "devices": rows,
        })
        .to_string(),
    )
}

fn rows(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(row).collect()
}

/// The walk over these pages: ids in order, and its end.
async fn walked(pages: &[Reply]) -> (Result<Vec<String>, (ErrorKind, String)>, Option<WalkEnd>, Vec<String>) {
    let lines: Vec<String> = (0..pages.len() as u64).map(devices_line).collect();
    let replies: Vec<(&str, Reply)> =
        lines.iter().zip(pages).map(|(line, page)| (line.as_str(), page.clone())).collect();
    let fake = Fake::start(&replies);
    let outcome = walk(&connection(&fake.url)).await;
    let end = outcome.as_ref().ok().and_then(|pages| pages.last().and_then(|page| page.end));
    let ids = outcome
        .map(|pages| pages.into_iter().flat_map(|page| page.devices).map(|d| d.record.external_id).collect())
        .map_err(|error| (error.kind, error.problem.code));
    (ids, end, fake.lines())
}

#[tokio::test]
async fn pages_are_counted_by_ourselves_and_come_in_order() {
    let pages: Vec<Reply> = (0..5).map(|n| page(&rows(n * 250..(n + 1) * 250), Some(1_250), n < 4)).collect();
    let (ids, end, mut asked) = walked(&pages).await;
    let expected: Vec<String> = (0..1_250).map(|n| format!("d{n}")).collect();
    assert_eq!(ids.unwrap(), expected);
    assert_eq!(end, Some(WalkEnd { listed: 1_250, total: Some(1_250), is_complete: true }));
    asked.sort();
    assert_eq!(asked, (0..5).map(devices_line).collect::<Vec<_>>(), "no page twice, none too many");
}

#[tokio::test]
async fn devices_that_moved_while_paging_make_the_walk_incomplete() {
    let repeated: Vec<Value> = rows(249..499);
    let (ids, end, _) =
        walked(&[page(&rows(0..250), Some(500), true), page(&repeated, Some(500), false)]).await;
    assert_eq!(ids.unwrap().len(), 499, "a repeat is dropped");
    assert_eq!(end, Some(WalkEnd { listed: 499, total: Some(500), is_complete: false }));
    // One was deleted while the list was read: the count fits, and still one was skipped.
    let (_, end, _) =
        walked(&[page(&rows(0..250), Some(500), true), page(&rows(251..500), Some(499), false)]).await;
    assert_eq!(end, Some(WalkEnd { listed: 499, total: Some(500), is_complete: false }));
}

#[tokio::test]
async fn walk_is_complete_only_where_a_count_proves_it() {
    let complete = |end: Option<WalkEnd>| end.unwrap().is_complete;
    let (_, end, _) = walked(&[page(&rows(0..3), Some(3), false)]).await;
    assert!(complete(end));
    let (_, end, _) = walked(&[page(&rows(0..3), None, false)]).await;
    assert!(!complete(end), "no count");
    let (_, end, _) = walked(&[page(&rows(0..3), Some(4), false)]).await;
    assert!(!complete(end), "one is missing");
    let (_, end, _) = walked(&[page(&[], Some(0), false)]).await;
    assert!(!complete(end), "nothing at all is not believed");
    let empty_last = [page(&rows(0..3), Some(3), true), page(&[], Some(3), true)];
    let (ids, end, _) = walked(&empty_last).await;
    assert_eq!(ids.unwrap().len(), 3);
    assert!(complete(end), "an empty page ends the list, whatever it says of a next one");
}

#[tokio::test]
async fn smaller_pages_than_asked_for_are_walked_to_the_end() {
    let pages: Vec<Reply> = (0..6).map(|n| page(&rows(n * 100..(n + 1) * 100), Some(600), n < 5)).collect();
    let (ids, end, _) = walked(&pages).await;
    assert_eq!(ids.unwrap().len(), 600);
    assert!(end.unwrap().is_complete);
}

#[tokio::test]
async fn lists_without_an_end_are_no_lists() {
    let same = page(&rows(0..250), Some(5_000), true);
    let fake = Fake::start(&[("*", same)]);
    let error = walk(&connection(&fake.url)).await.unwrap_err();
    assert_eq!((error.kind, error.problem.code.as_str()), (ErrorKind::Malformed, "pages_repeat"));
    assert!(fake.lines().len() <= 8, "{}", fake.lines().len());
    let pages: Vec<Reply> = (0..60).map(|n| page(&rows(n * 10..(n + 1) * 10), Some(100), true)).collect();
    let (outcome, end, asked) = walked(&pages).await;
    assert_eq!(outcome.unwrap_err(), (ErrorKind::Malformed, "list_endless".to_owned()));
    assert_eq!(end, None);
    assert!(asked.len() <= 43, "{}", asked.len());
}

/// What was read stays, but nothing says that it was all.
#[tokio::test]
async fn walk_that_is_cut_off_has_no_end() {
    let fake = Fake::start(&[
        (&devices_line(0), page(&rows(0..250), Some(500), true)),
        (&devices_line(1), Reply::new(500, "application/json", "{}")),
    ]);
    let connection = connection(&fake.url);
    let mut pages = DattoRmm.account_devices(&connection, &NO_NAMES).unwrap();
    let first = pages.next().await.unwrap().unwrap();
    assert_eq!((first.devices.len(), first.end), (250, None));
    assert_eq!(pages.next().await.unwrap().unwrap_err().kind, ErrorKind::Unavailable);
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn page_of_something_else_is_not_taken_for_devices() {
    let (outcome, ..) = walked(&[page(&[json!({"name": "x"}), json!(7), json!(null)], Some(3), false)]).await;
    assert_eq!(outcome.unwrap_err(), (ErrorKind::Malformed, "answer_shape".to_owned()));
}

/// The bad row may be the only one of the last page: the list is read all the same.
#[tokio::test]
async fn bad_row_alone_on_the_last_page_fails_no_list() {
    let (ids, end, _) =
        walked(&[page(&rows(0..250), Some(251), true), page(&[json!({"uid": null})], Some(251), false)])
            .await;
    assert_eq!(ids.unwrap().len(), 250);
    assert_eq!(end, Some(WalkEnd { listed: 251, total: Some(251), is_complete: true }));
}

#[tokio::test]
async fn parts_of_another_shape_cost_no_row() {
    let odd = json!({
        "uid": "d1", "siteUid": CONTOSO, "hostname": 17, "deviceType": "Server", "antivirus": ["x"],
        "patchManagement": 3, "udf": "CANARY",
    });
    let fake = Fake::start(&[(&devices_line(0), page(&[odd], Some(1), false))]);
    let pages = walk(&connection(&fake.url)).await.unwrap();
    let record = &pages[0].devices[0].record;
    assert_eq!((record.facts.name.as_str(), record.facts.device_type), ("17", AssetType::Unknown));
    let sites = json!({"pageDetails": {}, "sites": [{"uid": "s1", "name": "Odd", "onDemand": {}, "devicesStatus": 5}]});
    let fake = Fake::start(&[(&sites_line(0), Reply::json(sites.to_string()))]);
    let organizations = DattoRmm.organizations(&connection(&fake.url)).await.unwrap();
    assert_eq!((organizations[0].name.as_str(), organizations[0].device_count), ("Odd", None));
}

#[tokio::test]
async fn row_without_a_site_is_rejected_with_its_id() {
    let fake = Fake::start(&[(
        &devices_line(0),
        page(&[row(1), json!({"uid": "d2", "hostname": "h"})], Some(2), false),
    )]);
    let pages = walk(&connection(&fake.url)).await.unwrap();
    let rejected = &pages[0].rejected[0];
    assert_eq!((rejected.external_id.as_deref(), rejected.name.as_deref()), (Some("d2"), Some("h")));
    assert_eq!(rejected.reason, "the row has no `siteUid`");
    assert!(pages[0].end.unwrap().is_complete, "it was met");
}

#[tokio::test]
async fn walk_without_a_token_says_so() {
    let fake = Fake::start(&[]);
    let mut connection = connection(&fake.url);
    connection.token = None;
    assert_eq!(walk(&connection).await.unwrap_err().problem.code, "not_signed_in");
}

#[tokio::test]
async fn devices_of_one_site_come_in_pages() {
    let line = |page: u64| format!("GET /api/v2/site/{CONTOSO}/devices?page={page}&max=250");
    let fake = Fake::start(&[
        (&line(0), page(&rows(0..250), Some(260), true)),
        (&line(1), page(&rows(249..260), Some(260), false)),
    ]);
    let pages = site_pages(&connection(&fake.url), CONTOSO).await.unwrap();
    assert_eq!(
        pages.iter().map(|page| (page.records.len(), page.last)).collect::<Vec<_>>(),
        [(250, false), (10, true)]
    );
    let fake = Fake::start(&[("*", page(&rows(0..2), Some(2), false))]);
    let error = site_pages(&connection(&fake.url), FABRIKAM).await.unwrap_err();
    assert_eq!((error.kind, error.problem.code.as_str()), (ErrorKind::Malformed, "filter_ignored"));
    let error = site_pages(&connection(&fake.url), "..").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn devices_are_located_one_by_one_and_missing_ones_left_out() {
    let device = |uid: &str, deleted: bool| {
        Reply::json(
            json!({"uid": uid, "siteUid": CONTOSO, "siteName": "Contoso Ltd", "deleted": deleted})
                .to_string(),
        )
    };
    let fake = Fake::start(&[
        ("GET /api/v2/device/d1", device("d1", false)),
        ("GET /api/v2/device/d2", reply("device-unknown")),
        ("GET /api/v2/device/d3", device("d3", true)),
        ("GET /api/v2/device/d4", device("another", false)),
        ("GET /api/v2/device/d5", reply("too-many")),
    ]);
    let connection = connection(&fake.url);
    let locate = |ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let connection = connection.clone();
        async move { DattoRmm.locate(&connection, &ids).await }
    };
    let found = locate(&["d1", "d2", "d3", ".."]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].external_id.as_str(), found[0].organization_name.as_str()), ("d1", "Contoso Ltd"));
    assert_eq!(
        locate(&["d4"]).await.unwrap_err().kind,
        ErrorKind::Malformed,
        "an answer about another device"
    );
    assert_eq!(locate(&["d1", "d5"]).await.unwrap_err().kind, ErrorKind::RateLimited);
}

#[tokio::test]
async fn audits_of_each_class_become_details() {
    let fake = Fake::start(&[
        ("GET /api/v2/audit/device/d1", reply("audit-device")),
        ("GET /api/v2/audit/printer/d2", reply("audit-printer")),
        ("GET /api/v2/audit/esxihost/d3", reply("audit-esxihost")),
    ]);
    let connection = connection(&fake.url);
    let mut details = Vec::new();
    for (id, device_type) in [
        ("d1", AssetType::Server),
        ("d2", AssetType::Printer),
        ("d3", AssetType::Hypervisor),
        ("d4", AssetType::NetworkDevice),
    ] {
        details.push(DattoRmm.detail(&connection, &device(id, device_type)).await.unwrap());
    }
    assert_eq!(fake.lines().len(), 3, "network devices have no audit");
    insta::assert_debug_snapshot!(details);
}

#[tokio::test]
async fn wrong_class_is_asked_again_as_a_device() {
    let fake = Fake::start(&[
        ("GET /api/v2/audit/printer/d1", reply("wrong-class")),
        ("GET /api/v2/audit/device/d1", reply("audit-device")),
        ("GET /api/v2/audit/device/d2", reply("wrong-class")),
    ]);
    let connection = connection(&fake.url);
    let detail = DattoRmm.detail(&connection, &device("d1", AssetType::Printer)).await.unwrap().detail;
    assert_eq!(detail.serial.as_deref(), Some("7XK4Q93"));
    let unknown = DattoRmm.detail(&connection, &device("d2", AssetType::Unknown)).await.unwrap().detail;
    assert_eq!(unknown, domain::device::DeviceDetail::default());
    let error = DattoRmm.detail(&connection, &device("d2", AssetType::Server)).await.unwrap_err();
    assert_eq!((error.kind, error.problem.code.as_str()), (ErrorKind::Rejected, "bad_request"));
}

#[tokio::test]
async fn object_that_is_no_audit_is_not_taken_for_an_empty_one() {
    let fake = Fake::start(&[
        ("GET /api/v2/audit/device/d1", Reply::json("{\"status\": \"ok\"}")),
        ("GET /api/v2/audit/device/d2", Reply::json("{\"systemInfo\": null, \"nics\": null, \"bios\": {}}")),
    ]);
    let connection = connection(&fake.url);
    let error = DattoRmm.detail(&connection, &device("d1", AssetType::Server)).await.unwrap_err();
    assert_eq!(error.problem.code, "answer_shape");
    let detail = DattoRmm.detail(&connection, &device("d2", AssetType::Server)).await.unwrap().detail;
    assert_eq!(detail, domain::device::DeviceDetail::default());
}

#[tokio::test]
async fn software_is_read_page_by_page() {
    let fake = Fake::start(&[("GET /api/v2/audit/device/d1/software?page=0&max=250", reply("software"))]);
    let connection = Connection { budget: Arc::new(Unlimited), ..connection(&fake.url) };
    let source = DattoRmm.software().unwrap();
    let installed = source.installed(&connection, &device("d1", AssetType::Server)).await.unwrap();
    let names: Vec<(&str, Option<&str>)> =
        installed.iter().map(|program| (program.name.as_str(), program.version.as_deref())).collect();
    assert_eq!(names, [("7-Zip", Some("24.08")), ("Mozilla Firefox", None)]);
    let error = source.installed(&connection, &device("d2", AssetType::Server)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAnApi);
}
