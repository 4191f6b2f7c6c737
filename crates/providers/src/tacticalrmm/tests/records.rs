//! Recorded answers become these records.

use futures::{StreamExt, TryStreamExt};
use provider::{DetailRecord, DevicePage, DeviceRecord, Dictionary, Inventory};
use serde_json::{Value, json, value::RawValue};

use super::{
    connection, device,
    fake::{Fake, Reply},
    recorded_body,
};
use crate::tacticalrmm::{
    TacticalRmm,
    hardware::size_bytes,
    inventory::{ListProblem, details, page_after, paginate, read_rows},
    wire::{self, BetaPage},
};

pub(super) fn rows(body: &str) -> Vec<Box<RawValue>> {
    serde_json::from_str(body).unwrap()
}

fn dictionary() -> Dictionary {
    let rows: Vec<wire::CustomFieldRow<'_>> = serde_json::from_str(&DICTIONARY_BODY).unwrap();
    crate::tacticalrmm::normalize::dictionary(&rows)
}

static DICTIONARY_BODY: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| recorded_body("customfields-list"));

/// All agents of the recording, client by client as a sync asks.
fn recorded_records() -> Vec<DeviceRecord> {
    let all = rows(&recorded_body("agents-list"));
    let mut records = Vec::new();
    for client in ["Contoso Dental", "Fabrikam & Sons", "Northwind Traders"] {
        let name = format!("\"client_name\":{}", json!(client));
        let of_client = all.iter().filter(|row| row.get().contains(&name)).cloned().collect();
        let (found, rejected) = read_rows(of_client, &dictionary()).unwrap();
        assert_eq!(rejected, []);
        records.extend(found);
    }
    assert_eq!(records.len(), 31);
    records
}

fn show(record: &DeviceRecord) -> Value {
    let presence = &record.presence;
    json!({
        "external_id": record.external_id,
        "facts": record.facts,
        "presence": {
            "last_seen": presence.last_seen,
            "vendor_status": presence.vendor_status,
            "booted_at": presence.booted_at,
            "user": presence.user,
            "user_is_current": presence.user_is_current,
        },
    })
}

fn show_detail(record: &DetailRecord) -> Value {
    json!({ "external_id": record.external_id, "detail": record.detail })
}

fn detail_of(body: &str) -> DetailRecord {
    crate::tacticalrmm::hardware::detail(&wire::object(body).unwrap()).unwrap()
}

