//! All SQL of Fleetgate: SQLite and PostgreSQL behind one enum, one SQL text for both.
//!
//! Tenant data is reached only through the handle that [`Store::tenant`] gives: another tenant's id is simply not
//! found. The look-ups that come before the tenant is known are in [`gateway`] and nowhere else. On PostgreSQL the
//! database itself holds to it: see [`isolation`].

mod clock;
mod cursor;
mod db;
mod error;
mod spawn;
mod sql;

pub mod absence;
pub mod asset;
pub mod audit;
pub mod budget;
pub mod client;
pub mod copy;
pub mod detail;
pub mod device;
pub mod event;
pub mod gateway;
pub mod integration;
pub mod isolation;
pub mod job;
pub mod look;
pub mod merge;
pub mod organization;
pub mod people;
pub mod presence;
pub mod proposal;
pub mod schedule;
mod scope;
pub mod secret;
pub mod site;
pub mod statements;
pub mod sync_run;
pub mod testing;

use std::sync::Arc;

use domain::{
    Ctx, Time,
    id::{TenantId, TypedId},
    scope::ClientScope,
};

pub use db::{Engine, Location, Tx};
pub use error::{Result, StoreError};
pub use secret::{RootKey, RootKeys};

use crate::{
    db::{Db, TenantDb},
    secret::Keyring,
};

/// The database and the keys to its secrets. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) db: Db,
    pub(crate) keys: Arc<Keyring>,
    pub(crate) wake: Arc<job::Wake>,
    pub(crate) audit_keys: Arc<audit::Keys>,
}

impl Store {
    /// Opens the database, applies what migrations are missing and unwraps the data keys.
    pub async fn open(location: &Location, root_key: &RootKey) -> Result<Store> {
        Store::open_with(location, RootKeys::from(root_key.clone())).await
    }

    /// The same with root keys that are read when they are needed, so that their rotation needs no restart.
    pub async fn open_with(location: &Location, root_keys: RootKeys) -> Result<Store> {
        let db = Db::open(location).await?;
        db.migrate().await?;
        let keys = Arc::new(Keyring::load(&db, root_keys).await?);
        Ok(Store { db, keys, wake: Arc::default(), audit_keys: Arc::default() })
    }

    /// Applies what migrations are missing as the role of `owner`, and answers the engine. The role of `app`, where it is
    /// another one, may then read and write rows. [`StoreError::NoSuchRole`] if it does not exist.
    pub async fn migrate(owner: &Location, app: &Location) -> Result<Engine> {
        let db = Db::open(owner).await?;
        db.migrate().await?;
        if let Some(role) = app.role().filter(|role| owner.role().as_ref() != Some(role)) {
            db.grant(&role).await?;
        }
        let engine = db.engine();
        db.close().await;
        Ok(engine)
    }

    /// The door for what comes before the tenant is known and for what serves all tenants: [`gateway`], jobs, due
    /// schedules, the installation, the brake on guessing, data keys. On PostgreSQL it sees no tenant's rows.
    pub(crate) fn before_tenant(&self) -> &Db {
        &self.db
    }

    /// The database as this tenant sees it.
    pub(crate) fn db_of(&self, tenant: TenantId) -> TenantDb<'_> {
        TenantDb::new(&self.db, tenant)
    }

    /// Which engine is in use.
    pub fn engine(&self) -> Engine {
        self.db.engine()
    }

    /// SQL statements run since the start: for metrics and benchmarks.
    pub fn statements_run(&self) -> u64 {
        self.db.statements_run()
    }

    /// Can the database be read and written right now? For readiness.
    pub async fn ping(&self) -> Result<()> {
        self.db.one::<(i64,)>(&gateway::PING, vec![]).await.map(drop)
    }

    /// The data of the tenant of `ctx` that its actor may see, and nobody else's.
    pub fn tenant(&self, ctx: &Ctx) -> Tenant<'_> {
        let by = audit::By {
            kind: ctx.actor.kind,
            user: ctx.actor.user,
            token: ctx.actor.token,
            request_id: ctx.request_id.clone(),
        };
        let (actor, clients) = (ctx.actor.name.clone(), ctx.clients().clone());
        Tenant { store: self, id: ctx.tenant, now: ctx.now, actor, by, clients }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

/// One tenant's data. The groups of methods are handles of their own: `tenant.assets().get(id)`.
#[derive(Clone)]
pub struct Tenant<'s> {
    pub(crate) store: &'s Store,
    pub(crate) id: TenantId,
    pub(crate) now: Time,
    pub(crate) actor: String,
    pub(crate) by: audit::By,
    /// What of it is there for whoever asks: see [`scope`].
    pub(crate) clients: ClientScope,
}

impl<'s> Tenant<'s> {
    pub(crate) fn db(&self) -> TenantDb<'s> {
        self.store.db_of(self.id)
    }
}

macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident -> $group:path;)+) => {
        impl Tenant<'_> {
            $($(#[$doc])* pub fn $name(&self) -> $group {
                $group(self)
            })+
        }
    };
}

groups! {
    /// Absences of devices, and the clock of their status.
    absences -> absence::Absences<'_>;
    /// Assets.
    assets -> asset::Assets<'_>;
    /// Accounts of requests that RMMs take.
    budgets -> budget::Budgets<'_>;
    /// Clients.
    clients -> client::Clients<'_>;
    /// Details of devices.
    details -> detail::Details<'_>;
    /// Devices.
    devices -> device::Devices<'_>;
    /// Events.
    events -> event::Events<'_>;
    /// Integrations.
    integrations -> integration::Integrations<'_>;
    /// Merges and splits of assets.
    merges -> merge::Merges<'_>;
    /// Organizations and mappings.
    organizations -> organization::Organizations<'_>;
    /// Questions whether two are one.
    proposals -> proposal::Proposals<'_>;
    /// Sites of clients.
    sites -> site::Sites<'_>;
    /// Sync runs.
    sync_runs -> sync_run::SyncRuns<'_>;
}

/// A new id of time `now`: UUIDv7, so that keys grow with time and inserts append.
pub fn new_id<T: TypedId>(now: Time) -> T {
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let ms = u64::try_from(now.0).unwrap_or(0);
    T::from_uuid(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
}
