//! Sync runs: one row each, with progress, counts and the position to go on from after a crash.

use domain::{
    ActorKind, Time,
    event::kind,
    id::{IntegrationId, SyncRunId, TypedId},
    page::{Page, PageRequest},
    sync::{RunCounts, RunItem, RunKind, RunState, SyncRun},
};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Tenant,
    audit::Act,
    client::bounded_total,
    cursor::{self, Cursor},
    db::{Text, Tx, Value, args},
    error::{Result, StoreError},
    event::{self, EventSource, NewEvent, to_json},
    job::{self, NewJob},
    new_id,
    sql::statements,
};

statements! {
    INSERT = [
        "INSERT INTO sync_runs (tenant_id, id, integration_id, kind, state, preview, requested_by, stage, done, counts, \
         cancel_requested, created_at) VALUES ($1, $2, $3, $4, 'queued', $5, $6, 'waiting', 0, $7, FALSE, $8) \
         ON CONFLICT DO NOTHING"
    ];
    OPEN = [
        "SELECT id, integration_id, kind, state, preview, requested_by, stage, done, total, cursor_state, counts, \
         problem, cancel_requested, created_at, started_at, ended_at FROM sync_runs \
         WHERE tenant_id = $1 AND integration_id = $2 AND kind = $3 AND state IN ('queued', 'running')"
    ];
    GET = [
        "SELECT id, integration_id, kind, state, preview, requested_by, stage, done, total, cursor_state, counts, \
         problem, cancel_requested, created_at, started_at, ended_at FROM sync_runs WHERE tenant_id = $1 AND id = $2"
    ];
    START = [
        "UPDATE sync_runs SET state = 'running', started_at = COALESCE(started_at, $3) \
         WHERE tenant_id = $1 AND id = $2 AND state IN ('queued', 'running')"
    ];
    PROGRESS = [
        "UPDATE sync_runs SET stage = $3, done = $4, total = $5, cursor_state = COALESCE($6, cursor_state), counts = $7 \
         WHERE tenant_id = $1 AND id = $2 AND state = 'running' AND NOT cancel_requested"
    ];
    END = [
        "UPDATE sync_runs SET state = $3, stage = $4, counts = $5, problem = $6, cursor_state = NULL, ended_at = $7 \
         WHERE tenant_id = $1 AND id = $2 AND state IN ('queued', 'running')"
    ];
    CANCEL_QUEUED = [
        "UPDATE sync_runs SET state = 'cancelled', stage = 'cancelled', ended_at = $3, cancel_requested = TRUE \
         WHERE tenant_id = $1 AND id = $2 AND state = 'queued'"
    ];
    // Between two attempts.
    CANCEL_IDLE = [
        "UPDATE sync_runs SET state = 'cancelled', stage = 'cancelled', ended_at = $3, cancel_requested = TRUE, \
         cursor_state = NULL WHERE tenant_id = $1 AND id = $2 AND state = 'running'"
    ];
    CANCEL_RUNNING = [
        "UPDATE sync_runs SET cancel_requested = TRUE WHERE tenant_id = $1 AND id = $2 AND state = 'running'"
    ];
    ADD_ITEMS = [
        "INSERT INTO sync_run_items (tenant_id, run_id, n, action, external_id, name, message) \
         SELECT CAST($2 AS BIGINT), $3, r.n, r.action, r.external_id, r.name, r.message FROM ",
        {rows "$1" n bigint, action text, external_id text, name text, message text},
        " AS r WHERE true ON CONFLICT (tenant_id, run_id, n) DO NOTHING"
    ];
    ITEMS = [
        "SELECT n, action, external_id, name, message FROM sync_run_items \
         WHERE tenant_id = $1 AND run_id = $2 AND n > $3 ORDER BY n LIMIT $4"
    ];
    COUNT_ITEMS = [
        "SELECT COUNT(*) FROM (SELECT 1 FROM sync_run_items WHERE tenant_id = $1 AND run_id = $2 LIMIT 1001) AS found"
    ];
    LAST_ITEM = [
        "SELECT CAST(COALESCE(MAX(n), 0) AS BIGINT) FROM sync_run_items WHERE tenant_id = $1 AND run_id = $2"
    ];
    FORGET_ITEMS = ["DELETE FROM sync_run_items WHERE tenant_id = $1 AND run_id = $2"];
    // A run whose job died with its worker too often would block its kind for ever.
    END_ORPHANS = [
        "UPDATE sync_runs SET state = 'failed', stage = 'failed', ended_at = $2, problem = $3 WHERE tenant_id = $1 \
         AND state IN ('queued', 'running') AND created_at < $4 AND NOT EXISTS (SELECT 1 FROM jobs j \
         WHERE j.dedup_key = 'run:' || sync_runs.id AND j.state <> 'dead') RETURNING id, integration_id"
    ];
    PRUNE_ITEMS = [
        "DELETE FROM sync_run_items WHERE tenant_id = $1 AND run_id IN (SELECT id FROM sync_runs \
         WHERE tenant_id = $1 AND integration_id = $2 AND kind = $3 AND created_at < $4 AND ended_at IS NOT NULL)"
    ];
    PRUNE = [
        "DELETE FROM sync_runs WHERE tenant_id = $1 AND integration_id = $2 AND kind = $3 AND created_at < $4 \
         AND ended_at IS NOT NULL"
    ];
}

