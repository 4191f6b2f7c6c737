//! Fleets: sizes, sameness, untrusted text, and the recorded world's values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use simulator::fleet::{FleetSpec, Mode};
use simulator::tacticalrmm::Config;

use crate::client::{Sim, quick};

fn pair(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tacticalrmm");
    let text = std::fs::read_to_string(Path::new(folder).join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn recorded(name: &str) -> Value {
    pair(name)["response"]["body"].take()
}

fn by<'a>(rows: &'a Value, key: &str) -> BTreeMap<String, &'a Value> {
    rows.as_array().unwrap().iter().map(|row| (row[key].to_string(), row)).collect()
}

/// The number of a custom field's value row means nothing to anyone; the simulator has the agent's in its place.
fn without_field_ids(rows: &mut Value) {
    for row in rows.as_array_mut().unwrap() {
        row.get_mut("custom_fields").and_then(Value::as_array_mut).into_iter().flatten().for_each(|field| {
            field["id"] = Value::Null;
        });
    }
}

#[tokio::test]
async fn the_recorded_world_shows_the_recorded_values() {
    let sim = Sim::recorded().await;
    for (path, name, key) in [
        ("/agents/", "agents-list", "agent_id"),
        ("/agents/?detail=false", "agents-list-detail-false", "agent_id"),
        ("/clients/sites/", "sites-list", "id"),
        ("/software/", "software-list", "agent"),
        ("/checks/", "checks-list", "id"),
        ("/core/customfields/", "customfields-list", "id"),
        ("/scripts/", "scripts-list", "id"),
    ] {
        let (mut found, mut wanted) = (sim.get(path).await.json(), recorded(name));
        without_field_ids(&mut found);
        without_field_ids(&mut wanted);
        let (found, wanted) = (by(&found, key), by(&wanted, key));
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{name}");
        for (id, row) in wanted {
            assert_eq!(found[&id], row, "{name} {id}");
        }
    }
}

