//! Devices: what a page of a list changes, written set-based in one transaction.
//!
//! The service compares (with [`Devices::known`]) and decides; [`Devices::apply`] writes. A page of a thousand devices
//! takes some thirty statements at most, whatever changed and however many organizations it is of.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    Time,
    asset::AssetType,
    device::{DeviceDetail, Presence},
    event::kind,
    id::{AssetId, ClientId, DeviceId, IntegrationId, OrganizationId, SyncRunId, TypedId},
    status::{Status, StatusRule, Thresholds},
    sync::KnownDevice,
};
use sqlx::FromRow;

use crate::{
    Tenant,
    db::{Engine, Tx, args},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    organization::{self, Mapping},
    site::rmm::{self, PageSites},
    sync_run::{self, Progress},
};

mod rows;
pub(crate) mod sources;
mod statements;

pub use crate::site::rmm::Place;
pub use sources::SharedDevice;
pub(crate) use statements::ALL;

pub(crate) use rows::StatusRow;
use rows::{AssetRow, CountRow, DeviceRow, MappingRow, PayloadRow, PresenceRow};
use statements as sql;

/// A known device with what the comparison needs beside [`KnownDevice`].
#[derive(Clone, Debug)]
pub struct Known {
    /// What the rules compare.
    pub device: KnownDevice,
    /// The provider's id.
    pub external_id: String,
    /// Client of its asset.
    pub client_id: ClientId,
    /// Its own thresholds, once known.
    pub thresholds: Option<Thresholds>,
    /// Last successful detail look.
    pub detail_at: Option<Time>,
    /// When the RMM last renewed the detail, as its list said last.
    pub detail_as_of: Option<Time>,
    /// The detail so far: what the list lacks comes from there.
    pub detail: Option<DeviceDetail>,
    /// It leads its asset.
    pub leads: bool,
    /// Its asset has other devices as well.
    pub is_shared: bool,
}

/// The columns of an asset and its device that come from facts.
#[derive(Clone, Debug)]
pub struct Content {
    /// JSON of the facts.
    pub facts: String,
    /// Its hash.
    pub hash: String,
    /// Name.
    pub name: String,
    /// Type.
    pub asset_type: AssetType,
    /// Operating system, empty if unknown.
    pub os: String,
    /// Waits for a restart.
    pub needs_reboot: bool,
    /// [`domain::asset::serial_key`].
    pub serial_key: Option<String>,
    /// Lower-case text that search looks through.
    pub search_text: String,
    /// Name of the site.
    pub site: Option<String>,
    /// The row as it came.
    pub raw: Box<str>,
}

/// The presence of a device after a look.
#[derive(Clone, Debug)]
pub struct PresenceWrite {
    /// Whose.
    pub device_id: DeviceId,
    /// What moves.
    pub presence: Presence,
    /// When silence makes it overdue.
    pub overdue_at: Option<Time>,
    /// The thresholds it has by the integration's settings; none where only the detail tells its own.
    pub thresholds: Option<Thresholds>,
}

/// A device seen for the first time, with its new asset.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Its new id.
    pub device_id: DeviceId,
    /// Its new asset's id.
    pub asset_id: AssetId,
    /// Where it is.
    pub place: Arc<Place>,
    /// The provider's id.
    pub external_id: String,
    /// Facts.
    pub content: Content,
    /// Status at the look.
    pub status: Status,
    /// When the RMM last renewed its detail, if the list says so.
    pub detail_as_of: Option<Time>,
}

/// A known device whose facts or organization changed, or that came back.
#[derive(Clone, Debug)]
pub struct ChangedDevice {
    /// Its id.
    pub device_id: DeviceId,
    /// Its asset.
    pub asset_id: AssetId,
    /// Where it is.
    pub place: Arc<Place>,
    /// Facts; the payload is rewritten only if `content_changed`.
    pub content: Content,
    /// The facts differ from what is stored.
    pub content_changed: bool,
    /// Its asset has other devices as well: what the asset shows follows from all of them.
    pub is_shared: bool,
    /// Earliest next detail look; none leaves it as it is.
    pub detail_due_at: Option<Time>,
}

