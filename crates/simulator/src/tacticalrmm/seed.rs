//! The first state of a server. Rows of the recordings serve as they are in the recorded world, and as patterns
//! (the same fields, other values) in generated ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::iso;
use crate::fleet::{CheckCounts, Fleet, FleetSpec, Hardware, Machine, Platform, Presence};
use crate::tacticalrmm::alerts::{ActionRun, Alert};
use crate::tacticalrmm::world::{Cache, StoredCheck, World};

macro_rules! recorded {
    ($name:literal) => {
        body_of(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/tacticalrmm/",
            $name,
            ".json"
        )))
    };
}

/// Fleet time of the recorded world: when its online agents were last seen.
pub(crate) const RECORDED_NOW: &str = "2026-11-21T21:50:11.688031Z";

/// The recorded answer's body.
fn body_of(pair: &str) -> Value {
    let pair: Value = serde_json::from_str(pair).expect("recorded pairs are JSON");
    pair["response"]["body"].clone()
}

fn rows(body: Value) -> Vec<Value> {
    match body {
        Value::Array(rows) => rows,
        other => vec![other],
    }
}

/// A recorded row of a check's definition, as a pattern.
pub(crate) fn check_pattern() -> Value {
    static PATTERN: LazyLock<Value> = LazyLock::new(|| recorded!("checks-detail"));
    PATTERN.clone()
}

/// The recorded detail of a Windows agent, as a pattern.
pub(crate) fn detail_pattern() -> &'static Value {
    static PATTERN: LazyLock<Value> = LazyLock::new(|| recorded!("agents-detail-windows"));
    &PATTERN
}

/// A recorded alert template that leaves everything at its default, as a pattern.
pub(crate) fn template_pattern() -> Value {
    let mut pattern = rows(recorded!("alerttemplates-list")).pop().unwrap_or_default();
    pattern["agent_always_email"] = Value::Null;
    pattern["check_email_alert_severity"] = json!([]);
    pattern
}

/// Recorded Windows updates, as patterns.
pub(crate) fn update_patterns() -> Vec<Value> {
    rows(recorded!("winupdate-list"))
}

/// Recorded programs, as patterns.
pub(crate) fn program_patterns() -> Vec<Value> {
    static PATTERNS: LazyLock<Vec<Value>> =
        LazyLock::new(|| rows(recorded!("software-agent")["software"].clone()));
    PATTERNS.clone()
}

