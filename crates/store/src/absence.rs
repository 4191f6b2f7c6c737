//! Devices that are not listed any more, and the clock that turns offline into overdue.

use domain::{
    Time,
    event::kind,
    id::{AssetId, DeviceId, IntegrationId, OrganizationId, SyncRunId, TypedId},
    status::Status,
    sync::MISSING_AFTER,
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Tenant,
    db::args,
    device::{self, StatusRow, sources},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    sql::statements,
    sync_run::{self, Progress},
};

statements! {
    NOT_LISTED = [
        "SELECT d.id, d.organization_id, d.external_id, d.asset_id, a.name, d.absent_since FROM rmm_devices d \
         JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id \
         WHERE d.tenant_id = $2 AND d.organization_id = $3 AND d.missing_since IS NULL AND d.external_id NOT IN ",
        {list "$1"}
    ];
    NOT_MET = [
        "SELECT d.id, d.organization_id, d.external_id, d.asset_id, a.name, d.absent_since FROM rmm_devices d \
         JOIN rmm_organization_mappings o ON o.tenant_id = d.tenant_id AND o.id = d.organization_id \
         JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id \
         WHERE d.tenant_id = $2 AND d.integration_id = $3 AND d.missing_since IS NULL AND o.state = 'mapped' \
         AND o.auto_sync AND d.external_id NOT IN ",
        {list "$1"}
    ];
    COUNT_ABSENCE = [
        "UPDATE rmm_devices SET absent_passes = rmm_devices.absent_passes + 1, \
         absent_since = COALESCE(rmm_devices.absent_since, $3) FROM ", {rows "$1" id text, organization_id text},
        " AS r WHERE rmm_devices.tenant_id = $2 + r._z AND rmm_devices.id = r.id \
         AND rmm_devices.organization_id = r.organization_id AND rmm_devices.missing_since IS NULL"
    ];
    CANDIDATES = [
        "SELECT d.id, d.organization_id, d.external_id, d.asset_id, a.name, d.absent_since FROM rmm_devices d \
         JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id \
         WHERE d.tenant_id = $1 AND d.integration_id = $2 AND d.missing_since IS NULL AND d.absent_passes >= $3 \
         AND d.absent_since <= $4"
    ];
    MARK_MISSING = [
        "UPDATE rmm_devices SET missing_since = COALESCE(rmm_devices.listed_at, rmm_devices.absent_since, $3), missing_note = r.note, \
         updated_at = $3 FROM ", {rows "$1" id text, note text},
        " AS r WHERE rmm_devices.tenant_id = $2 + r._z AND rmm_devices.id = r.id"
    ];
    ASSETS_NOW = [
        "SELECT d.id AS device_id, a.id AS asset_id, a.sources, (SELECT COUNT(*) FROM rmm_devices s \
         WHERE s.tenant_id = a.tenant_id AND s.asset_id = a.id AND s.missing_since IS NULL) AS listed FROM ",
        {keys "$1"}, " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.id = r.value \
         JOIN assets a ON a.tenant_id = d.tenant_id AND a.id = d.asset_id"
    ];
    SWEEP = [
        "UPDATE assets SET status = 'overdue' WHERE tenant_id = $1 AND status = 'offline' AND EXISTS (\
         SELECT 1 FROM device_presence p WHERE p.tenant_id = assets.tenant_id \
         AND p.device_id = assets.presence_device_id AND p.overdue_at <= $2) RETURNING id, rmm_integration_id"
    ];
}

#[derive(FromRow)]
struct AbsentRow {
    id: String,
    organization_id: String,
    external_id: String,
    asset_id: String,
    name: String,
    absent_since: Option<i64>,
}

impl AbsentRow {
    fn into_absent(self) -> Result<Absent> {
        let corrupt = |_| StoreError::Corrupt { what: "device" };
        Ok(Absent {
            device_id: DeviceId::from_db(&self.id).map_err(corrupt)?,
            organization_id: OrganizationId::from_db(&self.organization_id).map_err(corrupt)?,
            external_id: self.external_id,
            asset_id: AssetId::from_db(&self.asset_id).map_err(corrupt)?,
            name: self.name,
            absent_since: self.absent_since.map(Time),
        })
    }
}

/// A device that is not in its organization's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Its id.
    pub device_id: DeviceId,
    /// Where it was.
    pub organization_id: OrganizationId,
    /// The provider's id.
    pub external_id: String,
    /// Its asset.
    pub asset_id: AssetId,
    /// The asset's name.
    pub name: String,
    /// Since when, if this is not the first time.
    pub absent_since: Option<Time>,
}

/// The asset of a device that was just marked missing.
#[derive(FromRow)]
struct NowRow {
    device_id: String,
    asset_id: String,
    sources: i64,
    /// How many of its devices are still listed.
    listed: i64,
}

/// The machine is missing, or one of its RMMs lacks it.
fn told(absent: &Absent, note: Option<&str>, now: &[NowRow]) -> Option<NewEvent> {
    let device = absent.device_id.to_db();
    let row = now.iter().find(|row| row.device_id == device)?;
    let asset = AssetId::from_db(&row.asset_id).ok()?;
    let mut data = serde_json::json!({ "since": absent.absent_since, "note": note });
    if row.sources == 1 {
        return Some(NewEvent::new(kind::ASSET_MISSING, asset).with(&data));
    }
    if let Some(fields) = data.as_object_mut() {
        fields.insert("device_id".to_owned(), serde_json::json!(absent.device_id));
    }
    let kind = if row.listed == 0 { kind::ASSET_MISSING } else { kind::SOURCE_MISSING };
    Some(NewEvent::new(kind, asset).with(&data))
}