/// A known device whose detail the RMM renewed: it is due now.
#[derive(Clone, Copy, Debug)]
pub struct RenewedDetail {
    /// Its id.
    pub device_id: DeviceId,
    /// When it was renewed.
    pub as_of: Time,
}

/// A status that went from one to another.
#[derive(Clone, Copy, Debug)]
pub struct StatusChange {
    /// Whose.
    pub asset_id: AssetId,
    /// The new one.
    pub status: Status,
}

/// Where a page of devices belongs.
#[derive(Clone, Debug)]
pub struct PageScope {
    /// The integration.
    pub integration_id: IntegrationId,
    /// The provider's id, for the tag.
    pub provider: String,
    /// The organizations that it has devices of; those of a list that ends, also without any.
    pub places: Vec<Arc<Place>>,
    /// By which rule the status follows from the look.
    pub status_rule: StatusRule,
    /// The run.
    pub run_id: SyncRunId,
    /// Time of the look.
    pub observed_at: Time,
}

/// All that one page changes.
#[derive(Clone, Debug, Default)]
pub struct PageWrites {
    /// New devices.
    pub created: Vec<NewDevice>,
    /// Changed devices.
    pub changed: Vec<ChangedDevice>,
    /// Known devices with a renewed detail.
    pub renewed: Vec<RenewedDetail>,
    /// Moved presences, of new devices too.
    pub presences: Vec<PresenceWrite>,
    /// Changed statuses of known assets that have this one device.
    pub statuses: Vec<StatusChange>,
    /// Devices of assets with several, of which something changes that the asset may show.
    pub shared: Vec<SharedDevice>,
    /// With the last page: devices of the organization that its whole list lacks.
    pub unlisted: Vec<DeviceId>,
    /// What happened.
    pub events: Vec<NewEvent>,
}

/// A look at all devices of organizations, a walk over the whole account.
#[derive(Clone, Copy, Debug)]
pub struct AccountLook<'a> {
    /// Whose devices it would have met; for those that are not synced any more nothing is noted.
    pub organizations: &'a [OrganizationId],
    /// Devices of theirs that it did not meet: they keep the look that they were last in.
    pub unlisted: &'a [DeviceId],
    /// When it began.
    pub observed_at: Time,
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is written.
    Written,
    /// An organization is not synced for the client of the scope any more, or an asset was merged or split meanwhile:
    /// nothing was written. Compare again.
    Remapped,
}

/// Devices of one tenant.
pub struct Devices<'a>(pub(crate) &'a Tenant<'a>);

#[derive(FromRow)]
struct KnownRow {
    id: String,
    external_id: String,
    asset_id: String,
    organization_id: String,
    content_hash: String,
    absent_passes: i64,
    listed_at: Option<i64>,
    missing_since: Option<i64>,
    detail: Option<String>,
    detail_at: Option<i64>,
    detail_as_of: Option<i64>,
    client_id: String,
    status: String,
    last_seen: i64,
    vendor_status: Option<String>,
    booted_at: Option<i64>,
    user_name: Option<String>,
    user_is_current: bool,
    offline_minutes: Option<i64>,
    overdue_minutes: Option<i64>,
    sources: i64,
    leads: i64,
}

