//! Everything stored about one agent: the stable detail, and the columns the beta API shows.

use serde_json::{Map, Value, json};

use crate::clock::iso;
use crate::fleet::{Machine, Platform, Presence};
use crate::tacticalrmm::rows;
use crate::tacticalrmm::seed;
use crate::tacticalrmm::world::World;

const SERVICE_STREAM: u64 = 31;
/// About what one service takes in JSON.
const SERVICE_BYTES: usize = 330;

/// `GET /agents/<agent_id>/`.
pub(crate) fn stable(world: &World, machine: &Machine, now: i64) -> Value {
    let mut row = columns(world, machine, now);
    row.remove("id");
    let pattern = seed::detail_pattern();
    let mut policy = pattern["effective_patch_policy"].clone();
    policy["id"] = machine.number.into();
    policy["agent"] = machine.number.into();
    let shell = if machine.hardware.platform == Platform::Windows { "cmd" } else { "bash" };
    let more = json!({
        "winupdatepolicy": [policy],
        "effective_patch_policy": policy,
        "applied_policies": pattern["applied_policies"],
        "status": rows::status(machine, now),
        "cpu_model": rows::cpu_model(machine),
        "local_ips": rows::local_ips(machine),
        "make_model": rows::make_model(machine),
        "physical_disks": rows::physical_disks(machine),
        "graphics": rows::graphics(machine),
        "checks": rows::checks(machine.checks),
        "timezone": "America/Los_Angeles",
        "all_timezones": pattern["all_timezones"],
        "client": world.fleet.client_name(machine.client),
        "site_name": world.fleet.site_name(machine.site),
        "custom_fields": rows::custom_fields(machine),
        "effective_default_shell": shell,
    });
    row.extend(object(more));
    row.into()
}

/// One agent of the beta API: the columns without some, and what the stable list computes.
pub(crate) fn beta(world: &World, machine: &Machine, now: i64) -> Value {
    let mut row = columns(world, machine, now);
    let unseen = [
        "id",
        "created_by",
        "created_time",
        "modified_by",
        "modified_time",
        "default_shell",
        "default_shell_custom",
    ];
    for field in unseen {
        row.remove(field);
    }
    let more = json!({
        "hex_mesh_node_id": mesh_in_base64(machine.number),
        "status": rows::status(machine, now),
        "checks": rows::checks(machine.checks),
        "pending_actions_count": world.pending_of(machine.number).count(),
        "cpu_model": rows::cpu_model(machine),
        "graphics": rows::graphics(machine),
        "local_ips": rows::local_ips(machine),
        "make_model": rows::make_model(machine),
        "physical_disks": rows::physical_disks(machine),
        "serial_number": machine.serial,
    });
    row.extend(object(more));
    row.into()
}

