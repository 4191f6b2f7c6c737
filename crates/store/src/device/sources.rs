//! Assets with several devices. What such an asset shows follows from all of them: [`settle`] writes it, in the transaction
//! of whatever changed one of them (a page of a sync, a detail, a merge, a split). Assets with one device never come here
//! but on their way from or to several.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Time,
    asset::{AssetType, search_text, serial_key},
    client::name_key,
    device::{DeviceDetail, DeviceFacts},
    event::kind,
    id::{AssetId, ClientId, DeviceId, TypedId},
    source::{FieldSources, Source, compose, voice},
    status::{self, Status},
};
use serde::Serialize;
use sqlx::FromRow;

use super::{index_text, unindex_text};
use crate::{
    Tenant,
    db::{Tx, args},
    error::{Result, StoreError},
    event::{NewEvent, to_json},
    sql::statements,
};

statements! {
    // In one order, so that two who hold several take turns.
    HOLD = [
        "SELECT id, client_id, site_id, name, asset_type, os, status, needs_reboot, serial_key, search_text, \
         primary_device_id, presence_device_id, locked, field_sources, sources, rmm_device_id, rmm_organization_id \
         FROM assets WHERE tenant_id = $2 AND id IN ", {list "$1"}, " ORDER BY id", {engine "" " FOR UPDATE"}
    ];
    SOURCES = [
        "SELECT d.id, d.asset_id, d.integration_id, i.provider, d.external_id, d.organization_id, \
         o.external_id AS organization_external_id, o.client_id, d.facts, d.detail, d.missing_since, d.created_at, \
         p.last_seen, p.status, p.overdue_at FROM ", {keys "$1"},
        " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.asset_id = r.value \
         JOIN device_presence p ON p.tenant_id = d.tenant_id AND p.device_id = d.id \
         JOIN rmm_organization_mappings o ON o.tenant_id = d.tenant_id AND o.id = d.organization_id \
         JOIN rmm_integrations i ON i.tenant_id = d.tenant_id AND i.id = d.integration_id ORDER BY d.created_at, d.id"
    ];
    SITES = [
        "SELECT r.id, m.site_id FROM ", {rows "$1" id text, organization_id text, client_id text, name_key text},
        " AS r JOIN rmm_site_mappings m ON m.tenant_id = $2 + r._z AND m.organization_id = r.organization_id \
         AND m.client_id = r.client_id AND m.name_key = r.name_key"
    ];
    WRITE = [
        "UPDATE assets SET client_id = r.client_id, site_id = r.site_id, name = r.name, name_key = r.name_key, \
         asset_type = r.asset_type, os = r.os, status = r.status, needs_reboot = r.needs_reboot, \
         serial_key = r.serial_key, search_text = r.search_text, rmm_provider = r.rmm_provider, \
         rmm_integration_id = r.rmm_integration_id, rmm_device_id = r.rmm_device_id, \
         rmm_organization_id = r.rmm_organization_id, primary_device_id = r.primary_device_id, \
         presence_device_id = r.presence_device_id, sources = r.sources, field_sources = r.field_sources, \
         updated_at = CASE WHEN r.is_new THEN $3 ELSE assets.updated_at END FROM ",
        {rows "$1" id text, client_id text, site_id text, name text, name_key text, asset_type text, os text, status text,
            needs_reboot boolean, serial_key text, search_text text, rmm_provider text, rmm_integration_id text,
            rmm_device_id text, rmm_organization_id text, primary_device_id text, presence_device_id text,
            sources bigint, field_sources text, is_new boolean},
        " AS r WHERE assets.tenant_id = $2 + r._z AND assets.id = r.id"
    ];
    WRITE_STATUS = [
        "UPDATE device_presence SET status = r.status FROM ", {rows "$1" id text, asset_id text, status text},
        " AS r JOIN rmm_devices d ON d.tenant_id = $2 + r._z AND d.id = r.id AND d.asset_id = r.asset_id \
         WHERE device_presence.tenant_id = $2 + r._z AND device_presence.device_id = r.id"
    ];
    // The one that speaks for the status has the status, as the list by last seen finds it there.
    VOICES = [
        "UPDATE device_presence SET status = (SELECT a.status FROM assets a WHERE a.tenant_id = $2 \
         AND a.presence_device_id = device_presence.device_id) WHERE tenant_id = $2 AND device_id IN \
         (SELECT a.presence_device_id FROM assets a WHERE a.tenant_id = $2 AND a.id IN ", {list "$1"}, ")"
    ];
    // Each asset once for each RMM it is in.
    COUNTED = [
        "SELECT DISTINCT a.id, a.client_id, a.rmm_provider, m.integration_type FROM ", {keys "$1"},
        " AS r JOIN assets a ON a.tenant_id = $2 + r._z AND a.id = r.value JOIN tenant_external_entity_mappings m \
         ON m.tenant_id = a.tenant_id AND m.entity_id = a.id"
    ];
    COUNT_OTHERS = [
        "INSERT INTO asset_other_counts (tenant_id, client_id, rmm_provider, n) \
         SELECT $2, r.client_id, r.provider, SUM(r.n) FROM ", {rows "$1" client_id text, provider text, n bigint},
        " AS r WHERE true GROUP BY r.client_id, r.provider \
         ON CONFLICT (tenant_id, client_id, rmm_provider) DO UPDATE SET n = asset_other_counts.n + excluded.n"
    ];
    RECOUNT_CLEAR = ["DELETE FROM asset_other_counts WHERE tenant_id = $1 AND client_id = $2"];
    RECOUNT = [
        "INSERT INTO asset_other_counts (tenant_id, client_id, rmm_provider, n) \
         SELECT a.tenant_id, a.client_id, m.integration_type, COUNT(DISTINCT a.id) FROM assets a \
         JOIN tenant_external_entity_mappings m ON m.tenant_id = a.tenant_id AND m.entity_id = a.id \
         WHERE a.tenant_id = $1 AND a.client_id = $2 AND a.sources > 1 AND m.integration_type <> a.rmm_provider \
         GROUP BY a.tenant_id, a.client_id, m.integration_type"
    ];
}