#[derive(Serialize)]
struct CountedRow {
    id: String,
    organization_id: String,
}

#[derive(Serialize)]
struct MissingRow {
    id: String,
    note: Option<String>,
}

/// Absences of one tenant's devices.
pub struct Absences<'a>(pub(crate) &'a Tenant<'a>);

impl Absences<'_> {
    /// Devices of an organization that are not among `listed`, and not marked missing yet.
    pub async fn not_listed(&self, organization: OrganizationId, listed: &[String]) -> Result<Vec<Absent>> {
        let columns = args![to_json(listed)?, self.0.id, organization.to_db()];
        let rows: Vec<AbsentRow> = self.0.whole()?.all(&NOT_LISTED, columns).await?;
        rows.into_iter().map(AbsentRow::into_absent).collect()
    }

    /// Devices of all synced organizations of an integration that are not among `met`, and not marked missing yet.
    pub async fn not_met(&self, integration: IntegrationId, met: &[&str]) -> Result<Vec<Absent>> {
        let columns = args![to_json(met)?, self.0.id, integration.to_db()];
        let rows: Vec<AbsentRow> = self.0.whole()?.all(&NOT_MET, columns).await?;
        rows.into_iter().map(AbsentRow::into_absent).collect()
    }

    /// Counts one complete pass without these devices of organizations, together with the run's progress: a run that
    /// goes on after a crash does not count twice. A device found elsewhere in the meantime is left alone.
    pub async fn count(
        &self,
        run: SyncRunId,
        absent: &[(DeviceId, OrganizationId)],
        step: &Progress,
    ) -> Result<()> {
        let row = |(device, organization): &(DeviceId, OrganizationId)| CountedRow {
            id: device.to_db(),
            organization_id: organization.to_db(),
        };
        let rows: Vec<CountedRow> = absent.iter().map(row).collect();
        let mut tx = self.0.whole()?.begin().await?;
        if !rows.is_empty() {
            tx.run(&COUNT_ABSENCE, args![to_json(&rows)?, self.0.id, self.0.now]).await?;
        }
        sync_run::progress(&mut tx, self.0, run, step).await?;
        tx.commit().await
    }

    /// Devices absent for at least `passes` passes and so long that they may be marked missing at `now`.
    pub async fn candidates(
        &self,
        integration: IntegrationId,
        passes: u32,
        now: Time,
    ) -> Result<Vec<Absent>> {
        let columns = args![self.0.id, integration.to_db(), passes, now - MISSING_AFTER];
        let rows: Vec<AbsentRow> = self.0.whole()?.all(&CANDIDATES, columns).await?;
        rows.into_iter().map(AbsentRow::into_absent).collect()
    }

    /// Marks devices missing; their assets stay as they are. The note says where one went, if that is known.
    pub async fn mark_missing(
        &self,
        integration: IntegrationId,
        run: SyncRunId,
        missing: &[(Absent, Option<String>)],
    ) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let rows: Vec<MissingRow> = missing
            .iter()
            .map(|(absent, note)| MissingRow { id: absent.device_id.to_db(), note: note.clone() })
            .collect();
        let mut tx = self.0.whole()?.begin().await?;
        tx.run(&MARK_MISSING, args![to_json(&rows)?, self.0.id, self.0.now]).await?;
        let devices: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let now: Vec<NowRow> = tx.all(&ASSETS_NOW, args![to_json(&devices)?, self.0.id]).await?;
        let shared = now.iter().filter(|row| row.sources > 1).map(|row| row.asset_id.clone());
        let settled = sources::settle(&mut tx, self.0, shared).await?;
        let mut events: Vec<NewEvent> =
            missing.iter().filter_map(|(absent, note)| told(absent, note.as_deref(), &now)).collect();
        events.extend(settled);
        let source = EventSource { integration: Some(integration), run: Some(run) };
        event::insert(&mut tx, self.0.id, self.0.now, source, &events).await?;
        tx.commit().await
    }

    /// Moves what was offline at the last look and is overdue by now. Answers how many.
    pub async fn sweep_overdue(&self) -> Result<u64> {
        let mut tx = self.0.whole()?.begin().await?;
        let swept: Vec<(String, String)> = tx.all(&SWEEP, args![self.0.id, self.0.now]).await?;
        if swept.is_empty() {
            return Ok(0);
        }
        let rows: Vec<StatusRow> = swept
            .iter()
            .map(|(id, _)| StatusRow { id: id.clone(), status: Status::Overdue.name() })
            .collect();
        device::presence_statuses(&mut tx, self.0, &to_json(&rows)?).await?;
        let data = serde_json::json!({ "from": "offline", "to": "overdue", "by": "clock" });
        let events: Vec<NewEvent> = swept
            .iter()
            .filter_map(|(id, _)| AssetId::from_db(id).ok())
            .map(|id| NewEvent::new(kind::STATUS_CHANGED, id).with(&data))
            .collect();
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &events).await?;
        tx.commit().await?;
        Ok(swept.len() as u64)
    }
}
