//! How much room an account has: our share, what others leave, what is leased.

use std::time::Duration;

use super::{ASK_SOON, Account, LEASE, Lane, OTHERS_COUNT_FOR, Seen, TRAVEL, Terms, as_ms, span};
use crate::Time;

/// One lane at one moment.
pub(super) struct Room {
    lane: Lane,
    apart: bool,
    limit: u32,
    /// Our share of the limit; at least one.
    pub(super) share: u32,
    /// The share, or what others leave of the limit if that is less.
    pub(super) allowed: u32,
    others: Option<u32>,
    counted: u32,
    counted_ms: i64,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Our share is leased.
    Share {
        /// What we had in the last window and the margin.
        ours: u32,
        /// Our share.
        share: u32,
    },
    /// Others leave less than our share.
    Others {
        /// What they had in the last window.
        others: u32,
        /// How many the RMM takes.
        limit: u32,
    },
}

/// The account as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Length of the rolling window, in seconds.
    pub window_s: u32,
    /// Reads; all requests where writes are not counted apart.
    pub reads: LaneView,
    /// Writes, where they are counted apart.
    pub writes: Option<LaneView>,
    /// Until when the RMM shuts us out.
    pub paused_until: Option<Time>,
    /// Why; as it was given.
    pub problem: Option<String>,
    /// When the RMM last told its counters.
    pub observed_at: Option<Time>,
}

/// One counter as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// How many the RMM takes in a window, from all.
    pub limit: u32,
    /// Ours in the last window.
    pub ours: u32,
    /// Those of others when the RMM last told; none if it did not, or long ago.
    pub others: Option<u32>,
    /// Our share.
    pub share: u32,
}

impl Room {
    pub(super) fn people(&self) -> u32 {
        self.allowed.saturating_sub(self.counted)
    }

    pub(super) fn background(&self) -> u32 {
        self.allowed_in_background().saturating_sub(self.counted)
    }

    /// A tenth, and at least one, is left to people; but work goes on where there is but one.
    pub(super) fn allowed_in_background(&self) -> u32 {
        let left_to_people = (self.allowed / 10).max(1);
        self.allowed.saturating_sub(left_to_people).max(self.allowed.min(1))
    }

    /// Would there be room if it were not for others?
    pub(super) fn is_left_by_others_alone(&self) -> bool {
        self.allowed < self.share && self.counted < self.share
    }

    pub(super) fn spent(&self) -> Spent {
        match self.others {
            Some(others) if self.allowed < self.share => Spent::Others { others, limit: self.limit },
            _ => Spent::Share { ours: self.counted, share: self.share },
        }
    }
}

impl Account {
    pub(super) fn room(&self, terms: &Terms, now: Time, lane: Lane) -> Room {
        let apart = self.is_apart(terms);
        let seen = self.seen(lane);
        let is_fresh = self.observed.is_some_and(|o| o.at > now.0 - as_ms(OTHERS_COUNT_FOR));
        let limit = match (seen, lane) {
            (Some(seen), _) => seen.limit,
            (None, Lane::Writes) if apart => terms.writes.unwrap_or(terms.reads),
            (None, _) => terms.reads,
        };
        let share = part(limit, terms.share_percent).max(1);
        let slow_from = self.observed.and_then(|o| o.slow_from_percent).unwrap_or(terms.slow_from_percent);
        let seen = seen.filter(|_| is_fresh);
        let left = seen.map_or(share, |seen| {
            part(limit, slow_from).saturating_sub(seen.others).saturating_sub(seen.in_doubt)
        });
        let counted_ms = self.counted_ms(terms);
        Room {
            lane,
            apart,
            limit,
            share,
            allowed: share.min(left),
            others: seen.map(|seen| seen.others),
            counted: self.leased_since(lane, apart, now.0 - counted_ms),
            counted_ms,
        }
    }

    /// Until one more than now fits under `allowed`.
    pub(super) fn wait(&self, room: &Room, now: Time, allowed: u32) -> Duration {
        let mut counted = room.counted;
        let mut wait = None;
        for lease in &self.leases {
            if counted < allowed {
                break;
            }
            if room.counts(lease.2) && lease.3 > 0 && lease.0 > now.0 - room.counted_ms {
                counted = counted.saturating_sub(lease.3);
                wait = Some(lease.0 + room.counted_ms - now.0);
            }
        }
        let fits = (counted < allowed).then(|| span(wait.unwrap_or(0)));
        let tried = room.is_left_by_others_alone().then(|| span(self.next_try().unwrap_or(now.0) - now.0));
        match (fits, tried) {
            (Some(fits), Some(tried)) => fits.min(tried),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => ASK_SOON,
        }
    }

    /// The account as people see it.
    pub fn view(&self, terms: &Terms, now: Time) -> View {
        let window_s = self.window_s(terms);
        let lane = |lane: Lane| {
            let room = self.room(terms, now, lane);
            let since = now.0 - i64::from(window_s) * 1_000;
            let ours = self.leased_since(lane, room.apart, since);
            LaneView { limit: room.limit, ours, others: room.others, share: room.share }
        };
        let pause = self.pause.as_ref().filter(|pause| pause.until > now.0);
        View {
            window_s,
            reads: lane(Lane::Reads),
            writes: self.is_apart(terms).then(|| lane(Lane::Writes)),
            paused_until: pause.map(|pause| Time(pause.until)),
            problem: pause.map(|pause| pause.problem.clone()),
            observed_at: self.observed.map(|observed| Time(observed.at)),
        }
    }

    /// Are writes counted apart? The RMM itself knows best.
    fn is_apart(&self, terms: &Terms) -> bool {
        self.observed.map_or(terms.writes.is_some(), |observed| observed.writes.is_some())
    }

    fn seen(&self, lane: Lane) -> Option<Seen> {
        let observed = self.observed?;
        match lane {
            Lane::Reads => Some(observed.reads),
            Lane::Writes => Some(observed.writes.unwrap_or(observed.reads)),
        }
    }

    fn window_s(&self, terms: &Terms) -> u32 {
        self.observed.map_or(terms.window_s, |observed| observed.window_s).max(1)
    }

    /// How long a lease counts: see the module.
    pub(super) fn counted_ms(&self, terms: &Terms) -> i64 {
        i64::from(self.window_s(terms)) * 1_000 + as_ms(LEASE) + as_ms(TRAVEL)
    }

    /// Leased after `since`, in this lane, or in both where they are not counted apart.
    pub(super) fn leased_since(&self, lane: Lane, apart: bool, since: i64) -> u32 {
        let of_lane = |is_write: bool| !apart || is_write == (lane == Lane::Writes);
        let counted = self.leases.iter().filter(|lease| lease.0 > since && of_lane(lease.2));
        counted.fold(0, |sum, lease| sum.saturating_add(lease.3))
    }
}

impl Room {
    fn counts(&self, is_write: bool) -> bool {
        !self.apart || is_write == (self.lane == Lane::Writes)
    }
}

fn part(limit: u32, percent: u8) -> u32 {
    u32::try_from(u64::from(limit) * u64::from(percent) / 100).unwrap_or(u32::MAX)
}
