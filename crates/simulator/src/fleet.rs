//! Machines, their names and their life, without any vendor's view of them.
//!
//! A [`FleetSpec`] always builds the same fleet. Text in it is untrusted data on purpose: some rows carry quotes,
//! markup, formulas, emoji and right-to-left text, some host names repeat, some machines were never seen.

mod build;
mod edit;
mod life;
mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::rng::Rng;

/// What fleet to build. The same values always build the same fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetSpec {
    /// Chooses names, hardware and states.
    pub seed: u64,
    /// How many machines.
    pub agents: usize,
    /// How many customers they are spread over.
    pub clients: usize,
}

impl FleetSpec {
    /// A fleet of a size, with at most 2,000 agents a client and at least 8 clients from 240 agents on.
    pub fn sized(agents: usize) -> Self {
        let clients = if agents >= 240 { agents.div_ceil(2000).max(8) } else { agents.div_ceil(30).max(1) };
        Self { seed: 1, agents, clients }
    }
}

impl Default for FleetSpec {
    fn default() -> Self {
        Self::sized(240)
    }
}

/// Whether a fleet changes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing moves unless told: answers are byte-identical for ever.
    Frozen,
    /// Machines check in all the time; at each period some go silent, return, move, are reinstalled or vanish.
    Living {
        /// Time between two rounds of change.
        period: Duration,
    },
}

/// What runs on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    Windows,
    Linux,
    Mac,
}

/// A kind of machine; shared by all of its kind.
#[derive(Debug)]
pub(crate) struct Hardware {
    pub(crate) platform: Platform,
    /// `None` for a machine that was never seen: then nothing else is known either.
    pub(crate) os: Option<String>,
    pub(crate) arch: String,
    pub(crate) cpus: Vec<String>,
    pub(crate) graphics: String,
    pub(crate) make_model: String,
    pub(crate) disks: Vec<String>,
    pub(crate) ram_gb: u32,
}

/// How a machine is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Checks in; was last heard `lag` microseconds before fleet time.
    Reporting { lag: i64 },
    /// Went silent at that time.
    Silent { last_seen: i64 },
    /// Registered, never heard of.
    Never,
}

/// Results of a machine's checks, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CheckCounts {
    pub(crate) passing: u16,
    pub(crate) failing: u16,
    pub(crate) warning: u16,
    pub(crate) info: u16,
}

/// One registered machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) number: u32,
    /// Number of the board in it, which its hardware addresses come from; a new installation keeps it.
    pub(crate) board: u32,
    /// Grows with every change of it; rendered rows compare it.
    pub(crate) version: u32,
    pub(crate) id: Box<str>,
    pub(crate) client: u32,
    pub(crate) site: u32,
    pub(crate) hostname: Box<str>,
    pub(crate) description: Option<Box<str>>,
    pub(crate) hardware: Arc<Hardware>,
    pub(crate) os: Option<Box<str>>,
    pub(crate) agent_version: Arc<str>,
    pub(crate) is_server: bool,
    pub(crate) presence: Presence,
    pub(crate) boot_time: Option<f64>,
    pub(crate) user: Option<Box<str>>,
    pub(crate) user_is_logged_in: bool,
    pub(crate) needs_reboot: bool,
    pub(crate) maintenance: bool,
    pub(crate) patches_pending: bool,
    pub(crate) overdue_alert: bool,
    pub(crate) public_ip: Option<Arc<str>>,
    pub(crate) address: [u8; 4],
    pub(crate) serial: Box<str>,
    pub(crate) asset_tag: Option<Box<str>>,
    pub(crate) checks: CheckCounts,
    pub(crate) offline_minutes: u16,
    pub(crate) overdue_minutes: u16,
}

impl Machine {
    /// When it was last heard of, given fleet time.
    pub(crate) fn last_seen(&self, fleet_now: i64) -> Option<i64> {
        match self.presence {
            Presence::Reporting { lag } => Some(fleet_now - lag),
            Presence::Silent { last_seen } => Some(last_seen),
            Presence::Never => None,
        }
    }

    /// Whether it would answer right now.
    pub(crate) fn answers(&self) -> bool {
        matches!(self.presence, Presence::Reporting { .. })
    }

