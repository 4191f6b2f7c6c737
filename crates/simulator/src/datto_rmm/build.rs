//! Builds the account of a configuration: the same configuration, the same account. A share of its devices are the very
//! machines of another simulated fleet, with the differences that two installations show in practice.

use std::collections::{BTreeMap, HashSet};

use crate::datto_rmm::world::{Class, DELETED_SITE_UID, Device, Site, World, uuid};
use crate::datto_rmm::{Config, alerts, logs, variables};
use crate::fleet::{Fleet, FleetSpec, Machine, Presence};
use crate::rng::Rng;

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400 * MICROS;
const SITE_STREAM: u64 = 0xE1;
const DEVICE_STREAM: u64 = 0xE2;
const ORDER_STREAM: u64 = 0xE3;

/// Boards from here on are in no other simulated fleet.
const OWN_BOARDS: u32 = 0x80_0000;

/// A machine on its way to become a device.
struct Candidate {
    machine: Machine,
    /// The customer as the other fleet names it, or an own site.
    home: Home,
    class: Class,
    deleted: bool,
    suspended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    /// A customer of the other fleet, by its number.
    Shared(u32),
    /// A customer that only this account has.
    Own(usize),
    OnDemand,
    Deleted,
}

/// Builds everything, as it is at `now`.
pub(super) fn world(config: &Config, now: i64) -> World {
    let mut world = World::empty(config, now);
    let (mut candidates, names) = shared(config, now);
    let hosts: HashSet<Box<str>> = candidates.iter().map(|one| one.machine.hostname.clone()).collect();
    let rest = config.devices.saturating_sub(candidates.len());
    candidates.extend(own(config, rest, &candidates, &names, &hosts, now));
    let sites = add_sites(&mut world, &candidates, &names);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|index| Rng::at(config.seed, ORDER_STREAM, *index as u64).next());
    let mut candidates: Vec<Option<Candidate>> = candidates.into_iter().map(Some).collect();
    for index in order {
        if let Some(candidate) = candidates.get_mut(index).and_then(Option::take) {
            let device = device(&world, candidate, &sites, now);
            world.insert(device);
        }
    }
    alerts::generate(&mut world, now);
    variables::generate(&mut world);
    logs::generate(&mut world, now);
    world
}

/// Machines that the other fleet has as well, and the names of its customers.
fn shared(config: &Config, now: i64) -> (Vec<Candidate>, BTreeMap<u32, String>) {
    let Some(overlap) = config.overlap else { return (Vec::new(), BTreeMap::new()) };
    let mut fleet = Fleet::build(overlap.fleet, now);
    let names = fleet.clients.iter().map(|(id, client)| (*id, client.name.clone())).collect();
    let wanted = (config.devices * usize::from(overlap.percent.min(100)) / 100).min(fleet.machines.len());
    let mut numbers: Vec<u32> = fleet.machines.keys().copied().collect();
    numbers.sort_by_key(|number| Rng::at(overlap.fleet.seed, ORDER_STREAM, u64::from(*number)).next());
    let machines = numbers.into_iter().take(wanted).filter_map(|number| fleet.machines.remove(&number));
    let candidates = machines.enumerate().map(|(rank, machine)| {
        let home = Home::Shared(machine.client);
        let machine = varied(machine, rank, now);
        Candidate { machine, home, class: Class::Device, deleted: false, suspended: rank % 71 == 5 }
    });
    (candidates.collect(), names)
}

/// The same machine as this account shows it: most exactly, some with a difference.
fn varied(mut machine: Machine, rank: usize, now: i64) -> Machine {
    match rank % 16 {
        1 => machine.hostname = format!("{}-NEW", machine.hostname).into(),
        3 => machine.serial = "".into(),
        5 => machine.serial = "Default string".into(),
        7 => machine.serial = format!(" {} ", machine.serial.to_lowercase()).into(),
        9 => machine.hostname = machine.hostname.to_uppercase().into(),
        11 => {
            let fallback = now - 9 * DAY;
            let last_seen = machine.last_seen(now).map_or(fallback, |at| at - 3 * DAY);
            machine.presence = Presence::Silent { last_seen };
        }
        _ => {}
    }
    machine
}

/// Machines that only this account has: other classes, deleted ones, second rows of machines installed anew.
fn own(
    config: &Config,
    count: usize,
    shared: &[Candidate],
    names: &BTreeMap<u32, String>,
    hosts: &HashSet<Box<str>>,
    now: i64,
) -> Vec<Candidate> {
    let spec = FleetSpec { seed: config.seed.wrapping_add(7_919), ..FleetSpec::sized(count) };
    let fleet = Fleet::build(spec, now);
    let clients: Vec<u32> = names.keys().copied().collect();
    let machines = fleet.machines.into_values().enumerate();
    machines.map(|(index, machine)| one_of_own(index, machine, shared, &clients, hosts, now)).collect()
}

