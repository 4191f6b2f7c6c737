//! The limit on requests of one account, kept for all nodes in the database ([`store::budget`]).
//!
//! A process has one [`Desk`] for each integration: whoever works with it there takes from the same lease. A person who
//! waits comes before work in the background, of which a tenth of our share is kept free. Waiting has an end, holds
//! nothing and may be cut off anywhere. Where an RMM limits nothing there is no account and no statement.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Actor, ActorKind, Ctx, Time,
    budget::{Account, Ask, Count, Counters, Lane, Spent, Terms, View},
    id::{IntegrationId, TenantId},
    integration::IntegrationSettings,
};
use provider::{
    Budget, Descriptor, ErrorKind, Problem, ProviderError, RateStatus, RequestKind, Result, Unlimited,
};
use store::{Store, StoreError, budget::Moment};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::{clock, spawn};

mod hand;

use hand::{Hand, Spot};

/// How long a person waits for their turn before they are told to come back.
const PATIENCE_OF_PEOPLE: Duration = Duration::from_secs(5);

/// The same for work in the background: longer than a whole window, so that a run goes on where it is.
const PATIENCE_OF_BACKGROUND: Duration = Duration::from_secs(90);

/// Somebody else may have given something back: looked at again this often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Until the background asks again after it let a person go first.
const AFTER_A_PERSON: Duration = Duration::from_millis(20);

/// Requests that are leased ahead are at most one part in so many of our share.
const LARGEST_SLICE: u32 = 10;

const WAITS: &str = "fleetgate_rmm_budget_wait_seconds";
const REFUSALS: &str = "fleetgate_rmm_budget_refusals_total";

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody looks at a page, or a program waits for an answer.
    Person,
    /// A schedule, a job.
    Background,
}

impl Urgency {
    fn of(actor: &Actor) -> Urgency {
        match actor.kind {
            ActorKind::System => Urgency::Background,
            ActorKind::Person | ActorKind::Script | ActorKind::Agent | ActorKind::Operator => Urgency::Person,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Urgency::Person => "people",
            Urgency::Background => "background",
        }
    }

    fn patience(self) -> Duration {
        match self {
            Urgency::Person => PATIENCE_OF_PEOPLE,
            Urgency::Background => PATIENCE_OF_BACKGROUND,
        }
    }
}

/// The desks of this process.
#[derive(Default)]
pub(crate) struct Desks(Mutex<HashMap<(TenantId, IntegrationId), Arc<Desk>>>);

impl Desks {
    /// The budget of an integration for whoever acts in `ctx`.
    pub(crate) fn of(
        &self,
        store: &Store,
        ctx: &Ctx,
        id: IntegrationId,
        descriptor: &Descriptor,
        settings: &IntegrationSettings,
    ) -> Arc<dyn Budget> {
        let Some(terms) = terms(descriptor, settings) else { return Arc::new(Unlimited) };
        let mut desks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let desk = desks.entry((ctx.tenant, id)).or_insert_with(|| {
            Arc::new(Desk::new(Ledger::Kept { store: store.clone(), tenant: ctx.tenant, id }))
        });
        Arc::new(Place {
            desk: Arc::clone(desk),
            terms,
            urgency: Urgency::of(&ctx.actor),
            provider: descriptor.id,
        })
    }
}

/// The budget of a draft, which belongs to no integration yet: in memory.
pub(crate) fn of_draft(
    ctx: &Ctx,
    descriptor: &Descriptor,
    settings: &IntegrationSettings,
) -> Arc<dyn Budget> {
    let Some(terms) = terms(descriptor, settings) else { return Arc::new(Unlimited) };
    let desk = Arc::new(Desk::new(Ledger::Memory(Mutex::default())));
    Arc::new(Place { desk, terms, urgency: Urgency::of(&ctx.actor), provider: descriptor.id })
}

/// The account as people see it; none where the RMM limits nothing.
pub(crate) fn view(
    account: Option<&Account>,
    descriptor: &Descriptor,
    settings: &IntegrationSettings,
    now: Time,
) -> Option<View> {
    let terms = terms(descriptor, settings)?;
    Some(account.unwrap_or(&Account::default()).view(&terms, now))
}

