//! Agents: lists, one agent, edits, notes, pending actions and history.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::clock::iso;
use crate::fleet::Machine;
use crate::tacticalrmm::call::{Call, key, row_id};
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::world::World;
use crate::tacticalrmm::{detail, rows};

/// Answers the paths under `/agents/` that ask no agent.
pub(crate) fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::Agents, "GET") => list(call),
        (View::Agent, "GET") => {
            call.require("can_list_agents")?;
            let world = call.world();
            let machine = call.agent(&world)?;
            Ok(reply::ok(&detail::stable(&world, machine, call.sim.clock.fleet_now())))
        }
        (View::Agent, "PUT") => edit(call),
        (View::Agent, "DELETE") => delete(call),
        (View::Versions, "GET") => versions(call),
        (View::MaintenanceBulk, "POST") => maintenance(call),
        (View::Notes, "GET") => notes(call, None),
        (View::AgentNotes, "GET") => notes(call, Some(&call.params.agent_id)),
        (View::Notes, "POST") => add_note(call),
        (View::AgentPending, "GET") => pending(call),
        (View::History, "GET") => history(call, None),
        (View::AgentHistory, "GET") => history(call, Some(&call.params.agent_id)),
        (View::ScriptHistory, "GET") => script_history(call),
        _ => Err(call.method_not_allowed()),
    }
}

fn list(call: &Call) -> Reply {
    call.require("can_list_agents")?;
    let monitoring_type = match call.query("monitoring_type") {
        Some(wanted @ ("server" | "workstation")) => Some(wanted),
        Some(_) => return Err(reply::refusal("monitoring type does not exist")),
        None => None,
    };
    let filter = Filter {
        site: number(call, "site")?,
        client: number(call, "client")?,
        is_server: monitoring_type.map(|wanted| wanted == "server"),
    };
    if call.query("detail") == Some("false") {
        return Ok(short_list(call, &filter));
    }
    Ok(full_list(call, &filter))
}

/// A number of the query; anything else is an unhandled error.
fn number(call: &Call, name: &str) -> Result<Option<u32>, crate::answer::Answer> {
    call.query(name).map(|text| text.parse().map_err(|_| reply::crash())).transpose()
}

/// What a list is narrowed to. Site wins over client.
struct Filter {
    site: Option<u32>,
    client: Option<u32>,
    is_server: Option<bool>,
}

impl Filter {
    fn matches(&self, call: &Call, machine: &Machine) -> bool {
        let place = match (self.site, self.client) {
            (Some(site), _) => machine.site == site,
            (None, Some(client)) => machine.client == client,
            (None, None) => true,
        };
        place && self.is_server.is_none_or(|wanted| machine.is_server == wanted) && call.sees(machine.client)
    }
}

fn short_list(call: &Call, filter: &Filter) -> crate::answer::Answer {
    let world = call.world();
    let machines = world.fleet.machines.values().filter(|machine| filter.matches(call, machine));
    let rows: Vec<_> = machines.map(|machine| rows::short_row(&world, machine)).collect();
    reply::ok(&rows)
}

/// A list by client, or of everything, is put together from cached parts; other filters render anew.
fn full_list(call: &Call, filter: &Filter) -> crate::answer::Answer {
    let now = call.sim.clock.fleet_now();
    let mut world = call.world();
    let clients: Vec<u32> = match filter {
        Filter { site: None, is_server: None, client: Some(client) } => vec![*client],
        Filter { site: None, is_server: None, client: None } => world.fleet.clients.keys().copied().collect(),
        Filter { .. } => {
            let machines = world.fleet.machines.values().filter(|machine| filter.matches(call, machine));
            return reply::rendered(vec![rows::list(&world, machines, now)]);
        }
    };
    let seen = clients.into_iter().filter(|client| call.sees(*client));
    let lists: Vec<Bytes> = seen.map(|client| world.cached_list(client, now, rows::write_list_row)).collect();
    reply::rendered(joined(lists))
}

