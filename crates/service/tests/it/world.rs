//! A store, a simulated server and the services between them, with a clock that tests move.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{
    Actor, ActorKind, Ctx, Time,
    asset::{Asset, AssetFilter, AssetSort, Direction},
    auth::Permissions,
    event::{Event, kind},
    id::{IntegrationId, TenantId},
    organization::Organization,
    page::PageRequest,
    scope::ClientScope,
    sync::{RunItem, RunKind, SyncRun},
};
use outbound::{ClientOptions, EgressRules, HttpClient};
use provider::Provider;
use secrecy::SecretString;
use serde_json::json;
use service::{
    Clock, Services,
    integration::Draft,
    job::{Handler, JobControl, Outcome},
    organization::{AcceptRequest, OrganizationFilter},
};
use simulator::{
    fleet::FleetSpec,
    tacticalrmm::{Config, Control, Fault, FaultKind, Server},
};
use store::{
    job::{Claim, Job, Queue},
    people::InstallationKind,
    sync_run::{DETAIL_JOB, LIST_JOB},
    testing::TestStore,
};
use tokio_util::sync::CancellationToken;

/// Everything on one page.
pub(crate) const ALL: PageRequest = PageRequest { limit: 100_000, cursor: None };

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: u64 = 3_600;

/// Events of bookkeeping: a run that finds nothing new may write these.
const BOOKKEEPING: &[&str] = &[kind::SYNC_RUN_CHANGED];

pub(crate) struct World {
    pub(crate) test: TestStore,
    pub(crate) server: Server,
    pub(crate) services: Services,
    pub(crate) id: IntegrationId,
    now: Arc<AtomicI64>,
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

pub(crate) fn http() -> HttpClient {
    let rules = EgressRules::new(vec!["127.0.0.1/32".parse().unwrap()]);
    HttpClient::new(rules, ClientOptions::default()).unwrap()
}

/// A draft for this server with these fields.
pub(crate) fn draft(server: &Server, mode: &str, fields: &[(&str, &str)]) -> Draft {
    Draft {
        provider: Some("tacticalrmm".to_owned()),
        url: Some(server.url().to_owned()),
        auth_mode: Some(mode.to_owned()),
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), secret(value))).collect(),
        settings: Some(json!({ "allow_plain_http": true, "schedules_enabled": false })),
        ..Draft::default()
    }
}

pub(crate) fn key_draft(server: &Server, key: &str) -> Draft {
    draft(server, "api_key", &[("tacticalrmm_api_key", key)])
}

pub(crate) fn actor(permissions: Permissions) -> Actor {
    Actor {
        kind: ActorKind::Person,
        user: None,
        token: None,
        name: "anna@example.com".to_owned(),
        permissions,
        clients: ClientScope::All,
    }
}

impl World {
    /// Sixty agents of four clients, connected, nothing fetched yet.
    pub(crate) async fn connected(test: TestStore) -> World {
        World::of(test, FleetSpec { seed: 1, agents: 60, clients: 4 }).await
    }

    pub(crate) async fn of(test: TestStore, fleet: FleetSpec) -> World {
        let config = Config { fleet, time_scale: 0.01, detail_bytes: 500, ..Config::default() };
        let server = simulator::tacticalrmm::start(config).await.unwrap();
        let draft = key_draft(&server, &server.accounts().api_key);
        World::with(test, server, draft).await
    }

    pub(crate) async fn with(test: TestStore, server: Server, draft: Draft) -> World {
        World::with_providers(test, server, draft, providers::all()).await
    }

