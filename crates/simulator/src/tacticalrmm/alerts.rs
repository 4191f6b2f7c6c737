//! Alerts: the list with its traps, single rows, bulk changes; and how alerts come to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::clock::iso;
use crate::fleet::{Fleet, Machine};
use crate::rng::Rng;
use crate::tacticalrmm::call::{Call, key, row_id, whole};
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::rows;
use crate::tacticalrmm::world::World;

const DAY: i64 = 86_400_000_000;
const ALERT_STREAM: u64 = 41;

/// One alert.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    pub(crate) id: u32,
    pub(crate) agent: Option<u32>,
    pub(crate) alert_time: i64,
    /// `availability`, `check`, `task` or `custom`.
    pub(crate) kind: String,
    pub(crate) severity: String,
    pub(crate) message: String,
    pub(crate) snoozed: bool,
    pub(crate) snooze_until: Option<i64>,
    pub(crate) resolved: bool,
    pub(crate) resolved_on: Option<i64>,
    pub(crate) hidden: bool,
    pub(crate) check: Option<u32>,
    pub(crate) action: Option<ActionRun>,
    pub(crate) resolved_action: Option<ActionRun>,
    /// What the failing check printed, for `{{alert.get_result.…}}`.
    pub(crate) output: Option<Failure>,
}

/// What came of an alert's action.
#[derive(Debug, Clone)]
pub(crate) struct ActionRun {
    pub(crate) at: i64,
    pub(crate) retcode: i64,
    pub(crate) stdout: String,
}

/// A check that fails on an agent, for [`crate::tacticalrmm::Control::fail`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which check; runs of the same check while its alert is open change nothing.
    pub check: u32,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// The alert's message; what Tactical would say when empty.
    #[serde(default)]
    pub message: String,
    /// What the check printed.
    #[serde(default)]
    pub stdout: Option<String>,
    /// What it says in one line.
    #[serde(default)]
    pub more_info: Option<String>,
    /// How its script ended.
    #[serde(default)]
    pub retcode: Option<i64>,
}

impl Alert {
    /// A new open alert.
    pub(crate) fn new(
        id: u32,
        agent: Option<u32>,
        kind: &str,
        severity: &str,
        message: &str,
        at: i64,
    ) -> Self {
        Self {
            id,
            agent,
            alert_time: at,
            kind: kind.to_owned(),
            severity: severity.to_owned(),
            message: message.to_owned(),
            snoozed: false,
            snooze_until: None,
            resolved: false,
            resolved_on: None,
            hidden: false,
            check: None,
            action: None,
            resolved_action: None,
            output: None,
        }
    }

    /// Marks it resolved; that takes a snooze away. Doing so again changes nothing.
    pub(crate) fn resolve(&mut self, now: i64) {
        if !self.resolved {
            self.resolved = true;
            self.resolved_on = Some(now);
        }
        self.snoozed = false;
        self.snooze_until = None;
    }

    /// Ends a snooze whose time has come.
    pub(crate) fn wake_if_due(&mut self, now: i64) {
        if self.snooze_until.is_some_and(|until| until <= now) {
            self.snoozed = false;
            self.snooze_until = None;
        }
    }

    fn snooze(&mut self, days: i64, now: i64) {
        self.snoozed = true;
        self.snooze_until = Some(now + days * DAY);
    }
}

