//! The shared heart of a started server: state, accounts, limits, faults, clock and counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::datto_rmm::Config;
use crate::datto_rmm::access::{Access, Accounts};
use crate::datto_rmm::rate::Limiter;
use crate::datto_rmm::world::World;
use crate::faults::Faults;

/// Counted traffic since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests per `METHOD route-template`; paths that are no route count as `(none)`.
    pub requests: BTreeMap<String, u64>,
    /// Body bytes of answers.
    pub bytes_sent: u64,
    /// Tokens given out.
    pub tokens_issued: u64,
    /// The most requests that were being answered at one time.
    pub in_flight_max: u64,
    /// Webhooks sent.
    pub webhooks_sent: u64,
}

impl Counts {
    /// Requests of all routes together, those for tokens too.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Requests of one `METHOD route-template`.
    pub fn of(&self, route: &str) -> u64 {
        self.requests.get(route).copied().unwrap_or(0)
    }
}

/// One started server.
pub(crate) struct Sim {
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    /// `host:port` of the server itself.
    pub(crate) authority: String,
    pub(crate) header_root: String,
    delay_ms: AtomicU64,
    in_flight: AtomicU64,
    world: Mutex<World>,
    access: Mutex<Access>,
    limiter: Mutex<Limiter>,
    counts: Mutex<Counts>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sim {
    /// A server's state before its first request.
    pub(crate) fn new(config: &Config, accounts: &Accounts, authority: String) -> Self {
        let clock = Clock::start(config.mode, None);
        let world = World::generated(config, clock.fleet_now());
        let life_s = i64::try_from(config.token_life.as_secs()).unwrap_or(360_000);
        let access = Access::new(accounts, life_s, world.first_site());
        let limiter = Limiter::new(config.rate.clone(), clock.wall_now());
        Self {
            clock,
            faults: Faults::default(),
            authority,
            header_root: config.header_root.trim_end_matches('/').to_owned(),
            delay_ms: AtomicU64::new(u64::try_from(config.delay.as_millis()).unwrap_or(0)),
            in_flight: AtomicU64::new(0),
            world: Mutex::new(world),
            access: Mutex::new(access),
            limiter: Mutex::new(limiter),
            counts: Mutex::new(Counts::default()),
        }
    }

    /// All stored state.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        locked(&self.world)
    }

    /// Users, keys and tokens.
    pub(crate) fn access(&self) -> MutexGuard<'_, Access> {
        locked(&self.access)
    }

    /// Limits on requests.
    pub(crate) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        locked(&self.limiter)
    }

    /// Time every answer takes at least.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))
    }

    /// Changes the time every answer takes at least.
    pub(crate) fn set_delay(&self, millis: u64) {
        self.delay_ms.store(millis, Ordering::Relaxed);
    }

    /// Counts a request in; the guard counts it out.
    pub(crate) fn enter(&self, method: &str, template: &str) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let mut counts = locked(&self.counts);
        counts.in_flight_max = counts.in_flight_max.max(now);
        *counts.requests.entry(format!("{method} {template}")).or_default() += 1;
        InFlight(&self.in_flight)
    }

    /// Counts body bytes.
    pub(crate) fn count_bytes(&self, bytes: u64) {
        locked(&self.counts).bytes_sent += bytes;
    }

    /// Counts a webhook.
    pub(crate) fn count_webhook(&self) {
        locked(&self.counts).webhooks_sent += 1;
    }

    /// Counted traffic.
    pub(crate) fn counts(&self) -> Counts {
        let tokens_issued = self.access().tokens_issued;
        Counts { tokens_issued, ..locked(&self.counts).clone() }
    }

    /// Starts counting at zero, the record of the limits too.
    pub(crate) fn reset_counts(&self) {
        *locked(&self.counts) = Counts::default();
        self.access().tokens_issued = 0;
        self.limiter().reset_record();
    }
}

/// A request that is being answered.
pub(crate) struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
