//! What a Tactical server stores: the fleet and everything hung on it. Pure state; time comes in as a number.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::Value;

use crate::fleet::{Fleet, FleetSpec, Machine};
use crate::tacticalrmm::alerts::Alert;
use crate::tacticalrmm::seed;

/// Appends a machine's row, as it is at a time, to a list.
type WriteRow = fn(&World, &Machine, i64, &mut Vec<u8>);

/// All stored state of one server.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    /// When the install was set up; the creation time of seeded rows.
    pub(crate) created: i64,
    pub(crate) alerts: BTreeMap<u32, Alert>,
    /// Script rows with their bodies.
    pub(crate) scripts: Vec<Value>,
    pub(crate) url_actions: BTreeMap<u32, Value>,
    pub(crate) templates: BTreeMap<u32, Value>,
    pub(crate) custom_fields: Vec<Value>,
    pub(crate) key_store: BTreeMap<String, String>,
    pub(crate) client_templates: HashMap<u32, u32>,
    pub(crate) site_templates: HashMap<u32, u32>,
    pub(crate) default_template: Option<u32>,
    pub(crate) history: Vec<Value>,
    pub(crate) notes: Vec<Value>,
    pub(crate) pending: Vec<Value>,
    /// Check results of machines whose checks are stored rather than derived from their counts.
    pub(crate) checks: Vec<StoredCheck>,
    /// Software rows that were recorded; others are derived from the machine.
    pub(crate) software: Option<Vec<Value>>,
    /// Events counted since start, for ids and the ends of task names.
    pub(crate) serial: u64,
    /// How large `services` of a Windows machine's detail is.
    pub(crate) detail_bytes: usize,
    pub(crate) cache: Cache,
}

/// A check and its latest result.
#[derive(Debug, Clone)]
pub(crate) struct StoredCheck {
    pub(crate) definition: Value,
    pub(crate) result: Value,
}

/// Rendered answers, each with what it was rendered from.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    lists: HashMap<u32, ClientList>,
    clients: Option<(Stamp, Bytes)>,
    /// Grows when something outside of the fleet changes what lists show.
    generation: u64,
}

/// The rendered agent list of a client, and where each row lies in it.
#[derive(Debug, Default)]
pub(crate) struct ClientList {
    stamp: Stamp,
    pub(crate) body: Bytes,
    /// By number.
    rows: Vec<RowPlace>,
}

/// A rendered row.
#[derive(Debug, Clone, Copy)]
struct RowPlace {
    number: u32,
    version: u32,
    start: usize,
    end: usize,
}

impl ClientList {
    /// The row of a machine, unless it changed since.
    fn row(&self, machine: &Machine) -> Option<&[u8]> {
        let index = self.rows.binary_search_by_key(&machine.number, |row| row.number).ok()?;
        let place = self.rows[index];
        (place.version == machine.version).then(|| &self.body[place.start..place.end])
    }
}

/// A state of the fleet, as far as lists can show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stamp {
    version: u64,
    generation: u64,
    fleet_now: i64,
}

impl World {
    /// The world of the recordings: 31 agents of 4 clients.
    pub(crate) fn recorded() -> Self {
        seed::recorded()
    }

    /// A generated fleet with the scripts, hooks and fields of the recordings.
    pub(crate) fn generated(spec: FleetSpec, now: i64, detail_bytes: usize) -> Self {
        seed::generated(spec, now, detail_bytes)
    }

    /// The next number of a row that is not an alert.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The alert template that applies to a machine: of its site, its client, or of the whole install.
    pub(crate) fn template_of(&self, machine: &Machine) -> Option<&Value> {
        let id = self
            .site_templates
            .get(&machine.site)
            .or_else(|| self.client_templates.get(&machine.client))
            .or(self.default_template.as_ref())?;
        self.templates.get(id)
    }

    /// Pending actions of a machine.
    pub(crate) fn pending_of(&self, number: u32) -> impl Iterator<Item = &Value> {
        self.pending.iter().filter(move |action| action["agent"] == number)
    }

    /// The script with that number.
    pub(crate) fn script(&self, id: u64) -> Option<&Value> {
        self.scripts.iter().find(|script| script["id"] == id)
    }

    /// Forgets every rendered list.
    pub(crate) fn touch_all(&mut self) {
        self.cache.generation += 1;
    }

    /// The rendered agent list of a client, `[` and `]` included. When stale, rows that did not change are copied
    /// and the others rendered by `write_row`.
    pub(crate) fn cached_list(&mut self, client: u32, fleet_now: i64, write_row: WriteRow) -> Bytes {
        let version = self.fleet.clients.get(&client).map_or(0, |client| client.version);
        let stamp = Stamp { version, generation: self.cache.generation, fleet_now };
        let old = self.cache.lists.remove(&client).unwrap_or_default();
        let list = if old.stamp == stamp { old } else { self.render_list(client, stamp, &old, write_row) };
        let body = list.body.clone();
        self.cache.lists.insert(client, list);
        body
    }

    fn render_list(&self, client: u32, stamp: Stamp, old: &ClientList, write_row: WriteRow) -> ClientList {
        let is_only_newer =
            old.stamp.generation == stamp.generation && old.stamp.fleet_now == stamp.fleet_now;
        let count = self.fleet.count_of_client(client);
        let mut out = Vec::with_capacity(old.body.len().max(1200 * count) + 2);
        let mut rows = Vec::with_capacity(count);
        out.push(b'[');
        for machine in self.fleet.of_client(client) {
            if !rows.is_empty() {
                out.push(b',');
            }
            let start = out.len();
            match old.row(machine).filter(|_| is_only_newer) {
                Some(row) => out.extend_from_slice(row),
                None => write_row(self, machine, stamp.fleet_now, &mut out),
            }
            rows.push(RowPlace { number: machine.number, version: machine.version, start, end: out.len() });
        }
        out.push(b']');
        out.shrink_to_fit();
        ClientList { stamp, body: out.into(), rows }
    }

    /// The rendered list of clients; rendered by `render` when stale.
    pub(crate) fn cached_clients(&mut self, fleet_now: i64, render: fn(&Self, i64) -> Bytes) -> Bytes {
        let clients = self.fleet.clients.values();
        let version = clients.fold(0u64, |sum, client| {
            sum.wrapping_mul(31)
                .wrapping_add(client.version)
                .wrapping_mul(31)
                .wrapping_add(u64::from(client.id))
        });
        let stamp = Stamp { version, generation: self.cache.generation, fleet_now };
        if let Some((of, body)) = &self.cache.clients
            && *of == stamp
        {
            return body.clone();
        }
        let body = render(self, fleet_now);
        self.cache.clients = Some((stamp, body.clone()));
        body
    }
}
