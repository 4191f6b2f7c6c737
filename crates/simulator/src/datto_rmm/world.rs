//! What a Datto account stores: sites, devices and everything hung on them. Pure state; time comes in as a number.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::datto_rmm::alerts::Alert;
use crate::datto_rmm::jobs::Job;
use crate::datto_rmm::logs::Activity;
use crate::datto_rmm::variables::Variable;
use crate::datto_rmm::{Config, build};
use crate::fleet::{Machine, Presence};
use crate::rng::Rng;

const MICROS: i64 = 1_000_000;
const CHANGE_STREAM: u64 = 0xD1;
const MOVE_STREAM: u64 = 0xD2;

/// The first numeric id of a device; a device's id is this plus its number.
const FIRST_DEVICE_ID: u64 = 410_000;

/// The uid of the site that holds deleted devices, which is none.
pub(crate) const DELETED_SITE_UID: &str = "deleted-devices";

/// What Datto takes a device for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Device,
    Printer,
    EsxiHost,
    NetworkDevice,
    Unknown,
    /// A class that no documentation knows.
    Novel,
}

impl Class {
    /// `deviceClass` on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Printer => "printer",
            Self::EsxiHost => "esxihost",
            Self::NetworkDevice => "rmmnetworkdevice",
            Self::Unknown => "unknown",
            Self::Novel => "smartthermostat",
        }
    }
}

/// A customer's place, Datto's unit of everything.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) id: u32,
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) notes: Option<String>,
    pub(crate) on_demand: bool,
    pub(crate) splashtop: bool,
    pub(crate) proxy: Option<Value>,
    /// Id and name of the company in Autotask.
    pub(crate) company: Option<(String, String)>,
}

/// A registered device.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) number: u32,
    pub(crate) uid: Box<str>,
    pub(crate) site: u32,
    pub(crate) class: Class,
    pub(crate) machine: Machine,
    /// When its audit was last renewed.
    pub(crate) audited_at: Option<i64>,
    pub(crate) created_at: i64,
    pub(crate) deleted: bool,
    pub(crate) suspended: bool,
    /// Fields that were written through the API; none for cleared.
    pub(crate) udf: BTreeMap<u16, Option<String>>,
    pub(crate) warranty: Option<String>,
    /// Not listed any more.
    pub(crate) is_gone: bool,
}

impl Device {
    /// Its numeric id.
    pub(crate) fn id(&self) -> u64 {
        FIRST_DEVICE_ID + u64::from(self.number)
    }

    /// Whether Datto shows it as online.
    pub(crate) fn is_online(&self) -> bool {
        self.machine.answers() && !self.deleted
    }
}

/// All stored state of one account.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) account_uid: String,
    pub(crate) account_name: String,
    /// When the account was set up; the time of seeded rows.
    pub(crate) created: i64,
    pub(crate) sites: BTreeMap<u32, Site>,
    pub(crate) devices: Vec<Device>,
    /// Numbers of the devices in the order of the list, which is not that of sites.
    pub(crate) order: Vec<u32>,
    by_uid: HashMap<Box<str>, u32>,
    pub(crate) alerts: BTreeMap<String, Alert>,
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Variables of the account (`None`) and of sites.
    pub(crate) variables: Vec<Variable>,
    pub(crate) activities: Vec<Activity>,
    /// How many fields of its own each device has: 30 or 300.
    pub(crate) udfs: u16,
    /// Whether the platform has the paths of patches.
    pub(crate) has_patches: bool,
    /// Whether one row of the device list is malformed.
    pub(crate) malformed_row: bool,
    /// How many rows change their place after each page of devices.
    pub(crate) moves_per_page: usize,
    /// How long a job waits and runs on a device that is online.
    pub(crate) job_millis: u64,
    serial: u64,
    round: u64,
}

impl World {
    /// An account as configured, as it is at `now` (microseconds).
    pub(crate) fn generated(config: &Config, now: i64) -> Self {
        build::world(config, now)
    }

