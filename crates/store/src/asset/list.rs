//! One page of a filtered list, and how many there are.

use domain::{
    Time,
    asset::{Asset, AssetFilter, AssetSort},
    id::{AssetId, TenantId},
    page::{MAX_COUNT, MAX_LIMIT, Page, PageRequest, Total},
    scope::ClientScope,
};

use super::{
    order::Order,
    query::{self, Lead, Matching, Words},
    row::{self, AssetRow},
};
use crate::{
    client::bounded_total,
    cursor,
    db::{Engine, Length, Reading, args},
    error::{Result, StoreError},
    scope::is_inside,
};

/// So many are sorted rather than met along an order: of 100,000 assets, 4,000 of them fill a page after 1,250.
pub(super) const FEW: u64 = 4_000;

/// So many of very many hits are kept.
const KEPT_OF_MANY: usize = 1_200;

/// Where the words are in very many, most pages are full after a look at so many rows along the order. In the order of names
/// some are not, as what begins with the same letters comes together: then the index is asked for all hits.
const WINDOW: i64 = 500;

/// Who asks, and when.
pub(super) struct Viewer {
    pub(super) tenant: TenantId,
    /// Whose assets there are for them.
    pub(super) clients: ClientScope,
    pub(super) now: Time,
}

/// What is asked.
pub(super) struct List {
    pub(super) viewer: Viewer,
    pub(super) filter: AssetFilter,
    pub(super) order: Order,
    pub(super) page: PageRequest,
}

impl List {
    /// Will it take long? A page of an export does by itself, and a filter by system may read past many.
    pub(super) fn length(&self) -> Length {
        let is_page = self.page.limit <= MAX_LIMIT && self.filter.os.is_none();
        if is_page { Length::Short } else { Length::Long }
    }

    /// The page, and how many match in all.
    pub(super) async fn counted(&self, read: &mut Reading) -> Result<Page<Asset>> {
        let mut matching = Matching::resolve(read, &self.viewer, &self.filter).await?;
        let hits = self.hits(read, &mut matching).await?;
        if self.page.cursor.is_none() && hits.is_some_and(|hits| hits <= u64::from(self.page.limit)) {
            // All there can be are on this page: no need to count them beforehand.
            let (items, next_cursor) = self.items(read, &matching, hits, None).await?;
            let total = Total::Exact(items.len() as u64);
            return Ok(Page { items, next_cursor, total });
        }
        let total = self.total(read, &matching, hits).await?;
        let (items, next_cursor) = self.items(read, &matching, hits, Some(total)).await?;
        Ok(Page { items, next_cursor, total })
    }

    /// The page alone.
    pub(super) async fn uncounted(&self, read: &mut Reading) -> Result<(Vec<Asset>, Option<String>)> {
        let mut matching = Matching::resolve(read, &self.viewer, &self.filter).await?;
        let hits = self.hits(read, &mut matching).await?;
        self.items(read, &matching, hits, None).await
    }

    /// Asks, once, for the rows that hold the words; answers how many there are, or one more than [`FEW`].
    async fn hits(&self, read: &mut Reading, matching: &mut Matching<'_>) -> Result<Option<u64>> {
        let Some((text, values)) = matching.ask() else { return Ok(None) };
        let found: Vec<(i64,)> = read.all(text, values).await?;
        let hits = found.len() as u64;
        // Very many are not sorted; the first of them mostly tell that there are a thousand.
        let kept = if hits > FEW { KEPT_OF_MANY } else { found.len() };
        let found: Vec<i64> = found.into_iter().take(kept).map(|(row,)| row).collect();
        matching.found(&found)?;
        Ok(Some(hits))
    }

