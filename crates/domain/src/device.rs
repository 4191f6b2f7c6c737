//! What a provider tells us about a device, in our words.
//!
//! [`DeviceFacts`] is what is stored and hashed; [`Presence`] is what moves on every pass and is kept apart, so that
//! an unchanged machine writes nothing. [`DeviceDetail`] comes from a second, slower look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    asset::AssetType,
    status::{Status, Thresholds},
    time::Time,
};

/// Longest text kept in one fact, in characters. Longer text is cut; the raw payload keeps it whole.
pub const MAX_TEXT_CHARS: usize = 2_000;

/// Most entries kept in one list of facts.
pub const MAX_LIST: usize = 64;

/// The facts of a device that do not move from one look to the next. Serialized into the `facts` column, in this
/// order of fields: the content hash is taken over exactly these bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceFacts {
    /// Host name as the RMM shows it.
    pub name: String,
    /// What the RMM says it is.
    pub device_type: AssetType,
    /// `windows`, `linux`, `macos` or the vendor's word, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Processor architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Operating system with version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Manufacturer and model, as one text where the vendor gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub make_model: Option<String>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Processors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<String>,
    /// Graphics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphics: Option<String>,
    /// Physical disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// Addresses in the local network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lan_ips: Vec<String>,
    /// Address seen from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wan_ip: Option<String>,
    /// Free text by a technician at the RMM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Name of the site at the RMM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Version of the RMM's agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// It waits for a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_reboot: Option<bool>,
    /// Patches wait to be installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patches_pending: Option<bool>,
    /// The RMM's own maintenance mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<bool>,
    /// Custom fields by name (by number where the name may not be read).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_fields: BTreeMap<String, serde_json::Value>,
    /// More that only this RMM tells, in its own words: name → value (antivirus, warranty, a link to its page).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, Vec<String>>,
}

/// What moves: written set-based into a narrow table, outside the content hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// When the device last reported to the RMM.
    pub last_seen: Option<Time>,
    /// The RMM's own word for its status.
    pub vendor_status: Option<Status>,
    /// When it started, to the second.
    pub booted_at: Option<Time>,
    /// Who is logged in, or who was last.
    pub user: Option<String>,
    /// Is `user` logged in now?
    pub user_is_current: bool,
}

/// A volume with a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Drive letter or mount point.
    pub name: String,
    /// File system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<String>,
    /// Size in bytes, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Free space in bytes, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Used share in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_percent: Option<u8>,
}

/// What only the detail look gives. Serialized into the `detail` column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceDetail {
    /// The device's own thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_bytes: Option<u64>,
    /// Volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Hardware addresses, lower case with colons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
    /// Time zone of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Manufacturer and model, where the list does not give them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub make_model: Option<String>,
    /// Serial number, where the list does not give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Processors, where the list does not give them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<String>,
    /// Graphics, where the list does not give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphics: Option<String>,
    /// Physical disks, where the list does not give them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<String>,
    /// Addresses in the local network, where the list does not give them all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lan_ips: Vec<String>,
    /// More that only this RMM tells, in its own words: name → value (memory modules, displays, supplies of a printer).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, Vec<String>>,
}

impl DeviceDetail {
    /// What of it [`DeviceFacts::completed`] may fill in; none if there is nothing of that.
    pub fn completing(&self) -> Option<DeviceDetail> {
        let part = DeviceDetail {
            make_model: self.make_model.clone(),
            serial: self.serial.clone(),
            cpus: self.cpus.clone(),
            graphics: self.graphics.clone(),
            disks: self.disks.clone(),
            lan_ips: self.lan_ips.clone(),
            ..DeviceDetail::default()
        };
        (part != DeviceDetail::default()).then_some(part)
    }
}

impl DeviceFacts {
    /// These facts with what the list lacked filled in from the detail.
    #[must_use]
    pub fn completed(mut self, detail: &DeviceDetail) -> DeviceFacts {
        let fill = |fact: &mut Option<String>, from: &Option<String>| {
            if fact.is_none() {
                fact.clone_from(from);
            }
        };
        fill(&mut self.make_model, &detail.make_model);
        fill(&mut self.serial, &detail.serial);
        fill(&mut self.graphics, &detail.graphics);
        if self.cpus.is_empty() {
            self.cpus.clone_from(&detail.cpus);
        }
        if self.disks.is_empty() {
            self.disks.clone_from(&detail.disks);
        }
        for (name, values) in &detail.more {
            self.more.entry(name.clone()).or_insert_with(|| values.clone());
        }
        for address in &detail.lan_ips {
            if !self.lan_ips.contains(address) && self.lan_ips.len() < MAX_LIST {
                self.lan_ips.push(address.clone());
            }
        }
        self
    }
}

/// Trims, cuts to [`MAX_TEXT_CHARS`] and turns nothing into none. Control characters except newline and tab become
/// blanks: text of a device is data and must not steer a terminal.
pub fn clean_text(text: &str) -> Option<String> {
    let cleaned: String = text
        .trim()
        .chars()
        .take(MAX_TEXT_CHARS)
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c })
        .collect();
    if cleaned.is_empty() { None } else { Some(cleaned) }
}

/// A hardware address in one form, `aa:bb:cc:dd:ee:ff`; none for anything else and for the all-zero address.
pub fn clean_mac(text: &str) -> Option<String> {
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase();
    let separators_only = text.trim().chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.'));
    if hex.len() != 12 || !separators_only || hex.bytes().all(|b| b == b'0') {
        return None;
    }
    let pairs: Vec<&str> = (0..6).filter_map(|i| hex.get(i * 2..i * 2 + 2)).collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_trimmed_and_disarmed() {
        assert_eq!(clean_text("  \u{1b}[31mred  "), Some(" [31mred".to_owned()).map(|t| t.to_owned()));
        assert_eq!(clean_text(" \t "), None);
        assert_eq!(clean_text(&"x".repeat(3_000)).map(|t| t.len()), Some(MAX_TEXT_CHARS));
    }

    #[test]
    fn macs_get_one_form() {
        assert_eq!(clean_mac("00-15-5D-01-AB-CD").as_deref(), Some("00:15:5d:01:ab:cd"));
        assert_eq!(clean_mac("00155d01abcd").as_deref(), Some("00:15:5d:01:ab:cd"));
        assert_eq!(clean_mac("0000.0000.0000"), None);
        assert_eq!(clean_mac("not a mac at all"), None);
    }
}