    /// An account without anything in it.
    pub(crate) fn empty(config: &Config, now: i64) -> Self {
        Self {
            seed: config.seed,
            account_uid: uuid(&mut Rng::at(config.seed, MOVE_STREAM, u64::MAX)),
            account_name: "Simulated MSP".to_owned(),
            created: now - 400 * 86_400 * MICROS,
            sites: BTreeMap::new(),
            devices: Vec::new(),
            order: Vec::new(),
            by_uid: HashMap::new(),
            alerts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            variables: Vec::new(),
            activities: Vec::new(),
            udfs: config.udfs,
            has_patches: config.patches,
            malformed_row: config.malformed_row,
            moves_per_page: 0,
            job_millis: config.job_millis,
            serial: 0,
            round: 0,
        }
    }

    /// The next number of something that is not a device.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A new UUID.
    pub(crate) fn new_uid(&mut self) -> String {
        let serial = self.next_serial();
        uuid(&mut Rng::at(self.seed, MOVE_STREAM, serial))
    }

    /// Registers a device at the end of the list.
    pub(crate) fn insert(&mut self, device: Device) {
        self.by_uid.insert(device.uid.clone(), device.number);
        self.order.push(device.number);
        self.devices.push(device);
    }

    /// The device with that uid.
    pub(crate) fn device_by_uid(&self, uid: &str) -> Option<&Device> {
        self.device(*self.by_uid.get(uid)?)
    }

    /// The device with that number.
    pub(crate) fn device(&self, number: u32) -> Option<&Device> {
        self.devices.get(number as usize).filter(|device| !device.is_gone)
    }

    /// The device with that numeric id.
    pub(crate) fn device_by_id(&self, id: u64) -> Option<&Device> {
        self.device(u32::try_from(id.checked_sub(FIRST_DEVICE_ID)?).ok()?)
    }

    /// Devices that have a hardware address.
    pub(crate) fn devices_by_mac(&self, mac: [u8; 6]) -> Vec<&Device> {
        let has = |device: &&Device| device.machine.mac() == mac || device.machine.dock() == Some(mac);
        self.listed().filter(has).collect()
    }

