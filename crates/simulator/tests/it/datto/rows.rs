//! Rows of devices, sites and audits (§7, §8, §11, §14).

use std::collections::BTreeSet;

use serde_json::Value;
use simulator::datto_rmm::Config;

use crate::datto::{Datto, number};

async fn devices(count: usize) -> (Datto, Vec<Value>) {
    let sim = Datto::of(count).await;
    let rows = sim.walk("/v2/account/devices", "devices").await;
    (sim, rows)
}

fn kinds(rows: &[Value], field: &str) -> BTreeSet<&'static str> {
    let kind = |row: &Value| match &row[field] {
        Value::Null => "null",
        Value::String(_) => "text",
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => "no date",
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 10_000_000_000) => "seconds",
        Value::Number(_) => "milliseconds",
        _ => "other",
    };
    rows.iter().map(kind).collect()
}

/// §14: dates in milliseconds, seconds and text, .NET's no date, and none.
#[tokio::test]
async fn dates_come_in_every_way() {
    let (_sim, rows) = devices(2_000).await;
    let expected = BTreeSet::from(["milliseconds", "no date", "null", "other", "seconds", "text"]);
    assert_eq!(kinds(&rows, "lastSeen"), expected, "`other` is the malformed row");
    let warranty: BTreeSet<&str> = rows.iter().filter_map(|row| row["warrantyDate"].as_str()).collect();
    assert!(warranty.iter().all(|date| date.len() == 10), "{warranty:?}");
}

/// §7 and §14: null may stand anywhere, unknown words in every enum, and one row fits nothing.
#[tokio::test]
async fn rows_have_nulls_unknown_words_and_one_that_fits_nothing() {
    let (sim, rows) = devices(2_000).await;
    for field in [
        "deviceType",
        "intIpAddress",
        "operatingSystem",
        "lastLoggedInUser",
        "domain",
        "cagVersion",
        "description",
        "a64Bit",
        "rebootRequired",
        "lastReboot",
        "lastAuditDate",
        "snmpEnabled",
        "warrantyDate",
        "antivirus",
        "patchManagement",
        "softwareStatus",
        "webRemoteUrl",
        "networkProbe",
    ] {
        assert!(rows.iter().any(|row| row[field].is_null()), "`{field}` is never null");
        assert!(rows.iter().any(|row| !row[field].is_null()), "`{field}` is always null");
    }
    let words =
        |path: &str| rows.iter().filter_map(|row| row.pointer(path)?.as_str()).collect::<BTreeSet<_>>();
    let classes = words("/deviceClass");
    for class in ["device", "printer", "esxihost", "rmmnetworkdevice", "unknown", "smartthermostat"] {
        assert!(classes.contains(class), "{classes:?}");
    }
    assert!(words("/antivirus/antivirusStatus").contains("Quarantined"));
    assert!(words("/patchManagement/patchStatus").contains("AwaitingMoon"));
    assert_eq!(rows.iter().filter(|row| row["hostname"].is_number()).count(), 1);
    sim.server.control().set_malformed_row(false);
    assert_eq!(sim.walk("/v2/account/devices", "devices").await.len(), 2_000);
}

/// §7: the site of deleted devices has a uid that is none, and rows say `deleted`; on-demand sites are marked.
#[tokio::test]
async fn deleted_devices_and_on_demand_sites_are_listed() {
    let (sim, rows) = devices(300).await;
    let sites = sim.walk("/v2/account/sites", "sites").await;
    let deleted = sites.iter().find(|site| site["name"] == "Deleted Devices").unwrap();
    assert_eq!(deleted["uid"], "deleted-devices");
    let gone: Vec<&Value> = rows.iter().filter(|row| row["deleted"] == true).collect();
    assert!(
        !gone.is_empty() && gone.iter().all(|row| row["siteUid"] == deleted["uid"] && row["online"] == false)
    );
    let on_demand = sites.iter().find(|site| site["onDemand"] == true).unwrap();
    assert!(rows.iter().any(|row| row["siteUid"] == on_demand["uid"]));
    assert!(
        sites
            .iter()
            .any(|site| site["autotaskCompanyId"].is_string() && site["autotaskCompanyName"].is_string())
    );
    assert!(sites.iter().any(|site| site["autotaskCompanyId"].is_null()));
    let account = sim.json("/v2/account").await;
    let listed = rows.len() - 1 - gone.len();
    assert_eq!(number(&account, "/devicesStatus/numberOfDevices"), listed as u64);
}

