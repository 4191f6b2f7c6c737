//! Which devices are one machine: questions and answers, merges and splits, and which of several devices speaks.

use std::collections::BTreeMap;

use domain::{
    Ctx,
    asset::Asset,
    auth::Permission,
    id::{AssetId, ClientId, DeviceId, ProposalId},
    page::{Page, PageRequest},
    source::{Field, FieldSources},
};
use serde_json::json;
use store::{
    StoreError,
    merge::{MergeRequest, Merged},
    proposal::{Answer, Proposal},
};

use super::{AssetPatch, Assets};
use crate::error::{Result, ServiceError, named};

/// How two assets become one.
#[derive(Clone, Debug, Default)]
pub struct MergeChoice {
    /// Which of the two stays; the older one if left out.
    pub keep: Option<AssetId>,
    /// Whose the machine is, where the two are of two clients.
    pub client: Option<ClientId>,
    /// Which device speaks for which field.
    pub field_sources: FieldSources,
}

/// What a split left.
#[derive(Clone, Debug)]
pub struct Split {
    /// The asset that the device was taken from.
    pub kept: Asset,
    /// The asset that is there again.
    pub restored: Asset,
}

/// How often a merge is tried that meets a device on its way to another organization.
const TRIES: u32 = 3;

impl Assets {
    /// Machines that may be the same as another one.
    pub async fn proposals(&self, ctx: &Ctx, open_only: bool, page: PageRequest) -> Result<Page<Proposal>> {
        ctx.require(Permission::AssetsRead)?;
        Ok(self.core.store.tenant(ctx).proposals().list(open_only, &page).await?)
    }

    /// A person says: they are two.
    pub async fn answer_proposal(&self, ctx: &Ctx, id: ProposalId, answer: Answer) -> Result<()> {
        ctx.require(Permission::AssetsWrite)?;
        let answered = self.core.store.tenant(ctx).proposals().answer(id, answer).await;
        answered.map_err(|error| match error {
            StoreError::Conflict { what: "already_merged" } => already_merged(),
            other => named("proposal")(other),
        })
    }

    /// A person says: they are one.
    pub async fn merge_proposal(&self, ctx: &Ctx, id: ProposalId, choice: MergeChoice) -> Result<Asset> {
        ctx.require(Permission::AssetsWrite)?;
        let proposal = self.core.store.tenant(ctx).proposals().get(id).await.map_err(named("proposal"))?;
        if proposal.asset_id == proposal.other_asset_id {
            return Err(already_merged());
        }
        let reason = (!proposal.reason.is_empty()).then_some(proposal.reason);
        self.make_one(ctx, (proposal.asset_id, proposal.other_asset_id), choice, reason).await
    }

    /// Makes two assets one, without a question. The devices of both are under the one that stays; the id of the other
    /// leads there.
    pub async fn merge(&self, ctx: &Ctx, one: AssetId, other: AssetId, choice: MergeChoice) -> Result<Asset> {
        ctx.require(Permission::AssetsWrite)?;
        self.make_one(ctx, (one, other), choice, None).await
    }

