//! List queries put together from constant fragments: sort, filter, position. Values are always bound.
//!
//! Each sort walks an index, so that a page costs the same at any depth. `CROSS JOIN` tells SQLite which table leads;
//! to PostgreSQL it is an ordinary join.

use domain::{
    asset::{AssetFilter, AssetSort, Direction},
    id::{AssetId, TenantId, TypedId},
    page::MAX_COUNT,
};

use super::AssetRow;
use crate::{
    Tenant,
    cursor::{self, Cursor},
    db::{Engine, Text, Value, args},
    error::Result,
    sql::statements,
};

statements! {
    MATCHES = [{engine
        "SELECT rowid FROM asset_search WHERE asset_search MATCH $1 LIMIT 1001"
        "SELECT CAST(0 AS BIGINT) WHERE $1 <> ''"}
    ];
}

const COLUMNS: &str = "SELECT a.id, a.client_id, c.name AS client_name, c.name_key AS client_key, a.site_id, \
    s.name AS site_name, a.name, a.name_key, a.asset_type, a.os, a.locked, a.note, a.status, o.observed_at, \
    d.absent_since, i.is_active, i.settings, p.last_seen, p.vendor_status, p.booted_at, p.user_name, \
    p.user_is_current, p.offline_minutes, p.overdue_minutes, d.facts, d.facts_at, d.detail, d.detail_at, \
    a.rmm_provider, i.id AS integration_id, i.name AS integration_name, d.id AS device_id, d.external_id, \
    o.id AS organization_id, o.external_id AS organization_external_id, o.name AS organization_name, \
    d.missing_since, d.missing_note, a.created_at, a.updated_at";

const JOINS: &str = " JOIN rmm_devices d ON d.tenant_id = a.tenant_id AND d.id = a.primary_device_id \
    JOIN rmm_organization_mappings o ON o.tenant_id = d.tenant_id AND o.id = d.organization_id \
    JOIN rmm_integrations i ON i.tenant_id = d.tenant_id AND i.id = d.integration_id \
    LEFT JOIN client_sites s ON s.tenant_id = a.tenant_id AND s.id = a.site_id";

const FROM_ASSETS: &str = " FROM assets a CROSS JOIN clients c CROSS JOIN device_presence p";
const FROM_CLIENTS: &str = " FROM clients c CROSS JOIN assets a CROSS JOIN device_presence p";
const FROM_PRESENCE: &str = " FROM device_presence p CROSS JOIN assets a CROSS JOIN clients c";

const TIES: &str = " WHERE a.tenant_id = $1 AND c.tenant_id = $1 AND c.id = a.client_id AND p.tenant_id = $1 \
    AND p.device_id = a.primary_device_id";

/// How words are looked up: by the text index, or where they are common by reading along the sort.
pub(crate) enum TextPlan {
    None,
    /// Row ids, few (SQLite).
    Rows(Vec<i64>),
    /// Each word somewhere in the text.
    Words(Vec<String>),
}

impl TextPlan {
    pub(crate) async fn choose(tenant: &Tenant<'_>, filter: &AssetFilter) -> Result<TextPlan> {
        let words: Vec<String> =
            filter.text.as_deref().unwrap_or("").split_whitespace().map(str::to_lowercase).collect();
        if words.is_empty() {
            return Ok(TextPlan::None);
        }
        // The index holds runs of three letters: shorter words are not in it.
        let indexed: Vec<String> = words
            .iter()
            .filter(|word| word.chars().count() >= 3)
            .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
            .collect();
        if tenant.store.engine() == Engine::Postgres || indexed.len() < words.len() {
            return Ok(TextPlan::Words(words));
        }
        let rows: Vec<(i64,)> = tenant.db().all(&MATCHES, args![indexed.join(" AND ")]).await?;
        if rows.len() as u64 > MAX_COUNT {
            return Ok(TextPlan::Words(words));
        }
        Ok(TextPlan::Rows(rows.into_iter().map(|(id,)| id).collect()))
    }
}

/// Fragments with their values; `?` stands for the next value.
struct Builder {
    engine: Engine,
    text: String,
    values: Vec<Value>,
}

impl Builder {
    fn new(engine: Engine, tenant: TenantId) -> Builder {
        Builder { engine, text: String::new(), values: args![tenant] }
    }

    fn push(&mut self, fragment: &'static str) {
        self.text.push_str(fragment);
    }

    fn bind(&mut self, fragment: &'static str, values: Vec<Value>) {
        let mut rest = fragment;
        for value in values {
            self.values.push(value);
            if let Some((before, after)) = rest.split_once('?') {
                self.text.push_str(before);
                self.text.push_str(&format!("${}", self.values.len()));
                rest = after;
            }
        }
        self.text.push_str(rest);
    }

    fn finish(self) -> (Text<'static>, Vec<Value>) {
        (Text::Composed(self.text), self.values)
    }

