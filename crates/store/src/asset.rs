//! Assets: one, a page of a filtered list, and what a person changes.

use domain::{
    Time,
    asset::{Asset, AssetFilter, AssetSort, AssetSource, AssetType, Direction},
    client::name_key,
    device::Presence,
    event::kind,
    id::{AssetId, ClientId, DeviceId, IntegrationId, OrganizationId, ProposalId, SiteId, TypedId},
    page::{Page, PageRequest, Total},
    status::{self, Status, Thresholds},
};
use sqlx::FromRow;

use crate::{
    Tenant,
    client::bounded_total,
    cursor::{self, Cursor},
    db::args,
    device::{index_text, unindex_text},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    sql::statements,
};

mod query;

pub(crate) use query::ALL as MATCHES;
#[cfg(test)]
pub(crate) use query::examples;

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

#[derive(FromRow)]
pub(crate) struct AssetRow {
    pub(crate) id: String,
    client_id: String,
    client_name: String,
    pub(crate) client_key: String,
    site_id: Option<String>,
    site_name: Option<String>,
    name: String,
    pub(crate) name_key: String,
    pub(crate) asset_type: String,
    pub(crate) os: String,
    locked: String,
    note: Option<String>,
    status: String,
    observed_at: Option<i64>,
    absent_since: Option<i64>,
    is_active: bool,
    settings: String,
    pub(crate) last_seen: i64,
    vendor_status: Option<String>,
    booted_at: Option<i64>,
    user_name: Option<String>,
    user_is_current: bool,
    offline_minutes: Option<i64>,
    overdue_minutes: Option<i64>,
    facts: String,
    facts_at: i64,
    detail: Option<String>,
    detail_at: Option<i64>,
    rmm_provider: String,
    integration_id: String,
    integration_name: String,
    pub(crate) device_id: String,
    external_id: String,
    organization_id: String,
    organization_external_id: String,
    organization_name: String,
    missing_since: Option<i64>,
    missing_note: Option<String>,
    pub(crate) created_at: i64,
    updated_at: i64,
}

impl AssetRow {
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    fn into_asset(self, now: Time) -> Result<Asset> {
        let corrupt = || StoreError::Corrupt { what: "asset" };
        let settings: domain::integration::IntegrationSettings =
            serde_json::from_str(&self.settings).map_err(|_| corrupt())?;
        // A device that is not listed was last looked at when it was last listed.
        let observed_at = self.absent_since.or(self.observed_at).map(Time);
        let interval = std::time::Duration::from_secs(settings.presence_interval_s.into());
        let minutes = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
        let own = minutes(self.offline_minutes).zip(minutes(self.overdue_minutes));
        let thresholds = own.map_or(status::ASSUMED, |(offline_minutes, overdue_minutes)| Thresholds {
            offline_minutes,
            overdue_minutes,
        });
        Ok(Asset {
            id: AssetId::from_db(&self.id).map_err(|_| corrupt())?,
            client_id: ClientId::from_db(&self.client_id).map_err(|_| corrupt())?,
            client_name: self.client_name,
            site_id: self.site_id.map(|id| SiteId::from_db(&id)).transpose().map_err(|_| corrupt())?,
            site_name: self.site_name,
            name: self.name,
            asset_type: AssetType::from_name(&self.asset_type).ok_or_else(corrupt)?,
            locked: serde_json::from_str(&self.locked).map_err(|_| corrupt())?,
            note: self.note,
            status: Status::from_name(&self.status).ok_or_else(corrupt)?,
            observed_at,
            status_stale: !self.is_active || status::is_stale(observed_at, interval, now),
            thresholds,
            thresholds_assumed: own.is_none(),
            presence: Presence {
                last_seen: (self.last_seen > 0).then_some(Time(self.last_seen)),
                vendor_status: self.vendor_status.as_deref().and_then(Status::from_name),
                booted_at: self.booted_at.map(Time),
                user: self.user_name,
                user_is_current: self.user_is_current,
            },
            facts: serde_json::from_str(&self.facts).map_err(|_| corrupt())?,
            facts_at: Time(self.facts_at),
            detail: self.detail.as_deref().map(serde_json::from_str).transpose().map_err(|_| corrupt())?,
            detail_at: self.detail_at.map(Time),
            source: AssetSource {
                rmm_provider: self.rmm_provider,
                integration_id: IntegrationId::from_db(&self.integration_id).map_err(|_| corrupt())?,
                integration_name: self.integration_name,
                device_id: DeviceId::from_db(&self.device_id).map_err(|_| corrupt())?,
                external_id: self.external_id,
                organization_id: OrganizationId::from_db(&self.organization_id).map_err(|_| corrupt())?,
                organization_external_id: self.organization_external_id,
                organization_name: self.organization_name,
                missing_since: self.missing_since.map(Time),
                missing_note: self.missing_note,
            },
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
        })
    }
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
        let (text, values) = query::one(self.0.id, id);
        self.0.db().one::<AssetRow>(text, values).await?.into_asset(self.0.now)
    }

    /// A page of the assets that match. `limit` may be larger than a page of the API, for exports.
    pub async fn list(
        &self,
        filter: &AssetFilter,
        sort: AssetSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<Page<Asset>> {
        let text = query::TextPlan::choose(self.0, filter).await?;
        let (items, next_cursor) = self.page_of(filter, &text, sort, direction, page).await?;
        let total = self.total(filter, &text).await?;
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
        let text = query::TextPlan::choose(self.0, filter).await?;
        self.page_of(filter, &text, sort, direction, page).await
    }

    async fn page_of(
        &self,
        filter: &AssetFilter,
        text: &query::TextPlan,
        sort: AssetSort,
        direction: Direction,
        page: &PageRequest,
    ) -> Result<(Vec<Asset>, Option<String>)> {
        let after = query::read_cursor(page.cursor.as_deref(), sort, direction)?;
        let limit = i64::from(page.limit) + 1;
        let (text, values) = query::page(self.0, filter, text, sort, direction, &after, limit);
        let rows: Vec<AssetRow> = self.0.db().all(text, values).await?;
        let (rows, next_cursor) =
            cursor::cut(rows, page.limit, |row| query::cursor_after(sort, direction, row));
        let items = rows.into_iter().map(|row| row.into_asset(self.0.now)).collect::<Result<_>>()?;
        Ok((items, next_cursor))
    }

    /// A kept counter answers where there is one; else counting stops at a thousand.
    async fn total(&self, filter: &AssetFilter, text: &query::TextPlan) -> Result<Total> {
        let of_counter = AssetFilter {
            client_id: filter.client_id,
            provider: filter.provider.clone(),
            ..AssetFilter::default()
        };
        if *filter == of_counter {
            let client = filter.client_id.map(TypedId::to_db).unwrap_or_default();
            let provider = filter.provider.clone().unwrap_or_default();
            let (n,): (i64,) = self.0.db().one(&COUNT_KEPT, args![self.0.id, client, provider]).await?;
            return Ok(Total::Exact(u64::try_from(n).unwrap_or(0)));
        }
        let (text, values) = query::count(self.0, filter, text);
        let (n,): (i64,) = self.0.db().one(text, values).await?;
        Ok(bounded_total(n))
    }

    /// Writes what a person changed.
    pub async fn update(&self, id: AssetId, columns: &AssetColumns) -> Result<()> {
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
        let by = serde_json::json!({ "by": self.0.actor });
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