    async fn make_one(
        &self,
        ctx: &Ctx,
        pair: (AssetId, AssetId),
        choice: MergeChoice,
        reason: Option<String>,
    ) -> Result<Asset> {
        let (one, other) = (self.get_to_change(ctx, pair.0).await?, self.get_to_change(ctx, pair.1).await?);
        if one.id == other.id {
            let message = "these are one asset already; name another one to merge with";
            return Err(ServiceError::invalid("other", "same_asset", message));
        }
        let (keep, goes) = sides(&one, &other, choice.keep)?;
        check_client(keep, goes, choice.client)?;
        let devices: Vec<DeviceId> = [keep, goes].into_iter().flat_map(devices_of).collect();
        check_devices(choice.field_sources.iter().map(|(field, device)| (*field, *device)), &devices)?;
        let request = MergeRequest {
            keep: keep.id,
            other: goes.id,
            client: choice.client,
            field_sources: choice.field_sources,
            reason,
        };
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.core.store.tenant(ctx).merges().merge(&request).await {
                Err(StoreError::Stale) if tries > 0 => {}
                Err(StoreError::Conflict { what: "two_clients" }) => return Err(two_clients(keep, goes)),
                done => {
                    done.map_err(named("asset"))?;
                    return self.get_to_change(ctx, request.keep).await;
                }
            }
        }
    }

    /// Undoes the merge that brought a device under this asset.
    pub async fn split(&self, ctx: &Ctx, id: AssetId, device: DeviceId) -> Result<Split> {
        ctx.require(Permission::AssetsWrite)?;
        let asset = self.get_to_change(ctx, id).await?;
        let mut tries = TRIES;
        let restored = loop {
            tries -= 1;
            match self.core.store.tenant(ctx).merges().split(asset.id, device).await {
                Err(StoreError::Stale) if tries > 0 => {}
                Err(StoreError::Conflict { what: "not_its_device" }) => {
                    return Err(not_its_device("device_id"));
                }
                Err(StoreError::Conflict { what: "own_device" }) => {
                    return Err(ServiceError::conflict(
                        "own_device",
                        format!(
                            "no merge brought this device to `{}`: it is its own; name a device that came with a merge",
                            asset.name
                        ),
                    ));
                }
                done => break done.map_err(named("asset"))?,
            }
        };
        let kept = self.get_to_change(ctx, asset.id).await?;
        Ok(Split { kept, restored: self.get_to_change(ctx, restored).await? })
    }

    /// The assets that were merged into this one.
    pub async fn merged(&self, ctx: &Ctx, id: AssetId) -> Result<Vec<Merged>> {
        ctx.require(Permission::AssetsRead)?;
        let tenant = self.core.store.tenant(ctx);
        tenant.assets().get(id).await.map_err(named("asset"))?;
        Ok(tenant.merges().merged_into(id).await?)
    }

    /// Writes who leads and who speaks; answers the asset as it is then.
    pub(super) async fn lead(&self, ctx: &Ctx, asset: Asset, patch: &AssetPatch) -> Result<Asset> {
        if patch.leading_device.is_none() && patch.field_sources.is_empty() {
            return Ok(asset);
        }
        if asset.sources.len() < 2 {
            let message = format!("`{}` has one source, so there is nothing to choose", asset.name);
            return Err(ServiceError::conflict("one_source", message));
        }
        let devices = devices_of(&asset);
        let named_devices =
            patch.field_sources.iter().filter_map(|(field, device)| Some((*field, (*device)?)));
        check_devices(named_devices, &devices)?;
        let leading = patch.leading_device.unwrap_or(asset.source.device_id);
        if !devices.contains(&leading) {
            return Err(not_its_device("leading_device"));
        }
        self.check_leading(ctx, &asset, leading).await?;
        let mut chosen = asset.field_sources.clone();
        for (field, device) in &patch.field_sources {
            match device {
                Some(device) => drop(chosen.insert(*field, *device)),
                None => drop(chosen.remove(field)),
            }
        }
        if leading == asset.source.device_id && chosen == asset.field_sources {
            return Ok(asset);
        }
        let fields = json!({
            "leading_device": [asset.source.device_id, leading],
            "field_sources": [asset.field_sources, chosen],
        });
        let tenant = self.core.store.tenant(ctx);
        tenant.assets().lead(asset.id, leading, &chosen, &fields).await.map_err(named("asset"))?;
        tenant.assets().get(asset.id).await.map_err(named("asset"))
    }

    /// The client is that of the leading device. To another client an asset goes by a mapping, never by the way.
    async fn check_leading(&self, ctx: &Ctx, asset: &Asset, leading: DeviceId) -> Result<()> {
        let Some(look) = asset.sources.iter().find(|look| look.source.device_id == leading) else {
            return Ok(());
        };
        let organization = look.source.organization_id;
        let owner = self.core.store.tenant(ctx).organizations().owner(organization).await?;
        if owner.is_none_or(|client| client == asset.client_id) {
            return Ok(());
        }
        let message = format!(
            "`{}` is mapped to another client than that of `{}`, and the leading source says whose the machine is; \
             map the organization to the same client first",
            look.source.organization_name, asset.name
        );
        Err(ServiceError::conflict("leads_elsewhere", message))
    }
}

/// Which stays, and which becomes part of it.
fn sides<'a>(one: &'a Asset, other: &'a Asset, keep: Option<AssetId>) -> Result<(&'a Asset, &'a Asset)> {
    let is_older = (one.created_at, one.id) < (other.created_at, other.id);
    let (older, newer) = if is_older { (one, other) } else { (other, one) };
    match keep {
        None => Ok((older, newer)),
        Some(id) if id == older.id => Ok((older, newer)),
        Some(id) if id == newer.id => Ok((newer, older)),
        Some(_) => {
            let message = "`keep` names neither of the two; give the id of the asset that shall stay";
            Err(ServiceError::invalid("keep", "keep_is_neither", message))
        }
    }
}

fn devices_of(asset: &Asset) -> Vec<DeviceId> {
    if asset.sources.is_empty() {
        return vec![asset.source.device_id];
    }
    asset.sources.iter().map(|look| look.source.device_id).collect()
}

fn check_devices(named: impl Iterator<Item = (Field, DeviceId)>, devices: &[DeviceId]) -> Result<()> {
    let named: BTreeMap<Field, DeviceId> = named.collect();
    match named.values().find(|device| !devices.contains(device)) {
        Some(_) => Err(not_its_device("field_sources")),
        None => Ok(()),
    }
}

fn already_merged() -> ServiceError {
    ServiceError::conflict(
        "already_merged",
        "these two are one asset already; to make them two again, split it",
    )
}

fn not_its_device(field: &'static str) -> ServiceError {
    let message =
        format!("`{field}` names a device that is none of this machine's; `sources` of the asset lists them");
    ServiceError::invalid(field, "not_its_device", message)
}

fn check_client(keep: &Asset, goes: &Asset, client: Option<ClientId>) -> Result<()> {
    match client {
        None if keep.client_id != goes.client_id => Err(two_clients(keep, goes)),
        Some(client) if client != keep.client_id && client != goes.client_id => {
            let message = "`client_id` is the client of neither; name one of the two";
            Err(ServiceError::invalid("client_id", "client_is_neither", message))
        }
        _ => Ok(()),
    }
}

fn two_clients(keep: &Asset, goes: &Asset) -> ServiceError {
    let message = format!(
        "`{}` is of `{}` and `{}` is of `{}`; say with `client_id` whose the machine is ({} or {})",
        keep.name, keep.client_name, goes.name, goes.client_name, keep.client_id, goes.client_id
    );
    ServiceError::conflict("two_clients", message)
}
