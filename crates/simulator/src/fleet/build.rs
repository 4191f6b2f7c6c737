//! Builds the fleet of a spec: the same spec, the same fleet.

use std::sync::Arc;

use super::{CheckCounts, Client, Fleet, FleetSpec, Hardware, Machine, Platform, Presence, Site, names};
use crate::rng::{LETTERS, Rng};

const MICROS: i64 = 1_000_000;
const CLIENT_STREAM: u64 = 1;
const MACHINE_STREAM: u64 = 2;
const REINSTALL_STREAM: u64 = 3;

/// Builds everything, as it is at `now`.
pub(super) fn fleet(spec: FleetSpec, now: i64) -> Fleet {
    let mut fleet = Fleet::empty(spec.seed);
    let catalogue = Catalogue::new();
    let clients = spec.clients.max(1);
    for index in 0..clients {
        let mut rng = Rng::at(spec.seed, CLIENT_STREAM, index as u64);
        let client = fleet.add_client(&names::client(index, &mut rng));
        for site in 0..1 + rng.below(4) {
            fleet.add_site(client, &names::site(index % 7 + site, &mut rng));
        }
        for _ in 0..share(spec.agents, clients, index) {
            let machine = fresh_machine(&mut fleet, &catalogue, client, now);
            fleet.insert(machine);
        }
    }
    fleet
}

/// How many of the machines one client gets: two neighbours share unevenly where 2,000 is not exceeded.
fn share(agents: usize, clients: usize, index: usize) -> usize {
    let even = agents / clients + usize::from(index < agents % clients);
    let paired = if index.is_multiple_of(2) { index + 1 < clients } else { true };
    let shift = agents / clients / 4;
    if !paired || agents / clients + shift + 1 > 2000 {
        return even;
    }
    if index.is_multiple_of(2) { even + shift } else { even - shift }
}

/// A new machine at a random site of a client. Now and then it repeats an older one's host name and serial, as a
/// reinstalled machine does.
fn fresh_machine(fleet: &mut Fleet, catalogue: &Catalogue, client: u32, now: i64) -> Machine {
    let number = fleet.reserve_number();
    let mut rng = Rng::at(fleet.seed, MACHINE_STREAM, u64::from(number));
    let sites: Vec<u32> = fleet.sites_of(client).iter().map(|site| site.id).collect();
    let site = sites[rng.below(sites.len())];
    let kind = rng.pick(&catalogue.kinds).clone();
    let prefix = names::prefix(fleet.client_name(client));
    let host = names::host(&prefix, kind.hardware.platform, kind.is_server, number, &mut rng);
    let presence = if number % 83 == 30 { Presence::Never } else { presence(kind.is_server, now, &mut rng) };
    let mut machine = Machine {
        number,
        board: number,
        id: rng.text(LETTERS, 40).into(),
        client,
        site,
        description: names::description(&host, fleet.site_name(site), number, &mut rng).map(Into::into),
        hostname: host.into(),
        os: kind.hardware.os.as_deref().map(Into::into),
        hardware: kind.hardware,
        version: 0,
        agent_version: catalogue.versions[rng.below(catalogue.versions.len())].clone(),
        is_server: kind.is_server,
        presence,
        boot_time: Some((now / MICROS - rng.between(600, 3_000_000)) as f64 + 0.163_392),
        user: Some(names::user(&mut rng).into()),
        user_is_logged_in: !kind.is_server && rng.chance(650),
        needs_reboot: rng.chance(70),
        maintenance: rng.chance(15),
        patches_pending: rng.chance(300),
        overdue_alert: rng.chance(120),
        public_ip: fleet.sites.get(&site).map(|site| site.public_ip.clone()),
        address: [10, (client % 250) as u8, (site % 250) as u8, (number % 250 + 4) as u8],
        serial: serial(kind.is_virtual, number, &mut rng).into(),
        asset_tag: rng.chance(800).then(|| format!("TAG-{number:04}").into()),
        checks: check_counts(&mut rng),
        offline_minutes: 4,
        overdue_minutes: 30,
    };
    if presence == Presence::Never {
        forget(&mut machine, &catalogue.unknown);
    } else if number % 89 == 31 || (rng.chance(4) && number > 10) {
        repeat_an_older_one(fleet, &mut machine);
    }
    machine
}

fn presence(is_server: bool, now: i64, rng: &mut Rng) -> Presence {
    let online = if is_server { 955 } else { 800 };
    let micros = rng.between(0, MICROS);
    match rng.below(1000) {
        n if n < online => Presence::Reporting { lag: rng.between(0, 110) * MICROS + micros },
        n if n < online + (1000 - online) / 3 => {
            Presence::Silent { last_seen: now - rng.between(5 * 60, 29 * 60) * MICROS - micros }
        }
        n if n < 992 => {
            Presence::Silent { last_seen: now - rng.between(31 * 60, 60 * 86_400) * MICROS - micros }
        }
        _ => Presence::Never,
    }
}

