//! Two assets that are one machine, and back.
//!
//! A merge puts the devices of one asset under another, in one transaction. The row of the first leaves the register; what
//! was its own (name, note, what a person set, its age) is kept in `asset_merges`, and its id leads to the other. A split
//! makes the row again, under the same id, with its devices as they are by then and what happened to them meanwhile.
//!
//! Locks are taken as in a page of a sync: organizations first, which keeps pages of these devices out, then assets. A page
//! that was compared before finds its devices under another asset and is compared again.

use std::collections::BTreeSet;

use domain::{
    Time,
    event::kind,
    id::{AssetId, ClientId, DeviceId, ProposalId, TypedId},
    source::FieldSources,
};
use sqlx::FromRow;

use crate::{
    Tenant,
    audit::Act,
    client,
    db::{Tx, args},
    device::{
        sources::{self, Tally},
        unindex_text,
    },
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    sql::statements,
};

statements! {
    ORGANIZATIONS = [
        "SELECT DISTINCT d.organization_id, d.asset_id FROM rmm_devices d WHERE d.tenant_id = $2 AND d.asset_id IN ",
        {list "$1"}
    ];
    HOLD_ORGANIZATIONS = [
        "SELECT id, created_at FROM rmm_organization_mappings WHERE tenant_id = $2 AND id IN ", {list "$1"},
        " ORDER BY id", {engine "" " FOR NO KEY UPDATE"}
    ];
    HOLD_ASSETS = [
        "SELECT id, client_id, name, field_sources, primary_device_id FROM assets WHERE tenant_id = $2 AND id IN ", {list "$1"}, " ORDER BY id",
        {engine "" " FOR UPDATE"}
    ];
    DEVICES = [
        "SELECT d.id, d.asset_id, o.client_id FROM rmm_devices d JOIN rmm_organization_mappings o \
         ON o.tenant_id = d.tenant_id AND o.id = d.organization_id WHERE d.tenant_id = $2 AND d.asset_id IN ",
        {list "$1"}, " ORDER BY d.created_at, d.id"
    ];
    REMEMBER = [
        "INSERT INTO asset_merges (tenant_id, asset_id, into_asset_id, kept_asset_id, devices, primary_device_id, \
         kept_device_id, client_id, site_id, name, asset_type, locked, note, field_sources, created_at, updated_at, \
         merged_at, merged_by) SELECT a.tenant_id, a.id, $3, $3, $4, a.primary_device_id, $5, a.client_id, a.site_id, \
         a.name, a.asset_type, a.locked, a.note, a.field_sources, a.created_at, a.updated_at, CAST($6 AS BIGINT), $7 \
         FROM assets a WHERE a.tenant_id = $1 AND a.id = $2"
    ];
    // What was merged into the one that goes is part of the one that stays.
    TAKE_ALONG = ["UPDATE asset_merges SET kept_asset_id = $3 WHERE tenant_id = $1 AND kept_asset_id = $2"];
    MOVE_DEVICES = ["UPDATE rmm_devices SET asset_id = $3 WHERE tenant_id = $2 AND id IN ", {list "$1"}];
    MOVE_MAPPINGS = [
        "UPDATE tenant_external_entity_mappings SET entity_id = $3 WHERE tenant_id = $2 AND entity_id = $4 \
         AND device_id IN ", {list "$1"}
    ];
    REMOVE = ["DELETE FROM assets WHERE tenant_id = $1 AND id = $2"];
    LEAD = [
        "UPDATE assets SET primary_device_id = $3, field_sources = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2"
    ];
    CLOSE = [
        "UPDATE asset_proposals SET state = $3, decided_at = $4, decided_by = $5 WHERE tenant_id = $2 AND state <> 'never' \
         AND device_id IN ", {list "$1"}, " AND other_device_id IN ", {list "$1"},
        " AND (device_id IN ", {list "$6"}, ") <> (other_device_id IN ", {list "$6"}, ") RETURNING id, created_at"
    ];
    MERGED_INTO = [
        "SELECT asset_id, into_asset_id, kept_asset_id, devices, primary_device_id, kept_device_id, client_id, site_id, name, \
         asset_type, locked, note, field_sources, created_at, updated_at, merged_at FROM asset_merges \
         WHERE tenant_id = $1 AND kept_asset_id = $2 ORDER BY merged_at, asset_id"
    ];
    FORGET = ["DELETE FROM asset_merges WHERE tenant_id = $1 AND asset_id = $2"];
    KEEP_FEWER = [
        "UPDATE asset_merges SET kept_asset_id = $3, devices = $4 WHERE tenant_id = $1 AND asset_id = $2"
    ];
    // The site is looked for by the devices afterwards; until then that of before, if it is still a place of the client.
    RESTORE = [
        "INSERT INTO assets (tenant_id, id, client_id, site_id, name, name_key, asset_type, os, status, needs_reboot, \
         search_text, rmm_provider, rmm_integration_id, rmm_device_id, rmm_organization_id, primary_device_id, \
         presence_device_id, locked, note, field_sources, sources, created_at, updated_at) \
         SELECT k.tenant_id, $2, $3, (SELECT s.id FROM client_sites s WHERE s.tenant_id = k.tenant_id AND s.id = $4 \
         AND s.client_id = $3), $5, '', $6, '', k.status, FALSE, '', k.rmm_provider, k.rmm_integration_id, k.rmm_device_id, \
         k.rmm_organization_id, $7, $7, $8, $9, $10, 0, CAST($11 AS BIGINT), CAST($12 AS BIGINT) \
         FROM assets k WHERE k.tenant_id = $1 AND k.id = $13"
    ];
    // What happened to the devices alone meanwhile goes along.
    MOVE_EVENTS = [
        "UPDATE events SET subject_id = $3 WHERE tenant_id = $1 AND subject_id = $2 AND at >= $4 AND data LIKE $5"
    ];
    ALIAS = ["SELECT kept_asset_id, asset_id FROM asset_merges WHERE tenant_id = $1 AND asset_id = $2"];
    ALIASES = [
        "SELECT asset_id, name, merged_at FROM asset_merges WHERE tenant_id = $1 AND kept_asset_id = $2 \
         ORDER BY merged_at, asset_id"
    ];
}

