//! Sync runs: asked for here, executed by [`RunHandler`] from the job queue.
//!
//! One run of a kind at a time for each integration. A run ended by a crash goes on at the organization it was at, or
//! begins its walk over the account again; a run that looks twice at the same list writes nothing the second time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    Actor, Ctx, Time,
    auth::Permission,
    id::{IntegrationId, SyncRunId},
    page::{Page, PageRequest},
    sync::{RunCounts, RunItem, RunKind, RunState, SyncRun},
};
use provider::{ErrorKind, Problem, ProviderError};
use secrecy::SecretString;
use serde::Deserialize;
pub use store::sync_run::RunFilter;
use store::{
    StoreError,
    integration::Touched,
    job::Job,
    sync_run::{DETAIL_JOB, Ending, LIST_JOB, Progress},
};
use tracing::{info, warn};

use crate::{
    core::{Core, Opened},
    error::{Result, ServiceError, named},
    job::{Handler, JobControl, Outcome},
    schedule::{hour_of, system_ctx},
};

mod detail_pass;
mod list_pass;
mod matching;
mod missing;
mod page;
mod plan;
mod sources;
mod walk;

/// A person waits for these; they come before what the schedule asks for.
const INTERACTIVE: i64 = 10;

/// Runs of the schedule.
const BACKGROUND: i64 = 50;

/// Presence passes take at most one part in so many of the RMM's time.
const PRESENCE_SHARE: u32 = 20;

/// How long ended presence passes are kept.
const KEEP_PRESENCE: Duration = Duration::from_secs(24 * 3_600);

/// Detail passes at once in one process: they take long, and lists need workers too.
pub const DETAIL_PASSES: (&str, usize) = (DETAIL_JOB, 2);

/// How long other ended runs are kept.
const KEEP_RUNS: Duration = Duration::from_secs(90 * 24 * 3_600);

/// The use cases of sync runs.
#[derive(Clone)]
pub struct Syncs {
    core: Core,
}

impl Syncs {
    pub(crate) fn new(core: Core) -> Self {
        Syncs { core }
    }

    /// Asks for a run. One of the same kind that waits or works already is answered instead.
    pub async fn request(
        &self,
        ctx: &Ctx,
        integration: IntegrationId,
        kind: RunKind,
        preview: bool,
    ) -> Result<SyncRun> {
        ctx.require(Permission::SystemSettings)?;
        let tenant = self.core.store.tenant(ctx);
        let found = tenant.integrations().get(integration).await.map_err(named("integration"))?;
        if !found.is_active {
            return Err(ServiceError::conflict(
                "disconnected",
                format!("`{}` is disconnected; reconnect it first", found.name),
            ));
        }
        if preview && kind != RunKind::Devices {
            return Err(ServiceError::invalid(
                "preview",
                "no_preview",
                "only a sync of devices has a preview",
            ));
        }
        let priority = match ctx.actor.kind {
            domain::ActorKind::System => BACKGROUND,
            _ => INTERACTIVE,
        };
        let run = tenant.sync_runs().request(integration, kind, preview, priority).await?;
        if run.preview != preview {
            let other = if run.preview { "a preview" } else { "a sync" };
            return Err(ServiceError::conflict(
                "sync_running",
                format!("{other} of this integration is at work; wait until it ends, or cancel it"),
            ));
        }
        Ok(run)
    }

    /// A page, newest first.
    pub async fn list(&self, ctx: &Ctx, filter: RunFilter, page: PageRequest) -> Result<Page<SyncRun>> {
        ctx.require(Permission::IntegrationsRead)?;
        Ok(self.core.store.tenant(ctx).sync_runs().list(&filter, &page).await?)
    }

    /// One run.
    pub async fn get(&self, ctx: &Ctx, id: SyncRunId) -> Result<SyncRun> {
        ctx.require(Permission::IntegrationsRead)?;
        self.core.store.tenant(ctx).sync_runs().get(id).await.map_err(named("sync run"))
    }

    /// Failed rows, or in a preview what would change.
    pub async fn items(&self, ctx: &Ctx, id: SyncRunId, page: PageRequest) -> Result<Page<RunItem>> {
        self.get(ctx, id).await?;
        Ok(self.core.store.tenant(ctx).sync_runs().items(id, &page).await?)
    }

    /// Asks a run to stop.
    pub async fn cancel(&self, ctx: &Ctx, id: SyncRunId) -> Result<SyncRun> {
        ctx.require(Permission::SystemSettings)?;
        self.core.store.tenant(ctx).sync_runs().cancel(id).await.map_err(named("sync run"))
    }