/// Microseconds of a recorded time.
pub(crate) fn micros(time: &Value) -> Option<i64> {
    time.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// The world of the recordings.
pub(super) fn recorded() -> World {
    let now = micros(&RECORDED_NOW.into()).unwrap_or(0);
    let mut world = common(recorded_fleet(), now);
    world.client_templates.insert(2, 1);
    world.history = rows(recorded!("agents-history-all"));
    world.notes = rows(recorded!("agents-notes"));
    world.pending = rows(recorded!("agents-pendingactions"));
    world.pending.push(queued_install(now));
    world.software = Some(rows(recorded!("software-list")));
    world.checks = recorded_checks();
    world.alerts =
        rows(recorded!("alerts-list-all")).iter().filter_map(alert).map(|alert| (alert.id, alert)).collect();
    world.serial = 30;
    world
}

/// The recorded lists count a second pending action, whose row was not recorded: the package that was queued.
fn queued_install(now: i64) -> Value {
    json!({
        "id": 2, "hostname": "CON-WS001", "client": "Contoso Dental", "site": "Main Office", "due": "On next checkin",
        "description": "7zip software install", "entry_time": iso(now), "action_type": "chocoinstall",
        "status": "pending", "details": {"name": "7zip", "output": null, "installed": false}, "agent": 3,
    })
}

/// A generated world.
pub(super) fn generated(spec: FleetSpec, now: i64, detail_bytes: usize) -> World {
    let mut world = common(Fleet::build(spec, now), now);
    world.detail_bytes = detail_bytes;
    world.serial = 1000;
    world.templates.retain(|_, template| template["name"] == "Email only");
    world.url_actions.retain(|_, action| action["action_type"] == "web");
    world.alerts = crate::tacticalrmm::alerts::generated(&world.fleet, now);
    world
}

fn common(fleet: Fleet, now: i64) -> World {
    let by_id = |rows: Vec<Value>| -> BTreeMap<u32, Value> {
        rows.into_iter().filter_map(|row| Some((u32::try_from(row["id"].as_u64()?).ok()?, row))).collect()
    };
    World {
        fleet,
        created: now - 86_400_000_000,
        alerts: BTreeMap::new(),
        scripts: scripts(),
        url_actions: by_id(rows(recorded!("urlaction-list"))),
        templates: by_id(rows(recorded!("alerttemplates-list"))),
        custom_fields: rows(recorded!("customfields-list")),
        key_store: BTreeMap::from([("hook_secret".to_owned(), "peer-webhook-secret".to_owned())]),
        client_templates: HashMap::new(),
        site_templates: HashMap::new(),
        default_template: None,
        history: Vec::new(),
        notes: Vec::new(),
        pending: Vec::new(),
        checks: Vec::new(),
        software: None,
        serial: 0,
        detail_bytes: 4_000,
        cache: Cache::default(),
    }
}

/// Scripts with bodies: the recorded ones, of which two bodies were recorded.
fn scripts() -> Vec<Value> {
    let mut scripts = rows(recorded!("scripts-list-hidden"));
    for script in &mut scripts {
        script["script_body"] = match script["id"].as_u64() {
            Some(1) => recorded!("scripts-detail")["script_body"].clone(),
            Some(5) => json!("param([string]$Name)\nWrite-Output $Name"),
            _ => json!("echo \"not recorded\""),
        };
        script["script_hash"] = Value::Null;
    }
    scripts
}

fn recorded_fleet() -> Fleet {
    let mut fleet = Fleet::empty(1);
    for client in rows(recorded!("clients-list")) {
        let id = number(&client["id"]);
        fleet.put_client(id, text(&client["name"]));
        for site in client["sites"].as_array().into_iter().flatten() {
            fleet.put_site(number(&site["id"]), id, text(&site["name"]));
        }
    }
    let numbers: HashMap<String, u32> = rows(recorded!("agents-list-detail-false"))
        .iter()
        .map(|row| (text(&row["agent_id"]).to_owned(), number(&row["id"])))
        .collect();
    for row in rows(recorded!("agents-list")) {
        if let Some(&number) = numbers.get(text(&row["agent_id"])) {
            let machine = machine(&fleet, number, &row);
            fleet.insert(machine);
        }
    }
    fleet
}

fn machine(fleet: &Fleet, number: u32, row: &Value) -> Machine {
    let is_named = |name: &str, field: &str| name == text(&row[field]);
    let client =
        fleet.clients.values().find(|client| is_named(&client.name, "client_name")).map_or(0, |c| c.id);
    let of_client = fleet.sites_of(client);
    let site = of_client.iter().find(|site| is_named(&site.name, "site_name")).map_or(0, |site| site.id);
    let presence = match (row["status"].as_str(), micros(&row["last_seen"])) {
        (Some("online"), _) => Presence::Reporting { lag: 0 },
        (_, Some(last_seen)) => Presence::Silent { last_seen },
        (_, None) => Presence::Never,
    };
    let checks = |name: &str| u16::try_from(row["checks"][name].as_u64().unwrap_or(0)).unwrap_or(0);
    let is_known = presence != Presence::Never;
    let optional = |field: &str| row[field].as_str().map(Into::into);
    Machine {
        number,
        board: number,
        id: text(&row["agent_id"]).into(),
        client,
        site,
        hostname: text(&row["hostname"]).into(),
        description: optional("description"),
        hardware: Arc::new(hardware(row, is_known)),
        os: optional("operating_system"),
        version: 0,
        agent_version: text(&row["version"]).into(),
        is_server: row["monitoring_type"] == "server",
        presence,
        boot_time: row["boot_time"].as_f64(),
        user: is_known.then(|| format!("user{number:02}").into()),
        user_is_logged_in: row["italic"] == false && row["logged_username"] != "-" && is_known,
        needs_reboot: row["needs_reboot"] == true,
        maintenance: row["maintenance_mode"] == true,
        patches_pending: row["has_patches_pending"] == true,
        overdue_alert: row["overdue_dashboard_alert"] == true,
        public_ip: row["public_ip"].as_str().map(Into::into),
        address: address(text(&row["local_ips"])),
        serial: text(&row["serial_number"]).into(),
        asset_tag: row["custom_fields"][0]["value"].as_str().map(Into::into),
        checks: CheckCounts {
            passing: checks("passing"),
            failing: checks("failing"),
            warning: checks("warning"),
            info: checks("info"),
        },
        offline_minutes: 4,
        overdue_minutes: 30,
    }
}

fn hardware(row: &Value, is_known: bool) -> Hardware {
    let texts = |field: &str| -> Vec<String> {
        row[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let platform = match text(&row["plat"]) {
        "linux" => Platform::Linux,
        "darwin" => Platform::Mac,
        _ => Platform::Windows,
    };
    Hardware {
        platform,
        os: row["operating_system"].as_str().map(str::to_owned),
        arch: text(&row["goarch"]).to_owned(),
        cpus: if is_known { texts("cpu_model") } else { Vec::new() },
        graphics: text(&row["graphics"]).to_owned(),
        make_model: text(&row["make_model"]).to_owned(),
        disks: texts("physical_disks"),
        ram_gb: if row["monitoring_type"] == "server" { 64 } else { 16 },
    }
}

fn address(local_ips: &str) -> [u8; 4] {
    let first = local_ips.split([',', '/']).next().unwrap_or("");
    first.parse::<std::net::Ipv4Addr>().map_or([0; 4], |ip| ip.octets())
}

/// Definitions of all checks, and results where they were recorded; others are shaped like the recorded ones.
fn recorded_checks() -> Vec<StoredCheck> {
    let known = rows(recorded!("agents-checks"));
    rows(recorded!("checks-list"))
        .into_iter()
        .map(|definition| {
            let same = known.iter().find(|check| check["id"] == definition["id"]);
            let mut result =
                same.or(known.first()).map_or(Value::Null, |check| check["check_result"].clone());
            if same.is_none() {
                result["id"] = definition["id"].clone();
                result["agent"] = definition["agent"].clone();
                result["assigned_check"] = definition["id"].clone();
            }
            StoredCheck { definition, result }
        })
        .collect()
}

fn alert(row: &Value) -> Option<Alert> {
    let run = |prefix: &str| {
        Some(ActionRun {
            at: micros(&row[format!("{prefix}action_run")])?,
            retcode: row[format!("{prefix}action_retcode")].as_i64().unwrap_or(0),
            stdout: text(&row[format!("{prefix}action_stdout")]).to_owned(),
        })
    };
    Some(Alert {
        id: u32::try_from(row["id"].as_u64()?).ok()?,
        agent: row["agent"].as_u64().and_then(|number| u32::try_from(number).ok()),
        alert_time: micros(&row["alert_time"])?,
        kind: text(&row["alert_type"]).to_owned(),
        severity: text(&row["severity"]).to_owned(),
        message: text(&row["message"]).to_owned(),
        snooze_until: micros(&row["snooze_until"]),
        snoozed: row["snoozed"] == true,
        resolved: row["resolved"] == true,
        resolved_on: micros(&row["resolved_on"]),
        hidden: row["hidden"] == true,
        check: row["assigned_check"].as_u64().and_then(|id| u32::try_from(id).ok()),
        action: run(""),
        resolved_action: run("resolved_"),
        output: None,
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}
