//! Assets: the machines themselves, ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Time,
    device::{DeviceDetail, DeviceFacts, Presence},
    id::{AssetId, ClientId, DeviceId, IntegrationId, OrganizationId, SiteId},
    source::{Field, FieldSources},
    status::{Status, Thresholds},
};

/// One machine with everything known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    /// Its id.
    pub id: AssetId,
    /// Whose it is.
    pub client_id: ClientId,
    /// The client's name.
    pub client_name: String,
    /// Where it stands.
    pub site_id: Option<SiteId>,
    /// The site's name.
    pub site_name: Option<String>,
    /// Its name.
    pub name: String,
    /// What it is.
    pub asset_type: AssetType,
    /// Fields a person set: `name`, `asset_type`.
    pub locked: Vec<String>,
    /// A person's note.
    pub note: Option<String>,
    /// Shown status.
    pub status: Status,
    /// Time of the last successful look.
    pub observed_at: Option<Time>,
    /// The last look is older than two intervals.
    pub status_stale: bool,
    /// It is not online, and was not seen for as many days as the integration's settings say.
    pub stale: bool,
    /// Thresholds in use.
    pub thresholds: Thresholds,
    /// The thresholds are the RMM's defaults, not the device's own.
    pub thresholds_assumed: bool,
    /// What moves.
    pub presence: Presence,
    /// Facts, completed by the detail; of several sources what they say together.
    pub facts: DeviceFacts,
    /// When the facts last changed.
    pub facts_at: Time,
    /// Detail; of several sources what they say together. Lists leave it out.
    pub detail: Option<DeviceDetail>,
    /// When the detail was looked at.
    pub detail_at: Option<Time>,
    /// The leading source.
    pub source: AssetSource,
    /// All sources, the leading one first, where there are several; else none.
    pub sources: Vec<SourceLook>,
    /// Which device speaks for which field, where there are several.
    pub speakers: BTreeMap<Field, DeviceId>,
    /// Which device a person chose to speak for a field.
    pub field_sources: FieldSources,
    /// Not seen at any of its RMMs since.
    pub missing_since: Option<Time>,
    /// When it came into the register.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// Where an asset's facts come from: the tag, and whether the RMM still lists the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetSource {
    /// The provider's id.
    pub rmm_provider: String,
    /// The integration.
    pub integration_id: IntegrationId,
    /// Its name.
    pub integration_name: String,
    /// The device.
    pub device_id: DeviceId,
    /// The provider's id of the device.
    pub external_id: String,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The provider's id of the organization.
    pub organization_external_id: String,
    /// The organization's name.
    pub organization_name: String,
    /// Not seen at the RMM since.
    pub missing_since: Option<Time>,
    /// Where it went, if that is known.
    pub missing_note: Option<String>,
}

/// One of several sources of an asset, with its own look.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLook {
    /// The source.
    pub source: AssetSource,
    /// It leads.
    pub leads: bool,
    /// It speaks for status, last seen, user and start.
    pub is_voice: bool,
    /// Status by its own look.
    pub status: Status,
    /// Time of its last successful look.
    pub observed_at: Option<Time>,
    /// The look is older than two of its intervals.
    pub status_stale: bool,
    /// What moves.
    pub presence: Presence,
    /// When its facts last changed.
    pub facts_at: Time,
    /// When its detail was looked at.
    pub detail_at: Option<Time>,
}

/// Which assets: all conditions hold at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetFilter {
    /// Of this client.
    pub client_id: Option<ClientId>,
    /// At this site.
    pub site_id: Option<SiteId>,
    /// From this provider.
    pub provider: Option<String>,
    /// From this integration.
    pub integration_id: Option<IntegrationId>,
    /// Of this type.
    pub asset_type: Option<AssetType>,
    /// With this status.
    pub status: Option<Status>,
    /// Words, each somewhere in name, serial, addresses, model, operating system; in the name alone where all of them
    /// have only one or two letters.
    pub text: Option<String>,
    /// Seen at or after.
    pub seen_after: Option<Time>,
    /// Not seen since: last seen before, or never.
    pub seen_before: Option<Time>,
    /// Operating system begins with, whatever the case.
    pub os: Option<String>,
    /// Waits for a restart.
    pub needs_reboot: Option<bool>,
    /// Marked missing at the RMM (true) or not (false).
    pub missing: Option<bool>,
}

