//! An RMM without a server: it lists the devices of its whole account together, says only online and offline, and does
//! what its script says.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use domain::{
    Time,
    asset::AssetType,
    device::{DeviceDetail, DeviceFacts, Presence},
    status::Status,
    sync::RunKind,
};
use futures::{StreamExt, stream, stream::BoxStream};
use provider::{
    AccountDevice, AccountPage, AuthMode, CheckReport, Company, Connection, Descriptor, DetailRecord,
    DeviceLocation, DevicePage, DeviceRecord, DeviceRef, Dictionary, ErrorKind, Inventory,
    OrganizationRecord, Problem, Provider, ProviderError, ReadUrl, RejectedRow, Result, SignedIn,
    StatusWords, WalkEnd,
};
use secrecy::SecretString;
use service::integration::Draft;
use simulator::{fleet::FleetSpec, tacticalrmm::Config};
use store::testing::TestStore;
use tokio::sync::Notify;
use url::Url;

use crate::world::World;

/// Rows of one page of the account's list.
pub(crate) const ROWS: usize = 250;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "fake",
    name: "Fake RMM",
    icon: "fake",
    url_label: "Address",
    url_alias: "Host",
    url_example: "https://fake.example.com",
    organization_words: ("site", "sites"),
    device_words: ("device", "devices"),
    auth_modes: &[AuthMode {
        id: "none",
        label: "None",
        help: "",
        fields: &[],
        action_fields: &[],
        needs_sign_in: false,
        token_life: None,
        renew_before: None,
    }],
    token_secret: None,
    account_field: None,
    status_words: StatusWords::OnlineOffline,
    rate_limit: None,
    settings: &domain::integration::OF_SOME_PROVIDERS,
    documentation: "docs/providers/fake.md",
};

/// A device of the fake.
#[derive(Clone, Debug)]
pub(crate) struct FakeDevice {
    pub(crate) id: String,
    pub(crate) organization: String,
    pub(crate) description: Option<String>,
    pub(crate) is_online: bool,
    pub(crate) last_seen: Option<Time>,
    pub(crate) detail_as_of: Option<Time>,
}

/// Where the walk waits until a test lets it go on.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) reached: Notify,
    pub(crate) open: Notify,
}

/// What the fake has and does.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) organizations: Vec<OrganizationRecord>,
    /// In the order of the list. A device that stands twice is listed twice.
    pub(crate) devices: Vec<FakeDevice>,
    pub(crate) rejected: Vec<RejectedRow>,
    /// Before this page the walk waits.
    pub(crate) gate: Option<(usize, Arc<Gate>)>,
    /// In place of this page it fails, or ends without a word.
    pub(crate) cut: Option<(usize, Option<ErrorKind>)>,
    /// At its end it says that it was not complete.
    pub(crate) is_incomplete: bool,
    pub(crate) walks: u64,
    pub(crate) organization_lists: u64,
    pub(crate) locates: u64,
}

/// The fake. Its list by organization and its bulk details do not exist: a test that meets them fails.
pub(crate) struct FakeRmm {
    script: Mutex<Script>,
}

impl FakeRmm {
    pub(crate) fn new() -> &'static FakeRmm {
        Box::leak(Box::new(FakeRmm { script: Mutex::default() }))
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// As many devices in as many organizations, in turn: device `d7` is in organization 7 modulo their number. Each is
    /// online and was seen `at`.
    pub(crate) fn fill(&self, organizations: usize, devices: usize, at: Time) {
        let mut script = self.script();
        script.organizations = (0..organizations).map(|n| organization(&n.to_string())).collect();
        let device = |n: usize| FakeDevice {
            id: format!("d{n}"),
            organization: (n % organizations).to_string(),
            description: None,
            is_online: true,
            last_seen: Some(at),
            detail_as_of: None,
        };
        script.devices = (0..devices).map(device).collect();
    }

    pub(crate) fn change(&self, id: &str, change: impl Fn(&mut FakeDevice)) {
        self.script().devices.iter_mut().filter(|device| device.id == id).for_each(change);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.script().devices.retain(|device| device.id != id);
    }

    /// The walk waits before page `n`, from 0.
    pub(crate) fn wait_before(&self, n: usize) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        self.script().gate = Some((n, Arc::clone(&gate)));
        gate
    }
}

/// A world whose RMM is the fake, with nothing in it.
pub(crate) async fn world(test: TestStore) -> (World, &'static FakeRmm) {
    let fake = FakeRmm::new();
    let providers: &'static [&'static dyn Provider] = Box::leak(Box::new([fake as &dyn Provider]));
    let fleet = FleetSpec { seed: 1, agents: 1, clients: 1 };
    let server = simulator::tacticalrmm::start(Config { fleet, ..Config::default() }).await.unwrap();
    let draft = Draft {
        provider: Some("fake".to_owned()),
        url: Some("https://fake.example.com".to_owned()),
        auth_mode: Some("none".to_owned()),
        settings: Some(serde_json::json!({ "schedules_enabled": false })),
        ..Draft::default()
    };
    let world = Box::pin(World::with_providers(test, server, draft, providers)).await;
    (world, fake)
}

/// The same with organizations and devices as [`FakeRmm::fill`] makes them, each organization mapped to a client of its own.
pub(crate) async fn mapped(
    test: TestStore,
    organizations: usize,
    devices: usize,
) -> (World, &'static FakeRmm) {
    let (world, fake) = Box::pin(world(test)).await;
    fake.fill(organizations, devices, world.time());
    world.run(RunKind::Organizations).await;
    world.map_all().await;
    (world, fake)
}

