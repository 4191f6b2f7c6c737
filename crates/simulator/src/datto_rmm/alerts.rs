//! Alerts: open and resolved lists, one, resolve. Muting answers 200 and does nothing, as since release 8.9.0.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::datto_rmm::call::Call;
use crate::datto_rmm::contexts;
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::world::{Device, World};
use crate::rng::Rng;

const ALERT_STREAM: u64 = 0xB1;
const MICROS: i64 = 1_000_000;

/// One alert.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    pub(crate) uid: String,
    /// Number of the device; it may be gone.
    pub(crate) device: u32,
    pub(crate) priority: &'static str,
    pub(crate) at: i64,
    pub(crate) resolved: Option<(i64, Option<String>)>,
    pub(crate) muted: bool,
    pub(crate) ticket: Option<String>,
    pub(crate) context: Value,
    pub(crate) diagnostics: Option<String>,
    pub(crate) autoresolve_mins: Option<u32>,
    pub(crate) actions: Vec<Value>,
}

const PRIORITIES: &[&str] = &["Critical", "High", "Moderate", "Low", "Information", "Unknown"];

/// Alerts of a fresh account: on every twelfth device an open one, every context among them; resolved ones too.
pub(crate) fn generate(world: &mut World, now: i64) {
    let devices: Vec<u32> =
        world.listed().filter(|device| !device.deleted).map(|device| device.number).collect();
    let step = if devices.len() > 12 * contexts::COUNT { 12 } else { 1.max(devices.len() / contexts::COUNT) };
    for (index, number) in devices.iter().step_by(step).enumerate() {
        let mut rng = Rng::at(world.seed, ALERT_STREAM, u64::from(*number));
        let at = now - rng.between(60, 12 * 86_400) * MICROS;
        let alert = fresh(world, *number, index, at);
        if rng.chance(300) {
            let mut old = fresh(world, *number, index + 7, at - 30 * 86_400 * MICROS);
            let by = rng.chance(500).then(|| "technician".to_owned());
            old.resolved = Some((at - 29 * 86_400 * MICROS, by));
            world.alerts.insert(old.uid.clone(), old);
        }
        world.alerts.insert(alert.uid.clone(), alert);
    }
}

/// A new open alert on a device, about the context with that index.
pub(crate) fn fresh(world: &mut World, device: u32, index: usize, at: i64) -> Alert {
    let uid = world.new_uid();
    let mut actions = Vec::new();
    if index.is_multiple_of(3) {
        actions.push(action(at, "EMAIL_SENT", "desk@msp.example"));
    }
    match index % 8 {
        1 => actions.push(action(at, "TICKET_CREATED", "T20261107.0042")),
        3 => actions.push(action(at, "WEBHOOK_EXECUTION_ERROR", "Connection timed out")),
        5 => actions.push(action(at, "SMOKE_SIGNAL", "unknown to every client")),
        _ => {}
    }
    Alert {
        uid,
        device,
        priority: PRIORITIES[index % PRIORITIES.len()],
        at,
        resolved: None,
        muted: index % 17 == 4,
        ticket: (index % 8 == 1).then(|| "T20261107.0042".to_owned()),
        context: contexts::example(index, device),
        diagnostics: index.is_multiple_of(5).then(|| "Top processes:\r\nsqlservr.exe 61 %\r\n".to_owned()),
        autoresolve_mins: (index % 4 == 2).then_some(30),
        actions,
    }
}

/// One entry of `responseActions`.
pub(crate) fn action(at: i64, kind: &str, description: &str) -> Value {
    json!({
        "actionTime": at / 1_000, "actionType": kind, "description": description, "actionReference": null,
        "actionReferenceInt": null,
    })
}

/// An alert on the wire.
pub(crate) fn view(world: &World, alert: &Alert) -> Value {
    let device = world.devices.get(alert.device as usize);
    let site = device.and_then(|device| world.sites.get(&device.site));
    let (on, by) = alert.resolved.clone().map_or((None, None), |(on, by)| (Some(on / 1_000), by));
    json!({
        "alertUid": alert.uid, "priority": alert.priority, "diagnostics": alert.diagnostics,
        "resolved": alert.resolved.is_some(), "resolvedBy": by, "resolvedOn": on, "muted": alert.muted,
        "ticketNumber": alert.ticket, "timestamp": alert.at / 1_000,
        "alertMonitorInfo": { "sendsEmails": true, "createsTicket": alert.ticket.is_some() },
        "alertSourceInfo": {
            "deviceUid": device.map(|device| &*device.uid),
            "deviceName": device.map(|device| &*device.machine.hostname),
            "siteUid": site.map(|site| &site.uid), "siteName": site.map(|site| &site.name),
        },
        "alertContext": alert.context, "responseActions": alert.actions, "autoresolveMins": alert.autoresolve_mins,
    })
}

fn listed(call: &Call, world: &World, is_wanted: impl Fn(&Device) -> bool) -> Reply {
    let wants_resolved = call.route.template.ends_with("resolved");
    let muted = call.query("muted").map(|text| text == "true");
    let is_listed = |alert: &&Alert| {
        let device = world.device(alert.device);
        alert.resolved.is_some() == wants_resolved
            && muted.is_none_or(|muted| alert.muted == muted)
            && device.is_some_and(|device| call.sees(device.site) && is_wanted(device))
    };
    let alerts: Vec<&Alert> = world.alerts.values().filter(is_listed).collect();
    call.list(&alerts, |alert| view(world, alert))
}

/// `GET /v2/account/alerts/open` and `…/resolved`, in no order that means anything.
pub(crate) fn of_account(call: &Call) -> Reply {
    listed(call, &call.world(), |_| true)
}

/// `GET /v2/site/<siteUid>/alerts/…`.
pub(crate) fn of_site(call: &Call) -> Reply {
    let world = call.world();
    let site = call.site(&world)?.id;
    listed(call, &world, |device| device.site == site)
}

/// `GET /v2/device/<deviceUid>/alerts/…`.
pub(crate) fn of_device(call: &Call) -> Reply {
    let world = call.world();
    let number = call.device(&world)?.number;
    listed(call, &world, |device| device.number == number)
}

fn find<'a>(call: &Call, world: &'a World) -> Result<&'a Alert, Answer> {
    let alert = world.alerts.get(call.params.get("alertUid"));
    let sees = |alert: &&Alert| world.device(alert.device).is_some_and(|device| call.sees(device.site));
    alert.filter(sees).ok_or_else(|| reply::not_found("Alert"))
}

/// `GET /v2/alert/<alertUid>`.
pub(crate) fn one(call: &Call) -> Reply {
    let world = call.world();
    Ok(reply::ok(&view(&world, find(call, &world)?)))
}

/// `POST /v2/alert/<alertUid>/resolve`. A second time changes nothing.
pub(crate) fn resolve(call: &Call) -> Reply {
    let now = call.sim.clock.event_now();
    let by = call.user.as_ref().map(|user| user.name.clone());
    let mut world = call.world();
    let uid = find(call, &world)?.uid.clone();
    if let Some(alert) = world.alerts.get_mut(&uid) {
        alert.resolved.get_or_insert((now, by));
    }
    Ok(reply::done())
}

/// `POST /v2/alert/<alertUid>/mute` and `…/unmute`.
pub(crate) fn mute(call: &Call) -> Reply {
    find(call, &call.world())?;
    Ok(reply::done())
}
