//! One asset in full: every field with its value, where it comes from, and how old it is.

use domain::Time;
use serde_json::Value;

use super::status;
use crate::{
    cli::{Session, clock, failure::Failure},
    output::{
        table::{name, prose, whole},
        value::{ago, find, is_true, list, number, shown, text},
    },
};

/// Fields in the order people look for them: name on the wire, label.
const FIELDS: [(&str, &str); 24] = [
    ("type", "Type"),
    ("last_seen", "Last seen"),
    ("booted_at", "Started"),
    ("user", "User"),
    ("os", "System"),
    ("platform", "Platform"),
    ("architecture", "Architecture"),
    ("make_model", "Model"),
    ("serial", "Serial number"),
    ("cpus", "Processors"),
    ("ram_bytes", "Memory"),
    ("graphics", "Graphics"),
    ("disks", "Disks"),
    ("volumes", "Volumes"),
    ("lan_ips", "Addresses"),
    ("wan_ip", "Outside address"),
    ("macs", "Hardware addresses"),
    ("time_zone", "Time zone"),
    ("description", "Description"),
    ("rmm_site", "Site at the RMM"),
    ("agent_version", "RMM agent"),
    ("needs_reboot", "Needs a restart"),
    ("patches_pending", "Patches wait"),
    ("maintenance", "Maintenance"),
];

pub(super) fn print(asset: &Value, session: &Session) -> Result<(), Failure> {
    let now = clock::now();
    let merged: Vec<String> = list(asset, "merged").iter().map(merged).collect();
    session.output.facts(&[
        ("Asked for", shown(asset, "redirected_from").replace("ast_", "merged into this one: ast_")),
        ("Name", shown(asset, "name")),
        ("Id", shown(asset, "id")),
        ("Client", shown(asset, "client.name|client_name")),
        ("Site", shown(asset, "site.name|site_name")),
        ("Status", status(asset)),
        ("Last look", ago(asset, "observed_at", now)),
        ("RMM", shown(asset, "source.integration_name|source.provider")),
        ("Organization", shown(asset, "source.organization_name")),
        ("Missing since", ago(asset, "missing_since", now)),
        ("Where it went", shown(asset, "source.missing_note")),
        ("Set by people", shown(asset, "locked")),
        ("Note", shown(asset, "note")),
        ("Merged into it", merged.join(", ")),
        ("In the register", ago(asset, "created_at", now)),
    ])?;
    sources(asset, now, session)?;
    let mut rows: Vec<Vec<String>> =
        FIELDS.iter().filter_map(|(name, label)| row(asset, name, (*label).to_owned(), now)).collect();
    rows.extend(named_values(asset, "more", now));
    rows.extend(named_values(asset, "custom_fields", now));
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [name("Field", 0), prose("Value", 0), name("From", 1), whole("As of", 2)];
    session.output.table(&columns, &rows)
}

/// The rows of a field that holds values by name.
fn named_values(asset: &Value, field: &str, now: Time) -> Vec<Vec<String>> {
    let from = origin(find(asset, &format!("fields.{field}")).unwrap_or(&Value::Null));
    let values = find(asset, &format!("fields.{field}.value")).and_then(Value::as_object);
    let row = |(name, value): (&String, &Value)| {
        let said = if is_true(value, "masked") {
            "(set, but masked)".to_owned()
        } else {
            shown(&serde_json::json!({ "value": value }), "value")
        };
        vec![name.clone(), said, from.clone(), age(asset, field, now)]
    };
    values.into_iter().flatten().map(row).collect()
}

fn merged(merged: &Value) -> String {
    format!("{} ({})", shown(merged, "name"), shown(merged, "id"))
}

/// Where it is, if that is in several RMMs or twice in one.
fn sources(asset: &Value, now: Time, session: &Session) -> Result<(), Failure> {
    let sources = list(asset, "sources");
    if sources.len() < 2 {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = sources
        .iter()
        .map(|source| {
            let role = match (is_true(source, "leads"), is_true(source, "speaks_for_status")) {
                (true, true) => "leads, status",
                (true, false) => "leads",
                (false, true) => "status",
                (false, false) => "",
            };
            vec![
                shown(source, "integration_name"),
                shown(source, "organization_name"),
                status(source),
                ago(source, "last_seen", now),
                role.to_owned(),
                shown(source, "device_id"),
            ]
        })
        .collect();
    let columns = [
        name("Source", 0),
        name("Organization", 2),
        whole("Status", 0),
        whole("Last seen", 0),
        whole("Speaks", 1),
        whole("Device", 0),
    ];
    session.output.table(&columns, &rows)
}

/// None for a field without a value.
fn row(asset: &Value, name: &str, label: String, now: Time) -> Option<Vec<String>> {
    let field = find(asset, &format!("fields.{name}"))?;
    let value = match name {
        "last_seen" | "booted_at" => ago(field, "value", now),
        "ram_bytes" => number(field, "value").map(bytes).unwrap_or_default(),
        "volumes" => list(field, "value").iter().map(volume).collect::<Vec<_>>().join(", "),
        _ => shown(field, "value"),
    };
    (!value.is_empty()).then(|| vec![label, value, origin(field), age(asset, name, now)])
}

fn age(asset: &Value, name: &str, now: Time) -> String {
    ago(asset, &format!("fields.{name}.as_of"), now)
}

fn origin(field: &Value) -> String {
    match text(field, "source.kind") {
        Some("person") => "a person".to_owned(),
        _ => shown(field, "source.integration_name|source.provider"),
    }
}

fn volume(volume: &Value) -> String {
    match number(volume, "used_percent") {
        Some(percent) => format!("{} {percent} % used", shown(volume, "name")),
        None => shown(volume, "name"),
    }
}

/// `16.00 GiB`.
fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    #[track_caller]
    fn check(name: &str, value: Value, expected: Option<&str>) {
        let source = json!({ "kind": "integration", "integration_name": "Main" });
        let asset = json!({ "fields": { name: { "value": value, "source": source, "as_of": null } } });
        let shown = row(&asset, name, "Label".to_owned(), NOW);
        assert_eq!(shown.map(|row| row[1..3].join(" | ")).as_deref(), expected);
    }

    #[test]
    fn fields_are_shown_in_their_units_and_empty_ones_left_out() {
        check("os", json!("Windows 11"), Some("Windows 11 | Main"));
        check("os", Value::Null, None);
        check("cpus", json!([]), None);
        check("ram_bytes", json!(17_179_869_184_u64), Some("16.00 GiB | Main"));
        check(
            "volumes",
            json!([{ "name": "C:", "used_percent": 81 }, { "name": "D:" }]),
            Some("C: 81 % used, D: | Main"),
        );
        check("needs_reboot", json!(true), Some("yes | Main"));
    }

    #[test]
    fn what_a_person_set_says_so() {
        assert_eq!(origin(&json!({ "source": { "kind": "person" } })), "a person");
    }
}
