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
    error::{Result, StoreError},
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

const JOINS: &str = " CROSS JOIN rmm_devices d CROSS JOIN rmm_organization_mappings o \
    CROSS JOIN rmm_integrations i LEFT JOIN client_sites s ON s.tenant_id = a.tenant_id AND s.id = a.site_id";

const FROM_ASSETS: &str = " FROM assets a CROSS JOIN clients c CROSS JOIN device_presence p";
const FROM_CLIENTS: &str = " FROM clients c CROSS JOIN assets a CROSS JOIN device_presence p";
const FROM_PRESENCE: &str = " FROM device_presence p CROSS JOIN assets a CROSS JOIN clients c";

const TIES: &str = " WHERE a.tenant_id = $1 AND c.tenant_id = $1 AND c.id = a.client_id AND p.tenant_id = $1 \
    AND p.device_id = a.primary_device_id AND d.tenant_id = $1 AND d.id = a.primary_device_id AND o.tenant_id = $1 \
    AND o.id = d.organization_id AND i.tenant_id = $1 AND i.id = d.integration_id";

/// Few rows of the text index: they lead, whatever the sort.
const FROM_ROWS: &str = " FROM (SELECT value AS row_id FROM json_each(?)) AS k CROSS JOIN assets a CROSS JOIN clients c \
    CROSS JOIN device_presence p";
const ROWS: &str = " AND a.row_id = k.row_id";

/// Few devices are missing: they lead, whatever the sort.
const FROM_MISSING: &str =
    " FROM rmm_devices m CROSS JOIN assets a CROSS JOIN clients c CROSS JOIN device_presence p";
const MISSING: &str = " AND m.tenant_id = $1 AND m.missing_since > 0 AND a.primary_device_id = m.id";

/// How words are looked up. Where all words have one or two letters they are looked for in names alone: no index holds
/// them, and reading all texts would take long.
#[derive(Default)]
pub(crate) struct TextPlan {
    /// Row ids from the text index, where they are few (SQLite).
    rows: Option<Vec<i64>>,
    /// Words somewhere in the text.
    words: Vec<String>,
    /// Words somewhere in the name.
    in_names: Vec<String>,
}

