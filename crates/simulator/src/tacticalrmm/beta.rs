//! The beta API: raw columns, page numbers, filters, and what breaks in it.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::clock::iso;
use crate::fleet::{Client, Machine, Site};
use crate::tacticalrmm::call::Call;
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::world::World;
use crate::tacticalrmm::{detail, rows};

const PAGE_SIZE: usize = 100;
const PAGE_SIZE_CAP: usize = 1000;

/// Answers the beta paths.
pub(crate) fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::BetaRoot, "GET") => Ok(reply::ok(&json!({
            "agent": absolute(call, "/beta/v1/agent/"),
            "client": absolute(call, "/beta/v1/client/"),
            "site": absolute(call, "/beta/v1/site/"),
        }))),
        (View::BetaClients, "GET") => clients(call),
        (View::BetaClient, "GET") => client(call),
        (View::BetaSites, "GET") => sites(call),
        (View::BetaSite, "GET") => site(call),
        (View::BetaAgents, "GET") => agents(call),
        (View::BetaAgent, "GET") => agent(call),
        _ => Err(call.method_not_allowed()),
    }
}

/// An address as the server sees itself.
fn absolute(call: &Call, path: &str) -> String {
    format!("http://{}{path}", call.sim.authority)
}

/// The number of the path. Anything else is not found, in the framework's short words.
fn number(call: &Call) -> Result<u32, Answer> {
    call.params.text.parse().map_err(|_| reply::detail(404, "Not found."))
}

/// Never paginated, whatever is asked.
fn clients(call: &Call) -> Reply {
    call.require("can_list_clients")?;
    let world = call.world();
    let seen = world.fleet.clients_by_name().into_iter().filter(|client| call.sees(client.id));
    let rows: Vec<Value> = seen.map(|client| client_row(&world, client)).collect();
    Ok(reply::ok(&rows))
}

fn client(call: &Call) -> Reply {
    call.require("can_list_clients")?;
    let id = number(call)?;
    let world = call.world();
    let client = world.fleet.clients.get(&id).ok_or_else(|| reply::no_row("Client"))?;
    if call.sees(id) { Ok(reply::ok(&client_row(&world, client))) } else { Err(reply::forbidden()) }
}

fn failing(machines: impl Iterator<Item = impl std::borrow::Borrow<Machine>>) -> Value {
    let (mut error, mut warning) = (false, false);
    for machine in machines {
        error |= machine.borrow().checks.failing > 0;
        warning |= machine.borrow().checks.warning > 0;
    }
    json!({"error": error, "warning": warning})
}

fn client_row(world: &World, client: &Client) -> Value {
    let created = iso(world.created);
    json!({
        "id": client.id, "created_by": null, "created_time": created, "modified_by": null, "modified_time": created,
        "name": client.name, "block_policy_inheritance": false,
        "failing_checks": failing(world.fleet.of_client(client.id)), "workstation_policy": null,
        "server_policy": null, "alert_template": world.client_templates.get(&client.id),
    })
}

fn site_row(world: &World, site: &Site) -> Value {
    let created = iso(world.created);
    let machines = world.fleet.of_client(site.client).filter(|machine| machine.site == site.id);
    json!({
        "id": site.id, "created_by": null, "created_time": created, "modified_by": null, "modified_time": created,
        "name": site.name, "block_policy_inheritance": false, "failing_checks": failing(machines),
        "client": site.client, "workstation_policy": null, "server_policy": null,
        "alert_template": world.site_templates.get(&site.id),
    })
}

fn sites(call: &Call) -> Reply {
    call.require("can_list_sites")?;
    let world = call.world();
    let seen: Vec<&Site> = world.fleet.sites.values().filter(|site| call.sees(site.client)).collect();
    let page = Page::of(call, seen.len())?;
    let rows = page.slice(&seen).iter().map(|site| site_row(&world, site)).collect();
    Ok(reply::ok(&page.envelope(call, rows)))
}

fn site(call: &Call) -> Reply {
    call.require("can_list_sites")?;
    let id = number(call)?;
    let world = call.world();
    let site = world.fleet.sites.get(&id).ok_or_else(|| reply::no_row("Site"))?;
    if call.sees(site.client) { Ok(reply::ok(&site_row(&world, site))) } else { Err(reply::forbidden()) }
}

fn agents(call: &Call) -> Reply {
    call.require("can_list_agents")?;
    let now = call.sim.clock.fleet_now();
    let world = call.world();
    let filters = Filters::read(call, &world)?;
    let seen: Vec<&Machine> = world
        .fleet
        .machines
        .values()
        .filter(|machine| call.sees(machine.client) && filters.match_all(&world, machine, now))
        .collect();
    let page = Page::of(call, seen.len())?;
    let rows = page.slice(&seen).iter().map(|machine| detail::columns(&world, machine, now).into()).collect();
    Ok(reply::ok(&page.envelope(call, rows)))
}

/// By number; an agent's id is not found.
fn agent(call: &Call) -> Reply {
    call.require("can_list_agents")?;
    let id = number(call)?;
    let world = call.world();
    let machine = world.fleet.machines.get(&id).ok_or_else(|| reply::no_row("Agent"))?;
    if !call.sees(machine.client) {
        return Err(reply::forbidden());
    }
    Ok(reply::ok(&detail::beta(&world, machine, call.sim.clock.fleet_now())))
}

