//! Assets of a page that have several devices: they are few, so their devices are read once for the page and not joined to
//! each of its rows. A page without such an asset asks nothing.

use std::collections::HashMap;

use domain::{
    Time,
    asset::{Asset, AssetSource, SourceLook},
    device::DeviceDetail,
    id::{DeviceId, IntegrationId, OrganizationId, TenantId, TypedId},
    source::{FieldSources, Source, compose},
    status::{self, Status},
};
use sqlx::FromRow;

use super::{
    around::Surroundings,
    list::Viewer,
    row::{AssetRow, completed},
};
use crate::{
    db::{Reading, args, lite_row},
    device::presence_of,
    error::{Result, StoreError},
    event::to_json,
    sql::statements,
};

statements! {
    // Without the detail, which no list shows.
    FOR_LIST = [
        "SELECT d.id, d.asset_id, d.integration_id, i.provider, d.external_id, d.organization_id, d.facts, d.facts_at, \
         d.completing, CAST(NULL AS TEXT) AS detail, d.detail_at, d.listed_at, d.missing_since, d.missing_note, d.created_at, \
         p.last_seen, p.vendor_status, p.booted_at, p.user_name, p.user_is_current, p.status, p.overdue_at FROM ",
        {keys "$1"}, " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.asset_id = r.value \
         JOIN device_presence p ON p.tenant_id = d.tenant_id AND p.device_id = d.id \
         JOIN rmm_integrations i ON i.tenant_id = d.tenant_id AND i.id = d.integration_id"
    ];
    FOR_ONE = [
        "SELECT d.id, d.asset_id, d.integration_id, i.provider, d.external_id, d.organization_id, d.facts, d.facts_at, \
         d.completing, d.detail, d.detail_at, d.listed_at, d.missing_since, d.missing_note, d.created_at, \
         p.last_seen, p.vendor_status, p.booted_at, p.user_name, p.user_is_current, p.status, p.overdue_at FROM ",
        {keys "$1"}, " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.asset_id = r.value \
         JOIN device_presence p ON p.tenant_id = d.tenant_id AND p.device_id = d.id \
         JOIN rmm_integrations i ON i.tenant_id = d.tenant_id AND i.id = d.integration_id"
    ];
}

#[derive(FromRow)]
struct DeviceRow {
    id: String,
    asset_id: String,
    integration_id: String,
    provider: String,
    external_id: String,
    organization_id: String,
    facts: String,
    facts_at: i64,
    completing: Option<String>,
    detail: Option<String>,
    detail_at: Option<i64>,
    listed_at: Option<i64>,
    missing_since: Option<i64>,
    missing_note: Option<String>,
    created_at: i64,
    last_seen: i64,
    vendor_status: Option<String>,
    booted_at: Option<i64>,
    user_name: Option<String>,
    user_is_current: bool,
    status: String,
    overdue_at: Option<i64>,
}

lite_row! {
    DeviceRow {
        id, asset_id, integration_id, provider, external_id, organization_id, facts, facts_at, completing, detail,
        detail_at, listed_at, missing_since, missing_note, created_at, last_seen, vendor_status, booted_at, user_name,
        user_is_current, status, overdue_at,
    }
}

/// The devices of those assets of a page that have several.
#[derive(Default)]
pub(super) struct Shared(HashMap<String, Vec<DeviceRow>>);

/// The devices of one asset.
pub(super) struct Several {
    devices: Vec<DeviceRow>,
    chosen: FieldSources,
    presence_device_id: String,
}

impl Shared {
    pub(super) async fn of(read: &mut Reading, tenant: TenantId, rows: &[AssetRow]) -> Result<Shared> {
        let ids: Vec<&str> = rows.iter().filter(|row| row.sources > 1).map(|row| row.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(Shared::default());
        }
        let is_list = rows.iter().all(|row| row.detail.is_none());
        let statement = if is_list && rows.len() > 1 { &FOR_LIST } else { &FOR_ONE };
        let found: Vec<DeviceRow> = read.all(statement, args![to_json(&ids)?, tenant]).await?;
        let mut shared = Shared::default();
        for device in found {
            shared.0.entry(device.asset_id.clone()).or_default().push(device);
        }
        Ok(shared)
    }

    pub(super) fn organizations(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().map(|device| device.organization_id.as_str())
    }

    pub(super) fn integrations(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().map(|device| device.integration_id.as_str())
    }

