//! Sites: list, one, create, replace, settings and proxy.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::datto_rmm::call::{Call, text, unreadable};
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::world::{Site, World};

/// Devices of a site: all, online.
type Counts = HashMap<u32, (usize, usize)>;

fn counts(world: &World) -> Counts {
    let mut counts = Counts::new();
    for device in world.listed() {
        let (all, online) = counts.entry(device.site).or_default();
        *all += 1;
        *online += usize::from(device.is_online());
    }
    counts
}

fn view(world: &World, site: &Site, counts: &Counts) -> Value {
    let (all, online) = counts.get(&site.id).copied().unwrap_or_default();
    let (company_id, company) = site.company.clone().unzip();
    json!({
        "id": site.id, "uid": site.uid, "accountUid": world.account_uid, "name": site.name,
        "description": site.description, "notes": site.notes, "onDemand": site.on_demand,
        "splashtopAutoInstall": site.splashtop, "proxySettings": site.proxy,
        "devicesStatus": {
            "numberOfDevices": all, "numberOfOnlineDevices": online, "numberOfOfflineDevices": all - online,
        },
        "autotaskCompanyName": company, "autotaskCompanyId": company_id,
        "portalUrl": format!("https://sim.rmm.example/site/{}", site.id),
    })
}

/// `GET /v2/account/sites`.
pub(crate) fn list(call: &Call) -> Reply {
    let world = call.world();
    let counts = counts(&world);
    let wanted = call.query("siteName").map(str::to_lowercase);
    let is_wanted = |site: &&Site| {
        call.sees(site.id) && wanted.as_ref().is_none_or(|name| site.name.to_lowercase().contains(name))
    };
    let sites: Vec<&Site> = world.sites.values().filter(is_wanted).collect();
    call.list(&sites, |site| view(&world, site, &counts))
}

/// `GET /v2/site/<siteUid>`.
pub(crate) fn one(call: &Call) -> Reply {
    let world = call.world();
    Ok(reply::ok(&view(&world, call.site(&world)?, &counts(&world))))
}

/// `GET /v2/account/dnet-site-mappings`: sites with networks of the same vendor.
pub(crate) fn networks(call: &Call) -> Reply {
    let world = call.world();
    let sites: Vec<&Site> =
        world.sites.values().filter(|site| call.sees(site.id) && site.id % 4 == 1).collect();
    call.list(&sites, |site| {
        json!({
            "id": site.id, "uid": site.uid, "accountUid": world.account_uid, "name": site.name,
            "description": site.description, "dattoNetworkingNetworkIds": [8_000 + site.id],
            "portalUrl": format!("https://sim.rmm.example/site/{}", site.id),
        })
    })
}

/// `PUT /v2/site`.
pub(crate) fn create(call: &Call) -> Reply {
    let body = call.json()?;
    let name = named(&body)?;
    let mut world = call.world();
    let uid = world.new_uid();
    let id = world.sites.keys().last().copied().unwrap_or(0) + 1;
    let mut site = Site {
        id,
        uid,
        name,
        description: None,
        notes: None,
        on_demand: false,
        splashtop: false,
        proxy: body.get("proxySettings").filter(|proxy| proxy.is_object()).cloned(),
        company: None,
    };
    replace(&mut site, &body);
    let answer = view(&world, &site, &Counts::new());
    world.sites.insert(id, site);
    Ok(reply::ok(&answer))
}

/// `POST /v2/site/<siteUid>`: what is left out is cleared.
pub(crate) fn update(call: &Call) -> Reply {
    let body = call.json()?;
    let name = named(&body)?;
    let mut world = call.world();
    let id = call.site(&world)?.id;
    if let Some(site) = world.sites.get_mut(&id) {
        site.name = name;
        replace(site, &body);
    }
    let site = world.sites.get(&id).ok_or_else(|| reply::not_found("Site"))?;
    Ok(reply::ok(&view(&world, site, &counts(&world))))
}

fn named(body: &Map<String, Value>) -> Result<String, crate::answer::Answer> {
    let name = text(body, "name").map(str::trim).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| reply::error(400, "Site name is required"))
}

fn replace(site: &mut Site, body: &Map<String, Value>) {
    let flag = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
    site.description = text(body, "description").map(str::to_owned);
    site.notes = text(body, "notes").map(str::to_owned);
    site.on_demand = flag("onDemand");
    site.splashtop = flag("splashtopAutoInstall");
}

fn settings_view(site: &Site) -> Value {
    json!({
        "generalSettings": {
            "name": site.name, "uid": site.uid, "description": site.description, "onDemand": site.on_demand,
        },
        "proxySettings": site.proxy,
        "mailRecipients": [{
            "name": "Service desk", "email": "desk@msp.example", "type": "account", "receives": 3,
            "receivesAlerts": true, "receivesNewDevices": true, "receivesReports": false,
        }],
    })
}

/// `GET /v2/site/<siteUid>/settings`.
pub(crate) fn settings(call: &Call) -> Reply {
    let world = call.world();
    Ok(reply::ok(&settings_view(call.site(&world)?)))
}

/// `POST /v2/site/<siteUid>/settings/proxy`.
pub(crate) fn set_proxy(call: &Call) -> Reply {
    let body = call.json()?;
    let is_known = |kind: &str| ["http", "socks4", "socks5"].contains(&kind);
    if text(&body, "host").is_none() || !text(&body, "type").is_some_and(is_known) {
        return Err(unreadable());
    }
    let mut world = call.world();
    let id = call.site(&world)?.id;
    let site = world.sites.get_mut(&id).ok_or_else(|| reply::not_found("Site"))?;
    site.proxy = Some(body.into());
    Ok(reply::ok(&settings_view(site)))
}

/// `DELETE /v2/site/<siteUid>/settings/proxy`; 204 where there was none.
pub(crate) fn remove_proxy(call: &Call) -> Reply {
    let mut world = call.world();
    let id = call.site(&world)?.id;
    let site = world.sites.get_mut(&id).ok_or_else(|| reply::not_found("Site"))?;
    Ok(match site.proxy.take() {
        Some(_) => reply::done(),
        None => crate::answer::Answer::empty(204),
    })
}
