//! An asset as it is read: one row of a join.

use std::time::Duration;

use domain::{
    Time,
    asset::{Asset, AssetSource, AssetType},
    id::{AssetId, ClientId, DeviceId, IntegrationId, OrganizationId, SiteId, TypedId},
    integration::IntegrationSettings,
    status::{self, Status, Thresholds},
};
use serde::{Deserialize, Deserializer};
use sqlx::FromRow;

use crate::{
    device::presence_of,
    error::{Result, StoreError},
};

/// Columns of an asset with its client, site, device, organization and integration. Comes as a row, or as a JSON array in
/// the order of its fields: `columns!` in `query` has the same.
#[derive(FromRow, Deserialize)]
pub(crate) struct AssetRow {
    pub(crate) id: String,
    pub(crate) client_id: String,
    client_name: String,
    pub(crate) client_key: String,
    site_id: Option<String>,
    site_name: Option<String>,
    name: String,
    pub(crate) name_key: String,
    pub(crate) asset_type: String,
    pub(crate) os: String,
    locked: String,
    note: Option<String>,
    status: String,
    observed_at: Option<i64>,
    listed_at: Option<i64>,
    #[serde(deserialize_with = "flag")]
    is_active: bool,
    settings: String,
    pub(crate) last_seen: i64,
    vendor_status: Option<String>,
    booted_at: Option<i64>,
    user_name: Option<String>,
    #[serde(deserialize_with = "flag")]
    user_is_current: bool,
    offline_minutes: Option<i64>,
    overdue_minutes: Option<i64>,
    facts: String,
    facts_at: i64,
    detail_at: Option<i64>,
    rmm_provider: String,
    integration_id: String,
    integration_name: String,
    pub(crate) device_id: String,
    external_id: String,
    organization_id: String,
    organization_external_id: String,
    organization_name: String,
    missing_since: Option<i64>,
    missing_note: Option<String>,
    pub(crate) created_at: i64,
    updated_at: i64,
    detail: Option<String>,
}

/// SQLite has no booleans: 0 and 1.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    Ok(i64::deserialize(deserializer)? != 0)
}

/// Settings of the integration read last: the rows of a page share a few.
#[derive(Default)]
pub(super) struct Settings(Option<(String, Duration)>);

impl Settings {
    /// Between two looks at presence.
    fn presence_interval(&mut self, text: &str) -> Result<Duration> {
        if let Some((_, interval)) = self.0.as_ref().filter(|(known, _)| known == text) {
            return Ok(*interval);
        }
        let settings: IntegrationSettings =
            serde_json::from_str(text).map_err(|_| StoreError::Corrupt { what: "settings" })?;
        let interval = Duration::from_secs(settings.presence_interval_s.into());
        self.0 = Some((text.to_owned(), interval));
        Ok(interval)
    }
}

pub(super) fn into_assets(rows: Vec<AssetRow>, now: Time) -> Result<Vec<Asset>> {
    let mut settings = Settings::default();
    rows.into_iter().map(|row| row.into_asset(&mut settings, now)).collect()
}

impl AssetRow {
    pub(super) fn into_asset(self, settings: &mut Settings, now: Time) -> Result<Asset> {
        let corrupt = || StoreError::Corrupt { what: "asset" };
        // A device that is not listed was last looked at when it was last listed.
        let observed_at = self.listed_at.or(self.observed_at).map(Time);
        let interval = settings.presence_interval(&self.settings)?;
        let minutes = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
        let own = minutes(self.offline_minutes).zip(minutes(self.overdue_minutes));
        let thresholds = own.map_or(status::ASSUMED, |(offline_minutes, overdue_minutes)| Thresholds {
            offline_minutes,
            overdue_minutes,
        });
        Ok(Asset {
            id: AssetId::from_db(&self.id).map_err(|_| corrupt())?,
            client_id: ClientId::from_db(&self.client_id).map_err(|_| corrupt())?,
            client_name: self.client_name,
            site_id: self.site_id.map(|id| SiteId::from_db(&id)).transpose().map_err(|_| corrupt())?,
            site_name: self.site_name,
            name: self.name,
            asset_type: AssetType::from_name(&self.asset_type).ok_or_else(corrupt)?,
            locked: serde_json::from_str(&self.locked).map_err(|_| corrupt())?,
            note: self.note,
            status: Status::from_name(&self.status).ok_or_else(corrupt)?,
            observed_at,
            status_stale: !self.is_active || status::is_stale(observed_at, interval, now),
            thresholds,
            thresholds_assumed: own.is_none(),
            presence: presence_of(
                self.last_seen,
                self.vendor_status.as_deref(),
                self.booted_at,
                self.user_name,
                self.user_is_current,
            ),
            facts: serde_json::from_str(&self.facts).map_err(|_| corrupt())?,
            facts_at: Time(self.facts_at),
            detail: self.detail.as_deref().map(serde_json::from_str).transpose().map_err(|_| corrupt())?,
            detail_at: self.detail_at.map(Time),
            source: AssetSource {
                rmm_provider: self.rmm_provider,
                integration_id: IntegrationId::from_db(&self.integration_id).map_err(|_| corrupt())?,
                integration_name: self.integration_name,
                device_id: DeviceId::from_db(&self.device_id).map_err(|_| corrupt())?,
                external_id: self.external_id,
                organization_id: OrganizationId::from_db(&self.organization_id).map_err(|_| corrupt())?,
                organization_external_id: self.organization_external_id,
                organization_name: self.organization_name,
                missing_since: self.missing_since.map(Time),
                missing_note: self.missing_note,
            },
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
        })
    }
}
