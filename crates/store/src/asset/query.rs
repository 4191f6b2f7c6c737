//! List queries put together from constant fragments: lead, filter, position, order. What comes from outside is always
//! bound; the one number in the text is the size of the page.
//!
//! A page is chosen in an inner query over as few tables and columns as its filter and order need; the rest is joined to
//! its rows alone. SQLite keeps no statistics here, so what leads the inner query is decided by [`Lead`] and said with
//! `INDEXED BY`; PostgreSQL plans for itself. `CROSS JOIN` tells SQLite which table comes first; to PostgreSQL it is an
//! ordinary join.

use domain::{
    asset::{AssetFilter, AssetSort},
    id::{AssetId, TenantId, TypedId},
    scope::ClientScope,
};

use super::{
    list::{FEW, Viewer},
    order::Order,
};
use crate::{
    cursor::{self, Cursor},
    db::{Engine, Reading, Text, Value, args},
    error::Result,
    event::to_json,
    scope::{self, NOBODY},
    sql::statements,
};

statements! {
    // Rows that hold the words, of whatever tenant; they are joined to the tenant's. One more than `FEW`.
    HITS = [{engine
        "SELECT rowid FROM asset_search WHERE asset_search MATCH $1 LIMIT 4001"
        "SELECT CAST(0 AS BIGINT) WHERE $1 <> ''"}
    ];
    // Steps from one system to the next in the index, whatever lies between.
    SYSTEMS = [
        "WITH RECURSIVE t(os) AS (SELECT MIN(os) FROM assets WHERE tenant_id = $1 UNION ALL \
         SELECT (SELECT MIN(a.os) FROM assets a WHERE a.tenant_id = $1 AND a.os > t.os) FROM t WHERE t.os IS NOT NULL) \
         SELECT os FROM t WHERE os IS NOT NULL AND lower(os) LIKE $2 ESCAPE '\\'"
    ];
    COUNT_KEPT = [
        "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM (SELECT n FROM asset_counts WHERE tenant_id = $1 \
         AND ($2 = '' OR client_id = $2) AND ($3 = '' OR rmm_provider = $3) \
         UNION ALL SELECT n FROM asset_other_counts WHERE tenant_id = $1 \
         AND ($2 = '' OR client_id = $2) AND rmm_provider = $3) AS kept"
    ];
    COUNT_KEPT_WITHIN = [
        "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM (SELECT n FROM asset_counts WHERE tenant_id = $1 AND client_id IN ",
        {list "$2"}, " AND ($3 = '' OR rmm_provider = $3) UNION ALL SELECT n FROM asset_other_counts \
         WHERE tenant_id = $1 AND client_id IN ", {list "$2"}, " AND rmm_provider = $3) AS kept"
    ];
    CLIENT_OF_SITE = ["SELECT client_id FROM client_sites WHERE tenant_id = $1 AND id = $2"];
}

/// Declares the columns of an [`super::AssetRow`], in the order of its fields.
macro_rules! columns {
    ($first:literal as $first_name:literal $(, $from:literal as $name:literal)+ $(,)?) => {
        const COLUMNS: &str =
            concat!("SELECT ", $first, " AS ", $first_name $(, ", ", $from, " AS ", $name)+);
    };
}

columns! {
    "a.id" as "id", "a.client_id" as "client_id", "a.site_id" as "site_id", "a.name" as "name",
    "a.name_key" as "name_key", "a.asset_type" as "asset_type", "a.os" as "os", "a.locked" as "locked",
    "a.note" as "note", "a.status" as "status", "d.listed_at" as "listed_at", "p.last_seen" as "last_seen",
    "p.vendor_status" as "vendor_status", "p.booted_at" as "booted_at", "p.user_name" as "user_name",
    "p.user_is_current" as "user_is_current", "p.offline_minutes" as "offline_minutes",
    "p.overdue_minutes" as "overdue_minutes", "d.facts" as "facts", "d.facts_at" as "facts_at",
    "d.detail_at" as "detail_at", "a.rmm_provider" as "rmm_provider", "d.integration_id" as "integration_id",
    "d.id" as "device_id", "d.external_id" as "external_id", "d.organization_id" as "organization_id",
    "d.missing_since" as "missing_since", "d.missing_note" as "missing_note", "a.created_at" as "created_at",
    "a.updated_at" as "updated_at", "d.completing" as "completing", "a.sources" as "sources",
    "a.field_sources" as "field_sources", "a.presence_device_id" as "presence_device_id",
}