    /// Devices in the order of the list.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &Device> {
        self.order.iter().filter_map(|number| self.device(*number))
    }

    /// The site with that uid.
    pub(crate) fn site_by_uid(&self, uid: &str) -> Option<&Site> {
        self.sites.values().find(|site| site.uid == uid)
    }

    /// The name of a site, or nothing for one that is gone.
    pub(crate) fn site_name(&self, site: u32) -> &str {
        self.sites.get(&site).map_or("", |site| &site.name)
    }

    /// The first ordinary site.
    pub(crate) fn first_site(&self) -> u32 {
        self.sites.keys().next().copied().unwrap_or(0)
    }

    /// Changes a device; false when there is none.
    pub(crate) fn edit(&mut self, uid: &str, change: impl FnOnce(&mut Device)) -> bool {
        let Some(number) = self.by_uid.get(uid) else { return false };
        let Some(device) = self.devices.get_mut(*number as usize).filter(|device| !device.is_gone) else {
            return false;
        };
        change(device);
        true
    }

    /// Takes a device off the list.
    pub(crate) fn vanish(&mut self, uid: &str) -> bool {
        let Some(number) = self.by_uid.get(uid).copied() else { return false };
        self.order.retain(|listed| *listed != number);
        self.edit(uid, |device| device.is_gone = true)
    }

    /// Brings a device back, at the end of the list.
    pub(crate) fn restore(&mut self, uid: &str) -> bool {
        let Some(number) = self.by_uid.get(uid).copied() else { return false };
        let Some(device) = self.devices.get_mut(number as usize).filter(|device| device.is_gone) else {
            return false;
        };
        device.is_gone = false;
        self.order.push(number);
        true
    }

    /// Installs a device's agent anew: another uid appears and reports, the old one stays and is silent.
    pub(crate) fn reinstall(&mut self, uid: &str, now: i64) -> Option<String> {
        let old = self.device_by_uid(uid)?.clone();
        self.silence(uid, now);
        let new = self.new_uid();
        let mut device = old;
        device.number = u32::try_from(self.devices.len()).unwrap_or(0);
        device.uid = new.as_str().into();
        device.machine.presence = Presence::Reporting { lag: MICROS };
        device.created_at = now;
        device.audited_at = Some(now);
        device.udf.clear();
        self.insert(device);
        Some(new)
    }

    /// From now on the device is not heard of.
    pub(crate) fn silence(&mut self, uid: &str, now: i64) -> bool {
        self.edit(uid, |device| {
            if let Some(last_seen) = device.machine.last_seen(now) {
                device.machine.presence = Presence::Silent { last_seen };
            }
        })
    }

    /// From now on the device reports.
    pub(crate) fn wake(&mut self, uid: &str) -> bool {
        self.edit(uid, |device| device.machine.presence = Presence::Reporting { lag: MICROS })
    }

    /// Changes description and operating system of that share of the devices, another share each time; their audits are
    /// renewed.
    pub(crate) fn change_fraction(&mut self, fraction: f64, now: i64) -> usize {
        self.round += 1;
        let round = self.round;
        let permille = (fraction.clamp(0.0, 1.0) * 1_000_000.0) as u64;
        let mut changed = 0;
        for device in self.devices.iter_mut().filter(|device| !device.is_gone) {
            let dice = Rng::at(self.seed, CHANGE_STREAM + round, u64::from(device.number)).next() % 1_000_000;
            if dice < permille {
                device.machine.description = Some(format!("changed in round {round}").into());
                let os = device.machine.os.as_deref();
                let base = os.map(|os| os.split(" +u").next().unwrap_or(os).to_owned());
                device.machine.os = base.map(|base| format!("{base} +u{round}").into());
                device.audited_at = Some(now);
                changed += 1;
            }
        }
        changed
    }

    /// One round of a living account: about 1 % go silent or return, some audits are renewed, a few devices move to
    /// another site or are installed anew.
    pub(crate) fn live(&mut self, now: i64) {
        self.round += 1;
        let mut rng = Rng::at(self.seed, MOVE_STREAM, self.round << 20);
        if self.order.is_empty() {
            return;
        }
        let some = |permille: usize| (self.order.len() * permille).div_ceil(1000);
        let (few, many) = (some(10), some(60));
        for step in 0..many {
            let number = *rng.pick(&self.order);
            let Some(device) = self.device(number) else { continue };
            let uid = device.uid.to_string();
            let _is_listed = match device.machine.presence {
                Presence::Reporting { .. } if step < few => self.silence(&uid, now),
                Presence::Reporting { .. } => self.edit(&uid, |device| device.audited_at = Some(now)),
                Presence::Silent { .. } if !device.deleted => self.wake(&uid),
                Presence::Silent { .. } | Presence::Never => true,
            };
        }
        let sites: Vec<u32> = self.sites.keys().copied().collect();
        for _ in 0..self.order.len().div_ceil(2_000) {
            let (number, site) = (*rng.pick(&self.order), *rng.pick(&sites));
            let uid = self.device(number).map(|device| device.uid.to_string()).unwrap_or_default();
            if self.sites.get(&site).is_some_and(|site| !site.on_demand && site.uid != DELETED_SITE_UID) {
                self.edit(&uid, |device| device.site = if device.deleted { device.site } else { site });
            }
            self.reinstall(&uid, now);
        }
    }

    /// After a page of devices was read: rows change their places, as they do while somebody pages.
    pub(crate) fn move_rows(&mut self) {
        for _ in 0..self.moves_per_page.min(self.order.len()) {
            let serial = self.next_serial();
            let mut rng = Rng::at(self.seed, MOVE_STREAM, serial);
            let (from, to) = (rng.below(self.order.len()), rng.below(self.order.len()));
            let number = self.order.remove(from);
            self.order.insert(to, number);
        }
    }
}

/// A UUID in its usual form.
pub(crate) fn uuid(rng: &mut Rng) -> String {
    let (high, low) = (rng.next(), rng.next());
    let high = high & !0xF000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
}