const LIST_COLUMNS: &str = "SELECT id, integration_id, kind, state, preview, requested_by, stage, done, total, \
    cursor_state, counts, problem, cancel_requested, created_at, started_at, ended_at FROM sync_runs WHERE tenant_id = $1";

#[derive(FromRow)]
struct RunRow {
    id: String,
    integration_id: String,
    kind: String,
    state: String,
    preview: bool,
    requested_by: String,
    stage: String,
    done: i64,
    total: Option<i64>,
    cursor_state: Option<String>,
    counts: String,
    problem: Option<String>,
    cancel_requested: bool,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

impl RunRow {
    fn into_run(self) -> Result<SyncRun> {
        let corrupt = || StoreError::Corrupt { what: "sync run" };
        Ok(SyncRun {
            id: SyncRunId::from_db(&self.id).map_err(|_| corrupt())?,
            integration_id: IntegrationId::from_db(&self.integration_id).map_err(|_| corrupt())?,
            kind: RunKind::from_name(&self.kind).ok_or_else(corrupt)?,
            state: RunState::from_name(&self.state).ok_or_else(corrupt)?,
            preview: self.preview,
            requested_by: self.requested_by,
            stage: self.stage,
            done: u64::try_from(self.done).unwrap_or(0),
            total: self.total.and_then(|n| u64::try_from(n).ok()),
            cursor_state: self.cursor_state,
            counts: serde_json::from_str(&self.counts).map_err(|_| corrupt())?,
            problem: self.problem,
            cancel_requested: self.cancel_requested,
            created_at: Time(self.created_at),
            started_at: self.started_at.map(Time),
            ended_at: self.ended_at.map(Time),
        })
    }
}

#[derive(FromRow)]
struct ItemRow {
    n: i64,
    action: String,
    external_id: Option<String>,
    name: Option<String>,
    message: String,
}

/// Where a run stands after a step.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What it does right now, for people.
    pub stage: String,
    /// Units done.
    pub done: u64,
    /// Units in all, once known.
    pub total: Option<u64>,
    /// JSON: where to go on after a crash; none keeps what is stored.
    pub cursor_state: Option<String>,
    /// Counts so far.
    pub counts: RunCounts,
    /// The organizations of this page are done: the look at them is complete.
    pub organization_done: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Its last state.
    pub state: RunState,
    /// Last counts.
    pub counts: RunCounts,
    /// JSON: the sentence that stopped it.
    pub problem: Option<String>,
}

