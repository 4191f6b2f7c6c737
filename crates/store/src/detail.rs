//! The detail pass: which devices are due, and what a detail look writes.

use std::collections::BTreeSet;

use domain::{
    Time,
    asset::{search_text, serial_key},
    device::{DeviceDetail, DeviceFacts},
    id::{AssetId, DeviceId, IntegrationId, SyncRunId, TypedId},
    matching::telling_macs,
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Tenant,
    db::{Tx, args},
    device::{index_text, sources, unindex_text},
    error::{Result, StoreError},
    event::{self, EventSource, to_json},
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
    // Whose they are now, and whether the asset has others. Held, assets first, as everybody holds them.
    HOLD_ASSETS = [
        "SELECT d.id AS device_id, a.id AS asset_id, a.sources FROM ", {keys "$1"},
        " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.id = r.value \
         JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id ORDER BY a.id",
        {engine "" " FOR NO KEY UPDATE OF a"}
    ];
    WRITE_DETAIL = [
        "UPDATE rmm_devices SET detail = r.detail, detail_at = $3, detail_due_at = $4, completing = r.completing, \
         match_due_at = CASE WHEN r.is_known_otherwise OR COALESCE(rmm_devices.serial_key, '') <> COALESCE(r.serial_key, '') \
         THEN $3 ELSE rmm_devices.match_due_at END, serial_key = r.serial_key FROM ",
        {rows "$1" id text, detail text, completing text, serial_key text, is_known_otherwise boolean},
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
    WRITE_ASSETS = [
        "UPDATE assets SET serial_key = r.serial_key, search_text = CASE WHEN assets.locked LIKE '%\"name\"%' \
         THEN assets.name_key || ' ' || r.search_text ELSE r.search_text END FROM ",
        {rows "$1" id text, serial_key text, search_text text},
        " AS r WHERE assets.tenant_id = $2 + r._z AND assets.id = r.id AND assets.sources = 1"
    ];
    FORGET_MACS = ["DELETE FROM device_macs WHERE tenant_id = $2 AND device_id IN ", {list "$1"}];
    WRITE_MACS = [
        "INSERT INTO device_macs (tenant_id, mac, device_id) SELECT CAST($2 AS BIGINT), r.mac, r.device_id FROM ",
        {rows "$1" mac text, device_id text}, " AS r WHERE true ON CONFLICT (tenant_id, mac, device_id) DO NOTHING"
    ];
    // Of one asset, for a look that a person asked for.
    OF_ASSET = [
        "SELECT d.id, d.external_id, d.asset_id, d.facts, d.detail FROM rmm_devices d \
         WHERE d.tenant_id = $1 AND d.asset_id = $2 ORDER BY d.created_at, d.id"
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
    /// What was known of the device.
    pub device: DueDevice,
    /// The detail.
    pub detail: DeviceDetail,
}

impl DetailWrite {
    fn completed(&self) -> DeviceFacts {
        self.device.facts.clone().completed(&self.detail)
    }

    /// Do the addresses that tell a machine differ from those of the last look?
    fn has_other_macs(&self) -> bool {
        let before = self.device.detail.as_ref().map(|detail| telling_macs(&detail.macs)).unwrap_or_default();
        before != telling_macs(&self.detail.macs)
    }

    /// Does it change what search and matching look at?
    fn tells_something_new(&self) -> bool {
        let known = self.device.facts.clone().completed(self.device.detail.as_ref().unwrap_or(&NOTHING));
        let old = self.device.detail.as_ref().unwrap_or(&NOTHING);
        old.macs != self.detail.macs || known != self.completed()
    }

    fn row(&self) -> Result<DetailRow> {
        Ok(DetailRow {
            id: self.device.device_id.to_db(),
            detail: to_json(&self.detail)?,
            completing: self.detail.completing().map(|part| to_json(&part)).transpose()?,
            serial_key: self.completed().serial.as_deref().and_then(serial_key),
            is_known_otherwise: self.has_other_macs(),
        })
    }
}

static NOTHING: std::sync::LazyLock<DeviceDetail> = std::sync::LazyLock::new(DeviceDetail::default);

#[derive(FromRow)]
struct HeldRow {
    device_id: String,
    asset_id: String,
    sources: i64,
}

#[derive(Serialize)]
struct DetailRow {
    id: String,
    detail: String,
    completing: Option<String>,
    serial_key: Option<String>,
    is_known_otherwise: bool,
}

#[derive(Serialize)]
struct MacRow {
    mac: String,
    device_id: String,
}

#[derive(Serialize)]
struct ThresholdRow {
    id: String,
    offline_minutes: u32,
    overdue_minutes: u32,
}

#[derive(Serialize)]
struct AssetRow<'a> {
    id: &'a str,
    serial_key: Option<String>,
    search_text: String,
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

    /// Devices of an asset, for a look that a person asked for. The caller has seen that it is theirs to see.
    pub async fn of_asset(&self, asset: AssetId) -> Result<Vec<DueDevice>> {
        let rows: Vec<DueRow> = self.0.db().all(&OF_ASSET, args![self.0.id, asset.to_db()]).await?;
        rows.into_iter().map(DueRow::into_due).collect()
    }

    /// Writes a batch of details with the run's progress. They are due again when the facts change.
    pub async fn write(&self, run: SyncRunId, writes: &[DetailWrite], step: &Progress) -> Result<()> {
        let mut tx = self.0.whole()?.begin().await?;
        self.write_all(&mut tx, writes, EventSource { integration: None, run: Some(run) }).await?;
        sync_run::progress(&mut tx, self.0, run, step).await?;
        tx.commit().await
    }

    /// Writes the detail of one device that a person asked for.
    pub async fn write_one(&self, integration: IntegrationId, write: DetailWrite) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        let source = EventSource { integration: Some(integration), run: None };
        self.write_all(&mut tx, &[write], source).await?;
        tx.commit().await
    }

    async fn write_all(&self, tx: &mut Tx, writes: &[DetailWrite], source: EventSource) -> Result<()> {
        let ids: Vec<String> = writes.iter().map(|write| write.device.device_id.to_db()).collect();
        let held: Vec<HeldRow> = tx.all(&HOLD_ASSETS, args![to_json(&ids)?, self.0.id]).await?;
        let details = writes.iter().map(DetailWrite::row).collect::<Result<Vec<_>>>()?;
        tx.run(&WRITE_DETAIL, args![to_json(&details)?, self.0.id, self.0.now, NEVER]).await?;
        let thresholds: Vec<ThresholdRow> = writes
            .iter()
            .filter_map(|w| {
                let own = w.detail.thresholds?;
                Some(ThresholdRow {
                    id: w.device.device_id.to_db(),
                    offline_minutes: own.offline_minutes,
                    overdue_minutes: own.overdue_minutes,
                })
            })
            .collect();
        tx.run(&WRITE_THRESHOLDS, args![to_json(&thresholds)?, self.0.id]).await?;
        self.write_macs(tx, writes).await?;
        self.write_assets(tx, writes, &held).await?;
        let shared = held.iter().filter(|row| row.sources > 1).map(|row| row.asset_id.clone());
        let events = sources::settle(tx, self.0, shared).await?;
        event::insert(tx, self.0.id, self.0.now, source, &events).await
    }

    async fn write_macs(&self, tx: &mut Tx, writes: &[DetailWrite]) -> Result<()> {
        let renewed: Vec<&DetailWrite> = writes.iter().filter(|write| write.has_other_macs()).collect();
        if renewed.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<String> = renewed.iter().map(|write| write.device.device_id.to_db()).collect();
        tx.run(&FORGET_MACS, args![to_json(&ids)?, self.0.id]).await?;
        let rows: Vec<MacRow> = renewed
            .iter()
            .flat_map(|write| {
                let device_id = write.device.device_id.to_db();
                telling_macs(&write.detail.macs)
                    .into_iter()
                    .map(move |mac| MacRow { mac, device_id: device_id.clone() })
            })
            .collect();
        tx.run(&WRITE_MACS, args![to_json(&rows)?, self.0.id]).await.map(drop)
    }

    /// What assets with one device show of it.
    async fn write_assets(&self, tx: &mut Tx, writes: &[DetailWrite], held: &[HeldRow]) -> Result<()> {
        let rows: Vec<AssetRow<'_>> = writes
            .iter()
            .filter(|write| write.tells_something_new())
            .filter_map(|write| {
                let device = write.device.device_id.to_db();
                let held = held.iter().find(|row| row.device_id == device && row.sources == 1)?;
                let facts = write.completed();
                Some(AssetRow {
                    id: &held.asset_id,
                    serial_key: facts.serial.as_deref().and_then(serial_key),
                    search_text: search_text(&facts, &write.device.external_id, &write.detail.macs),
                })
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = rows.iter().map(|row| row.id).collect();
        let ids = to_json(&ids)?;
        unindex_text(tx, self.0, &ids).await?;
        tx.run(&WRITE_ASSETS, args![to_json(&rows)?, self.0.id]).await?;
        index_text(tx, self.0, &ids).await
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
