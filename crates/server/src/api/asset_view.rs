//! How an asset looks on the wire: a row of a list, and one in full with source and age of every field.

use std::collections::BTreeMap;

use domain::{
    Time,
    asset::{Asset, AssetSource, SourceLook},
    device::DeviceDetail,
    source::Field,
    status::Status,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::wire;

/// A client by id and name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientRef {
    /// Its id.
    id: wire::ClientId,
    /// Its name.
    name: String,
}

/// A site by id and name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteRef {
    /// Its id.
    id: wire::SiteId,
    /// Its name.
    name: String,
}

/// An asset as a row of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetItem {
    /// Its id.
    pub(crate) id: wire::AssetId,
    /// Its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) client: ClientRef,
    /// Where it stands.
    pub(crate) site: Option<SiteRef>,
    /// What it is.
    #[serde(rename = "type")]
    pub(crate) asset_type: wire::AssetType,
    /// Whether it reports.
    pub(crate) status: wire::Status,
    /// The last look at the RMM is older than two intervals.
    pub(crate) status_stale: bool,
    /// It is not online, and was not seen for as many days as `stale_after_days` of the integration says.
    pub(crate) stale: bool,
    /// The last successful look at the RMM.
    pub(crate) observed_at: Option<wire::Time>,
    /// When it last reported to the RMM.
    pub(crate) last_seen: Option<wire::Time>,
    /// Who is logged in, or who was last.
    pub(crate) user: Option<String>,
    /// Is `user` logged in now?
    pub(crate) user_is_current: bool,
    /// Operating system with version.
    pub(crate) os: Option<String>,
    /// Manufacturer and model.
    pub(crate) make_model: Option<String>,
    /// Serial number.
    pub(crate) serial: Option<String>,
    /// Addresses in the local network.
    pub(crate) lan_ips: Vec<String>,
    /// Address seen from outside.
    pub(crate) wan_ip: Option<String>,
    /// It waits for a restart.
    pub(crate) needs_reboot: Option<bool>,
    /// Patches wait to be installed.
    pub(crate) patches_pending: Option<bool>,
    /// The RMM's own maintenance mode.
    pub(crate) maintenance: Option<bool>,
    /// Version of the RMM's agent.
    pub(crate) agent_version: Option<String>,
    /// The RMM it comes from; of several that of the leading source.
    pub(crate) provider: String,
    /// The integration it comes from; of several that of the leading source.
    pub(crate) integration_id: wire::IntegrationId,
    /// How many sources it has.
    pub(crate) source_count: usize,
    /// Not listed at any of its RMMs since.
    pub(crate) missing_since: Option<wire::Time>,
    /// When it came into the register.
    pub(crate) created_at: wire::Time,
    /// When it last changed.
    pub(crate) updated_at: wire::Time,
}

impl From<Asset> for AssetItem {
    fn from(asset: Asset) -> Self {
        let site = site_ref(&asset);
        let (facts, presence, source) = (asset.facts, asset.presence, asset.source);
        AssetItem {
            id: asset.id.into(),
            name: asset.name,
            client: ClientRef { id: asset.client_id.into(), name: asset.client_name },
            site,
            asset_type: asset.asset_type.into(),
            status: asset.status.into(),
            status_stale: asset.status_stale,
            stale: asset.stale,
            observed_at: asset.observed_at.map(Into::into),
            last_seen: presence.last_seen.map(Into::into),
            user: presence.user,
            user_is_current: presence.user_is_current,
            os: facts.os,
            make_model: facts.make_model,
            serial: facts.serial,
            lan_ips: facts.lan_ips,
            wan_ip: facts.wan_ip,
            needs_reboot: facts.needs_reboot,
            patches_pending: facts.patches_pending,
            maintenance: facts.maintenance,
            agent_version: facts.agent_version,
            provider: source.rmm_provider,
            integration_id: source.integration_id.into(),
            source_count: asset.sources.len().max(1),
            missing_since: asset.missing_since.map(Into::into),
            created_at: asset.created_at.into(),
            updated_at: asset.updated_at.into(),
        }
    }
}