impl KnownRow {
    fn into_known(self) -> Result<Known> {
        let corrupt = || StoreError::Corrupt { what: "device" };
        let minutes = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
        let thresholds = match (minutes(self.offline_minutes), minutes(self.overdue_minutes)) {
            (Some(offline_minutes), Some(overdue_minutes)) => {
                Some(Thresholds { offline_minutes, overdue_minutes })
            }
            _ => None,
        };
        let detail = self.detail.as_deref().map(serde_json::from_str::<DeviceDetail>);
        Ok(Known {
            device: KnownDevice {
                device_id: DeviceId::from_db(&self.id).map_err(|_| corrupt())?,
                asset_id: AssetId::from_db(&self.asset_id).map_err(|_| corrupt())?,
                organization_id: OrganizationId::from_db(&self.organization_id).map_err(|_| corrupt())?,
                content_hash: self.content_hash,
                presence: presence_of(
                    self.last_seen,
                    self.vendor_status.as_deref(),
                    self.booted_at,
                    self.user_name,
                    self.user_is_current,
                ),
                status: Status::from_name(&self.status).ok_or_else(corrupt)?,
                missing_since: self.missing_since.map(Time),
                absent_passes: u32::try_from(self.absent_passes).unwrap_or(u32::MAX),
                is_unlisted: self.listed_at.is_some(),
            },
            external_id: self.external_id,
            client_id: ClientId::from_db(&self.client_id).map_err(|_| corrupt())?,
            thresholds,
            detail_at: self.detail_at.map(Time),
            detail_as_of: self.detail_as_of.map(Time),
            detail: detail.and_then(std::result::Result::ok),
            leads: self.leads == 1,
            is_shared: self.sources > 1,
        })
    }
}

/// The presence that these columns of `device_presence` hold.
pub(crate) fn presence_of(
    last_seen: i64,
    vendor_status: Option<&str>,
    booted_at: Option<i64>,
    user: Option<String>,
    user_is_current: bool,
) -> Presence {
    Presence {
        last_seen: (last_seen > 0).then_some(Time(last_seen)),
        vendor_status: vendor_status.and_then(Status::from_name),
        booted_at: booted_at.map(Time),
        user,
        user_is_current,
    }
}