/// The last column: the detail is large, and no list shows it.
const WITH_DETAIL: &str = ", d.detail AS detail";
const WITHOUT_DETAIL: &str = ", CAST(NULL AS TEXT) AS detail";

/// The key of the client's name, where the order asks for it.
const CLIENT_KEY: &str = ", k.client_key AS client_key";
const NO_CLIENT_KEY: &str = ", '' AS client_key";

const JOINS: &str = " CROSS JOIN device_presence p CROSS JOIN rmm_devices d";

const TIES: &str = " WHERE a.tenant_id = $1 AND p.tenant_id = $1 AND p.device_id = a.presence_device_id \
    AND d.tenant_id = $1 AND d.id = a.primary_device_id";

/// What a query reads first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// An index of `assets`.
    Assets(&'static str),
    /// Clients by name, the assets of each by name.
    Clients,
    /// Presence by the time last seen.
    Presence,
    /// All hits of the text index (SQLite).
    Text,
    /// Hits of the text index that were asked for before (SQLite).
    Hits,
    /// Devices that are missing: they are few.
    Missing,
}

/// How the rows along an order are looked at for words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// Each row's text is tested.
    Tested,
    /// Only so many rows, of those that the columns let through, are tested.
    Window(i64),
    /// A row has to be among the hits of the text index, all of which are asked for (SQLite).
    Among,
}

const BY_CLIENT: Lead = Lead::Assets("assets_by_client");

/// A filter with what it takes to answer it.
pub(super) struct Matching<'a> {
    pub(super) filter: &'a AssetFilter,
    engine: Engine,
    tenant: TenantId,
    /// The client, asked for or that of the site.
    client: Option<String>,
    /// JSON: the clients whose assets there are for whoever asks; none without a limit, and if `client` is one of them.
    clients: Option<String>,
    /// Do these have so few assets that all can be sorted?
    are_of_few: bool,
    /// JSON: the systems that begin as asked.
    systems: Option<String>,
    /// Words somewhere in the text.
    words: Vec<String>,
    /// Words somewhere in the name. Where all words have one or two letters they are looked for in names alone: no index
    /// holds them, and reading all texts would take long.
    in_names: Vec<String>,
    /// The words of three letters and more in the language of the text index (SQLite).
    indexed: Option<String>,
    /// JSON: the rows that hold the words, or the first of very many, once they were asked for.
    hits: Option<String>,
}