impl TextPlan {
    pub(crate) async fn choose(tenant: &Tenant<'_>, filter: &AssetFilter) -> Result<TextPlan> {
        let words: Vec<String> =
            filter.text.as_deref().unwrap_or("").split_whitespace().map(str::to_lowercase).collect();
        let is_long = |word: &String| word.chars().count() >= 3;
        if !words.iter().any(is_long) {
            return Ok(TextPlan { in_names: words, ..TextPlan::default() });
        }
        if tenant.store.engine() == Engine::Postgres {
            return Ok(TextPlan { words, ..TextPlan::default() });
        }
        let long = words.iter().filter(|word| is_long(word));
        let quoted: Vec<String> = long.map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
        let rows: Vec<(i64,)> = tenant.db().all(&MATCHES, args![quoted.join(" AND ")]).await?;
        if rows.len() as u64 > MAX_COUNT {
            // Common words: reading along the sort finds a page soon.
            return Ok(TextPlan { words, ..TextPlan::default() });
        }
        let rows = Some(rows.into_iter().map(|(id,)| id).collect());
        Ok(TextPlan {
            rows,
            words: words.into_iter().filter(|word| !is_long(word)).collect(),
            in_names: Vec::new(),
        })
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
        for word in &text.words {
            match self.engine {
                Engine::Sqlite => self.bind(" AND instr(a.search_text, ?) > 0", args![word]),
                Engine::Postgres => {
                    self.bind(" AND a.search_text LIKE ? ESCAPE '\\'", args![cursor::like_pattern(word)]);
                }
            }
        }
        for word in &text.in_names {
            self.bind(" AND a.name_key LIKE ? ESCAPE '\\'", args![cursor::like_pattern(word)]);
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
        if filter.missing == Some(false) {
            self.push(
                " AND a.primary_device_id NOT IN (SELECT m.id FROM rmm_devices m WHERE m.tenant_id = $1 \
                 AND m.missing_since > 0)",
            );
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
        AssetSort::Name => args![after.text(1), after.id()],
        AssetSort::Client => args![after.text(1), after.text(2), after.text(3), after.id()],
        AssetSort::Type | AssetSort::Os => args![after.text(1), after.text(2), after.id()],
        AssetSort::LastSeen | AssetSort::Created => args![after.number(1), after.id()],
    }
}

/// Names a sort in its cursors: a cursor is no position in another order.
fn order_name(sort: AssetSort, direction: Direction) -> String {
    match direction {
        Direction::Ascending => sort.name().to_owned(),
        Direction::Descending => format!("-{}", sort.name()),
    }
}

/// Reads a cursor of this order; one of another is refused.
pub(super) fn read_cursor(text: Option<&str>, sort: AssetSort, direction: Direction) -> Result<Cursor> {
    let cursor = Cursor::read(text)?;
    if cursor.is_start() || cursor.text(0) == order_name(sort, direction) {
        return Ok(cursor);
    }
    Err(StoreError::Conflict { what: "bad_cursor" })
}

/// The cursor after a row.
pub(super) fn cursor_after(sort: AssetSort, direction: Direction, row: &AssetRow) -> String {
    let order = order_name(sort, direction);
    let number;
    let (values, id): (&[&str], &str) = match sort {
        AssetSort::Name => (&[&order, &row.name_key], &row.id),
        AssetSort::Client => (&[&order, &row.client_key, row.client_id(), &row.name_key], &row.id),
        AssetSort::Type => (&[&order, &row.asset_type, &row.name_key], &row.id),
        AssetSort::Os => (&[&order, &row.os, &row.name_key], &row.id),
        AssetSort::LastSeen => {
            number = row.last_seen.to_string();
            (&[&order, &number], &row.device_id)
        }
        AssetSort::Created => {
            number = row.created_at.to_string();
            (&[&order, &number], &row.id)
        }
    };
    Cursor::write(values, id)
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
        _ if filter.missing == Some(true) => FROM_MISSING,
        AssetSort::Client => FROM_CLIENTS,
        AssetSort::LastSeen => FROM_PRESENCE,
        AssetSort::Name | AssetSort::Type | AssetSort::Os | AssetSort::Created => FROM_ASSETS,
    };
    builder.push(COLUMNS);
    match &text.rows {
        Some(rows) => builder.bind(FROM_ROWS, args![serde_json::to_string(rows).unwrap_or_default()]),
        None => builder.push(from),
    }
    if text.rows.is_some() && filter.missing == Some(true) {
        builder.push(" CROSS JOIN rmm_devices m");
    }
    for fragment in [JOINS, TIES] {
        builder.push(fragment);
    }
    if text.rows.is_some() {
        builder.push(ROWS);
    }
    if filter.missing == Some(true) {
        builder.push(MISSING);
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
    builder.push("SELECT COUNT(*) FROM (SELECT 1 FROM ");
    if let Some(rows) = &text.rows {
        let rows = serde_json::to_string(rows).unwrap_or_default();
        builder.bind("(SELECT value AS row_id FROM json_each(?)) AS k CROSS JOIN ", args![rows]);
    }
    builder.push("assets a");
    if filter.seen_after.is_some() || filter.seen_before.is_some() {
        builder.push(
            " JOIN device_presence p ON p.tenant_id = a.tenant_id AND p.device_id = a.primary_device_id",
        );
    }
    if filter.missing == Some(true) {
        builder.push(" CROSS JOIN rmm_devices m");
    }
    builder.push(" WHERE a.tenant_id = $1");
    if text.rows.is_some() {
        builder.push(ROWS);
    }
    if filter.missing == Some(true) {
        builder.push(MISSING);
    }
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
    let words = TextPlan { rows: None, words: vec!["x".to_owned()], in_names: vec!["y".to_owned()] };
    let start = Cursor::default();
    let later = Cursor::read(Some(&Cursor::write(&["1", "1", "1", "1"], "1"))).unwrap_or_default();
    let none = TextPlan::default();
    let gone = AssetFilter { missing: Some(true), ..AssetFilter::default() };
    let mut found = Vec::new();
    for sort in AssetSort::ALL {
        for direction in [Direction::Ascending, Direction::Descending] {
            for (after, filter, text) in [
                (&start, &AssetFilter::default(), &none),
                (&later, &AssetFilter::default(), &none),
                (&later, &filter, &words),
                (&later, &gone, &words),
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
