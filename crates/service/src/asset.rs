//! Assets: the register as people read it, and what they may change in it.

use std::collections::BTreeSet;

use domain::{
    Ctx,
    asset::{Asset, AssetFilter, AssetSort, AssetType, Direction},
    auth::Permission,
    client::check_name,
    device::{DeviceDetail, DeviceFacts, clean_text},
    event::Event,
    id::{AssetId, ProposalId},
    page::{Page, PageRequest},
};
use futures::{Stream, stream};
use serde_json::json;
use store::asset::AssetColumns;
pub use store::asset::Proposal;

use crate::{
    core::Core,
    error::{Result, ServiceError, named},
};

/// Rows of one step of an export.
const EXPORT_PAGE: u32 = 1_000;

/// What a person changes: none keeps, `Some(None)` gives the field back to the RMM.
#[derive(Clone, Debug, Default)]
pub struct AssetPatch {
    /// Another name.
    pub name: Option<Option<String>>,
    /// Another type.
    pub asset_type: Option<Option<AssetType>>,
    /// A note.
    pub note: Option<Option<String>>,
}

/// The use cases of assets.
#[derive(Clone)]
pub struct Assets {
    core: Core,
}

impl Assets {
    pub(crate) fn new(core: Core) -> Self {
        Assets { core }
    }

    /// A page of the assets that match.
    pub async fn list(
        &self,
        ctx: &Ctx,
        filter: &AssetFilter,
        sort: AssetSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Asset>> {
        ctx.require(Permission::AssetsRead)?;
        Ok(self.core.store.tenant(ctx).assets().list(filter, sort, direction, page).await?)
    }

    /// One asset.
    pub async fn get(&self, ctx: &Ctx, id: AssetId) -> Result<Asset> {
        ctx.require(Permission::AssetsRead)?;
        self.core.store.tenant(ctx).assets().get(id).await.map_err(named("asset"))
    }

    /// All matching assets, in pages of a thousand: nothing is held beyond one page.
    pub fn export(
        &self,
        ctx: Ctx,
        filter: AssetFilter,
        sort: AssetSort,
        direction: Direction,
    ) -> impl Stream<Item = Result<Vec<Asset>>> + Send + 'static {
        let core = self.core.clone();
        let first = ctx.require(Permission::AssetsRead).map(|()| Some(None)).map_err(ServiceError::from);
        stream::try_unfold((first, ctx, filter, core), move |(position, ctx, filter, core)| async move {
            let Some(cursor) = position? else { return Ok(None) };
            let request = PageRequest { limit: EXPORT_PAGE, cursor };
            let (items, next) =
                core.store.tenant(&ctx).assets().page(&filter, sort, direction, &request).await?;
            let position = Ok(next.map(Some));
            Ok(Some((items, (position, ctx, filter, core))))
        })
    }

    /// Changes what a person may change. A name or type that a person set stays whatever the RMM says.
    pub async fn update(&self, ctx: &Ctx, id: AssetId, patch: AssetPatch) -> Result<Asset> {
        ctx.require(Permission::AssetsWrite)?;
        let tenant = self.core.store.tenant(ctx);
        let asset = tenant.assets().get(id).await.map_err(named("asset"))?;
        let mut locked: BTreeSet<String> = asset.locked.iter().cloned().collect();
        let mut columns = AssetColumns {
            name: asset.name.clone(),
            asset_type: asset.asset_type,
            note: asset.note.clone(),
            locked: Vec::new(),
            search_text: String::new(),
        };
        if let Some(name) = patch.name {
            let own = name.as_deref().map(check_name).transpose();
            let own = own.map_err(|p| ServiceError::invalid("name", "name_unusable", p.to_string()))?;
            set_lock(&mut locked, "name", own.is_some());
            columns.name = own.unwrap_or_else(|| asset.facts.name.clone());
        }
        if let Some(asset_type) = patch.asset_type {
            set_lock(&mut locked, "asset_type", asset_type.is_some());
            columns.asset_type = asset_type.unwrap_or(asset.facts.device_type);
        }
        if let Some(note) = patch.note {
            columns.note = note.as_deref().and_then(clean_text);
        }
        columns.locked = locked.into_iter().collect();
        let macs = asset.detail.as_ref().map_or(&[][..], |detail| detail.macs.as_slice());
        let text = search_text(&asset.facts, &asset.source.external_id, macs);
        columns.search_text = if columns.name == asset.facts.name {
            text
        } else {
            format!("{} {text}", domain::client::name_key(&columns.name))
        };
        let fields = changed_by_hand(&asset, &columns);
        if !fields.is_empty() || columns.locked != asset.locked {
            tenant.assets().update(id, &columns, &fields.into()).await.map_err(named("asset"))?;
        }
        self.get(ctx, id).await
    }

