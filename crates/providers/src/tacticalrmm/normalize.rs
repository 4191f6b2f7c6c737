//! From Tactical's words to canonical records. Pure.
//!
//! Tactical says "unknown" in words (`unknown make/model`, `-`, `None`): all of them become empty here, so that
//! nobody above has to know them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use domain::{
    asset::AssetType,
    device::{DeviceFacts, MAX_LIST, Presence, clean_text},
    organization::OrganizationSite,
    status::Status,
};
use provider::{DeviceLocation, DeviceRecord, Dictionary, OrganizationRecord, RejectedRow};
use serde_json::value::RawValue;

use super::wire::{AgentPlace, AgentRow, ClientRow, CustomFieldRow, CustomFieldValue, Texts, object};
use crate::{
    facts::{clean, identifies_a_machine, identity, whole_second},
    reject::RowShape,
};

/// What Tactical writes where it knows nothing (API, section 4.2, recorded 21 November 2026).
const UNKNOWN_WORDS: &[&str] = &[
    "error getting local ips",
    "unknown make/model",
    "unknown cpu model",
    "unknown disk",
    "graphics info requires agent v1.4.14",
    "no graphics cards",
    "none",
    "null",
    "-",
];

const ROW: RowShape = RowShape {
    id: "agent_id",
    name: "hostname",
    is_readable: |text| object::<AgentRow<'_>>(text).is_ok(),
    wanted: |name| match name {
        "agent_id" | "hostname" => "a text",
        "cpu_model" | "physical_disks" => "a list of texts",
        "custom_fields" => "a list of objects",
        _ => "a single value",
    },
};

/// A readable row of `GET /agents/`.
pub(crate) struct ListedDevice {
    pub(crate) record: DeviceRecord,
    /// Name of the client it belongs to, to see that one answer holds the agents of one client only.
    pub(crate) client_name: Option<String>,
}

/// A row of `GET /agents/`, or why it cannot be used. The row itself goes along as it came.
pub(crate) fn device(raw: Box<RawValue>, dictionary: &Dictionary) -> Result<ListedDevice, RejectedRow> {
    let row: AgentRow<'_> = match object(raw.get()) {
        Ok(row) => row,
        Err(error) => return Err(ROW.reject(&raw, &error)),
    };
    let Some(external_id) = identity(row.agent_id.as_str()) else {
        let name = known(row.hostname.as_str());
        return Err(RejectedRow { external_id: None, name, reason: "the row has no `agent_id`".to_owned() });
    };
    let facts = facts(&row, &external_id, dictionary);
    let presence = presence(&row);
    let client_name = row.client_name.as_str().map(str::to_owned);
    Ok(ListedDevice {
        record: DeviceRecord { external_id, facts, presence, detail_as_of: None, raw },
        client_name,
    })
}

fn facts(row: &AgentRow<'_>, external_id: &str, dictionary: &Dictionary) -> DeviceFacts {
    DeviceFacts {
        name: known(row.hostname.as_str()).unwrap_or_else(|| external_id.to_owned()),
        device_type: device_type(row.monitoring_type.as_str()),
        platform: known(row.plat.as_str()).map(|word| platform(&word)),
        architecture: known(row.goarch.as_str()),
        os: known(row.operating_system.as_str()),
        make_model: known(row.make_model.as_str()),
        serial: known(row.serial_number.as_str()),
        cpus: known_list(&row.cpu_model),
        graphics: known(row.graphics.as_str()),
        disks: known_list(&row.physical_disks),
        lan_ips: row.local_ips.as_str().map(lan_ips).unwrap_or_default(),
        wan_ip: row
            .public_ip
            .as_str()
            .and_then(|text| text.trim().parse::<IpAddr>().ok())
            .map(|ip| ip.to_string()),
        description: row.description.as_str().and_then(clean),
        site: row.site_name.as_str().and_then(clean),
        agent_version: known(row.version.as_str()),
        needs_reboot: row.needs_reboot.0,
        patches_pending: row.has_patches_pending.0,
        maintenance: row.maintenance_mode.0,
        custom_fields: custom_fields(row.custom_fields.as_deref().unwrap_or_default(), dictionary),
        more: BTreeMap::new(),
    }
}

fn presence(row: &AgentRow<'_>) -> Presence {
    let user = known(row.logged_username.as_str());
    Presence {
        last_seen: row.last_seen.as_str().and_then(|text| text.trim().parse().ok()),
        vendor_status: row.status.as_str().and_then(|word| Status::from_name(word.trim())),
        booted_at: row.boot_time.0.and_then(whole_second),
        // Written in italics by Tactical's own pages: the last user of a machine at which nobody is logged in.
        user_is_current: user.is_some() && row.italic.0 != Some(true),
        user,
    }
}