#[tokio::test]
async fn fields_of_the_list_come_in_the_recorded_order() {
    let sim = Sim::of(30).await;
    let keys = [
        "agent_id",
        "alert_template",
        "hostname",
        "status",
        "last_seen",
        "checks",
        "local_ips",
        "serial_number",
    ];
    let text = sim.get("/agents/?client=1").await.text;
    let places: Vec<usize> = keys.iter().map(|key| text.find(&format!("\"{key}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn clients_hold_at_most_2000_agents_and_all_agents_are_there() {
    for (agents, clients) in [(30, 1), (240, 8), (5_000, 8), (20_000, 10)] {
        assert_eq!(FleetSpec::sized(agents).clients, clients);
    }
    let sim = Sim::of(5_000).await;
    let counts: Vec<u64> = sim
        .get("/clients/")
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["agent_count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), 5_000);
    assert!(counts.iter().all(|count| (1..=2000).contains(count)), "{counts:?}");
    assert_eq!(sim.get("/agents/").await.json().as_array().unwrap().len(), 5_000);
}

#[tokio::test]
async fn a_frozen_fleet_answers_the_same_bytes_for_ever() {
    let sim = Sim::of(300).await;
    for path in ["/clients/", "/agents/", "/agents/?client=2", "/software/", "/checks/"] {
        let first = sim.get(path).await.text;
        assert!(first == sim.get(path).await.text, "{path}");
    }
}

#[tokio::test]
async fn the_same_seed_builds_the_same_fleet_and_another_seed_another() {
    let names = async |seed| {
        let fleet = FleetSpec { seed, ..FleetSpec::sized(300) };
        Sim::start(Config { fleet, ..quick() }).await.get("/agents/?detail=false").await.text
    };
    assert_eq!(names(7).await, names(7).await);
    assert_ne!(names(7).await, names(8).await);
}

#[tokio::test]
async fn a_fleet_has_every_status_platform_and_kind_of_nasty_text() {
    let sim = Sim::of(2_000).await;
    let rows = sim.get("/agents/").await.json();
    let values =
        |key: &str| rows.as_array().unwrap().iter().map(|row| row[key].to_string()).collect::<Vec<_>>();
    let distinct = |key: &str| values(key).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(distinct("status").len(), 3);
    assert_eq!(distinct("plat").len(), 3);
    assert_eq!(distinct("monitoring_type").len(), 2);
    assert!(distinct("last_seen").contains("null"), "some were never seen");
    assert!(distinct("hostname").len() < 2_000, "some host names repeat");
    assert_eq!(distinct("agent_id").len(), 2_000);
    let descriptions = values("description").join("\n");
    for nasty in
        ["<script>", "=HYPERLINK", "\\\"no\\\"", "🔥", "\u{202e}", "DROP TABLE", "{{agent.hostname}}"]
    {
        assert!(descriptions.contains(nasty), "{nasty}");
    }
    assert!(values("client_name").join("\n").contains("<GmbH>"));
}

#[tokio::test]
async fn a_living_fleet_moves_by_itself() {
    let mode = Mode::Living { period: Duration::from_millis(20) };
    let sim = Sim::start(Config { fleet: FleetSpec::sized(300), mode, ..quick() }).await;
    let before = sim.get("/agents/?detail=false").await.text;
    let start = Instant::now();
    while sim.get("/agents/?detail=false").await.text == before {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing was moved, reinstalled or removed");
    }
}

#[tokio::test]
async fn rounds_of_life_are_the_same_for_the_same_seed() {
    let after_ten_rounds = async || {
        let sim = Sim::of(300).await;
        (0..10).for_each(|_| sim.server.control().live());
        let rows = sim.get("/agents/").await.json();
        let shown = |row: &Value| format!("{} {} {}", row["agent_id"], row["client_name"], row["status"]);
        rows.as_array().unwrap().iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(after_ten_rounds().await, after_ten_rounds().await);
}

/// Ids of the rows of a list, of a page, or of the oldest alerts.
fn ids(body: &Value) -> Vec<u64> {
    let rows = body.get("results").or_else(|| body.get("alerts")).unwrap_or(body);
    rows.as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn recorded_filters_select_the_recorded_rows() {
    let sim = Sim::start(Config { recorded: true, beta: true, ..quick() }).await;
    let names = [
        "agents-list-client",
        "agents-list-site",
        "agents-list-servers",
        "alerts-list-all",
        "alerts-open",
        "alerts-filter-full",
        "alerts-filter-client-empty",
        "alerts-filter-true-is-no-filter",
        "alerts-top",
        "beta-agent-list-p1",
        "beta-agent-list-p2",
        "beta-agent-list-last",
        "beta-agent-filter-hostname",
        "beta-agent-filter-client_id",
        "beta-agent-filter-last_seen",
        "beta-agent-search",
        "beta-site-list",
        "beta-client-list",
        "scripts-list",
        "scripts-list-hidden",
        "scripts-list-own-only",
        "clients-list",
    ];
    for name in names {
        let pair = pair(name);
        let request = &pair["request"];
        let (method, path) = (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
        let body = if request["body"].is_null() { serde_json::json!({}) } else { request["body"].clone() };
        let got = sim.call(method, path, body).await.json();
        let wanted = &pair["response"]["body"];
        let (mut found, mut recorded) = (ids(&got), ids(wanted));
        if name.starts_with("agents-") {
            // The stable lists have no order.
            found.sort_unstable();
            recorded.sort_unstable();
        }
        assert_eq!(found, recorded, "{name}");
        for count in ["count", "alerts_count"] {
            assert_eq!(got.get(count), wanted.get(count), "{name}");
        }
        for page in ["next", "previous"] {
            let of_us =
                |value: &Value| value.as_str().map(|url| url.split_once("/beta/").unwrap().1.to_owned());
            assert_eq!(got.get(page).and_then(of_us), wanted.get(page).and_then(of_us), "{name}");
        }
    }
}