/// The stored columns, as one row of the beta list shows them.
pub(crate) fn columns(world: &World, machine: &Machine, now: i64) -> Map<String, Value> {
    let is_known = machine.presence != Presence::Never;
    let known = |value: Value| if is_known { value } else { Value::Null };
    let is_windows = machine.hardware.platform == Platform::Windows;
    let logged_in = if machine.user_is_logged_in { machine.user.as_deref() } else { Some("None") };
    let created = iso(world.created);
    let updated = is_windows.then_some(&created);
    object(json!({
        "id": machine.number,
        "created_by": null,
        "created_time": created,
        "modified_by": null,
        "modified_time": created,
        "version": &*machine.agent_version,
        "operating_system": machine.os,
        "plat": rows::plat(machine),
        "goarch": machine.hardware.arch,
        "hostname": machine.hostname,
        "agent_id": machine.id,
        "last_seen": machine.last_seen(now).map(iso),
        "services": known(services(world, machine)),
        "public_ip": machine.public_ip.as_deref(),
        "total_ram": known(machine.hardware.ram_gb.into()),
        "disks": known(disks(machine)),
        "boot_time": machine.boot_time,
        "logged_in_username": known(logged_in.into()),
        "last_logged_in_user": machine.user,
        "monitoring_type": rows::monitoring_type(machine),
        "description": machine.description,
        "mesh_node_id": format!("{:02x}", machine.number % 256).repeat(48),
        "overdue_email_alert": false,
        "overdue_text_alert": false,
        "overdue_dashboard_alert": machine.overdue_alert,
        "offline_time": machine.offline_minutes,
        "overdue_time": machine.overdue_minutes,
        "check_interval": 120,
        "needs_reboot": machine.needs_reboot,
        "choco_installed": false,
        "wmi_detail": known(wmi_detail(machine)),
        "patches_last_installed": updated,
        "time_zone": null,
        "maintenance_mode": machine.maintenance,
        "block_policy_inheritance": false,
        "default_shell": "use_global",
        "default_shell_custom": "",
        "alert_template": world.template_of(machine).map(|template| template["id"].clone()),
        "site": machine.site,
        "policy": null,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Volumes: sizes are text, only `percent` is a number.
pub(crate) fn disks(machine: &Machine) -> Value {
    let percent = 20 + (machine.number * 37) % 75;
    let (total, unit, device, fstype) = match machine.hardware.platform {
        Platform::Windows => (237.9, "G", "C:", "NTFS"),
        Platform::Linux => (228.3, " GB", "/dev/vda1", "ext4"),
        Platform::Mac => (228.3, " GB", "/dev/disk3s1s1", "apfs"),
    };
    let used = total * f64::from(percent) / 100.0;
    let disk = json!({
        "free": format!("{:.1}{unit}", total - used), "used": format!("{used:.1}{unit}"),
        "total": format!("{total:.1}{unit}"), "device": device, "fstype": fstype, "percent": percent,
    });
    match machine.hardware.platform {
        Platform::Windows if machine.is_server => json!([disk, {
            "free": "1.2T", "used": "669.7G", "total": "1.8T", "device": "D:", "fstype": "NTFS", "percent": 36,
        }]),
        Platform::Windows | Platform::Linux | Platform::Mac => json!([disk]),
    }
}

/// As many services as fit into the configured size; only Windows agents report any.
fn services(world: &World, machine: &Machine) -> Value {
    if machine.hardware.platform != Platform::Windows {
        return json!([]);
    }
    let mut rng = world.fleet.rng_for(SERVICE_STREAM, machine);
    let known = [
        ("Spooler", "Print Spooler"),
        ("wuauserv", "Windows Update"),
        ("BITS", "Background Intelligent Transfer Service"),
        ("tacticalrmm", "TacticalRMM Agent Service"),
        ("Mesh Agent", "Mesh Agent background service"),
    ];
    let count = (world.detail_bytes / SERVICE_BYTES).max(known.len());
    let service = |index: usize| {
        let (name, display) = known.get(index).map_or_else(
            || (format!("svc{index:03}"), format!("Sample Service {index}")),
            |(name, display)| ((*name).to_owned(), (*display).to_owned()),
        );
        let is_running = rng.chance(700);
        let pid = if is_running { rng.between(100, 20_000) } else { 0 };
        json!({
            "pid": pid, "name": name, "status": if is_running { "running" } else { "stopped" },
            "binpath": format!("C:\\WINDOWS\\system32\\svchost.exe -k {name} -p"), "username": "LocalSystem",
            "autodelay": false, "start_type": if is_running { "Automatic" } else { "Manual" },
            "description": format!("{display}. Provides what its name says to programs on this machine."),
            "display_name": display,
        })
    };
    Value::Array((0..count).map(service).collect())
}

fn wmi_detail(machine: &Machine) -> Value {
    match machine.hardware.platform {
        Platform::Windows => windows_wmi(machine),
        Platform::Linux | Platform::Mac => {
            let ips = rows::local_ips(machine);
            let graphics = match rows::graphics(machine) {
                "No graphics cards" => vec![],
                known => vec![known],
            };
            json!({
                "cpus": rows::cpu_model(machine), "gpus": graphics, "disks": rows::physical_disks(machine),
                "local_ips": ips.split(", ").collect::<Vec<_>>(), "make_model": rows::make_model(machine),
                "serialnumber": machine.serial,
            })
        }
    }
}

fn windows_wmi(machine: &Machine) -> Value {
    let mut wmi = seed::detail_pattern()["wmi_detail"].clone();
    let (vendor, model) = rows::make_model(machine).split_once(' ').unwrap_or(("", ""));
    let number = machine.number;
    let mac = mac_text(machine.mac());
    let [a, b, c, _] = machine.address;
    let values = [
        ("/os/0/0/CSName", json!(machine.hostname)),
        ("/os/0/0/Caption", json!(machine.os)),
        ("/cpu/0/0/Name", json!(rows::cpu_model(machine)[0])),
        ("/bios/0/0/SerialNumber", json!(machine.serial)),
        ("/bios/0/0/Manufacturer", json!(vendor)),
        ("/comp_sys/0/0/Name", json!(machine.hostname)),
        ("/comp_sys/0/0/Manufacturer", json!(vendor)),
        ("/comp_sys/0/0/SystemFamily", json!(model)),
        ("/comp_sys/0/0/TotalPhysicalMemory", json!(u64::from(machine.hardware.ram_gb) << 30)),
        ("/graphics/0/0/Caption", json!(rows::graphics(machine))),
        ("/comp_sys_prod/0/0/IdentifyingNumber", json!(machine.serial)),
        ("/comp_sys_prod/0/0/Vendor", json!(vendor)),
        ("/network_config/0/0/MACAddress", json!(mac)),
        ("/network_config/0/0/IPAddress", json!([machine.local_ip(), format!("fe80::{number:x}:2")])),
        ("/network_config/0/0/DefaultIPGateway", json!([format!("{a}.{b}.{c}.1")])),
        ("/network_adapter/0/0/MACAddress", json!(mac)),
    ];
    let dock = machine.dock().map(|dock| ("/network_config/1/0/MACAddress", json!(mac_text(dock))));
    for (place, value) in values.into_iter().chain(dock) {
        if let Some(slot) = wmi.pointer_mut(place) {
            *slot = value;
        }
    }
    wmi
}

fn mac_text([a, b, c, d, e, f]: [u8; 6]) -> String {
    format!("{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}")
}

/// Base64 of the mesh id's 48 bytes, which are all the same.
fn mesh_in_base64(number: u32) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = (number % 256) as usize;
    let sixes = [byte >> 2, (byte & 3) << 4 | byte >> 4, (byte & 15) << 2 | byte >> 6, byte & 63];
    let four: String = sixes.iter().map(|&six| char::from(ALPHABET[six])).collect();
    four.repeat(16)
}