/// Several JSON arrays as one, without copying their rows.
fn joined(lists: Vec<Bytes>) -> Vec<Bytes> {
    if lists.len() == 1 {
        return lists;
    }
    let mut pieces = vec![Bytes::from_static(b"[")];
    for list in lists.into_iter().filter(|list| list.len() > 2) {
        if pieces.len() > 1 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(list.slice(1..list.len() - 1));
    }
    pieces.push(Bytes::from_static(b"]"));
    pieces
}

fn edit(call: &Call) -> Reply {
    call.require("can_edit_agent")?;
    let body = call.json()?;
    for (field, choices) in [("monitoring_type", ["server", "workstation"])] {
        if let Some(value) = body.get(field)
            && !choices.iter().any(|choice| value == choice)
        {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Err(reply::invalid(field, &format!("\"{shown}\" is not a valid choice.")));
        }
    }
    let mut world = call.world();
    let id = call.agent(&world)?.id.clone();
    world.fleet.edit(&id, |machine| apply(machine, &body));
    Ok(reply::text("The agent was updated successfully"))
}

fn apply(machine: &mut Machine, body: &Map<String, Value>) {
    if let Some(description) = body.get("description") {
        machine.description = description.as_str().map(Into::into);
    }
    if let Some(maintenance) = body.get("maintenance_mode").and_then(Value::as_bool) {
        machine.maintenance = maintenance;
    }
    if let Some(kind) = body.get("monitoring_type").and_then(Value::as_str) {
        machine.is_server = kind == "server";
    }
    if let Some(alert) = body.get("overdue_dashboard_alert").and_then(Value::as_bool) {
        machine.overdue_alert = alert;
    }
    let minutes = |name: &str| body.get(name).and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
    machine.offline_minutes = minutes("offline_time").unwrap_or(machine.offline_minutes);
    machine.overdue_minutes = minutes("overdue_time").unwrap_or(machine.overdue_minutes);
    for field in body.get("custom_fields").and_then(Value::as_array).into_iter().flatten() {
        if field["field"] == 1 {
            machine.asset_tag = field["string_value"].as_str().or(field["value"].as_str()).map(Into::into);
        }
    }
}

fn delete(call: &Call) -> Reply {
    call.require("can_uninstall_agents")?;
    let mut world = call.world();
    let machine = call.agent(&world)?.clone();
    world.fleet.vanish(&machine.id);
    world.alerts.retain(|_, alert| alert.agent != Some(machine.number));
    world.history.retain(|row| row["agent"] != machine.number);
    Ok(reply::text(&format!("{} will now be uninstalled.", machine.hostname)))
}

fn versions(call: &Call) -> Reply {
    call.require("can_list_agents")?;
    let world = call.world();
    let machines = world.fleet.machines.values().filter(|machine| call.sees(machine.client));
    let agents: Vec<_> = machines.map(|machine| rows::short_row(&world, machine)).collect();
    Ok(reply::ok(&json!({"versions": ["2.11.0"], "agents": agents})))
}

fn maintenance(call: &Call) -> Reply {
    call.require("can_edit_agent")?;
    let body = call.json()?;
    let enabled = key(&body, "action")?.as_bool().unwrap_or(false);
    let id = row_id(key(&body, "id")?).ok_or_else(reply::crash)?;
    let is_site = match key(&body, "type")?.as_str() {
        Some("Site") => true,
        Some("Client") => false,
        _ => return Err(reply::refusal("Invalid data")),
    };
    let mut world = call.world();
    let of_place = |machine: &&Machine| if is_site { machine.site == id } else { machine.client == id };
    let ids: Vec<_> =
        world.fleet.machines.values().filter(of_place).map(|machine| machine.id.clone()).collect();
    for id in &ids {
        world.fleet.edit(id, |machine| machine.maintenance = enabled);
    }
    if ids.is_empty() {
        return Err(reply::refusal("No agents have been put in maintenance mode"));
    }
    let word = if enabled { "enabled" } else { "disabled" };
    Ok(reply::text(&format!("Maintenance mode has been {word} on {} agents", ids.len())))
}

