//! Activity logs: other pages, other dates, and only a quarter of an hour unless more is asked for.

use serde_json::{Value, json};

use crate::clock::timestamp;
use crate::datto_rmm::call::{Call, MAX_PAGE};
use crate::datto_rmm::jobs::Job;
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::world::World;
use crate::rng::Rng;

const LOG_STREAM: u64 = 0xC1;
const MICROS: i64 = 1_000_000;
/// Without `from` only so much is shown.
const USUAL_LOOK_BACK: i64 = 15 * 60 * MICROS;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    at: i64,
    entity: &'static str,
    category: &'static str,
    action: &'static str,
    device: Option<u32>,
    user: String,
    /// Flat dotted keys; text within the answer.
    details: Value,
}

impl Activity {
    /// The creation of a quick job.
    pub(crate) fn of_job(job: &Job, user: &str) -> Self {
        Self {
            at: job.created,
            entity: "DEVICE",
            category: "job",
            action: "deployment",
            device: Some(job.device),
            user: user.to_owned(),
            details: json!({
                "job.uid": job.uid, "job.name": job.name, "job.status": "active", "job.date": job.created / 1_000,
            }),
        }
    }
}

/// What happened in the last hours before the start.
pub(crate) fn generate(world: &mut World, now: i64) {
    let kinds = [("DEVICE", "remote", "jrto"), ("DEVICE", "device", "create"), ("USER", "user", "login")];
    for index in 0..600_u32 {
        let mut rng = Rng::at(world.seed, LOG_STREAM, u64::from(index));
        let (entity, category, action) = kinds[index as usize % kinds.len()];
        let has_device = entity == "DEVICE" && !world.devices.is_empty();
        let device = has_device.then(|| u32::try_from(rng.below(world.devices.len())).unwrap_or(0));
        let uid = device.and_then(|number| world.device(number)).map(|device| device.uid.to_string());
        let details = json!({ "device.uid": uid, "remote_session.type": "splashtop", "remote_session.start": now / 1_000 });
        let at = now - i64::from(index) * 60 * MICROS - rng.between(0, 30 * MICROS);
        world.activities.push(Activity {
            at,
            entity,
            category,
            action,
            device,
            user: "technician".to_owned(),
            details,
        });
    }
    world.activities.reverse();
}

fn view(world: &World, index: usize, activity: &Activity) -> Value {
    let device = activity.device.and_then(|number| world.device(number));
    json!({
        "id": format!("act-{index:08}"), "entity": activity.entity, "category": activity.category,
        "action": activity.action, "date": activity.at as f64 / 1e6,
        "site": device.map(|device| json!({ "id": device.site, "name": world.site_name(device.site) })),
        "deviceId": device.map(|device| device.id()), "hostname": device.map(|device| &*device.machine.hostname),
        "user": { "id": 9, "userName": activity.user, "firstName": null, "lastName": null },
        "details": activity.details.to_string(), "hasStdOut": activity.category == "job", "hasStdErr": false,
    })
}

/// `GET /v2/activity-logs`. Several values are joined by commas. The cursor is the place in the log.
pub(crate) fn list(call: &Call) -> Reply {
    let size = match call.query("size").map(str::parse::<usize>) {
        None => MAX_PAGE,
        Some(Ok(size)) if (1..=MAX_PAGE).contains(&size) => size,
        Some(_) => return Err(reply::error(400, "Invalid value for parameter 'size'")),
    };
    let now = call.sim.clock.event_now();
    let from = time(call, "from")?.unwrap_or(now - USUAL_LOOK_BACK);
    let until = time(call, "until")?.unwrap_or(i64::MAX);
    let world = call.world();
    let is_wanted = |activity: &Activity| {
        (from..=until).contains(&activity.at)
            && one_of(call, "entities", activity.entity)
            && one_of(call, "categories", activity.category)
            && one_of(call, "actions", activity.action)
            && call.query("searchQuery").is_none_or(|text| activity.details.to_string().contains(text))
            && activity.device.is_none_or(|number| {
                let site = world.device(number).map(|device| device.site.to_string());
                one_of(call, "siteIds", site.as_deref().unwrap_or(""))
            })
    };
    let mut rows: Vec<(usize, &Activity)> =
        world.activities.iter().enumerate().filter(|(_, activity)| is_wanted(activity)).collect();
    rows.sort_by_key(|(index, activity)| (activity.at, *index));
    if call.query("order") != Some("asc") {
        rows.reverse();
    }
    let start = match call.query("searchAfter") {
        None => 0,
        Some(after) => {
            rows.iter().position(|(index, _)| cursor(*index) == after).map_or(0, |place| place + 1)
        }
    };
    let shown: Vec<Value> =
        rows.iter().skip(start).take(size).map(|(index, activity)| view(&world, *index, activity)).collect();
    let last = rows.get((start + shown.len()).saturating_sub(1)).filter(|_| start + shown.len() < rows.len());
    let next = last.map(|(index, _)| {
        let (host, path) = (&call.sim.authority, &call.path);
        format!("http://{host}{path}?size={size}&page=next&searchAfter={}", cursor(*index))
    });
    let details = json!({ "count": shown.len(), "prevPageUrl": null, "nextPageUrl": next });
    Ok(reply::ok(&json!({ "pageDetails": details, "activities": shown, "error": null })))
}

fn cursor(index: usize) -> String {
    format!("c{index}")
}

fn one_of(call: &Call, name: &str, value: &str) -> bool {
    call.query(name).is_none_or(|wanted| wanted.split(',').any(|wanted| wanted.eq_ignore_ascii_case(value)))
}

/// A time of the query: whole seconds in UTC, nothing else.
fn time(call: &Call, name: &str) -> Result<Option<i64>, crate::answer::Answer> {
    let Some(text) = call.query(name) else { return Ok(None) };
    let parsed = text.parse::<jiff::Timestamp>().ok().filter(|_| !text.contains('.') && text.ends_with('Z'));
    let parsed =
        parsed.map(jiff::Timestamp::as_microsecond).filter(|at| timestamp(*at).as_microsecond() == *at);
    match parsed {
        Some(at) => Ok(Some(at)),
        None => Err(reply::error(
            400,
            &format!("Invalid value for parameter '{name}': yyyy-MM-ddTHH:mm:ssZ is expected"),
        )),
    }
}