/// A device of an asset with several, and what a page changes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedDevice {
    /// The device.
    pub device_id: DeviceId,
    /// Its asset when the page was compared.
    pub asset_id: AssetId,
    /// Its new status, if it has one.
    pub status: Option<Status>,
}

#[derive(FromRow)]
struct HeldRow {
    id: String,
    client_id: String,
    site_id: Option<String>,
    name: String,
    asset_type: String,
    os: String,
    status: String,
    needs_reboot: bool,
    serial_key: Option<String>,
    search_text: String,
    primary_device_id: String,
    presence_device_id: String,
    locked: String,
    field_sources: String,
    sources: i64,
    rmm_device_id: String,
    rmm_organization_id: String,
}

#[derive(FromRow)]
struct SourceRow {
    id: String,
    asset_id: String,
    integration_id: String,
    provider: String,
    external_id: String,
    organization_id: String,
    organization_external_id: String,
    client_id: Option<String>,
    facts: String,
    detail: Option<String>,
    missing_since: Option<i64>,
    created_at: i64,
    last_seen: i64,
    status: String,
    overdue_at: Option<i64>,
}

impl SourceRow {
    fn source(&self, now: Time) -> Result<Source> {
        let corrupt = || StoreError::Corrupt { what: "device" };
        let facts: DeviceFacts = serde_json::from_str(&self.facts).map_err(|_| corrupt())?;
        let detail: Option<DeviceDetail> =
            self.detail.as_deref().map(serde_json::from_str).transpose().map_err(|_| corrupt())?;
        let detail = detail.unwrap_or_default();
        let overdue_at = self.overdue_at.map(Time);
        let own = Status::from_name(&self.status).ok_or_else(corrupt)?;
        Ok(Source {
            device_id: DeviceId::from_db(&self.id).map_err(|_| corrupt())?,
            created_at: Time(self.created_at),
            is_missing: self.missing_since.is_some(),
            status: status::shown(own, overdue_at, now),
            overdue_at,
            last_seen: (self.last_seen > 0).then_some(Time(self.last_seen)),
            facts: facts.completed(&detail),
            detail,
        })
    }
}

