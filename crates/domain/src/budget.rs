//! The account of requests that an RMM takes: how many may be sent now. Pure: the time comes in, the answer goes out.
//!
//! The RMM counts a request when it arrives, over a rolling window. We count it when a node leases the right to send it,
//! which is earlier: a lease may be used for [`LEASE`], and what is sent may take [`TRAVEL`] until the RMM counts it. So a
//! lease counts for the window and for both of these. What is leased at L arrives until L + `LEASE` + `TRAVEL`; all that
//! arrives in one window was leased within the window and these five seconds before its end, and that many were never
//! allowed. A request that travels longer is counted a little late, which our share, well below the limit, bears.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;

mod room;

#[cfg(test)]
mod tests;

pub use room::{LaneView, Spent, View};

/// How long a lease may be used. A node that dies loses no more than what it held for so long.
pub const LEASE: Duration = Duration::from_secs(2);

/// How long a request may take from leaving us until the RMM counts it.
pub const TRAVEL: Duration = Duration::from_secs(3);

/// How long it may be told that less of a lease was used. Later the lease is lumped together with its neighbours.
const SETTLE_WITHIN_MS: i64 = 10_000;

/// Leases that are settled are kept in lumps of this length, each as of its latest.
const LUMP_MS: i64 = 500;

/// The RMM is asked for its counters this often while requests are sent.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// The same while others leave us less than our share; also how often one request is let through to find out whether
/// they still do, and how long whoever was told to ask has for it.
const ASK_SOON: Duration = Duration::from_secs(10);

/// What the RMM said of others counts for so long.
const OTHERS_COUNT_FOR: Duration = Duration::from_secs(300);

/// Longest window that is believed.
const LONGEST_WINDOW_S: u32 = 3_600;

/// What the RMM counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Requests that only read.
    Reads,
    /// Requests that change something.
    Writes,
}

/// What holds until the RMM says otherwise, and our share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Length of the rolling window, in seconds.
    pub window_s: u32,
    /// Reads in one window, by all who use the account; all requests where writes are not counted apart.
    pub reads: u32,
    /// Writes in one window, where they are counted apart.
    pub writes: Option<u32>,
    /// Share of the limit, in per cent, from which on the RMM slows answers down: nothing is sent beyond it.
    pub slow_from_percent: u8,
    /// Our share of the limit, in per cent.
    pub share_percent: u8,
}

/// A counter of the RMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Requests in the last window, ours and those of others.
    pub used: u32,
    /// How many it takes.
    pub limit: u32,
}

/// What the RMM says of its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Length of the rolling window, in seconds.
    pub window_s: u32,
    /// Reads; all requests where writes are not counted apart.
    pub reads: Count,
    /// Writes, where they are counted apart.
    pub writes: Option<Count>,
    /// From which share of the limit on it slows down; none if it does not say.
    pub slow_from_percent: Option<u8>,
}

/// What a node wants: requests for people who wait, and for work in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where the RMM counts them.
    pub lane: Lane,
    /// Requests that people wait for.
    pub people: u32,
    /// Requests of work in the background.
    pub background: u32,
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These may be sent within [`LEASE`]; at least one.
    Granted(Grant),
    /// None now.
    Full {
        /// Until there may be one for a person.
        people: Duration,
        /// Until there may be one for the background.
        background: Duration,
        /// Why.
        spent: Spent,
    },
    /// The RMM has shut us out.
    Paused {
        /// For so long.
        wait: Duration,
        /// What whoever asks meanwhile is told; as it was given.
        problem: String,
    },
}

/// Requests that may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Names it, to tell later how much was used.
    pub lease: u64,
    /// For people.
    pub people: u32,
    /// For the background; people may use them too.
    pub background: u32,
}