fn one_of_own(
    index: usize,
    mut machine: Machine,
    shared: &[Candidate],
    clients: &[u32],
    hosts: &HashSet<Box<str>>,
    now: i64,
) -> Candidate {
    machine.board |= OWN_BOARDS;
    if hosts.contains(&machine.hostname) && !index.is_multiple_of(10) {
        machine.hostname = format!("{}-D", machine.hostname).into();
    }
    let own_home = Home::Own(machine.client as usize);
    let home = match clients {
        [] => own_home,
        _ if machine.client.is_multiple_of(2) => own_home,
        _ => Home::Shared(clients[machine.client as usize % clients.len()]),
    };
    let mut candidate =
        Candidate { machine, home, class: Class::Device, deleted: false, suspended: index % 71 == 5 };
    match index % 40 {
        3 | 23 => candidate.class = Class::Printer,
        7 | 27 => candidate.class = Class::NetworkDevice,
        11 => candidate.class = Class::EsxiHost,
        13 => (candidate.deleted, candidate.home) = (true, Home::Deleted),
        15 => candidate.home = Home::OnDemand,
        16 => candidate.class = Class::Unknown,
        17 => candidate.class = Class::Novel,
        9 if !shared.is_empty() => {
            let twin = &shared[index % shared.len()];
            candidate.home = twin.home;
            candidate.machine = twin.machine.clone();
            candidate.machine.presence = Presence::Silent { last_seen: now - 40 * DAY };
        }
        _ => {}
    }
    candidate
}

fn add_sites(
    world: &mut World,
    candidates: &[Candidate],
    names: &BTreeMap<u32, String>,
) -> BTreeMap<Home, u32> {
    let mut homes: Vec<Home> = candidates.iter().map(|candidate| candidate.home).collect();
    homes.extend([Home::OnDemand, Home::Deleted]);
    homes.sort_unstable();
    homes.dedup();
    let mut sites = BTreeMap::new();
    for home in homes {
        let id = u32::try_from(sites.len()).unwrap_or(0) + 1;
        let (name, company) = match home {
            Home::Shared(client) => shared_site(client, names.get(&client).map_or("", String::as_str)),
            Home::Own(index) => {
                (own_name(index), (index % 3 == 0).then(|| company(index + 500, &own_name(index))))
            }
            Home::OnDemand => ("On-Demand Helpdesk".to_owned(), None),
            Home::Deleted => ("Deleted Devices".to_owned(), None),
        };
        let mut rng = Rng::at(world.seed, SITE_STREAM, u64::from(id));
        let uid = if home == Home::Deleted { DELETED_SITE_UID.to_owned() } else { uuid(&mut rng) };
        let site = Site {
            id,
            uid,
            name,
            description: (id % 3 == 0).then(|| "Managed since 2021".to_owned()),
            notes: (id % 4 == 1).then(|| "Door code 4711, alarm off before 7:00".to_owned()),
            on_demand: home == Home::OnDemand,
            splashtop: id.is_multiple_of(2),
            proxy: None,
            company,
        };
        world.sites.insert(id, site);
        sites.insert(home, id);
    }
    sites
}

/// What this account calls a customer of the other fleet: the same, or nearly.
fn shared_site(client: u32, name: &str) -> (String, Option<(String, String)>) {
    let known = company(client as usize, name);
    match client % 5 {
        0 => (format!("{name} - Main"), Some(known)),
        1 | 2 => (name.to_owned(), None),
        3 => (name.to_uppercase(), Some(known)),
        _ => (format!("{} Site", name.split(' ').next().unwrap_or(name)), Some(known)),
    }
}

fn company(number: usize, name: &str) -> (String, String) {
    ((29_682_000 + number).to_string(), name.to_owned())
}

/// The name of a customer that only this account has.
fn own_name(index: usize) -> String {
    const HEADS: &[&str] = &[
        "Bergmann",
        "Castellan",
        "Dunmore",
        "Eichhof",
        "Foxglove",
        "Grünwald",
        "Halden",
        "Ironbridge",
        "Jura",
        "Kestrel",
        "Lindqvist",
    ];
    const TAILS: &[&str] =
        &["Consulting", "Brewery", "Notare", "Freight", "Veterinary", "Tools", "Hotel", "Academy", "Solar"];
    let (head, tail) = (HEADS[index % HEADS.len()], TAILS[index % TAILS.len()]);
    match index / (HEADS.len() * TAILS.len()) {
        0 => format!("{head} {tail}"),
        round => format!("{head} {tail} {}", round + 1),
    }
}

fn device(world: &World, candidate: Candidate, sites: &BTreeMap<Home, u32>, now: i64) -> Device {
    let number = u32::try_from(world.devices.len()).unwrap_or(0);
    let mut rng = Rng::at(world.seed, DEVICE_STREAM, u64::from(number));
    let Candidate { machine, home, class, deleted, suspended } = candidate;
    let was_heard = machine.presence != Presence::Never;
    let audited_at = machine.last_seen(now).map(|seen| seen - rng.between(0, 20 * 3_600) * MICROS);
    Device {
        number,
        uid: uuid(&mut rng).into(),
        site: sites.get(&home).copied().unwrap_or(1),
        class,
        machine,
        audited_at: audited_at.filter(|_| was_heard && class != Class::NetworkDevice),
        created_at: now - rng.between(20, 900) * DAY,
        deleted,
        suspended,
        udf: BTreeMap::new(),
        warranty: rng
            .chance(400)
            .then(|| format!("20{}-0{}-1{}", rng.between(25, 30), rng.between(1, 10), rng.below(9))),
        is_gone: false,
    }
}
