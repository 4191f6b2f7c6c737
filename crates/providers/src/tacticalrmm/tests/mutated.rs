//! Broken bodies never panic and never yield half a list.

use provider::Dictionary;
use serde_json::value::RawValue;

use super::recorded_body;
use crate::mutate::{Random, mutate};
use crate::tacticalrmm::{
    hardware,
    inventory::read_rows,
    normalize,
    url::read_url,
    wire::{self, AgentDetail, BetaPage, ClientRow, CustomFieldRow, Login},
};

/// Everything a body can reach.
fn swallow(bytes: &[u8]) {
    if let Ok(rows) = serde_json::from_slice::<Vec<Box<RawValue>>>(bytes) {
        let total = rows.len();
        if let Ok((records, rejected)) = read_rows(rows, &Dictionary::default()) {
            assert_eq!(records.len() + rejected.len(), total);
            assert!(
                records.iter().all(|record| !record.external_id.is_empty() && !record.facts.name.is_empty())
            );
        }
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if let Ok(row) = wire::object::<AgentDetail<'_>>(text) {
        let _ = hardware::detail(&row);
    }
    if let Ok(page) = wire::object::<BetaPage>(text) {
        let _ = crate::tacticalrmm::inventory::details(&page);
    }
    if let Ok(rows) = serde_json::from_slice::<Vec<ClientRow<'_>>>(bytes) {
        let _ = rows.iter().map(normalize::organization).count();
    }
    if let Ok(rows) = serde_json::from_slice::<Vec<CustomFieldRow<'_>>>(bytes) {
        let _ = normalize::dictionary(&rows);
    }
    let _ = wire::object::<Login<'_>>(text);
    if let Ok(read) = read_url(&String::from_utf8_lossy(bytes)) {
        let again = read_url(read.url.as_str()).map(|read| (read.url, read.notes.len()));
        let is_ip = usize::from(read.url.domain().is_none());
        assert_eq!(again, Ok((read.url, is_ip)), "an address that was read once reads the same again");
    }
}

#[test]
fn mutated_bodies_never_panic() {
    let mut random = Random(7);
    let names = [
        "agents-list",
        "clients-list",
        "customfields-list",
        "agents-detail-windows",
        "agents-detail-mac",
        "auth-login-totp-ok",
    ];
    for name in names {
        let body = recorded_body(name);
        for _ in 0..400 {
            swallow(&mutate(&body, &mut random));
        }
    }
}

#[test]
fn mutated_addresses_never_panic() {
    let mut random = Random(11);
    for pasted in
        ["https://rmm.example.com:8443/login?x=1", "<api.example.com.>", "http://[2001:db8::1]/", "a b c.d"]
    {
        for _ in 0..2_000 {
            swallow(&mutate(pasted, &mut random));
        }
    }
}

#[test]
fn every_cut_of_a_row_is_survived() {
    let body = recorded_body("agents-list");
    let rows: Vec<&RawValue> = serde_json::from_str(&body).unwrap();
    let row = rows[0].get();
    for end in (0..row.len()).filter(|end| row.is_char_boundary(*end)) {
        swallow(&row.as_bytes()[..end]);
        swallow(format!("[{}]", &row[..end]).as_bytes());
    }
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let deep = format!(
        "{{\"agent_id\":\"x\",\"wmi_detail\":{{\"network_config\":{}{}}}}}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    swallow(deep.as_bytes());
    swallow(format!("[{deep}]").as_bytes());
}
