//! An RMM for tests of this crate: it limits requests, signs in for tokens that end, and counts.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Actor, ActorKind, Ctx, Time, auth::Permissions, id::IntegrationId, id::TenantId, scope::ClientScope,
};
use futures::{StreamExt, stream::BoxStream};
use outbound::{ClientOptions, EgressRules, HttpClient};
use provider::{
    AuthMode, CheckReport, Connection, Descriptor, DetailRecord, DeviceLocation, DevicePage, DeviceRef,
    Dictionary, ErrorKind, Field, FieldKind, Inventory, OrganizationRecord, Problem, Provider, ProviderError,
    RateLimit, ReadUrl, RequestKind, SignedIn, StatusWords,
};
use secrecy::{ExposeSecret, SecretString};
use store::{Store, people::InstallationKind, testing::TestStore};
use url::Url;

use crate::{Options, Services, integration::Draft};

pub(crate) const LIMIT: RateLimit =
    RateLimit { window_s: 60, reads: 100, writes: None, slow_from_percent: 90 };

const HOUR: Duration = Duration::from_secs(3_600);
const RENEW_BEFORE: Duration = Duration::from_secs(25 * 3_600);

static MODES: [AuthMode; 2] = [
    AuthMode {
        id: "login",
        label: "Key",
        help: "The way.",
        fields: &[Field {
            name: "fake_key",
            label: "Key",
            kind: FieldKind::Secret,
            required: true,
            help: "The key.",
        }],
        action_fields: &[],
        needs_sign_in: true,
        token_life: None,
        renew_before: Some(RENEW_BEFORE),
    },
    AuthMode {
        id: "header",
        label: "Header",
        help: "Another way.",
        fields: &[Field {
            name: "fake_key",
            label: "Key",
            kind: FieldKind::Secret,
            required: true,
            help: "The key.",
        }],
        action_fields: &[],
        needs_sign_in: false,
        token_life: None,
        renew_before: None,
    },
];

/// The provider, with what its server knows.
pub(crate) struct Fake {
    limit: Option<RateLimit>,
    pub(crate) sign_ins: AtomicU32,
    pub(crate) sign_outs: AtomicU32,
    pub(crate) requests: AtomicU32,
    /// How long a token lives, in seconds.
    pub(crate) token_life_s: AtomicU64,
    good: Mutex<BTreeSet<String>>,
    /// What sign-ins and requests are refused with.
    pub(crate) refusal: Mutex<Option<ErrorKind>>,
    pub(crate) sign_in_refusal: Mutex<Option<ErrorKind>>,
    /// Whoever holds it keeps sign-ins from ending.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

fn failed(kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, Problem::new("fake_refusal", "The fake refuses.", "Change the test."))
}

impl Fake {
    pub(crate) fn new(limit: Option<RateLimit>) -> &'static Fake {
        Box::leak(Box::new(Fake {
            limit,
            sign_ins: AtomicU32::new(0),
            sign_outs: AtomicU32::new(0),
            requests: AtomicU32::new(0),
            token_life_s: AtomicU64::new(100 * HOUR.as_secs()),
            good: Mutex::default(),
            refusal: Mutex::default(),
            sign_in_refusal: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
        }))
    }

    /// All tokens die.
    pub(crate) fn kill_tokens(&self) {
        self.good.lock().unwrap().clear();
    }

    pub(crate) fn count(&self, counter: &AtomicU32) -> u32 {
        counter.load(Ordering::SeqCst)
    }

    /// A request as a provider makes one.
    pub(crate) async fn ask(&self, connection: &Connection) -> provider::Result<()> {
        connection.budget.take(RequestKind::Read).await?;
        self.requests.fetch_add(1, Ordering::SeqCst);
        if let Some(kind) = *self.refusal.lock().unwrap() {
            return Err(failed(kind));
        }
        let needs_token = connection.auth_mode == "login";
        let is_good = |token: &SecretString| self.good.lock().unwrap().contains(token.expose_secret());
        if needs_token && !connection.token.as_ref().is_some_and(is_good) {
            return Err(failed(ErrorKind::Unauthorized));
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Fake {
    fn descriptor(&self) -> &'static Descriptor {
        static LIMITED: Descriptor = descriptor(Some(LIMIT));
        static UNLIMITED: Descriptor = descriptor(None);
        if self.limit.is_some() { &LIMITED } else { &UNLIMITED }
    }

    fn read_url(&self, pasted: &str, hosts: &[String]) -> std::result::Result<ReadUrl, Problem> {
        let url = Url::parse(pasted).map_err(|_| Problem::new("url", "No address.", "Type one."))?;
        let host = url.host_str().unwrap_or_default();
        if host != "rmm.example.com" && !hosts.iter().any(|allowed| allowed == host) {
            return Err(Problem::new("url_host", "That host is not known.", "Use the vendor's."));
        }
        Ok(ReadUrl { url, notes: Vec::new(), warning: None })
    }

    async fn check(&self, connection: &Connection, _code: Option<&SecretString>) -> CheckReport {
        let problem = self.ask(connection).await.err().map(|error| error.problem);
        CheckReport { ok: problem.is_none(), problem, ..CheckReport::default() }
    }

    async fn sign_in(
        &self,
        _connection: &Connection,
        _code: Option<&SecretString>,
    ) -> provider::Result<SignedIn> {
        let number = self.sign_ins.fetch_add(1, Ordering::SeqCst);
        // Long enough for others to come in between.
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(self.gate.lock().await);
        if let Some(kind) = *self.sign_in_refusal.lock().unwrap() {
            return Err(failed(kind));
        }
        let token = format!("token-{number}");
        self.good.lock().unwrap().insert(token.clone());
        let life = Duration::from_secs(self.token_life_s.load(Ordering::SeqCst));
        let expires_at = Some(crate::now() + life);
        Ok(SignedIn {
            token: SecretString::from(token),
            expires_at,
            account: Some("Fake account".to_owned()),
        })
    }

    async fn sign_out(&self, _connection: &Connection) -> provider::Result<()> {
        self.sign_outs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn inventory(&self) -> &dyn Inventory {
        self
    }
}

#[async_trait]
impl Inventory for Fake {
    async fn organizations(&self, connection: &Connection) -> provider::Result<Vec<OrganizationRecord>> {
        self.ask(connection).await?;
        Ok(vec![OrganizationRecord {
            external_id: "1".to_owned(),
            name: "One".to_owned(),
            sites: Vec::new(),
            device_count: Some(0),
            company: None,
        }])
    }

    async fn dictionary(&self, _connection: &Connection) -> provider::Result<Dictionary> {
        Ok(Dictionary::default())
    }

    fn devices<'a>(
        &'a self,
        _connection: &'a Connection,
        _organization: &'a str,
        _dictionary: &'a Dictionary,
        _page_size: usize,
    ) -> BoxStream<'a, provider::Result<DevicePage>> {
        futures::stream::empty().boxed()
    }

    async fn locate(
        &self,
        _connection: &Connection,
        _devices: &[String],
    ) -> provider::Result<Vec<DeviceLocation>> {
        Ok(Vec::new())
    }

    async fn detail(
        &self,
        _connection: &Connection,
        _device: &DeviceRef<'_>,
    ) -> provider::Result<DetailRecord> {
        Err(failed(ErrorKind::NotFound))
    }

    async fn bulk_details<'a>(
        &'a self,
        _connection: &'a Connection,
    ) -> provider::Result<Option<BoxStream<'a, provider::Result<Vec<DetailRecord>>>>> {
        Ok(None)
    }
}

