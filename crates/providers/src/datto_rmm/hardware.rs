//! What only an audit gives, by the class of device. Pure.
//!
//! Sizes are taken for bytes, as Windows counts them; Datto's documents do not say. A size that no memory has is left
//! out.

use std::collections::{BTreeMap, HashMap};

use domain::device::{DeviceDetail, MAX_LIST, Volume, clean_mac};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    normalize::known,
    wire::{Number, Text, object},
};
use crate::facts::identifies_a_machine;

/// Less than this is a number in another unit.
const SMALLEST_MEMORY: u64 = 16 << 20;

/// What an audit of any class may have; each class leaves out what it does not know.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Audit<'a> {
    #[serde(borrow)]
    system_info: Option<SystemInfo<'a>>,
    #[serde(borrow)]
    nics: Option<Vec<Nic<'a>>>,
    #[serde(borrow)]
    bios: Option<Bios<'a>>,
    #[serde(borrow)]
    base_board: Option<BaseBoard<'a>>,
    #[serde(borrow)]
    displays: Option<Vec<Display<'a>>>,
    #[serde(borrow)]
    logical_disks: Option<Vec<LogicalDisk<'a>>>,
    #[serde(borrow)]
    mobile_info: Option<Vec<Mobile<'a>>>,
    #[serde(borrow)]
    processors: Option<Vec<Processor<'a>>>,
    #[serde(borrow)]
    video_boards: Option<Vec<VideoBoard<'a>>>,
    #[serde(borrow)]
    attached_devices: Option<Vec<Attached<'a>>>,
    #[serde(borrow)]
    snmp_info: Option<Snmp<'a>>,
    #[serde(borrow)]
    physical_memory: Option<Vec<Memory<'a>>>,
    #[serde(borrow)]
    guests: Option<Vec<Guest<'a>>>,
    #[serde(borrow)]
    datastores: Option<Vec<Datastore<'a>>>,
    #[serde(borrow)]
    printer_marker_supplies: Option<Vec<Supply<'a>>>,
    printer: Option<Printer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SystemInfo<'a> {
    #[serde(borrow)]
    manufacturer: Text<'a>,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    total_physical_memory: Number,
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(borrow)]
    dot_net_version: Text<'a>,
    total_cpu_cores: Number,
    #[serde(borrow)]
    service_tag: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Nic<'a> {
    #[serde(borrow)]
    instance: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    ipv4: Text<'a>,
    #[serde(borrow)]
    ipv6: Text<'a>,
    #[serde(borrow)]
    mac_address: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Bios<'a> {
    #[serde(borrow)]
    instance: Text<'a>,
    #[serde(borrow)]
    serial_number: Text<'a>,
    #[serde(borrow)]
    sm_bios_version: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BaseBoard<'a> {
    #[serde(borrow)]
    manufacturer: Text<'a>,
    #[serde(borrow)]
    product: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Display<'a> {
    #[serde(borrow)]
    instance: Text<'a>,
    screen_height: Number,
    screen_width: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogicalDisk<'a> {
    #[serde(borrow)]
    description: Text<'a>,
    #[serde(borrow)]
    disk_identifier: Text<'a>,
    freespace: Number,
    size: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Mobile<'a> {
    #[serde(borrow)]
    iccid: Text<'a>,
    #[serde(borrow)]
    imei: Text<'a>,
    #[serde(borrow)]
    number: Text<'a>,
    #[serde(borrow)]
    operator: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Processor<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    number_of_cores: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct VideoBoard<'a> {
    #[serde(borrow)]
    display_adapter: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Attached<'a> {
    #[serde(borrow)]
    device_name: Text<'a>,
    #[serde(borrow)]
    device_type: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Snmp<'a> {
    #[serde(borrow)]
    snmp_name: Text<'a>,
    #[serde(borrow)]
    snmp_contact: Text<'a>,
    #[serde(borrow)]
    snmp_description: Text<'a>,
    #[serde(borrow)]
    snmp_location: Text<'a>,
    #[serde(borrow)]
    nic_manufacturer: Text<'a>,
    #[serde(borrow)]
    object_id: Text<'a>,
    #[serde(borrow)]
    snmp_serial: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Memory<'a> {
    #[serde(borrow)]
    module: Text<'a>,
    size: Number,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    speed: Text<'a>,
    #[serde(borrow)]
    serial_number: Text<'a>,
    #[serde(borrow)]
    part_number: Text<'a>,
    #[serde(borrow)]
    bank: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Guest<'a> {
    #[serde(borrow)]
    guest_name: Text<'a>,
    number_of_snapshots: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Datastore<'a> {
    #[serde(borrow)]
    datastore_name: Text<'a>,
    #[serde(borrow)]
    file_system: Text<'a>,
    free_space: Number,
    size: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Supply<'a> {
    #[serde(borrow)]
    description: Text<'a>,
    #[serde(borrow)]
    max_capacity: Text<'a>,
    #[serde(borrow)]
    supplies_level: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Printer {
    printed_page_count: Number,
}