    /// The earliest time for the next scheduled run of a kind, by what the last one cost the RMM.
    pub(crate) async fn earliest_next(&self, ctx: &Ctx, id: IntegrationId, kind: RunKind) -> Result<Time> {
        let filter =
            RunFilter { integration_id: Some(id), kind: Some(kind), state: Some(RunState::Succeeded) };
        let page = PageRequest { limit: 1, cursor: None };
        let last = self.core.store.tenant(ctx).sync_runs().list(&filter, &page).await?.items.pop();
        let took = last.and_then(|run| Some(run.ended_at?.since(run.started_at?)));
        Ok(ctx.now + took.unwrap_or_default() * PRESENCE_SHARE)
    }
}

/// Executes the sync runs of one kind of job.
pub struct RunHandler {
    core: Core,
    job_kind: &'static str,
}

#[derive(Deserialize)]
struct Payload {
    run_id: SyncRunId,
}

/// Why a pass did not come to its end.
pub(crate) enum Stopped {
    /// A person asked for it, or someone else executes the run now.
    Stale,
    /// The process shuts down: what is done is kept.
    Stopping,
    /// The RMM's problem.
    Provider(ProviderError),
    /// Ours.
    Other(ServiceError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stale => Stopped::Stale,
            other => Stopped::Other(other.into()),
        }
    }
}

impl From<ServiceError> for Stopped {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Provider(error) => Stopped::Provider(*error),
            other => Stopped::Other(other),
        }
    }
}

impl From<ProviderError> for Stopped {
    fn from(error: ProviderError) -> Self {
        Stopped::Provider(error)
    }
}

/// A run at work: its context and what it counted so far.
pub(crate) struct Work<'a> {
    pub(crate) core: &'a Core,
    pub(crate) ctx: Ctx,
    pub(crate) run: SyncRun,
    pub(crate) counts: RunCounts,
    pub(crate) control: &'a JobControl,
    /// Devices that a walk met, also of organizations that are not synced.
    pub(crate) met: u64,
    /// The token it works with, to know a newer one.
    token: Option<SecretString>,
    /// The name of that token and how long a use makes it live.
    token_life: Option<(&'static str, Duration)>,
}

impl Work<'_> {
    /// The same tenant now: a run takes minutes, and each page has the time of its own look.
    pub(crate) fn now(&self) -> Ctx {
        self.ctx.at(self.core.clock.now())
    }

    /// Opens the run's integration, signed in where that is needed.
    pub(crate) async fn open(&mut self) -> std::result::Result<Opened, Stopped> {
        let opened = self.core.open_signed_in(&self.now(), self.run.integration_id).await?;
        self.token = opened.connection.token.clone();
        self.token_life = opened.token_life();
        Ok(opened)
    }

    pub(crate) fn go_on(&self) -> std::result::Result<(), Stopped> {
        if self.control.is_stopping() { Err(Stopped::Stopping) } else { Ok(()) }
    }

    pub(crate) fn progress(&self, stage: impl Into<String>, done: u64, total: Option<u64>) -> Progress {
        Progress {
            stage: stage.into(),
            done,
            total,
            cursor_state: None,
            counts: self.counts.clone(),
            organization_done: false,
        }
    }

    /// Keeps where the run stands, so that later notes do not set it back.
    pub(crate) fn reached(&mut self, progress: &Progress) {
        self.run.done = progress.done;
        self.run.total = progress.total;
    }

    pub(crate) async fn note(
        &self,
        stage: &str,
        done: u64,
        total: Option<u64>,
    ) -> std::result::Result<(), Stopped> {
        let ctx = self.now();
        let progress = self.progress(stage, done, total);
        Ok(self.core.store.tenant(&ctx).sync_runs().note(self.run.id, &progress).await?)
    }

    pub(crate) async fn add_items(&self, items: &[RunItem]) -> std::result::Result<(), Stopped> {
        Ok(self.core.store.tenant(&self.ctx).sync_runs().add_items(self.run.id, items).await?)
    }
}

