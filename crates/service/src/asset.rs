//! Assets: the register as people read it, and what they may change in it.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Ctx,
    asset::{Asset, AssetFilter, AssetSort, AssetType, Direction},
    auth::Permission,
    client::check_name,
    device::clean_text,
    event::Event,
    id::{AssetId, DeviceId},
    page::{Page, PageRequest},
    source::Field,
};
use futures::{Stream, stream};
use serde_json::json;
use store::{StoreError, asset::AssetColumns};
pub use store::{
    merge::Merged,
    proposal::{Answer, Proposal},
};

use crate::{
    core::Core,
    error::{Result, ServiceError, named},
};

mod audit;
mod identity;

pub use audit::{AuditKind, AuditResult, Audited, Software};
pub use identity::{MergeChoice, Split};

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
    /// Which of several devices leads.
    pub leading_device: Option<DeviceId>,
    /// Which of several devices speaks for a field; none gives the field back to the order of sources.
    pub field_sources: BTreeMap<Field, Option<DeviceId>>,
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

    /// One asset. The id of one that was merged leads to the asset that it is part of, whose id is another.
    pub async fn get(&self, ctx: &Ctx, id: AssetId) -> Result<Asset> {
        ctx.require(Permission::AssetsRead)?;
        self.get_to_change(ctx, id).await
    }

    /// The same for whoever may change it.
    async fn get_to_change(&self, ctx: &Ctx, id: AssetId) -> Result<Asset> {
        let tenant = self.core.store.tenant(ctx);
        match tenant.assets().get(id).await {
            Err(StoreError::NotFound) => match tenant.merges().successor(id).await? {
                Some(kept) => tenant.assets().get(kept).await.map_err(named("asset")),
                None => Err(ServiceError::NotFound { what: "asset" }),
            },
            found => found.map_err(named("asset")),
        }
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
        let asset = self.lead(ctx, asset, &patch).await?;
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
        let text = tenant.assets().search_text(id).await?;
        columns.search_text = if columns.locked.iter().any(|field| field == "name") {
            format!("{} {text}", domain::client::name_key(&columns.name))
        } else {
            text
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
        let id = self.get(ctx, id).await?.id;
        let merged: Vec<AssetId> =
            tenant.merges().merged_into(id).await?.into_iter().map(|merged| merged.id).collect();
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
        let mut items = tenant.events().of_asset(id, &merged, before, page.limit + 1).await?;
        let more = items.len() > page.limit as usize;
        items.truncate(page.limit as usize);
        let next_cursor = if more { items.last().map(|event| event.seq.to_string()) } else { None };
        let total = tenant.events().count_of_asset(id, &merged).await?;
        Ok(Page { items, next_cursor, total })
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