/// The detail that an audit of any class stands for.
pub(crate) fn detail(audit: &Audit<'_>) -> DeviceDetail {
    let system = audit.system_info.as_ref();
    let bios = audit.bios.as_ref().and_then(|bios| known(&bios.serial_number));
    let tag = system.and_then(|system| known(&system.service_tag));
    let snmp = audit.snmp_info.as_ref().and_then(|snmp| known(&snmp.snmp_serial));
    let graphics = list(&audit.video_boards, |board| known(&board.display_adapter));
    DeviceDetail {
        ram_bytes: ram(audit),
        volumes: volumes(audit),
        macs: list(&audit.nics, |nic| nic.mac_address.as_str().and_then(usable_mac)),
        make_model: joined(
            " ",
            [system.and_then(|s| known(&s.manufacturer)), system.and_then(|s| known(&s.model))],
        ),
        serial: bios.or(tag).or(snmp),
        cpus: rows(&audit.processors).filter_map(|cpu| known(&cpu.name)).take(MAX_LIST).collect(),
        graphics: (!graphics.is_empty()).then(|| graphics.join(", ")),
        lan_ips: lan_ips(audit),
        more: more(audit),
        ..DeviceDetail::default()
    }
}

fn rows<T>(list: &Option<Vec<T>>) -> impl Iterator<Item = &T> {
    list.iter().flatten()
}

/// Each value once, in the order of the audit.
fn list<T>(list: &Option<Vec<T>>, value: impl Fn(&T) -> Option<String>) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in rows(list).filter_map(value) {
        if values.len() < MAX_LIST && !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn joined<const N: usize>(between: &str, parts: [Option<String>; N]) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(between))
}

fn usable_mac(text: &str) -> Option<String> {
    clean_mac(text).filter(|mac| mac != "ff:ff:ff:ff:ff:ff")
}

fn memory(size: Number) -> Option<u64> {
    size.as_u64().filter(|bytes| *bytes >= SMALLEST_MEMORY)
}

fn ram(audit: &Audit<'_>) -> Option<u64> {
    let total = audit.system_info.as_ref().and_then(|system| memory(system.total_physical_memory));
    let modules: u64 = rows(&audit.physical_memory).filter_map(|module| memory(module.size)).sum();
    total.or((modules > 0).then_some(modules))
}

fn volumes(audit: &Audit<'_>) -> Vec<Volume> {
    let disks = rows(&audit.logical_disks)
        .filter_map(|disk| volume(known(&disk.disk_identifier), None, disk.size, disk.freespace));
    let stores = rows(&audit.datastores).filter_map(|store| {
        volume(known(&store.datastore_name), known(&store.file_system), store.size, store.free_space)
    });
    disks.chain(stores).take(MAX_LIST).collect()
}

fn volume(name: Option<String>, filesystem: Option<String>, size: Number, free: Number) -> Option<Volume> {
    let size_bytes = size.as_u64().filter(|size| *size > 0);
    let free_bytes = free.as_u64().filter(|free| size_bytes.is_some_and(|size| *free <= size));
    let used_percent = size_bytes
        .zip(free_bytes)
        .and_then(|(size, free)| u8::try_from(u128::from(size - free) * 100 / u128::from(size)).ok());
    Some(Volume { name: name?, filesystem, size_bytes, free_bytes, used_percent })
}

fn lan_ips(audit: &Audit<'_>) -> Vec<String> {
    let mut ips: Vec<String> = Vec::new();
    for text in rows(&audit.nics).flat_map(|nic| [&nic.ipv4, &nic.ipv6]).filter_map(|text| text.as_str()) {
        // A card with several addresses may list them in one text.
        for ip in text.split([',', ' ', ';']).filter_map(|part| part.trim().parse::<std::net::IpAddr>().ok())
        {
            let text = ip.to_string();
            if identifies_a_machine(ip) && ips.len() < MAX_LIST && !ips.contains(&text) {
                ips.push(text);
            }
        }
    }
    ips
}