    /// Those of one asset, if it has several.
    pub(super) fn take(&mut self, row: &AssetRow) -> Option<Several> {
        let devices = self.0.remove(&row.id)?;
        let chosen = serde_json::from_str(&row.field_sources).unwrap_or_default();
        Some(Several { devices, chosen, presence_device_id: row.presence_device_id.clone() })
    }
}

impl Several {
    /// The asset as all its devices say together.
    pub(super) fn applied(self, asset: Asset, around: &Surroundings, viewer: &Viewer) -> Result<Asset> {
        let leading = asset.source.device_id;
        let sources: Vec<Source> =
            self.devices.iter().map(|device| device.source(viewer.now)).collect::<Result<_>>()?;
        let composed = compose(&sources, leading, &self.chosen);
        let mut looks = self.looks(&sources, leading, around, viewer)?;
        looks.sort_by_key(|look| (!look.leads, look.source.device_id));
        let voice = looks.iter().find(|look| look.is_voice);
        let is_missing = looks.iter().all(|look| look.source.missing_since.is_some());
        Ok(Asset {
            observed_at: voice.map_or(asset.observed_at, |look| look.observed_at),
            status_stale: voice.map_or(asset.status_stale, |look| look.status_stale),
            facts: composed.facts,
            detail: asset.detail.as_ref().map_or_else(
                || (composed.detail != DeviceDetail::default()).then(|| composed.detail.clone()),
                |own| Some(DeviceDetail { thresholds: own.thresholds, ..composed.detail.clone() }),
            ),
            missing_since: looks
                .iter()
                .filter_map(|look| look.source.missing_since)
                .max()
                .filter(|_| is_missing),
            sources: looks,
            speakers: composed.speakers,
            field_sources: self.chosen,
            ..asset
        })
    }

    fn looks(
        &self,
        sources: &[Source],
        leading: DeviceId,
        around: &Surroundings,
        viewer: &Viewer,
    ) -> Result<Vec<SourceLook>> {
        let looks = self.devices.iter().zip(sources).map(|(device, source)| {
            let mut look = device.look(source, around, viewer)?;
            look.leads = source.device_id == leading;
            look.is_voice = device.id == self.presence_device_id;
            Ok(look)
        });
        looks.collect()
    }
}

fn corrupt() -> StoreError {
    StoreError::Corrupt { what: "device" }
}

impl DeviceRow {
    fn source(&self, now: Time) -> Result<Source> {
        let detail: Option<DeviceDetail> =
            self.detail.as_deref().map(serde_json::from_str).transpose().map_err(|_| corrupt())?;
        let own = Status::from_name(&self.status).ok_or_else(corrupt)?;
        let overdue_at = self.overdue_at.map(Time);
        Ok(Source {
            device_id: DeviceId::from_db(&self.id).map_err(|_| corrupt())?,
            created_at: Time(self.created_at),
            is_missing: self.missing_since.is_some(),
            status: status::shown(own, overdue_at, now),
            overdue_at,
            last_seen: (self.last_seen > 0).then_some(Time(self.last_seen)),
            facts: completed(&self.facts, self.completing.as_deref())?,
            detail: detail.unwrap_or_default(),
        })
    }

    fn look(&self, source: &Source, around: &Surroundings, viewer: &Viewer) -> Result<SourceLook> {
        let organization = around.organizations.get(&self.organization_id).ok_or_else(corrupt)?;
        let integration = around.integrations.get(&self.integration_id).ok_or_else(corrupt)?;
        let observed_at = self.listed_at.or(organization.observed_at).map(Time);
        Ok(SourceLook {
            source: AssetSource {
                rmm_provider: self.provider.clone(),
                integration_id: IntegrationId::from_db(&self.integration_id).map_err(|_| corrupt())?,
                integration_name: integration.name.clone(),
                device_id: source.device_id,
                external_id: self.external_id.clone(),
                organization_id: OrganizationId::from_db(&self.organization_id).map_err(|_| corrupt())?,
                organization_external_id: organization.external_id.clone(),
                organization_name: organization.name.clone(),
                missing_since: self.missing_since.map(Time),
                missing_note: self.missing_note.clone().filter(|_| viewer.clients.is_all()),
            },
            leads: false,
            is_voice: false,
            status: source.status,
            observed_at,
            status_stale: !integration.is_active
                || status::is_stale(observed_at, integration.presence_interval, viewer.now),
            presence: presence_of(
                self.last_seen,
                self.vendor_status.as_deref(),
                self.booted_at,
                self.user_name.clone(),
                self.user_is_current,
            ),
            facts_at: Time(self.facts_at),
            detail_at: self.detail_at.map(Time),
        })
    }
}