    fn filter(&mut self, filter: &AssetFilter, text: &TextPlan) {
        self.filter_columns(filter);
        match (text, self.engine) {
            (TextPlan::None, _) => {}
            (TextPlan::Rows(rows), _) => {
                let rows = serde_json::to_string(rows).unwrap_or_default();
                self.bind(" AND a.row_id IN (SELECT value FROM json_each(?))", args![rows]);
            }
            (TextPlan::Words(words), Engine::Sqlite) => {
                for word in words {
                    self.bind(" AND instr(a.search_text, ?) > 0", args![word]);
                }
            }
            (TextPlan::Words(words), Engine::Postgres) => {
                for word in words {
                    self.bind(" AND a.search_text LIKE ? ESCAPE '\\'", args![cursor::like_pattern(word)]);
                }
            }
        }
    }

    fn filter_columns(&mut self, filter: &AssetFilter) {
        if let Some(id) = filter.client_id {
            self.bind(" AND a.client_id = ?", args![id.to_db()]);
        }
        if let Some(id) = filter.site_id {
            self.bind(" AND a.site_id = ?", args![id.to_db()]);
        }
        if let Some(provider) = &filter.provider {
            self.bind(" AND a.rmm_provider = ?", args![provider]);
        }
        if let Some(id) = filter.integration_id {
            self.bind(" AND a.rmm_integration_id = ?", args![id.to_db()]);
        }
        if let Some(asset_type) = filter.asset_type {
            self.bind(" AND a.asset_type = ?", args![asset_type.name()]);
        }
        if let Some(status) = filter.status {
            self.bind(" AND a.status = ?", args![status.name()]);
        }
        if let Some(at) = filter.seen_after {
            self.bind(" AND p.last_seen >= ?", args![at]);
        }
        if let Some(at) = filter.seen_before {
            self.bind(" AND p.last_seen < ?", args![at]);
        }
        if let Some(os) = &filter.os {
            let pattern = format!("{}%", cursor::escape_like(&os.trim().to_lowercase()));
            self.bind(" AND lower(a.os) LIKE ? ESCAPE '\\'", args![pattern]);
        }
        match filter.needs_reboot {
            Some(true) => self.push(" AND a.needs_reboot"),
            Some(false) => self.push(" AND NOT a.needs_reboot"),
            None => {}
        }
        const MISSING: &str =
            "(SELECT m.id FROM rmm_devices m WHERE m.tenant_id = $1 AND m.missing_since IS NOT NULL)";
        match filter.missing {
            Some(true) => self.text.push_str(&format!(" AND a.primary_device_id IN {MISSING}")),
            Some(false) => self.text.push_str(&format!(" AND a.primary_device_id NOT IN {MISSING}")),
            None => {}
        }
    }

    /// The position and order of a sort.
    fn sort(&mut self, sort: AssetSort, direction: Direction, after: &Cursor, limit: i64) {
        let down = direction == Direction::Descending;
        let keys: &[&str] = match sort {
            AssetSort::Name => &["a.name_key", "a.id"],
            AssetSort::Client => &["c.name_key", "c.id", "a.name_key", "a.id"],
            AssetSort::Type => &["a.asset_type", "a.name_key", "a.id"],
            AssetSort::Os => &["a.os", "a.name_key", "a.id"],
            AssetSort::LastSeen => &["p.last_seen", "p.device_id"],
            AssetSort::Created => &["a.created_at", "a.id"],
        };
        if !after.is_start() {
            let position = position(sort, after);
            if sort == AssetSort::Client {
                // Narrows the leading table; the whole comparison below spans two tables and cannot use an index.
                let first = position.get(..2).unwrap_or_default().to_vec();
                let fragment = if down {
                    " AND (c.name_key, c.id) <= (?, ?)"
                } else {
                    " AND (c.name_key, c.id) >= (?, ?)"
                };
                self.bind(fragment, first);
            }
            let sign = if down { "<" } else { ">" };
            let from = self.values.len();
            let marks: Vec<String> = (1..=position.len()).map(|n| format!("${}", from + n)).collect();
            self.values.extend(position);
            self.text.push_str(&format!(" AND ({}) {sign} ({})", keys.join(", "), marks.join(", ")));
        }
        let order: Vec<String> =
            keys.iter().map(|key| if down { format!("{key} DESC") } else { (*key).to_owned() }).collect();
        self.text.push_str(&format!(" ORDER BY {}", order.join(", ")));
        self.bind(" LIMIT ?", args![limit]);
    }
}

fn position(sort: AssetSort, after: &Cursor) -> Vec<Value> {
    match sort {
        AssetSort::Name => args![after.text(0), after.id()],
        AssetSort::Client => args![after.text(0), after.text(1), after.text(2), after.id()],
        AssetSort::Type | AssetSort::Os => args![after.text(0), after.text(1), after.id()],
        AssetSort::LastSeen | AssetSort::Created => args![after.number(0), after.id()],
    }
}

