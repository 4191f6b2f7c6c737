//! The register as REST shows it, checked against what the simulated RMM has.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::rig::{Rig, text};

/// Most problems named in a report.
const MOST: usize = 10;

/// Rows of the register by the RMM's id, with what must be equal in two registers of the same fleet.
pub(super) struct Register {
    machines: BTreeMap<String, Machine>,
    /// External ids met twice, and assets without client, source or look.
    pub(super) problems: Vec<String>,
}

#[derive(PartialEq, Eq)]
struct Machine {
    name: String,
    client: String,
    organization: String,
    serial: Option<String>,
}

impl Register {
    /// Reads the export, then each asset in full: only there its source is told.
    pub(super) fn read(rig: &mut Rig) -> Result<Self> {
        let list = rig.api.get("/api/v1/assets.json")?;
        let list = list.as_array().context("the export is not a list")?;
        let mut register = Self { machines: BTreeMap::new(), problems: Vec::new() };
        for item in list {
            let id = text(&item["id"])?;
            let asset = rig.api.get(&format!("/api/v1/assets/{id}"))?;
            register.add(&id, item, &asset);
        }
        Ok(register)
    }

    fn add(&mut self, id: &str, item: &Value, asset: &Value) {
        let told = |value: &Value| value.as_str().map(str::to_owned);
        let source = &asset["source"];
        let machine = (|| {
            Some(Machine {
                name: told(&item["name"])?,
                client: told(&item["client"]["name"])?,
                organization: told(&source["organization_external_id"])?,
                serial: told(&item["serial"]),
            })
        })();
        let external_id = told(&source["external_id"]);
        let (Some(machine), Some(external_id)) = (machine, external_id) else {
            return self.problems.push(format!("`{id}` has no client or no source"));
        };
        // A row of presence stands behind each shown status; without it the asset is not listed at all.
        if item["status"].is_null() || item["observed_at"].is_null() {
            self.problems.push(format!("`{id}` has no status or no look"));
        }
        if self.machines.insert(external_id.clone(), machine).is_some() {
            self.problems.push(format!("the machine `{external_id}` is there twice"));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.machines.len()
    }

    /// Against the machines that the RMM lists, with their organization.
    pub(super) fn against_rmm(&self, rig: &mut Rig) -> Result<Vec<String>> {
        let agents = rig.control.get("/agents")?;
        let mut problems = Vec::new();
        let mut listed = BTreeSet::new();
        for agent in agents.as_array().context("the simulator lists nothing")? {
            let id = text(&agent["agent_id"])?;
            match self.machines.get(&id) {
                None => problems.push(format!("the machine `{id}` is not in the register")),
                Some(machine) if agent["client"] != machine.organization.parse::<u64>().unwrap_or(0) => {
                    problems.push(format!("the machine `{id}` is in another organization"));
                }
                Some(_) => {}
            }
            listed.insert(id);
        }
        let gone = self.machines.keys().filter(|id| !listed.contains(*id));
        problems.extend(gone.map(|id| format!("the machine `{id}` is in the register only")));
        Ok(problems)
    }

    /// Against a register that was filled without any disturbance.
    pub(super) fn against(&self, other: &Register) -> Vec<String> {
        let differs = |(id, machine): (&String, &Machine)| {
            (other.machines.get(id) != Some(machine))
                .then(|| format!("`{id}` differs from the undisturbed one"))
        };
        let mut problems: Vec<String> = self.machines.iter().filter_map(differs).collect();
        if self.machines.len() != other.machines.len() {
            problems.push(format!("{} machines, undisturbed {}", self.machines.len(), other.machines.len()));
        }
        problems
    }
}

/// The first few, and how many there are.
pub(super) fn shortened(mut problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(MOST);
    problems.truncate(MOST);
    if more > 0 {
        problems.push(format!("… and {more} more"));
    }
    problems
}