fn site_ref(asset: &Asset) -> Option<SiteRef> {
    let id = asset.site_id?.into();
    Some(SiteRef { id, name: asset.site_name.clone().unwrap_or_default() })
}

/// Who says so.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum FieldSource {
    /// An RMM.
    Integration {
        /// The integration.
        integration_id: wire::IntegrationId,
        /// Its name.
        integration_name: String,
        /// The RMM.
        provider: String,
    },
    /// A person set it here; the RMM does not overwrite it.
    Person,
}

/// A value with its source and age.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fact<T> {
    /// The value; null if the source does not know.
    value: T,
    /// Who says so.
    source: FieldSource,
    /// When it was last seen to be so; null for what a person set.
    as_of: Option<wire::Time>,
}

/// Every field with source and age.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetFields {
    /// Its name.
    name: Fact<String>,
    /// What it is.
    #[serde(rename = "type")]
    asset_type: Fact<wire::AssetType>,
    /// `windows`, `linux`, `macos` or the RMM's word.
    platform: Fact<Option<String>>,
    /// Processor architecture.
    architecture: Fact<Option<String>>,
    /// Operating system with version.
    os: Fact<Option<String>>,
    /// Manufacturer and model.
    make_model: Fact<Option<String>>,
    /// Serial number.
    serial: Fact<Option<String>>,
    /// Processors.
    cpus: Fact<Vec<String>>,
    /// Graphics.
    graphics: Fact<Option<String>>,
    /// Physical disks.
    disks: Fact<Vec<String>>,
    /// Addresses in the local network.
    lan_ips: Fact<Vec<String>>,
    /// Address seen from outside.
    wan_ip: Fact<Option<String>>,
    /// Free text by a technician at the RMM.
    description: Fact<Option<String>>,
    /// Name of the site at the RMM.
    rmm_site: Fact<Option<String>>,
    /// Version of the RMM's agent.
    agent_version: Fact<Option<String>>,
    /// It waits for a restart.
    needs_reboot: Fact<Option<bool>>,
    /// Patches wait to be installed.
    patches_pending: Fact<Option<bool>>,
    /// The RMM's own maintenance mode.
    maintenance: Fact<Option<bool>>,
    /// Custom fields by name.
    custom_fields: Fact<CustomFields>,
    /// When it last reported to the RMM.
    last_seen: Fact<Option<wire::Time>>,
    /// When it started.
    booted_at: Fact<Option<wire::Time>>,
    /// Seconds since it started, at the last look; null unless it is online.
    uptime_s: Fact<Option<u64>>,
    /// Who is logged in, or who was last.
    user: Fact<Option<String>>,
    /// Is `user` logged in now?
    user_is_current: Fact<bool>,
    /// Memory in bytes.
    ram_bytes: Fact<Option<u64>>,
    /// Volumes.
    volumes: Fact<Vec<Volume>>,
    /// Hardware addresses.
    macs: Fact<Vec<String>>,
    /// Time zone of the machine.
    time_zone: Fact<Option<String>>,
    /// More that only this RMM tells, in its own words: name → values.
    more: Fact<More>,
}

/// What only one RMM tells: name → values.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = BTreeMap<String, Vec<String>>)]
pub(crate) struct More(BTreeMap<String, Vec<String>>);

/// Custom fields by name, or by number where the name may not be read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(crate) struct CustomFields(BTreeMap<String, serde_json::Value>);

/// A volume with a file system.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Volume {
    /// Drive letter or mount point.
    name: String,
    /// File system.
    filesystem: Option<String>,
    /// Size in bytes.
    size_bytes: Option<u64>,
    /// Free space in bytes.
    free_bytes: Option<u64>,
    /// Used share in per cent.
    used_percent: Option<u8>,
}