/// Open alerts of a generated fleet: of failing checks, and of overdue machines that somebody watches.
pub(crate) fn generated(fleet: &Fleet, now: i64) -> BTreeMap<u32, Alert> {
    let mut alerts = BTreeMap::new();
    for machine in fleet.machines.values() {
        let mut rng = Rng::at(fleet.seed, ALERT_STREAM, u64::from(machine.number));
        let id = u32::try_from(alerts.len()).unwrap_or(0) + 1;
        let at = now - rng.between(60, 20 * 86_400) * 1_000_000;
        let counts = machine.checks;
        let severity = if counts.failing > 0 { "error" } else { "warning" };
        if counts.failing + counts.warning > 0 {
            let message = format!(
                "{} has a diskspace check: Disk Space Check: Drive C: -  Warning Threshold: 25% Error Threshold: 10% that failed.",
                machine.hostname
            );
            let mut alert = Alert::new(id, Some(machine.number), "check", severity, &message, at);
            alert.check = Some(machine.number * 16);
            alert.snoozed = rng.chance(40);
            alert.snooze_until = alert.snoozed.then_some(now + 3 * DAY);
            alerts.insert(id, alert);
        } else if machine.overdue_alert && rows::status(machine, now) == "overdue" {
            alerts.insert(
                id,
                Alert::new(
                    id,
                    Some(machine.number),
                    "availability",
                    "error",
                    &overdue_message(fleet, machine),
                    at,
                ),
            );
        } else if rng.chance(10) {
            let mut alert = Alert::new(
                id,
                Some(machine.number),
                "check",
                "info",
                "A memory check failed.",
                at - 30 * DAY,
            );
            alert.resolve(at);
            alerts.insert(id, alert);
        }
    }
    alerts
}

/// What an outage alert says.
pub(crate) fn overdue_message(fleet: &Fleet, machine: &Machine) -> String {
    let (client, site) = (fleet.client_name(machine.client), fleet.site_name(machine.site));
    format!("{} in {client}, {site} is overdue.", machine.hostname)
}

/// Answers the paths of alerts.
pub(crate) fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::Alerts, "PATCH") => list(call),
        (View::Alerts, "POST") => create(call),
        (View::Alert, "GET") => {
            call.require("can_list_alerts")?;
            let world = call.world();
            let alert = find(call, &world)?;
            Ok(reply::ok(&row(&world, alert)))
        }
        (View::Alert, "PUT") => update(call),
        (View::Alert, "DELETE") => delete(call),
        (View::AlertsBulk, "POST") => bulk(call),
        _ => Err(call.method_not_allowed()),
    }
}

/// One alert. Without an agent the keys of the agent are absent.
pub(crate) fn row(world: &World, alert: &Alert) -> Value {
    let mut row = json!({
        "id": alert.id,
        "alert_time": iso(alert.alert_time),
        "alert_type": alert.kind,
        "message": alert.message,
        "snoozed": alert.snoozed,
        "snooze_until": alert.snooze_until.map(iso),
        "resolved": alert.resolved,
        "resolved_on": alert.resolved_on.map(iso),
        "severity": alert.severity,
        "email_sent": null,
        "resolved_email_sent": null,
        "sms_sent": null,
        "resolved_sms_sent": null,
        "hidden": alert.hidden,
        "agent": alert.agent,
        "assigned_check": alert.check,
        "assigned_task": null,
    });
    for (prefix, run) in [("", &alert.action), ("resolved_", &alert.resolved_action)] {
        row[format!("{prefix}action_run")] = run.as_ref().map(|run| iso(run.at)).into();
        row[format!("{prefix}action_stdout")] = run.as_ref().map(|run| run.stdout.clone()).into();
        row[format!("{prefix}action_stderr")] = run.as_ref().map(|_| "").into();
        row[format!("{prefix}action_retcode")] = run.as_ref().map(|run| run.retcode).into();
        row[format!("{prefix}action_execution_time")] = run.as_ref().map(|_| "0.0000").into();
    }
    if let Some(machine) = alert.agent.and_then(|number| world.fleet.machines.get(&number)) {
        row["hostname"] = json!(machine.hostname);
        row["agent_id"] = json!(machine.id);
        row["client"] = json!(world.fleet.client_name(machine.client));
        row["site"] = json!(world.fleet.site_name(machine.site));
    }
    row
}

/// Whether the caller sees an alert; those without an agent belong to whoever sees everything.
fn is_seen(call: &Call, world: &World, alert: &Alert) -> bool {
    match alert.agent.and_then(|number| world.fleet.machines.get(&number)) {
        Some(machine) => call.sees(machine.client),
        None => call.sees(u32::MAX),
    }
}