/// The account of one integration. Serialized for its column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Oldest first.
    leases: Vec<Lease>,
    last_lease: u64,
    observed: Option<Observed>,
    /// When somebody was told to ask the RMM for its counters.
    asked_at: Option<i64>,
    /// When one request was let through though others seemed to leave no room.
    tried_at: Option<i64>,
    pause: Option<Pause>,
    /// When the RMM last refused for too many requests, or shut us out.
    refused_at: Option<i64>,
}

/// When, its number (0 in a lump), as a write?, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease(i64, u64, bool, u32);

/// What the RMM last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Observed {
    at: i64,
    window_s: u32,
    slow_from_percent: Option<u8>,
    reads: Seen,
    writes: Option<Seen>,
}

/// One counter, with what of it was not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    limit: u32,
    others: u32,
    /// Of ours, those that may have arrived after it looked: if others are there, so many more may be theirs.
    in_doubt: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    until: i64,
    /// Its length, so that a clock that was set back does not make it longer.
    wait_ms: i64,
    problem: String,
}

impl Account {
    /// Leases what is asked for as far as there is room.
    pub fn lease(&mut self, terms: &Terms, now: Time, ask: &Ask) -> Answer {
        self.tidy(terms, now);
        if let Some(pause) = &self.pause {
            return Answer::Paused { wait: span(pause.until - now.0), problem: pause.problem.clone() };
        }
        let room = self.room(terms, now, ask.lane);
        let people = ask.people.min(room.people());
        let background = ask.background.min(room.background().saturating_sub(people));
        if people + background > 0 {
            return Answer::Granted(self.grant(now, ask.lane, people, background));
        }
        if room.is_left_by_others_alone() && self.may_try(now) {
            self.tried_at = Some(now.0);
            let (people, background) = if ask.people > 0 { (1, 0) } else { (0, 1) };
            return Answer::Granted(self.grant(now, ask.lane, people, background));
        }
        Answer::Full {
            people: self.wait(&room, now, room.allowed),
            background: self.wait(&room, now, room.allowed_in_background()),
            spent: room.spent(),
        }
    }

    /// Only so many of a lease were used, and the rest never will be. Told twice it says the same.
    pub fn settle(&mut self, lease: u64, used: u32) {
        if let Some(found) = self.leases.iter_mut().find(|known| known.1 == lease && lease > 0) {
            found.3 = found.3.min(used);
        }
    }

    /// What the RMM says of its counters. `unused` are requests that whoever asked had leased and not sent yet: reads,
    /// writes.
    pub fn observe(&mut self, terms: &Terms, now: Time, said: &Counters, unused: (u32, u32)) {
        let apart = said.writes.is_some();
        let window_s = said.window_s.clamp(1, LONGEST_WINDOW_S);
        let window_ms = i64::from(window_s) * 1_000;
        let seen = |lane: Lane, count: Count, unused: u32, known: u32| {
            let leased = |ms: i64| self.leased_since(lane, apart, now.0 - ms).saturating_sub(unused);
            let others = count.used.saturating_sub(leased(window_ms));
            let in_doubt = if others > 0 { leased(as_ms(LEASE)) } else { 0 };
            // An RMM that takes nothing at all does not mean it.
            let limit = if count.limit == 0 { known } else { count.limit };
            Seen { limit, others, in_doubt }
        };
        let together = unused.0.saturating_add(unused.1);
        let reads = seen(Lane::Reads, said.reads, if apart { unused.0 } else { together }, terms.reads);
        let known = terms.writes.unwrap_or(terms.reads);
        let writes = said.writes.map(|count| seen(Lane::Writes, count, unused.1, known));
        let slow_from_percent = said.slow_from_percent.filter(|percent| (1..=100).contains(percent));
        self.observed = Some(Observed { at: now.0, window_s, slow_from_percent, reads, writes });
        self.asked_at = None;
        self.tidy(terms, now);
    }