/// After how much silence a machine counts as offline and as overdue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Thresholds {
    /// Minutes until offline.
    offline_minutes: u32,
    /// Minutes until overdue.
    overdue_minutes: u32,
}

/// Where an asset comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceView {
    /// The RMM.
    provider: String,
    /// The integration.
    integration_id: wire::IntegrationId,
    /// Its name.
    integration_name: String,
    /// The integration's view of the machine.
    device_id: wire::DeviceId,
    /// The RMM's id of the machine.
    external_id: String,
    /// The organization.
    organization_id: wire::OrganizationId,
    /// The RMM's id of the organization.
    organization_external_id: String,
    /// The organization's name.
    organization_name: String,
    /// Not listed at the RMM since.
    missing_since: Option<wire::Time>,
    /// Where it went, if that is known.
    missing_note: Option<String>,
}

impl From<AssetSource> for SourceView {
    fn from(source: AssetSource) -> Self {
        SourceView {
            provider: source.rmm_provider,
            integration_id: source.integration_id.into(),
            integration_name: source.integration_name,
            device_id: source.device_id.into(),
            external_id: source.external_id,
            organization_id: source.organization_id.into(),
            organization_external_id: source.organization_external_id,
            organization_name: source.organization_name,
            missing_since: source.missing_since.map(Into::into),
            missing_note: source.missing_note,
        }
    }
}

/// One of the sources of an asset, with its own look.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceItem {
    /// Where it is.
    #[serde(flatten)]
    source: SourceView,
    /// It leads: it says whose the machine is, and speaks first for every field.
    leads: bool,
    /// Status, last seen, user and start of the asset are those of this source.
    speaks_for_status: bool,
    /// Whether the machine reports to this RMM.
    status: wire::Status,
    /// The last look at this RMM is older than two intervals.
    status_stale: bool,
    /// The last successful look at this RMM.
    observed_at: Option<wire::Time>,
    /// When the machine last reported to this RMM.
    last_seen: Option<wire::Time>,
    /// Who is logged in, or who was last.
    user: Option<String>,
    /// The last look at the detail.
    detail_at: Option<wire::Time>,
}

impl From<SourceLook> for SourceItem {
    fn from(look: SourceLook) -> Self {
        SourceItem {
            source: look.source.into(),
            leads: look.leads,
            speaks_for_status: look.is_voice,
            status: look.status.into(),
            status_stale: look.status_stale,
            observed_at: look.observed_at.map(Into::into),
            last_seen: look.presence.last_seen.map(Into::into),
            user: look.presence.user,
            detail_at: look.detail_at.map(Into::into),
        }
    }
}

/// The sources of an asset, the leading one first.
fn sources(asset: &Asset) -> Vec<SourceItem> {
    if !asset.sources.is_empty() {
        return asset.sources.iter().cloned().map(SourceItem::from).collect();
    }
    let only = SourceLook {
        source: asset.source.clone(),
        leads: true,
        is_voice: true,
        status: asset.status,
        observed_at: asset.observed_at,
        status_stale: asset.status_stale,
        presence: asset.presence.clone(),
        facts_at: asset.facts_at,
        detail_at: asset.detail_at,
    };
    vec![only.into()]
}

/// An asset that is part of another one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MergedView {
    /// Its id, which leads to the other.
    id: wire::AssetId,
    /// Its name when it was merged.
    name: String,
    /// When that was.
    merged_at: wire::Time,
}

impl From<service::asset::Merged> for MergedView {
    fn from(merged: service::asset::Merged) -> Self {
        MergedView { id: merged.id.into(), name: merged.name, merged_at: merged.merged_at.into() }
    }
}

