//! Events: written in the transaction of what happened, read in the order of commits.

use domain::{
    Time,
    event::Event,
    id::{IntegrationId, SyncRunId, TenantId, TypedId},
    page::Total,
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Tenant,
    client::bounded_total,
    db::{Engine, Tx, args},
    error::{Result, StoreError},
    sql::statements,
};

statements! {
    // Identities are given before the commit. Two transactions could commit in the other order, and a reader that
    // goes on after the last number would miss one. So writers of events of one tenant commit in turn.
    LOCK = [{engine "SELECT $1" "SELECT CAST(1 AS BIGINT) FROM (SELECT pg_advisory_xact_lock(4711, CAST($1 AS INT))) AS held"}];
    INSERT = [
        "INSERT INTO events (tenant_id, at, kind, subject_id, integration_id, run_id, data) \
         SELECT CAST($2 AS BIGINT), CAST($3 AS BIGINT), r.kind, r.subject_id, $4, $5, r.data FROM ",
        {rows "$1" kind text, subject_id text, data text}, " AS r"
    ];
    SINCE = [
        "SELECT seq, at, kind, subject_id, integration_id, data FROM events \
         WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
    ];
    LAST = ["SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) FROM events WHERE tenant_id = $1"];
    COUNT_OF_SUBJECT = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE tenant_id = $1 AND subject_id = $2 LIMIT 1001) AS found"
    ];
    OF_SUBJECT = [
        "SELECT seq, at, kind, subject_id, integration_id, data FROM events \
         WHERE tenant_id = $1 AND subject_id = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4"
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
    let rows = to_json(events)?;
    let integration = source.integration.map(TypedId::to_db);
    tx.run(&INSERT, args![rows, tenant, at, integration, source.run.map(TypedId::to_db)]).await?;
    Ok(())
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
    fn into_event(self) -> Event {
        Event {
            seq: self.seq,
            at: Time(self.at),
            kind: self.kind,
            subject_id: self.subject_id,
            integration_id: self.integration_id.and_then(|id| IntegrationId::from_db(&id).ok()),
            data: self.data.and_then(|text| serde_json::from_str(&text).ok()),
        }
    }
}

/// Events of one tenant.
pub struct Events<'a>(pub(crate) &'a Tenant<'a>);

impl Events<'_> {
    /// Events after `seq`, oldest first.
    pub async fn since(&self, seq: i64, limit: u32) -> Result<Vec<Event>> {
        let rows: Vec<EventRow> = self.0.db().all(&SINCE, args![self.0.id, seq, limit]).await?;
        Ok(rows.into_iter().map(EventRow::into_event).collect())
    }

    /// Number of the newest event; 0 without any.
    pub async fn last_seq(&self) -> Result<i64> {
        Ok(self.0.db().one::<(i64,)>(&LAST, args![self.0.id]).await?.0)
    }

    /// How many events one thing has, counted up to a thousand.
    pub async fn count_of_subject(&self, subject: &str) -> Result<Total> {
        let (n,): (i64,) = self.0.db().one(&COUNT_OF_SUBJECT, args![self.0.id, subject]).await?;
        Ok(bounded_total(n))
    }

    /// Events of one thing before `seq`, newest first.
    pub async fn of_subject(&self, subject: &str, before: i64, limit: u32) -> Result<Vec<Event>> {
        let rows: Vec<EventRow> =
            self.0.db().all(&OF_SUBJECT, args![self.0.id, subject, before, limit]).await?;
        Ok(rows.into_iter().map(EventRow::into_event).collect())
    }
}