/// A text unless it is one of Tactical's words for unknown.
pub(crate) fn known(text: Option<&str>) -> Option<String> {
    let trimmed = text?.trim();
    if is_unknown(trimmed) { None } else { clean(trimmed) }
}

fn is_unknown(text: &str) -> bool {
    UNKNOWN_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn known_list(texts: &Texts<'_>) -> Vec<String> {
    texts.0.iter().filter_map(|text| known(text.as_str())).take(MAX_LIST).collect()
}

fn device_type(word: Option<&str>) -> AssetType {
    match word.map(str::trim) {
        Some("server") => AssetType::Server,
        Some("workstation") => AssetType::Workstation,
        _ => AssetType::Unknown,
    }
}

fn platform(word: &str) -> String {
    let word = word.to_ascii_lowercase();
    if word == "darwin" { "macos".to_owned() } else { word }
}

/// Windows lists bare IPv4; Linux and macOS entries carry a prefix length and link-local IPv6.
fn lan_ips(joined: &str) -> Vec<String> {
    let mut ips: Vec<String> = Vec::new();
    for entry in joined.split(',') {
        let address = entry.split('/').next().unwrap_or(entry).trim();
        let Ok(ip) = address.parse::<IpAddr>() else { continue };
        if ips.len() == MAX_LIST || !identifies_a_machine(ip) {
            continue;
        }
        let text = ip.to_string();
        if !ips.contains(&text) {
            ips.push(text);
        }
    }
    ips
}

fn custom_fields(
    values: &[CustomFieldValue],
    dictionary: &Dictionary,
) -> BTreeMap<String, serde_json::Value> {
    let mut fields = BTreeMap::new();
    for custom in values.iter().take(MAX_LIST) {
        let (Some(number), Some(value)) = (custom.field.as_u64(), custom_value(&custom.value)) else {
            continue;
        };
        let number = number.to_string();
        let name = match dictionary.custom_fields.get(&number) {
            Some(name) => name.clone(),
            None => format!("#{number}"),
        };
        fields.insert(name, value);
    }
    fields
}

/// A field without a value is left out; text is made harmless like any other text of a device.
fn custom_value(value: &serde_json::Value) -> Option<serde_json::Value> {
    use serde_json::Value;
    match value {
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        Value::String(text) => clean(text).map(Value::String),
        Value::Array(items) => {
            let kept: Vec<Value> = items.iter().filter_map(custom_item).take(MAX_LIST).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Object(_) => clean_text(&value.to_string()).map(Value::String),
    }
}

fn custom_item(value: &serde_json::Value) -> Option<serde_json::Value> {
    use serde_json::Value;
    match value {
        Value::Array(_) => clean_text(&value.to_string()).map(Value::String),
        plain => custom_value(plain),
    }
}

/// Names of the fields of agents. Where one name is used twice, all but the oldest carry their number.
pub(crate) fn dictionary(rows: &[CustomFieldRow<'_>]) -> Dictionary {
    let mut of_agents: Vec<&CustomFieldRow<'_>> =
        rows.iter().filter(|row| row.model.as_str() == Some("agent")).collect();
    of_agents.sort_by_key(|row| row.id);
    let mut taken = BTreeSet::new();
    let mut custom_fields = BTreeMap::new();
    for row in of_agents {
        let number = row.id.to_string();
        // A name that looks like the stand-in for a missing name would be mistaken for one.
        let Some(name) = row.name.as_str().and_then(clean_text).filter(|name| !name.starts_with('#')) else {
            continue;
        };
        let name = if taken.insert(name.clone()) { name } else { format!("{name} (#{number})") };
        custom_fields.insert(number, name);
    }
    Dictionary { custom_fields }
}

/// A row of `GET /clients/`.
pub(crate) fn organization(row: &ClientRow<'_>) -> OrganizationRecord {
    let external_id = row.id.to_string();
    let sites = row.sites.as_deref().unwrap_or_default();
    OrganizationRecord {
        name: row.name.as_str().and_then(clean_text).unwrap_or_else(|| format!("#{external_id}")),
        external_id,
        sites: sites
            .iter()
            .map(|site| OrganizationSite {
                external_id: site.id.to_string(),
                name: site.name.as_str().and_then(clean_text).unwrap_or_else(|| format!("#{}", site.id)),
                device_count: site.agent_count.as_u64().and_then(|count| u32::try_from(count).ok()),
            })
            .collect(),
        device_count: row.agent_count.as_u64(),
        company: None,
    }
}

/// A row of `GET /agents/?detail=false`; none if it names no agent or no client.
pub(crate) fn location(row: &AgentPlace<'_>) -> Option<DeviceLocation> {
    Some(DeviceLocation {
        external_id: identity(row.agent_id.as_str())?,
        organization_name: row.client.as_str().and_then(clean_text)?,
        site_name: row.site.as_str().and_then(clean_text),
    })
}