    async fn items(
        &self,
        read: &mut Reading,
        matching: &Matching<'_>,
        hits: Option<u64>,
        counted: Option<Total>,
    ) -> Result<(Vec<Asset>, Option<String>)> {
        let order = self.order;
        let after = order.read_cursor(self.page.cursor.as_deref())?;
        let limit = i64::from(self.page.limit) + 1;
        let are_few = match hits {
            Some(hits) => hits <= FEW,
            None => self.are_few(read, matching, counted).await?,
        };
        let mut lead = matching.lead(order.sort, are_few);
        let mut words = Words::Tested;
        let mut rows: Vec<AssetRow> = Vec::new();
        if counted == Some(Total::Exact(0)) {
            return Ok((Vec::new(), None));
        }
        if matching.is_indexed() && !are_few {
            let (text, values) = matching.page(lead, Words::Window(WINDOW), order, &after, limit);
            rows = read.all(text, values).await?;
            (lead, words) = match lead {
                Lead::Assets(_) | Lead::Clients => (lead, Words::Among),
                _ => (Lead::Text, Words::Tested),
            };
        }
        // A window without a full page says nothing: there may be more behind it.
        if i64::try_from(rows.len()).is_ok_and(|found| found < limit) {
            let (text, values) = matching.page(lead, words, order, &after, limit);
            rows = read.all(text, values).await?;
        }
        if read.engine() == Engine::Sqlite {
            order.sort(&mut rows);
        }
        let (rows, next_cursor) = cursor::cut(rows, self.page.limit, |row| order.cursor_after(row));
        Ok((row::into_assets(read, &self.viewer, rows).await?, next_cursor))
    }

    /// Are there so few that sorting them costs less than reading along the order until a page is full?
    async fn are_few(
        &self,
        read: &mut Reading,
        matching: &Matching<'_>,
        counted: Option<Total>,
    ) -> Result<bool> {
        if matching.is_of_few() {
            return Ok(true);
        }
        if let Some(Total::Exact(n)) = counted {
            return Ok(n <= FEW);
        }
        match matching.client() {
            Some(client) if !matches!(self.order.sort, AssetSort::Name | AssetSort::Client) => {
                Ok(self.kept_count(read, client, "").await? <= FEW)
            }
            _ => Ok(false),
        }
    }

    /// A kept counter answers where there is one; else counting stops at a thousand.
    async fn total(&self, read: &mut Reading, matching: &Matching<'_>, hits: Option<u64>) -> Result<Total> {
        let of_counter = AssetFilter {
            client_id: self.filter.client_id,
            provider: self.filter.provider.clone(),
            ..AssetFilter::default()
        };
        if self.filter == of_counter {
            let provider = self.filter.provider.as_deref().unwrap_or_default();
            let kept = match matching.clients() {
                Some(clients) => {
                    query::kept_count_within(read, self.viewer.tenant, clients, provider).await?
                }
                None => self.kept_count(read, matching.client().unwrap_or_default(), provider).await?,
            };
            return Ok(Total::Exact(kept));
        }
        let (text, values) = matching.count(matching.lead_to_count(false));
        let (mut n,): (i64,) = read.one(text, values).await?;
        if hits.is_some_and(|hits| hits > FEW) && n <= i64::try_from(MAX_COUNT).unwrap_or(i64::MAX) {
            // The first hits do not hold a thousand that match: all must be asked.
            let (text, values) = matching.count(matching.lead_to_count(true));
            (n,) = read.one(text, values).await?;
        }
        Ok(bounded_total(n))
    }

    /// Assets of a client and a provider; an empty text stands for all.
    async fn kept_count(&self, read: &mut Reading, client: &str, provider: &str) -> Result<u64> {
        let (n,): (i64,) = read.one(&query::COUNT_KEPT, args![self.viewer.tenant, client, provider]).await?;
        Ok(u64::try_from(n).unwrap_or(0))
    }
}

/// One asset, with its detail.
pub(super) async fn one(read: &mut Reading, viewer: &Viewer, id: AssetId) -> Result<Asset> {
    let (text, values) = query::one(viewer.tenant, id);
    let row: AssetRow = read.one(text, values).await?;
    if !is_inside(&viewer.clients, Some(&row.client_id)) {
        return Err(StoreError::NotFound);
    }
    row::into_assets(read, viewer, vec![row]).await?.pop().ok_or(StoreError::NotFound)
}