/// One page of a list.
struct Page {
    number: usize,
    size: usize,
    count: usize,
}

impl Page {
    /// `page_size` is silently capped and 0 means the default; `page=last` works.
    fn of(call: &Call, count: usize) -> Result<Self, Answer> {
        let asked = call.query("page_size").and_then(|size| size.parse().ok()).filter(|size| *size > 0);
        let size: usize = asked.unwrap_or(PAGE_SIZE).min(PAGE_SIZE_CAP);
        let last = count.div_ceil(size).max(1);
        let number = match call.query("page") {
            None => 1,
            Some("last") => last,
            Some(number) => number.parse().unwrap_or(0),
        };
        if number == 0 || number > last {
            return Err(reply::detail(404, "Invalid page."));
        }
        Ok(Self { number, size, count })
    }

    fn slice<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let start = (self.number - 1) * self.size;
        &all[start.min(all.len())..(start + self.size).min(all.len())]
    }

    fn envelope(&self, call: &Call, results: Vec<Value>) -> Value {
        let has_next = self.number * self.size < self.count;
        json!({
            "count": self.count,
            "next": has_next.then(|| self.address(call, self.number + 1)),
            "previous": (self.number > 1).then(|| self.address(call, self.number - 1)),
            "results": results,
        })
    }

    /// The address of another page: the query sorted by name, and no `page` for the first.
    fn address(&self, call: &Call, number: usize) -> String {
        let mut pairs: Vec<(String, String)> =
            call.query.iter().filter(|(name, _)| name != "page").cloned().collect();
        if number > 1 {
            pairs.push(("page".to_owned(), number.to_string()));
        }
        pairs.sort();
        let query: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        let path = absolute(call, &call.path);
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

fn quoted(value: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The filters a list of agents was asked for.
struct Filters(Vec<(String, String)>);

impl Filters {
    /// Values that cannot be are refused by field; `agent_id` crashes the real server.
    fn read(call: &Call, world: &World) -> Result<Self, Answer> {
        let mut filters = Vec::new();
        for (name, value) in call.query.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "agent_id" => return Err(reply::crash()),
                "page" | "page_size" => continue,
                "site" | "policy" | "alert_template" if !is_choice(world, name, value) => {
                    let message = "Select a valid choice. That choice is not one of the available choices.";
                    return Err(reply::invalid(name, message));
                }
                "client_id" | "id" | "total_ram_range_min" | "total_ram_range_max"
                    if value.parse::<i64>().is_err() =>
                {
                    return Err(reply::invalid(name, "Enter a number."));
                }
                "last_seen_range_after" | "last_seen_range_before"
                    if value.parse::<jiff::Timestamp>().is_err() =>
                {
                    return Err(reply::invalid("last_seen_range", "Enter a valid date/time."));
                }
                _ => filters.push((name.clone(), value.clone())),
            }
        }
        Ok(Self(filters))
    }

    fn match_all(&self, world: &World, machine: &Machine, now: i64) -> bool {
        self.0.iter().all(|(name, value)| is_match(world, machine, name, value, now))
    }
}

fn is_choice(world: &World, name: &str, value: &str) -> bool {
    let id: Option<u32> = value.parse().ok();
    match name {
        "site" => id.is_some_and(|id| world.fleet.sites.contains_key(&id)),
        "alert_template" => id.is_some_and(|id| world.templates.contains_key(&id)),
        _ => false,
    }
}

fn is_match(world: &World, machine: &Machine, name: &str, value: &str, now: i64) -> bool {
    let whole = || value.parse::<i64>().unwrap_or(-1);
    let time = || value.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_microsecond);
    let ram = i64::from(machine.hardware.ram_gb);
    match name {
        "id" => i64::from(machine.number) == whole(),
        "hostname" => *machine.hostname == *value,
        "operating_system" => machine.os.as_deref() == Some(value),
        "plat" => rows::plat(machine) == value,
        "monitoring_type" => rows::monitoring_type(machine) == value,
        "needs_reboot" => machine.needs_reboot == value.eq_ignore_ascii_case("true"),
        "logged_in_username" => machine.user_is_logged_in && machine.user.as_deref() == Some(value),
        "last_logged_in_user" => machine.user.as_deref() == Some(value),
        "site" => i64::from(machine.site) == whole(),
        "client_id" => i64::from(machine.client) == whole(),
        "alert_template" => world.template_of(machine).is_some_and(|template| template["id"] == whole()),
        "last_seen_range_after" => machine.last_seen(now).is_some_and(|seen| seen >= time()),
        "last_seen_range_before" => machine.last_seen(now).is_some_and(|seen| seen <= time()),
        "total_ram_range_min" => ram >= whole(),
        "total_ram_range_max" => ram <= whole(),
        "search" => is_found(machine, &value.to_lowercase()),
        _ => true,
    }
}

/// The real server looks through much more, which is why it takes it half a minute.
fn is_found(machine: &Machine, wanted: &str) -> bool {
    let texts =
        [Some(&*machine.hostname), machine.description.as_deref(), machine.os.as_deref(), Some(&*machine.id)];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(wanted))
}