fn terms(descriptor: &Descriptor, settings: &IntegrationSettings) -> Option<Terms> {
    let limit = descriptor.rate_limit?;
    Some(Terms {
        window_s: limit.window_s,
        reads: limit.reads,
        writes: limit.writes,
        slow_from_percent: limit.slow_from_percent,
        share_percent: settings.rate_share_percent,
    })
}

/// Where one party asks.
#[derive(Clone)]
struct Place {
    desk: Arc<Desk>,
    terms: Terms,
    urgency: Urgency,
    /// For figures.
    provider: &'static str,
}

/// What the parties of one process share for one integration.
struct Desk {
    ledger: Ledger,
    hand: tokio::sync::Mutex<Hand>,
    waiting: Waiting,
}

impl Desk {
    fn new(ledger: Ledger) -> Desk {
        Desk { ledger, hand: tokio::sync::Mutex::default(), waiting: Waiting::default() }
    }
}

/// Where the account is.
enum Ledger {
    Kept { store: Store, tenant: TenantId, id: IntegrationId },
    Memory(Mutex<Account>),
}

impl Ledger {
    async fn change<T>(
        &self,
        change: impl FnOnce(&mut Account, Time) -> T,
    ) -> std::result::Result<T, StoreError> {
        match self {
            Ledger::Kept { store, tenant, id } => {
                let ctx = crate::schedule::system_ctx(*tenant, clock::now());
                store.tenant(&ctx).budgets().change(*id, Moment::OfDatabase, change).await
            }
            Ledger::Memory(account) => {
                let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(change(&mut account, clock::now()))
            }
        }
    }
}

/// How many wait in this process, by lane: people, background.
#[derive(Default)]
struct Waiting([[AtomicU32; 2]; 2]);

impl Waiting {
    fn count(&self, lane: Lane, urgency: Urgency) -> &AtomicU32 {
        let [[people_reads, work_reads], [people_writes, work_writes]] = &self.0;
        match (lane, urgency) {
            (Lane::Reads, Urgency::Person) => people_reads,
            (Lane::Reads, Urgency::Background) => work_reads,
            (Lane::Writes, Urgency::Person) => people_writes,
            (Lane::Writes, Urgency::Background) => work_writes,
        }
    }

    fn enter(&self, lane: Lane, urgency: Urgency) -> Entered<'_> {
        let count = self.count(lane, urgency);
        count.fetch_add(1, Ordering::SeqCst);
        Entered(count)
    }

    fn now(&self, lane: Lane, urgency: Urgency) -> u32 {
        self.count(lane, urgency).load(Ordering::SeqCst)
    }
}

/// Somebody waits until this is dropped.
struct Entered<'a>(&'a AtomicU32);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One try.
enum Step {
    Go,
    /// A person goes first.
    Yield,
    /// Not before then.
    Full {
        until: Instant,
        spent: Spent,
    },
    /// The RMM has shut us out.
    Paused {
        until: Instant,
        problem: String,
    },
}

/// Each in a task of its own: a provider may leave a request on its way unpolled, while whoever reads its pages writes
/// them. What is held here, the desk or SQLite's one connection that writes, would then never be let go.
#[async_trait]
impl Budget for Place {
    async fn take(&self, kind: RequestKind) -> Result<()> {
        let place = self.clone();
        spawn::apart(async move { place.take_one(kind).await }).await
    }

    async fn observed(&self, status: RateStatus) {
        let place = self.clone();
        spawn::apart(async move { place.note_counters(status).await }).await;
    }

    async fn wants_status(&self) -> bool {
        let place = self.clone();
        spawn::apart(async move { place.asks_counters().await }).await
    }

    async fn pause(&self, wait: Duration, problem: &Problem) {
        let text = serde_json::to_string(problem).unwrap_or_default();
        let place = self.clone();
        spawn::apart(async move { place.note_pause(wait, &text).await }).await;
    }

