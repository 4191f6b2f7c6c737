//! The queue of work that must survive a crash: rows with leases.
//!
//! A job is enqueued in the transaction of the change that causes it. A worker claims it for a while (the lease) and
//! extends the lease as it works; a job whose lease ended can be claimed again, so every job must be safe to run twice.
//! Of a group at most one job runs at a time. A job that failed too often is kept as dead. Waking is a hint: workers
//! look once a second anyway.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use domain::{
    Time,
    id::{JobId, TenantId, TypedId},
};
use sqlx::postgres::PgListener;
use tokio::{sync::Notify, task::JoinHandle};
use tracing::warn;

use crate::{
    Store, Tx,
    db::{Engine, Value, args},
    error::{Result, StoreError},
    new_id, spawn,
    sql::{Sql, statements},
};

/// Longest error text kept with a job, in characters.
const MAX_ERROR_CHARS: usize = 500;

/// The channel on which PostgreSQL tells the nodes of new jobs.
const CHANNEL: &str = "fleetgate_jobs";

/// The channel on which commits with events are told.
const EVENTS: &str = "fleetgate_events";

/// Wait between tries to listen again.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// How often a claim that met another one is repeated at once.
const CLAIM_TRIES: usize = 3;

/// Work to queue.
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// Which handler runs it.
    pub kind: &'a str,
    /// While a job with this key waits, another is not queued.
    pub dedup_key: Option<String>,
    /// At most one job of a group runs at a time.
    pub group_key: Option<String>,
    /// JSON: ids only.
    pub payload: String,
    /// Lower runs first.
    pub priority: i64,
    /// Not before.
    pub run_at: Time,
    /// Tries before it counts as dead.
    pub max_attempts: u32,
}

/// A claimed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose.
    pub tenant: TenantId,
    /// Which handler runs it.
    pub kind: String,
    /// JSON: ids only.
    pub payload: String,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Tries before it counts as dead.
    pub max_attempts: u32,
}

/// Who claims what.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The worker: unique among all nodes.
    pub owner: &'a str,
    /// The kinds it has a handler and room for.
    pub kinds: &'a [&'a str],
    /// At most so many.
    pub most: usize,
    /// For how long, unless extended.
    pub lease: Duration,
}

/// The queue as workers see it. A `false` says that the lease was lost: someone else may run the job by now.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes jobs that are due, the most urgent first.
    async fn claim(&self, claim: &Claim<'_>, now: Time) -> Result<Vec<Job>>;

    /// Keeps the job until `now` and the lease.
    async fn extend(&self, owner: &str, job: JobId, lease: Duration, now: Time) -> Result<bool>;

    /// The job is done: its row goes.
    async fn done(&self, owner: &str, job: JobId) -> Result<bool>;

    /// The job failed and runs again at `run_at`; after its last attempt it is dead.
    async fn retry(&self, owner: &str, job: JobId, run_at: Time, error: &str) -> Result<bool>;

    /// The job failed for good: it is kept as dead.
    async fn bury(&self, owner: &str, job: JobId, error: &str) -> Result<bool>;

    /// The job goes back as it was, this attempt not counted: the worker stops.
    async fn give_back(&self, owner: &str, job: JobId) -> Result<bool>;

    /// Waits until there may be work, or for `most`.
    async fn wait(&self, most: Duration);
}

/// Wakes the workers of this process.
#[derive(Debug, Default)]
pub struct Wake {
    notify: Notify,
}

impl Wake {
    /// There may be work.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits until there may be work, or for `most`.
    async fn wait(&self, most: Duration) {
        let _woken_or_not = tokio::time::timeout(most, self.notify.notified()).await;
    }
}

/// How full the queue is, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFigures {
    /// Jobs that wait, also for their time.
    pub ready: u64,
    /// Jobs at work.
    pub leased: u64,
    /// Jobs that failed for good.
    pub dead: u64,
    /// The earliest time at which a waiting job was or is due.
    pub next_due: Option<Time>,
}