#[derive(Serialize)]
struct Settled {
    id: String,
    client_id: String,
    site_id: Option<String>,
    name: String,
    name_key: String,
    asset_type: String,
    os: String,
    status: String,
    needs_reboot: bool,
    serial_key: Option<String>,
    search_text: String,
    rmm_provider: String,
    rmm_integration_id: String,
    rmm_device_id: String,
    rmm_organization_id: String,
    primary_device_id: String,
    presence_device_id: String,
    sources: i64,
    field_sources: String,
    is_new: bool,
}

#[derive(Serialize)]
struct PlaceRow {
    id: String,
    organization_id: String,
    client_id: String,
    name_key: String,
}

#[derive(Serialize)]
struct StatusRow {
    id: String,
    asset_id: String,
    status: &'static str,
}

#[derive(Serialize)]
struct CountRow<'a> {
    client_id: &'a str,
    provider: &'a str,
    n: i64,
}

/// Writes the statuses that devices of assets with several have by their own look. False if one of them is another asset's
/// by now: then nothing may be kept.
pub(crate) async fn write_statuses(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    shared: &[SharedDevice],
) -> Result<bool> {
    let rows: BTreeMap<DeviceId, StatusRow> = shared
        .iter()
        .filter_map(|device| {
            let status = device.status?.name();
            let row = StatusRow { id: device.device_id.to_db(), asset_id: device.asset_id.to_db(), status };
            Some((device.device_id, row))
        })
        .collect();
    if rows.is_empty() {
        return Ok(true);
    }
    let rows: Vec<StatusRow> = rows.into_values().collect();
    let written = tx.run(&WRITE_STATUS, args![to_json(&rows)?, tenant.id]).await?;
    Ok(written == rows.len() as u64)
}

/// Brings assets to what their devices say together. Answers what changed, to be told at the end of the transaction.
pub(crate) async fn settle(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    ids: impl IntoIterator<Item = String>,
) -> Result<Vec<NewEvent>> {
    let ids: BTreeSet<String> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = to_json(&ids)?;
    let held: Vec<HeldRow> = tx.all(&HOLD, args![ids.as_str(), tenant.id]).await?;
    let rows: Vec<SourceRow> = tx.all(&SOURCES, args![ids.as_str(), tenant.id]).await?;
    let mut by_asset: HashMap<String, Vec<SourceRow>> = HashMap::new();
    for row in rows {
        by_asset.entry(row.asset_id.clone()).or_default().push(row);
    }
    let mut settled = Vec::new();
    let mut places = Vec::new();
    for asset in &held {
        let sources = by_asset.get(&asset.id).map(Vec::as_slice).unwrap_or_default();
        let (row, place) = settled_row(asset, sources, tenant.now)?;
        settled.push(row);
        places.extend(place);
    }
    let sites: Vec<(String, String)> = tx.all(&SITES, args![to_json(&places)?, tenant.id]).await?;
    let sites: HashMap<String, String> = sites.into_iter().collect();
    for row in &mut settled {
        if let Some(site) = sites.get(&row.id) {
            row.site_id = Some(site.clone());
        }
    }
    write(tx, tenant, &held, settled).await
}

