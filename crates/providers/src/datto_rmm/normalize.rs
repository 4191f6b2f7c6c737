//! From Datto RMM's words to canonical records. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use domain::{
    Time,
    asset::AssetType,
    device::{DeviceFacts, Presence},
    organization::OrganizationSite,
    status::Status,
};
use provider::{Company, DeviceLocation, DeviceRecord, OrganizationRecord, RejectedRow};
use serde_json::value::RawValue;
use url::Url;

use super::{
    mask::{Fields, Shown},
    wire::{DeviceKind, DeviceRow, SiteName, SiteRow, Text, object},
};
use crate::{
    facts::{clean, identifies_a_machine, identity},
    reject::RowShape,
};

/// The site that holds what was deleted; its id is no UUID, by which it is told from a customer's site of this name.
const DELETED_DEVICES: &str = "Deleted Devices";

const ROW: RowShape = RowShape {
    id: "uid",
    name: "hostname",
    is_readable: |text| object::<DeviceRow<'_>>(text).is_ok(),
    wanted: |name| match name {
        "uid" | "siteUid" => "a text",
        _ => "a single value",
    },
};

/// Words in the name of an operating system → platform.
const PLATFORMS: [(&str, &[&str]); 4] = [
    ("windows", &["windows"]),
    ("macos", &["mac os", "macos", "os x"]),
    ("esxi", &["esxi", "vmware"]),
    (
        "linux",
        &["linux", "ubuntu", "debian", "centos", "red hat", "fedora", "suse", "rocky", "alma", "raspbian"],
    ),
];

/// A readable row of a list of devices.
pub(crate) struct Listed {
    pub(crate) record: DeviceRecord,
    /// The site it belongs to.
    pub(crate) site: Option<String>,
    pub(crate) is_deleted: bool,
}

/// A row of a list of devices, or why it cannot be used.
pub(crate) fn device(raw: &RawValue, shown: &Shown) -> Result<Listed, RejectedRow> {
    let row: DeviceRow<'_> = object(raw.get()).map_err(|error| ROW.reject(raw, &error))?;
    let Some(external_id) = identity(row.uid.as_str()) else {
        let name = known(&row.hostname);
        return Err(RejectedRow { external_id: None, name, reason: "the row has no `uid`".to_owned() });
    };
    let fields = Fields::of(row.udf, shown);
    let kept = fields.in_row(raw).map_err(|error| ROW.reject(raw, &error))?;
    let record = DeviceRecord {
        facts: DeviceFacts { custom_fields: fields.named(shown), ..facts(&row, &external_id) },
        presence: presence(&row),
        detail_as_of: row.last_audit_date.0,
        external_id,
        raw: kept,
    };
    let is_deleted = row.deleted.0 == Some(true);
    Ok(Listed { record, site: identity(row.site_uid.as_str()), is_deleted })
}

fn facts(row: &DeviceRow<'_>, external_id: &str) -> DeviceFacts {
    let device_type = device_type(row);
    let os = known(&row.operating_system);
    let pending =
        row.patch_management.0.as_ref().and_then(|patches| patches.patches_approved_pending.as_u64());
    DeviceFacts {
        name: known(&row.hostname).unwrap_or_else(|| external_id.to_owned()),
        device_type,
        platform: os.as_deref().and_then(platform),
        architecture: row.is_64_bit.0.map(|is_64| if is_64 { "64-bit" } else { "32-bit" }.to_owned()),
        os,
        make_model: model(row, device_type),
        lan_ips: address(&row.int_ip_address)
            .filter(|ip| identifies_a_machine(*ip))
            .map(|ip| ip.to_string())
            .into_iter()
            .collect(),
        wan_ip: address(&row.ext_ip_address).map(|ip| ip.to_string()),
        description: known(&row.description),
        site: known(&row.site_name),
        agent_version: known(&row.display_version).or_else(|| known(&row.cag_version)),
        needs_reboot: row.reboot_required.0,
        patches_pending: pending.map(|pending| pending > 0),
        // Suspended by somebody at Datto RMM: its monitors keep quiet, as those of a machine in maintenance.
        maintenance: row.suspended.0,
        more: more(row),
        ..DeviceFacts::default()
    }
}

fn presence(row: &DeviceRow<'_>) -> Presence {
    Presence {
        last_seen: row.last_seen.0,
        vendor_status: row.online.0.map(|online| if online { Status::Online } else { Status::Offline }),
        booted_at: row.last_reboot.0.map(|time| Time(time.0 / 1_000 * 1_000)),
        user: known(&row.last_logged_in_user),
        // The list only knows who was last.
        user_is_current: false,
    }
}

/// The class says which audit there is, so it wins where it is one of its own; the category tells machines apart.
fn device_type(row: &DeviceRow<'_>) -> AssetType {
    let lower = |text: &Text<'_>| text.as_str().unwrap_or_default().trim().to_ascii_lowercase();
    match lower(&row.device_class).as_str() {
        "printer" => return AssetType::Printer,
        "esxihost" => return AssetType::Hypervisor,
        "rmmnetworkdevice" => return AssetType::NetworkDevice,
        _ => {}
    }
    let category = row.device_type.0.as_ref().map(|kind| lower(&kind.category)).unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|word| category.contains(word));
    if has(&["esxi", "hypervisor"]) {
        AssetType::Hypervisor
    } else if has(&["server"]) {
        AssetType::Server
    } else if has(&["desktop", "laptop", "notebook", "workstation", "tablet"]) {
        AssetType::Workstation
    } else if has(&["printer"]) {
        AssetType::Printer
    } else if has(&["network", "router", "switch", "firewall", "access point"]) {
        AssetType::NetworkDevice
    } else {
        AssetType::Unknown
    }
}

