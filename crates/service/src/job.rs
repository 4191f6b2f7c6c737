//! Runs queued jobs: claims them under a lease, keeps the lease while they work, and settles how they ended.
//!
//! A job may run twice: after a crash, or when a lease was lost. A handler therefore rereads state and makes steps that
//! can be repeated. A panic counts as a failed attempt. At shutdown running jobs are asked to stop, and those that do
//! not are cut off and given back, with this attempt not counted.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use domain::id::JobId;
use futures::{StreamExt, stream::FuturesUnordered};
use store::{
    Store,
    job::{Claim, Job, Queue},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tracing::{info, warn};

use crate::{
    clock,
    spawn::{self, Task},
};

/// The queue is looked at this often, woken or not.
const POLL: Duration = Duration::from_secs(1);

/// Leases are never extended more often than this.
const MIN_EXTEND: Duration = Duration::from_millis(5);

/// The longest wait between two attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

/// What runs the jobs of one kind.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The kind.
    fn kind(&self) -> &'static str;

    /// Does the work. It may have been done before, in whole or in part.
    async fn run(&self, job: &Job, control: &JobControl) -> Outcome;
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: its row goes.
    Done,
    /// Failed; to be tried again, unless this was the last attempt.
    Retry {
        /// Not before this has passed.
        after: Duration,
        /// Why, for people: kept with the job.
        error: String,
    },
    /// Failed for good: kept as dead.
    Dead {
        /// Why, for people: kept with the job.
        error: String,
    },
    /// Not finished because it was asked to stop: it goes on where it left off, and this attempt does not count.
    GiveBack,
}

impl Outcome {
    /// A failed attempt, to be repeated after the usual wait.
    pub fn retry(job: &Job, error: impl Into<String>) -> Outcome {
        Outcome::Retry { after: backoff(job.attempt, random()), error: error.into() }
    }
}

/// The wait after failed attempt number `attempt`: `random` (0 to 1) of a span that doubles from 2 s up to 10 min.
pub fn backoff(attempt: u32, random: f64) -> Duration {
    let span = Duration::from_secs(2_u64.saturating_pow(attempt.max(1))).min(LONGEST_BACKOFF);
    span.mul_f64(random.clamp(0.0, 1.0))
}

/// Good enough to spread retries: the standard library keys each hasher with its own random numbers.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// What a running job may ask of its runner.
pub struct JobControl {
    queue: Arc<dyn Queue>,
    owner: String,
    job: JobId,
    lease: Duration,
    stop: CancellationToken,
}

impl JobControl {
    /// The control of a job that `owner` has claimed. The runner makes it; so do tests of handlers.
    pub fn new(
        queue: Arc<dyn Queue>,
        owner: &str,
        job: JobId,
        lease: Duration,
        stop: CancellationToken,
    ) -> JobControl {
        JobControl { queue, owner: owner.to_owned(), job, lease, stop }
    }

    /// Extends the lease; `false` if it was lost or nobody can say: then stop, for someone else may be at work. Ask
    /// before a step that must not be made twice at the same time.
    pub async fn still_mine(&self) -> bool {
        let extended = self.queue.extend(&self.owner, self.job, self.lease, clock::now()).await;
        extended.unwrap_or(false)
    }

    /// Is the process shutting down? Then save what is done and return [`Outcome::GiveBack`].
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends when the process begins to shut down: for `select!` around long waits.
    pub fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.stop.cancelled()
    }
}

/// How a [`Runner`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Jobs at the same time.
    pub workers: usize,
    /// How long a claim lasts unless extended; it is extended at each third of this.
    pub lease: Duration,
    /// Jobs of a kind at the same time: so that long ones leave room for others. Kinds not named have no limit.
    pub limits: BTreeMap<&'static str, usize>,
    /// How long running jobs have to give back at shutdown.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            workers: 4,
            lease: Duration::from_secs(60),
            limits: BTreeMap::new(),
            grace: Duration::from_secs(10),
        }
    }
}

/// Claims jobs and lets their handlers run them.
pub struct Runner {
    queue: Arc<dyn Queue>,
    handlers: HashMap<&'static str, Arc<dyn Handler>>,
    room: HashMap<&'static str, Arc<Semaphore>>,
    options: Options,
    owner: String,
}