fn find<'a>(call: &Call, world: &'a World) -> Result<&'a Alert, Answer> {
    let id = u32::try_from(call.params.pk).map_err(|_| reply::no_row("Alert"))?;
    let alert = world.alerts.get(&id).ok_or_else(|| reply::no_row("Alert"))?;
    if is_seen(call, world, alert) { Ok(alert) } else { Err(reply::forbidden()) }
}

fn list(call: &Call) -> Reply {
    call.require("can_list_alerts")?;
    let body = call.json()?;
    let now = call.sim.clock.event_now();
    let world = call.world();
    let seen = world.alerts.values().filter(|alert| is_seen(call, &world, alert));
    if let Some(top) = body.get("top") {
        let count = usize::try_from(whole(top).ok_or_else(reply::crash)?).map_err(|_| reply::crash())?;
        let mut open: Vec<&Alert> =
            seen.filter(|alert| !(alert.hidden || alert.snoozed || alert.resolved)).collect();
        open.sort_by_key(|alert| (alert.alert_time, alert.id));
        let alerts: Vec<Value> = open.iter().take(count).map(|alert| row(&world, alert)).collect();
        return Ok(reply::ok(&json!({"alerts_count": open.len(), "alerts": alerts})));
    }
    let filter = Filter::read(&body)?;
    let rows: Vec<Value> =
        seen.filter(|alert| filter.matches(&world, alert, now)).map(|alert| row(&world, alert)).collect();
    Ok(reply::ok(&rows))
}

/// The filters of the list. `false` leaves resolved (snoozed) ones out; `true` is no filter at all.
struct Filter {
    days: Option<i64>,
    clients: Option<Vec<u32>>,
    severities: Option<Vec<String>>,
    drop_resolved: bool,
    drop_snoozed: bool,
}

impl Filter {
    fn read(body: &Map<String, Value>) -> Result<Self, Answer> {
        let days = match body.get("timeFilter") {
            None => None,
            Some(days) => Some(whole(days).ok_or_else(reply::crash)?),
        };
        let list = |name: &str| body.get(name).and_then(Value::as_array);
        let severities =
            |rows: &Vec<Value>| rows.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self {
            days,
            clients: list("clientFilter").map(|clients| clients.iter().filter_map(row_id).collect()),
            severities: list("severityFilter").map(severities),
            drop_resolved: body.get("resolvedFilter") == Some(&Value::Bool(false)),
            drop_snoozed: body.get("snoozedFilter") == Some(&Value::Bool(false)),
        })
    }

    fn matches(&self, world: &World, alert: &Alert, now: i64) -> bool {
        let client =
            alert.agent.and_then(|number| world.fleet.machines.get(&number)).map(|machine| machine.client);
        self.days.is_none_or(|days| alert.alert_time >= now - days * DAY)
            && self
                .clients
                .as_ref()
                .is_none_or(|clients| client.is_some_and(|client| clients.contains(&client)))
            && self.severities.as_ref().is_none_or(|severities| severities.contains(&alert.severity))
            && !(self.drop_resolved && alert.resolved)
            && !(self.drop_snoozed && alert.snoozed)
    }
}

/// Made by hand; fires no webhook.
fn create(call: &Call) -> Reply {
    call.require("can_manage_alerts")?;
    let body = call.json()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let agent = match body.get("agent") {
        None | Some(Value::Null) => None,
        Some(agent) => row_id(agent),
    };
    let mut world = call.world();
    if agent.is_some_and(|number| !world.fleet.machines.contains_key(&number)) {
        return Err(reply::invalid(
            "agent",
            &format!("Invalid pk \"{}\" - object does not exist.", agent.unwrap_or(0)),
        ));
    }
    let severity = checked_severity(&body)?.unwrap_or("info");
    let id = next_id(&world);
    let kind = text("alert_type").unwrap_or("availability");
    let alert =
        Alert::new(id, agent, kind, severity, text("message").unwrap_or(""), call.sim.clock.event_now());
    world.alerts.insert(id, alert);
    Ok(reply::text("ok"))
}

