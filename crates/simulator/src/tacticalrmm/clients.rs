//! Clients and sites, with counts and without.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::fleet::{Client, Machine, Site};
use crate::tacticalrmm::call::{Call, key, row_id};
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::rows;
use crate::tacticalrmm::world::World;

/// Answers the paths under `/clients/`.
pub(crate) fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::Clients, "GET") => list(call),
        (View::Clients, "POST") => create(call),
        // The permission class looks for a key that this path does not have.
        (View::Clients | View::Sites, _)
            if call.require("can_manage_clients").is_ok()
                && call.method != "GET"
                && call.method != "POST" =>
        {
            Err(reply::crash())
        }
        (View::Client, "GET") => one(call),
        (View::Client, "PUT") => update(call),
        (View::Client, "DELETE") => delete(call),
        (View::Sites, "GET") => sites(call),
        (View::Sites, "POST") => create_site(call),
        (View::Site, "GET") => one_site(call),
        (View::Site, "PUT") => update_site(call),
        _ => Err(call.method_not_allowed()),
    }
}

fn list(call: &Call) -> Reply {
    let role = call.require("can_list_clients")?;
    let now = call.sim.clock.fleet_now();
    let mut world = call.world();
    if role.is_superuser || role.clients.is_empty() {
        return Ok(reply::rendered(vec![world.cached_clients(now, all_clients)]));
    }
    let seen = world.fleet.clients_by_name().into_iter().filter(|client| role.sees(client.id));
    let rows: Vec<Value> = seen.map(|client| client_row(&world, client, now)).collect();
    Ok(reply::ok(&rows))
}

fn all_clients(world: &World, now: i64) -> Bytes {
    let rows: Vec<Value> =
        world.fleet.clients_by_name().into_iter().map(|client| client_row(world, client, now)).collect();
    serde_json::to_vec(&rows).unwrap_or_default().into()
}

/// What a place shows of the machines in it.
#[derive(Default)]
struct Health {
    count: usize,
    error: bool,
    warning: bool,
    maintenance: bool,
}

impl Health {
    fn of<'a>(world: &World, machines: impl Iterator<Item = &'a Machine>, now: i64) -> Self {
        let mut health = Self::default();
        for machine in machines {
            health.count += 1;
            health.warning |= machine.checks.warning > 0;
            health.maintenance |= machine.maintenance;
            health.error |= machine.checks.failing > 0 || is_alerted_overdue(world, machine, now);
        }
        health
    }

    fn failing_checks(&self) -> Value {
        json!({"error": self.error, "warning": self.warning})
    }
}

/// Overdue counts as an error only where somebody wants to hear of it.
fn is_alerted_overdue(world: &World, machine: &Machine, now: i64) -> bool {
    let is_wanted = || {
        machine.overdue_alert || world.template_of(machine).is_some_and(|t| t["agent_always_alert"] == true)
    };
    rows::status(machine, now) == "overdue" && is_wanted()
}

fn client_row(world: &World, client: &Client, now: i64) -> Value {
    let health = Health::of(world, world.fleet.of_client(client.id), now);
    let mut row = bare_client(world, client, now);
    row["agent_count"] = health.count.into();
    row["maintenance_mode"] = health.maintenance.into();
    row
}

/// A client without its own counts; its sites have theirs.
fn bare_client(world: &World, client: &Client, now: i64) -> Value {
    let health = Health::of(world, world.fleet.of_client(client.id), now);
    let sites = world.fleet.sites_of(client.id);
    json!({
        "id": client.id,
        "name": client.name,
        "server_policy": null,
        "workstation_policy": null,
        "alert_template": world.client_templates.get(&client.id),
        "block_policy_inheritance": false,
        "sites": sites.into_iter().map(|site| counted_site(world, site, now)).collect::<Vec<_>>(),
        "custom_fields": [],
        "failing_checks": health.failing_checks(),
    })
}

fn counted_site(world: &World, site: &Site, now: i64) -> Value {
    let health = of_site(world, site, now);
    let mut row = site_row(world, site, now);
    row["agent_count"] = health.count.into();
    row["maintenance_mode"] = health.maintenance.into();
    row
}

fn of_site(world: &World, site: &Site, now: i64) -> Health {
    Health::of(world, world.fleet.of_client(site.client).filter(|machine| machine.site == site.id), now)
}

/// A site without counts.
fn site_row(world: &World, site: &Site, now: i64) -> Value {
    json!({
        "id": site.id,
        "name": site.name,
        "server_policy": null,
        "workstation_policy": null,
        "alert_template": world.site_templates.get(&site.id),
        "client_name": world.fleet.client_name(site.client),
        "client": site.client,
        "custom_fields": [],
        "block_policy_inheritance": false,
        "failing_checks": of_site(world, site, now).failing_checks(),
    })
}

fn one(call: &Call) -> Reply {
    call.require("can_list_clients")?;
    let world = call.world();
    let client = client(call, &world)?;
    Ok(reply::ok(&bare_client(&world, client, call.sim.clock.fleet_now())))
}

fn client<'a>(call: &Call, world: &'a World) -> Result<&'a Client, Answer> {
    let id = u32::try_from(call.params.pk).map_err(|_| reply::no_row("Client"))?;
    let client = world.fleet.clients.get(&id).ok_or_else(|| reply::no_row("Client"))?;
    if call.sees(id) { Ok(client) } else { Err(reply::forbidden()) }
}