impl Runner {
    /// A runner for these kinds of job.
    pub fn new(store: Store, handlers: Vec<Arc<dyn Handler>>, options: Options) -> Runner {
        Runner::on(Arc::new(store), handlers, options)
    }

    /// The same on any queue.
    pub fn on(queue: Arc<dyn Queue>, handlers: Vec<Arc<dyn Handler>>, options: Options) -> Runner {
        let owner = format!("{}-{:016x}", std::process::id(), RandomState::new().hash_one(0_u8));
        let handlers: HashMap<_, _> = handlers.into_iter().map(|handler| (handler.kind(), handler)).collect();
        let slots = |kind| {
            options.limits.get(kind).copied().unwrap_or(options.workers).clamp(1, options.workers.max(1))
        };
        let room = handlers.keys().map(|kind| (*kind, Arc::new(Semaphore::new(slots(*kind))))).collect();
        Runner { queue, handlers, room, options, owner }
    }

    /// Starts to work on a task of its own. Cancel `stop` and await the handle to end it.
    pub fn start(self, stop: CancellationToken) -> JoinHandle<()> {
        spawn::start(self.run(stop))
    }

    /// Works until `stop` is cancelled and the running jobs have ended or were given back.
    pub async fn run(self, stop: CancellationToken) {
        let cut_off = CancellationToken::new();
        let mut running: FuturesUnordered<Task<()>> = FuturesUnordered::new();
        while !stop.is_cancelled() {
            self.fill(&mut running, &stop, &cut_off).await;
            let has_room = running.len() < self.options.workers;
            tokio::select! {
                () = stop.cancelled() => {}
                Some(_settled) = running.next() => {}
                () = self.queue.wait(POLL), if has_room => {}
            }
        }
        let all_settled = async { while running.next().await.is_some() {} };
        tokio::pin!(all_settled);
        if tokio::time::timeout(self.options.grace, &mut all_settled).await.is_err() {
            cut_off.cancel();
            all_settled.await;
        }
    }

    /// Claims until there is no room or no work. One at a time, so that each claim knows which kinds have room.
    async fn fill(
        &self,
        running: &mut FuturesUnordered<Task<()>>,
        stop: &CancellationToken,
        cut_off: &CancellationToken,
    ) {
        while running.len() < self.options.workers && !stop.is_cancelled() {
            let kinds: Vec<&str> = self.kinds_with_room();
            let claim = Claim { owner: &self.owner, kinds: &kinds, most: 1, lease: self.options.lease };
            let claimed_at = Instant::now();
            let jobs = match self.queue.claim(&claim, clock::now()).await {
                Ok(jobs) => jobs,
                Err(error) => {
                    warn!(error = &error as &dyn Error, "no job can be claimed; trying again");
                    return;
                }
            };
            let Some(job) = jobs.into_iter().next() else { return };
            match self.attempt(job, claimed_at, stop, cut_off) {
                Some(attempt) => running.push(Task::start(attempt.supervise())),
                None => warn!("a job was claimed for which there is no room; its lease will end"),
            }
        }
    }

    fn kinds_with_room(&self) -> Vec<&'static str> {
        self.room.iter().filter(|(_, room)| room.available_permits() > 0).map(|(kind, _)| *kind).collect()
    }

    fn attempt(
        &self,
        job: Job,
        claimed_at: Instant,
        stop: &CancellationToken,
        cut_off: &CancellationToken,
    ) -> Option<Attempt> {
        let handler = Arc::clone(self.handlers.get(job.kind.as_str())?);
        let slot = Arc::clone(self.room.get(job.kind.as_str())?).try_acquire_owned().ok()?;
        let queue = Arc::clone(&self.queue);
        let control = JobControl::new(queue, &self.owner, job.id, self.options.lease, stop.clone());
        Some(Attempt {
            queue: Arc::clone(&self.queue),
            owner: self.owner.clone(),
            lease: self.options.lease,
            claimed_at,
            cut_off: cut_off.clone(),
            work: Task::start({
                let job = job.clone();
                async move { handler.run(&job, &control).await }
            }),
            job,
            _slot: slot,
        })
    }
}

