//! The shared heart of a started server: state, accounts, faults, clock and counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::faults::Faults;
use crate::fleet::Mode;
use crate::tacticalrmm::accounts::{Access, Accounts};
use crate::tacticalrmm::world::World;
use crate::tacticalrmm::{Config, seed};

/// How the message bus between server and agents is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Messaging {
    /// It works.
    Up,
    /// Unreachable: some calls answer `200 "natsdown"`.
    Down,
    /// Reachable, but nobody listens on any agent's subject: most calls are an instant 500.
    NoResponders,
}

/// What agents answer to commands and scripts that contain a text; set through the control handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Applies to commands and script bodies containing this.
    pub contains: String,
    /// What the program prints.
    pub stdout: String,
    /// What it prints as errors.
    #[serde(default)]
    pub stderr: String,
    /// How it ends.
    #[serde(default)]
    pub retcode: i64,
}

/// Counted traffic since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests per `METHOD route-template`; paths that are no route count as `(none)`.
    pub requests: BTreeMap<String, u64>,
    /// Body bytes of answers.
    pub bytes_sent: u64,
    /// Tokens given out by the two login paths.
    pub tokens_issued: u64,
    /// The most requests that were being answered at one time.
    pub in_flight_max: u64,
    /// Webhooks sent.
    pub webhooks_sent: u64,
}

impl Counts {
    /// Requests of all routes together.
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
    pub(crate) delay: Duration,
    /// `host:port` of the server itself.
    pub(crate) authority: String,
    pub(crate) hosts: Vec<String>,
    time_scale: f64,
    beta: AtomicBool,
    messaging: AtomicU8,
    in_flight: AtomicU64,
    world: Mutex<World>,
    access: Mutex<Access>,
    counts: Mutex<Counts>,
    outputs: Mutex<Vec<Output>>,
}

impl Sim {
    /// A server's state before its first request.
    pub(crate) fn new(config: &Config, accounts: &Accounts, authority: String) -> Self {
        let clock = if config.recorded {
            Clock::start(Mode::Frozen, seed::RECORDED_NOW.parse().ok())
        } else {
            Clock::start(config.mode, None)
        };
        let world = if config.recorded {
            World::recorded()
        } else {
            World::generated(config.fleet, clock.fleet_now(), config.detail_bytes)
        };
        let first_client = world.fleet.clients.keys().next().copied().unwrap_or(1);
        Self {
            clock,
            faults: Faults::default(),
            delay: config.delay,
            authority,
            hosts: config.hosts.clone(),
            time_scale: config.time_scale,
            beta: AtomicBool::new(config.beta),
            messaging: AtomicU8::new(0),
            in_flight: AtomicU64::new(0),
            world: Mutex::new(world),
            access: Mutex::new(Access::new(accounts, first_client)),
            counts: Mutex::new(Counts::default()),
            outputs: Mutex::new(Vec::new()),
        }
    }

    /// All stored state.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Users, keys and tokens.
    pub(crate) fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counting(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the beta API is switched on.
    pub(crate) fn is_beta(&self) -> bool {
        self.beta.load(Ordering::Relaxed)
    }

    /// Switches the beta API.
    pub(crate) fn set_beta(&self, enabled: bool) {
        self.beta.store(enabled, Ordering::Relaxed);
    }

    /// How the message bus is.
    pub(crate) fn messaging(&self) -> Messaging {
        match self.messaging.load(Ordering::Relaxed) {
            0 => Messaging::Up,
            1 => Messaging::Down,
            _ => Messaging::NoResponders,
        }
    }

    /// Changes how the message bus is.
    pub(crate) fn set_messaging(&self, messaging: Messaging) {
        let number = match messaging {
            Messaging::Up => 0,
            Messaging::Down => 1,
            Messaging::NoResponders => 2,
        };
        self.messaging.store(number, Ordering::Relaxed);
    }

    /// Waits as the real server would, scaled.
    pub(crate) async fn wait(&self, seconds: f64) {
        let scaled = (seconds * self.time_scale).clamp(0.0, 3600.0);
        tokio::time::sleep(Duration::from_secs_f64(scaled)).await;
    }

    /// Sets what agents answer.
    pub(crate) fn set_output(&self, output: Output) {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).insert(0, output);
    }

    /// What was set for a command or script.
    pub(crate) fn output_for(&self, code: &str) -> Option<Output> {
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.iter().find(|output| code.contains(&output.contains)).cloned()
    }

    /// Counts a request in; the guard counts it out.
    pub(crate) fn enter(&self, method: &str, template: &str) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let mut counts = self.counting();
        counts.in_flight_max = counts.in_flight_max.max(now);
        *counts.requests.entry(format!("{method} {template}")).or_default() += 1;
        InFlight(&self.in_flight)
    }

    /// Counts body bytes.
    pub(crate) fn count_bytes(&self, bytes: u64) {
        self.counting().bytes_sent += bytes;
    }

    /// Counts a webhook.
    pub(crate) fn count_webhook(&self) {
        self.counting().webhooks_sent += 1;
    }

    /// Counted traffic.
    pub(crate) fn counts(&self) -> Counts {
        let tokens_issued = self.access().tokens_issued;
        Counts { tokens_issued, ..self.counting().clone() }
    }

    /// Starts counting at zero.
    pub(crate) fn reset_counts(&self) {
        *self.counting() = Counts::default();
        self.access().tokens_issued = 0;
    }
}

/// A request that is being answered.
pub(crate) struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