/// Which two become one, and how.
#[derive(Clone, Debug)]
pub struct MergeRequest {
    /// The asset that stays.
    pub keep: AssetId,
    /// The one that becomes part of it.
    pub other: AssetId,
    /// Whose it is afterwards, where the two are of two clients.
    pub client: Option<ClientId>,
    /// Which device speaks for which field, where a person chose.
    pub field_sources: FieldSources,
    /// The evidence, for the audit log.
    pub reason: Option<String>,
}

/// An asset that is part of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its id, which leads to the other.
    pub id: AssetId,
    /// Its name when it was merged.
    pub name: String,
    /// When that was.
    pub merged_at: Time,
}

#[derive(FromRow)]
struct HeldRow {
    id: String,
    client_id: String,
    name: String,
    field_sources: String,
    primary_device_id: String,
}

#[derive(Clone, FromRow)]
struct MergeRow {
    asset_id: String,
    into_asset_id: String,
    kept_asset_id: String,
    devices: String,
    primary_device_id: String,
    kept_device_id: String,
    client_id: String,
    site_id: Option<String>,
    name: String,
    asset_type: String,
    locked: String,
    note: Option<String>,
    field_sources: String,
    created_at: i64,
    updated_at: i64,
    merged_at: i64,
}

impl MergeRow {
    fn devices(&self) -> Result<BTreeSet<String>> {
        serde_json::from_str(&self.devices).map_err(|_| corrupt())
    }
}

#[derive(FromRow)]
struct DeviceRow {
    id: String,
    asset_id: String,
    client_id: Option<String>,
}

#[derive(FromRow)]
struct AliasRow {
    asset_id: String,
    name: String,
    merged_at: i64,
}

/// Merges and splits of one tenant.
pub struct Merges<'a>(pub(crate) &'a Tenant<'a>);