    /// The hardware address of its own adapter, which begins as its maker's addresses do.
    pub(crate) fn mac(&self) -> [u8; 6] {
        const MAKERS: &[(&str, [u8; 3])] = &[
            ("LENOVO", [0x8c, 0x16, 0x45]),
            ("HP", [0x3c, 0x52, 0x82]),
            ("Dell", [0xf8, 0xbc, 0x12]),
            ("Microsoft", [0xc0, 0x33, 0x5e]),
            ("VMware", [0x00, 0x50, 0x56]),
            ("QEMU", [0x52, 0x54, 0x00]),
            ("Mac", [0xf0, 0x18, 0x98]),
        ];
        let maker = MAKERS.iter().find(|(name, _)| self.hardware.make_model.starts_with(name));
        let [a, b, c] = maker.map_or([0x00, 0x15, 0x5d], |(_, start)| *start);
        let [_, d, e, f] = self.board.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// The hardware address of the dock it was last seen on: the same one at several laptops.
    pub(crate) fn dock(&self) -> Option<[u8; 6]> {
        let is_laptop =
            ["ThinkPad", "EliteBook", "Surface"].iter().any(|name| self.hardware.make_model.contains(name));
        let [_, _, a, b] = (self.board / 24).to_be_bytes();
        (is_laptop && self.board.is_multiple_of(3)).then_some([0x64, 0x4b, 0xf0, 0x10, a, b])
    }

    /// Its address inside its network.
    pub(crate) fn local_ip(&self) -> String {
        let [a, b, c, d] = self.address;
        format!("{a}.{b}.{c}.{d}")
    }
}

/// A customer.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// Grows with every change below it; cached answers compare it.
    pub(crate) version: u64,
}

/// A place of a customer.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) id: u32,
    pub(crate) client: u32,
    pub(crate) name: String,
    pub(crate) public_ip: Arc<str>,
}

/// All customers, sites and machines of one server.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) seed: u64,
    pub(crate) clients: BTreeMap<u32, Client>,
    pub(crate) sites: BTreeMap<u32, Site>,
    pub(crate) machines: BTreeMap<u32, Machine>,
    by_id: HashMap<Box<str>, u32>,
    by_client: BTreeMap<u32, BTreeSet<u32>>,
    vanished: HashMap<Box<str>, Machine>,
    next_client: u32,
    next_site: u32,
    next_machine: u32,
    round: u64,
}

impl Fleet {
    /// No customers and no machines.
    pub(crate) fn empty(seed: u64) -> Self {
        Self {
            seed,
            clients: BTreeMap::new(),
            sites: BTreeMap::new(),
            machines: BTreeMap::new(),
            by_id: HashMap::new(),
            by_client: BTreeMap::new(),
            vanished: HashMap::new(),
            next_client: 1,
            next_site: 1,
            next_machine: 1,
            round: 0,
        }
    }

    /// The fleet of a spec, as it is at `now` (microseconds).
    pub(crate) fn build(spec: FleetSpec, now: i64) -> Self {
        build::fleet(spec, now)
    }

    /// The machine with that id.
    pub(crate) fn find(&self, id: &str) -> Option<&Machine> {
        self.machines.get(self.by_id.get(id)?)
    }

    /// Machines of a client, by number.
    pub(crate) fn of_client(&self, client: u32) -> impl Iterator<Item = &Machine> {
        self.by_client.get(&client).into_iter().flatten().filter_map(|number| self.machines.get(number))
    }

    /// How many machines a client has.
    pub(crate) fn count_of_client(&self, client: u32) -> usize {
        self.by_client.get(&client).map_or(0, BTreeSet::len)
    }

    /// Sites of a client, by name.
    pub(crate) fn sites_of(&self, client: u32) -> Vec<&Site> {
        let mut sites: Vec<&Site> = self.sites.values().filter(|site| site.client == client).collect();
        sites.sort_by(|a, b| a.name.cmp(&b.name));
        sites
    }

    /// Clients by name.
    pub(crate) fn clients_by_name(&self) -> Vec<&Client> {
        let mut clients: Vec<&Client> = self.clients.values().collect();
        clients.sort_by(|a, b| a.name.cmp(&b.name));
        clients
    }

    /// The name of a client, or nothing for one that is gone.
    pub(crate) fn client_name(&self, client: u32) -> &str {
        self.clients.get(&client).map_or("", |client| &client.name)
    }

    /// The name of a site, or nothing for one that is gone.
    pub(crate) fn site_name(&self, site: u32) -> &str {
        self.sites.get(&site).map_or("", |site| &site.name)
    }

    /// Randomness for what a machine carries but the fleet does not store.
    pub(crate) fn rng_for(&self, stream: u64, machine: &Machine) -> Rng {
        Rng::at(self.seed, stream, u64::from(machine.number))
    }
}