    /// Should whoever asks now ask the RMM for its counters? If so, nobody else is told the same for a while. Otherwise
    /// how long it may be until somebody should.
    pub fn ask_counters(&mut self, terms: &Terms, now: Time) -> Result<(), Duration> {
        self.tidy(terms, now);
        if let Some(pause) = &self.pause {
            return Err(span(pause.until - now.0));
        }
        let due = self.observed.map_or(now.0, |observed| observed.at + as_ms(self.ask_every(terms, now)));
        let due = due.max(self.asked_at.map_or(i64::MIN, |asked| asked + as_ms(ASK_SOON)));
        if due > now.0 {
            return Err(span(due - now.0));
        }
        self.asked_at = Some(now.0);
        Ok(())
    }

    /// Nobody sends anything for so long. A longer pause that is on stays.
    pub fn pause(&mut self, terms: &Terms, now: Time, wait: Duration, problem: &str) {
        self.tidy(terms, now);
        self.refused_at = Some(now.0);
        let until = now.0.saturating_add(as_ms(wait));
        if self.pause.as_ref().is_none_or(|pause| pause.until < until) {
            self.pause = Some(Pause { until, wait_ms: as_ms(wait), problem: problem.to_owned() });
        }
    }

    /// How long ago the RMM last refused for too many requests, if it ever did.
    pub fn refused_ago(&self, now: Time) -> Option<Duration> {
        self.refused_at.map(|at| span(now.0 - at))
    }

    fn grant(&mut self, now: Time, lane: Lane, people: u32, background: u32) -> Grant {
        self.last_lease += 1;
        self.leases.push(Lease(now.0, self.last_lease, lane == Lane::Writes, people + background));
        Grant { lease: self.last_lease, people, background }
    }

    fn ask_every(&self, terms: &Terms, now: Time) -> Duration {
        let is_short = [Lane::Reads, Lane::Writes].into_iter().any(|lane| {
            let room = self.room(terms, now, lane);
            room.allowed < room.share
        });
        if is_short { ASK_SOON } else { ASK_EVERY }
    }

    /// Nothing said or tried for a while: how else would anybody learn that others left?
    fn may_try(&self, now: Time) -> bool {
        self.next_try().is_none_or(|at| at <= now.0)
    }

    fn next_try(&self) -> Option<i64> {
        let last = self.tried_at.max(self.observed.map(|observed| observed.at));
        last.map(|at| at + as_ms(ASK_SOON))
    }

    /// Forgets what no window can hold any more, and lumps together what is settled. A clock that was set back makes what
    /// was noted in its future happen now.
    fn tidy(&mut self, terms: &Terms, now: Time) {
        let oldest = now.0 - self.counted_ms(terms);
        for lease in &mut self.leases {
            lease.0 = lease.0.min(now.0);
        }
        self.leases.retain(|lease| lease.0 > oldest && lease.3 > 0 || lease.0 > now.0 - SETTLE_WITHIN_MS);
        let mut kept: Vec<Lease> = Vec::with_capacity(self.leases.len());
        for lease in std::mem::take(&mut self.leases) {
            let is_settled = lease.0 <= now.0 - SETTLE_WITHIN_MS;
            match kept.iter_mut().rev().find(|lump| lump.1 == 0 && lump.2 == lease.2) {
                Some(lump) if is_settled && lump.0 / LUMP_MS == lease.0 / LUMP_MS => {
                    lump.0 = lump.0.max(lease.0);
                    lump.3 = lump.3.saturating_add(lease.3);
                }
                _ if is_settled => kept.push(Lease(lease.0, 0, lease.2, lease.3)),
                _ => kept.push(lease),
            }
        }
        kept.sort_by_key(|lease| lease.0);
        self.leases = kept;
        for at in [&mut self.asked_at, &mut self.tried_at, &mut self.refused_at] {
            *at = at.map(|at| at.min(now.0));
        }
        if let Some(observed) = &mut self.observed {
            observed.at = observed.at.min(now.0);
        }
        if let Some(pause) = &mut self.pause {
            pause.until = pause.until.min(now.0.saturating_add(pause.wait_ms));
        }
        self.pause.take_if(|pause| pause.until <= now.0);
    }
}

fn as_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn span(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
