//! What one process holds of an account: slices of leases, and what it knows of the account's state.

use std::time::Duration;

use domain::budget::{Answer, LEASE, Lane, Spent};
use tokio::time::Instant;

use super::{LOOK_AGAIN, Urgency};

/// Whoever was told to ask the RMM for its counters has so long for it before anybody here is told again.
const COUNTERS_TAKE: Duration = Duration::from_secs(10);

/// In one process, behind one lock.
#[derive(Default)]
pub(super) struct Hand {
    slices: Vec<Slice>,
    /// Leases of which not all was used: their number, and how much was.
    settled: Vec<(u64, u32)>,
    full: Vec<Full>,
    pause: Option<(Instant, String)>,
    counters_due: Option<Instant>,
}

/// What is left of one lease.
struct Slice {
    lease: u64,
    lane: Lane,
    people: u32,
    background: u32,
    used: u32,
    until: Instant,
}

/// That there is nothing to lease before then, as far as the account could tell.
struct Full {
    lane: Lane,
    urgency: Urgency,
    until: Instant,
    spent: Spent,
    /// Then the account is asked again all the same: somebody may have given something back.
    holds_until: Instant,
}

/// What came of a try to take one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Taken,
    /// There are some, and people wait for them.
    ForPeople,
    None,
}

impl Hand {
    /// Takes one, if there is one for whoever asks. `people` wait in this lane.
    pub(super) fn take(&mut self, lane: Lane, urgency: Urgency, people: u32) -> Spot {
        self.drop_ended();
        let of_lane = || self.slices.iter().filter(|slice| slice.lane == lane);
        let held: u32 = of_lane().map(|slice| slice.people + slice.background).sum();
        let is_for_people = urgency == Urgency::Background && people > 0 && held <= people;
        if is_for_people && of_lane().any(|slice| slice.background > 0) {
            return Spot::ForPeople;
        }
        let mut slices = self.slices.iter_mut().filter(|slice| slice.lane == lane);
        let found = match urgency {
            Urgency::Person => slices.find(|slice| slice.people + slice.background > 0),
            Urgency::Background => slices.find(|slice| slice.background > 0),
        };
        let Some(slice) = found else { return Spot::None };
        let from_people = urgency == Urgency::Person && slice.people > 0;
        let left = if from_people { &mut slice.people } else { &mut slice.background };
        *left -= 1;
        slice.used += 1;
        Spot::Taken
    }

    /// What was leased and not used.
    pub(super) fn unused(&mut self, lane: Lane) -> u32 {
        self.drop_ended();
        let of_lane = self.slices.iter().filter(|slice| slice.lane == lane);
        of_lane.map(|slice| slice.people + slice.background).sum()
    }

    /// What the account answered to what was asked at `asked_at`.
    pub(super) fn learn(&mut self, lane: Lane, asked_at: Instant, answer: Answer) {
        match answer {
            Answer::Granted(grant) => self.slices.push(Slice {
                lease: grant.lease,
                lane,
                people: grant.people,
                background: grant.background,
                used: 0,
                // The account began to count later than this.
                until: asked_at + LEASE,
            }),
            Answer::Full { people, background, spent } => {
                self.full.retain(|full| full.lane != lane);
                for (urgency, wait) in [(Urgency::Person, people), (Urgency::Background, background)] {
                    if !wait.is_zero() {
                        let now = Instant::now();
                        let holds_until = now + wait.min(LOOK_AGAIN);
                        self.full.push(Full { lane, urgency, until: now + wait, spent, holds_until });
                    }
                }
            }
            Answer::Paused { wait, problem } => self.pause(wait, &problem),
        }
    }

    /// Until when there is nothing to lease, and why, as far as that is known.
    pub(super) fn known_full(&mut self, lane: Lane, urgency: Urgency) -> Option<(Instant, Spent)> {
        let now = Instant::now();
        self.full.retain(|full| full.holds_until > now);
        let full = self.full.iter().find(|full| full.lane == lane && full.urgency == urgency)?;
        Some((full.until, full.spent))
    }

    /// Something changed: ask the account again.
    pub(super) fn look_again(&mut self) {
        self.full.clear();
        self.counters_due = None;
    }

    pub(super) fn pause(&mut self, wait: Duration, problem: &str) {
        let until = Instant::now() + wait;
        if self.pause.as_ref().is_none_or(|(known, _)| *known < until) {
            self.pause = Some((until, problem.to_owned()));
        }
        // Nothing of it is sent any more.
        for slice in &mut self.slices {
            slice.until = Instant::now();
        }
    }

    pub(super) fn paused(&mut self) -> Option<(Instant, String)> {
        self.pause.take_if(|(until, _)| *until <= Instant::now());
        self.pause.clone()
    }

    pub(super) fn counters_are_fresh(&self) -> bool {
        self.counters_due.is_some_and(|due| due > Instant::now())
    }

    pub(super) fn counters_are_fresh_for(&mut self, span: Duration) {
        self.counters_due = Some(Instant::now() + span);
    }

    pub(super) fn counters_are_asked_for(&mut self) {
        self.counters_are_fresh_for(COUNTERS_TAKE);
    }

    /// Leases that ended before all of them was used. They stay here until [`Hand::forget_settled`], for telling the
    /// account may fail or be cut off, and it may be told twice.
    pub(super) fn settled(&mut self) -> Vec<(u64, u32)> {
        self.drop_ended();
        self.settled.clone()
    }

    pub(super) fn forget_settled(&mut self, told: &[(u64, u32)]) {
        self.settled.retain(|settled| !told.contains(settled));
    }

    fn drop_ended(&mut self) {
        let now = Instant::now();
        for slice in
            self.slices.extract_if(.., |slice| slice.until <= now || slice.people + slice.background == 0)
        {
            if slice.people + slice.background > 0 {
                self.settled.push((slice.lease, slice.used));
            }
        }
    }
}
