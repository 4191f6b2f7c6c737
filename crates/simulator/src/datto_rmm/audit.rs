//! Audits: what a device's hardware, network and software are, by class.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::datto_rmm::call::Call;
use crate::datto_rmm::devices::with_mac;
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::rows;
use crate::datto_rmm::world::{Class, Device, World};
use crate::fleet::{Platform, Presence};
use crate::rng::Rng;

const SOFTWARE_STREAM: u64 = 0xA1;
const GIGABYTE: u64 = 1 << 30;

/// The device of the path, if its class has this audit.
fn of_class<'a>(
    call: &Call,
    world: &'a World,
    is_right: fn(Class) -> bool,
    what: &str,
) -> Result<&'a Device, Answer> {
    let device = call.device(world)?;
    if !is_right(device.class) {
        return Err(reply::error(400, &format!("The device is not a {what}")));
    }
    Ok(device)
}

fn is_computer(class: Class) -> bool {
    matches!(class, Class::Device | Class::Unknown | Class::Novel)
}

/// `GET /v2/audit/device/<deviceUid>`.
pub(crate) fn device(call: &Call) -> Reply {
    let world = call.world();
    Ok(reply::ok(&device_view(of_class(call, &world, is_computer, "device of class device")?)))
}

/// `GET /v2/audit/device/macAddress/<mac>`: a list.
pub(crate) fn by_mac(call: &Call) -> Reply {
    let world = call.world();
    let found = with_mac(call, &world)?;
    let views: Vec<Value> =
        found.into_iter().filter(|device| is_computer(device.class)).map(device_view).collect();
    Ok(reply::ok(&views))
}

fn device_view(device: &Device) -> Value {
    let machine = &device.machine;
    let portal = format!("https://sim.rmm.example/device/{}", device.id());
    if machine.presence == Presence::Never || device.audited_at.is_none() {
        return nothing_audited(&portal);
    }
    let (maker, model) = maker_and_model(&machine.hardware.make_model);
    let memory = u64::from(machine.hardware.ram_gb) * GIGABYTE;
    let serial =
        Some(&*machine.serial).filter(|serial| !serial.is_empty() || device.number.is_multiple_of(2));
    let cpu = machine.hardware.cpus.first().map_or("", String::as_str);
    let cores = cpu.split(", ").nth(1).and_then(|cores| cores.split('C').next()?.parse::<u32>().ok());
    json!({
        "portalUrl": portal, "webRemoteUrl": format!("https://sim.rmm.example/web-remote/{}", device.id()),
        "systemInfo": {
            "manufacturer": maker, "model": model, "totalPhysicalMemory": memory,
            "username": machine.user.as_deref(), "dotNetVersion": dot_net(device), "totalCpuCores": cores,
        },
        "nics": rows::nics(device),
        "bios": {
            "instance": "BIOS", "releaseDate": "2023-06-15", "serialNumber": serial, "smBiosVersion": "N32ET86W (1.62)",
        },
        "baseBoard": { "manufacturer": maker, "product": format!("{model} board") },
        "displays": displays(device),
        "logicalDisks": volumes(device),
        "mobileInfo": [],
        "processors": [{ "name": cpu.split(", ").next() }],
        "videoBoards": [{ "displayAdapter": machine.hardware.graphics }],
        "attachedDevices": attached(device),
        "snmpInfo": null,
        "physicalMemory": memory_modules(device, memory),
    })
}

fn nothing_audited(portal: &str) -> Value {
    json!({
        "portalUrl": portal, "webRemoteUrl": null, "systemInfo": null, "nics": [], "bios": null, "baseBoard": null,
        "displays": [], "logicalDisks": [], "mobileInfo": null, "processors": [], "videoBoards": [],
        "attachedDevices": [], "snmpInfo": null, "physicalMemory": null,
    })
}

fn maker_and_model(make_model: &str) -> (&str, &str) {
    const MAKERS: &[&str] = &["LENOVO", "HP", "Dell Inc.", "Microsoft Corporation", "VMware, Inc.", "QEMU"];
    let known = MAKERS.iter().find_map(|maker| Some((*maker, make_model.strip_prefix(maker)?.trim())));
    known.unwrap_or(("Apple Inc.", make_model))
}

fn dot_net(device: &Device) -> Option<&'static str> {
    (device.machine.hardware.platform == Platform::Windows).then_some("4.8.09032")
}

fn displays(device: &Device) -> Value {
    if device.machine.is_server {
        return json!([]);
    }
    json!([{ "instance": "Generic PnP Monitor", "screenHeight": 1080, "screenWidth": 1920 }])
}

/// Sizes in bytes; one volume in fifty has none.
fn volumes(device: &Device) -> Value {
    let name = match device.machine.hardware.platform {
        Platform::Windows => "C:",
        Platform::Linux | Platform::Mac => "/",
    };
    let size = (device.number % 50 != 49).then_some(255_000_000_000_u64);
    let free = size.map(|size| size / 100 * u64::from(5 + device.machine.board % 80));
    let first =
        json!({ "description": "Local Fixed Disk", "diskIdentifier": name, "freespace": free, "size": size });
    match device.machine.is_server && device.machine.hardware.platform == Platform::Windows {
        true => json!([first, {
            "description": "Local Fixed Disk", "diskIdentifier": "D:", "freespace": 1_319_413_953_331_u64,
            "size": 1_979_120_929_996_u64,
        }]),
        false => json!([first]),
    }
}

fn attached(device: &Device) -> Value {
    if device.machine.hardware.platform != Platform::Windows || device.machine.is_server {
        return json!([]);
    }
    json!([{
        "deviceName": "Front desk printer", "deviceType": "Printer", "driverFile": "C:\\Windows\\drv.dll",
        "driverFileLastModified": null, "driverManufacturer": "Generic", "driverName": "Universal PCL6",
        "driverVersion": "7.0.1", "portName": "IP_10.0.0.9",
    }])
}

