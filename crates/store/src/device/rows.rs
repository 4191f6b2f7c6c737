//! Rows of the set-based statements, as JSON. Field names are the names in the statements.

use domain::{client::name_key, id::TypedId};
use serde::Serialize;

use super::{ChangedDevice, NewDevice, Place, PresenceWrite, RenewedDetail};
use crate::site::rmm::PageSites;

#[derive(Serialize)]
pub(super) struct AssetRow<'a> {
    id: String,
    device_id: String,
    client_id: String,
    organization: &'a str,
    external_id: &'a str,
    site_id: Option<String>,
    name: &'a str,
    name_key: String,
    asset_type: &'static str,
    os: &'a str,
    status: Option<&'static str>,
    needs_reboot: bool,
    serial_key: Option<&'a str>,
    search_text: &'a str,
}

impl<'a> AssetRow<'a> {
    pub(super) fn created(device: &'a NewDevice, sites: &PageSites) -> Self {
        let mut row = Self::of(&device.place, &device.content, sites);
        row.id = device.asset_id.to_db();
        row.device_id = device.device_id.to_db();
        row.external_id = &device.external_id;
        row.status = Some(device.status.name());
        row
    }

    pub(super) fn changed(device: &'a ChangedDevice, sites: &PageSites) -> Self {
        let mut row = Self::of(&device.place, &device.content, sites);
        row.id = device.asset_id.to_db();
        row.device_id = device.device_id.to_db();
        row
    }

    fn of(place: &'a Place, content: &'a super::Content, sites: &PageSites) -> Self {
        let site = |name: &str| sites.get(place.organization_id, name);
        AssetRow {
            id: String::new(),
            device_id: String::new(),
            client_id: place.client_id.to_db(),
            organization: &place.external_id,
            external_id: "",
            site_id: content.site.as_deref().and_then(site).map(TypedId::to_db),
            name: &content.name,
            name_key: name_key(&content.name),
            asset_type: content.asset_type.name(),
            os: &content.os,
            status: None,
            needs_reboot: content.needs_reboot,
            serial_key: content.serial_key.as_deref(),
            search_text: &content.search_text,
        }
    }
}

#[derive(Serialize)]
pub(super) struct DeviceRow<'a> {
    id: String,
    asset_id: String,
    external_id: &'a str,
    organization_id: String,
    content_hash: &'a str,
    facts: &'a str,
    content_changed: bool,
    detail_due_at: Option<i64>,
    detail_as_of: Option<i64>,
    serial_key: Option<&'a str>,
}

impl<'a> DeviceRow<'a> {
    pub(super) fn created(device: &'a NewDevice) -> Self {
        DeviceRow {
            id: device.device_id.to_db(),
            asset_id: device.asset_id.to_db(),
            external_id: &device.external_id,
            organization_id: device.place.organization_id.to_db(),
            content_hash: &device.content.hash,
            facts: &device.content.facts,
            content_changed: true,
            detail_due_at: Some(0),
            detail_as_of: device.detail_as_of.map(domain::Time::as_ms),
            serial_key: device.content.serial_key.as_deref(),
        }
    }

    pub(super) fn changed(device: &'a ChangedDevice) -> Self {
        DeviceRow {
            id: device.device_id.to_db(),
            asset_id: device.asset_id.to_db(),
            external_id: "",
            organization_id: device.place.organization_id.to_db(),
            content_hash: &device.content.hash,
            facts: &device.content.facts,
            content_changed: device.content_changed,
            detail_due_at: device.detail_due_at.map(domain::Time::as_ms),
            detail_as_of: None,
            serial_key: device.content.serial_key.as_deref(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct RenewedRow {
    id: String,
    as_of: i64,
}

impl From<&RenewedDetail> for RenewedRow {
    fn from(renewed: &RenewedDetail) -> Self {
        RenewedRow { id: renewed.device_id.to_db(), as_of: renewed.as_of.as_ms() }
    }
}

#[derive(Serialize)]
pub(super) struct MappingRow<'a> {
    external_id: &'a str,
    entity_id: String,
    device_id: String,
}

impl<'a> MappingRow<'a> {
    pub(super) fn created(device: &'a NewDevice) -> Self {
        MappingRow {
            external_id: &device.external_id,
            entity_id: device.asset_id.to_db(),
            device_id: device.device_id.to_db(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct PresenceRow<'a> {
    device_id: String,
    last_seen: i64,
    vendor_status: Option<&'static str>,
    booted_at: Option<i64>,
    user_name: Option<&'a str>,
    user_is_current: bool,
    offline_minutes: Option<u32>,
    overdue_minutes: Option<u32>,
    overdue_at: Option<i64>,
}

impl<'a> From<&'a PresenceWrite> for PresenceRow<'a> {
    fn from(write: &'a PresenceWrite) -> Self {
        PresenceRow {
            device_id: write.device_id.to_db(),
            last_seen: write.presence.last_seen.map_or(0, domain::Time::as_ms),
            vendor_status: write.presence.vendor_status.map(domain::status::Status::name),
            booted_at: write.presence.booted_at.map(domain::Time::as_ms),
            user_name: write.presence.user.as_deref(),
            user_is_current: write.presence.user_is_current,
            offline_minutes: write.thresholds.map(|own| own.offline_minutes),
            overdue_minutes: write.thresholds.map(|own| own.overdue_minutes),
            overdue_at: write.overdue_at.map(domain::Time::as_ms),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct StatusRow {
    pub(crate) id: String,
    pub(crate) status: &'static str,
}

#[derive(Serialize)]
pub(super) struct PayloadRow {
    pub(super) device_id: String,
    pub(super) at: usize,
    pub(super) len: usize,
}

#[derive(Serialize)]
pub(super) struct CountRow<'a> {
    pub(super) client_id: String,
    pub(super) provider: &'a str,
    pub(super) n: i64,
}