/// Machines get theirs from the audit, which is exact; what has no audit has this alone.
fn model(row: &DeviceRow<'_>, device_type: AssetType) -> Option<String> {
    let has_no_audit = device_type == AssetType::NetworkDevice;
    row.device_type.0.as_ref().filter(|_| has_no_audit).and_then(|kind| known(&kind.model))
}

fn platform(os: &str) -> Option<String> {
    let os = os.to_lowercase();
    let found = PLATFORMS.iter().find(|(_, words)| words.iter().any(|word| os.contains(word)));
    found.map(|(platform, _)| (*platform).to_owned())
}

fn address(text: &Text<'_>) -> Option<IpAddr> {
    text.as_str()?.trim().parse().ok()
}

/// What has no field of ours, in Datto RMM's words. Numbers that move with every patch are left to the row itself.
fn more(row: &DeviceRow<'_>) -> BTreeMap<String, Vec<String>> {
    let mut more = BTreeMap::new();
    let mut tell = |name: &str, values: Vec<Option<String>>| {
        let values: Vec<String> = values.into_iter().flatten().collect();
        if !values.is_empty() {
            more.insert(name.to_owned(), values);
        }
    };
    let empty = DeviceKind::default();
    let kind = row.device_type.0.as_ref().unwrap_or(&empty);
    tell("Category", vec![known(&kind.category)]);
    tell("Type", vec![known(&kind.model)]);
    tell("Domain", vec![known(&row.domain)]);
    tell("Warranty until", vec![known(&row.warranty_date)]);
    tell("Software management", vec![known(&row.software_status)]);
    tell("Page in Datto RMM", vec![portal(&row.portal_url)]);
    if row.deleted.0 == Some(true) {
        tell("Deleted in Datto RMM", vec![Some("yes".to_owned())]);
    }
    if let Some(antivirus) = &row.antivirus.0 {
        tell("Antivirus", vec![known(&antivirus.antivirus_product), known(&antivirus.antivirus_status)]);
    }
    if let Some(patches) = &row.patch_management.0 {
        let not_approved = patches.patches_not_approved.as_u64().filter(|count| *count > 0);
        let not_approved = not_approved.map(|count| format!("{count} not approved"));
        tell("Patches", vec![known(&patches.patch_status), not_approved]);
    }
    more
}

/// A link for people, if it leads to Datto's own pages.
fn portal(text: &Text<'_>) -> Option<String> {
    let url = Url::parse(text.as_str()?.trim()).ok()?;
    let host = url.host_str()?;
    let is_theirs = host.ends_with(".rmm.datto.com") || host.ends_with(".centrastage.net");
    (url.scheme() == "https" && is_theirs && url.username().is_empty()).then(|| url.to_string())
}

/// A text that says something.
pub(crate) fn known(text: &Text<'_>) -> Option<String> {
    clean(text.as_str()?)
}

/// What a row of the list of sites is for us.
pub(crate) struct Site {
    pub(crate) organization: OrganizationRecord,
    pub(crate) is_on_demand: bool,
    pub(crate) is_deleted_devices: bool,
}

/// A row of `GET /account/sites`; none if it has no id. A row of which nothing else can be read is a site still: without
/// it the site would look like one that is gone.
pub(crate) fn site(raw: &RawValue) -> Option<Site> {
    let row = object::<SiteRow<'_>>(raw.get()).ok().or_else(|| {
        let SiteName { uid, name } = object(raw.get()).ok()?;
        Some(SiteRow { uid, name, ..SiteRow::default() })
    })?;
    site_of(&row)
}

fn site_of(row: &SiteRow<'_>) -> Option<Site> {
    let external_id = identity(row.uid.as_str())?;
    let name = known(&row.name).unwrap_or_else(|| external_id.clone());
    let is_deleted_devices = name == DELETED_DEVICES && !is_uuid(&external_id);
    let count = row.devices_status.0.as_ref().and_then(|status| status.number_of_devices.as_u64());
    // What the site of deleted devices counts, and whether its list has the same, nobody knows.
    let device_count = count.filter(|_| !is_deleted_devices);
    let site = OrganizationSite {
        external_id: external_id.clone(),
        name: name.clone(),
        device_count: device_count.and_then(|count| u32::try_from(count).ok()),
    };
    let company =
        known(&row.autotask_company_name).map(|name| Company { id: known(&row.autotask_company_id), name });
    Some(Site {
        organization: OrganizationRecord { external_id, name, sites: vec![site], device_count, company },
        is_on_demand: row.on_demand.0 == Some(true),
        is_deleted_devices,
    })
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Where one device is; none if it is deleted.
pub(crate) fn location(row: &DeviceRow<'_>) -> Option<DeviceLocation> {
    if row.deleted.0 == Some(true) {
        return None;
    }
    let site = known(&row.site_name)?;
    Some(DeviceLocation {
        external_id: identity(row.uid.as_str())?,
        organization_name: site.clone(),
        site_name: Some(site),
    })
}