impl Merges<'_> {
    /// Makes two assets one. [`StoreError::NotFound`] if one of them is not there, [`StoreError::Conflict`] with
    /// `two_clients` if they are of two clients and none of them is named, [`StoreError::Stale`] if a device went to
    /// another organization at the same moment.
    pub async fn merge(&self, request: &MergeRequest) -> Result<()> {
        let ids = [request.keep.to_db(), request.other.to_db()];
        let mut tx = self.0.db().begin().await?;
        let held = self.hold(&mut tx, &ids).await?;
        let find = |id: &str| held.iter().find(|row| row.id == id).ok_or(StoreError::NotFound);
        let (keep, other) = (find(&ids[0])?, find(&ids[1])?);
        for asset in [keep, other] {
            self.0.sees_owner(Some(&asset.client_id))?;
        }
        let devices: Vec<DeviceRow> = tx.all(&DEVICES, args![to_json(&ids)?, self.0.id]).await?;
        let leading = leading(keep, other, request.client, &devices)?;
        self.put_under(&mut tx, keep, other, &devices).await?;
        let mut chosen: FieldSources = serde_json::from_str(&keep.field_sources).map_err(|_| corrupt())?;
        chosen.extend(request.field_sources.iter().map(|(field, device)| (*field, *device)));
        let columns = args![self.0.id, keep.id.as_str(), leading, to_json(&chosen)?, self.0.now];
        tx.run(&LEAD, columns).await?;
        let mut events = sources::settle(&mut tx, self.0, [keep.id.clone()]).await?;
        events.extend(self.close(&mut tx, &devices, &other.id, "merged").await?);
        self.tell_merge(&mut tx, request, (keep, other), events).await?;
        tx.commit().await
    }

    /// The devices and mappings of `other` go under `keep`; the row of `other` leaves the register.
    async fn put_under(
        &self,
        tx: &mut Tx,
        keep: &HeldRow,
        other: &HeldRow,
        devices: &[DeviceRow],
    ) -> Result<()> {
        let pair = to_json(&[&keep.id, &other.id])?;
        let tally = Tally::of(tx, self.0, &pair).await?;
        let of = |asset: &HeldRow| -> Vec<&str> {
            devices.iter().filter(|row| row.asset_id == asset.id).map(|row| row.id.as_str()).collect()
        };
        let moved = to_json(&of(other))?;
        let columns = args![
            self.0.id,
            other.id.as_str(),
            keep.id.as_str(),
            moved.as_str(),
            keep.primary_device_id.as_str(),
            self.0.now,
            self.0.actor.as_str()
        ];
        tx.run(&REMEMBER, columns).await?;
        tx.run(&TAKE_ALONG, args![self.0.id, other.id.as_str(), keep.id.as_str()]).await?;
        tx.run(&MOVE_DEVICES, args![moved.as_str(), self.0.id, keep.id.as_str()]).await?;
        let columns = args![moved.as_str(), self.0.id, keep.id.as_str(), other.id.as_str()];
        tx.run(&MOVE_MAPPINGS, columns).await?;
        unindex_text(tx, self.0, &to_json(&[&other.id])?).await?;
        tx.run(&REMOVE, args![self.0.id, other.id.as_str()]).await?;
        tally.settle(tx, self.0, &pair).await
    }

    async fn tell_merge(
        &self,
        tx: &mut Tx,
        request: &MergeRequest,
        (keep, other): (&HeldRow, &HeldRow),
        mut events: Vec<NewEvent>,
    ) -> Result<()> {
        let acts = [
            Act::new("asset.merge")
                .to(request.keep)
                .named(&keep.name)
                .with("other", request.other.to_string()),
            Act::new("asset.merge")
                .to(request.other)
                .named(&other.name)
                .with("into", request.keep.to_string()),
        ];
        for act in acts {
            let act = act
                .with("client_id", request.client.map(|id| id.to_string()))
                .with("reason", request.reason.clone());
            self.0.record(tx, act).await?;
        }
        let by = self.0.actor.as_str();
        let kept = serde_json::json!({
            "other_asset": request.other, "other_name": other.name, "by": by, "reason": request.reason,
        });
        let gone = serde_json::json!({ "into_asset": request.keep, "into_name": keep.name, "by": by });
        events.push(NewEvent::new(kind::ASSET_MERGED, request.keep).with(&kept));
        events.push(NewEvent::new(kind::ASSET_MERGED_AWAY, request.other).with(&gone));
        event::insert(tx, self.0.id, self.0.now, EventSource::default(), &events).await
    }

    /// Undoes the merge that brought this device under the asset. Answers the asset that is there again.
    /// [`StoreError::Conflict`] with `own_device` if no merge brought it.
    pub async fn split(&self, asset: AssetId, device: DeviceId) -> Result<AssetId> {
        let mut tx = self.0.db().begin().await?;
        let held = self.hold(&mut tx, &[asset.to_db()]).await?;
        let keep = held.first().ok_or(StoreError::NotFound)?;
        self.0.sees_owner(Some(&keep.client_id))?;
        let devices: Vec<DeviceRow> = tx.all(&DEVICES, args![to_json(&[&keep.id])?, self.0.id]).await?;
        let device = device.to_db();
        if !devices.iter().any(|row| row.id == device) {
            return Err(StoreError::Conflict { what: "not_its_device" });
        }
        let merges: Vec<MergeRow> = tx.all(&MERGED_INTO, args![self.0.id, keep.id.as_str()]).await?;
        let back = merge_of(&merges, &device)?.ok_or(StoreError::Conflict { what: "own_device" })?;
        let leaving: BTreeSet<String> = back.devices()?;
        let restored = AssetId::from_db(&back.asset_id).map_err(|_| corrupt())?;
        let tally = Tally::of(&mut tx, self.0, &to_json(&[&keep.id])?).await?;
        // First, so that no device leads two.
        self.lead_again(&mut tx, keep, &back, &devices).await?;
        self.restore(&mut tx, keep, &back, &devices).await?;
        self.take_apart(&mut tx, keep, &back, &merges).await?;
        let moved = to_json(&leaving)?;
        let columns = args![moved.as_str(), self.0.id, back.asset_id.as_str()];
        tx.run(&MOVE_DEVICES, columns).await?;
        let columns = args![moved.as_str(), self.0.id, back.asset_id.as_str(), keep.id.as_str()];
        tx.run(&MOVE_MAPPINGS, columns).await?;
        let pair = [keep.id.clone(), back.asset_id.clone()];
        tally.settle(&mut tx, self.0, &to_json(&pair)?).await?;
        let mut events = sources::settle(&mut tx, self.0, pair.clone()).await?;
        // The rest may go back to a client that whoever asks does not see.
        let after: Vec<HeldRow> = tx.all(&HOLD_ASSETS, args![to_json(&[&keep.id])?, self.0.id]).await?;
        self.0.sees_owner(after.first().map(|row| row.client_id.as_str()))?;
        // What the restored row showed before it was settled is nobody's news.
        let own = restored.to_string();
        events.retain(|event| event.subject_id != own);
        self.move_events(&mut tx, asset, restored, &back, &leaving).await?;
        events.extend(self.close_between(&mut tx, &devices, &leaving).await?);
        self.tell_split(&mut tx, (asset, keep), (restored, &back), events).await?;
        tx.commit().await?;
        Ok(restored)
    }

    /// Holds the organizations of the assets' devices, then the assets.
    async fn hold(&self, tx: &mut Tx, ids: &[String]) -> Result<Vec<HeldRow>> {
        let ids = to_json(ids)?;
        let organizations = |rows: Vec<(String, String)>| -> BTreeSet<String> {
            rows.into_iter().map(|(organization, _)| organization).collect()
        };
        let before = organizations(tx.all(&ORGANIZATIONS, args![ids.as_str(), self.0.id]).await?);
        let columns = args![to_json(&before)?, self.0.id];
        tx.all::<(String, i64)>(&HOLD_ORGANIZATIONS, columns).await?;
        let held: Vec<HeldRow> = tx.all(&HOLD_ASSETS, args![ids.as_str(), self.0.id]).await?;
        let after = organizations(tx.all(&ORGANIZATIONS, args![ids.as_str(), self.0.id]).await?);
        if before == after { Ok(held) } else { Err(StoreError::Stale) }
    }

    /// Makes the row again. The client is that of its leading device's organization, else what became of that of before.
    async fn restore(
        &self,
        tx: &mut Tx,
        keep: &HeldRow,
        back: &MergeRow,
        devices: &[DeviceRow],
    ) -> Result<()> {
        let mapped =
            devices.iter().find(|row| row.id == back.primary_device_id).and_then(|row| row.client_id.clone());
        let client_id = match mapped {
            Some(client) => client,
            None => {
                let before = ClientId::from_db(&back.client_id).map_err(|_| corrupt())?;
                client::hold_successor(tx, self.0, before).await?.id.to_db()
            }
        };
        self.0.sees_owner(Some(&client_id))?;
        let columns = args![
            self.0.id,
            back.asset_id.as_str(),
            client_id,
            back.site_id.clone(),
            back.name.as_str(),
            back.asset_type.as_str(),
            back.primary_device_id.as_str(),
            back.locked.as_str(),
            back.note.clone(),
            back.field_sources.as_str(),
            back.created_at,
            back.updated_at,
            keep.id.as_str()
        ];
        tx.run(&RESTORE, columns).await.map(drop)
    }

    /// Merges into the one that is there again are its own; other merges lose its devices.
    async fn take_apart(
        &self,
        tx: &mut Tx,
        keep: &HeldRow,
        back: &MergeRow,
        merges: &[MergeRow],
    ) -> Result<()> {
        tx.run(&FORGET, args![self.0.id, back.asset_id.as_str()]).await?;
        let leaving = back.devices()?;
        let mut own: BTreeSet<&str> = BTreeSet::from([back.asset_id.as_str()]);
        // Merges are in the order in which they happened; what was merged earlier lies deeper.
        for merge in merges.iter().rev() {
            if own.contains(merge.into_asset_id.as_str()) {
                own.insert(&merge.asset_id);
            }
        }
        for merge in merges.iter().filter(|merge| merge.asset_id != back.asset_id) {
            let is_own = own.contains(merge.asset_id.as_str());
            let mut devices = merge.devices()?;
            if !is_own {
                devices.retain(|device| !leaving.contains(device));
            }
            let kept = if is_own { &back.asset_id } else { &keep.id };
            if *kept != merge.kept_asset_id || devices != merge.devices()? {
                let columns = args![self.0.id, merge.asset_id.as_str(), kept.as_str(), to_json(&devices)?];
                tx.run(&KEEP_FEWER, columns).await?;
            }
        }
        Ok(())
    }

    /// The one that led before leads again, if the device that leads now goes; else the oldest that stays.
    async fn lead_again(
        &self,
        tx: &mut Tx,
        keep: &HeldRow,
        back: &MergeRow,
        devices: &[DeviceRow],
    ) -> Result<()> {
        let leaving = back.devices()?;
        if leaving.contains(&keep.primary_device_id) {
            let mut staying = devices.iter().map(|row| row.id.as_str()).filter(|id| !leaving.contains(*id));
            let before = back.kept_device_id.as_str();
            let next = staying.clone().find(|id| *id == before).or_else(|| staying.next());
            let columns = args![
                self.0.id,
                keep.id.as_str(),
                next.ok_or_else(corrupt)?,
                keep.field_sources.as_str(),
                self.0.now
            ];
            tx.run(&LEAD, columns).await?;
        }
        Ok(())
    }

    async fn move_events(
        &self,
        tx: &mut Tx,
        from: AssetId,
        to: AssetId,
        back: &MergeRow,
        leaving: &BTreeSet<String>,
    ) -> Result<()> {
        for device in leaving {
            let device = DeviceId::from_db(device).map_err(|_| corrupt())?;
            let of_device = format!("%\"device_id\":\"{device}\"%");
            let columns = args![self.0.id, from.to_string(), to.to_string(), back.merged_at, of_device];
            tx.run(&MOVE_EVENTS, columns).await?;
        }
        Ok(())
    }

    async fn tell_split(
        &self,
        tx: &mut Tx,
        (asset, keep): (AssetId, &HeldRow),
        (restored, back): (AssetId, &MergeRow),
        mut events: Vec<NewEvent>,
    ) -> Result<()> {
        let acts = [
            Act::new("asset.split").to(asset).named(&keep.name).with("other", restored.to_string()),
            Act::new("asset.split").to(restored).named(&back.name).with("from", asset.to_string()),
        ];
        for act in acts {
            self.0.record(tx, act).await?;
        }
        let by = self.0.actor.as_str();
        let kept = serde_json::json!({ "other_asset": restored, "other_name": back.name, "by": by });
        let again = serde_json::json!({ "from_asset": asset, "from_name": keep.name, "by": by });
        events.push(NewEvent::new(kind::ASSET_SPLIT, asset).with(&kept));
        events.push(NewEvent::new(kind::ASSET_RESTORED, restored).with(&again));
        event::insert(tx, self.0.id, self.0.now, EventSource::default(), &events).await
    }

    /// Questions between the devices of `other` and the rest are answered.
    async fn close(
        &self,
        tx: &mut Tx,
        devices: &[DeviceRow],
        other: &str,
        state: &'static str,
    ) -> Result<Vec<NewEvent>> {
        let moved = devices.iter().filter(|row| row.asset_id == other).map(|row| row.id.clone()).collect();
        self.answer_between(tx, devices, &moved, state).await
    }

    /// After a split they stay two, until the evidence becomes stronger.
    async fn close_between(
        &self,
        tx: &mut Tx,
        devices: &[DeviceRow],
        leaving: &BTreeSet<String>,
    ) -> Result<Vec<NewEvent>> {
        self.answer_between(tx, devices, leaving, "keep_both").await
    }

    async fn answer_between(
        &self,
        tx: &mut Tx,
        devices: &[DeviceRow],
        part: &BTreeSet<String>,
        state: &'static str,
    ) -> Result<Vec<NewEvent>> {
        let all: Vec<&str> = devices.iter().map(|row| row.id.as_str()).collect();
        let columns =
            args![to_json(&all)?, self.0.id, state, self.0.now, self.0.actor.as_str(), to_json(part)?];
        let closed: Vec<(String, i64)> = tx.all(&CLOSE, columns).await?;
        let ids = closed.iter().filter_map(|(id, _)| ProposalId::from_db(id).ok());
        Ok(ids.map(|id| NewEvent::new(kind::PROPOSAL_CHANGED, id)).collect())
    }

    /// The assets that are part of this one, in the order in which they were merged.
    pub async fn merged_into(&self, id: AssetId) -> Result<Vec<Merged>> {
        let rows: Vec<AliasRow> = self.0.db().all(&ALIASES, args![self.0.id, id.to_db()]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Merged {
                    id: AssetId::from_db(&row.asset_id).map_err(|_| corrupt())?,
                    name: row.name,
                    merged_at: Time(row.merged_at),
                })
            })
            .collect()
    }

    /// The asset that this one is part of now, if it was merged.
    pub async fn successor(&self, id: AssetId) -> Result<Option<AssetId>> {
        let found: Option<(String, String)> = self.0.db().maybe(&ALIAS, args![self.0.id, id.to_db()]).await?;
        found.map(|(kept, _)| AssetId::from_db(&kept).map_err(|_| corrupt())).transpose()
    }
}