/// Queues a job in the caller's transaction; none if one with the same `dedup_key` waits already. After the commit
/// call [`Store::wake`], or the workers see it up to a second later.
pub(crate) async fn enqueue(tx: &mut Tx, job: &NewJob<'_>, now: Time) -> Result<Option<JobId>> {
    let id: JobId = new_id(now);
    let args = args![
        id.to_db(),
        job.tenant,
        job.kind,
        job.dedup_key.clone(),
        job.group_key.clone(),
        &job.payload,
        job.priority,
        job.run_at,
        job.max_attempts.max(1),
        now,
    ];
    if tx.run(&ENQUEUE, args).await? == 0 {
        return Ok(None);
    }
    if tx.engine() == Engine::Postgres {
        tx.run(&NOTIFY, args![]).await?;
    }
    Ok(Some(id))
}

/// Takes a job that waits out of the queue, in the caller's transaction. One that a worker holds stays.
pub(crate) async fn withdraw(tx: &mut Tx, tenant: TenantId, dedup_key: &str) -> Result<()> {
    tx.run(&WITHDRAW, args![tenant, dedup_key]).await.map(drop)
}

/// Does a worker hold the job with this key?
pub(crate) async fn is_leased(tx: &mut Tx, tenant: TenantId, dedup_key: &str) -> Result<bool> {
    let held: Option<(i64,)> = tx.maybe(&IS_LEASED, args![tenant, dedup_key]).await?;
    Ok(held.is_some())
}

impl Store {
    /// Queues a job in a transaction of its own; none if one with the same `dedup_key` waits already.
    pub async fn enqueue(&self, job: &NewJob<'_>, now: Time) -> Result<Option<JobId>> {
        let mut tx = self.before_tenant().begin().await?;
        let id = enqueue(&mut tx, job, now).await?;
        tx.commit().await?;
        self.wake();
        Ok(id)
    }

    /// Tells the workers of this process that there may be work: after the commit of a transaction that enqueued.
    pub fn wake(&self) {
        self.wake.wake();
    }

    /// How full the queue is.
    pub async fn queue_figures(&self) -> Result<QueueFigures> {
        let rows: Vec<(String, i64, i64)> = self.before_tenant().all(&FIGURES, args![]).await?;
        let by_state: BTreeMap<&str, (u64, i64)> = rows
            .iter()
            .map(|(state, count, first)| (state.as_str(), (u64::try_from(*count).unwrap_or(0), *first)))
            .collect();
        let count = |state| by_state.get(state).map_or(0, |(count, _)| *count);
        Ok(QueueFigures {
            ready: count("ready"),
            leased: count("leased"),
            dead: count("dead"),
            next_due: by_state.get("ready").map(|(_, first)| Time(*first)),
        })
    }

    /// Ends all leases. Only for a process that knows that no other one works on this database: then whoever held them is
    /// gone, and nobody has to wait for the leases to run out.
    pub async fn end_leases(&self) -> Result<u64> {
        self.before_tenant().write(&END_LEASES, vec![]).await
    }

    /// Starts to listen for jobs that other nodes enqueue; none on SQLite, which has no other nodes. The task ends when
    /// the store is closed, or with [`JoinHandle::abort`].
    pub fn listen(&self) -> Option<JoinHandle<()>> {
        self.before_tenant().postgres()?;
        Some(spawn::start(listen(self.clone())))
    }

    /// Jobs whose worker vanished go back, or die if that was the last attempt.
    async fn release_expired(&self, now: Time) -> Result<()> {
        let expired: Vec<(String,)> = self.before_tenant().all(&EXPIRED, args![now]).await?;
        for (id,) in expired {
            warn!(job.id = id, "the lease of job `{id}` ended before its work did");
            self.put_back(&RELEASE, &RELEASE_WITHOUT_KEY, &[id.into(), now.into()]).await?;
        }
        Ok(())
    }

    /// Makes a leased job wait again. While it ran another one with its `dedup_key` may have been queued: then it goes
    /// on without a key.
    async fn put_back(&self, with_key: &Sql, without_key: &Sql, args: &[Value]) -> Result<u64> {
        match self.before_tenant().write(with_key, args.to_vec()).await {
            Err(StoreError::Conflict { .. }) => self.before_tenant().write(without_key, args.to_vec()).await,
            answer => answer,
        }
    }

    async fn has_due(&self, kinds: &str, now: Time) -> Result<bool> {
        let due: Option<(i64,)> = self.before_tenant().maybe(&HAS_DUE, args![now, kinds]).await?;
        Ok(due.is_some())
    }

