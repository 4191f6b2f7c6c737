//! Assets: one, a page of a filtered list, and what a person changes.

use domain::{
    Time,
    asset::{Asset, AssetFilter, AssetSort, AssetType, Direction},
    client::name_key,
    event::kind,
    id::{AssetId, ProposalId, TypedId},
    page::{Page, PageRequest, Total},
};
use sqlx::FromRow;

use crate::{
    Tenant,
    client::bounded_total,
    cursor::{self, Cursor},
    db::{Engine, args},
    device::{index_text, unindex_text},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    sql::statements,
};

mod order;
mod query;
mod row;

use order::Order;
pub(crate) use query::ALL as QUERY_STATEMENTS;
use query::Matching;
#[cfg(test)]
pub(crate) use query::examples;
use row::{AssetRow, Settings};

statements! {
    COUNT_KEPT = [
        "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM asset_counts WHERE tenant_id = $1 \
         AND ($2 = '' OR client_id = $2) AND ($3 = '' OR rmm_provider = $3)"
    ];
    LOCKED = ["SELECT locked, primary_device_id FROM assets WHERE tenant_id = $1 AND id = $2"];
    UPDATE = [
        "UPDATE assets SET name = $3, name_key = $4, asset_type = $5, note = $6, locked = $7, search_text = $8, \
         updated_at = $9 WHERE tenant_id = $1 AND id = $2"
    ];
    PROPOSALS = [
        "SELECT p.id, p.asset_id, a.name AS asset_name, p.other_asset_id, o.name AS other_asset_name, p.reason, \
         p.score, p.state, p.created_at FROM asset_proposals p \
         JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = p.asset_id \
         JOIN assets o ON o.tenant_id = p.tenant_id AND o.id = p.other_asset_id \
         WHERE p.tenant_id = $1 AND (p.state = 'open' OR NOT $2) AND (p.created_at, p.id) < ($3, $4) \
         ORDER BY p.created_at DESC, p.id DESC LIMIT $5"
    ];
    COUNT_PROPOSALS = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM asset_proposals WHERE tenant_id = $1 AND (state = 'open' OR NOT $2) \
         LIMIT 1001) AS found"
    ];
    DISMISS = [
        "UPDATE asset_proposals SET state = 'dismissed', decided_at = $3, decided_by = $4 \
         WHERE tenant_id = $1 AND id = $2"
    ];
}

/// So many are sorted rather than met along an order: of 100,000 assets, 4,000 of them fill a page after 1,250.
const FEW: u64 = 4_000;

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
        let (text, values) = query::one(self.0.id, id);
        self.0.db().one::<AssetRow>(text, values).await?.into_asset(&mut Settings::default(), self.0.now)
    }

    /// A page of the assets that match, each without its `detail`. `limit` may be larger than a page of the API.
    pub async fn list(
        &self,
        filter: &AssetFilter,
        sort: AssetSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Asset>> {
        let matching = Matching::resolve(self.0, filter).await?;
        let total = self.total(&matching).await?;
        let order = Order { sort, direction };
        let (items, next_cursor) = self.page_of(&matching, Some(total), order, page).await?;
        Ok(Page { items, next_cursor, total })
    }

    /// The same page without counting: for exports.
    pub async fn page(
        &self,
        filter: &AssetFilter,
        sort: AssetSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<(Vec<Asset>, Option<String>)> {
        let matching = Matching::resolve(self.0, filter).await?;
        self.page_of(&matching, None, Order { sort, direction }, page).await
    }

    async fn page_of(
        &self,
        matching: &Matching<'_>,
        counted: Option<Total>,
        order: Order,
        page: &PageRequest,
    ) -> Result<(Vec<Asset>, Option<String>)> {
        let after = order.read_cursor(page.cursor.as_deref())?;
        let lead = matching.lead(order.sort, self.are_few(matching, counted, order.sort).await?);
        let limit = i64::from(page.limit) + 1;
        let (text, values) = matching.page(lead, order, &after, limit);
        let mut rows: Vec<AssetRow> = self.0.db().packed(text, values).await?;
        if self.0.store.engine() == Engine::Sqlite {
            order.sort(&mut rows);
        }
        let (rows, next_cursor) = cursor::cut(rows, page.limit, |row| order.cursor_after(row));
        let items = row::into_assets(rows, self.0.now)?;
        Ok((items, next_cursor))
    }

    /// Are there so few that sorting them costs less than reading along the order until a page is full?
    async fn are_few(
        &self,
        matching: &Matching<'_>,
        counted: Option<Total>,
        sort: AssetSort,
    ) -> Result<bool> {
        if let Some(Total::Exact(n)) = counted {
            return Ok(n <= FEW);
        }
        if let Some(words) = matching.indexed() {
            let (hits,): (i64,) = self.0.db().one(&query::HITS, args![words]).await?;
            return Ok(u64::try_from(hits).unwrap_or(0) <= FEW);
        }
        match matching.client() {
            Some(client) if !matches!(sort, AssetSort::Name | AssetSort::Client) => {
                Ok(self.kept_count(client, "").await? <= FEW)
            }
            _ => Ok(false),
        }
    }

    /// A kept counter answers where there is one; else counting stops at a thousand.
    async fn total(&self, matching: &Matching<'_>) -> Result<Total> {
        let filter = matching.filter;
        let of_counter = AssetFilter {
            client_id: filter.client_id,
            provider: filter.provider.clone(),
            ..AssetFilter::default()
        };
        if *filter == of_counter {
            let client = matching.client().unwrap_or_default();
            let provider = filter.provider.as_deref().unwrap_or_default();
            return Ok(Total::Exact(self.kept_count(client, provider).await?));
        }
        let (text, values) = matching.count();
        let (n,): (i64,) = self.0.db().one(text, values).await?;
        Ok(bounded_total(n))
    }

    /// Assets of a client and a provider; an empty text stands for all.
    async fn kept_count(&self, client: &str, provider: &str) -> Result<u64> {
        let (n,): (i64,) = self.0.db().one(&COUNT_KEPT, args![self.0.id, client, provider]).await?;
        Ok(u64::try_from(n).unwrap_or(0))
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
        tx.one::<(String, String)>(&LOCKED, args![self.0.id, id.to_db()]).await?;
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
        let by = serde_json::json!({ "by": self.0.actor, "fields": fields });
        let changed = NewEvent::new(kind::ASSET_UPDATED, id).with(&by);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await
    }

    /// Questions about reinstalled machines, newest first.
    pub async fn proposals(&self, open_only: bool, page: &PageRequest) -> Result<Page<Proposal>> {
        let after = Cursor::read(page.cursor.as_deref())?;
        let at = if after.is_start() { i64::MAX } else { after.number(0) };
        let columns = args![self.0.id, open_only, at, after.id(), i64::from(page.limit) + 1];
        let rows: Vec<ProposalRow> = self.0.db().all(&PROPOSALS, columns).await?;
        let counted: (i64,) = self.0.db().one(&COUNT_PROPOSALS, args![self.0.id, open_only]).await?;
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
        let columns = args![self.0.id, id.to_db(), self.0.now, self.0.actor.as_str()];
        if tx.run(&DISMISS, columns).await? == 0 {
            return Err(StoreError::NotFound);
        }
        let changed = NewEvent::new(kind::PROPOSAL_CHANGED, id);
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &[changed]).await?;
        tx.commit().await
    }
}
