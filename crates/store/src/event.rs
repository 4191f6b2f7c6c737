//! Events: written in the transaction of what happened, read in the order of commits.

use domain::{
    Time,
    event::Event,
    id::{AssetId, ClientId, IntegrationId, SyncRunId, TenantId, TypedId},
    page::Total,
    scope::ClientScope,
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Store, Tenant,
    client::bounded_total,
    db::{Engine, Tx, args},
    error::{Result, StoreError},
    sql::statements,
};

statements! {
    // Identities are given before the commit. Two transactions could commit in the other order, and a reader that
    // goes on after the last number would miss one. So writers of events of one tenant commit in turn. The commit is told
    // to all nodes.
    LOCK = [{engine "SELECT $1" "SELECT CAST(1 AS BIGINT) FROM (SELECT pg_advisory_xact_lock(4711, CAST($1 AS INT)), \
        pg_notify('fleetgate_events', '')) AS held"}];
    INSERT = [
        "INSERT INTO events (tenant_id, at, kind, subject_id, integration_id, run_id, data) \
         SELECT CAST($2 AS BIGINT), CAST($3 AS BIGINT), r.kind, r.subject_id, $4, $5, r.data FROM ",
        {rows "$1" kind text, subject_id text, data text}, " AS r"
    ];
    SINCE = [
        "SELECT seq, at, kind, subject_id, integration_id, data FROM events \
         WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
    ];
    // The same of whoever may see only some clients: events of others are read past, so that nobody looks at them twice.
    SINCE_WITHIN = [
        "SELECT seq, at, kind, subject_id, integration_id, data, CAST(CASE substr(subject_id, 1, 4) \
         WHEN 'ast_' THEN CASE WHEN EXISTS (SELECT 1 FROM assets a WHERE a.tenant_id = events.tenant_id \
             AND a.id = substr(events.subject_id, 5) AND ", {within "$4" "a.client_id"}, ") \
             OR EXISTS (SELECT 1 FROM asset_merges g JOIN assets a ON a.tenant_id = g.tenant_id \
             AND a.id = g.kept_asset_id WHERE g.tenant_id = events.tenant_id \
             AND g.asset_id = substr(events.subject_id, 5) AND ", {within "$4" "a.client_id"}, ") THEN 1 ELSE 0 END \
         WHEN 'cli_' THEN CASE WHEN ", {within "$4" "substr(events.subject_id, 5)"}, " THEN 1 ELSE 0 END \
         WHEN 'org_' THEN CASE WHEN EXISTS (SELECT 1 FROM rmm_organization_mappings o \
             WHERE o.tenant_id = events.tenant_id AND o.id = substr(events.subject_id, 5) AND ",
        {within "$4" "o.client_id"}, ") THEN 1 ELSE 0 END \
         WHEN 'pro_' THEN CASE WHEN EXISTS (SELECT 1 FROM asset_proposals p \
             JOIN rmm_devices d ON d.tenant_id = p.tenant_id AND d.id = p.device_id \
             JOIN rmm_devices o ON o.tenant_id = p.tenant_id AND o.id = p.other_device_id \
             JOIN assets a ON a.tenant_id = p.tenant_id AND a.id = d.asset_id \
             JOIN assets b ON b.tenant_id = p.tenant_id AND b.id = o.asset_id \
             WHERE p.tenant_id = events.tenant_id AND p.id = substr(events.subject_id, 5) AND ",
        {within "$4" "a.client_id"}, " AND ", {within "$4" "b.client_id"}, ") THEN 1 ELSE 0 END \
         ELSE 0 END AS BIGINT) AS is_inside \
         FROM events WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
    ];
    CLIENT_OF_ASSET = ["SELECT client_id, id FROM assets WHERE tenant_id = $1 AND id = $2"];
    LAST = ["SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) FROM events WHERE tenant_id = $1"];
    COUNT_OF_SUBJECTS = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE tenant_id = $1 AND subject_id IN ", {list "$2"},
        " LIMIT 1001) AS found"
    ];
    OF_SUBJECTS = [
        "SELECT seq, at, kind, subject_id, integration_id, data FROM events WHERE tenant_id = $1 AND subject_id IN ",
        {list "$2"}, " AND seq < $3 ORDER BY seq DESC LIMIT $4"
    ];
}

/// Something that happened, to be written with its cause.
#[derive(Clone, Debug, Serialize)]
pub struct NewEvent {
    /// What, see [`domain::event::kind`].
    pub kind: &'static str,
    /// To whom: the id with its prefix.
    pub subject_id: String,
    /// JSON, small.
    pub data: Option<String>,
}

impl NewEvent {
    /// An event without data.
    pub fn new(kind: &'static str, subject: impl ToString) -> NewEvent {
        NewEvent { kind, subject_id: subject.to_string(), data: None }
    }

    /// Adds what changed.
    #[must_use]
    pub fn with(mut self, data: &impl Serialize) -> NewEvent {
        self.data = serde_json::to_string(data).ok();
        self
    }
}

/// Through which integration and run events came.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventSource {
    /// The integration.
    pub integration: Option<IntegrationId>,
    /// The run.
    pub run: Option<SyncRunId>,
}