fn site<'a>(call: &Call, world: &'a World) -> Result<&'a Site, Answer> {
    let id = u32::try_from(call.params.pk).map_err(|_| reply::no_row("Site"))?;
    let site = world.fleet.sites.get(&id).ok_or_else(|| reply::no_row("Site"))?;
    if call.sees(site.client) { Ok(site) } else { Err(reply::forbidden()) }
}

fn create(call: &Call) -> Reply {
    call.require("can_manage_clients")?;
    let body = call.json()?;
    let mut world = call.world();
    let name = checked_name(&world, object(key(&body, "client")?), None)?;
    let site_name = object(key(&body, "site")?).get("name").and_then(Value::as_str).unwrap_or("").to_owned();
    let id = world.fleet.add_client(&name);
    world.fleet.add_site(id, &site_name);
    Ok(reply::text(&format!("{name} was added")))
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// A client's name: there, without `|`, and not taken by another.
fn checked_name(world: &World, client: Map<String, Value>, own_id: Option<u32>) -> Result<String, Answer> {
    let name = client.get("name").ok_or_else(|| reply::invalid("name", "This field is required."))?;
    let name = name.as_str().unwrap_or("");
    if name.is_empty() {
        return Err(reply::invalid("name", "This field may not be blank."));
    }
    if name.contains('|') {
        return Err(reply::invalid("name", "Client name cannot contain the | character"));
    }
    if world.fleet.clients.values().any(|other| other.name == name && Some(other.id) != own_id) {
        return Err(reply::invalid("name", "client with this name already exists."));
    }
    Ok(name.to_owned())
}

/// Answers with braces: a slip of Tactical's own.
fn update(call: &Call) -> Reply {
    call.require("can_manage_clients")?;
    let body = call.json()?;
    let mut world = call.world();
    let id = client(call, &world)?.id;
    let fields = object(key(&body, "client")?);
    if fields.contains_key("name") {
        let name = checked_name(&world, fields.clone(), Some(id))?;
        world.fleet.rename_client(id, &name);
    }
    if let Some(template) = fields.get("alert_template") {
        match known_template(&world, template)? {
            Some(template) => _ = world.client_templates.insert(id, template),
            None => _ = world.client_templates.remove(&id),
        }
    }
    world.touch_all();
    Ok(reply::text("{client} was updated"))
}

/// The number of an alert template that exists, or none for null.
pub(crate) fn known_template(world: &World, value: &Value) -> Result<Option<u32>, Answer> {
    if value.is_null() {
        return Ok(None);
    }
    let id = row_id(value).filter(|id| world.templates.contains_key(id));
    id.map(Some).ok_or_else(|| {
        reply::invalid("alert_template", &format!("Invalid pk \"{value}\" - object does not exist."))
    })
}

fn delete(call: &Call) -> Reply {
    call.require("can_manage_clients")?;
    let mut world = call.world();
    let client = client(call, &world)?.clone();
    if world.fleet.count_of_client(client.id) > 0 && call.query("move_to_site").is_none() {
        let count = world.fleet.count_of_client(client.id);
        return Err(reply::refusal(&format!(
            "There are {count} agents in this client that must be moved to another site."
        )));
    }
    world.fleet.remove_client(client.id);
    Ok(reply::text(&format!("{} was deleted", client.name)))
}

fn sites(call: &Call) -> Reply {
    call.require("can_list_sites")?;
    let now = call.sim.clock.fleet_now();
    let world = call.world();
    let clients = world.fleet.clients_by_name().into_iter().filter(|client| call.sees(client.id));
    let sites = clients.flat_map(|client| world.fleet.sites_of(client.id));
    let rows: Vec<Value> = sites.map(|site| site_row(&world, site, now)).collect();
    Ok(reply::ok(&rows))
}

fn create_site(call: &Call) -> Reply {
    call.require("can_manage_sites")?;
    let body = call.json()?;
    let fields = object(key(&body, "site")?);
    let mut world = call.world();
    let client = fields.get("client").and_then(row_id).filter(|id| world.fleet.clients.contains_key(id));
    let client = client.ok_or_else(|| reply::invalid("client", "This field is required."))?;
    let name = fields.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
    world.fleet.add_site(client, &name);
    world.touch_all();
    Ok(reply::text(&format!("Site {name} was added!")))
}

fn one_site(call: &Call) -> Reply {
    call.require("can_list_sites")?;
    let world = call.world();
    let site = site(call, &world)?;
    Ok(reply::ok(&site_row(&world, site, call.sim.clock.fleet_now())))
}

fn update_site(call: &Call) -> Reply {
    call.require("can_manage_sites")?;
    let body = call.json()?;
    let fields = object(key(&body, "site")?);
    let mut world = call.world();
    let id = site(call, &world)?.id;
    if let Some(template) = fields.get("alert_template") {
        match known_template(&world, template)? {
            Some(template) => _ = world.site_templates.insert(id, template),
            None => _ = world.site_templates.remove(&id),
        }
    }
    if let Some(name) = fields.get("name").and_then(Value::as_str) {
        world.fleet.rename_site(id, name);
    }
    world.touch_all();
    Ok(reply::text("Site was edited!"))
}