/// By which column a list of assets is sorted; each has an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssetSort {
    /// By name.
    #[default]
    Name,
    /// By client, then name.
    Client,
    /// By type, then name.
    Type,
    /// By operating system, then name.
    Os,
    /// By the time last seen.
    LastSeen,
    /// By the time it came into the register.
    Created,
}

impl AssetSort {
    /// Every sort.
    pub const ALL: [AssetSort; 6] = [
        AssetSort::Name,
        AssetSort::Client,
        AssetSort::Type,
        AssetSort::Os,
        AssetSort::LastSeen,
        AssetSort::Created,
    ];

    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            AssetSort::Name => "name",
            AssetSort::Client => "client",
            AssetSort::Type => "type",
            AssetSort::Os => "os",
            AssetSort::LastSeen => "last_seen",
            AssetSort::Created => "created",
        }
    }

    /// The sort of this name.
    pub fn from_name(name: &str) -> Option<AssetSort> {
        AssetSort::ALL.into_iter().find(|sort| sort.name() == name)
    }
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Small to large.
    #[default]
    Ascending,
    /// Large to small.
    Descending,
}

/// What kind of machine it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetType {
    /// A machine for a person.
    Workstation,
    /// A machine for other machines.
    Server,
    /// A printer.
    Printer,
    /// Switch, router, firewall, access point.
    NetworkDevice,
    /// A host of virtual machines.
    Hypervisor,
    /// Nobody said.
    #[default]
    Unknown,
}

impl AssetType {
    /// Every type.
    pub const ALL: [AssetType; 6] = [
        AssetType::Workstation,
        AssetType::Server,
        AssetType::Printer,
        AssetType::NetworkDevice,
        AssetType::Hypervisor,
        AssetType::Unknown,
    ];

    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            AssetType::Workstation => "workstation",
            AssetType::Server => "server",
            AssetType::Printer => "printer",
            AssetType::NetworkDevice => "network_device",
            AssetType::Hypervisor => "hypervisor",
            AssetType::Unknown => "unknown",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<AssetType> {
        AssetType::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The lower-case text that search looks through.
pub fn search_text(facts: &DeviceFacts, external_id: &str, macs: &[String]) -> String {
    let single = [
        Some(facts.name.as_str()),
        facts.serial.as_deref(),
        facts.make_model.as_deref(),
        facts.os.as_deref(),
        facts.wan_ip.as_deref(),
        facts.description.as_deref(),
        Some(external_id),
    ];
    let lists = facts.lan_ips.iter().chain(macs).map(String::as_str);
    let mut text = String::with_capacity(256);
    for part in single.into_iter().flatten().chain(lists) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(part);
    }
    text.to_lowercase()
}

/// Serial numbers that makers leave in place of a real one: they identify nothing.
const EMPTY_SERIALS: &[&str] = &[
    "0",
    "00000000",
    "0123456789",
    "123456789",
    "default string",
    "n/a",
    "na",
    "none",
    "not applicable",
    "not available",
    "not specified",
    "o.e.m.",
    "oem",
    "system serial number",
    "to be filled by o.e.m.",
    "unknown",
    "xxxxxxxxxx",
];

/// The form in which serial numbers are compared; none for a blank or a placeholder.
pub fn serial_key(serial: &str) -> Option<String> {
    let key = serial.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let only_filler = key.chars().all(|c| matches!(c, '0' | '-' | '.' | ' ' | 'x' | '*'));
    if key.len() < 3 || only_filler || EMPTY_SERIALS.contains(&key.as_str()) { None } else { Some(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholder_serials_identify_nothing() {
        for serial in ["", "  ", "To be filled by O.E.M.", "00000000", "Default  string", "xx", "None"] {
            assert_eq!(serial_key(serial), None, "{serial}");
        }
        assert_eq!(serial_key(" SN000023X "), Some("sn000023x".to_owned()));
    }
}