/// What an asset is by its sources, and where its site is to be looked for.
fn settled_row(asset: &HeldRow, rows: &[SourceRow], now: Time) -> Result<(Settled, Option<PlaceRow>)> {
    let corrupt = || StoreError::Corrupt { what: "asset" };
    let sources: Vec<Source> = rows.iter().map(|row| row.source(now)).collect::<Result<_>>()?;
    let oldest = rows.iter().min_by_key(|row| (row.created_at, &row.id)).ok_or_else(corrupt)?;
    let leading = rows.iter().find(|row| row.id == asset.primary_device_id).unwrap_or(oldest);
    let leading_id = DeviceId::from_db(&leading.id).map_err(|_| corrupt())?;
    let mut chosen: FieldSources = serde_json::from_str(&asset.field_sources).map_err(|_| corrupt())?;
    chosen.retain(|_, device| sources.iter().any(|source| source.device_id == *device));
    let composed = compose(&sources, leading_id, &chosen);
    let voice = voice(&sources).ok_or_else(corrupt)?;
    let locked: Vec<String> = serde_json::from_str(&asset.locked).map_err(|_| corrupt())?;
    let is_locked = |field: &str| locked.iter().any(|name| name == field);
    let facts = &composed.facts;
    let name = if is_locked("name") { asset.name.clone() } else { facts.name.clone() };
    let text = text_of(rows, &sources);
    let search_text = if is_locked("name") { format!("{} {text}", name_key(&name)) } else { text };
    let client_id = leading.client_id.clone().unwrap_or_else(|| asset.client_id.clone());
    let own_facts = sources.iter().find(|source| source.device_id == leading_id).map(|source| &source.facts);
    let place = own_facts.and_then(|facts| facts.site.as_deref()).map(|site| PlaceRow {
        id: asset.id.clone(),
        organization_id: leading.organization_id.clone(),
        client_id: client_id.clone(),
        name_key: name_key(site),
    });
    let row = Settled {
        id: asset.id.clone(),
        site_id: asset.site_id.clone().filter(|_| client_id == asset.client_id),
        client_id,
        name_key: name_key(&name),
        name,
        asset_type: if is_locked("asset_type") {
            asset.asset_type.clone()
        } else {
            facts.device_type.name().to_owned()
        },
        os: facts.os.clone().unwrap_or_default(),
        status: voice.status.name().to_owned(),
        needs_reboot: facts.needs_reboot.unwrap_or(false),
        serial_key: facts.serial.as_deref().and_then(serial_key),
        search_text,
        rmm_provider: leading.provider.clone(),
        rmm_integration_id: leading.integration_id.clone(),
        rmm_device_id: leading.external_id.clone(),
        rmm_organization_id: leading.organization_external_id.clone(),
        primary_device_id: leading.id.clone(),
        presence_device_id: voice.device_id.to_db(),
        sources: i64::try_from(rows.len()).unwrap_or(i64::MAX),
        field_sources: to_json(&chosen)?,
        is_new: false,
    };
    debug_assert!(AssetType::from_name(&row.asset_type).is_some());
    Ok((row, place))
}

/// What search looks through, of one asset.
pub(crate) async fn text_of_asset(tenant: &Tenant<'_>, id: AssetId) -> Result<String> {
    let rows: Vec<SourceRow> = tenant.db().all(&SOURCES, args![to_json(&[id.to_db()])?, tenant.id]).await?;
    let sources: Vec<Source> = rows.iter().map(|row| row.source(tenant.now)).collect::<Result<_>>()?;
    Ok(text_of(&rows, &sources))
}

/// What search looks through: all that any of the sources says.
fn text_of(rows: &[SourceRow], sources: &[Source]) -> String {
    let texts: Vec<String> = rows
        .iter()
        .zip(sources)
        .map(|(row, source)| search_text(&source.facts, &row.external_id, &source.detail.macs))
        .collect();
    texts.join(" ")
}

async fn write(
    tx: &mut Tx,
    tenant: &Tenant<'_>,
    held: &[HeldRow],
    settled: Vec<Settled>,
) -> Result<Vec<NewEvent>> {
    let mut events = Vec::new();
    let mut changed = Vec::new();
    for (before, mut after) in held.iter().zip(settled) {
        after.is_new = says_something_new(before, &after);
        if !after.is_new && !is_led_otherwise(before, &after) {
            continue;
        }
        events.extend(told(before, &after)?);
        changed.push(after);
    }
    if changed.is_empty() {
        return Ok(events);
    }
    let ids: Vec<&str> = changed.iter().map(|row| row.id.as_str()).collect();
    let ids = to_json(&ids)?;
    let tally = Tally::of(tx, tenant, &ids).await?;
    unindex_text(tx, tenant, &ids).await?;
    tx.run(&WRITE, args![to_json(&changed)?, tenant.id, tenant.now]).await?;
    tx.run(&VOICES, args![ids.as_str(), tenant.id]).await?;
    index_text(tx, tenant, &ids).await?;
    tally.settle(tx, tenant, &ids).await?;
    Ok(events)
}