impl<'a> Matching<'a> {
    pub(super) async fn resolve(
        read: &mut Reading,
        viewer: &Viewer,
        filter: &'a AssetFilter,
    ) -> Result<Matching<'a>> {
        let tenant = viewer.tenant;
        let mut matching = Matching::of_words(read.engine(), tenant, filter);
        if let Some(id) = filter.client_id {
            matching.client = Some(id.to_db());
        } else if let Some(site) = filter.site_id {
            let found: Option<(String,)> = read.maybe(&CLIENT_OF_SITE, args![tenant, site.to_db()]).await?;
            // An unknown site has no client, and no asset.
            matching.client = Some(found.map(|(id,)| id).unwrap_or_default());
        }
        matching.limit(read, &viewer.clients).await?;
        if let Some(os) = &filter.os {
            let pattern = format!("{}%", cursor::escape_like(&os.trim().to_lowercase()));
            let found: Vec<(String,)> = read.all(&SYSTEMS, args![tenant, pattern]).await?;
            let found: Vec<String> = found.into_iter().map(|(os,)| os).collect();
            matching.systems = Some(to_json(&found)?);
        }
        if matching.is_narrow() {
            matching.indexed = None;
        }
        Ok(matching)
    }

    fn of_words(engine: Engine, tenant: TenantId, filter: &'a AssetFilter) -> Matching<'a> {
        let text = filter.text.as_deref().unwrap_or("");
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let quoted: Vec<String> = words
            .iter()
            .filter(|word| is_indexed(word))
            .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
            .collect();
        let (words, in_names) = if quoted.is_empty() { (Vec::new(), words) } else { (words, Vec::new()) };
        let indexed = (engine == Engine::Sqlite && !quoted.is_empty()).then(|| quoted.join(" AND "));
        Matching {
            filter,
            engine,
            tenant,
            client: None,
            clients: None,
            are_of_few: false,
            systems: None,
            words,
            in_names,
            indexed,
            hits: None,
        }
    }

    /// Leaves what whoever asks may see. One client is asked for like any other; one outside like one without assets.
    async fn limit(&mut self, read: &mut Reading, viewer: &ClientScope) -> Result<()> {
        let ClientScope::Only(list) = viewer else { return Ok(()) };
        if let Some(client) = &self.client {
            if !scope::is_inside(viewer, Some(client)) {
                self.client = Some(NOBODY.to_owned());
            }
            return Ok(());
        }
        if list.len() <= 1 {
            self.client = Some(list.iter().next().map_or_else(|| NOBODY.to_owned(), TypedId::to_db));
            return Ok(());
        }
        self.clients = scope::as_json(viewer)?;
        let clients = self.clients.as_deref().unwrap_or("[]");
        self.are_of_few = kept_count_within(read, self.tenant, clients, "").await? <= FEW;
        Ok(())
    }

    /// A client's assets are read soon, whatever the words; so are those of few, and of the missing there are few.
    fn is_narrow(&self) -> bool {
        self.client.is_some() || self.are_of_few || self.filter.missing == Some(true)
    }

    /// Asks once for the rows that hold the words, one more than `FEW`, where that is worth while (SQLite).
    pub(super) fn ask(&self) -> Option<(Text<'static>, Vec<Value>)> {
        if let Some(words) = &self.indexed {
            return Some(((&HITS).into(), args![words]));
        }
        if self.engine == Engine::Postgres || self.in_names.is_empty() || self.is_narrow() {
            return None;
        }
        let mut builder = Builder::new(self.engine, self.tenant);
        builder.push("SELECT a.row_id FROM assets a INDEXED BY assets_by_name WHERE a.tenant_id = $1");
        builder.filter_names(self);
        builder.push(" LIMIT 4001");
        Some(builder.finish())
    }

    /// Are they found by the text index?
    pub(super) fn is_indexed(&self) -> bool {
        self.indexed.is_some()
    }

    /// Keeps what was found.
    pub(super) fn found(&mut self, hits: &[i64]) -> Result<()> {
        self.hits = Some(to_json(hits)?);
        Ok(())
    }

    /// The client that all of them belong to.
    pub(super) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// JSON: the clients that whoever asks may see, if they are several and no other client is asked for.
    pub(super) fn clients(&self) -> Option<&str> {
        self.clients.as_deref()
    }

    /// Do all clients that whoever asks may see have so few assets that all can be sorted?
    pub(super) fn is_of_few(&self) -> bool {
        self.are_of_few
    }

    /// What to read first for a page. `are_few`: so few match that all can be sorted.
    pub(super) fn lead(&self, sort: AssetSort, are_few: bool) -> Lead {
        if self.filter.missing == Some(true) {
            return Lead::Missing;
        }
        if self.hits.is_some() && are_few {
            return Lead::Hits;
        }
        let along_the_order = match sort {
            AssetSort::Name => self.by_name(),
            AssetSort::Client => return self.by_client(are_few),
            AssetSort::Type => Lead::Assets("assets_by_type"),
            AssetSort::Os => Lead::Assets("assets_by_os"),
            AssetSort::LastSeen => Lead::Presence,
            AssetSort::Created => Lead::Assets("assets_by_created"),
        };
        if are_few { self.narrow().unwrap_or(along_the_order) } else { along_the_order }
    }

    /// By name: an index that holds one filter and, within it, names in order.
    fn by_name(&self) -> Lead {
        match self.narrow() {
            Some(lead @ Lead::Assets(index)) if index != "assets_by_os" => lead,
            _ => Lead::Assets("assets_by_name"),
        }
    }

    /// By client: those of one client are in order of their names.
    fn by_client(&self, are_few: bool) -> Lead {
        match self.narrow() {
            Some(lead) if are_few || self.client.is_some() => lead,
            _ => Lead::Clients,
        }
    }

    /// Keys of an order that differ among the rows that match: those of one client share its name.
    fn keys(&self, order: Order) -> &'static [&'static str] {
        match order.keys() {
            [_, _, within @ ..] if order.sort == AssetSort::Client && self.client.is_some() => within,
            keys => keys,
        }
    }

    /// What reads the fewest rows that do not match.
    fn narrow(&self) -> Option<Lead> {
        let filter = self.filter;
        if self.client.is_some() || self.are_of_few {
            return Some(BY_CLIENT);
        }
        if filter.status.is_some() {
            return Some(Lead::Assets("assets_by_status"));
        }
        if filter.needs_reboot == Some(true) {
            return Some(Lead::Assets("assets_reboot"));
        }
        if self.systems.is_some() {
            return Some(Lead::Assets("assets_by_os"));
        }
        if filter.asset_type.is_some() {
            return Some(Lead::Assets("assets_by_type"));
        }
        self.asks_presence().then_some(Lead::Presence)
    }

    fn asks_presence(&self) -> bool {
        self.filter.seen_after.is_some() || self.filter.seen_before.is_some()
    }

    /// A page of at most `limit` rows after a cursor; on SQLite in no promised order. A page within a window that
    /// comes out short says nothing.
    pub(super) fn page(
        &self,
        lead: Lead,
        words: Words,
        order: Order,
        after: &Cursor,
        limit: i64,
    ) -> (Text<'static>, Vec<Value>) {
        let mut builder = Builder::new(self.engine, self.tenant);
        builder.push(COLUMNS);
        builder.push(WITHOUT_DETAIL);
        let of_client = order.sort == AssetSort::Client;
        builder.push(if of_client { CLIENT_KEY } else { NO_CLIENT_KEY });
        builder.push(" FROM (SELECT a.row_id");
        builder.push(if of_client { ", c.name_key AS client_key" } else { "" });
        let keys = self.keys(order);
        match words {
            Words::Tested | Words::Among => builder.from(lead, self, order.sort),
            Words::Window(rows) => {
                builder.push(" FROM (SELECT a.row_id AS value");
                builder.from(lead, self, order.sort);
                // The index of the lead may hold nothing but what they let through.
                builder.filter_columns(lead, self);
                builder.position(order, keys, after);
                builder.text.push_str(&format!("{} LIMIT {rows}) AS f CROSS JOIN assets a", order.by(keys)));
                builder.joined(Lead::Hits, self, order.sort);
            }
        }
        builder.filter(lead, words, self);
        builder.position(order, keys, after);
        // Not bound: SQLite would prepare the statement anew at each new value, to plan with it.
        builder.text.push_str(&format!("{} LIMIT {limit}", order.by(keys)));
        builder.push(") AS k CROSS JOIN assets a");
        builder.push(JOINS);
        builder.push(TIES);
        builder.push(" AND a.row_id = k.row_id");
        if self.engine == Engine::Postgres {
            builder.text.push_str(&order.by(order.columns()));
        }
        builder.finish()
    }

    /// What to read first to count: what was found, or all.
    pub(super) fn lead_to_count(&self, all: bool) -> Lead {
        if all && self.indexed.is_some() {
            return Lead::Text;
        }
        match self.narrow() {
            _ if self.filter.missing == Some(true) => Lead::Missing,
            _ if self.hits.is_some() && !all => Lead::Hits,
            narrow => narrow.unwrap_or(Lead::Assets("assets_by_name")),
        }
    }

    /// Counts up to one more than a thousand.
    pub(super) fn count(&self, lead: Lead) -> (Text<'static>, Vec<Value>) {
        let mut builder = Builder::new(self.engine, self.tenant);
        builder.push("SELECT COUNT(*) FROM (SELECT 1");
        builder.from(lead, self, AssetSort::Name);
        builder.filter(lead, Words::Tested, self);
        builder.push(" LIMIT 1001) AS found");
        builder.finish()
    }
}

