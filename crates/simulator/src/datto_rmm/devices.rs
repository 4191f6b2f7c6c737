//! Devices: lists of account and site, one by uid, id or hardware address, and the writes.

use serde_json::{Value, json};

use crate::datto_rmm::account::seen;
use crate::datto_rmm::call::{Call, Page, text, unreadable};
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::rows;
use crate::datto_rmm::world::{Device, World};

/// `GET /v2/account/devices`. `filterId` overrides the other filters, each of which looks for a part of the text.
pub(crate) fn of_account(call: &Call) -> Reply {
    let page = call.page()?;
    let now = call.sim.clock.fleet_now();
    let mut world = call.world();
    let is_whole = ["filterId", "hostname", "deviceType", "operatingSystem", "siteName"]
        .iter()
        .all(|name| call.query(name).is_none());
    let mut devices: Vec<Option<&Device>> =
        seen(call, &world).filter(|device| is_whole || is_wanted(call, &world, device)).map(Some).collect();
    if world.malformed_row && is_whole && call.sees_all() {
        // In the middle of the list: the rows before and after it are fine.
        devices.insert(devices.len() / 2, None);
    }
    let answer = render(call, &world, page, &devices, now);
    drop(devices);
    world.move_rows();
    Ok(answer)
}

fn is_wanted(call: &Call, world: &World, device: &Device) -> bool {
    if let Some(filter) = call.query("filterId") {
        return match filter {
            "1" => device.machine.is_server,
            "2" => category(device).is_some_and(|category| category == "Laptop"),
            "3" => !device.is_online(),
            _ => false,
        };
    }
    let holds = |name: &str, value: Option<&str>| {
        call.query(name).is_none_or(|wanted| {
            value.is_some_and(|value| value.to_lowercase().contains(&wanted.to_lowercase()))
        })
    };
    holds("hostname", Some(&device.machine.hostname))
        && holds("deviceType", category(device).as_deref())
        && holds("operatingSystem", device.machine.os.as_deref())
        && holds("siteName", Some(world.site_name(device.site)))
}

fn category(device: &Device) -> Option<String> {
    rows::device_type(device)?["category"].as_str().map(str::to_owned)
}

/// `GET /v2/site/<siteUid>/devices`. Takes no filter but `filterId`.
pub(crate) fn of_site(call: &Call) -> Reply {
    let page = call.page()?;
    let now = call.sim.clock.fleet_now();
    let world = call.world();
    let site = call.site(&world)?.id;
    let has_filter = call.query("filterId").is_some();
    let is_wanted =
        |device: &&Device| device.site == site && (!has_filter || is_wanted(call, &world, device));
    let devices: Vec<Option<&Device>> = world.listed().filter(is_wanted).map(Some).collect();
    Ok(render(call, &world, page, &devices, now))
}

/// A page of rows; none stands for the malformed one.
fn render(
    call: &Call,
    world: &World,
    page: Page,
    devices: &[Option<&Device>],
    now: i64,
) -> crate::answer::Answer {
    let shown = page.of(devices);
    let details = call.page_details(page, shown.len(), devices.len());
    let mut out = format!("{{\"pageDetails\":{details},\"devices\":[").into_bytes();
    for (index, device) in shown.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match device {
            Some(device) => rows::write(world, device, now, &mut out),
            None => out.extend_from_slice(rows::MALFORMED),
        }
    }
    out.extend_from_slice(b"]}");
    reply::rendered(out)
}

/// `GET /v2/site/<siteUid>/devices/network-interface`.
pub(crate) fn interfaces(call: &Call) -> Reply {
    let world = call.world();
    let site = call.site(&world)?.id;
    let devices: Vec<&Device> = world.listed().filter(|device| device.site == site).collect();
    call.list(&devices, |device| rows::interfaces(&world, device))
}

fn shown(call: &Call, world: &World, device: &Device) -> Reply {
    Ok(reply::rendered(rows::bytes(world, device, call.sim.clock.fleet_now())))
}

