//! Pages, filters, activity logs, patches, alerts as lists (§5, §6, §9, §12, §13).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use simulator::datto_rmm::Config;

use crate::datto::{Datto, number};

fn uids(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().filter_map(|row| row["uid"].as_str().map(str::to_owned)).collect()
}

/// §5: pages from 0, 250 at most, a 400 that says so above it, the total on every page.
#[tokio::test]
async fn pages_begin_at_zero_and_hold_250_rows_at_most() {
    let sim = Datto::of(600).await;
    assert_eq!(sim.json("/v2/system/pagination").await["max"], 250);
    let first = sim.json("/v2/account/devices").await;
    assert_eq!((number(&first, "/pageDetails/count"), number(&first, "/pageDetails/totalCount")), (250, 601));
    let last = sim.json("/v2/account/devices?page=2&max=250").await;
    assert_eq!(last["devices"].as_array().unwrap().len(), 101);
    assert_eq!(last["pageDetails"]["nextPageUrl"], Value::Null);
    let beyond = sim.json("/v2/account/devices?page=9").await;
    assert_eq!(beyond["devices"].as_array().unwrap().len(), 0);
    let refused = sim.get("/v2/account/devices?max=251").await;
    assert!(refused.status == 400 && refused.text.contains("exceeds the limit of 250"), "{}", refused.text);
}

/// §5: the link to the next page is absolute and has forgotten the filter; at the end of alerts it is an empty text.
#[tokio::test]
async fn the_next_link_forgets_filters() {
    let sim = Datto::of(600).await;
    let page = sim.json("/v2/account/devices?max=10&hostname=alp").await;
    let total = number(&page, "/pageDetails/totalCount");
    assert!(total > 10 && total < 600);
    let link = page["pageDetails"]["nextPageUrl"].as_str().unwrap();
    let (path, query) = link.strip_prefix(sim.server.url()).expect("absolute").split_once('?').unwrap();
    assert_eq!((path, query), ("/api/v2/account/devices", "max=10&page=1"));
    let alerts = sim.json("/v2/account/alerts/open?max=250").await;
    assert_eq!(alerts["pageDetails"]["nextPageUrl"], "");
}

/// §6: filters look for a part of the text; `filterId` overrides them (§16).
#[tokio::test]
async fn filters_are_like_and_the_filter_id_wins() {
    let sim = Datto::of(300).await;
    let count = async |query: &str| {
        number(&sim.json(&format!("/v2/account/devices?{query}")).await, "/pageDetails/totalCount")
    };
    assert_eq!(count("hostname=nobody-has-this").await, 0);
    let servers = count("filterId=1").await;
    assert!(servers > 0);
    assert_eq!(count("filterId=1&hostname=nobody-has-this").await, servers);
    assert!(count("deviceType=server").await > 0 && count("operatingSystem=debian").await > 0);
    let site = sim.json("/v2/account/sites?siteName=deleted").await;
    assert_eq!(site["sites"][0]["name"], "Deleted Devices");
}

/// §5: rows move while somebody pages, so that one is met twice and another not at all.
#[tokio::test]
async fn rows_can_move_during_a_walk() {
    let sim = Datto::of(1_000).await;
    let still = sim.walk("/v2/account/devices", "devices").await;
    assert_eq!(uids(&still).len(), 1_000);
    sim.server.control().set_moves_per_page(400);
    let moved = sim.walk("/v2/account/devices", "devices").await;
    assert_eq!(moved.len(), still.len(), "the total is the same");
    assert!(uids(&moved).len() < 1_000, "and yet some were missed");
    sim.server.control().set_moves_per_page(0);
    assert_eq!(uids(&sim.walk("/v2/account/devices", "devices").await), uids(&still));
}

/// §6: rows of one site do not stand together.
#[tokio::test]
async fn the_account_list_is_not_grouped_by_site() {
    let sim = Datto::of(600).await;
    let rows = sim.walk("/v2/account/devices", "devices").await;
    let changes = rows.windows(2).filter(|pair| pair[0]["siteUid"] != pair[1]["siteUid"]).count();
    assert!(changes > 400, "{changes}");
}