    /// Over these providers; the server may stay idle.
    pub(crate) async fn with_providers(
        test: TestStore,
        server: Server,
        draft: Draft,
        providers: &'static [&'static dyn Provider],
    ) -> World {
        test.store.installation(InstallationKind::Serve).await.unwrap();
        let now = Arc::new(AtomicI64::new(service::now().as_ms()));
        let told = Arc::clone(&now);
        let clock = Clock::from_fn(move || Time(told.load(Ordering::SeqCst)));
        let services = Services::with_clock(test.store.clone(), providers, http(), clock);
        let ctx = Ctx {
            tenant: TenantId(1),
            actor: actor(Permissions::all()),
            request_id: "test".to_owned(),
            now: Time(now.load(Ordering::SeqCst)),
        };
        let id = services.integrations.create(&ctx, draft).await.unwrap().integration.id;
        World { test, server, services, id, now }
    }

    /// The same with all organizations fetched and none mapped.
    pub(crate) async fn fetched(test: TestStore) -> World {
        let world = Box::pin(World::connected(test)).await;
        world.run(RunKind::Organizations).await;
        world
    }

    /// The same with all organizations mapped to clients of their names.
    pub(crate) async fn mapped(test: TestStore) -> World {
        let world = Box::pin(World::fetched(test)).await;
        world.map_all().await;
        world
    }

    /// The same with all devices in the register.
    pub(crate) async fn synced(test: TestStore) -> World {
        let world = Box::pin(World::mapped(test)).await;
        world.run(RunKind::Devices).await;
        world
    }

    pub(crate) async fn map_all(&self) {
        let request =
            AcceptRequest { integration_id: None, min_score: 100, auto_sync: true, create_missing: true };
        self.services.organizations.accept_suggestions(&self.ctx(), request).await.unwrap();
    }

    pub(crate) fn control(&self) -> Control {
        self.server.control()
    }

    pub(crate) fn time(&self) -> Time {
        Time(self.now.load(Ordering::SeqCst))
    }

    /// A person who may do everything, now.
    pub(crate) fn ctx(&self) -> Ctx {
        self.ctx_with(Permissions::all())
    }

    pub(crate) fn ctx_with(&self, permissions: Permissions) -> Ctx {
        Ctx {
            tenant: TenantId(1),
            actor: actor(permissions),
            request_id: "test".to_owned(),
            now: self.time(),
        }
    }

    /// Time passes here.
    pub(crate) fn wait(&self, seconds: u64) {
        self.now.fetch_add(i64::try_from(seconds).unwrap() * 1_000, Ordering::SeqCst);
    }

    /// Time passes everywhere.
    pub(crate) fn pass(&self, seconds: u64) {
        self.wait(seconds);
        self.control().advance(seconds);
    }

    pub(crate) fn fault(&self, route: &str, kind: FaultKind) {
        self.control().set_fault(Fault::new(route, kind));
    }

    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.test.store.clone())
    }

    /// Asks for a run and works on it, and on all that waits in its lane, until it is over.
    pub(crate) async fn run(&self, kind: RunKind) -> SyncRun {
        self.run_of(self.id, kind, false).await
    }

    pub(crate) async fn run_of(&self, id: IntegrationId, kind: RunKind, preview: bool) -> SyncRun {
        self.wait(1);
        let run = self.services.sync.request(&self.ctx(), id, kind, preview).await.unwrap();
        self.work(lane(kind)).await;
        let run = self.services.sync.get(&self.ctx(), run.id).await.unwrap();
        assert!(run.state.is_over(), "{run:?}");
        run
    }

    /// Works until no job of the lane is due.
    pub(crate) async fn work(&self, lane: &'static str) {
        for _ in 0..50 {
            let Some(job) = self.claim(lane).await else { return };
            let stop = CancellationToken::new();
            let outcome = self.attempt(&job, stop).await;
            self.settle(&job, outcome).await;
        }
        panic!("the queue does not run empty");
    }

    pub(crate) async fn claim(&self, lane: &'static str) -> Option<Job> {
        let claim = Claim { owner: "test", kinds: &[lane], most: 1, lease: LEASE };
        self.queue().claim(&claim, self.time()).await.unwrap().pop()
    }

    /// One attempt at a job, to be driven or dropped.
    pub(crate) async fn attempt(&self, job: &Job, stop: CancellationToken) -> Outcome {
        let control = JobControl::new(self.queue(), "test", job.id, LEASE, stop);
        self.handler(&job.kind).run(job, &control).await
    }

    fn handler(&self, kind: &str) -> Arc<dyn Handler> {
        self.services.handlers().into_iter().find(|handler| handler.kind() == kind).unwrap()
    }

    /// As the runner does, but what is to be tried again is due at once.
    pub(crate) async fn settle(&self, job: &Job, outcome: Outcome) {
        let queue = self.queue();
        let settled = match outcome {
            Outcome::Done => queue.done("test", job.id).await,
            Outcome::Retry { error, .. } => queue.retry("test", job.id, self.time(), &error).await,
            Outcome::Dead { error } => queue.bury("test", job.id, &error).await,
            Outcome::GiveBack => queue.give_back("test", job.id).await,
        };
        assert!(settled.unwrap());
    }

    /// Looks at the open run every few milliseconds until `is_so`.
    pub(crate) async fn until(&self, run: &SyncRun, is_so: impl Fn(&SyncRun) -> bool) -> SyncRun {
        for _ in 0..4_000 {
            let run = self.services.sync.get(&self.ctx(), run.id).await.unwrap();
            if is_so(&run) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        panic!("the run does not get there");
    }

    pub(crate) async fn items(&self, run: &SyncRun) -> Vec<RunItem> {
        self.services.sync.items(&self.ctx(), run.id, ALL).await.unwrap().items
    }

    pub(crate) async fn find(&self, filter: AssetFilter) -> Vec<Asset> {
        let assets = &self.services.assets;
        assets.list(&self.ctx(), &filter, AssetSort::Name, Direction::Ascending, &ALL).await.unwrap().items
    }

    pub(crate) async fn search(&self, text: &str) -> Vec<Asset> {
        self.find(AssetFilter { text: Some(text.to_owned()), ..AssetFilter::default() }).await
    }

    /// All assets by the agent's id, each with its detail, which lists leave out.
    pub(crate) async fn assets(&self) -> BTreeMap<String, Asset> {
        let all = self.find(AssetFilter::default()).await;
        let count = all.len();
        let mut by_agent = BTreeMap::new();
        for listed in all {
            let asset = self.services.assets.get(&self.ctx(), listed.id).await.unwrap();
            by_agent.insert(asset.source.external_id.clone(), asset);
        }
        assert_eq!(by_agent.len(), count, "an agent has one asset");
        by_agent
    }

    pub(crate) async fn asset(&self, agent: &str) -> Asset {
        self.assets().await.remove(agent).unwrap()
    }

    /// The register as text, without the time of the last look.
    pub(crate) async fn register(&self) -> Vec<String> {
        let still = |asset: Asset| Asset { observed_at: None, status_stale: false, ..asset };
        self.assets().await.into_values().map(|asset| format!("{:?}", still(asset))).collect()
    }

    pub(crate) async fn last_seq(&self) -> i64 {
        self.services.events.last_seq(&self.ctx()).await.unwrap()
    }

    /// Events after `seq`, without bookkeeping.
    pub(crate) async fn events_since(&self, seq: i64) -> Vec<Event> {
        let events = self.services.events.since(&self.ctx(), seq, 100_000).await.unwrap().events;
        events.into_iter().filter(|event| !BOOKKEEPING.contains(&event.kind.as_str())).collect()
    }

    pub(crate) async fn kinds_since(&self, seq: i64) -> Vec<String> {
        self.events_since(seq).await.into_iter().map(|event| event.kind).collect()
    }

    /// All organizations by the provider's id.
    pub(crate) async fn organizations(&self) -> BTreeMap<String, Organization> {
        let filter = OrganizationFilter { integration_id: Some(self.id), ..OrganizationFilter::default() };
        let page = self.services.organizations.list(&self.ctx(), filter, false, ALL).await.unwrap();
        page.items
            .into_iter()
            .map(|view| (view.organization.external_id.clone(), view.organization))
            .collect()
    }

    pub(crate) async fn organization(&self, external_id: u32) -> Organization {
        self.organizations().await.remove(&external_id.to_string()).unwrap()
    }

    /// Kept counters of clients against the assets that are there.
    pub(crate) async fn assert_counters_fit(&self) {
        let mut counted: BTreeMap<_, u64> = BTreeMap::new();
        for asset in self.assets().await.into_values() {
            *counted.entry(asset.client_id).or_default() += 1;
        }
        for archived in [false, true] {
            let clients = self.services.clients.list(&self.ctx(), None, archived, ALL).await.unwrap().items;
            for view in clients {
                let real = counted.remove(&view.client.id).unwrap_or(0);
                assert_eq!(view.asset_count, real, "{}", view.client.name);
            }
        }
        assert!(counted.is_empty());
    }

    /// A reporting agent of client 1 whose serial number and name no other machine of the integration has.
    pub(crate) async fn distinct_agent_of_list(&self, integration: IntegrationId) -> String {
        let filter = AssetFilter { integration_id: Some(integration), ..AssetFilter::default() };
        let assets = self.find(filter).await;
        let serial = |asset: &Asset| asset.facts.serial.as_deref().and_then(domain::asset::serial_key);
        let is_distinct = |own: &Asset| {
            let mut others = assets.iter().filter(|other| other.id != own.id);
            serial(own).is_some()
                && others.all(|other| serial(other) != serial(own) && other.name != own.name)
        };
        let answering: Vec<String> = self
            .control()
            .agents(Some(1))
            .into_iter()
            .filter(|agent| agent.answers)
            .map(|agent| agent.agent_id)
            .collect();
        let found = assets.iter().find(|asset| {
            answering.contains(&asset.source.external_id)
                && asset.status == domain::status::Status::Online
                && is_distinct(asset)
        });
        found.unwrap().source.external_id.clone()
    }

    /// An agent of the client that reports, has a serial number of its own and a host name of its own.
    pub(crate) async fn distinct_agent(&self, client: u32) -> String {
        let assets = self.assets().await;
        let serial = |asset: &Asset| asset.facts.serial.as_deref().and_then(domain::asset::serial_key);
        let agents = self.control().agents(Some(client));
        let is_distinct = |id: &str| {
            let Some(own) = assets.get(id) else { return false };
            let others = || assets.values().filter(|other| other.id != own.id);
            serial(own).is_some()
                && others().all(|other| serial(other) != serial(own) && other.name != own.name)
        };
        agents.into_iter().find(|agent| agent.answers && is_distinct(&agent.agent_id)).unwrap().agent_id
    }
}

pub(crate) fn lane(kind: RunKind) -> &'static str {
    if kind == RunKind::Details { DETAIL_JOB } else { LIST_JOB }
}