fn check_counts(rng: &mut Rng) -> CheckCounts {
    if rng.chance(350) {
        return CheckCounts::default();
    }
    let passing = u16::try_from(rng.below(5)).unwrap_or(0) + 1;
    let fails = |rng: &mut Rng, permille| u16::from(rng.chance(permille));
    CheckCounts { passing, failing: fails(rng, 60), warning: fails(rng, 50), info: fails(rng, 20) }
}

/// Virtual machines share a serial or have none, which is why nobody should key on it.
fn serial(is_virtual: bool, number: u32, rng: &mut Rng) -> String {
    match is_virtual {
        true if rng.chance(300) => "0".to_owned(),
        true => format!("VMware-56 4d {:02x} {:02x} {number:06x}", rng.below(256), rng.below(256)),
        false if rng.chance(10) => "To be filled by O.E.M.".to_owned(),
        false => format!("{}{number:06}", rng.text("ABCDEFGHJKLMNPRSTVWXYZ23456789", 3)),
    }
}

/// What is known of a machine that never reported.
fn forget(machine: &mut Machine, unknown: &Arc<Hardware>) {
    machine.hardware = unknown.clone();
    machine.os = None;
    machine.agent_version = "0.1.0".into();
    machine.boot_time = None;
    machine.user = None;
    machine.user_is_logged_in = false;
    machine.needs_reboot = false;
    machine.patches_pending = false;
    machine.public_ip = None;
    machine.serial = "".into();
    machine.asset_tag = None;
    machine.checks = CheckCounts::default();
}

fn repeat_an_older_one(fleet: &Fleet, machine: &mut Machine) {
    let first = fleet.of_client(machine.client).find(|older| {
        older.hardware.platform == machine.hardware.platform && older.presence != Presence::Never
    });
    if let Some(older) = first {
        machine.hostname = older.hostname.clone();
        machine.serial = older.serial.clone();
        machine.board = older.board;
        machine.hardware = older.hardware.clone();
        machine.os = older.os.clone();
        machine.is_server = older.is_server;
    }
}

/// The same machine after a new installation: another id and number, no memory of users, checks and tags.
pub(super) fn reinstalled(old: &Machine, number: u32, seed: u64, now: i64) -> Machine {
    let mut rng = Rng::at(seed, REINSTALL_STREAM, u64::from(number));
    Machine {
        number,
        id: rng.text(LETTERS, 40).into(),
        presence: Presence::Reporting { lag: rng.between(0, 60) * MICROS },
        boot_time: Some((now / MICROS - 300) as f64),
        version: 0,
        asset_tag: None,
        checks: CheckCounts::default(),
        maintenance: false,
        ..old.clone()
    }
}

/// A kind of machine with the role it plays.
#[derive(Clone)]
struct Kind {
    hardware: Arc<Hardware>,
    is_server: bool,
    is_virtual: bool,
}

struct Catalogue {
    kinds: Vec<Kind>,
    versions: Vec<Arc<str>>,
    unknown: Arc<Hardware>,
}

impl Catalogue {
    fn new() -> Self {
        let kinds = KINDS.iter().flat_map(|row| std::iter::repeat_n(row.kind(), row.weight)).collect();
        let versions = ["2.11.0", "2.11.0", "2.11.0", "2.11.0", "2.10.0", "2.8.0"].map(Arc::from).to_vec();
        Self { kinds, versions, unknown: Arc::new(unknown_hardware()) }
    }
}

/// What stands in the fields of a machine that never reported is the vendor's affair; here all is empty.
pub(crate) fn unknown_hardware() -> Hardware {
    Hardware {
        platform: Platform::Windows,
        os: None,
        arch: "amd64".to_owned(),
        cpus: Vec::new(),
        graphics: String::new(),
        make_model: String::new(),
        disks: Vec::new(),
        ram_gb: 0,
    }
}

struct KindRow {
    weight: usize,
    platform: Platform,
    is_server: bool,
    arch: &'static str,
    os: &'static str,
    cpu: &'static str,
    graphics: &'static str,
    make_model: &'static str,
    disks: &'static [&'static str],
    ram_gb: u32,
}

impl KindRow {
    fn kind(&self) -> Kind {
        let hardware = Hardware {
            platform: self.platform,
            os: Some(self.os.to_owned()),
            arch: self.arch.to_owned(),
            cpus: vec![self.cpu.to_owned()],
            graphics: self.graphics.to_owned(),
            make_model: self.make_model.to_owned(),
            disks: self.disks.iter().map(|&disk| disk.to_owned()).collect(),
            ram_gb: self.ram_gb,
        };
        let is_virtual = self.make_model.contains("VMware") || self.make_model.contains("QEMU");
        Kind { hardware: Arc::new(hardware), is_server: self.is_server, is_virtual }
    }
}