/// An asset in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetDetail {
    /// Its id.
    id: wire::AssetId,
    /// Its name.
    name: String,
    /// Whose it is.
    client: ClientRef,
    /// Where it stands.
    site: Option<SiteRef>,
    /// What it is.
    #[serde(rename = "type")]
    asset_type: wire::AssetType,
    /// Whether it reports.
    status: wire::Status,
    /// The last look at the RMM is older than two intervals.
    status_stale: bool,
    /// It is not online, and was not seen for as many days as `stale_after_days` of the integration says.
    stale: bool,
    /// The last successful look at the RMM.
    observed_at: Option<wire::Time>,
    /// Thresholds in use.
    thresholds: Thresholds,
    /// They are the RMM's defaults; the machine's own are not known.
    thresholds_assumed: bool,
    /// Fields a person set; the RMM does not overwrite them.
    locked: Vec<String>,
    /// A person's note.
    note: Option<String>,
    /// Every field with source and age.
    fields: AssetFields,
    /// When what the list of the RMM tells last changed.
    facts_changed_at: wire::Time,
    /// The last look at the detail.
    detail_at: Option<wire::Time>,
    /// Where it comes from; of several sources the leading one.
    source: SourceView,
    /// All sources, the leading one first.
    sources: Vec<SourceItem>,
    /// Which device a person chose to speak for a field: field → device.
    #[schema(value_type = BTreeMap<String, wire::DeviceId>)]
    field_sources: BTreeMap<String, wire::DeviceId>,
    /// Not listed at any of its RMMs since.
    missing_since: Option<wire::Time>,
    /// Assets that were merged into this one; their ids lead here.
    pub(crate) merged: Vec<MergedView>,
    /// The id that was asked for, if that asset is part of this one now.
    pub(crate) redirected_from: Option<wire::AssetId>,
    /// When it came into the register.
    created_at: wire::Time,
    /// When it last changed.
    updated_at: wire::Time,
}

impl From<Asset> for AssetDetail {
    fn from(asset: Asset) -> Self {
        let site = site_ref(&asset);
        let fields = fields(&asset);
        let sources = sources(&asset);
        let chosen = asset.field_sources.iter();
        AssetDetail {
            id: asset.id.into(),
            name: asset.name,
            client: ClientRef { id: asset.client_id.into(), name: asset.client_name },
            site,
            asset_type: asset.asset_type.into(),
            status: asset.status.into(),
            status_stale: asset.status_stale,
            stale: asset.stale,
            observed_at: asset.observed_at.map(Into::into),
            thresholds: Thresholds {
                offline_minutes: asset.thresholds.offline_minutes,
                overdue_minutes: asset.thresholds.overdue_minutes,
            },
            thresholds_assumed: asset.thresholds_assumed,
            locked: asset.locked,
            note: asset.note,
            fields,
            facts_changed_at: asset.facts_at.into(),
            detail_at: asset.detail_at.map(Into::into),
            field_sources: chosen
                .map(|(field, device)| (field.name().to_owned(), (*device).into()))
                .collect(),
            source: asset.source.into(),
            sources,
            missing_since: asset.missing_since.map(Into::into),
            merged: Vec::new(),
            redirected_from: None,
            created_at: asset.created_at.into(),
            updated_at: asset.updated_at.into(),
        }
    }
}

/// Who said what of an asset, and when.
struct Voices<'a> {
    asset: &'a Asset,
    detail: &'a DeviceDetail,
}