/// One attempt at a job, and what keeps it alive.
struct Attempt {
    queue: Arc<dyn Queue>,
    owner: String,
    lease: Duration,
    claimed_at: Instant,
    cut_off: CancellationToken,
    work: Task<Outcome>,
    job: Job,
    _slot: OwnedSemaphorePermit,
}

/// Why the supervision of an attempt ended.
enum End {
    Ended(Outcome),
    LeaseLost,
}

impl Attempt {
    async fn supervise(mut self) {
        let started = Instant::now();
        let end = self.watch().await;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (id, kind, attempt) = (self.job.id, &self.job.kind, self.job.attempt);
        match &end {
            End::Ended(Outcome::Done) => {
                info!(job.id = %id, job.kind = kind, attempt, elapsed_ms, "job `{kind}` is done");
            }
            End::Ended(Outcome::GiveBack) => {
                info!(job.id = %id, job.kind = kind, attempt, elapsed_ms, "job `{kind}` goes back");
            }
            End::Ended(Outcome::Retry { after, error }) => {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                warn!(job.id = %id, job.kind = kind, attempt, elapsed_ms, after_ms, "job `{kind}` failed: {error}");
            }
            End::Ended(Outcome::Dead { error }) => {
                warn!(job.id = %id, job.kind = kind, attempt, elapsed_ms, "job `{kind}` failed for good: {error}");
            }
            End::LeaseLost => {
                warn!(job.id = %id, job.kind = kind, attempt, elapsed_ms, "job `{kind}` lost its lease");
            }
        }
        if let End::Ended(outcome) = end {
            self.settle(outcome).await;
        }
    }

    /// Keeps the lease until the work ends, the lease is lost or the work has to be cut off.
    async fn watch(&mut self) -> End {
        let mut held_until = self.claimed_at + self.lease;
        let mut extend =
            tokio::time::interval_at(Instant::now() + self.lease / 3, (self.lease / 3).max(MIN_EXTEND));
        extend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                ended = &mut self.work => return End::Ended(self.outcome(ended)),
                () = self.cut_off.cancelled() => return self.cut().await,
                _ = extend.tick() => {}
            }
            let asked_at = Instant::now();
            match self.queue.extend(&self.owner, self.job.id, self.lease, clock::now()).await {
                Ok(true) => held_until = asked_at + self.lease,
                Ok(false) => return self.lost().await,
                Err(_) if Instant::now() >= held_until => return self.lost().await,
                Err(error) => {
                    warn!(job.id = %self.job.id, error = &error as &dyn Error, "a lease was not extended");
                }
            }
        }
    }

    /// Someone else may be at work: nothing of ours may go on, and nothing is settled.
    async fn lost(&mut self) -> End {
        self.work.abort();
        let _ended_or_cut = (&mut self.work).await;
        End::LeaseLost
    }

    /// The process ends: what is not done by now goes back.
    async fn cut(&mut self) -> End {
        self.work.abort();
        match (&mut self.work).await {
            Err(error) if error.is_cancelled() => End::Ended(Outcome::GiveBack),
            ended => End::Ended(self.outcome(ended)),
        }
    }

    fn outcome(&self, ended: Result<Outcome, tokio::task::JoinError>) -> Outcome {
        match ended {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => {
                Outcome::retry(&self.job, "the handler panicked; the log says where")
            }
            Err(_) => Outcome::GiveBack,
        }
    }

    async fn settle(&self, outcome: Outcome) {
        let (owner, id) = (self.owner.as_str(), self.job.id);
        let settled = match outcome {
            Outcome::Done => self.queue.done(owner, id).await,
            Outcome::Retry { after, error } => {
                self.queue.retry(owner, id, clock::now() + after, &error).await
            }
            Outcome::Dead { error } => self.queue.bury(owner, id, &error).await,
            Outcome::GiveBack => self.queue.give_back(owner, id).await,
        };
        match settled {
            Ok(true) => {}
            Ok(false) => warn!(job.id = %id, "job `{id}` lost its lease before it ended; it may run again"),
            Err(error) => {
                warn!(job.id = %id, error = &error as &dyn Error, "the end of job `{id}` was not noted: it runs again");
            }
        }
    }
}

#[cfg(test)]
mod tests;
