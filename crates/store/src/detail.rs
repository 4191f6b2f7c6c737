//! The detail pass: which devices are due, and what a detail look writes.

use domain::{
    Time,
    device::{DeviceDetail, DeviceFacts},
    id::{AssetId, DeviceId, IntegrationId, SyncRunId, TypedId},
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Tenant,
    db::args,
    device::{index_text, unindex_text},
    error::{Result, StoreError},
    event::to_json,
    sql::statements,
    sync_run::{self, Progress},
};

/// Never, for `detail_due_at`: until the facts change.
const NEVER: i64 = i64::MAX;

statements! {
    DUE = [
        "SELECT d.id, d.external_id, d.asset_id, d.facts, d.detail FROM rmm_devices d \
         JOIN rmm_organization_mappings o ON o.tenant_id = d.tenant_id AND o.id = d.organization_id \
         WHERE d.tenant_id = $1 AND d.integration_id = $2 AND d.detail_due_at <= $3 AND d.missing_since IS NULL \
         AND o.state = 'mapped' AND o.auto_sync ORDER BY d.detail_due_at, d.id LIMIT $4"
    ];
    COUNT_DUE = [
        "SELECT COUNT(*) FROM rmm_devices d \
         JOIN rmm_organization_mappings o ON o.tenant_id = d.tenant_id AND o.id = d.organization_id \
         WHERE d.tenant_id = $1 AND d.integration_id = $2 AND d.detail_due_at <= $3 AND d.missing_since IS NULL \
         AND o.state = 'mapped' AND o.auto_sync"
    ];
    OF_EXTERNAL = [
        "SELECT d.id, d.external_id, d.asset_id, d.facts, d.detail FROM ", {keys "$1"}, " AS r \
         JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.integration_id = $3 AND d.external_id = r.value \
         AND d.detail_due_at <= $4"
    ];
    WRITE_DETAIL = [
        "UPDATE rmm_devices SET detail = r.detail, detail_at = $3, detail_due_at = $4 FROM ",
        {rows "$1" id text, detail text},
        " AS r WHERE rmm_devices.tenant_id = $2 + r._z AND rmm_devices.id = r.id"
    ];
    POSTPONE = [
        "UPDATE rmm_devices SET detail_due_at = $3 WHERE tenant_id = $2 AND id IN ", {list "$1"}
    ];
    WRITE_THRESHOLDS = [
        "UPDATE device_presence SET offline_minutes = r.offline_minutes, overdue_minutes = r.overdue_minutes, \
         overdue_at = CASE WHEN device_presence.last_seen = 0 THEN NULL \
         ELSE device_presence.last_seen + r.overdue_minutes * 60000 END FROM ",
        {rows "$1" id text, offline_minutes bigint, overdue_minutes bigint},
        " AS r WHERE device_presence.tenant_id = $2 + r._z AND device_presence.device_id = r.id"
    ];
    WRITE_SEARCH = [
        "UPDATE assets SET search_text = CASE WHEN assets.locked LIKE '%\"name\"%' \
         THEN assets.name_key || ' ' || r.search_text ELSE r.search_text END FROM ",
        {rows "$1" id text, search_text text},
        " AS r WHERE assets.tenant_id = $2 + r._z AND assets.id = r.id"
    ];
}

#[derive(FromRow)]
struct DueRow {
    id: String,
    external_id: String,
    asset_id: String,
    facts: String,
    detail: Option<String>,
}

impl DueRow {
    fn into_due(self) -> Result<DueDevice> {
        let corrupt = || StoreError::Corrupt { what: "device" };
        Ok(DueDevice {
            device_id: DeviceId::from_db(&self.id).map_err(|_| corrupt())?,
            external_id: self.external_id,
            asset_id: AssetId::from_db(&self.asset_id).map_err(|_| corrupt())?,
            facts: serde_json::from_str(&self.facts).map_err(|_| corrupt())?,
            detail: self.detail.as_deref().map(serde_json::from_str).transpose().map_err(|_| corrupt())?,
        })
    }
}

/// A device that is due for a detail look.
#[derive(Clone, Debug)]
pub struct DueDevice {
    /// Its id.
    pub device_id: DeviceId,
    /// The provider's id.
    pub external_id: String,
    /// Its asset.
    pub asset_id: AssetId,
    /// Its facts.
    pub facts: DeviceFacts,
    /// The detail so far.
    pub detail: Option<DeviceDetail>,
}