impl Voices<'_> {
    fn said<T>(source: &AssetSource, value: T, at: Option<Time>) -> Fact<T> {
        let source = FieldSource::Integration {
            integration_id: source.integration_id.into(),
            integration_name: source.integration_name.clone(),
            provider: source.rmm_provider.clone(),
        };
        Fact { value, source, as_of: at.map(Into::into) }
    }

    /// Who of several sources speaks for a field.
    fn speaker(&self, field: Field) -> Option<&SourceLook> {
        let device = self.asset.speakers.get(&field)?;
        self.asset.sources.iter().find(|look| look.source.device_id == *device)
    }

    /// What the list tells: it confirms the facts with every pass, whether they changed or not. What the list lacks is as
    /// old as the detail.
    fn fact<T>(&self, field: Field, value: T) -> Fact<T> {
        if let Some(look) = self.speaker(field) {
            return Self::said(&look.source, value, look.observed_at.or(Some(look.facts_at)));
        }
        let is_of_detail = self.asset.sources.is_empty() && is_completed(field, self.detail);
        let at = self.asset.observed_at.or(Some(self.asset.facts_at));
        Self::said(&self.asset.source, value, if is_of_detail { self.asset.detail_at } else { at })
    }

    /// A field that a person may have taken over.
    fn lockable<T>(&self, field: Field, value: T) -> Fact<T> {
        if self.asset.locked.iter().any(|locked| locked == field.name()) {
            return Fact { value, source: FieldSource::Person, as_of: None };
        }
        self.fact(field, value)
    }

    fn detail<T>(&self, field: Field, value: T) -> Fact<T> {
        match self.speaker(field) {
            Some(look) => Self::said(&look.source, value, look.detail_at),
            None => Self::said(&self.asset.source, value, self.asset.detail_at),
        }
    }

    /// What moves: all of it is of one source, and of one moment.
    fn presence<T>(&self, value: T) -> Fact<T> {
        let voice = self.asset.sources.iter().find(|look| look.is_voice);
        let source = voice.map_or(&self.asset.source, |look| &look.source);
        Self::said(source, value, self.asset.observed_at.or(Some(self.asset.facts_at)))
    }
}

/// Does the list lack this field, so that it comes from the detail?
fn is_completed(field: Field, detail: &DeviceDetail) -> bool {
    match field {
        Field::MakeModel => detail.make_model.is_some(),
        Field::Serial => detail.serial.is_some(),
        Field::Cpus => !detail.cpus.is_empty(),
        Field::Graphics => detail.graphics.is_some(),
        Field::Disks => !detail.disks.is_empty(),
        _ => false,
    }
}

fn fields(asset: &Asset) -> AssetFields {
    let (facts, presence) = (asset.facts.clone(), asset.presence.clone());
    let detail = asset.detail.clone().unwrap_or_default();
    let voices = Voices { asset, detail: &detail };
    AssetFields {
        name: voices.lockable(Field::Name, asset.name.clone()),
        asset_type: voices.lockable(Field::AssetType, asset.asset_type.into()),
        platform: voices.fact(Field::Platform, facts.platform),
        architecture: voices.fact(Field::Architecture, facts.architecture),
        os: voices.fact(Field::Os, facts.os),
        make_model: voices.fact(Field::MakeModel, facts.make_model),
        serial: voices.fact(Field::Serial, facts.serial),
        cpus: voices.fact(Field::Cpus, facts.cpus),
        graphics: voices.fact(Field::Graphics, facts.graphics),
        disks: voices.fact(Field::Disks, facts.disks),
        lan_ips: voices.fact(Field::LanIps, facts.lan_ips),
        wan_ip: voices.fact(Field::WanIp, facts.wan_ip),
        description: voices.fact(Field::Description, facts.description),
        rmm_site: voices.fact(Field::RmmSite, facts.site),
        agent_version: voices.fact(Field::AgentVersion, facts.agent_version),
        needs_reboot: voices.fact(Field::NeedsReboot, facts.needs_reboot),
        patches_pending: voices.fact(Field::PatchesPending, facts.patches_pending),
        maintenance: voices.fact(Field::Maintenance, facts.maintenance),
        custom_fields: voices.fact(Field::CustomFields, CustomFields(facts.custom_fields)),
        last_seen: voices.presence(presence.last_seen.map(Into::into)),
        booted_at: voices.presence(presence.booted_at.map(Into::into)),
        uptime_s: voices.presence(uptime_s(asset)),
        user: voices.presence(presence.user),
        user_is_current: voices.presence(presence.user_is_current),
        ram_bytes: voices.detail(Field::RamBytes, detail.ram_bytes),
        volumes: voices.detail(Field::Volumes, detail.volumes.iter().cloned().map(Volume::from).collect()),
        macs: voices.detail(Field::Macs, detail.macs.clone()),
        time_zone: voices.detail(Field::TimeZone, detail.time_zone.clone()),
        more: voices.fact(Field::More, More(facts.more)),
    }
}