#[rustfmt::skip]
const KINDS: &[KindRow] = &[
    KindRow { weight: 6, platform: Platform::Windows, is_server: false, arch: "amd64", os: "Windows 11 Pro, 64 bit v23H2 (build 22631.3737)", cpu: "Intel(R) Core(TM) i7-1185G7 @ 3.00GHz, 4C/8T", graphics: "Intel(R) Iris(R) Xe Graphics", make_model: "LENOVO ThinkPad X1 Carbon Gen 9", disks: &["Samsung SSD 980 PRO 512GB 477GB SCSI"], ram_gb: 16 },
    KindRow { weight: 5, platform: Platform::Windows, is_server: false, arch: "amd64", os: "Windows 11 Pro, 64 bit v24H2 (build 26100.1742)", cpu: "AMD Ryzen 7 PRO 4750U with Radeon Graphics, 8C/16T", graphics: "AMD Radeon(TM) Graphics", make_model: "HP EliteBook 845 G7", disks: &["SK hynix PC711 256GB 238GB SCSI"], ram_gb: 16 },
    KindRow { weight: 4, platform: Platform::Windows, is_server: false, arch: "amd64", os: "Windows 10 Pro, 64 bit v22H2 (build 19045.4529)", cpu: "Intel(R) Core(TM) i5-9500 CPU @ 3.00GHz, 6C/6T", graphics: "Intel(R) UHD Graphics 630", make_model: "Dell Inc. OptiPlex 7070", disks: &["TOSHIBA MQ04ABF100 932GB IDE", "Samsung SSD 970 EVO Plus 250GB 233GB SCSI"], ram_gb: 8 },
    KindRow { weight: 1, platform: Platform::Windows, is_server: false, arch: "arm64", os: "Windows 11 Pro, 64 bit v24H2 (build 26100.1742)", cpu: "Snapdragon(R) X Elite - X1E78100, 12C/12T", graphics: "Qualcomm(R) Adreno(TM) X1-85 GPU", make_model: "Microsoft Corporation Surface Laptop, 7th Edition", disks: &["WD PC SN740 1TB 954GB SCSI"], ram_gb: 32 },
    KindRow { weight: 2, platform: Platform::Windows, is_server: true, arch: "amd64", os: "Windows Server 2022 Standard, 64 bit v21H2 (build 20348.2527)", cpu: "Intel(R) Xeon(R) Silver 4210 CPU @ 2.20GHz, 8C/16T", graphics: "Matrox G200eW3", make_model: "Dell Inc. PowerEdge R640", disks: &["DELL PERC H730P 1.8TB SCSI"], ram_gb: 64 },
    KindRow { weight: 2, platform: Platform::Windows, is_server: true, arch: "amd64", os: "Windows Server 2019 Standard, 64 bit v1809 (build 17763.5936)", cpu: "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz, 4C/4T", graphics: "VMware SVGA 3D", make_model: "VMware, Inc. VMware Virtual Platform", disks: &["VMware Virtual disk SCSI Disk Device 120GB SCSI"], ram_gb: 32 },
    KindRow { weight: 2, platform: Platform::Linux, is_server: true, arch: "amd64", os: "Debian 12.5 x86_64 6.1.0-21-amd64", cpu: "AMD EPYC 7543 32-Core Processor", graphics: "Cirrus Logic GD 5446", make_model: "QEMU Standard PC (Q35 + ICH9, 2009)", disks: &["0x1af4 virtio HDD vda 80.0 GB"], ram_gb: 64 },
    KindRow { weight: 1, platform: Platform::Linux, is_server: true, arch: "arm64", os: "Ubuntu 24.04 aarch64 6.8.0-35-generic", cpu: "Neoverse-N1", graphics: "No graphics cards", make_model: "QEMU KVM Virtual Machine", disks: &["0x1af4 virtio HDD vda 160.0 GB"], ram_gb: 16 },
    KindRow { weight: 2, platform: Platform::Mac, is_server: false, arch: "arm64", os: "macOS 14.5 arm64 23.5.0", cpu: "Apple M2", graphics: "Apple M2", make_model: "Mac14,2", disks: &["Apple APPLE SSD AP0256Q SCSI SSD disk0 233.8 GB"], ram_gb: 16 },
];

impl Fleet {
    /// Adds a customer without sites.
    pub(crate) fn add_client(&mut self, name: &str) -> u32 {
        let id = self.next_client;
        self.put_client(id, name);
        id
    }

    /// Adds a customer under an id of the caller's.
    pub(crate) fn put_client(&mut self, id: u32, name: &str) {
        self.next_client = self.next_client.max(id + 1);
        self.clients.insert(id, Client { id, name: name.to_owned(), version: 1 });
    }

    /// Adds a place to a customer.
    pub(crate) fn add_site(&mut self, client: u32, name: &str) -> u32 {
        let id = self.next_site;
        self.put_site(id, client, name);
        id
    }

    /// Adds a place under an id of the caller's.
    pub(crate) fn put_site(&mut self, id: u32, client: u32, name: &str) {
        self.next_site = self.next_site.max(id + 1);
        let public_ip = format!("203.0.{}.{}", 113 + id / 250 % 100, id % 250 + 1).into();
        self.sites.insert(id, Site { id, client, name: name.to_owned(), public_ip });
    }
}