/// §9: every described context, unknown ones, an empty key, and no context at all; the two lists share nothing.
#[tokio::test]
async fn alerts_have_every_context_and_worse() {
    let sim = Datto::of(700).await;
    let open = sim.walk("/v2/account/alerts/open", "alerts").await;
    let resolved = sim.walk("/v2/account/alerts/resolved", "alerts").await;
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    for alert in &open {
        *classes.entry(alert["alertContext"]["@class"].as_str().unwrap_or("none").to_owned()).or_default() +=
            1;
    }
    for class in [
        "antivirus_ctx",
        "comp_script_ctx",
        "eventlog_ctx",
        "online_offline_status_ctx",
        "patch_ctx",
        "perf_disk_usage_ctx",
        "disk_usage_ctx",
        "perf_resource_usage_ctx",
        "process_resource_usage_ctx",
        "resource_usage_ctx",
        "process_status_ctx",
        "status_ctx",
        "srvc_resource_usage_ctx",
        "srvc_status_ctx",
        "fs_object_ctx",
        "filesystem_ctx",
        "ping_ctx",
        "perf_mon_ctx",
        "windows_performance_ctx",
        "wmi_ctx",
        "sw_action_ctx",
        "action_ctx",
        "sec_management_ctx",
        "security_management_ctx",
        "seccenter_ctx",
        "custom_snmp_ctx",
        "snmp_probe_ctx",
        "printer_ctx",
        "ransomware_ctx",
        "endpoint_security_threat_ctx",
        "endpoint_security_windows_defender_ctx",
        "network_monitor_ctx",
        "backup_management_ctx",
        "disk_health_ctx",
        "fan_ctx",
        "psu_ctx",
        "temperature_ctx",
        "quantum_drift_ctx",
        "none",
    ] {
        assert!(classes.contains_key(class), "no `{class}` in {classes:?}");
    }
    assert!(
        open.iter().any(|alert| alert["alertContext"]["samples"].get("").is_some()),
        "an empty sample key"
    );
    assert!(open.iter().any(|alert| !alert["responseActions"].as_array().unwrap().is_empty()));
    assert!(open.iter().all(|alert| alert["resolved"] == false && alert["resolvedOn"].is_null()));
    assert!(!resolved.is_empty() && resolved.iter().all(|alert| alert["resolvedOn"].is_u64()));
    let muted = sim.json("/v2/account/alerts/open?muted=true").await;
    assert!(muted["alerts"].as_array().unwrap().iter().all(|alert| alert["muted"] == true));
}

/// §13: a quarter of an hour unless more is asked for; seconds; a cursor in place of pages; no total.
#[tokio::test]
async fn activity_logs_page_by_cursor() {
    let sim = Datto::of(60).await;
    let recent = sim.json("/v2/activity-logs").await;
    let count = number(&recent, "/pageDetails/count");
    assert!((14..=16).contains(&count), "one a minute: {count}");
    assert_eq!(recent["pageDetails"].get("totalCount"), None);
    let row = &recent["activities"][0];
    let date = row["date"].as_f64().unwrap();
    assert!((1e9..1e10).contains(&date) && date.fract() != 0.0, "seconds with a fraction: {date}");
    assert!(serde_json::from_str::<Value>(row["details"].as_str().unwrap()).is_ok());
    let (mut path, mut ids) =
        ("/v2/activity-logs?from=2026-01-01T00:00:00Z&size=250".to_owned(), BTreeSet::new());
    loop {
        let page = sim.json(&path).await;
        ids.extend(page["activities"].as_array().unwrap().iter().map(|row| row["id"].to_string()));
        let Some(next) = page["pageDetails"]["nextPageUrl"].as_str() else { break };
        let after = next.split("searchAfter=").nth(1).unwrap();
        path = format!("/v2/activity-logs?from=2026-01-01T00:00:00Z&size=250&page=next&searchAfter={after}");
    }
    assert_eq!(ids.len(), 600);
    assert_eq!(
        sim.get("/v2/activity-logs?from=2026-01-01T00:00:00.000Z").await.status,
        400,
        "no milliseconds"
    );
    let remote = sim.json("/v2/activity-logs?from=2026-01-01T00:00:00Z&categories=remote,job").await;
    assert!(remote["activities"].as_array().unwrap().iter().all(|row| row["category"] == "remote"));
}

/// §12: the paths of patches exist on some platforms; elsewhere the 404 is that of an unknown path.
#[tokio::test]
async fn patches_are_there_or_an_unknown_path() {
    let sim = Datto::start(Config { patches: true, ..Config::sized(60) }).await;
    let windows = sim.json("/v2/account/devices?operatingSystem=windows").await;
    let path = format!("/v2/device/{}/patches", windows["devices"][0]["uid"].as_str().unwrap());
    let pending = sim.json(&format!("{path}?installStatus=APPROVED_PENDING")).await;
    assert!(number(&pending, "/pageDetails/totalCount") > 0);
    sim.server.control().set_patches(false);
    let missing = sim.get(&path).await;
    assert!(missing.status == 404 && missing.text.contains("No static resource"), "{}", missing.text);
}
