//! An asset as it is read: one row of a join, and the names around it.

use std::collections::BTreeMap;

use domain::{
    Time,
    asset::{Asset, AssetSource, AssetType},
    device::{DeviceDetail, DeviceFacts},
    id::{AssetId, ClientId, DeviceId, IntegrationId, OrganizationId, SiteId, TypedId},
    source::FieldSources,
    status::{self, Status, Thresholds},
};
use sqlx::FromRow;

use super::{around::Surroundings, list::Viewer, shared::Shared};
use crate::{
    db::{Reading, lite_row},
    device::presence_of,
    error::{Result, StoreError},
};

/// Columns of an asset and its device: `columns!` in `query` has them in the same order.
#[derive(FromRow)]
pub(crate) struct AssetRow {
    pub(crate) id: String,
    pub(crate) client_id: String,
    pub(super) site_id: Option<String>,
    name: String,
    pub(crate) name_key: String,
    pub(crate) asset_type: String,
    pub(crate) os: String,
    locked: String,
    note: Option<String>,
    status: String,
    listed_at: Option<i64>,
    pub(crate) last_seen: i64,
    vendor_status: Option<String>,
    booted_at: Option<i64>,
    user_name: Option<String>,
    user_is_current: bool,
    offline_minutes: Option<i64>,
    overdue_minutes: Option<i64>,
    facts: String,
    facts_at: i64,
    detail_at: Option<i64>,
    rmm_provider: String,
    pub(super) integration_id: String,
    pub(crate) device_id: String,
    external_id: String,
    pub(super) organization_id: String,
    missing_since: Option<i64>,
    missing_note: Option<String>,
    pub(crate) created_at: i64,
    updated_at: i64,
    /// What of the detail the list lacks: JSON, null for most.
    completing: Option<String>,
    pub(super) sources: i64,
    pub(super) field_sources: String,
    pub(crate) presence_device_id: String,
    pub(super) detail: Option<String>,
    /// Empty unless the list is in the order of clients.
    pub(crate) client_key: String,
}

lite_row! {
    AssetRow {
        id, client_id, site_id, name, name_key, asset_type, os, locked, note, status, listed_at, last_seen,
        vendor_status, booted_at, user_name, user_is_current, offline_minutes, overdue_minutes, facts, facts_at,
        detail_at, rmm_provider, integration_id, device_id, external_id, organization_id, missing_since,
        missing_note, created_at, updated_at, completing, sources, field_sources, presence_device_id, detail,
        client_key,
    }
}

/// Rows with the names around them.
pub(super) async fn into_assets(
    read: &mut Reading,
    viewer: &Viewer,
    rows: Vec<AssetRow>,
) -> Result<Vec<Asset>> {
    let mut shared = Shared::of(read, viewer.tenant, &rows).await?;
    let names = Surroundings::of(read, viewer.tenant, &rows, &shared).await?;
    let mut assets = Vec::with_capacity(rows.len());
    for row in rows {
        let several = shared.take(&row);
        let asset = row.into_asset(&names, viewer)?;
        assets.push(match several {
            Some(several) => several.applied(asset, &names, viewer)?,
            None => asset,
        });
    }
    Ok(assets)
}

/// Facts with what the list lacks.
pub(super) fn completed(facts: &str, completing: Option<&str>) -> Result<DeviceFacts> {
    let corrupt = |_| StoreError::Corrupt { what: "asset" };
    let facts: DeviceFacts = serde_json::from_str(facts).map_err(corrupt)?;
    let Some(part) = completing else { return Ok(facts) };
    let part: DeviceDetail = serde_json::from_str(part).map_err(corrupt)?;
    Ok(facts.completed(&part))
}

impl AssetRow {
    fn into_asset(self, around: &Surroundings, viewer: &Viewer) -> Result<Asset> {
        let corrupt = || StoreError::Corrupt { what: "asset" };
        // Where it went may be an organization of another client, or of none.
        let missing_note = self.missing_note.filter(|_| viewer.clients.is_all());
        let client = around.clients.get(&self.client_id).ok_or_else(corrupt)?;
        let site = self.site_id.as_ref().and_then(|id| around.sites.get(id));
        let organization = around.organizations.get(&self.organization_id).ok_or_else(corrupt)?;
        let integration = around.integrations.get(&self.integration_id).ok_or_else(corrupt)?;
        // A device that is not listed was last looked at when it was last listed.
        let observed_at = self.listed_at.or(organization.observed_at).map(Time);
        let minutes = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
        let own = minutes(self.offline_minutes).zip(minutes(self.overdue_minutes));
        let thresholds = own.map_or(status::ASSUMED, |(offline_minutes, overdue_minutes)| Thresholds {
            offline_minutes,
            overdue_minutes,
        });
        let status = Status::from_name(&self.status).ok_or_else(corrupt)?;
        let last_seen = (self.last_seen > 0).then_some(Time(self.last_seen));
        let days = integration.stale_after_days;
        Ok(Asset {
            id: AssetId::from_db(&self.id).map_err(|_| corrupt())?,
            client_id: ClientId::from_db(&self.client_id).map_err(|_| corrupt())?,
            client_name: client.clone(),
            site_id: self.site_id.map(|id| SiteId::from_db(&id)).transpose().map_err(|_| corrupt())?,
            site_name: site.cloned(),
            name: self.name,
            asset_type: AssetType::from_name(&self.asset_type).ok_or_else(corrupt)?,
            locked: serde_json::from_str(&self.locked).map_err(|_| corrupt())?,
            note: self.note,
            status,
            observed_at,
            status_stale: !integration.is_active
                || status::is_stale(observed_at, integration.presence_interval, viewer.now),
            stale: status::is_long_silent(status, last_seen, Time(self.created_at), days, viewer.now),
            thresholds,
            thresholds_assumed: own.is_none(),
            presence: presence_of(
                self.last_seen,
                self.vendor_status.as_deref(),
                self.booted_at,
                self.user_name,
                self.user_is_current,
            ),
            facts: completed(&self.facts, self.completing.as_deref())?,
            facts_at: Time(self.facts_at),
            detail: self.detail.as_deref().map(serde_json::from_str).transpose().map_err(|_| corrupt())?,
            detail_at: self.detail_at.map(Time),
            source: AssetSource {
                rmm_provider: self.rmm_provider,
                integration_id: IntegrationId::from_db(&self.integration_id).map_err(|_| corrupt())?,
                integration_name: integration.name.clone(),
                device_id: DeviceId::from_db(&self.device_id).map_err(|_| corrupt())?,
                external_id: self.external_id,
                organization_id: OrganizationId::from_db(&self.organization_id).map_err(|_| corrupt())?,
                organization_external_id: organization.external_id.clone(),
                organization_name: organization.name.clone(),
                missing_since: self.missing_since.map(Time),
                missing_note,
            },
            sources: Vec::new(),
            speakers: BTreeMap::new(),
            field_sources: FieldSources::new(),
            missing_since: self.missing_since.map(Time),
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
        })
    }
}