/// §7 and §16: 30 fields of their own on older accounts, 300 since mid-2026; they hold keys.
#[tokio::test]
async fn own_fields_are_30_or_300_and_hold_secrets() {
    let (_sim, rows) = devices(300).await;
    let own = |row: &Value| row["udf"].as_object().map_or(0, serde_json::Map::len);
    assert!(rows.iter().filter(|row| row["hostname"].is_string()).all(|row| own(row) == 30));
    let is_recovery_key = |text: &str| text.len() == 55 && text.split('-').all(|group| group.len() == 6);
    assert!(rows.iter().any(|row| row["udf"]["udf2"].as_str().is_some_and(is_recovery_key)));
    let new = Datto::start(Config { udfs: 300, ..Config::sized(30) }).await;
    assert_eq!(own(&new.json("/v2/account/devices").await["devices"][0]), 300);
}

/// §6 and §11: by uid, by number and by hardware address (a list); the audit by class, 400 for the wrong one.
#[tokio::test]
async fn devices_and_audits_are_found_by_uid_id_and_address() {
    let (sim, _) = devices(120).await;
    let uid = sim.device("device");
    let device = sim.json(&format!("/v2/device/{uid}")).await;
    assert_eq!(sim.json(&format!("/v2/device/id/{}", device["id"])).await, device);
    let audit = sim.json(&format!("/v2/audit/device/{uid}")).await;
    let mac = audit["nics"][0]["macAddress"].as_str().unwrap().replace([':', '-'], "");
    assert_eq!(mac.len(), 12);
    let found = sim.json(&format!("/v2/device/macAddress/{mac}")).await;
    assert!(found.as_array().unwrap().contains(&device));
    let audits = sim.json(&format!("/v2/audit/device/macAddress/{mac}")).await;
    assert!(audits.as_array().unwrap().contains(&audit));
    assert_eq!(
        sim.get("/v2/device/macAddress/00:15:5D:00:00:01").await.status,
        400,
        "separators are refused"
    );
    let software = sim.json(&format!("/v2/audit/device/{uid}/software")).await;
    let first = software["software"][0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["name", "version"]);
    for (class, path, field) in
        [("printer", "printer", "printerMarkerSupplies"), ("esxihost", "esxihost", "guests")]
    {
        let uid = sim.device(class);
        assert!(sim.json(&format!("/v2/audit/{path}/{uid}")).await[field].is_array());
        assert_eq!(sim.get(&format!("/v2/audit/device/{uid}")).await.status, 400, "{class}");
    }
    assert_eq!(sim.get(&format!("/v2/audit/device/{}", sim.device("rmmnetworkdevice"))).await.status, 400);
    assert_eq!(sim.get("/v2/device/no-such-uid").await.status, 404);
}

/// §11: `lastAuditDate` moves when an audit is renewed, and only then.
#[tokio::test]
async fn the_date_of_the_audit_moves() {
    let (sim, _) = devices(60).await;
    let uid = sim.device("device");
    let path = format!("/v2/device/{uid}");
    let before = sim.json(&path).await;
    sim.server.control().advance(600);
    assert_eq!(sim.json(&path).await["lastAuditDate"], before["lastAuditDate"]);
    assert_ne!(sim.json(&path).await["lastSeen"], before["lastSeen"]);
    sim.server.control().renew_audit(&uid).unwrap();
    assert_ne!(sim.json(&path).await["lastAuditDate"], before["lastAuditDate"]);
}

/// §6: the short form with adapters, per site.
#[tokio::test]
async fn a_site_lists_its_network_interfaces() {
    let (sim, rows) = devices(120).await;
    let site = rows[0]["siteUid"].as_str().unwrap();
    let short = sim.walk(&format!("/v2/site/{site}/devices/network-interface"), "devices").await;
    let long = sim.walk(&format!("/v2/site/{site}/devices"), "devices").await;
    let uids = |rows: &[Value]| rows.iter().map(|row| row["uid"].to_string()).collect::<Vec<_>>();
    assert_eq!(uids(&short), uids(&long));
    assert!(
        short.iter().any(|row| row["nics"][0]["macAddress"].is_string()) && short[0].get("udf").is_none()
    );
}
