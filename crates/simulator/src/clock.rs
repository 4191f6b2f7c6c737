//! Time as a simulated server sees it, and the crate's only reading of the real clock.
//!
//! A server has two times. *Wall* time (real time plus what was added by `advance`) rules tokens, throttles and
//! the `Date` header. *Fleet* time rules what machines look like: it stands still in a frozen fleet, so that
//! answers stay byte-identical, and follows the wall in steps in a living one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::fleet::Mode;

const MICROS: i64 = 1_000_000;

/// How far a living fleet's time may lag behind the wall; answers are cached that long.
const LIVING_STEP_S: i64 = 20;

/// Both times of one simulated server, in microseconds since 1970.
#[derive(Debug)]
pub(crate) struct Clock {
    living: bool,
    base: i64,
    added: AtomicI64,
    skew_s: AtomicI64,
    step: AtomicI64,
}

impl Clock {
    /// A clock whose fleet time starts at `base`, or now.
    pub(crate) fn start(mode: Mode, base: Option<Timestamp>) -> Self {
        let base = base.map_or_else(real_now, Timestamp::as_microsecond);
        Self {
            living: matches!(mode, Mode::Living { .. }),
            base,
            added: AtomicI64::new(0),
            skew_s: AtomicI64::new(0),
            step: AtomicI64::new(base),
        }
    }

    /// Fleet time. In a living fleet it moves by steps, so that it also says how fresh a cached answer is.
    pub(crate) fn fleet_now(&self) -> i64 {
        if !self.living {
            return self.base + self.added.load(Ordering::Relaxed);
        }
        let wall = self.wall_now();
        let step = self.step.load(Ordering::Relaxed);
        if wall - step < LIVING_STEP_S * MICROS {
            return step;
        }
        self.step.store(wall, Ordering::Relaxed);
        wall
    }

    /// Real time plus what was added.
    pub(crate) fn wall_now(&self) -> i64 {
        real_now() + self.added.load(Ordering::Relaxed)
    }

    /// Real time, untouched by `advance`: one-time codes come from clients that cannot know of it.
    pub(crate) fn real_now(&self) -> i64 {
        real_now()
    }

    /// Time of an event that happens now (an alert, a history row): fleet time when frozen, else the wall's.
    pub(crate) fn event_now(&self) -> i64 {
        if self.living { self.wall_now() } else { self.fleet_now() }
    }

    /// Moves both times forward.
    pub(crate) fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX / 4);
        self.added.fetch_add(micros, Ordering::Relaxed);
        self.step.fetch_add(micros, Ordering::Relaxed);
    }

    /// Lets the `Date` header be wrong by so many seconds.
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew_s.store(seconds, Ordering::Relaxed);
    }

    /// The value of the `Date` header.
    pub(crate) fn date_header(&self) -> String {
        let at = self.wall_now() + self.skew_s.load(Ordering::Relaxed) * MICROS;
        timestamp(at).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

/// Microseconds as a timestamp.
pub(crate) fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// ISO 8601 with microseconds and `Z`.
pub(crate) fn iso(micros: i64) -> String {
    format!("{:.6}", timestamp(micros))
}

#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
fn real_now() -> i64 {
    Timestamp::now().as_microsecond()
}
