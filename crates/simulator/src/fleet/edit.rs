//! Changes to a fleet, each of which marks what it touched.

use super::{Fleet, Machine, Presence, build};
use crate::rng::Rng;

const CHANGE_STREAM: u64 = 11;

impl Fleet {
    /// The number the next machine will have.
    pub(crate) fn reserve_number(&mut self) -> u32 {
        let number = self.next_machine;
        self.next_machine += 1;
        number
    }

    /// Registers a machine.
    pub(crate) fn insert(&mut self, machine: Machine) {
        self.next_machine = self.next_machine.max(machine.number + 1);
        self.by_id.insert(machine.id.clone(), machine.number);
        self.by_client.entry(machine.client).or_default().insert(machine.number);
        self.touch(machine.client);
        self.machines.insert(machine.number, machine);
    }

    /// Changes a machine and marks its client; false when there is no such machine.
    pub(crate) fn edit(&mut self, id: &str, change: impl FnOnce(&mut Machine)) -> bool {
        let Some(machine) = self.by_id.get(id).and_then(|number| self.machines.get_mut(number)) else {
            return false;
        };
        change(machine);
        machine.version += 1;
        let client = machine.client;
        self.touch(client);
        true
    }

    /// Takes a machine off the fleet; [`Fleet::restore`] brings it back.
    pub(crate) fn vanish(&mut self, id: &str) -> bool {
        let Some(machine) = self.by_id.remove(id).and_then(|number| self.machines.remove(&number)) else {
            return false;
        };
        if let Some(numbers) = self.by_client.get_mut(&machine.client) {
            numbers.remove(&machine.number);
        }
        self.touch(machine.client);
        self.vanished.insert(machine.id.clone(), machine);
        true
    }

    /// Brings back a machine that vanished.
    pub(crate) fn restore(&mut self, id: &str) -> bool {
        let machine = self.vanished.remove(id).filter(|machine| self.clients.contains_key(&machine.client));
        let is_back = machine.is_some();
        machine.into_iter().for_each(|machine| self.insert(machine));
        is_back
    }

    /// Moves a machine to the first site of a client.
    pub(crate) fn move_machine(&mut self, id: &str, client: u32) -> bool {
        let Some(site) = self.sites.values().find(|site| site.client == client).map(|site| site.id) else {
            return false;
        };
        let Some(number) = self.by_id.get(id).copied() else { return false };
        let Some(machine) = self.machines.get_mut(&number) else { return false };
        let before = machine.client;
        machine.client = client;
        machine.site = site;
        machine.version += 1;
        if let Some(numbers) = self.by_client.get_mut(&before) {
            numbers.remove(&number);
        }
        self.by_client.entry(client).or_default().insert(number);
        self.touch(before);
        self.touch(client);
        true
    }

    /// Installs a machine anew: a second row with another id appears and reports, the old row stays and is silent.
    pub(crate) fn reinstall(&mut self, id: &str, now: i64) -> Option<String> {
        let old = self.find(id)?.clone();
        self.silence(id, now);
        let number = self.reserve_number();
        let machine = build::reinstalled(&old, number, self.seed, now);
        let id = machine.id.to_string();
        self.insert(machine);
        Some(id)
    }

    /// From now on the machine is not heard of.
    pub(crate) fn silence(&mut self, id: &str, now: i64) -> bool {
        self.edit(id, |machine| {
            if let Some(last_seen) = machine.last_seen(now) {
                machine.presence = Presence::Silent { last_seen };
            }
        })
    }

    /// From now on the machine reports.
    pub(crate) fn wake(&mut self, id: &str) -> bool {
        self.edit(id, |machine| machine.presence = Presence::Reporting { lag: 1_000_000 })
    }

    /// Changes description and operating system of that share of the machines; another share each time.
    pub(crate) fn change_fraction(&mut self, fraction: f64) -> usize {
        self.round += 1;
        let round = self.round;
        let permille = (fraction.clamp(0.0, 1.0) * 1_000_000.0) as u64;
        let mut changed = 0;
        let mut clients = std::collections::BTreeSet::new();
        for machine in self.machines.values_mut() {
            let dice =
                Rng::at(self.seed, CHANGE_STREAM + round, u64::from(machine.number)).next() % 1_000_000;
            if dice < permille {
                machine.description = Some(format!("changed in round {round}").into());
                machine.os = machine.os.as_deref().map(|os| next_build(os, round).into());
                machine.version += 1;
                clients.insert(machine.client);
                changed += 1;
            }
        }
        clients.into_iter().for_each(|client| self.touch(client));
        changed
    }

    /// Renames a customer.
    pub(crate) fn rename_client(&mut self, id: u32, name: &str) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        name.clone_into(&mut client.name);
        client.version += 1;
        for number in self.by_client.get(&id).into_iter().flatten() {
            if let Some(machine) = self.machines.get_mut(number) {
                machine.version += 1;
            }
        }
        true
    }

    /// Renames a site.
    pub(crate) fn rename_site(&mut self, id: u32, name: &str) -> bool {
        let Some(site) = self.sites.get_mut(&id) else { return false };
        name.clone_into(&mut site.name);
        let client = site.client;
        for machine in self.machines.values_mut().filter(|machine| machine.site == id) {
            machine.version += 1;
        }
        self.touch(client);
        true
    }

    /// Removes a customer with its sites and machines.
    pub(crate) fn remove_client(&mut self, id: u32) -> bool {
        if self.clients.remove(&id).is_none() {
            return false;
        }
        self.sites.retain(|_, site| site.client != id);
        for number in self.by_client.remove(&id).unwrap_or_default() {
            if let Some(machine) = self.machines.remove(&number) {
                self.by_id.remove(&machine.id);
            }
        }
        true
    }

    /// Marks a client as changed, so that cached answers about it are rendered anew.
    pub(crate) fn touch(&mut self, client: u32) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.version += 1;
        }
    }
}

/// The operating system after an update: the number in the last bracket, or at the end, grows.
fn next_build(os: &str, round: u64) -> String {
    let base = os.split(" +u").next().unwrap_or(os);
    format!("{base} +u{round}")
}