/// `GET /v2/device/<deviceUid>`.
pub(crate) fn one(call: &Call) -> Reply {
    let world = call.world();
    shown(call, &world, call.device(&world)?)
}

/// `GET /v2/device/id/<deviceId>`.
pub(crate) fn by_id(call: &Call) -> Reply {
    let id = call.params.get("deviceId").parse().map_err(|_| reply::error(400, "Invalid device id"))?;
    let world = call.world();
    let device = world.device_by_id(id).filter(|device| call.sees(device.site));
    shown(call, &world, device.ok_or_else(|| reply::not_found("Device"))?)
}

/// `GET /v2/device/macAddress/<mac>`: a list, without pages.
pub(crate) fn by_mac(call: &Call) -> Reply {
    let now = call.sim.clock.fleet_now();
    let world = call.world();
    let found: Vec<&Device> = with_mac(call, &world)?;
    let rows: Vec<Vec<u8>> = found.iter().map(|device| rows::bytes(&world, device, now)).collect();
    let mut out = vec![b'['];
    out.extend_from_slice(&rows.join(&b','));
    out.push(b']');
    Ok(reply::rendered(out))
}

/// Devices with the hardware address of the path.
pub(crate) fn with_mac<'a>(call: &Call, world: &'a World) -> Result<Vec<&'a Device>, crate::answer::Answer> {
    let mac = rows::read_mac(call.params.get("mac")).ok_or_else(|| {
        reply::error(400, "Invalid MAC address: 12 hexadecimal digits without separators are expected")
    })?;
    Ok(world.devices_by_mac(mac).into_iter().filter(|device| call.sees(device.site)).collect())
}

/// `PUT /v2/device/<deviceUid>/site/<siteUid>`.
pub(crate) fn move_to(call: &Call) -> Reply {
    let mut world = call.world();
    let site = call.site(&world)?.id;
    let uid = call.device(&world)?.uid.to_string();
    world.edit(&uid, |device| device.site = site);
    Ok(reply::done())
}

/// `POST /v2/device/<deviceUid>/udf`: fields that are left out stay, an empty text clears.
pub(crate) fn set_udf(call: &Call) -> Reply {
    let body = call.json()?;
    let mut world = call.world();
    let uid = call.device(&world)?.uid.to_string();
    let mut changes = Vec::new();
    for (name, value) in &body {
        let number = name.strip_prefix("udf").and_then(|digits| digits.parse::<u16>().ok());
        let number = number.filter(|number| (1..=world.udfs).contains(number)).ok_or_else(unreadable)?;
        let value = match value {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Null => None,
            _ => return Err(unreadable()),
        };
        changes.push((number, value));
    }
    world.edit(&uid, |device| device.udf.extend(changes));
    Ok(reply::done())
}

/// `POST /v2/device/<deviceUid>/warranty`.
pub(crate) fn set_warranty(call: &Call) -> Reply {
    let body = call.json()?;
    let date = text(&body, "warrantyDate");
    if date.is_none() && body.get("warrantyDate") != Some(&Value::Null) {
        return Err(unreadable());
    }
    if date.is_some_and(|date| date.parse::<jiff::civil::Date>().is_err()) {
        return Err(reply::error(400, "Invalid warranty date: yyyy-mm-dd is expected"));
    }
    let mut world = call.world();
    let uid = call.device(&world)?.uid.to_string();
    world.edit(&uid, |device| device.warranty = date.map(str::to_owned));
    Ok(reply::done())
}

/// Id, uid and names of a device, for the control URL.
pub(crate) fn short(world: &World, device: &Device) -> Value {
    json!({
        "uid": &*device.uid, "id": device.id(), "hostname": &*device.machine.hostname, "site": device.site,
        "site_uid": world.sites.get(&device.site).map(|site| &site.uid), "online": device.is_online(),
        "class": device.class.word(),
    })
}