/// Does the text index hold words of this length?
fn is_indexed(word: &str) -> bool {
    word.chars().count() >= 3
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

    /// A table, on SQLite with the index to read it by.
    fn table(&mut self, table: &'static str, index: &'static str) {
        self.push(table);
        if self.engine == Engine::Sqlite {
            self.push(" INDEXED BY ");
            self.push(index);
        }
    }

    /// The tables that an order and a filter need, the leading one first, and how they are tied.
    fn from(&mut self, lead: Lead, matching: &Matching<'_>, sort: AssetSort) {
        self.push(" FROM ");
        match lead {
            Lead::Assets(index) => self.table("assets a", index),
            Lead::Clients => {
                self.table("clients c", "clients_by_name");
                self.table(" CROSS JOIN assets a", "assets_by_client");
            }
            Lead::Presence => {
                self.table("device_presence p", "presence_by_last_seen");
                self.table(" CROSS JOIN assets a", "assets_by_presence");
            }
            Lead::Text => self.push("asset_search f CROSS JOIN assets a"),
            Lead::Hits => self.bind(
                "json_each(?) AS f CROSS JOIN assets a",
                args![matching.hits.as_deref().unwrap_or("[]")],
            ),
            Lead::Missing => {
                self.table("rmm_devices m", "devices_missing");
                self.table(" CROSS JOIN assets a", "assets_by_presence");
            }
        }
        self.joined(lead, matching, sort);
    }

    /// The tables behind the leading ones, and how all are tied.
    fn joined(&mut self, lead: Lead, matching: &Matching<'_>, sort: AssetSort) {
        let clients = sort == AssetSort::Client || lead == Lead::Clients;
        if clients && lead != Lead::Clients {
            self.push(" CROSS JOIN clients c");
        }
        let presence = sort == AssetSort::LastSeen || lead == Lead::Presence || matching.asks_presence();
        if presence && lead != Lead::Presence {
            self.push(" CROSS JOIN device_presence p");
        }
        self.push(" WHERE a.tenant_id = $1");
        match lead {
            Lead::Text => self.bind(
                " AND f.asset_search MATCH ? AND a.row_id = f.rowid",
                args![matching.indexed.as_deref().unwrap_or_default()],
            ),
            Lead::Hits => self.push(" AND a.row_id = f.value"),
            Lead::Missing => {
                self.push(" AND m.tenant_id = $1 AND m.missing_since > 0 AND a.presence_device_id = m.id");
            }
            Lead::Assets(_) | Lead::Clients | Lead::Presence => {}
        }
        if clients {
            self.push(" AND c.tenant_id = $1 AND c.id = a.client_id");
        }
        if presence {
            self.push(" AND p.tenant_id = $1 AND p.device_id = a.presence_device_id");
        }
    }

    fn filter(&mut self, lead: Lead, words: Words, matching: &Matching<'_>) {
        self.filter_columns(lead, matching);
        if words == Words::Among {
            self.bind(
                " AND a.row_id IN (SELECT f.rowid FROM asset_search f WHERE f.asset_search MATCH ?)",
                args![matching.indexed.as_deref().unwrap_or_default()],
            );
        }
        let is_asked = words == Words::Among || matches!(lead, Lead::Text | Lead::Hits);
        for word in &matching.words {
            if is_asked && is_indexed(word) {
                continue;
            }
            match self.engine {
                Engine::Sqlite => self.bind(" AND instr(a.search_text, ?) > 0", args![word]),
                Engine::Postgres => {
                    self.bind(" AND a.search_text LIKE ? ESCAPE '\\'", args![cursor::like_pattern(word)]);
                }
            }
        }
        self.filter_names(matching);
    }

    fn filter_names(&mut self, matching: &Matching<'_>) {
        for word in &matching.in_names {
            match self.engine {
                Engine::Sqlite => self.bind(" AND instr(a.name_key, ?) > 0", args![word]),
                Engine::Postgres => {
                    self.bind(" AND a.name_key LIKE ? ESCAPE '\\'", args![cursor::like_pattern(word)]);
                }
            }
        }
    }

    /// Assets of some clients alone.
    fn within(&mut self, lead: Lead, clients: &str) {
        let one_of = match (self.engine, lead) {
            // Each client is looked at once and not with each of its assets.
            (Engine::Sqlite, Lead::Clients) => " AND c.id IN (SELECT value FROM json_each(?))",
            (Engine::Sqlite, _) => " AND a.client_id IN (SELECT value FROM json_each(?))",
            (Engine::Postgres, _) => {
                " AND a.client_id = ANY (ARRAY(SELECT json_array_elements_text(CAST(? AS json))))"
            }
        };
        self.bind(one_of, args![clients]);
    }

    fn filter_columns(&mut self, lead: Lead, matching: &Matching<'_>) {
        let filter = matching.filter;
        if let Some(id) = &matching.client {
            self.bind(" AND a.client_id = ?", args![id]);
        }
        if let Some(clients) = &matching.clients {
            self.within(lead, clients);
        }
        if let Some(id) = filter.site_id {
            self.bind(" AND a.site_id = ?", args![id.to_db()]);
        }
        if let Some(provider) = &filter.provider {
            self.bind(
                " AND (a.rmm_provider = ? OR a.sources > 1 AND EXISTS (SELECT 1 FROM tenant_external_entity_mappings x \
                 WHERE x.tenant_id = $1 AND x.entity_id = a.id AND x.integration_type = ?))",
                args![provider, provider],
            );
        }
        if let Some(id) = filter.integration_id {
            self.bind(
                " AND (a.rmm_integration_id = ? OR a.sources > 1 AND EXISTS (SELECT 1 FROM \
                 tenant_external_entity_mappings x WHERE x.tenant_id = $1 AND x.entity_id = a.id \
                 AND x.integration_id = ?))",
                args![id.to_db(), id.to_db()],
            );
        }
        if let Some(asset_type) = filter.asset_type {
            self.bind(" AND a.asset_type = ?", args![asset_type.name()]);
        }
        if let Some(status) = filter.status {
            // The leading index holds it.
            let column = if lead == Lead::Presence { " AND p.status = ?" } else { " AND a.status = ?" };
            self.bind(column, args![status.name()]);
        }
        if let Some(at) = filter.seen_after {
            self.bind(" AND p.last_seen >= ?", args![at]);
        }
        if let Some(at) = filter.seen_before {
            self.bind(" AND p.last_seen < ?", args![at]);
        }
        if let Some(systems) = &matching.systems {
            let one_of = match self.engine {
                Engine::Sqlite => " AND a.os IN (SELECT value FROM json_each(?))",
                Engine::Postgres => {
                    " AND a.os IN (SELECT value FROM json_array_elements_text(CAST(? AS json)))"
                }
            };
            self.bind(one_of, args![systems]);
        }
        match filter.needs_reboot {
            Some(true) => self.push(" AND a.needs_reboot"),
            Some(false) => self.push(" AND NOT a.needs_reboot"),
            None => {}
        }
        if filter.missing == Some(false) {
            self.push(
                " AND a.presence_device_id NOT IN (SELECT m.id FROM rmm_devices m WHERE m.tenant_id = $1 \
                 AND m.missing_since > 0)",
            );
        }
    }

    /// After a cursor, by the last of its keys.
    fn position(&mut self, order: Order, keys: &[&str], after: &Cursor) {
        if after.is_start() {
            return;
        }
        let down = order.is_descending();
        let position = order.position(after);
        let position = position.get(position.len().saturating_sub(keys.len())..).unwrap_or_default();
        if order.sort == AssetSort::Client && keys.len() == order.keys().len() {
            // Narrows the leading table; the whole comparison below spans two tables and cannot use an index.
            let first = position.get(..2).unwrap_or_default().to_vec();
            let fragment =
                if down { " AND (c.name_key, c.id) <= (?, ?)" } else { " AND (c.name_key, c.id) >= (?, ?)" };
            self.bind(fragment, first);
        }
        let sign = if down { "<" } else { ">" };
        let from = self.values.len();
        let marks: Vec<String> = (1..=position.len()).map(|n| format!("${}", from + n)).collect();
        self.values.extend_from_slice(position);
        self.text.push_str(&format!(" AND ({}) {sign} ({})", keys.join(", "), marks.join(", ")));
    }
}