impl Devices<'_> {
    /// What is known of these devices.
    pub async fn known(&self, integration: IntegrationId, external_ids: &[&str]) -> Result<Vec<Known>> {
        let ids = to_json(external_ids)?;
        let rows: Vec<KnownRow> =
            self.0.whole()?.all(&sql::KNOWN, args![ids, self.0.id, integration.to_db()]).await?;
        rows.into_iter().map(KnownRow::into_known).collect()
    }

    /// The stored facts of these devices, as JSON: to tell what changed.
    pub async fn facts(&self, devices: &[DeviceId]) -> Result<Vec<(DeviceId, String)>> {
        let ids: Vec<String> = devices.iter().map(|id| id.to_db()).collect();
        let rows: Vec<(String, String)> =
            self.0.whole()?.all(&sql::FACTS, args![to_json(&ids)?, self.0.id]).await?;
        let corrupt = |_| StoreError::Corrupt { what: "device" };
        rows.into_iter().map(|(id, facts)| Ok((DeviceId::from_db(&id).map_err(corrupt)?, facts))).collect()
    }

    /// Writes one page with the run's progress in one transaction, if its organizations are still mapped as the scope
    /// says; their mappings cannot change before the commit. [`StoreError::Stale`] if the run does not run any more
    /// (cancelled, or taken over): then nothing is written.
    pub async fn apply(
        &self,
        scope: &PageScope,
        writes: &PageWrites,
        progress: &Progress,
    ) -> Result<Applied> {
        let mut tx = self.0.whole()?.begin().await?;
        let organizations: Vec<OrganizationId> =
            scope.places.iter().map(|place| place.organization_id).collect();
        let mappings = organization::hold(&mut tx, self.0, &organizations).await?;
        let is_as_compared = |place: &Arc<Place>| {
            mappings.get(&place.organization_id).and_then(Mapping::synced_for) == Some(place.client_id)
        };
        if !scope.places.iter().all(is_as_compared) {
            return Ok(Applied::Remapped);
        }
        let sites = self.sites(&mut tx, writes).await?;
        let mut counts = self.create(&mut tx, scope, writes, &sites).await?;
        let Some(moved) = self.change(&mut tx, scope, writes, &sites).await? else {
            return Ok(Applied::Remapped);
        };
        counts.extend(moved);
        count(&mut tx, self.0, &counts).await?;
        self.renewed(&mut tx, &writes.renewed).await?;
        self.presences(&mut tx, &writes.presences).await?;
        if !self.statuses(&mut tx, &writes.statuses).await?
            || !sources::write_statuses(&mut tx, self.0, &writes.shared).await?
        {
            return Ok(Applied::Remapped);
        }
        self.payloads(&mut tx, writes).await?;
        if progress.organization_done {
            self.looked(&mut tx, &organizations, &writes.unlisted, scope.observed_at).await?;
        }
        sync_run::progress(&mut tx, self.0, scope.run_id, progress).await?;
        let source = EventSource { integration: Some(scope.integration_id), run: Some(scope.run_id) };
        let mut events = writes.events.clone();
        let shared = writes.shared.iter().map(|device| device.asset_id.to_db());
        events.extend(sources::settle(&mut tx, self.0, shared).await?);
        events.extend(sites.new_at.iter().map(|client| NewEvent::new(kind::CLIENT_CHANGED, *client)));
        event::insert(&mut tx, self.0.id, self.0.now, source, &events).await?;
        tx.commit().await?;
        Ok(Applied::Written)
    }

    /// Notes that a look at all devices of these organizations came to its end, with the run's progress.
    /// [`StoreError::Stale`] if the run does not run any more.
    pub async fn note_look(&self, run: SyncRunId, look: &AccountLook<'_>, progress: &Progress) -> Result<()> {
        let mut tx = self.0.whole()?.begin().await?;
        let mappings = organization::hold(&mut tx, self.0, look.organizations).await?;
        let is_synced = |(id, mapping): (OrganizationId, Mapping)| mapping.synced_for().map(|_| id);
        let synced: Vec<OrganizationId> = mappings.into_iter().filter_map(is_synced).collect();
        self.looked(&mut tx, &synced, look.unlisted, look.observed_at).await?;
        sync_run::progress(&mut tx, self.0, run, progress).await?;
        tx.commit().await
    }

    async fn looked(
        &self,
        tx: &mut Tx,
        organizations: &[OrganizationId],
        unlisted: &[DeviceId],
        observed_at: Time,
    ) -> Result<()> {
        // Before the look is noted: these keep the one they were last in.
        if !unlisted.is_empty() {
            let ids: Vec<String> = unlisted.iter().map(|id| id.to_db()).collect();
            let of: Vec<String> = organizations.iter().map(|id| id.to_db()).collect();
            tx.run(&sql::UNLIST, args![to_json(&ids)?, self.0.id, to_json(&of)?]).await?;
        }
        organization::observed(tx, self.0, organizations, observed_at).await
    }

    async fn sites(&self, tx: &mut Tx, writes: &PageWrites) -> Result<PageSites> {
        let created = writes.created.iter().map(|d| (&*d.place, &d.content));
        let changed = writes.changed.iter().map(|d| (&*d.place, &d.content));
        let names = created.chain(changed);
        let names = names.filter_map(|(place, content)| Some((place, content.site.as_deref()?)));
        rmm::of_page(tx, self.0, names).await
    }

    /// Answers how many assets clients got.
    async fn create<'s>(
        &self,
        tx: &mut Tx,
        scope: &'s PageScope,
        writes: &PageWrites,
        sites: &PageSites,
    ) -> Result<Vec<CountRow<'s>>> {
        if writes.created.is_empty() {
            return Ok(Vec::new());
        }
        let (tenant, now) = (self.0.id, self.0.now);
        let integration = scope.integration_id.to_db();
        let assets: Vec<AssetRow<'_>> = writes.created.iter().map(|d| AssetRow::created(d, sites)).collect();
        let columns = args![to_json(&assets)?, tenant, scope.provider.as_str(), integration.as_str(), now];
        tx.run(&sql::INSERT_ASSETS, columns).await?;
        let ids: Vec<String> = writes.created.iter().map(|d| d.asset_id.to_db()).collect();
        index_text(tx, self.0, &to_json(&ids)?).await?;
        let devices: Vec<DeviceRow<'_>> = writes.created.iter().map(DeviceRow::created).collect();
        let columns = args![to_json(&devices)?, tenant, integration.as_str(), now];
        tx.run(&sql::INSERT_DEVICES, columns).await?;
        let mappings: Vec<MappingRow<'_>> = writes.created.iter().map(MappingRow::created).collect();
        let columns = args![to_json(&mappings)?, tenant, scope.provider.as_str(), integration.as_str(), now];
        tx.run(&sql::INSERT_MAPPINGS, columns).await?;
        let mut created: BTreeMap<ClientId, i64> = BTreeMap::new();
        for device in &writes.created {
            *created.entry(device.place.client_id).or_default() += 1;
        }
        let row = |(client, n): (ClientId, i64)| CountRow {
            client_id: client.to_db(),
            provider: &scope.provider,
            n,
        };
        Ok(created.into_iter().map(row).collect())
    }

    /// Answers how many assets clients got and lost; none if an asset was merged or split since the page was compared.
    async fn change<'s>(
        &self,
        tx: &mut Tx,
        scope: &'s PageScope,
        writes: &PageWrites,
        sites: &PageSites,
    ) -> Result<Option<Vec<CountRow<'s>>>> {
        if writes.changed.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let alone: Vec<&ChangedDevice> = writes.changed.iter().filter(|device| !device.is_shared).collect();
        let Some(counts) = self.change_assets(tx, scope, &alone, sites).await? else { return Ok(None) };
        let devices: Vec<DeviceRow<'_>> = writes.changed.iter().map(DeviceRow::changed).collect();
        let columns = args![to_json(&devices)?, self.0.id, self.0.now];
        let written = tx.run(&sql::UPDATE_DEVICES, columns).await?;
        let is_whole = written == distinct(writes.changed.iter().map(|device| device.device_id));
        Ok(is_whole.then_some(counts))
    }

    /// Assets that have the one device. None if one of them has others by now, or is no more.
    async fn change_assets<'s>(
        &self,
        tx: &mut Tx,
        scope: &'s PageScope,
        changed: &[&ChangedDevice],
        sites: &PageSites,
    ) -> Result<Option<Vec<CountRow<'s>>>> {
        if changed.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let (tenant, now) = (self.0.id, self.0.now);
        let ids: Vec<String> = changed.iter().map(|d| d.asset_id.to_db()).collect();
        let ids = to_json(&ids)?;
        unindex_text(tx, self.0, &ids).await?;
        let assets: Vec<AssetRow<'_>> = changed.iter().map(|d| AssetRow::changed(d, sites)).collect();
        let assets = to_json(&assets)?;
        // Read here and not with the comparison: another organization may have been remapped since.
        let moved: Vec<(String, String)> = tx.all(&sql::OLD_CLIENTS, args![assets.as_str(), tenant]).await?;
        let written = tx.run(&sql::UPDATE_ASSETS, args![assets, tenant, now]).await?;
        if written != distinct(changed.iter().map(|device| device.asset_id)) {
            return Ok(None);
        }
        index_text(tx, self.0, &ids).await?;
        let mut counts = Vec::new();
        for (from, to) in moved {
            counts.push(CountRow { client_id: from, provider: &scope.provider, n: -1 });
            counts.push(CountRow { client_id: to, provider: &scope.provider, n: 1 });
        }
        Ok(Some(counts))
    }

    async fn renewed(&self, tx: &mut Tx, renewed: &[RenewedDetail]) -> Result<()> {
        if renewed.is_empty() {
            return Ok(());
        }
        let rows: Vec<rows::RenewedRow> = renewed.iter().map(rows::RenewedRow::from).collect();
        tx.run(&sql::RENEW_DETAIL, args![to_json(&rows)?, self.0.id, self.0.now]).await.map(drop)
    }

    async fn presences(&self, tx: &mut Tx, presences: &[PresenceWrite]) -> Result<()> {
        if presences.is_empty() {
            return Ok(());
        }
        let rows: Vec<PresenceRow<'_>> = presences.iter().map(PresenceRow::from).collect();
        tx.run(&sql::UPSERT_PRESENCE, args![to_json(&rows)?, self.0.id]).await.map(drop)
    }

    /// False if one of the assets has several devices by now, or is no more.
    async fn statuses(&self, tx: &mut Tx, statuses: &[StatusChange]) -> Result<bool> {
        if statuses.is_empty() {
            return Ok(true);
        }
        let rows: Vec<StatusRow> =
            statuses.iter().map(|s| StatusRow { id: s.asset_id.to_db(), status: s.status.name() }).collect();
        let rows = to_json(&rows)?;
        let written = tx.run(&sql::UPDATE_STATUS, args![rows.as_str(), self.0.id]).await?;
        presence_statuses(tx, self.0, &rows).await?;
        Ok(written == distinct(statuses.iter().map(|change| change.asset_id)))
    }

    /// Raw rows travel as one blob with their positions.
    async fn payloads(&self, tx: &mut Tx, writes: &PageWrites) -> Result<()> {
        let created = writes.created.iter().map(|d| (d.device_id, &d.content));
        let changed = writes.changed.iter().filter(|d| d.content_changed).map(|d| (d.device_id, &d.content));
        let mut blob = Vec::new();
        let mut rows = Vec::new();
        for (device, content) in created.chain(changed) {
            let packed = lz4_flex::compress_prepend_size(content.raw.as_bytes());
            rows.push(PayloadRow { device_id: device.to_db(), at: blob.len() + 1, len: packed.len() });
            blob.extend_from_slice(&packed);
        }
        if rows.is_empty() {
            return Ok(());
        }
        tx.run(&sql::UPSERT_PAYLOADS, args![to_json(&rows)?, self.0.id, blob, self.0.now]).await.map(drop)
    }

    /// The stored row of the provider, as it came.
    pub async fn payload(&self, id: DeviceId) -> Result<String> {
        let (packed,): (Vec<u8>,) = self.0.whole()?.one(&sql::PAYLOAD, args![self.0.id, id.to_db()]).await?;
        let corrupt = || StoreError::Corrupt { what: "payload" };
        let bytes = lz4_flex::decompress_size_prepended(&packed).map_err(|_| corrupt())?;
        String::from_utf8(bytes).map_err(|_| corrupt())
    }

    /// How many devices of an integration are known and not marked missing.
    pub async fn count_present(&self, integration: IntegrationId) -> Result<u64> {
        let (n,): (i64,) =
            self.0.whole()?.one(&sql::COUNT_PRESENT, args![self.0.id, integration.to_db()]).await?;
        Ok(u64::try_from(n).unwrap_or(0))
    }
}