    async fn try_claim(&self, claim: &Claim<'_>, kinds: &str, now: Time) -> Result<Vec<JobRow>> {
        let mut tx = self.before_tenant().begin().await?;
        let args = args![claim.owner, now + claim.lease, now, claim.most, kinds];
        let rows: Vec<JobRow> = tx.all(&CLAIM, args).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

#[async_trait]
impl Queue for Store {
    async fn claim(&self, claim: &Claim<'_>, now: Time) -> Result<Vec<Job>> {
        let kinds = serde_json::to_string(claim.kinds).expect("texts can be written as JSON");
        self.release_expired(now).await?;
        // An idle worker only reads: it never takes a turn on SQLite's write connection.
        if claim.most == 0 || !self.has_due(&kinds, now).await? {
            return Ok(Vec::new());
        }
        for _ in 0..CLAIM_TRIES {
            match self.try_claim(claim, &kinds, now).await {
                Ok(mut rows) => {
                    rows.sort_by(|a, b| a.order().cmp(&b.order()));
                    return rows.into_iter().map(Job::try_from).collect();
                }
                // PostgreSQL only: another node claimed a job of the same group in the same moment.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    async fn extend(&self, owner: &str, job: JobId, lease: Duration, now: Time) -> Result<bool> {
        let touched = self.before_tenant().write(&EXTEND, args![job.to_db(), owner, now + lease]).await?;
        Ok(touched == 1)
    }

    async fn done(&self, owner: &str, job: JobId) -> Result<bool> {
        let touched = self.before_tenant().write(&DONE, args![job.to_db(), owner]).await?;
        self.wake(); // the group is free
        Ok(touched == 1)
    }

    async fn retry(&self, owner: &str, job: JobId, run_at: Time, error: &str) -> Result<bool> {
        let args = args![job.to_db(), owner, run_at, cut(error)];
        let touched = self.put_back(&RETRY, &RETRY_WITHOUT_KEY, &args).await?;
        self.wake();
        Ok(touched == 1)
    }

    async fn bury(&self, owner: &str, job: JobId, error: &str) -> Result<bool> {
        let touched = self.before_tenant().write(&BURY, args![job.to_db(), owner, cut(error)]).await?;
        self.wake();
        Ok(touched == 1)
    }

    async fn give_back(&self, owner: &str, job: JobId) -> Result<bool> {
        let args = args![job.to_db(), owner];
        let touched = self.put_back(&GIVE_BACK, &GIVE_BACK_WITHOUT_KEY, &args).await?;
        self.wake();
        Ok(touched == 1)
    }

    async fn wait(&self, most: Duration) {
        self.wake.wait(most).await;
    }
}

fn cut(error: &str) -> String {
    error.chars().take(MAX_ERROR_CHARS).collect()
}

/// Wakes the workers and the readers of events of this process whenever a node commits a job or events, until the pool is
/// closed.
async fn listen(store: Store) {
    let Some(pool) = store.before_tenant().postgres() else { return };
    loop {
        match listen_once(&store, pool).await {
            sqlx::Error::PoolClosed => return,
            error => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "listening for jobs and events failed; polling goes on"
                )
            }
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

/// Listens until it fails.
async fn listen_once(store: &Store, pool: &sqlx::PgPool) -> sqlx::Error {
    let mut listener = match PgListener::connect_with(pool).await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    if let Err(error) = listener.listen_all([CHANNEL, EVENTS]).await {
        return error;
    }
    // What was committed before, or while the connection was lost, is found by looking.
    store.wake();
    store.before_tenant().tell_events();
    loop {
        match listener.recv().await {
            Ok(told) if told.channel() == EVENTS => store.before_tenant().tell_events(),
            Ok(_) => store.wake(),
            Err(error) => return error,
        }
    }
}

#[derive(sqlx::FromRow)]
struct JobRow {
    id: String,
    tenant_id: i64,
    kind: String,
    payload: String,
    attempts: i64,
    max_attempts: i64,
    priority: i64,
    run_at: i64,
}

impl JobRow {
    fn order(&self) -> (i64, i64, &str) {
        (self.priority, self.run_at, &self.id)
    }
}

impl TryFrom<JobRow> for Job {
    type Error = StoreError;

    fn try_from(row: JobRow) -> Result<Job> {
        let corrupt = || StoreError::Corrupt { what: "job" };
        Ok(Job {
            id: JobId::from_db(&row.id).map_err(|_| corrupt())?,
            tenant: TenantId(row.tenant_id),
            kind: row.kind,
            payload: row.payload,
            attempt: u32::try_from(row.attempts).map_err(|_| corrupt())?,
            max_attempts: u32::try_from(row.max_attempts).map_err(|_| corrupt())?,
        })
    }
}

statements! {
    ENQUEUE = [
        "INSERT INTO jobs (id, tenant_id, kind, dedup_key, group_key, payload, state, priority, run_at, attempts,
            max_attempts, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'ready', $7, $8, 0, $9, $10)
         ON CONFLICT (dedup_key) WHERE dedup_key IS NOT NULL AND state = 'ready' DO NOTHING"
    ];
    /// Sent when the transaction commits.
    NOTIFY = [{engine "SELECT 1" "SELECT pg_notify('fleetgate_jobs', '')"}];
    HAS_DUE = [
        "SELECT CAST(1 AS BIGINT) FROM jobs
         WHERE state = 'ready' AND run_at <= $1 AND kind IN (SELECT value FROM " {list "$2"} " AS k) LIMIT 1"
    ];
    /// Of each group the first of those that are due and wanted, unless one of the group runs.
    CLAIM = [
        "WITH picked AS MATERIALIZED (
            SELECT j.id FROM jobs AS j
            WHERE j.state = 'ready' AND j.run_at <= $3 AND j.kind IN (SELECT value FROM " {list "$5"} " AS k)
            AND (j.group_key IS NULL OR NOT EXISTS (
                SELECT 1 FROM jobs AS o WHERE o.group_key = j.group_key AND (
                    o.state = 'leased'
                    OR (o.state = 'ready' AND o.run_at <= $3
                        AND o.kind IN (SELECT value FROM " {list "$5"} " AS k)
                        AND (o.priority, o.run_at, o.id) < (j.priority, j.run_at, j.id)))))
            ORDER BY j.priority, j.run_at, j.id LIMIT $4" {engine "" " FOR UPDATE SKIP LOCKED"} "
         )
         UPDATE jobs SET state = 'leased', attempts = attempts + 1, lease_owner = $1, lease_until = $2
         WHERE id IN (SELECT id FROM picked)
         RETURNING id, tenant_id, kind, payload, attempts, max_attempts, priority, run_at"
    ];
    EXTEND = [
        "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"
    ];
    WITHDRAW = ["DELETE FROM jobs WHERE tenant_id = $1 AND dedup_key = $2 AND state = 'ready'"];
    IS_LEASED = [
        "SELECT CAST(1 AS BIGINT) FROM jobs WHERE tenant_id = $1 AND dedup_key = $2 AND state = 'leased' LIMIT 1"
    ];
    DONE = ["DELETE FROM jobs WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"];
    RETRY = [
        "UPDATE jobs SET state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END,
            run_at = $3, last_error = $4, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"
    ];
    RETRY_WITHOUT_KEY = [
        "UPDATE jobs SET state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END, dedup_key = NULL,
            run_at = $3, last_error = $4, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"
    ];
    BURY = [
        "UPDATE jobs SET state = 'dead', last_error = $3, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"
    ];
    GIVE_BACK = [
        "UPDATE jobs SET state = 'ready', attempts = attempts - 1, lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"
    ];
    GIVE_BACK_WITHOUT_KEY = [
        "UPDATE jobs SET state = 'ready', attempts = attempts - 1, dedup_key = NULL, lease_owner = NULL,
            lease_until = NULL
         WHERE id = $1 AND lease_owner = $2 AND state = 'leased'"
    ];
    EXPIRED = ["SELECT id FROM jobs WHERE state = 'leased' AND lease_until <= $1 ORDER BY lease_until LIMIT 100"];
    END_LEASES = ["UPDATE jobs SET lease_until = 0 WHERE state = 'leased'"];
    RELEASE = [
        "UPDATE jobs SET state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END,
            last_error = 'the lease ended before the work did', lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND state = 'leased' AND lease_until <= $2"
    ];
    RELEASE_WITHOUT_KEY = [
        "UPDATE jobs SET state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END, dedup_key = NULL,
            last_error = 'the lease ended before the work did', lease_owner = NULL, lease_until = NULL
         WHERE id = $1 AND state = 'leased' AND lease_until <= $2"
    ];
    FIGURES = [
        "SELECT state, CAST(COUNT(*) AS BIGINT) AS jobs, CAST(MIN(run_at) AS BIGINT) AS first FROM jobs GROUP BY state"
    ];
}

#[cfg(test)]
mod tests;
