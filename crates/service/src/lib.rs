//! The use cases of Fleetgate by context. No SQL, no HTTP, no vendor: testable with the simulator or fakes.
//!
//! Every method takes [`domain::Ctx`] first and checks the permission it needs; time comes with it.

pub mod account;
pub mod asset;
pub mod audit;
pub mod client;
pub mod error;
pub mod event;
pub mod integration;
pub mod job;
pub mod organization;
pub mod schedule;
pub mod site;
pub mod sync;

mod budget;
mod clock;
mod core;
mod spawn;

#[cfg(test)]
mod fake;

use std::sync::Arc;

use outbound::HttpClient;
use provider::Provider;
use store::Store;

pub use clock::{Clock, now};
pub use error::{Result, ServiceError};
pub use store::secret::SecretInfo;

/// What the contract says about providers, for whoever presents it.
pub mod provider_types {
    pub use provider::{
        AuthMode, CheckLine, CheckReport, Descriptor, Field, FieldKind, LineState, Offer, Problem, RateLimit,
        StatusWords,
    };
}

/// What may be chosen for [`Services`].
#[derive(Clone)]
pub struct Options {
    /// What tells sync runs the time.
    pub clock: Clock,
    /// Names of hosts that credentials of an RMM may be sent to, beside the vendor's own.
    pub rmm_hosts: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { clock: Clock::real(), rmm_hosts: Vec::new() }
    }
}

/// All use cases over one store. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// People, sign-in, tokens.
    pub accounts: account::Accounts,
    /// Assets.
    pub assets: asset::Assets,
    /// The audit log.
    pub audit: audit::AuditLog,
    /// Clients.
    pub clients: client::Clients,
    /// Events.
    pub events: event::Events,
    /// Integrations.
    pub integrations: integration::Integrations,
    /// Organizations and mappings.
    pub organizations: organization::Organizations,
    /// Sites of clients.
    pub sites: site::Sites,
    /// Sync runs.
    pub sync: sync::Syncs,
    core: core::Core,
}

impl Services {
    /// Builds them over a store, the list of providers and the guarded HTTP client.
    pub fn new(store: Store, providers: &'static [&'static dyn Provider], http: HttpClient) -> Services {
        Services::with_clock(store, providers, http, Clock::real())
    }

    /// The same with another clock for sync runs: for tests of rules that take days.
    pub fn with_clock(
        store: Store,
        providers: &'static [&'static dyn Provider],
        http: HttpClient,
        clock: Clock,
    ) -> Services {
        Services::with_options(store, providers, http, Options { clock, ..Options::default() })
    }

    /// The same with all that may be chosen.
    pub fn with_options(
        store: Store,
        providers: &'static [&'static dyn Provider],
        http: HttpClient,
        options: Options,
    ) -> Services {
        let core = core::Core::new(store.clone(), providers, http, options);
        Services {
            accounts: account::Accounts::new(store),
            assets: asset::Assets::new(core.clone()),
            audit: audit::AuditLog::new(core.clone()),
            clients: client::Clients::new(core.clone()),
            events: event::Events::new(core.clone()),
            integrations: integration::Integrations::new(core.clone()),
            organizations: organization::Organizations::new(core.clone()),
            sites: site::Sites::new(core.clone()),
            sync: sync::Syncs::new(core.clone()),
            core,
        }
    }

    /// The same for a server that people reach at this address: passkeys are bound to it.
    pub fn served_at(self, public_url: Option<&str>) -> Services {
        Services { accounts: self.accounts.served_at(public_url), ..self }
    }

    /// What runs the jobs of the queue.
    pub fn handlers(&self) -> Vec<Arc<dyn job::Handler>> {
        sync::RunHandler::all(&self.core)
    }

    /// What fires schedules.
    pub fn scheduler(&self) -> schedule::Scheduler {
        schedule::Scheduler::new(self.core.store.clone(), self.sync.clone(), self.accounts.clone())
    }

    /// Can the database be used right now?
    pub async fn ready(&self) -> Result<()> {
        Ok(self.core.store.ping().await?)
    }

    /// Name of the database engine.
    pub fn engine_name(&self) -> &'static str {
        self.core.store.engine().name()
    }

    /// SQL statements run since the start.
    pub fn statements_run(&self) -> u64 {
        self.core.store.statements_run()
    }
}