/// Which runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter {
    /// Of this integration.
    pub integration_id: Option<IntegrationId>,
    /// Of this kind.
    pub kind: Option<RunKind>,
    /// In this state.
    pub state: Option<RunState>,
}

/// Sync runs of one tenant. They go over many clients: whoever may see only some finds none.
pub struct SyncRuns<'a>(pub(crate) &'a Tenant<'a>);

/// Kind of the job that executes a run of a list.
pub const LIST_JOB: &str = "sync_list";

/// Kind of the job that executes a detail pass: apart, because it takes long and must not keep lists waiting.
pub const DETAIL_JOB: &str = "sync_details";

#[derive(Serialize)]
struct JobPayload {
    run_id: SyncRunId,
}

impl SyncRuns<'_> {
    /// Asks for a run with its job in one transaction. If one of the kind waits or works already, that one is
    /// answered and nothing is added.
    pub async fn request(
        &self,
        integration: IntegrationId,
        kind: RunKind,
        preview: bool,
        priority: i64,
    ) -> Result<SyncRun> {
        let id: SyncRunId = new_id(self.0.now);
        let key = integration.to_db();
        let counts = to_json(&RunCounts::default())?;
        let columns = args![
            self.0.id,
            id.to_db(),
            key.as_str(),
            kind.name(),
            preview,
            self.0.actor.as_str(),
            counts,
            self.0.now
        ];
        let mut tx = self.0.whole()?.begin().await?;
        if tx.run(&INSERT, columns).await? > 0 {
            // Details go on beside the list passes; all else of one integration goes one at a time.
            let lane = if kind == RunKind::Details { DETAIL_JOB } else { LIST_JOB };
            let job = NewJob {
                tenant: self.0.id,
                kind: lane,
                dedup_key: Some(job_key(id)),
                group_key: Some(format!("{lane}:{key}")),
                payload: to_json(&JobPayload { run_id: id })?,
                priority,
                run_at: self.0.now,
                max_attempts: 8,
            };
            job::enqueue(&mut tx, &job, self.0.now).await?;
            // What schedules start was authorised when they were set up.
            if self.0.by.kind != ActorKind::System {
                let act = Act::new("sync.request")
                    .to(id)
                    .with("integration_id", integration.to_string())
                    .with("kind", kind.name())
                    .with("preview", preview);
                self.0.record(&mut tx, act).await?;
            }
            changed(&mut tx, self.0, integration, id).await?;
        }
        let row: RunRow = tx.one(&OPEN, args![self.0.id, key, kind.name()]).await?;
        tx.commit().await?;
        self.0.store.wake.wake();
        row.into_run()
    }

    /// One run.
    pub async fn get(&self, id: SyncRunId) -> Result<SyncRun> {
        self.0.whole_or_nothing()?.one::<RunRow>(&GET, args![self.0.id, id.to_db()]).await?.into_run()
    }

    /// A page, newest first.
    pub async fn list(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<SyncRun>> {
        let after = Cursor::read(page.cursor.as_deref())?;
        if !self.0.clients.is_all() {
            return Ok(Page { items: Vec::new(), next_cursor: None, total: bounded_total(0) });
        }
        let mut text = String::new();
        let mut values = args![self.0.id];
        let mut add = |fragment: &str, value: Value| {
            values.push(value);
            text.push_str(&fragment.replace('?', &format!("${}", values.len())));
        };
        if let Some(id) = filter.integration_id {
            add(" AND integration_id = ?", id.to_db().into());
        }
        if let Some(kind) = filter.kind {
            add(" AND kind = ?", kind.name().into());
        }
        if let Some(state) = filter.state {
            add(" AND state = ?", state.name().into());
        }
        let count = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM sync_runs WHERE tenant_id = $1{text} LIMIT 1001) AS found"
        );
        let mut reads = self.0.whole()?.read().await?;
        let counted: (i64,) = reads.one(Text::Composed(count), values.clone()).await?;
        let n = values.len();
        let (at, id) = if after.is_start() {
            (i64::MAX, String::new())
        } else {
            (after.number(0), after.id().to_owned())
        };
        values.extend(args![at, id, i64::from(page.limit) + 1]);
        let text = format!(
            "{LIST_COLUMNS}{text} AND (created_at, id) < (${}, ${}) ORDER BY created_at DESC, id DESC LIMIT ${}",
            n + 1,
            n + 2,
            n + 3
        );
        let rows: Vec<RunRow> = reads.all(Text::Composed(text), values).await?;
        let next = |row: &RunRow| Cursor::write(&[&row.created_at.to_string()], &row.id);
        let (rows, next_cursor) = cursor::cut(rows, page.limit, next);
        let items = rows.into_iter().map(RunRow::into_run).collect::<Result<_>>()?;
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// Begins or goes on; answers the run, or none if it is over.
    pub async fn start(&self, id: SyncRunId) -> Result<Option<SyncRun>> {
        let mut tx = self.0.whole()?.begin().await?;
        let started = tx.run(&START, args![self.0.id, id.to_db(), self.0.now]).await?;
        let row: RunRow = tx.one(&GET, args![self.0.id, id.to_db()]).await?;
        let run = row.into_run()?;
        if started > 0 {
            changed(&mut tx, self.0, run.integration_id, id).await?;
        }
        tx.commit().await?;
        Ok((started > 0).then_some(run))
    }

    /// Notes progress outside a page. [`StoreError::Stale`] if the run shall not go on.
    pub async fn note(&self, id: SyncRunId, step: &Progress) -> Result<()> {
        let mut tx = self.0.whole()?.begin().await?;
        progress(&mut tx, self.0, id, step).await?;
        tx.commit().await
    }

    /// Ends a run.
    pub async fn end(&self, run: &SyncRun, ending: &Ending) -> Result<()> {
        let stage = ending.state.name();
        let columns = args![
            self.0.id,
            run.id.to_db(),
            ending.state.name(),
            stage,
            to_json(&ending.counts)?,
            ending.problem.clone(),
            self.0.now
        ];
        let mut tx = self.0.whole()?.begin().await?;
        if tx.run(&END, columns).await? > 0 {
            changed(&mut tx, self.0, run.integration_id, run.id).await?;
        }
        tx.commit().await
    }

    /// Asks a run to stop: at once if it waits, for its turn or to try again, and at the next page if a worker is at it.
    pub async fn cancel(&self, id: SyncRunId) -> Result<SyncRun> {
        let key = job_key(id);
        let ended = || args![self.0.id, id.to_db(), self.0.now];
        let mut tx = self.0.whole_or_nothing()?.begin().await?;
        if tx.run(&CANCEL_QUEUED, ended()).await? == 0 {
            // After this no worker can claim it. If one puts it back right now, it finds the run over at its next attempt.
            job::withdraw(&mut tx, self.0.id, &key).await?;
            if job::is_leased(&mut tx, self.0.id, &key).await? {
                tx.run(&CANCEL_RUNNING, args![self.0.id, id.to_db()]).await?;
            } else {
                tx.run(&CANCEL_IDLE, ended()).await?;
            }
        }
        let row: RunRow = tx.one(&GET, args![self.0.id, id.to_db()]).await?;
        let run = row.into_run()?;
        let act = Act::new("sync.cancel").to(id).with("integration_id", run.integration_id.to_string());
        self.0.record(&mut tx, act).await?;
        changed(&mut tx, self.0, run.integration_id, id).await?;
        tx.commit().await?;
        Ok(run)
    }

    /// Adds items; their numbers go on from the last.
    pub async fn add_items(&self, id: SyncRunId, items: &[RunItem]) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let mut tx = self.0.whole()?.begin().await?;
        let (last,): (i64,) = tx.one(&LAST_ITEM, args![self.0.id, id.to_db()]).await?;
        let numbered: Vec<RunItem> =
            items.iter().zip(last + 1..).map(|(item, n)| RunItem { n, ..item.clone() }).collect();
        tx.run(&ADD_ITEMS, args![to_json(&numbered)?, self.0.id, id.to_db()]).await?;
        tx.commit().await
    }

    /// Forgets the items of a run that begins again: it will tell them anew.
    pub async fn forget_items(&self, id: SyncRunId) -> Result<()> {
        self.0.whole()?.write(&FORGET_ITEMS, args![self.0.id, id.to_db()]).await.map(drop)
    }

    /// A page of items.
    pub async fn items(&self, id: SyncRunId, page: &PageRequest) -> Result<Page<RunItem>> {
        let after = Cursor::read(page.cursor.as_deref())?;
        let columns = args![self.0.id, id.to_db(), after.number(0), i64::from(page.limit) + 1];
        let mut reads = self.0.whole_or_nothing()?.read().await?;
        let rows: Vec<ItemRow> = reads.all(&ITEMS, columns).await?;
        let counted: (i64,) = reads.one(&COUNT_ITEMS, args![self.0.id, id.to_db()]).await?;
        let (rows, next_cursor) =
            cursor::cut(rows, page.limit, |row| Cursor::write(&[&row.n.to_string()], "item"));
        let items = rows
            .into_iter()
            .map(|row| RunItem {
                n: row.n,
                action: row.action,
                external_id: row.external_id,
                name: row.name,
                message: row.message,
            })
            .collect();
        Ok(Page { items, next_cursor, total: bounded_total(counted.0) })
    }

    /// Ends runs from before `before` whose job is gone or dead. Answers how many.
    pub async fn end_orphans(&self, before: Time, problem: &str) -> Result<u64> {
        let mut tx = self.0.whole()?.begin().await?;
        let columns = args![self.0.id, self.0.now, problem, before];
        let ended: Vec<(String, String)> = tx.all(&END_ORPHANS, columns).await?;
        let events: Vec<NewEvent> = ended
            .iter()
            .filter_map(|(id, _)| SyncRunId::from_db(id).ok())
            .map(|id| NewEvent::new(kind::SYNC_RUN_CHANGED, id))
            .collect();
        event::insert(&mut tx, self.0.id, self.0.now, EventSource::default(), &events).await?;
        tx.commit().await?;
        Ok(ended.len() as u64)
    }

    /// Forgets ended runs of a kind from before `before`.
    pub async fn prune(&self, integration: IntegrationId, kind: RunKind, before: Time) -> Result<()> {
        let columns = || args![self.0.id, integration.to_db(), kind.name(), before];
        let mut tx = self.0.whole()?.begin().await?;
        tx.run(&PRUNE_ITEMS, columns()).await?;
        tx.run(&PRUNE, columns()).await?;
        tx.commit().await
    }
}

/// The key of a run's job: while it waits there is no second one.
fn job_key(id: SyncRunId) -> String {
    format!("run:{}", id.to_db())
}

/// Notes progress in the caller's transaction. [`StoreError::Stale`] if the run shall not go on.
pub(crate) async fn progress(tx: &mut Tx, tenant: &Tenant<'_>, id: SyncRunId, step: &Progress) -> Result<()> {
    let columns = args![
        tenant.id,
        id.to_db(),
        step.stage.as_str(),
        step.done,
        step.total.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        step.cursor_state.clone(),
        to_json(&step.counts)?
    ];
    if tx.run(&PROGRESS, columns).await? == 0 { Err(StoreError::Stale) } else { Ok(()) }
}

async fn changed(tx: &mut Tx, tenant: &Tenant<'_>, integration: IntegrationId, id: SyncRunId) -> Result<()> {
    let source = EventSource { integration: Some(integration), run: Some(id) };
    event::insert(tx, tenant.id, tenant.now, source, &[NewEvent::new(kind::SYNC_RUN_CHANGED, id)]).await
}
