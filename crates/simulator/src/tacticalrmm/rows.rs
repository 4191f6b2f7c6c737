//! How a machine looks in the stable agent lists: fields, order and types as recorded.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::iso;
use crate::fleet::{CheckCounts, Machine, Platform, Presence};
use crate::tacticalrmm::world::World;

const MINUTE: i64 = 60_000_000;

/// One row of `GET /agents/`. The order of the fields is the recorded one.
#[derive(Serialize)]
struct ListRow<'a> {
    agent_id: &'a str,
    alert_template: Option<Value>,
    hostname: &'a str,
    site_name: &'a str,
    client_name: &'a str,
    monitoring_type: &'static str,
    description: Option<&'a str>,
    needs_reboot: bool,
    pending_actions_count: usize,
    status: &'static str,
    overdue_text_alert: bool,
    overdue_email_alert: bool,
    overdue_dashboard_alert: bool,
    last_seen: Option<String>,
    boot_time: Option<f64>,
    checks: CheckSummary,
    maintenance_mode: bool,
    logged_username: Option<&'a str>,
    italic: bool,
    block_policy_inheritance: bool,
    plat: &'static str,
    goarch: &'a str,
    has_patches_pending: bool,
    version: &'a str,
    operating_system: Option<&'a str>,
    public_ip: Option<&'a str>,
    cpu_model: Vec<&'a str>,
    graphics: &'a str,
    local_ips: String,
    make_model: &'a str,
    physical_disks: Vec<&'a str>,
    custom_fields: Vec<FieldRow<'a>>,
    serial_number: &'a str,
}

/// `checks` of a row.
#[derive(Serialize)]
pub(crate) struct CheckSummary {
    total: u16,
    passing: u16,
    failing: u16,
    warning: u16,
    info: u16,
    has_failing_checks: bool,
}

/// A custom field's value of an agent.
#[derive(Serialize)]
pub(crate) struct FieldRow<'a> {
    id: u32,
    field: u32,
    agent: u32,
    value: &'a str,
}

/// One row of `GET /agents/?detail=false`.
#[derive(Serialize)]
pub(crate) struct ShortRow<'a> {
    id: u32,
    hostname: &'a str,
    agent_id: &'a str,
    client: &'a str,
    site: &'a str,
}

/// `online`, `offline` or `overdue`, exactly as the real server computes it.
pub(crate) fn status(machine: &Machine, now: i64) -> &'static str {
    let Some(seen) = machine.last_seen(now) else { return "offline" };
    let offline = now - i64::from(machine.offline_minutes) * MINUTE;
    let overdue = now - i64::from(machine.overdue_minutes) * MINUTE;
    if seen < offline && seen > overdue {
        "offline"
    } else if seen < offline && seen < overdue {
        "overdue"
    } else {
        "online"
    }
}

/// The platform's short name.
pub(crate) fn plat(machine: &Machine) -> &'static str {
    match machine.hardware.platform {
        Platform::Windows => "windows",
        Platform::Linux => "linux",
        Platform::Mac => "darwin",
    }
}

/// The role's short name.
pub(crate) fn monitoring_type(machine: &Machine) -> &'static str {
    if machine.is_server { "server" } else { "workstation" }
}

/// Addresses in one string; only Windows agents report bare IPv4.
pub(crate) fn local_ips(machine: &Machine) -> String {
    match (machine.presence, machine.hardware.platform) {
        (Presence::Never, _) => "error getting local ips".to_owned(),
        (_, Platform::Windows) => machine.local_ip(),
        (_, Platform::Linux | Platform::Mac) => {
            format!("{}/24, fe80::{:x}:1/64", machine.local_ip(), machine.number)
        }
    }
}

/// Processors, or the words for not knowing.
pub(crate) fn cpu_model(machine: &Machine) -> Vec<&str> {
    known_or(&machine.hardware.cpus, "unknown cpu model")
}

/// Disks, or the words for not knowing.
pub(crate) fn physical_disks(machine: &Machine) -> Vec<&str> {
    known_or(&machine.hardware.disks, "unknown disk")
}

fn known_or<'a>(known: &'a [String], unknown: &'a str) -> Vec<&'a str> {
    if known.is_empty() { vec![unknown] } else { known.iter().map(String::as_str).collect() }
}

/// Graphics, or the words for not knowing.
pub(crate) fn graphics(machine: &Machine) -> &str {
    match machine.hardware.graphics.as_str() {
        "" => "Graphics info requires agent v1.4.14",
        known => known,
    }
}