/// Rows that belong to agents the caller sees; of one agent if named.
fn of_agents<'a>(call: &Call, world: &'a World, rows: &'a [Value], one: Option<&Machine>) -> Vec<&'a Value> {
    let belongs = |row: &&Value| {
        let number = row["agent"].as_u64().and_then(|number| u32::try_from(number).ok());
        match (one, number.and_then(|number| world.fleet.machines.get(&number))) {
            (Some(one), Some(machine)) => one.number == machine.number,
            (None, Some(machine)) => call.sees(machine.client),
            (_, None) => false,
        }
    };
    rows.iter().filter(belongs).collect()
}

fn notes(call: &Call, agent_id: Option<&str>) -> Reply {
    call.require("can_list_notes")?;
    let world = call.world();
    let one = agent_id.map(|_| call.agent(&world)).transpose()?;
    let belongs = |note: &&Value| match one {
        Some(machine) => note["agent_id"] == *machine.id,
        None => true,
    };
    let notes: Vec<&Value> = world.notes.iter().filter(belongs).collect();
    Ok(reply::ok(&notes))
}

fn add_note(call: &Call) -> Reply {
    call.require("can_manage_notes")?;
    let body = call.json()?;
    let agent_id = key(&body, "agent_id")?.as_str().unwrap_or("").to_owned();
    let note = key(&body, "note")?.clone();
    let mut world = call.world();
    let machine = world.fleet.find(&agent_id).ok_or_else(|| reply::no_row("Agent"))?;
    if !call.sees(machine.client) {
        return Err(reply::forbidden());
    }
    let pk = world.next_serial();
    let at = iso(call.sim.clock.event_now());
    world.notes.push(
        json!({"pk": pk, "entry_time": at, "note": note, "username": call.user(), "agent_id": agent_id}),
    );
    Ok(reply::text("Note added!"))
}

fn pending(call: &Call) -> Reply {
    call.require("can_list_pendingactions")?;
    let world = call.world();
    let machine = call.agent(&world)?;
    Ok(reply::ok(&world.pending_of(machine.number).collect::<Vec<_>>()))
}

fn history(call: &Call, agent_id: Option<&str>) -> Reply {
    call.require("can_list_agent_history")?;
    let world = call.world();
    let one = agent_id.map(|_| call.agent(&world)).transpose()?;
    Ok(reply::ok(&of_agents(call, &world, &world.history, one)))
}

/// Newest first, with a limit.
fn script_history(call: &Call) -> Reply {
    call.require("can_list_agent_history")?;
    let world = call.world();
    let limit = call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let name = call.query("scriptname").unwrap_or("");
    let in_range = |row: &&Value| {
        let time = row["time"].as_str().unwrap_or("");
        call.query("start").is_none_or(|start| time >= start)
            && call.query("end").is_none_or(|end| time <= end)
    };
    let rows = of_agents(call, &world, &world.history, None).into_iter().rev();
    let scripts = rows.filter(|row| row["type"] == "script_run").filter(in_range);
    let named = scripts.filter(|row| name.is_empty() || row["script_name"] == name).take(limit);
    let shown: Vec<Value> = named.map(|row| script_run(&world, row)).collect();
    Ok(reply::ok(&shown))
}

fn script_run(world: &World, row: &Value) -> Value {
    let number = row["agent"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let agent_id = world.fleet.machines.get(&number).map(|machine| machine.id.to_string());
    json!({
        "id": row["id"], "time": row["time"], "username": row["username"], "script": row["script"],
        "script_results": row["script_results"], "agent": row["agent"], "script_name": row["script_name"],
        "agent_id": agent_id,
    })
}