/// What a person sees of the asset changed, besides status and age.
fn says_something_new(before: &HeldRow, after: &Settled) -> bool {
    (&before.client_id, &before.site_id, &before.name, &before.asset_type, &before.os, &before.serial_key)
        != (&after.client_id, &after.site_id, &after.name, &after.asset_type, &after.os, &after.serial_key)
        || before.needs_reboot != after.needs_reboot
        || before.search_text != after.search_text
        || before.sources != after.sources
}

fn is_led_otherwise(before: &HeldRow, after: &Settled) -> bool {
    before.status != after.status
        || before.primary_device_id != after.primary_device_id
        || before.presence_device_id != after.presence_device_id
        || before.field_sources != after.field_sources
        || before.rmm_device_id != after.rmm_device_id
        || before.rmm_organization_id != after.rmm_organization_id
}

fn told(before: &HeldRow, after: &Settled) -> Result<Vec<NewEvent>> {
    let id = AssetId::from_db(&after.id).map_err(|_| StoreError::Corrupt { what: "asset" })?;
    let client = |text: &str| ClientId::from_db(text).map_err(|_| StoreError::Corrupt { what: "client" });
    let mut events = Vec::new();
    if before.status != after.status {
        let data = serde_json::json!({ "from": before.status, "to": after.status });
        events.push(NewEvent::new(kind::STATUS_CHANGED, id).with(&data));
    }
    if before.client_id != after.client_id {
        let (from, to) = (client(&before.client_id)?, client(&after.client_id)?);
        let data = serde_json::json!({ "from_client": from, "to_client": to });
        events.push(NewEvent::new(kind::ASSET_MOVED, id).with(&data));
    }
    Ok(events)
}

/// How assets count: once by the RMM of their leading device, and once for each other RMM that they are in.
pub(crate) struct Tally {
    leading: BTreeMap<(String, String), i64>,
    others: BTreeMap<(String, String), i64>,
}

impl Tally {
    /// How these assets count now. `ids` is JSON.
    pub(crate) async fn of(tx: &mut Tx, tenant: &Tenant<'_>, ids: &str) -> Result<Tally> {
        let rows: Vec<(String, String, String, String)> = tx.all(&COUNTED, args![ids, tenant.id]).await?;
        let mut tally = Tally { leading: BTreeMap::new(), others: BTreeMap::new() };
        let mut seen = BTreeSet::new();
        for (id, client, leading, provider) in rows {
            if provider != leading {
                *tally.others.entry((client.clone(), provider)).or_default() += 1;
            }
            if seen.insert(id) {
                *tally.leading.entry((client, leading)).or_default() += 1;
            }
        }
        Ok(tally)
    }

    /// Brings the counters from this tally to that of now.
    pub(crate) async fn settle(self, tx: &mut Tx, tenant: &Tenant<'_>, ids: &str) -> Result<()> {
        let now = Tally::of(tx, tenant, ids).await?;
        for (statement, before, after) in [
            (&super::statements::COUNT_ASSETS, self.leading, now.leading),
            (&COUNT_OTHERS, self.others, now.others),
        ] {
            let mut deltas = after;
            for (key, n) in before {
                *deltas.entry(key).or_default() -= n;
            }
            deltas.retain(|_, n| *n != 0);
            let rows: Vec<CountRow<'_>> = deltas
                .iter()
                .map(|((client_id, provider), n)| CountRow { client_id, provider, n: *n })
                .collect();
            if !rows.is_empty() {
                tx.run(statement, args![to_json(&rows)?, tenant.id]).await?;
            }
        }
        Ok(())
    }
}

/// Counts a client's assets that are in several RMMs anew.
pub(crate) async fn recount(tx: &mut Tx, tenant: &Tenant<'_>, client: ClientId) -> Result<()> {
    tx.run(&RECOUNT_CLEAR, args![tenant.id, client.to_db()]).await?;
    tx.run(&RECOUNT, args![tenant.id, client.to_db()]).await?;
    Ok(())
}