/// The result of a detail look.
#[derive(Clone, Debug)]
pub struct DetailWrite {
    /// Whose.
    pub device_id: DeviceId,
    /// Its asset.
    pub asset_id: AssetId,
    /// The detail.
    pub detail: DeviceDetail,
    /// New search text, if it changed.
    pub search_text: Option<String>,
}

#[derive(Serialize)]
struct DetailRow {
    id: String,
    detail: String,
}

#[derive(Serialize)]
struct ThresholdRow {
    id: String,
    offline_minutes: u32,
    overdue_minutes: u32,
}

#[derive(Serialize)]
struct SearchRow<'a> {
    id: String,
    search_text: &'a str,
}

/// Details of one tenant's devices.
pub struct Details<'a>(pub(crate) &'a Tenant<'a>);

impl Details<'_> {
    /// Devices that are due, longest first.
    pub async fn due(&self, integration: IntegrationId, limit: u32) -> Result<Vec<DueDevice>> {
        let columns = args![self.0.id, integration.to_db(), self.0.now, limit];
        let rows: Vec<DueRow> = self.0.whole()?.all(&DUE, columns).await?;
        rows.into_iter().map(DueRow::into_due).collect()
    }

    /// How many are due.
    pub async fn count_due(&self, integration: IntegrationId) -> Result<u64> {
        let (n,): (i64,) =
            self.0.whole()?.one(&COUNT_DUE, args![self.0.id, integration.to_db(), self.0.now]).await?;
        Ok(u64::try_from(n).unwrap_or(0))
    }

    /// Those of these devices that are due.
    pub async fn due_among(
        &self,
        integration: IntegrationId,
        external_ids: &[&str],
    ) -> Result<Vec<DueDevice>> {
        let columns = args![to_json(external_ids)?, self.0.id, integration.to_db(), self.0.now];
        let rows: Vec<DueRow> = self.0.whole()?.all(&OF_EXTERNAL, columns).await?;
        rows.into_iter().map(DueRow::into_due).collect()
    }

    /// Writes a batch of details with the run's progress. They are due again when the facts change.
    pub async fn write(&self, run: SyncRunId, writes: &[DetailWrite], step: &Progress) -> Result<()> {
        let mut tx = self.0.whole()?.begin().await?;
        let details = writes
            .iter()
            .map(|w| Ok(DetailRow { id: w.device_id.to_db(), detail: to_json(&w.detail)? }))
            .collect::<Result<Vec<_>>>()?;
        tx.run(&WRITE_DETAIL, args![to_json(&details)?, self.0.id, self.0.now, NEVER]).await?;
        let thresholds: Vec<ThresholdRow> = writes
            .iter()
            .filter_map(|w| {
                let own = w.detail.thresholds?;
                Some(ThresholdRow {
                    id: w.device_id.to_db(),
                    offline_minutes: own.offline_minutes,
                    overdue_minutes: own.overdue_minutes,
                })
            })
            .collect();
        tx.run(&WRITE_THRESHOLDS, args![to_json(&thresholds)?, self.0.id]).await?;
        let texts: Vec<SearchRow<'_>> = writes
            .iter()
            .filter_map(|w| {
                Some(SearchRow { id: w.asset_id.to_db(), search_text: w.search_text.as_deref()? })
            })
            .collect();
        if !texts.is_empty() {
            let ids: Vec<&str> = texts.iter().map(|row| row.id.as_str()).collect();
            let ids = to_json(&ids)?;
            unindex_text(&mut tx, self.0, &ids).await?;
            tx.run(&WRITE_SEARCH, args![to_json(&texts)?, self.0.id]).await?;
            index_text(&mut tx, self.0, &ids).await?;
        }
        sync_run::progress(&mut tx, self.0, run, step).await?;
        tx.commit().await
    }

    /// Not again before `until`: a detail look failed.
    pub async fn postpone(&self, devices: &[DeviceId], until: Time) -> Result<()> {
        if devices.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = devices.iter().map(|id| id.to_db()).collect();
        self.0.whole()?.write(&POSTPONE, args![to_json(&ids)?, self.0.id, until]).await.map(drop)
    }
}