    /// What happened to an asset, newest first.
    pub async fn history(&self, ctx: &Ctx, id: AssetId, page: PageRequest) -> Result<Page<Event>> {
        ctx.require(Permission::AssetsRead)?;
        let tenant = self.core.store.tenant(ctx);
        tenant.assets().get(id).await.map_err(named("asset"))?;
        let before = match page.cursor.as_deref().map(str::parse) {
            None => i64::MAX,
            Some(Ok(before)) => before,
            Some(Err(_)) => {
                return Err(ServiceError::invalid(
                    "cursor",
                    "invalid_cursor",
                    "this is not a `next_cursor` of this list; hand it back as it came, with the same `sort`",
                ));
            }
        };
        let mut items = tenant.events().of_asset(id, before, page.limit + 1).await?;
        let more = items.len() > page.limit as usize;
        items.truncate(page.limit as usize);
        let next_cursor = if more { items.last().map(|event| event.seq.to_string()) } else { None };
        let total = tenant.events().count_of_asset(id).await?;
        Ok(Page { items, next_cursor, total })
    }

    /// Machines that may be the same as another one.
    pub async fn proposals(&self, ctx: &Ctx, open_only: bool, page: PageRequest) -> Result<Page<Proposal>> {
        ctx.require(Permission::AssetsRead)?;
        Ok(self.core.store.tenant(ctx).assets().proposals(open_only, &page).await?)
    }

    /// A person says: they are two.
    pub async fn dismiss_proposal(&self, ctx: &Ctx, id: ProposalId) -> Result<()> {
        ctx.require(Permission::AssetsWrite)?;
        self.core.store.tenant(ctx).assets().dismiss_proposal(id).await.map_err(named("proposal"))
    }
}

/// What a person changed: name → before and after, as the history tells it.
fn changed_by_hand(asset: &Asset, columns: &AssetColumns) -> serde_json::Map<String, serde_json::Value> {
    let pairs = [
        ("name", json!(asset.name), json!(columns.name)),
        ("asset_type", json!(asset.asset_type.name()), json!(columns.asset_type.name())),
        ("note", json!(asset.note), json!(columns.note)),
    ];
    let differs = pairs.into_iter().filter(|(_, before, after)| before != after);
    differs.map(|(name, before, after)| (name.to_owned(), json!([before, after]))).collect()
}

fn set_lock(locked: &mut BTreeSet<String>, field: &str, set: bool) {
    if set {
        locked.insert(field.to_owned());
    } else {
        locked.remove(field);
    }
}

/// The lower-case text that search looks through.
pub(crate) fn search_text(facts: &DeviceFacts, external_id: &str, macs: &[String]) -> String {
    let single = [
        Some(facts.name.as_str()),
        facts.serial.as_deref(),
        facts.make_model.as_deref(),
        facts.os.as_deref(),
        facts.wan_ip.as_deref(),
        facts.description.as_deref(),
        Some(external_id),
    ];
    let lists = facts.lan_ips.iter().chain(macs).map(String::as_str);
    let mut text = String::with_capacity(256);
    for part in single.into_iter().flatten().chain(lists) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(part);
    }
    text.to_lowercase()
}

/// The text after a detail look, if the hardware addresses changed it.
pub(crate) fn search_text_after(
    facts: &DeviceFacts,
    external_id: &str,
    before: Option<&DeviceDetail>,
    after: &DeviceDetail,
) -> Option<String> {
    let old = before.map_or(&[][..], |detail| detail.macs.as_slice());
    (old != after.macs.as_slice()).then(|| search_text(facts, external_id, &after.macs))
}