    async fn refused_ago(&self) -> Option<Duration> {
        let place = self.clone();
        let looked =
            spawn::apart(
                async move { place.desk.ledger.change(|account, now| account.refused_ago(now)).await },
            );
        // Not known is the milder case: then the answer counts as a missing right, and nobody is shut out for it.
        looked.await.ok().flatten()
    }
}

impl Place {
    async fn take_one(&self, kind: RequestKind) -> Result<()> {
        let begun = Instant::now();
        let taken = self.take_in_time(lane_of(kind), begun + self.urgency.patience()).await;
        let labels = [("provider", self.provider), ("for", self.urgency.name())];
        match &taken {
            Ok(()) => metrics::histogram!(WAITS, &labels).record(begun.elapsed().as_secs_f64()),
            Err(_) => metrics::counter!(REFUSALS, &labels).increment(1),
        }
        taken
    }

    async fn note_counters(&self, status: RateStatus) {
        let count = |count: provider::RateCount| Count { used: count.used, limit: count.limit };
        let said = Counters {
            window_s: u32::try_from(status.window.as_secs()).unwrap_or(u32::MAX),
            reads: count(status.reads),
            writes: status.writes.map(count),
            slow_from_percent: status.slow_from_percent,
        };
        let mut hand = self.desk.hand.lock().await;
        let unused = (hand.unused(Lane::Reads), hand.unused(Lane::Writes));
        let told =
            self.desk.ledger.change(|account, now| account.observe(&self.terms, now, &said, unused)).await;
        hand.look_again();
        if let Err(error) = told {
            warn!(error = &error as &dyn std::error::Error, "what an RMM said of its counters was not kept");
        }
    }

    async fn asks_counters(&self) -> bool {
        let mut hand = self.desk.hand.lock().await;
        if hand.counters_are_fresh() {
            return false;
        }
        match self.desk.ledger.change(|account, now| account.ask_counters(&self.terms, now)).await {
            Ok(Ok(())) => {
                hand.counters_are_asked_for();
                true
            }
            Ok(Err(wait)) => {
                hand.counters_are_fresh_for(wait);
                false
            }
            // Then `take` fails, and says why.
            Err(_) => false,
        }
    }

    async fn note_pause(&self, wait: Duration, problem: &str) {
        let mut hand = self.desk.hand.lock().await;
        // Here at once, whether or not it can be kept.
        hand.pause(wait, problem);
        let told =
            self.desk.ledger.change(|account, now| account.pause(&self.terms, now, wait, problem)).await;
        if let Err(error) = told {
            warn!(
                error = &error as &dyn std::error::Error,
                "that an RMM shuts us out was not kept: other nodes find out by themselves"
            );
        }
    }

    async fn take_in_time(&self, lane: Lane, give_up: Instant) -> Result<()> {
        let _entered = self.desk.waiting.enter(lane, self.urgency);
        loop {
            let step = self.step(lane).await?;
            let is_late = Instant::now() >= give_up;
            let until = match step {
                Step::Go => return Ok(()),
                Step::Yield if is_late => return Err(people_go_first()),
                Step::Yield => Instant::now() + AFTER_A_PERSON,
                Step::Full { until, spent } if is_late || until > give_up => {
                    return Err(self.refused(spent, until));
                }
                Step::Full { until, .. } => until.min(Instant::now() + LOOK_AGAIN),
                Step::Paused { until, problem } => return Err(shut_out(&problem, until)),
            };
            sleep_until(until).await;
        }
    }

