//! What only the detail look gives: thresholds, memory, volumes, hardware addresses. Pure.
//!
//! The stable answer for one agent and a row of the beta list have these columns in common; both go through
//! [`detail`], so both give the same record.

use domain::{
    device::{DeviceDetail, MAX_LIST, Volume, clean_mac},
    status::Thresholds,
};
use provider::DetailRecord;
use serde_json::value::RawValue;

use super::{
    normalize::known,
    wire::{AgentDetail, Disk, WmiNetwork},
};
use crate::facts::identity;

const GIGABYTE: u64 = 1 << 30;

/// The record of a detail answer; none if it names no agent.
pub(crate) fn detail(row: &AgentDetail<'_>) -> Option<DetailRecord> {
    let detail = DeviceDetail {
        thresholds: thresholds(row),
        ram_bytes: row.total_ram.as_u64().filter(|gb| *gb > 0).and_then(|gb| gb.checked_mul(GIGABYTE)),
        volumes: row.disks.as_deref().unwrap_or_default().iter().filter_map(volume).take(MAX_LIST).collect(),
        macs: row.wmi_detail.map(macs).unwrap_or_default(),
        time_zone: known(row.time_zone.as_str()),
        ..DeviceDetail::default()
    };
    Some(DetailRecord { external_id: identity(row.agent_id.as_str())?, detail })
}

fn thresholds(row: &AgentDetail<'_>) -> Option<Thresholds> {
    let minutes = |number: super::wire::Number| number.as_u64().and_then(|n| u32::try_from(n).ok());
    Some(Thresholds {
        offline_minutes: minutes(row.offline_time)?,
        overdue_minutes: minutes(row.overdue_time)?,
    })
}

fn volume(disk: &Disk<'_>) -> Option<Volume> {
    Some(Volume {
        name: known(disk.device.as_str())?,
        filesystem: known(disk.fstype.as_str()),
        size_bytes: disk.total.as_str().and_then(size_bytes),
        free_bytes: disk.free.as_str().and_then(size_bytes),
        used_percent: disk.percent.as_u64().and_then(|percent| u8::try_from(percent.min(100)).ok()),
    })
}

/// `237.9G` (Windows) or `228.3 GB` (elsewhere), both in steps of 1024.
pub(crate) fn size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_uppercase();
    let power = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return None,
    };
    let bytes = number * 1024f64.powi(power);
    (bytes.is_finite() && bytes < 9.0e18).then(|| bytes.round() as u64)
}

/// Windows only: Linux and macOS agents report no hardware addresses.
fn macs(wmi_detail: &RawValue) -> Vec<String> {
    let Ok(network) = serde_json::from_str::<WmiNetwork>(wmi_detail.get()) else { return Vec::new() };
    let mut macs: Vec<String> = Vec::new();
    for text in network.network_config.0.iter().chain(&network.network_adapter.0) {
        let Some(mac) = clean_mac(text) else { continue };
        if macs.len() < MAX_LIST && mac != "ff:ff:ff:ff:ff:ff" && !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    macs
}