/// Assets of some clients, by the kept counters; an empty provider stands for all.
pub(super) async fn kept_count_within(
    read: &mut Reading,
    tenant: TenantId,
    clients: &str,
    provider: &str,
) -> Result<u64> {
    let (n,): (i64,) = read.one(&COUNT_KEPT_WITHIN, args![tenant, clients, provider]).await?;
    Ok(u64::try_from(n).unwrap_or(0))
}

/// One asset by its id, with its detail.
pub(super) fn one(tenant: TenantId, id: AssetId) -> (Text<'static>, Vec<Value>) {
    let mut builder = Builder::new(Engine::Sqlite, tenant);
    for fragment in [COLUMNS, WITH_DETAIL, NO_CLIENT_KEY, " FROM assets a", JOINS, TIES] {
        builder.push(fragment);
    }
    builder.bind(" AND a.id = ?", args![id.to_db()]);
    builder.finish()
}

#[cfg(test)]
/// Every order both ways with every filter alone and with all of them, from the start and from a position, few and many,
/// and the counts: prepared by a test on both engines, which fails where a lead cannot use the index it names.
pub(crate) fn examples(engine: Engine) -> Vec<String> {
    use domain::{
        Time,
        asset::AssetType,
        id::{ClientId, IntegrationId, SiteId},
        status::Status,
    };
    let id = uuid::Uuid::nil();
    let none = AssetFilter::default;
    let all = AssetFilter {
        client_id: Some(ClientId::from_uuid(id)),
        site_id: Some(SiteId::from_uuid(id)),
        provider: Some(String::new()),
        integration_id: Some(IntegrationId::from_uuid(id)),
        asset_type: Some(AssetType::Unknown),
        status: Some(Status::Online),
        text: Some("long ab".to_owned()),
        seen_after: Some(Time(0)),
        seen_before: Some(Time(0)),
        os: Some(String::new()),
        needs_reboot: Some(true),
        missing: Some(false),
    };
    let filters = [
        none(),
        AssetFilter { client_id: all.client_id, ..none() },
        AssetFilter { asset_type: all.asset_type, ..none() },
        AssetFilter { status: all.status, ..none() },
        AssetFilter { text: all.text.clone(), ..none() },
        AssetFilter { text: Some("ab".to_owned()), ..none() },
        AssetFilter { seen_before: all.seen_before, ..none() },
        AssetFilter { os: all.os.clone(), ..none() },
        AssetFilter { needs_reboot: Some(true), ..none() },
        AssetFilter { missing: Some(true), ..none() },
        AssetFilter { client_id: None, site_id: None, ..all.clone() },
        AssetFilter { missing: Some(true), ..all.clone() },
        all,
    ];
    let mut found = Vec::new();
    for filter in &filters {
        let mut matching = Matching::of_words(engine, TenantId(1), filter);
        matching.client = filter.client_id.map(TypedId::to_db);
        matching.systems = filter.os.clone();
        found.extend(texts_of(matching));
        // Of whoever may see some clients: of few assets, and of many.
        for are_of_few in [false, true].into_iter().filter(|_| filter.client_id.is_none()) {
            let mut matching = Matching::of_words(engine, TenantId(1), filter);
            matching.clients = Some("[]".to_owned());
            matching.are_of_few = are_of_few;
            matching.systems = filter.os.clone();
            if matching.is_narrow() {
                matching.indexed = None;
            }
            found.extend(texts_of(matching));
        }
    }
    found
}