/// The same with all devices in the register.
pub(crate) async fn synced(
    test: TestStore,
    organizations: usize,
    devices: usize,
) -> (World, &'static FakeRmm) {
    let (world, fake) = Box::pin(mapped(test, organizations, devices)).await;
    world.run(RunKind::Devices).await;
    (world, fake)
}

/// An organization of this id.
pub(crate) fn organization(id: &str) -> OrganizationRecord {
    OrganizationRecord {
        external_id: id.to_owned(),
        name: format!("Organization {id}"),
        sites: Vec::new(),
        device_count: None,
        company: None,
    }
}

pub(crate) fn company(name: &str) -> Company {
    Company { id: Some("77".to_owned()), name: name.to_owned() }
}

fn account_device(device: &FakeDevice) -> AccountDevice {
    let facts = DeviceFacts {
        name: format!("PC {}", device.id),
        device_type: AssetType::Workstation,
        site: Some(format!("Site of {}", device.organization)),
        description: device.description.clone(),
        ..DeviceFacts::default()
    };
    let vendor_status = if device.is_online { Status::Online } else { Status::Offline };
    let presence =
        Presence { last_seen: device.last_seen, vendor_status: Some(vendor_status), ..Presence::default() };
    let raw = serde_json::value::to_raw_value(&serde_json::json!({ "id": device.id })).unwrap();
    AccountDevice {
        organization: device.organization.clone(),
        record: DeviceRecord {
            external_id: device.id.clone(),
            facts,
            presence,
            detail_as_of: device.detail_as_of,
            raw,
        },
    }
}

fn refused(kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, Problem::new("fake_refused", "The fake refuses.", "Ask the test."))
}

#[async_trait]
impl Provider for FakeRmm {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn read_url(&self, pasted: &str, _hosts: &[String]) -> std::result::Result<ReadUrl, Problem> {
        Ok(ReadUrl { url: Url::parse(pasted).unwrap(), notes: Vec::new(), warning: None })
    }

    async fn check(&self, _connection: &Connection, _code: Option<&SecretString>) -> CheckReport {
        CheckReport { ok: true, ..CheckReport::default() }
    }

    async fn sign_in(&self, _connection: &Connection, _code: Option<&SecretString>) -> Result<SignedIn> {
        unreachable!("the fake needs no sign-in")
    }

    async fn sign_out(&self, _connection: &Connection) -> Result<()> {
        Ok(())
    }

    fn inventory(&self) -> &dyn Inventory {
        self
    }
}

#[async_trait]
impl Inventory for FakeRmm {
    async fn organizations(&self, _connection: &Connection) -> Result<Vec<OrganizationRecord>> {
        let mut script = self.script();
        script.organization_lists += 1;
        Ok(script.organizations.clone())
    }

    async fn dictionary(&self, _connection: &Connection) -> Result<Dictionary> {
        Ok(Dictionary::default())
    }

    fn devices<'a>(
        &'a self,
        _connection: &'a Connection,
        _organization: &'a str,
        _dictionary: &'a Dictionary,
        _page_size: usize,
    ) -> BoxStream<'a, Result<DevicePage>> {
        unreachable!("what can be walked is not listed by organization")
    }

    fn account_devices<'a>(
        &'a self,
        _connection: &'a Connection,
        _dictionary: &'a Dictionary,
    ) -> Option<BoxStream<'a, Result<AccountPage>>> {
        let mut script = self.script();
        script.walks += 1;
        let mut pages: Vec<Result<AccountPage>> = script
            .devices
            .chunks(ROWS)
            .map(|rows| {
                let devices = rows.iter().map(account_device).collect();
                Ok(AccountPage { devices, calls: 1, ..AccountPage::default() })
            })
            .collect();
        let listed = (script.devices.len() + script.rejected.len()) as u64;
        let total = Some(listed + u64::from(script.is_incomplete));
        let end = WalkEnd { listed, total, is_complete: !script.is_incomplete };
        pages.push(Ok(AccountPage {
            devices: Vec::new(),
            rejected: script.rejected.clone(),
            calls: 1,
            end: Some(end),
        }));
        if let Some((page, kind)) = script.cut {
            pages.truncate(page);
            pages.extend(kind.map(|kind| Err(refused(kind))));
        }
        let gate = script.gate.clone();
        let given = stream::iter(pages.into_iter().enumerate()).then(move |(n, page)| {
            let gate = gate.clone().filter(|(at, _)| *at == n);
            async move {
                if let Some((_, gate)) = gate {
                    gate.reached.notify_one();
                    gate.open.notified().await;
                }
                page
            }
        });
        Some(given.boxed())
    }

    async fn locate(&self, _connection: &Connection, devices: &[String]) -> Result<Vec<DeviceLocation>> {
        let mut script = self.script();
        script.locates += 1;
        let found = script.devices.iter().filter(|device| devices.contains(&device.id));
        let location = |device: &FakeDevice| DeviceLocation {
            external_id: device.id.clone(),
            organization_name: format!("Organization {}", device.organization),
            site_name: None,
        };
        Ok(found.map(location).collect())
    }

    async fn detail(&self, _connection: &Connection, device: &DeviceRef<'_>) -> Result<DetailRecord> {
        let detail = DeviceDetail { ram_bytes: Some(1 << 30), ..DeviceDetail::default() };
        Ok(DetailRecord { external_id: device.external_id.to_owned(), detail })
    }

    async fn bulk_details<'a>(
        &'a self,
        _connection: &'a Connection,
    ) -> Result<Option<BoxStream<'a, Result<Vec<DetailRecord>>>>> {
        Ok(None)
    }
}