#[test]
fn every_recorded_agent_becomes_a_record() {
    let lines: Vec<String> = recorded_records()
        .iter()
        .map(|record| {
            let (facts, presence) = (&record.facts, &record.presence);
            format!(
                "{} {} {} {} user={}{} lan={} wan={} booted={}",
                facts.name,
                facts.device_type.name(),
                facts.platform.as_deref().unwrap_or("-"),
                presence.vendor_status.map_or("-", |status| status.name()),
                presence.user.as_deref().unwrap_or(""),
                if presence.user_is_current { "" } else { " (was)" },
                facts.lan_ips.join(" "),
                facts.wan_ip.as_deref().unwrap_or(""),
                presence.booted_at.map(|at| at.to_string()).unwrap_or_default(),
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_field_of_each_platform_is_read() {
    let shown: Vec<Value> = recorded_records()
        .iter()
        .filter(|record| {
            ["CON-DC01", "nw-web01", "CON-ZRH-MAC", "NW-NEW"].contains(&record.facts.name.as_str())
        })
        .map(show)
        .collect();
    assert_eq!(shown.len(), 4);
    insta::assert_json_snapshot!(shown);
}

#[test]
fn raw_row_is_kept_as_it_came() {
    let body = recorded_body("agents-list");
    let (records, _) = read_rows(vec![rows(&body).remove(0)], &dictionary()).unwrap();
    assert_eq!(records[0].raw.get(), rows(&body)[0].get());
}

#[test]
fn two_agents_of_one_name_stay_two() {
    let twins: Vec<String> = recorded_records()
        .into_iter()
        .filter(|record| record.facts.name == "CON-WS002")
        .map(|record| record.external_id)
        .collect();
    assert_eq!(twins.len(), 2);
    assert_ne!(twins[0], twins[1]);
}

#[test]
fn details_of_each_platform_are_read() {
    let shown: Vec<Value> = ["windows", "linux", "mac", "never-seen"]
        .iter()
        .map(|platform| show_detail(&detail_of(&recorded_body(&format!("agents-detail-{platform}")))))
        .collect();
    insta::assert_json_snapshot!(shown);
}

#[test]
fn beta_rows_give_the_same_details() {
    let page = |name: &str| -> BetaPage { wire::object(&recorded_body(name)).unwrap() };
    let mut bulk = details(&page("beta-agent-list-p1"));
    bulk.extend(details(&page("beta-agent-list-page-size-zero")));
    for single in ["agents-detail-windows", "agents-detail-linux"] {
        let single = detail_of(&recorded_body(single));
        let twin = bulk.iter().find(|record| record.external_id == single.external_id).unwrap();
        assert_eq!(twin.detail, single.detail);
    }
    let never_seen = detail_of(&recorded_body("beta-agent-detail-never-seen"));
    assert_eq!(never_seen.detail, detail_of(&recorded_body("agents-detail-never-seen")).detail);
}

#[test]
fn hardware_addresses_are_found_in_old_and_new_shapes() {
    let macs = |wmi: Value| {
        let row = json!({"agent_id": "x", "wmi_detail": wmi}).to_string();
        detail_of(&row).detail.macs
    };
    let (a, b) = ("00:15:5d:00:00:01", "00:15:5d:00:00:02");
    assert_eq!(macs(json!({"network_config": [[{"MACAddress": a}], [{"MACAddress": ""}]]})), [a]);
    assert_eq!(macs(json!({"network_config": [[{"IPEnabled": true}, {"MACAddress": a}]]})), [a]);
    let adapters = json!({"network_config": [[{"MACAddress": a}]], "network_adapter": [{"MACAddress": b}, {"MACAddress": a}]});
    assert_eq!(macs(adapters), [a, b]);
    assert_eq!(macs(json!({"network_config": "none", "network_adapter": null})), Vec::<String>::new());
    assert_eq!(macs(json!("gone")), Vec::<String>::new());
    assert_eq!(
        macs(json!({"network_config": [[{"MACAddress": "00:00:00:00:00:00"}]]})),
        Vec::<String>::new()
    );
}

#[test]
fn sizes_are_read_in_both_spellings() {
    assert_eq!(size_bytes("512.0M"), Some(512 << 20));
    assert_eq!(size_bytes("1.5 GB"), Some(3 << 29));
    assert_eq!(size_bytes("1.8T"), Some(1_979_120_929_997));
    assert_eq!(size_bytes("12 GiB"), Some(12 << 30));
    assert_eq!(size_bytes("0 B"), Some(0));
    for odd in ["", "G", "many", "-1G", "1.2.3G", "1e3G", "5 apples", "99999999999999999P"] {
        assert_eq!(size_bytes(odd), None, "{odd}");
    }
}

#[track_caller]
fn facts_of(row: Value) -> DeviceRecord {
    let (mut records, rejected) = read_rows(rows(&json!([row]).to_string()), &dictionary()).unwrap();
    assert_eq!(rejected, []);
    records.remove(0)
}

#[test]
fn odd_but_readable_values_are_no_reason_to_reject() {
    let record = facts_of(json!({
        "agent_id": " 12345 ", "hostname": " PC\u{7}1 ", "boot_time": "1795200585.6", "needs_reboot": 1, "status": "asleep",
        "has_patches_pending": "True", "maintenance_mode": null, "cpu_model": "one cpu", "physical_disks": null,
        "local_ips": "10.0.0.5, 10.0.0.5/24, 127.0.0.1, ::1, fe80::1/64, fd00::7/64, nonsense", "public_ip": "not known",
        "custom_fields": null, "monitoring_type": "toaster", "last_seen": "yesterday", "new_key": {"any": ["thing"]},
    }));
    assert_eq!(record.external_id, "12345");
    assert_eq!(record.facts.name, "PC 1");
    assert_eq!(record.facts.needs_reboot, Some(true));
    assert_eq!(record.facts.patches_pending, Some(true));
    assert_eq!(record.facts.maintenance, None);
    assert_eq!(record.facts.cpus, ["one cpu"]);
    assert_eq!(record.facts.lan_ips, ["10.0.0.5", "fd00::7"]);
    assert_eq!(record.facts.wan_ip, None);
    assert_eq!(record.presence.booted_at.unwrap().as_ms(), 1_795_200_586_000);
    assert_eq!(record.presence.vendor_status, None);
    assert_eq!(record.presence.last_seen, None);
}

#[test]
fn short_way_for_plain_text_changes_nothing() {
    let long = "x".repeat(3_000);
    for text in ["", "  ", " a b ", "a\u{7f}b", "a\u{1b}[31m", "Zürich", "a\nb", "\u{85}x", long.as_str()] {
        let record = facts_of(json!({"agent_id": "a", "description": text}));
        assert_eq!(record.facts.description, domain::device::clean_text(text), "{text:?}");
    }
}

#[test]
fn custom_fields_go_by_name_and_empty_ones_are_left_out() {
    let record = facts_of(json!({"agent_id": "a", "custom_fields": [
        {"field": 1, "value": " TAG "}, {"field": 3, "value": false}, {"field": 77, "value": ["a", "", "b"]},
        {"field": 78, "value": ""}, {"field": 79, "value": null}, {"field": 80, "value": []},
    ]}));
    let shown = json!(record.facts.custom_fields);
    assert_eq!(shown, json!({"#77": ["a", "b"], "Asset Tag": "TAG", "Backup Enabled": false}));
}

#[test]
fn custom_fields_of_one_name_are_told_apart_by_number() {
    let body = r#"[{"id": 9, "model": "agent", "name": "Tag"}, {"id": 4, "model": "agent", "name": "Tag "},
                   {"id": 5, "model": "client", "name": "Tag"}, {"id": 6, "model": "agent", "name": "\u0023 9"}]"#;
    let fields: Vec<wire::CustomFieldRow<'_>> = serde_json::from_str(body).unwrap();
    let dictionary = crate::tacticalrmm::normalize::dictionary(&fields);
    assert_eq!(json!(dictionary.custom_fields), json!({"4": "Tag", "9": "Tag (#9)"}));
}

#[test]
fn one_bad_row_rejects_itself_alone() {
    let body = json!([
        {"agent_id": "good-1", "hostname": "A"},
        {"agent_id": "bad-1", "hostname": "B", "boot_time": {"not": "a number"}},
        {"hostname": "C"},
        ["agent-id-by-position", "D"],
        {"agent_id": 5, "hostname": "F"},
        {"agent_id": "good-2", "hostname": "E"},
    ]);
    let (records, rejected) = read_rows(rows(&body.to_string()), &dictionary()).unwrap();
    assert_eq!(
        records.iter().map(|record| record.external_id.as_str()).collect::<Vec<_>>(),
        ["good-1", "good-2"]
    );
    let named: Vec<(Option<&str>, Option<&str>)> =
        rejected.iter().map(|row| (row.external_id.as_deref(), row.name.as_deref())).collect();
    assert_eq!(named, [(Some("bad-1"), Some("B")), (None, Some("C")), (None, None), (None, Some("F"))]);
    let reasons: Vec<&str> = rejected.iter().map(|row| row.reason.as_str()).collect();
    let expected = [
        "row 2 of the list: `boot_time` must be a single value, but an object came",
        "row 3 of the list: the row has no `agent_id`",
        "row 4 of the list: the row is a list, not an object",
        "row 5 of the list: `agent_id` must be a text, but a number came",
    ];
    assert_eq!(reasons, expected);
}

#[track_caller]
fn check_rejected(row: &str, id_and_name: (Option<&str>, Option<&str>), reason: &str) {
    let (_, mut rejected) =
        read_rows(rows(&format!("[{{\"agent_id\": \"a\"}}, {row}]")), &dictionary()).unwrap();
    let row = rejected.remove(0);
    assert_eq!((row.external_id.as_deref(), row.name.as_deref()), id_and_name);
    assert_eq!(row.reason, format!("row 2 of the list: {reason}"));
}

#[test]
fn rejected_rows_name_each_wrong_field_and_no_value() {
    check_rejected(
        r#"{"hostname": 17, "agent_id": true}"#,
        (None, Some("17")),
        "`agent_id` must be a text, but true or false came; `hostname` must be a text, but a number came",
    );
    check_rejected(
        r#"{"agent_id": "b", "hostname": ["CANARY"], "cpu_model": [{"x": "CANARY"}], "unknown": {"x": []}}"#,
        (Some("b"), None),
        "`cpu_model` must be a list of texts, but a list of something else came; `hostname` must be a text, but a list came",
    );
    check_rejected(
        r#"{"agent_id": "b", "hostname": "B", "graphics": [], "plat": {}, "serial_number": [], "custom_fields": "CANARY", "status": {}}"#,
        (Some("b"), Some("B")),
        "`custom_fields` must be a list of objects, but a text came; `graphics` must be a single value, but a list came; \
         `plat` must be a single value, but an object came; and 2 more fields",
    );
    check_rejected(
        r#"{"agent_id": "b", "hostname": "B", "plat": "x", "plat": "y"}"#,
        (Some("b"), Some("B")),
        "the row has `plat` more than once",
    );
}

#[test]
fn list_in_which_nothing_names_an_agent_is_none() {
    let read = |body: Value| read_rows(rows(&body.to_string()), &Dictionary::default()).map(|_| ());
    assert_eq!(read(json!([{"agent_id": 1}, {"agent_id": null}])), Err(ListProblem::NoAgents));
    assert_eq!(read(json!([1, "two", null])), Err(ListProblem::NoAgents));
    assert_eq!(read(json!([{"agent_id": "bad", "hostname": []}])), Ok(()));
    assert_eq!(read(json!([])), Ok(()));
}

#[test]
fn pages_cover_everything_and_only_the_last_says_so() {
    let count = |records: usize, size: usize| -> Vec<(usize, bool)> {
        let rows = rows(
            &json!((0..records).map(|n| json!({"agent_id": n.to_string()})).collect::<Vec<_>>()).to_string(),
        );
        let (records, rejected) = read_rows(rows, &Dictionary::default()).unwrap();
        paginate(records, rejected, size).iter().map(|page| (page.records.len(), page.last)).collect()
    };
    assert_eq!(count(5, 2), [(2, false), (2, false), (1, true)]);
    assert_eq!(count(4, 2), [(2, false), (2, true)]);
    assert_eq!(count(0, 2), [(0, true)]);
    assert_eq!(count(2, 0), [(1, false), (1, true)]);
}

#[test]
fn beta_pages_end() {
    let page = |count: u64, results: usize| BetaPage {
        count,
        results: (0..results).map(|_| RawValue::NULL.to_owned()).collect(),
    };
    assert_eq!(page_after(1, &page(250, 100)), Some(2));
    assert_eq!(page_after(3, &page(250, 50)), None);
    assert_eq!(page_after(2, &page(200, 100)), None);
    assert_eq!(page_after(2, &page(900, 0)), None);
    assert_eq!(page_after(2_000, &page(u64::MAX, 100)), None);
}

async fn pages_of(fake: &Fake, client: &str) -> provider::Result<Vec<DevicePage>> {
    let connection = connection(&fake.url);
    let dictionary = Dictionary::default();
    TacticalRmm.devices(&connection, client, &dictionary, 500).try_collect().await
}

#[tokio::test]
async fn organizations_and_dictionary_are_read() {
    let fake = Fake::start(&[
        ("GET /clients/", Reply::recorded("clients-list")),
        ("GET /core/customfields/", Reply::recorded("customfields-list")),
    ]);
    let connection = connection(&fake.url);
    let organizations = TacticalRmm.organizations(&connection).await.unwrap();
    let dictionary = TacticalRmm.dictionary(&connection).await.unwrap();
    insta::assert_debug_snapshot!((organizations, dictionary));
    assert!(fake.asked().iter().all(|asked| asked.headers["x-api-key"] == super::TEST_KEY));
    assert!(fake.asked().iter().all(|asked| asked.headers["accept"] == "application/json"));
}

#[tokio::test]
async fn dictionary_without_the_right_is_empty() {
    let fake = Fake::start(&[("GET /core/customfields/", Reply::recorded("auth-apikey-norole"))]);
    assert!(TacticalRmm.dictionary(&connection(&fake.url)).await.unwrap().custom_fields.is_empty());
}

#[tokio::test]
async fn agents_of_several_clients_in_one_answer_save_nothing() {
    let fake = Fake::start(&[("GET /agents/?client=2", Reply::recorded("agents-list"))]);
    let error = pages_of(&fake, "2").await.unwrap_err();
    assert_eq!(error.problem.code, "filter_ignored");
}

#[tokio::test]
async fn empty_client_is_one_last_page() {
    let fake = Fake::start(&[("GET /agents/?client=4", Reply::json("[]"))]);
    let pages = pages_of(&fake, "4").await.unwrap();
    assert_eq!(pages.len(), 1);
    assert!(pages[0].last && pages[0].records.is_empty());
}

#[tokio::test]
async fn locate_asks_once_and_answers_only_what_was_asked() {
    let fake = Fake::start(&[("GET /agents/?detail=false", Reply::recorded("agents-list-detail-false"))]);
    let asked = ["PSJYjLmWpEpMAyDMUVKMpZSjwGItyCemdishsGOY".to_owned(), "gone".to_owned()];
    let found = TacticalRmm.locate(&connection(&fake.url), &asked).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].organization_name.as_str(), found[0].site_name.as_deref()),
        ("Contoso Dental", Some("Main Office"))
    );
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn detail_of_a_missing_agent_is_not_found() {
    let id = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
    let fake = Fake::start(&[(&format!("GET /agents/{id}/"), Reply::recorded("agents-detail-404"))]);
    let connection = connection(&fake.url);
    for id in [id, "short", "../../core/settings"] {
        let error = TacticalRmm.detail(&connection, &device(id)).await.unwrap_err();
        assert_eq!(error.kind, provider::ErrorKind::NotFound);
        assert_eq!(error.problem.endpoint.as_deref(), Some("GET /agents/<agent_id>/"));
    }
    assert_eq!(fake.lines(), [format!("GET /agents/{id}/")]);
}

#[tokio::test]
async fn detail_of_another_agent_is_not_taken() {
    let id = "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ";
    let fake = Fake::start(&[(&format!("GET /agents/{id}/"), Reply::recorded("agents-detail-mac"))]);
    let error = TacticalRmm.detail(&connection(&fake.url), &device(id)).await.unwrap_err();
    assert_eq!(error.problem.code, "answer_shape");
}

#[tokio::test]
async fn bulk_details_follow_the_count_and_not_the_servers_next() {
    let body = |first: usize, many: usize| {
        let rows: Vec<Value> =
            (first..first + many).map(|n| json!({"agent_id": format!("agent-{n}")})).collect();
        Reply::json(
            json!({"count": 150, "next": "http://10.0.0.1/evil/", "previous": null, "results": rows})
                .to_string(),
        )
    };
    let fake = Fake::start(&[
        ("GET /beta/v1/agent/?page=1&page_size=100", body(0, 100)),
        ("GET /beta/v1/agent/?page=2&page_size=100", body(100, 50)),
    ]);
    let connection = connection(&fake.url);
    let pages = TacticalRmm.bulk_details(&connection).await.unwrap().unwrap();
    let pages: Vec<usize> = pages.map(|page| page.unwrap().len()).collect().await;
    assert_eq!(pages, [100, 50]);
    assert_eq!(fake.lines().len(), 2);
}

#[tokio::test]
async fn bulk_details_end_where_the_list_shrank() {
    let rows: Vec<Value> = (0..100).map(|n| json!({"agent_id": format!("agent-{n}")})).collect();
    let first = Reply::json(json!({"count": 101, "results": rows}).to_string());
    let fake = Fake::start(&[
        ("GET /beta/v1/agent/?page=1&page_size=100", first),
        ("GET /beta/v1/agent/?page=2&page_size=100", Reply::recorded("beta-agent-list-page-past-end")),
    ]);
    let connection = connection(&fake.url);
    let pages = TacticalRmm.bulk_details(&connection).await.unwrap().unwrap();
    assert_eq!(pages.map(|page| page.unwrap().len()).collect::<Vec<_>>().await, [100]);
}

#[tokio::test]
async fn bulk_details_are_none_where_beta_is_off() {
    let fake =
        Fake::start(&[("GET /beta/v1/agent/?page=1&page_size=100", Reply::recorded("beta-off-agent"))]);
    assert!(TacticalRmm.bulk_details(&connection(&fake.url)).await.unwrap().is_none());
}