/// The cursor after a row.
pub(super) fn cursor_after(sort: AssetSort, row: &AssetRow) -> String {
    match sort {
        AssetSort::Name => Cursor::write(&[&row.name_key], &row.id),
        AssetSort::Client => Cursor::write(&[&row.client_key, row.client_id(), &row.name_key], &row.id),
        AssetSort::Type => Cursor::write(&[&row.asset_type, &row.name_key], &row.id),
        AssetSort::Os => Cursor::write(&[&row.os, &row.name_key], &row.id),
        AssetSort::LastSeen => Cursor::write(&[&row.last_seen.to_string()], &row.device_id),
        AssetSort::Created => Cursor::write(&[&row.created_at.to_string()], &row.id),
    }
}

/// One asset by its id.
pub(super) fn one(tenant: TenantId, id: AssetId) -> (Text<'static>, Vec<Value>) {
    let mut builder = Builder::new(Engine::Sqlite, tenant);
    for fragment in [COLUMNS, FROM_ASSETS, JOINS, TIES] {
        builder.push(fragment);
    }
    builder.bind(" AND a.id = ?", args![id.to_db()]);
    builder.finish()
}

/// A page of matching assets.
pub(super) fn page(
    tenant: &Tenant<'_>,
    filter: &AssetFilter,
    text: &TextPlan,
    sort: AssetSort,
    direction: Direction,
    after: &Cursor,
    limit: i64,
) -> (Text<'static>, Vec<Value>) {
    compose(tenant.store.engine(), tenant.id, filter, text, sort, direction, after, limit)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one query; called in two places here")]
fn compose(
    engine: Engine,
    tenant: TenantId,
    filter: &AssetFilter,
    text: &TextPlan,
    sort: AssetSort,
    direction: Direction,
    after: &Cursor,
    limit: i64,
) -> (Text<'static>, Vec<Value>) {
    let mut builder = Builder::new(engine, tenant);
    let from = match sort {
        AssetSort::Client => FROM_CLIENTS,
        AssetSort::LastSeen => FROM_PRESENCE,
        AssetSort::Name | AssetSort::Type | AssetSort::Os | AssetSort::Created => FROM_ASSETS,
    };
    for fragment in [COLUMNS, from, JOINS, TIES] {
        builder.push(fragment);
    }
    builder.filter(filter, text);
    builder.sort(sort, direction, after, limit);
    builder.finish()
}

/// Counts matching assets up to one more than a thousand.
pub(super) fn count(
    tenant: &Tenant<'_>,
    filter: &AssetFilter,
    text: &TextPlan,
) -> (Text<'static>, Vec<Value>) {
    let mut builder = Builder::new(tenant.store.engine(), tenant.id);
    builder.push("SELECT COUNT(*) FROM (SELECT 1 FROM assets a");
    if filter.seen_after.is_some() || filter.seen_before.is_some() {
        builder.push(
            " JOIN device_presence p ON p.tenant_id = a.tenant_id AND p.device_id = a.primary_device_id",
        );
    }
    builder.push(" WHERE a.tenant_id = $1");
    builder.filter(filter, text);
    builder.push(" LIMIT 1001) AS found");
    builder.finish()
}

#[cfg(test)]
/// Every sort both ways with every filter, from the start and from a position: prepared by a test on both engines.
pub(crate) fn examples(engine: Engine) -> Vec<String> {
    use domain::{
        Time,
        asset::AssetType,
        id::{ClientId, IntegrationId, SiteId},
        status::Status,
    };
    let id = uuid::Uuid::nil();
    let filter = AssetFilter {
        client_id: Some(ClientId::from_uuid(id)),
        site_id: Some(SiteId::from_uuid(id)),
        provider: Some(String::new()),
        integration_id: Some(IntegrationId::from_uuid(id)),
        asset_type: Some(AssetType::Unknown),
        status: Some(Status::Online),
        text: None,
        seen_after: Some(Time(0)),
        seen_before: Some(Time(0)),
        os: Some(String::new()),
        needs_reboot: Some(true),
        missing: Some(false),
    };
    let words = TextPlan::Words(vec!["x".to_owned()]);
    let start = Cursor::default();
    let later = Cursor::read(Some(&Cursor::write(&["1", "1", "1"], "1"))).unwrap_or_default();
    let mut found = Vec::new();
    for sort in AssetSort::ALL {
        for direction in [Direction::Ascending, Direction::Descending] {
            for (after, filter, text) in [
                (&start, &AssetFilter::default(), &TextPlan::None),
                (&later, &AssetFilter::default(), &TextPlan::None),
                (&later, &filter, &words),
            ] {
                let (query, _) = compose(engine, TenantId(1), filter, text, sort, direction, after, 1);
                if let Text::Composed(text) = query {
                    found.push(text);
                }
            }
        }
    }
    found
}