/// What has no field of ours, under names for people.
fn more(audit: &Audit<'_>) -> BTreeMap<String, Vec<String>> {
    let mut more = BTreeMap::new();
    let mut tell = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            more.insert(name.to_owned(), values);
        }
    };
    tell("Network cards", list(&audit.nics, |nic| known(&nic.instance).or_else(|| known(&nic.name))));
    tell("Displays", list(&audit.displays, display));
    tell("Memory modules", rows(&audit.physical_memory).filter_map(module).take(MAX_LIST).collect());
    tell(
        "Drives",
        list(&audit.logical_disks, |disk| {
            joined(" ", [known(&disk.disk_identifier), known(&disk.description)])
        }),
    );
    tell(
        "Attached devices",
        list(&audit.attached_devices, |device| {
            joined(": ", [known(&device.device_type), known(&device.device_name)])
        }),
    );
    tell(
        "Mobile connection",
        list(&audit.mobile_info, |mobile| {
            let named = |name: &str, text: &Text<'_>| known(text).map(|value| format!("{name} {value}"));
            let parts = [
                known(&mobile.operator),
                named("number", &mobile.number),
                named("IMEI", &mobile.imei),
                named("ICCID", &mobile.iccid),
            ];
            joined(", ", parts)
        }),
    );
    tell("Virtual machines", rows(&audit.guests).filter_map(guest).take(MAX_LIST).collect());
    tell("Supplies", rows(&audit.printer_marker_supplies).filter_map(supply).take(MAX_LIST).collect());
    let pages = audit.printer.as_ref().and_then(|printer| printer.printed_page_count.as_u64());
    tell("Printed pages", pages.map(|pages| pages.to_string()).into_iter().collect());
    for (name, value) in single(audit) {
        tell(name, value.into_iter().collect());
    }
    more
}

/// Single values.
fn single<'t>(audit: &Audit<'_>) -> Vec<(&'t str, Option<String>)> {
    let mut values = Vec::new();
    if let Some(system) = &audit.system_info {
        let cores = system.total_cpu_cores.as_u64().filter(|cores| *cores > 0);
        let by_processor: u64 = rows(&audit.processors).filter_map(|cpu| cpu.number_of_cores.as_u64()).sum();
        let cores = cores.or((by_processor > 0).then_some(by_processor));
        values.push(("Processor cores", cores.map(|cores| cores.to_string())));
        values.push((".NET", known(&system.dot_net_version)));
        values.push(("User at the audit", known(&system.username)));
        values.push(("Host name at the audit", known(&system.name)));
    }
    if let Some(bios) = &audit.bios {
        values.push(("BIOS", joined(", ", [known(&bios.instance), known(&bios.sm_bios_version)])));
    }
    if let Some(board) = &audit.base_board {
        values.push(("Base board", joined(" ", [known(&board.manufacturer), known(&board.product)])));
    }
    if let Some(snmp) = &audit.snmp_info {
        values.push(("SNMP name", known(&snmp.snmp_name)));
        values.push(("SNMP description", known(&snmp.snmp_description)));
        values.push(("SNMP location", known(&snmp.snmp_location)));
        values.push(("SNMP contact", known(&snmp.snmp_contact)));
        values.push(("SNMP object", known(&snmp.object_id)));
        values.push(("Maker of the network card", known(&snmp.nic_manufacturer)));
    }
    values
}

fn display(display: &Display<'_>) -> Option<String> {
    let size = display.screen_width.as_u64().zip(display.screen_height.as_u64());
    joined(" ", [known(&display.instance), size.map(|(width, height)| format!("{width}×{height}"))])
}

fn module(module: &Memory<'_>) -> Option<String> {
    let size = memory(module.size).map(|bytes| format!("{} MB", bytes >> 20));
    let serial = known(&module.serial_number).map(|serial| format!("serial {serial}"));
    let parts = [
        known(&module.bank).or_else(|| known(&module.module)),
        size,
        known(&module.kind),
        known(&module.speed),
        known(&module.part_number),
        serial,
    ];
    joined(", ", parts)
}

fn guest(guest: &Guest<'_>) -> Option<String> {
    let snapshots = guest.number_of_snapshots.as_u64().filter(|count| *count > 0);
    let snapshots = snapshots.map(|count| format!("{count} snapshots"));
    joined(", ", [Some(known(&guest.guest_name)?), snapshots])
}

fn supply(supply: &Supply<'_>) -> Option<String> {
    let level = joined(" of ", [known(&supply.supplies_level), known(&supply.max_capacity)]);
    joined(": ", [Some(known(&supply.description)?), level])
}

/// Is this an audit, however little it says? An object with none of its parts is something else.
pub(crate) fn is_audit(text: &str) -> bool {
    const PARTS: [&str; 3] = ["systemInfo", "nics", "snmpInfo"];
    let fields = object::<HashMap<String, &RawValue>>(text).unwrap_or_default();
    PARTS.iter().any(|part| fields.contains_key(*part))
}