/// Writes events at the end of a transaction: on PostgreSQL it takes the tenant's turn until the commit.
pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    at: Time,
    source: EventSource,
    events: &[NewEvent],
) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    if tx.engine() == Engine::Postgres {
        tx.one::<(i64,)>(&LOCK, args![tenant]).await?;
    }
    tx.has_events();
    let rows = to_json(events)?;
    let integration = source.integration.map(TypedId::to_db);
    tx.run(&INSERT, args![rows, tenant, at, integration, source.run.map(TypedId::to_db)]).await?;
    Ok(())
}

impl Store {
    /// Waits until somebody commits events of any tenant, on any node.
    pub async fn events_committed(&self) {
        self.before_tenant().events_committed().await;
    }
}

/// JSON of rows for a statement.
pub(crate) fn to_json(rows: &(impl Serialize + ?Sized)) -> Result<String> {
    serde_json::to_string(rows).map_err(|error| StoreError::Unavailable(Box::new(error)))
}

#[derive(FromRow)]
struct EventRow {
    seq: i64,
    at: i64,
    kind: String,
    subject_id: String,
    integration_id: Option<String>,
    data: Option<String>,
}

impl EventRow {
    /// The event as whoever sees these clients may know it.
    fn into_event(self, clients: &ClientScope) -> Event {
        let data = self.data.and_then(|text| serde_json::from_str(&text).ok());
        Event {
            seq: self.seq,
            at: Time(self.at),
            kind: self.kind,
            subject_id: self.subject_id,
            integration_id: self.integration_id.and_then(|id| IntegrationId::from_db(&id).ok()),
            data: if clients.is_all() { data } else { data.map(|data| without_outside(data, clients)) },
        }
    }
}

fn subjects(asset: AssetId, merged: &[AssetId]) -> Result<String> {
    to_json(&std::iter::once(&asset).chain(merged).map(ToString::to_string).collect::<Vec<_>>())
}

/// Events of a row, and whether it is inside.
#[derive(FromRow)]
struct InsideRow {
    #[sqlx(flatten)]
    event: EventRow,
    is_inside: i64,
}

/// What of an event's data leads elsewhere: where a machine came from or went, and into what a client was merged.
/// Organizations are left out altogether, as they may be of any client.
fn without_outside(data: serde_json::Value, clients: &ClientScope) -> serde_json::Value {
    let serde_json::Value::Object(mut fields) = data else { return data };
    fields.retain(|name, value| match name.as_str() {
        "from_client" | "to_client" | "merged_into" => {
            let client = value.as_str().and_then(|id| id.parse().ok());
            client.is_some_and(|client: ClientId| clients.has(client))
        }
        "from_organization" | "to_organization" | "note" => false,
        _ => true,
    });
    serde_json::Value::Object(fields)
}

/// Events that were read.
#[derive(Clone, Debug, PartialEq)]
pub struct EventsRead {
    /// Those that whoever asks may see, oldest first.
    pub events: Vec<Event>,
    /// How far it was read: go on after this.
    pub until: i64,
}

/// Events of one tenant.
pub struct Events<'a>(pub(crate) &'a Tenant<'a>);

impl Events<'_> {
    /// At most `limit` events after `seq`. Of whoever may see only some clients: those about clients, assets, organizations
    /// and proposals of these, as they belong now.
    pub async fn since(&self, seq: i64, limit: u32) -> Result<EventsRead> {
        let clients = &self.0.clients;
        let rows: Vec<InsideRow> = match self.0.within()? {
            None => {
                let rows: Vec<EventRow> = self.0.db().all(&SINCE, args![self.0.id, seq, limit]).await?;
                rows.into_iter().map(|event| InsideRow { event, is_inside: 1 }).collect()
            }
            Some(list) => self.0.db().all(&SINCE_WITHIN, args![self.0.id, seq, limit, list]).await?,
        };
        let until = rows.last().map_or(seq, |row| row.event.seq);
        let inside = rows.into_iter().filter(|row| row.is_inside == 1);
        Ok(EventsRead { events: inside.map(|row| row.event.into_event(clients)).collect(), until })
    }

    /// Number of the newest event; 0 without any.
    pub async fn last_seq(&self) -> Result<i64> {
        Ok(self.0.db().one::<(i64,)>(&LAST, args![self.0.id]).await?.0)
    }

    /// How many events an asset has, counted up to a thousand; those of the assets that are part of it are its own.
    pub async fn count_of_asset(&self, asset: AssetId, merged: &[AssetId]) -> Result<Total> {
        self.check(asset).await?;
        let values = args![self.0.id, subjects(asset, merged)?];
        let (n,): (i64,) = self.0.db().one(&COUNT_OF_SUBJECTS, values).await?;
        Ok(bounded_total(n))
    }

    /// Events of an asset, and of the assets that are part of it, before `seq`, newest first.
    pub async fn of_asset(
        &self,
        asset: AssetId,
        merged: &[AssetId],
        before: i64,
        limit: u32,
    ) -> Result<Vec<Event>> {
        self.check(asset).await?;
        let values = args![self.0.id, subjects(asset, merged)?, before, limit];
        let rows: Vec<EventRow> = self.0.db().all(&OF_SUBJECTS, values).await?;
        Ok(rows.into_iter().map(|row| row.into_event(&self.0.clients)).collect())
    }

    /// An asset of a client outside is not found.
    async fn check(&self, asset: AssetId) -> Result<()> {
        if self.0.clients.is_all() {
            return Ok(());
        }
        let (client, _): (String, String) =
            self.0.db().one(&CLIENT_OF_ASSET, args![self.0.id, asset.to_db()]).await?;
        self.0.sees_owner(Some(&client))
    }
}