/// A machine that does not report may be off by now: how long it has been running is known only while it is online.
fn uptime_s(asset: &Asset) -> Option<u64> {
    match asset.status {
        Status::Online => Some(asset.observed_at?.since(asset.presence.booted_at?).as_secs()),
        Status::Offline | Status::Overdue => None,
    }
}

impl From<domain::device::Volume> for Volume {
    fn from(volume: domain::device::Volume) -> Self {
        Volume {
            name: volume.name,
            filesystem: volume.filesystem,
            size_bytes: volume.size_bytes,
            free_bytes: volume.free_bytes,
            used_percent: volume.used_percent,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use domain::{
        Time,
        device::{DeviceFacts, Presence},
        id::{AssetId, ClientId, DeviceId, IntegrationId, OrganizationId, TypedId},
        status::ASSUMED,
    };

    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    /// An asset with ids made of one number.
    pub(crate) fn asset() -> Asset {
        let uuid = uuid::Uuid::from_u128(7);
        Asset {
            id: AssetId::from_uuid(uuid),
            client_id: ClientId::from_uuid(uuid),
            client_name: "Contoso, Dental".to_owned(),
            site_id: None,
            site_name: None,
            name: "=PC-1".to_owned(),
            asset_type: domain::asset::AssetType::Workstation,
            locked: vec!["name".to_owned()],
            note: None,
            status: Status::Online,
            observed_at: Some(NOW),
            status_stale: false,
            stale: false,
            thresholds: ASSUMED,
            thresholds_assumed: true,
            presence: Presence { booted_at: Some(Time(NOW.0 - 90_000)), ..Presence::default() },
            facts: DeviceFacts { os: Some("Windows 11".to_owned()), ..DeviceFacts::default() },
            facts_at: Time(NOW.0 - 5_000),
            detail: None,
            detail_at: None,
            source: AssetSource {
                rmm_provider: "x".to_owned(),
                integration_id: IntegrationId::from_uuid(uuid),
                integration_name: "Main".to_owned(),
                device_id: DeviceId::from_uuid(uuid),
                external_id: "e1".to_owned(),
                organization_id: OrganizationId::from_uuid(uuid),
                organization_external_id: "o1".to_owned(),
                organization_name: "Contoso".to_owned(),
                missing_since: None,
                missing_note: None,
            },
            sources: Vec::new(),
            speakers: BTreeMap::new(),
            field_sources: BTreeMap::new(),
            missing_since: None,
            created_at: NOW,
            updated_at: NOW,
        }
    }

    #[test]
    fn every_field_says_who_and_when() {
        let shown = serde_json::to_value(AssetDetail::from(asset())).unwrap();
        let os = serde_json::json!({
            "value": "Windows 11", "as_of": "2027-01-15T08:00:00.000Z",
            "source": {
                "kind": "integration", "integration_name": "Main", "provider": "x",
                "integration_id": "int_00000000000000000000000000000007",
            },
        });
        assert_eq!(shown["fields"]["os"], os);
        let name = serde_json::json!({ "value": "=PC-1", "as_of": null, "source": { "kind": "person" } });
        assert_eq!(shown["fields"]["name"], name);
        assert_eq!(shown["fields"]["ram_bytes"]["as_of"], serde_json::Value::Null);
    }

    #[test]
    fn uptime_is_known_only_while_online() {
        let mut asset = asset();
        assert_eq!(uptime_s(&asset), Some(90));
        asset.status = Status::Offline;
        assert_eq!(uptime_s(&asset), None);
    }
}
