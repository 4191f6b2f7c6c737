//! The account itself: counts, users, filters, keys, and what the system says of itself.

use serde_json::{Value, json};

use crate::clock::iso;
use crate::datto_rmm::call::{Call, MAX_PAGE};
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::world::{Device, World};

/// `GET /v2/account`.
pub(crate) fn account(call: &Call) -> Reply {
    let world = call.world();
    let on_demand = |device: &&Device| world.sites.get(&device.site).is_some_and(|site| site.on_demand);
    let visible: Vec<&Device> = seen(call, &world).filter(|device| !device.deleted).collect();
    let online = visible.iter().filter(|device| device.is_online()).count();
    let on_demand = visible.iter().copied().filter(on_demand).count();
    Ok(reply::ok(&json!({
        "id": 77, "uid": world.account_uid, "name": world.account_name, "currency": "EUR",
        "descriptor": { "bilingEmail": "billing@msp.example", "deviceLimit": 250_000, "timeZone": "Europe/Zurich" },
        "devicesStatus": {
            "numberOfDevices": visible.len(), "numberOfOnlineDevices": online,
            "numberOfOfflineDevices": visible.len() - online, "numberOfOnDemandDevices": on_demand,
            "numberOfManagedDevices": visible.len() - on_demand,
        },
    })))
}

/// Devices that the caller sees, in the order of the list.
pub(crate) fn seen<'a>(call: &'a Call, world: &'a World) -> impl Iterator<Item = &'a Device> {
    world.listed().filter(|device| call.sees(device.site))
}

/// `GET /v2/account/users`: people, without ids and roles.
pub(crate) fn users(call: &Call) -> Reply {
    let created = call.world().created / 1_000;
    let names = call.sim.access().names();
    let mut rows: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "firstName": "API", "lastName": name, "username": name, "email": format!("{name}@msp.example"),
                "telephone": null, "status": "active", "created": created, "lastAccess": created + 86_400_000,
                "disabled": false,
            })
        })
        .collect();
    rows.push(json!({
        "firstName": null, "lastName": null, "username": "left.the.company", "email": null, "telephone": null,
        "status": "inactive", "created": created, "lastAccess": null, "disabled": true,
    }));
    call.list(&rows, Value::clone)
}

fn filter(id: u32, name: &str, kind: &str, created: i64) -> Value {
    json!({
        "id": id, "name": name, "description": null, "type": kind, "dateCreate": created / 1_000, "lastUpdated": null,
    })
}

/// `GET /v2/filter/default-filters`.
pub(crate) fn default_filters(call: &Call) -> Reply {
    let created = call.world().created;
    let rows = [(1, "All Servers"), (2, "All Laptops"), (3, "Offline > 1 Week")]
        .map(|(id, name)| filter(id, name, "rmm_default", created));
    call.list(&rows, Value::clone)
}

/// `GET /v2/filter/custom-filters`: what an administrator sees.
pub(crate) fn custom_filters(call: &Call) -> Reply {
    let created = call.world().created;
    call.list(&[filter(901, "Windows 10 left", "custom", created)], Value::clone)
}

/// `GET /v2/site/<siteUid>/filters`.
pub(crate) fn site_filters(call: &Call) -> Reply {
    let world = call.world();
    let site = call.site(&world)?;
    call.list(&[filter(2_000 + site.id, "Of this site", "site", world.created)], Value::clone)
}

/// `POST /v2/user/resetApiKeys`: a new pair, once.
pub(crate) fn reset_keys(call: &Call) -> Reply {
    let name = call.user.as_ref().map_or("", |user| &user.name);
    let pair = call.sim.access().reset_keys(name);
    let (key, secret) = pair.ok_or_else(|| reply::error(400, "This user has no API keys"))?;
    Ok(reply::ok(&json!({ "apiAccessKey": key, "apiSecretKey": secret, "userName": name })))
}

/// `GET /v2/system/status`.
pub(crate) fn status(call: &Call) -> Reply {
    let started = iso(call.world().created);
    Ok(reply::ok(&json!({ "version": "15.1.0", "status": "OK", "started": started })))
}

/// `GET /v2/system/request_rate`.
pub(crate) fn request_rate(call: &Call) -> Reply {
    let account = call.world().account_uid.clone();
    Ok(reply::ok(&call.sim.limiter().status(&account)))
}

/// `GET /v2/system/pagination`.
pub(crate) fn pagination(_: &Call) -> Reply {
    Ok(reply::ok(&json!({ "max": MAX_PAGE })))
}