#[async_trait]
impl Handler for RunHandler {
    fn kind(&self) -> &'static str {
        self.job_kind
    }

    async fn run(&self, job: &Job, control: &JobControl) -> Outcome {
        let Ok(payload) = serde_json::from_str::<Payload>(&job.payload) else {
            return Outcome::Dead { error: "the payload is not a sync run".to_owned() };
        };
        let ctx = system_ctx(job.tenant, self.core.clock.now());
        let run = match self.core.store.tenant(&ctx).sync_runs().start(payload.run_id).await {
            Ok(Some(run)) => run,
            Ok(None) | Err(StoreError::NotFound) => return Outcome::Done,
            Err(error) => return Outcome::retry(job, error.to_string()),
        };
        let counts = run.counts.clone();
        let mut work =
            Work { core: &self.core, ctx, run, counts, control, met: 0, token: None, token_life: None };
        if work.run.cancel_requested {
            return self.end(job, &work, RunState::Cancelled, None).await;
        }
        let result = match work.run.kind {
            RunKind::Organizations => list_pass::organizations(&mut work).await,
            RunKind::Devices | RunKind::Presence => list_pass::devices(&mut work).await,
            RunKind::Details => detail_pass::details(&mut work).await,
        };
        let result = match result {
            Ok(()) => matching::look(&mut work).await,
            stopped => stopped,
        };
        self.settle(job, work, result).await
    }
}

impl RunHandler {
    /// Handlers over the shared core, one for each kind of job.
    pub(crate) fn all(core: &Core) -> Vec<Arc<dyn Handler>> {
        [LIST_JOB, DETAIL_JOB]
            .into_iter()
            .map(|job_kind| Arc::new(RunHandler { core: core.clone(), job_kind }) as Arc<dyn Handler>)
            .collect()
    }

    async fn settle(&self, job: &Job, work: Work<'_>, result: std::result::Result<(), Stopped>) -> Outcome {
        match result {
            Ok(()) => self.succeed(job, &work).await,
            Err(Stopped::Stopping) => Outcome::GiveBack,
            Err(Stopped::Stale) => self.stop(job, &work).await,
            Err(Stopped::Provider(error)) => self.provider_failed(job, &work, error).await,
            // Disconnected or removed in the meantime: nothing to try again.
            Err(Stopped::Other(ServiceError::Conflict { code: code @ "disconnected", message })) => {
                let problem = Problem::new(code, message, "Start the sync again when that is settled.");
                self.end(job, &work, RunState::Failed, Some(&problem)).await
            }
            Err(Stopped::Other(error)) => {
                warn!(run.id = %work.run.id, error = &error as &dyn std::error::Error, "sync run `{}` stopped", work.run.id);
                if job.attempt < job.max_attempts {
                    return Outcome::retry(job, error.to_string());
                }
                let problem = Problem::new(
                    "internal",
                    "The run stopped at an internal error.",
                    "See the server's log, then start it again.",
                );
                self.end(job, &work, RunState::Failed, Some(&problem)).await
            }
        }
    }

    async fn succeed(&self, job: &Job, work: &Work<'_>) -> Outcome {
        let run = &work.run;
        let ctx = work.now();
        let tenant = self.core.store.tenant(&ctx);
        if work.counts.read == 0 && work.met == 0 && work.counts.incomplete > 0 {
            return self.end(job, work, RunState::Failed, Some(&nothing_read())).await;
        }
        let whole = work.counts.failed == 0 && work.counts.incomplete == 0;
        let state = if whole { RunState::Succeeded } else { RunState::Partial };
        let touched = match run.kind {
            RunKind::Organizations => Touched::Organizations,
            RunKind::Devices => Touched::Devices,
            RunKind::Presence => Touched::Presence,
            RunKind::Details => Touched::Details,
        };
        if !run.preview {
            let connected = domain::integration::ConnectionState::Connected;
            let noted = async {
                tenant.integrations().touch(run.integration_id, touched, ctx.now).await?;
                tenant.integrations().set_state(run.integration_id, connected, None, None).await?;
                if let Some((name, life)) = work.token_life {
                    // The RMM took it, and not before the run began.
                    let (used_at, until) = (work.ctx.now, work.ctx.now + life);
                    tenant.integrations().extend_token(run.integration_id, name, used_at, until).await?;
                }
                let keep = if run.kind == RunKind::Presence { KEEP_PRESENCE } else { KEEP_RUNS };
                tenant.sync_runs().prune(run.integration_id, run.kind, ctx.now - keep).await?;
                self.details_if_due(&ctx, run).await
            };
            if let Err(error) = noted.await {
                return Outcome::retry(job, error.to_string());
            }
        }
        self.end(job, work, state, None).await
    }

    /// After a list pass, the detail pass for what is new or changed.
    async fn details_if_due(&self, ctx: &Ctx, run: &SyncRun) -> std::result::Result<(), StoreError> {
        if !matches!(run.kind, RunKind::Devices | RunKind::Presence) {
            return Ok(());
        }
        let tenant = self.core.store.tenant(ctx);
        let is_scheduled = run.requested_by == Actor::system().name;
        let quiet_hours = tenant.integrations().get(run.integration_id).await?.settings.quiet_hours;
        if is_scheduled && quiet_hours.contains(&hour_of(ctx.now)) {
            return Ok(());
        }
        if tenant.details().count_due(run.integration_id).await? > 0 {
            tenant.sync_runs().request(run.integration_id, RunKind::Details, false, BACKGROUND).await?;
        }
        Ok(())
    }