fn memory_modules(device: &Device, memory: u64) -> Value {
    let module = |bank: u32| {
        json!({
            "module": format!("DIMM {bank}"), "size": memory / 2, "type": "DDR4", "speed": "3200 MHz",
            "serialNumber": format!("{:08X}", device.machine.board * 2 + bank), "partNumber": null,
            "bank": format!("BANK {bank}"),
        })
    };
    json!([module(0), module(1)])
}

/// `GET /v2/audit/device/<deviceUid>/software`: names and versions, nothing else.
pub(crate) fn software(call: &Call) -> Reply {
    let world = call.world();
    let device = of_class(call, &world, is_computer, "device of class device")?;
    let rows = software_of(&world, device);
    call.list(&rows, |(name, version)| json!({ "name": name, "version": version }))
}

/// What is installed on a device. Some names repeat with another version, some have no version.
pub(crate) fn software_of(world: &World, device: &Device) -> Vec<(String, Option<String>)> {
    const NAMES: &[&str] = &[
        "Google Chrome",
        "Mozilla Firefox (x64 de)",
        "7-Zip 24.08 (x64)",
        "Microsoft 365 Apps for business - de-de",
        "Adobe Acrobat (64-bit)",
        "Notepad++ (64-bit x64)",
        "VLC media player",
        "Zoom Workplace (64-bit)",
        "Datto RMM Agent",
        "Microsoft Edge",
        "Java 8 Update 401 (64-bit)",
        "PuTTY release 0.81 (64-bit)",
        "Büro-Kasse 2024 – Müller & Söhne",
        "<b>Toolbar</b>",
        "=cmd|'/c calc'!A1",
    ];
    if device.machine.presence == Presence::Never || device.audited_at.is_none() {
        return Vec::new();
    }
    let mut rng = Rng::at(world.seed, SOFTWARE_STREAM, u64::from(device.machine.board));
    let mut rows = Vec::new();
    for name in NAMES.iter().filter(|_| rng.chance(700)).collect::<Vec<_>>() {
        let version =
            rng.chance(960).then(|| format!("{}.{}.{}", rng.below(130), rng.below(30), rng.below(9_999)));
        rows.push(((*name).to_owned(), version));
    }
    let long = if device.number % 40 == 12 { 300 } else { 20 };
    let update = |index| {
        (
            format!("Microsoft Visual C++ 20{:02} Redistributable - {index}", index % 25),
            Some(format!("14.{index}")),
        )
    };
    rows.extend((0..long).map(update));
    rows
}

/// `GET /v2/audit/printer/<deviceUid>`.
pub(crate) fn printer(call: &Call) -> Reply {
    let world = call.world();
    let device = of_class(call, &world, |class| class == Class::Printer, "printer")?;
    let level = 3 + device.number * 7 % 97;
    Ok(reply::ok(&json!({
        "portalUrl": format!("https://sim.rmm.example/device/{}", device.id()),
        "snmpInfo": {
            "snmpName": &*device.machine.hostname, "snmpContact": null, "snmpDescription": "Laser printer, firmware 5",
            "snmpLocation": "Hall", "snmpUptime": "86 days", "nicManufacturer": "Example", "objectId": "1.3.6.1.4.1.11",
            "snmpSerial": &*device.machine.serial,
        },
        "printerMarkerSupplies": [
            { "description": "Black Toner", "maxCapacity": "100", "suppliesLevel": level.to_string() },
            { "description": "Waste box", "maxCapacity": "-2", "suppliesLevel": "unknown" },
        ],
        "printer": { "printedPageCount": 18_000 + device.number },
        "systemInfo": { "manufacturer": "Example Print", "model": "LP 4000" },
        "nics": rows::nics(device),
    })))
}

/// `GET /v2/audit/esxihost/<deviceUid>`.
pub(crate) fn esxi_host(call: &Call) -> Reply {
    let world = call.world();
    let device = of_class(call, &world, |class| class == Class::EsxiHost, "ESXi host")?;
    let guest = |index: u32| {
        json!({
            "guestName": format!("vm-{index:02}"), "processorSpeedTotal": 4_800, "memorySizeTotal": 8_192,
            "numberOfSnapshots": index % 3, "datastores": "datastore1",
        })
    };
    Ok(reply::ok(&json!({
        "portalUrl": format!("https://sim.rmm.example/device/{}", device.id()),
        "systemInfo": {
            "manufacturer": "Dell Inc.", "model": "PowerEdge R740", "name": &*device.machine.hostname,
            "numberOfSnapshots": 2, "serviceTag": &*device.machine.serial,
        },
        "guests": (0..4).map(guest).collect::<Vec<_>>(),
        "processors": [{ "frequency": 2_400.0, "name": "Intel(R) Xeon(R) Gold 6148", "numberOfCores": 20 }],
        "nics": [{
            "name": "vmnic0", "ipv4": device.machine.local_ip(), "ipv6": null,
            "macAddress": rows::mac_text(device.machine.mac(), device.number), "speed": "10000", "type": "Ethernet",
        }],
        "physicalMemory": memory_modules(device, 128 * GIGABYTE),
        "datastores": [{
            "datastoreName": "datastore1", "subscriptionPercent": 140, "freeSpace": 412_316_860_416_u64,
            "size": 3_298_534_883_328_u64, "fileSystem": "VMFS", "status": "OK",
            "dataExtents": [{ "name": "naa.600508", "size": 3_298_534_883_328_u64, "mediaType": "SSD", "status": "OK" }],
        }],
    })))
}