/// The texts for whoever may see some clients with few assets, asked without a filter.
#[cfg(test)]
pub(crate) fn examples_of_few(engine: Engine) -> Vec<String> {
    let filter = AssetFilter::default();
    let mut matching = Matching::of_words(engine, TenantId(1), &filter);
    matching.clients = Some("[]".to_owned());
    matching.are_of_few = true;
    texts_of(matching)
}

#[cfg(test)]
fn texts_of(mut matching: Matching<'_>) -> Vec<String> {
    use domain::asset::Direction;
    let later = Cursor::read(Some(&Cursor::write(&["1", "1", "1", "1"], "1"))).unwrap_or_default();
    let mut texts = vec![matching.count(matching.lead_to_count(true))];
    texts.extend(matching.ask());
    let is_text = matching.indexed.is_some();
    if matching.ask().is_some() {
        matching.hits = Some(String::new());
        texts.push(matching.count(matching.lead_to_count(false)));
    }
    let ways = if matching.are_of_few { vec![true] } else { vec![false, true] };
    for (sort, are_few) in
        AssetSort::ALL.into_iter().flat_map(|sort| ways.iter().map(move |few| (sort, *few)))
    {
        for direction in [Direction::Ascending, Direction::Descending] {
            for after in [&Cursor::default(), &later] {
                let lead = matching.lead(sort, are_few);
                let order = Order { sort, direction };
                texts.push(matching.page(lead, Words::Tested, order, after, 1));
                if is_text {
                    texts.push(matching.page(Lead::Text, Words::Tested, order, after, 1));
                    let along = matching.lead(sort, false);
                    texts.push(matching.page(along, Words::Window(1), order, after, 1));
                    texts.push(matching.page(along, Words::Among, order, after, 1));
                }
            }
        }
    }
    let composed = |(text, _)| match text {
        Text::Composed(text) => Some(text),
        Text::Declared(_) => None,
    };
    texts.into_iter().filter_map(composed).collect()
}
