//! Assets: one, a page of a filtered list, and what a person changes.

use domain::{
    asset::{Asset, AssetFilter, AssetSort, AssetType, Direction},
    client::name_key,
    event::kind,
    id::{AssetId, DeviceId, TypedId},
    page::{Page, PageRequest},
    source::FieldSources,
};

use crate::{
    Tenant,
    audit::Act,
    db::{Length, args},
    device::{index_text, sources, unindex_text},
    error::Result,
    event::{self, EventSource, NewEvent, to_json},
    sql::statements,
};

mod around;
mod list;
mod order;
mod query;
mod row;
mod shared;

pub(crate) use around::ALL as AROUND_STATEMENTS;
use list::{List, Viewer};
use order::Order;
pub(crate) use query::ALL as QUERY_STATEMENTS;
#[cfg(test)]
pub(crate) use query::{examples, examples_of_few};
pub(crate) use shared::ALL as SHARED_STATEMENTS;

statements! {
    // Held, so that it does not go to another client before the change is written.
    HOLD = [
        "SELECT client_id, primary_device_id FROM assets WHERE tenant_id = $1 AND id = $2",
        {engine "" " FOR NO KEY UPDATE"}
    ];
    UPDATE = [
        "UPDATE assets SET name = $3, name_key = $4, asset_type = $5, note = $6, locked = $7, search_text = $8, \
         updated_at = $9 WHERE tenant_id = $1 AND id = $2"
    ];
    LEAD = [
        "UPDATE assets SET primary_device_id = $3, field_sources = $4 WHERE tenant_id = $1 AND id = $2"
    ];
}

/// Columns of an asset that a person's change writes.
#[derive(Clone, Debug)]
pub struct AssetColumns {
    /// Name.
    pub name: String,
    /// Type.
    pub asset_type: AssetType,
    /// Note.
    pub note: Option<String>,
    /// Fields a sync leaves alone.
    pub locked: Vec<String>,
    /// Lower-case text that search looks through.
    pub search_text: String,
}

/// Assets of one tenant.
pub struct Assets<'a>(pub(crate) &'a Tenant<'a>);

impl Assets<'_> {
    /// One asset.
    pub async fn get(&self, id: AssetId) -> Result<Asset> {
        let viewer = self.viewer();
        self.0.db().reading(move |read| Box::pin(async move { list::one(read, &viewer, id).await })).await
    }

    /// A page of the assets that match, each without its `detail`. `limit` may be larger than a page of the API.
    pub async fn list(
        &self,
        filter: &AssetFilter,
        sort: AssetSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Asset>> {
        let list = self.question(filter, Order { sort, direction }, page);
        let length = list.length();
        self.0.db().reading_for(length, move |read| Box::pin(async move { list.counted(read).await })).await
    }

    /// The same page without counting: for exports.
    pub async fn page(
        &self,
        filter: &AssetFilter,
        sort: AssetSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<(Vec<Asset>, Option<String>)> {
        let list = self.question(filter, Order { sort, direction }, page);
        self.0
            .db()
            .reading_for(Length::Long, move |read| Box::pin(async move { list.uncounted(read).await }))
            .await
    }

    fn question(&self, filter: &AssetFilter, order: Order, page: &PageRequest) -> List {
        List { viewer: self.viewer(), filter: filter.clone(), order, page: page.clone() }
    }

    fn viewer(&self) -> Viewer {
        Viewer { tenant: self.0.id, clients: self.0.clients.clone(), now: self.0.now }
    }

    /// Writes what a person changed.
    /// `fields` are the changed ones, name → before and after, for the history.
    pub async fn update(
        &self,
        id: AssetId,
        columns: &AssetColumns,
        fields: &serde_json::Value,
    ) -> Result<()> {
        let ids = to_json(&[id.to_db()])?;
        let mut tx = self.0.db().begin().await?;
        let (client, _): (String, String) = tx.one(&HOLD, args![self.0.id, id.to_db()]).await?;
        self.0.sees_owner(Some(&client))?;
        unindex_text(&mut tx, self.0, &ids).await?;
        let values = args![
            self.0.id,
            id.to_db(),
            columns.name.as_str(),
            name_key(&columns.name),
            columns.asset_type.name(),
            columns.note.clone(),
            to_json(&columns.locked)?,
            columns.search_text.as_str(),
            self.0.now
        ];
        tx.run(&UPDATE, values).await?;
        index_text(&mut tx, self.0, &ids).await?;
        let act = Act::new("asset.update").to(id).named(&columns.name).with("fields", fields.clone());
        self.0.record(&mut tx, act).await?;
        let by = serde_json::json!({ "by": self.0.actor, "fields": fields });
        let changed = NewEvent::new(kind::ASSET_UPDATED, id).with(&by);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await
    }

    /// What search looks through, without the name that a person gave. The caller has seen that the asset is theirs to see.
    pub async fn search_text(&self, id: AssetId) -> Result<String> {
        sources::text_of_asset(self.0, id).await
    }

    /// Writes who leads and who speaks for which field, of an asset with several devices. `fields` as in
    /// [`Assets::update`]. [`StoreError::NotFound`] also if the device is not the asset's.
    pub async fn lead(
        &self,
        id: AssetId,
        leading: DeviceId,
        chosen: &FieldSources,
        fields: &serde_json::Value,
    ) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        let (client, _): (String, String) = tx.one(&HOLD, args![self.0.id, id.to_db()]).await?;
        self.0.sees_owner(Some(&client))?;
        let columns = args![self.0.id, id.to_db(), leading.to_db(), to_json(chosen)?];
        tx.run(&LEAD, columns).await?;
        let mut events = sources::settle(&mut tx, self.0, [id.to_db()]).await?;
        self.0.record(&mut tx, Act::new("asset.update").to(id).with("fields", fields.clone())).await?;
        let by = serde_json::json!({ "by": self.0.actor, "fields": fields });
        events.push(NewEvent::new(kind::ASSET_UPDATED, id).with(&by));
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &events).await?;
        tx.commit().await
    }
}