    /// Takes one request of what this process holds, or leases more.
    async fn step(&self, lane: Lane) -> Result<Step> {
        let Desk { ledger, hand, waiting } = &*self.desk;
        let mut hand = hand.lock().await;
        let people = waiting.now(lane, Urgency::Person);
        if let Some((until, problem)) = hand.paused() {
            return Ok(Step::Paused { until, problem });
        }
        match hand.take(lane, self.urgency, people) {
            Spot::Taken => return Ok(Step::Go),
            Spot::ForPeople => return Ok(Step::Yield),
            Spot::None => {}
        }
        if let Some((until, spent)) = hand.known_full(lane, self.urgency) {
            return Ok(Step::Full { until, spent });
        }
        let ask = self.ask(lane, people, waiting.now(lane, Urgency::Background));
        let settled = hand.settled();
        let asked_at = Instant::now();
        let answer = ledger
            .change(|account, now| {
                for (lease, used) in &settled {
                    account.settle(*lease, *used);
                }
                account.lease(&self.terms, now, &ask)
            })
            .await
            .map_err(no_account)?;
        hand.forget_settled(&settled);
        hand.learn(lane, asked_at, answer);
        Ok(match (hand.paused(), hand.take(lane, self.urgency, people)) {
            (Some((until, problem)), _) => Step::Paused { until, problem },
            (None, Spot::Taken) => Step::Go,
            (None, Spot::ForPeople) => Step::Yield,
            (None, Spot::None) => match hand.known_full(lane, self.urgency) {
                Some((until, spent)) => Step::Full { until, spent },
                // People got what there was.
                None => Step::Yield,
            },
        })
    }

    /// For people just what they wait for; for the background about what it uses within a second.
    fn ask(&self, lane: Lane, people: u32, background: u32) -> Ask {
        let limit = match lane {
            Lane::Reads => self.terms.reads,
            Lane::Writes => self.terms.writes.unwrap_or(self.terms.reads),
        };
        let share = limit.saturating_mul(u32::from(self.terms.share_percent)) / 100;
        let of_a_second = share.max(1).div_ceil(self.terms.window_s.max(1));
        let most = (share / LARGEST_SLICE).max(1);
        let background = if background == 0 { 0 } else { background.max(of_a_second).min(most) };
        Ask { lane, people, background }
    }

    fn refused(&self, spent: Spent, until: Instant) -> ProviderError {
        let wait_s = seconds_until(until);
        let window_s = self.terms.window_s;
        let mut problem = match spent {
            Spent::Share { ours, share } => Problem::new(
                "rate_share_spent",
                format!(
                    "Our share of the requests that the RMM takes is used up: {ours} of {share} in {window_s} seconds."
                ),
                format!(
                    "Try again in {wait_s} seconds. If this happens often and few other programs use the account, raise \
                     `rate_share_percent` in the settings of the integration."
                ),
            ),
            Spent::Others { others, limit } => Problem::new(
                "rate_used_by_others",
                format!(
                    "Other programs leave us no room at the RMM: {others} of the {limit} requests that it takes in \
                     {window_s} seconds are theirs."
                ),
                "Wait until they are done. If this lasts, find out at the RMM which other program uses the same account so \
                 much, and slow it down.",
            ),
        };
        problem.wait_s = Some(wait_s);
        ProviderError::new(ErrorKind::RateLimited, problem)
    }
}

fn lane_of(kind: RequestKind) -> Lane {
    match kind {
        RequestKind::Read => Lane::Reads,
        RequestKind::Write => Lane::Writes,
    }
}

/// What the RMM said when it shut us out, with what is left of the wait.
fn shut_out(problem: &str, until: Instant) -> ProviderError {
    let mut problem: Problem = serde_json::from_str(problem).unwrap_or_else(|_| {
        Problem::new(
            "rate_limited",
            "The RMM refuses our requests for a while: there were too many.",
            "Wait; Fleetgate goes on by itself.",
        )
    });
    problem.wait_s = Some(seconds_until(until));
    ProviderError::new(ErrorKind::RateLimited, problem)
}

fn people_go_first() -> ProviderError {
    let mut problem = Problem::new(
        "rate_share_spent",
        "People take all the requests that we may send to the RMM.",
        "Wait; Fleetgate goes on by itself.",
    );
    problem.wait_s = Some(PATIENCE_OF_PEOPLE.as_secs());
    ProviderError::new(ErrorKind::RateLimited, problem)
}

/// What cannot be counted is not sent.
fn no_account(error: StoreError) -> ProviderError {
    let problem = Problem::new(
        "rate_account",
        "How many requests the RMM still takes is not known: the database did not answer.",
        "Look into the log of the server, and try again when the database works.",
    );
    ProviderError::caused(ErrorKind::Unavailable, problem, error)
}

fn seconds_until(until: Instant) -> u64 {
    let left = until.saturating_duration_since(Instant::now());
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