/// Make and model, or the words for not knowing.
pub(crate) fn make_model(machine: &Machine) -> &str {
    match machine.hardware.make_model.as_str() {
        "" => "unknown make/model",
        known => known,
    }
}

/// Counted checks.
pub(crate) fn checks(counts: CheckCounts) -> CheckSummary {
    let CheckCounts { passing, failing, warning, info } = counts;
    let has_failing_checks = failing + warning > 0;
    CheckSummary {
        total: passing + failing + warning + info,
        passing,
        failing,
        warning,
        info,
        has_failing_checks,
    }
}

/// Values of custom fields.
pub(crate) fn custom_fields(machine: &Machine) -> Vec<FieldRow<'_>> {
    let row = |value| FieldRow { id: machine.number, field: 1, agent: machine.number, value };
    machine.asset_tag.as_deref().map(row).into_iter().collect()
}

/// Who is logged in, and whether that is only the last user (`italic`). `-` stands for nobody.
pub(crate) fn logged_username<'a>(machine: &'a Machine, status: &str) -> (Option<&'a str>, bool) {
    match (machine.presence, &machine.user) {
        (Presence::Never, _) => (None, false),
        (_, Some(user)) if machine.user_is_logged_in => (Some(user), false),
        (_, user) if status == "online" => (Some(user.as_deref().unwrap_or("-")), true),
        (_, _) => (Some("-"), false),
    }
}

/// What a row shows of its alert template.
pub(crate) fn template_summary(template: Option<&Value>, of: &str) -> Option<Value> {
    template.map(|template| {
        json!({
            "name": template["name"],
            "always_email": template[format!("{of}_always_email")],
            "always_text": template[format!("{of}_always_text")],
            "always_alert": template[format!("{of}_always_alert")],
        })
    })
}

/// Appends one row of the full list.
pub(crate) fn write_list_row(world: &World, machine: &Machine, now: i64, out: &mut Vec<u8>) {
    let status = status(machine, now);
    let (logged_username, italic) = logged_username(machine, status);
    let row = ListRow {
        agent_id: &machine.id,
        alert_template: template_summary(world.template_of(machine), "agent"),
        hostname: &machine.hostname,
        site_name: world.fleet.site_name(machine.site),
        client_name: world.fleet.client_name(machine.client),
        monitoring_type: monitoring_type(machine),
        description: machine.description.as_deref(),
        needs_reboot: machine.needs_reboot,
        pending_actions_count: world
            .pending_of(machine.number)
            .filter(|action| action["status"] == "pending")
            .count(),
        status,
        overdue_text_alert: false,
        overdue_email_alert: false,
        overdue_dashboard_alert: machine.overdue_alert,
        last_seen: machine.last_seen(now).map(iso),
        boot_time: machine.boot_time,
        checks: checks(machine.checks),
        maintenance_mode: machine.maintenance,
        logged_username,
        italic,
        block_policy_inheritance: false,
        plat: plat(machine),
        goarch: &machine.hardware.arch,
        has_patches_pending: machine.patches_pending,
        version: &machine.agent_version,
        operating_system: machine.os.as_deref(),
        public_ip: machine.public_ip.as_deref(),
        cpu_model: cpu_model(machine),
        graphics: graphics(machine),
        local_ips: local_ips(machine),
        make_model: make_model(machine),
        physical_disks: physical_disks(machine),
        custom_fields: custom_fields(machine),
        serial_number: &machine.serial,
    };
    serde_json::to_writer(out, &row).expect("a row of plain values is JSON");
}

/// The row of the short list.
pub(crate) fn short_row<'a>(world: &'a World, machine: &'a Machine) -> ShortRow<'a> {
    ShortRow {
        id: machine.number,
        hostname: &machine.hostname,
        agent_id: &machine.id,
        client: world.fleet.client_name(machine.client),
        site: world.fleet.site_name(machine.site),
    }
}

/// A full list of some machines.
pub(crate) fn list<'a>(world: &World, machines: impl Iterator<Item = &'a Machine>, now: i64) -> Bytes {
    let mut out = Vec::new();
    out.push(b'[');
    for machine in machines {
        if out.len() > 1 {
            out.push(b',');
        }
        write_list_row(world, machine, now, &mut out);
    }
    out.push(b']');
    out.into()
}