    /// The run shall not go on: cancelled by a person, or executed by someone else by now.
    async fn stop(&self, job: &Job, work: &Work<'_>) -> Outcome {
        let ctx = work.now();
        match self.core.store.tenant(&ctx).sync_runs().get(work.run.id).await {
            Ok(run) if run.cancel_requested && !run.state.is_over() => {
                self.end(job, work, RunState::Cancelled, None).await
            }
            Ok(_) | Err(StoreError::NotFound) => Outcome::Done,
            Err(error) => Outcome::retry(job, error.to_string()),
        }
    }

    async fn provider_failed(&self, job: &Job, work: &Work<'_>, error: ProviderError) -> Outcome {
        let ctx = work.now();
        let run = &work.run;
        let error = match self.renew_token(&ctx, job, work, error).await {
            Ok(outcome) => return outcome,
            Err(error) => error,
        };
        self.core.note_failure(&ctx, run.integration_id, &error).await;
        warn!(run.id = %run.id, code = %error.problem.code, error = &error as &dyn std::error::Error, "sync run `{}` stopped at the RMM", run.id);
        // A presence pass comes again soon anyway. What only a person can mend is not tried again.
        let again = error.kind.is_transient()
            && run.kind != RunKind::Presence
            && job.attempt < job.max_attempts.min(4);
        if !again {
            return self.end(job, work, RunState::Failed, Some(&error.problem)).await;
        }
        let stage = format!("waiting to try again: {}", error.problem.message);
        match work.note(&stage, run.done, run.total).await {
            Err(Stopped::Stale) => self.stop(job, work).await,
            _ => match error.retry_after() {
                Some(after) => Outcome::Retry { after, error: error.problem.code },
                None => Outcome::retry(job, error.problem.code),
            },
        }
    }

    /// A token that died is replaced where that needs nobody; the run then goes on where it was.
    async fn renew_token(
        &self,
        ctx: &Ctx,
        job: &Job,
        work: &Work<'_>,
        error: ProviderError,
    ) -> std::result::Result<Outcome, ProviderError> {
        if error.kind != ErrorKind::Unauthorized || job.attempt >= job.max_attempts {
            return Err(error);
        }
        let opened = match self.core.open(ctx, work.run.integration_id).await {
            Ok(opened) if opened.needs_sign_in() => opened,
            _ => return Err(error),
        };
        if opened.has_other_token_than(work.token.as_ref()) {
            return Ok(Outcome::Retry { after: Duration::ZERO, error: error.problem.code });
        }
        // One that was made for this run and is refused as well: another would fare no better.
        let made_at = opened.token_times.map(|(set_at, _)| set_at);
        if made_at.zip(work.run.started_at).is_some_and(|(made, started)| made >= started) {
            return Err(error);
        }
        match self.core.sign_in(ctx, opened, None).await {
            Ok(_) => Ok(Outcome::Retry { after: Duration::ZERO, error: error.problem.code }),
            Err(ServiceError::Provider(newer)) => Err(*newer),
            Err(_) => Err(error),
        }
    }

    async fn end(&self, job: &Job, work: &Work<'_>, state: RunState, problem: Option<&Problem>) -> Outcome {
        let problem = problem.and_then(|problem| serde_json::to_string(problem).ok());
        let ending = Ending { state, counts: work.counts.clone(), problem };
        let ctx = work.now();
        if let Err(error) = self.core.store.tenant(&ctx).sync_runs().end(&work.run, &ending).await {
            return Outcome::retry(job, error.to_string());
        }
        info!(
            run.id = %work.run.id, integration.id = %work.run.integration_id, kind = work.run.kind.name(),
            state = state.name(), read = work.counts.read, created = work.counts.created, updated = work.counts.updated,
            calls = work.counts.calls, "sync run `{}` ended: {}", work.run.id, state.name()
        );
        Outcome::Done
    }
}

/// An error that concerns one organization's answer only: the others may still be read.
pub(crate) fn is_of_one_answer(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Malformed | ErrorKind::NotFound | ErrorKind::Rejected)
}

/// Each list was asked for, and none could be used.
fn nothing_read() -> Problem {
    Problem::new(
        "nothing_read",
        "None of the lists could be read, so nothing was changed.",
        "The items of this run name each list and what was wrong with it. Mend that at the RMM, then sync again.",
    )
}