fn distinct<T: Ord>(ids: impl Iterator<Item = T>) -> u64 {
    ids.collect::<std::collections::BTreeSet<T>>().len() as u64
}

/// Brings the text index up to the rows of these assets; on PostgreSQL the index follows by itself.
pub(crate) async fn index_text(tx: &mut Tx, tenant: &Tenant<'_>, ids: &str) -> Result<()> {
    if tx.engine() == Engine::Sqlite {
        tx.run(&sql::INDEX_TEXT, args![ids, tenant.id]).await?;
    }
    Ok(())
}

/// The status that was given to assets, also beside the time last seen. `rows` is JSON of [`StatusRow`].
pub(crate) async fn presence_statuses(tx: &mut Tx, tenant: &Tenant<'_>, rows: &str) -> Result<()> {
    tx.run(&sql::UPDATE_PRESENCE_STATUS, args![rows, tenant.id]).await.map(drop)
}

/// Takes these assets out of the text index, before their text changes.
pub(crate) async fn unindex_text(tx: &mut Tx, tenant: &Tenant<'_>, ids: &str) -> Result<()> {
    if tx.engine() == Engine::Sqlite {
        tx.run(&sql::UNINDEX_TEXT, args![ids, tenant.id]).await?;
    }
    Ok(())
}

async fn count(tx: &mut Tx, tenant: &Tenant<'_>, deltas: &[CountRow<'_>]) -> Result<()> {
    if deltas.is_empty() {
        return Ok(());
    }
    tx.run(&sql::COUNT_ASSETS, args![to_json(deltas)?, tenant.id]).await.map(drop)
}