/// Which device leads afterwards: the client is that of the leading device, so naming a client names the side.
fn leading(
    keep: &HeldRow,
    other: &HeldRow,
    client: Option<ClientId>,
    devices: &[DeviceRow],
) -> Result<String> {
    let Some(client) = client.map(TypedId::to_db) else {
        let is_one = keep.client_id == other.client_id;
        return if is_one { Ok(keep.primary_device_id.clone()) } else { Err(two_clients()) };
    };
    let side = [keep, other].into_iter().find(|asset| asset.client_id == client).ok_or_else(two_clients)?;
    let is_there = devices.iter().any(|row| row.id == side.primary_device_id);
    if is_there { Ok(side.primary_device_id.clone()) } else { Err(corrupt()) }
}

fn two_clients() -> StoreError {
    StoreError::Conflict { what: "two_clients" }
}

/// The merge that brought a device: of several, one into the other, the innermost.
fn merge_of(merges: &[MergeRow], device: &str) -> Result<Option<MergeRow>> {
    let mut found: Option<(usize, &MergeRow)> = None;
    for merge in merges {
        let devices = merge.devices()?;
        if devices.contains(device) && found.is_none_or(|(n, _)| devices.len() < n) {
            found = Some((devices.len(), merge));
        }
    }
    Ok(found.map(|(_, merge)| merge.clone()))
}

fn corrupt() -> StoreError {
    StoreError::Corrupt { what: "merge" }
}
