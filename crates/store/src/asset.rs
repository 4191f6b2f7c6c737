//! Assets: one, a page of a filtered list, and what a person changes.

use domain::{
    Time,
    asset::{Asset, AssetFilter, AssetSort, AssetType, Direction},
    client::name_key,
    event::kind,
    id::{AssetId, ProposalId, TypedId},
    page::{Page, PageRequest},
};
use sqlx::FromRow;

use crate::{
    Tenant,
    audit::Act,
    client::bounded_total,
    cursor::{self, Cursor},
    db::{Length, args},
    device::{index_text, unindex_text},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    sql::statements,
};

mod around;
mod list;
mod order;
mod query;
mod row;

pub(crate) use around::ALL as AROUND_STATEMENTS;
use list::{List, Viewer};
use order::Order;
pub(crate) use query::ALL as QUERY_STATEMENTS;
#[cfg(test)]
pub(crate) use query::{examples, examples_of_few};

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
    PROPOSALS = [
        "SELECT p.id, p.asset_id, a.name AS asset_name, p.other_asset_id, o.name AS other_asset_name, p.reason, \
         p.score, p.state, p.created_at FROM asset_proposals p \
         JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = p.asset_id \
         JOIN assets o ON o.tenant_id = p.tenant_id AND o.id = p.other_asset_id \
         WHERE p.tenant_id = $1 AND (p.state = 'open' OR NOT $2) AND (p.created_at, p.id) < ($3, $4) AND ",
        {within "$6" "a.client_id"}, " AND ", {within "$6" "o.client_id"},
        " ORDER BY p.created_at DESC, p.id DESC LIMIT $5"
    ];
    COUNT_PROPOSALS = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM asset_proposals WHERE tenant_id = $1 AND (state = 'open' OR NOT $2) \
         LIMIT 1001) AS found"
    ];
    COUNT_PROPOSALS_WITHIN = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM asset_proposals p \
         JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = p.asset_id \
         JOIN assets o ON o.tenant_id = p.tenant_id AND o.id = p.other_asset_id \
         WHERE p.tenant_id = $1 AND (p.state = 'open' OR NOT $2) AND ",
        {within "$3" "a.client_id"}, " AND ", {within "$3" "o.client_id"}, " LIMIT 1001) AS found"
    ];
    CLIENTS_OF_PROPOSAL = [
        "SELECT a.client_id, o.client_id FROM asset_proposals p \
         JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = p.asset_id \
         JOIN assets o ON o.tenant_id = p.tenant_id AND o.id = p.other_asset_id \
         WHERE p.tenant_id = $1 AND p.id = $2"
    ];
    DISMISS = [
        "UPDATE asset_proposals SET state = 'dismissed', decided_at = $3, decided_by = $4 \
         WHERE tenant_id = $1 AND id = $2"
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

/// A question: are these two the same machine?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its id.
    pub id: ProposalId,
    /// The newer asset.
    pub asset_id: AssetId,
    /// Its name.
    pub asset_name: String,
    /// The older asset.
    pub other_asset_id: AssetId,
    /// Its name.
    pub other_asset_name: String,
    /// Why.
    pub reason: String,
    /// 0 to 100.
    pub score: u8,
    /// `open` or `dismissed`.
    pub state: String,
    /// When it was made.
    pub created_at: Time,
}

#[derive(FromRow)]
struct ProposalRow {
    id: String,
    asset_id: String,
    asset_name: String,
    other_asset_id: String,
    other_asset_name: String,
    reason: String,
    score: i64,
    state: String,
    created_at: i64,
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

    /// Questions about reinstalled machines, newest first. Both machines have to be of clients that whoever asks may see.
    pub async fn proposals(&self, open_only: bool, page: &PageRequest) -> Result<Page<Proposal>> {
        let after = Cursor::read(page.cursor.as_deref())?;
        let at = if after.is_start() { i64::MAX } else { after.number(0) };
        let columns =
            args![self.0.id, open_only, at, after.id(), i64::from(page.limit) + 1, self.0.within()?];
        let rows: Vec<ProposalRow> = self.0.db().all(&PROPOSALS, columns).await?;
        let counted: (i64,) = match self.0.within()? {
            None => self.0.db().one(&COUNT_PROPOSALS, args![self.0.id, open_only]).await?,
            Some(list) => self.0.db().one(&COUNT_PROPOSALS_WITHIN, args![self.0.id, open_only, list]).await?,
        };
        let next = |row: &ProposalRow| Cursor::write(&[&row.created_at.to_string()], &row.id);
        let (rows, next_cursor) = cursor::cut(rows, page.limit, next);
        let corrupt = |_| StoreError::Corrupt { what: "proposal" };
        let items = rows
            .into_iter()
            .map(|row| {
                Ok(Proposal {
                    id: ProposalId::from_db(&row.id).map_err(corrupt)?,
                    asset_id: AssetId::from_db(&row.asset_id).map_err(corrupt)?,
                    asset_name: row.asset_name,
                    other_asset_id: AssetId::from_db(&row.other_asset_id).map_err(corrupt)?,
                    other_asset_name: row.other_asset_name,
                    reason: row.reason,
                    score: u8::try_from(row.score).unwrap_or(0),
                    state: row.state,
                    created_at: Time(row.created_at),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// A person says: they are two.
    pub async fn dismiss_proposal(&self, id: ProposalId) -> Result<()> {
        let mut tx = self.0.db().begin().await?;
        if !self.0.clients.is_all() {
            let (one, other): (String, String) =
                tx.one(&CLIENTS_OF_PROPOSAL, args![self.0.id, id.to_db()]).await?;
            self.0.sees_owner(Some(&one))?;
            self.0.sees_owner(Some(&other))?;
        }
        let columns = args![self.0.id, id.to_db(), self.0.now, self.0.actor.as_str()];
        if tx.run(&DISMISS, columns).await? == 0 {
            return Err(StoreError::NotFound);
        }
        self.0.record(&mut tx, Act::new("proposal.dismiss").to(id)).await?;
        let changed = NewEvent::new(kind::PROPOSAL_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await
    }
}
