//! One page of a filtered list, and how many there are.

use domain::{
    Time,
    asset::{Asset, AssetFilter, AssetSort},
    id::{AssetId, TenantId},
    page::{Page, PageRequest, Total},
};

use super::{
    order::Order,
    query::{self, Matching},
    row::{self, AssetRow},
};
use crate::{
    client::bounded_total,
    cursor,
    db::{Engine, Reading, args},
    error::{Result, StoreError},
};

/// So many are sorted rather than met along an order: of 100,000 assets, 4,000 of them fill a page after 1,250.
const FEW: u64 = 4_000;

/// What is asked.
pub(super) struct List {
    pub(super) tenant: TenantId,
    pub(super) now: Time,
    pub(super) filter: AssetFilter,
    pub(super) order: Order,
    pub(super) page: PageRequest,
}

impl List {
    /// The page, and how many match in all.
    pub(super) async fn counted(&self, read: &mut Reading) -> Result<Page<Asset>> {
        let matching = Matching::resolve(read, self.tenant, &self.filter).await?;
        let total = self.total(read, &matching).await?;
        let (items, next_cursor) = self.items(read, &matching, Some(total)).await?;
        Ok(Page { items, next_cursor, total })
    }

    /// The page alone.
    pub(super) async fn uncounted(&self, read: &mut Reading) -> Result<(Vec<Asset>, Option<String>)> {
        let matching = Matching::resolve(read, self.tenant, &self.filter).await?;
        self.items(read, &matching, None).await
    }

    async fn items(
        &self,
        read: &mut Reading,
        matching: &Matching<'_>,
        counted: Option<Total>,
    ) -> Result<(Vec<Asset>, Option<String>)> {
        let order = self.order;
        let after = order.read_cursor(self.page.cursor.as_deref())?;
        let lead = matching.lead(order.sort, self.are_few(read, matching, counted).await?);
        let (text, values) = matching.page(lead, order, &after, i64::from(self.page.limit) + 1);
        let mut rows: Vec<AssetRow> = read.all(text, values).await?;
        if read.engine() == Engine::Sqlite {
            order.sort(&mut rows);
        }
        let (rows, next_cursor) = cursor::cut(rows, self.page.limit, |row| order.cursor_after(row));
        Ok((row::into_assets(read, self.tenant, rows, self.now).await?, next_cursor))
    }

    /// Are there so few that sorting them costs less than reading along the order until a page is full?
    async fn are_few(
        &self,
        read: &mut Reading,
        matching: &Matching<'_>,
        counted: Option<Total>,
    ) -> Result<bool> {
        if let Some(Total::Exact(n)) = counted {
            return Ok(n <= FEW);
        }
        if let Some(words) = matching.indexed() {
            let (hits,): (i64,) = read.one(&query::HITS, args![words]).await?;
            return Ok(u64::try_from(hits).unwrap_or(0) <= FEW);
        }
        match matching.client() {
            Some(client) if !matches!(self.order.sort, AssetSort::Name | AssetSort::Client) => {
                Ok(self.kept_count(read, client, "").await? <= FEW)
            }
            _ => Ok(false),
        }
    }

    /// A kept counter answers where there is one; else counting stops at a thousand.
    async fn total(&self, read: &mut Reading, matching: &Matching<'_>) -> Result<Total> {
        let of_counter = AssetFilter {
            client_id: self.filter.client_id,
            provider: self.filter.provider.clone(),
            ..AssetFilter::default()
        };
        if self.filter == of_counter {
            let client = matching.client().unwrap_or_default();
            let provider = self.filter.provider.as_deref().unwrap_or_default();
            return Ok(Total::Exact(self.kept_count(read, client, provider).await?));
        }
        let (text, values) = matching.count();
        let (n,): (i64,) = read.one(text, values).await?;
        Ok(bounded_total(n))
    }

    /// Assets of a client and a provider; an empty text stands for all.
    async fn kept_count(&self, read: &mut Reading, client: &str, provider: &str) -> Result<u64> {
        let (n,): (i64,) = read.one(&query::COUNT_KEPT, args![self.tenant, client, provider]).await?;
        Ok(u64::try_from(n).unwrap_or(0))
    }
}

/// One asset, with its detail.
pub(super) async fn one(read: &mut Reading, tenant: TenantId, now: Time, id: AssetId) -> Result<Asset> {
    let (text, values) = query::one(tenant, id);
    let row: AssetRow = read.one(text, values).await?;
    row::into_assets(read, tenant, vec![row], now).await?.pop().ok_or(StoreError::NotFound)
}