fn checked_severity(body: &Map<String, Value>) -> Result<Option<&str>, Answer> {
    match body.get("severity").map(|value| (value, value.as_str())) {
        None => Ok(None),
        Some((_, Some(severity @ ("info" | "warning" | "error")))) => Ok(Some(severity)),
        Some((value, _)) => {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Err(reply::invalid("severity", &format!("\"{shown}\" is not a valid choice.")))
        }
    }
}

/// The next alert's number.
pub(crate) fn next_id(world: &World) -> u32 {
    world.alerts.keys().next_back().copied().unwrap_or(0) + 1
}

fn update(call: &Call) -> Reply {
    call.require("can_manage_alerts")?;
    let body = call.json()?;
    let now = call.sim.clock.event_now();
    let mut world = call.world();
    let id = find(call, &world)?.id;
    let alert = world.alerts.get_mut(&id).ok_or_else(|| reply::no_row("Alert"))?;
    match body.get("type").map(Value::as_str) {
        Some(Some("resolve")) => alert.resolve(now),
        Some(Some("snooze")) => {
            // The message misspells the key.
            let missing = || reply::refusal("Missing 'snoozed_days' when trying to snooze alert");
            let days = body.get("snooze_days").and_then(whole).ok_or_else(missing)?;
            alert.snooze(days, now);
        }
        Some(Some("unsnooze")) => {
            alert.snoozed = false;
            alert.snooze_until = None;
        }
        Some(_) => return Err(reply::refusal("There was an error in the request data")),
        None => update_raw(alert, &body)?,
    }
    Ok(reply::text("ok"))
}

/// Without `type` the body is written into the row.
fn update_raw(alert: &mut Alert, body: &Map<String, Value>) -> Result<(), Answer> {
    if let Some(severity) = checked_severity(body)? {
        severity.clone_into(&mut alert.severity);
    }
    if let Some(message) = body.get("message").and_then(Value::as_str) {
        message.clone_into(&mut alert.message);
    }
    let flag = |name: &str| body.get(name).and_then(Value::as_bool);
    alert.hidden = flag("hidden").unwrap_or(alert.hidden);
    alert.snoozed = flag("snoozed").unwrap_or(alert.snoozed);
    alert.resolved = flag("resolved").unwrap_or(alert.resolved);
    Ok(())
}

/// A missing alert is an unhandled error here, not a 404.
fn delete(call: &Call) -> Reply {
    call.require("can_manage_alerts")?;
    let mut world = call.world();
    let id = u32::try_from(call.params.pk).unwrap_or(0);
    let alert = world.alerts.get(&id).ok_or_else(reply::crash)?;
    if !is_seen(call, &world, alert) {
        return Err(reply::forbidden());
    }
    world.alerts.remove(&id);
    Ok(reply::text("ok"))
}

fn bulk(call: &Call) -> Reply {
    call.require("can_manage_alerts")?;
    let body = call.json()?;
    let now = call.sim.clock.event_now();
    let ids: Vec<u32> = key(&body, "alerts")?.as_array().into_iter().flatten().filter_map(row_id).collect();
    let days = match key(&body, "bulk_action")?.as_str() {
        Some("resolve") => None,
        Some("snooze") => Some(
            body.get("snooze_days")
                .and_then(whole)
                .ok_or_else(|| reply::refusal("The request was invalid"))?,
        ),
        _ => return Err(reply::refusal("The request was invalid")),
    };
    let mut world = call.world();
    let seen: Vec<u32> = ids
        .into_iter()
        .filter(|id| world.alerts.get(id).is_some_and(|alert| is_seen(call, &world, alert)))
        .collect();
    for id in seen {
        let Some(alert) = world.alerts.get_mut(&id) else { continue };
        match days {
            Some(days) => alert.snooze(days, now),
            None => alert.resolve(now),
        }
    }
    Ok(reply::text("ok"))
}
