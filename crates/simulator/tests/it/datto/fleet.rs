//! The account as a whole: machines that the other simulated RMM has too, sizes, sameness, life.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use simulator::datto_rmm::{Config, Overlap};
use simulator::fleet::{FleetSpec, Mode};
use simulator::tacticalrmm;

use crate::client::{Sim, quick};
use crate::datto::Datto;

fn macs(text: &str) -> BTreeSet<String> {
    let is_mac = |word: &&str| word.len() == 17 && word.split(':').count() == 6;
    text.split('"').filter(is_mac).map(str::to_owned).collect()
}

/// Serial, host name and hardware addresses of every agent of the other RMM, as that one shows them.
async fn other_side(fleet: FleetSpec) -> Vec<(String, String, BTreeSet<String>)> {
    let config = tacticalrmm::Config { fleet, detail_bytes: 500, ..quick() };
    let sim = Sim::start(config).await;
    let mut seen = Vec::new();
    for row in sim.get("/agents/").await.json().as_array().unwrap() {
        let text = |name: &str| row[name].as_str().unwrap_or("").to_owned();
        let detail = sim.get(&format!("/agents/{}/", text("agent_id"))).await.json();
        seen.push((text("serial_number"), text("hostname"), macs(&detail["wmi_detail"].to_string())));
    }
    seen
}

/// The same machine is the same on both sides: serial, name and address; some differ in one of them.
#[tokio::test]
async fn machines_of_both_rmms_agree_in_what_each_shows() {
    let fleet = FleetSpec { seed: 5, agents: 120, clients: 4 };
    let overlap = Some(Overlap { fleet, percent: 40 });
    let sim = Datto::start(Config { overlap, ..Config::sized(200) }).await;
    let other = other_side(fleet).await;
    let (mut exact, mut renamed, mut docks) = (0, 0, BTreeMap::<String, usize>::new());
    for device in sim.walk("/v2/account/devices", "devices").await {
        let is_device = device["deviceClass"] == "device" && device["deleted"] == false;
        let (Some(uid), true) = (device["uid"].as_str(), is_device) else { continue };
        let audit = sim.json(&format!("/v2/audit/device/{uid}")).await;
        let serial = audit["bios"]["serialNumber"].as_str().unwrap_or("");
        let host = device["hostname"].as_str().unwrap();
        let own: BTreeSet<String> = macs(&audit["nics"].to_string());
        for mac in own.iter().filter(|mac| mac.starts_with("64:4B")) {
            *docks.entry(mac.clone()).or_default() += 1;
        }
        let same = |(theirs, _, addresses): &&(String, String, BTreeSet<String>)| {
            theirs.as_str() == serial && !serial.is_empty() && addresses.iter().any(|mac| own.contains(mac))
        };
        let Some((_, name, _)) = other.iter().find(same) else { continue };
        if name == host {
            exact += 1
        } else {
            renamed += 1
        };
    }
    assert!(exact >= 25, "{exact} machines are exactly the same");
    assert!(renamed >= 3, "{renamed} have another name");
    assert!(docks.values().any(|laptops| *laptops > 1), "a dock is seen at several laptops: {docks:?}");
}

/// Site names resemble the other side's clients, some are equal, others belong to this account alone.
#[tokio::test]
async fn sites_resemble_the_clients_of_the_other_rmm() {
    let fleet = FleetSpec { seed: 5, agents: 240, clients: 8 };
    let sim =
        Datto::start(Config { overlap: Some(Overlap { fleet, percent: 40 }), ..Config::sized(300) }).await;
    let other = Sim::start(tacticalrmm::Config { fleet, ..quick() }).await;
    let clients: BTreeSet<String> =
        other.server.control().clients().into_iter().map(|client| client.name).collect();
    let sites = sim.walk("/v2/account/sites", "sites").await;
    let of = |field: &str| {
        sites.iter().filter(|site| site[field].as_str().is_some_and(|name| clients.contains(name))).count()
    };
    assert!(of("name") >= 2, "equal names");
    assert!(of("autotaskCompanyName") >= 2, "companies that tell who is meant");
    assert!(sites.len() > clients.len(), "and own ones");
}

/// The same configuration is the same account; 100,000 devices are there at once and cost no more than they are.
#[tokio::test]
async fn accounts_are_the_same_again_and_can_be_large() {
    let (one, two) = (Datto::of(90).await, Datto::of(90).await);
    let identity = |rows: Vec<Value>| {
        rows.into_iter()
            .map(|row| (row["uid"].clone(), row["hostname"].clone(), row["siteName"].clone()))
            .collect::<Vec<_>>()
    };
    let walk = async |sim: &Datto| identity(sim.walk("/v2/account/devices", "devices").await);
    assert_eq!(walk(&one).await, walk(&two).await);
    let text = one.get("/v2/account/devices").await.text;
    assert_eq!(text, one.get("/v2/account/devices").await.text, "frozen: to the byte");
    let large = Datto::of(20_000).await;
    let page = large.json("/v2/account/devices?page=79&max=250").await;
    assert_eq!(page["devices"].as_array().unwrap().len(), 250);
}

/// A living account changes, and its share of changes can be ordered.
#[tokio::test]
async fn accounts_live_and_change_on_demand() {
    let mode = Mode::Living { period: std::time::Duration::from_secs(3_600) };
    let sim = Datto::start(Config { mode, ..Config::sized(300) }).await;
    let control = sim.server.control();
    let before = control.devices(None);
    control.live();
    let after = control.devices(None);
    assert!(before != after && after.len() > before.len(), "an agent was installed anew");
    let changed = control.change_fraction(0.2);
    assert!((30..100).contains(&changed), "{changed}");
}