const fn descriptor(rate_limit: Option<RateLimit>) -> Descriptor {
    Descriptor {
        id: "fake",
        name: "Fake RMM",
        icon: "fake",
        url_label: "URL",
        url_alias: "URL",
        url_example: "https://rmm.example.com",
        organization_words: ("site", "sites"),
        device_words: ("device", "devices"),
        auth_modes: &MODES,
        token_secret: Some("fake_token"),
        account_field: Some("fake_key"),
        status_words: StatusWords::OnlineOffline,
        rate_limit,
        settings: &["rate_share_percent", "custom_fields"],
        documentation: "docs/providers/fake.md",
    }
}

/// The services of one server over this database.
pub(crate) fn node(store: &Store, fake: &'static Fake, hosts: &[&str]) -> Services {
    let http = HttpClient::new(EgressRules::default(), ClientOptions::default()).unwrap();
    let providers: &'static [&'static dyn Provider] = Box::leak(Box::new([fake as &dyn Provider]));
    let rmm_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    Services::with_options(store.clone(), providers, http, Options { rmm_hosts, ..Options::default() })
}

/// A fake, two servers, and an integration whose token was just made.
pub(crate) struct Pair {
    pub(crate) fake: &'static Fake,
    pub(crate) nodes: [Services; 2],
    pub(crate) id: IntegrationId,
    pub(crate) test: TestStore,
}

impl Pair {
    pub(crate) async fn new(test: TestStore, limit: Option<RateLimit>) -> Pair {
        test.store.installation(InstallationKind::Serve).await.unwrap();
        let fake = Fake::new(limit);
        // A server of its own, with connections of its own, where there can be two.
        let second = match test.store.engine() {
            store::Engine::Sqlite => test.store.clone(),
            store::Engine::Postgres => Store::open(&test.location, &test.root_key).await.unwrap(),
        };
        let nodes = [node(&test.store, fake, &[]), node(&second, fake, &[])];
        let id = nodes[0].integrations.create(&ctx(), draft("key-1")).await.unwrap().integration.id;
        Pair { fake, nodes, id, test }
    }
}

pub(crate) fn draft(key: &str) -> Draft {
    Draft {
        provider: Some("fake".to_owned()),
        url: Some("https://rmm.example.com/".to_owned()),
        auth_mode: Some("login".to_owned()),
        fields: [("fake_key".to_owned(), SecretString::from(key.to_owned()))].into(),
        settings: Some(serde_json::json!({ "schedules_enabled": false })),
        ..Draft::default()
    }
}

/// A person who may do everything.
pub(crate) fn ctx() -> Ctx {
    let actor = Actor {
        kind: ActorKind::Person,
        user: None,
        token: None,
        name: "anna@example.com".to_owned(),
        permissions: Permissions::all(),
        clients: ClientScope::All,
    };
    Ctx { tenant: TenantId(1), actor, request_id: "test".to_owned(), now: crate::now() }
}

/// Fleetgate itself.
pub(crate) fn background() -> Ctx {
    crate::schedule::system_ctx(TenantId(1), crate::now())
}

pub(crate) fn in_hours(hours: u32) -> Time {
    crate::now() + HOUR * hours
}
