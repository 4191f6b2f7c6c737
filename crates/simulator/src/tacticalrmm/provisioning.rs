//! Setting webhooks up over the API: URL actions, alert templates, core settings; and the test call.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::clock::iso;
use crate::delivery::{self, Webhook};
use crate::tacticalrmm::call::{Call, key, row_id};
use crate::tacticalrmm::clients::known_template;
use crate::tacticalrmm::reply::{self, Reply};
use crate::tacticalrmm::routes::View;
use crate::tacticalrmm::seed;
use crate::tacticalrmm::templating::{Instance, Scope, fill, webhook_body};
use crate::tacticalrmm::world::World;

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];

/// Answers the set-up paths.
pub(crate) async fn answer(call: &Call) -> Reply {
    match (call.route.view, call.method.as_str()) {
        (View::UrlActions, "GET") => {
            call.require("can_run_urlactions")?;
            let world = call.world();
            Ok(reply::ok(&world.url_actions.values().collect::<Vec<_>>()))
        }
        (View::UrlActions, "POST") => create_action(call),
        (View::UrlAction, "PUT") => edit_action(call),
        (View::UrlAction, "DELETE") => delete_action(call),
        (View::UrlActionRun, "PATCH") => run_action(call),
        (View::UrlActionTest, "POST") => test_action(call).await,
        (View::Templates, "GET") => templates(call),
        (View::Templates, "POST") => create_template(call),
        (View::Template, "GET") => {
            call.require("can_list_alerttemplates")?;
            let world = call.world();
            let id = template_id(call, &world)?;
            Ok(reply::ok(&template_row(&world, id)))
        }
        (View::Template, "PUT") => edit_template(call),
        (View::Template, "DELETE") => delete_template(call),
        (View::CoreSettings, "GET") => {
            call.require("can_view_core_settings")?;
            Ok(reply::ok(&json!({"id": 1, "alert_template": call.world().default_template})))
        }
        (View::CoreSettings, "PUT") => edit_settings(call),
        _ => Err(call.method_not_allowed()),
    }
}

fn next_id(rows: &BTreeMap<u32, Value>) -> u32 {
    rows.keys().next_back().copied().unwrap_or(0) + 1
}

fn stamped(call: &Call, mut row: Value, is_new: bool) -> Value {
    let now = iso(call.sim.clock.event_now());
    if is_new {
        row["created_by"] = call.user().into();
        row["created_time"] = now.clone().into();
    }
    row["modified_by"] = call.user().into();
    row["modified_time"] = now.into();
    row
}

fn choice(body: &Map<String, Value>, field: &str, choices: &[&str]) -> Result<(), Answer> {
    match body.get(field) {
        Some(value) if !choices.iter().any(|choice| value == choice) => {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Err(reply::invalid(field, &format!("\"{shown}\" is not a valid choice.")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Answers `"ok"`, not the id: the caller lists and matches by name.
fn create_action(call: &Call) -> Reply {
    call.require("can_edit_core_settings")?;
    let body = call.json()?;
    for field in ["name", "pattern"] {
        if body.get(field).is_none() {
            return Err(reply::invalid(field, "This field is required."));
        }
    }
    checked_action(&body)?;
    let mut row = json!({
        "name": "", "desc": null, "pattern": "", "action_type": "web", "rest_method": "post", "rest_body": "",
        "rest_headers": "",
    });
    merge(&mut row, &body);
    let mut world = call.world();
    let id = next_id(&world.url_actions);
    row["id"] = id.into();
    world.url_actions.insert(id, stamped(call, row, true));
    Ok(reply::text("ok"))
}

fn checked_action(body: &Map<String, Value>) -> Result<(), Answer> {
    choice(body, "rest_method", METHODS)?;
    choice(body, "action_type", &["web", "rest"])
}

/// Known fields of a row take the body's values; others are ignored.
fn merge(row: &mut Value, body: &Map<String, Value>) {
    if let Some(fields) = row.as_object_mut() {
        for (name, value) in body.iter().filter(|(name, _)| *name != "id") {
            if let Some(slot) = fields.get_mut(name) {
                *slot = value.clone();
            }
        }
    }
}

fn action_id(call: &Call, world: &World) -> Result<u32, Answer> {
    let id = u32::try_from(call.params.pk).unwrap_or(0);
    if world.url_actions.contains_key(&id) { Ok(id) } else { Err(reply::no_row("URLAction")) }
}

fn edit_action(call: &Call) -> Reply {
    call.require("can_edit_core_settings")?;
    let body = call.json()?;
    checked_action(&body)?;
    let mut world = call.world();
    let id = action_id(call, &world)?;
    let mut row = world.url_actions.get(&id).cloned().unwrap_or_default();
    merge(&mut row, &body);
    world.url_actions.insert(id, stamped(call, row, false));
    Ok(reply::text("ok"))
}

fn delete_action(call: &Call) -> Reply {
    call.require("can_edit_core_settings")?;
    let mut world = call.world();
    let id = action_id(call, &world)?;
    world.url_actions.remove(&id);
    for template in world.templates.values_mut() {
        for field in ["action_rest", "resolved_action_rest"] {
            if template[field] == id {
                template[field] = Value::Null;
            }
        }
    }
    Ok(reply::text("ok"))
}

/// Only returns an address for a browser.
fn run_action(call: &Call) -> Reply {
    call.require("can_run_urlactions")?;
    let body = call.json()?;
    let world = call.world();
    let id = row_id(key(&body, "action")?).unwrap_or(0);
    let action = world.url_actions.get(&id).ok_or_else(|| reply::no_row("URLAction"))?;
    let instance = if let Some(agent_id) = body.get("agent_id").and_then(Value::as_str) {
        Instance::Agent(world.fleet.find(agent_id).ok_or_else(|| reply::no_row("Agent"))?)
    } else if let Some(site) = body.get("site").and_then(row_id) {
        Instance::Site(site)
    } else {
        Instance::Client(row_id(key(&body, "client")?).unwrap_or(0))
    };
    let scope = Scope { world: &world, instance, alert: None, now: call.sim.clock.fleet_now() };
    let filled = fill(scope, action["pattern"].as_str().unwrap_or(""));
    Ok(reply::text(&requoted(&filled)))
}

/// An address with what may not stand in one percent-encoded, as `requests` does it.
pub(crate) fn requoted(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        let is_kept = byte.is_ascii_alphanumeric() || b"!#$%&'()*+,/:;=?@[]~-._".contains(&byte);
        if is_kept { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

/// A URL action filled in for something.
pub(crate) fn webhook(scope: Scope<'_>, action: &Value) -> Webhook {
    let text = |name: &str| action[name].as_str().unwrap_or("");
    let method = text("rest_method").to_owned();
    let headers = serde_json::from_str(&fill(scope, text("rest_headers"))).unwrap_or_default();
    let has_body = !matches!(method.as_str(), "get" | "delete");
    let body = has_body.then(|| webhook_body(&fill(scope, text("rest_body"))));
    let url = requoted(&fill(scope, text("pattern")));
    Webhook { method, url, agent: "python-requests/2.34.0", headers, body }
}

/// Really sends. A refused connection is a 200 as well; the exception's words are the `result`.
async fn test_action(call: &Call) -> Reply {
    call.require("can_run_urlactions")?;
    let body = call.json()?;
    let fields =
        ["pattern", "rest_body", "rest_headers", "rest_method", "run_instance_type", "run_instance_id"];
    let missing = fields.iter().filter(|field| !body.contains_key(**field));
    let complaints: Map<String, Value> =
        missing.map(|field| ((*field).to_owned(), json!(["This field is required."]))).collect();
    if !complaints.is_empty() {
        return Err(reply::with_status(400, &complaints));
    }
    choice(&body, "rest_method", METHODS)?;
    choice(&body, "run_instance_type", &["agent", "client", "site", "none"])?;
    let webhook = {
        let world = call.world();
        let instance = test_instance(&world, &body)?;
        let scope = Scope { world: &world, instance, alert: None, now: call.sim.clock.fleet_now() };
        webhook(scope, &Value::Object(body))
    };
    call.sim.count_webhook();
    let delivered = delivery::send(&webhook).await;
    Ok(reply::ok(&json!({"url": webhook.url, "result": delivered.text, "body": webhook.body})))
}

fn test_instance<'a>(world: &'a World, body: &Map<String, Value>) -> Result<Instance<'a>, Answer> {
    let id = key(body, "run_instance_id")?;
    match key(body, "run_instance_type")?.as_str() {
        Some("agent") => {
            let machine = world.fleet.find(id.as_str().unwrap_or(""));
            Ok(Instance::Agent(machine.ok_or_else(|| reply::no_row("Agent"))?))
        }
        Some("client") => Ok(Instance::Client(row_id(id).ok_or_else(reply::crash)?)),
        Some("site") => Ok(Instance::Site(row_id(id).ok_or_else(reply::crash)?)),
        _ => Ok(Instance::None),
    }
}

fn template_id(call: &Call, world: &World) -> Result<u32, Answer> {
    let id = u32::try_from(call.params.pk).unwrap_or(0);
    if world.templates.contains_key(&id) { Ok(id) } else { Err(reply::no_row("AlertTemplate")) }
}

fn templates(call: &Call) -> Reply {
    call.require("can_list_alerttemplates")?;
    let world = call.world();
    let rows: Vec<Value> = world.templates.keys().map(|id| template_row(&world, *id)).collect();
    Ok(reply::ok(&rows))
}

/// A template with what is computed for it.
fn template_row(world: &World, id: u32) -> Value {
    let mut row = world.templates.get(&id).cloned().unwrap_or_default();
    let places = world.client_templates.values().chain(world.site_templates.values());
    let applied = places.filter(|template| **template == id).count();
    let is_default = world.default_template == Some(id);
    let name_of = |field: &str| {
        let action = row_id(&row[field]).and_then(|id| world.url_actions.get(&id));
        action.map_or(json!(""), |action| action["name"].clone())
    };
    let names =
        [("action_name", name_of("action_rest")), ("resolved_action_name", name_of("resolved_action_rest"))];
    for (field, name) in names {
        row[field] = name;
    }
    row["applied_count"] = (applied + usize::from(is_default)).into();
    row["default_template"] = is_default.into();
    row["core_settings"] = if is_default { json!([1]) } else { json!([]) };
    row
}

fn create_template(call: &Call) -> Reply {
    call.require("can_manage_alerttemplates")?;
    let body = call.json()?;
    if body.get("name").is_none() {
        return Err(reply::invalid("name", "This field is required."));
    }
    let mut world = call.world();
    checked_template(&world, &body)?;
    let mut row = seed::template_pattern();
    row["action_type"] = "script".into();
    merge(&mut row, &body);
    let id = next_id(&world.templates);
    row["id"] = id.into();
    world.templates.insert(id, stamped(call, row, true));
    Ok(reply::text("ok"))
}

fn checked_template(world: &World, body: &Map<String, Value>) -> Result<(), Answer> {
    for field in ["action_type", "resolved_action_type"] {
        choice(body, field, &["script", "server", "rest"])?;
    }
    for field in ["action_rest", "resolved_action_rest"] {
        let action = body.get(field).unwrap_or(&Value::Null);
        if !action.is_null() && !row_id(action).is_some_and(|id| world.url_actions.contains_key(&id)) {
            return Err(reply::invalid(field, &format!("Invalid pk \"{action}\" - object does not exist.")));
        }
    }
    Ok(())
}

fn edit_template(call: &Call) -> Reply {
    call.require("can_manage_alerttemplates")?;
    let body = call.json()?;
    let mut world = call.world();
    let id = template_id(call, &world)?;
    checked_template(&world, &body)?;
    let mut row = world.templates.get(&id).cloned().unwrap_or_default();
    merge(&mut row, &body);
    world.templates.insert(id, stamped(call, row, false));
    world.touch_all();
    Ok(reply::text("ok"))
}

fn delete_template(call: &Call) -> Reply {
    call.require("can_manage_alerttemplates")?;
    let mut world = call.world();
    let id = template_id(call, &world)?;
    world.templates.remove(&id);
    world.client_templates.retain(|_, template| *template != id);
    world.site_templates.retain(|_, template| *template != id);
    world.default_template = world.default_template.filter(|template| *template != id);
    world.touch_all();
    Ok(reply::text("ok"))
}

fn edit_settings(call: &Call) -> Reply {
    call.require("can_edit_core_settings")?;
    let body = call.json()?;
    let mut world = call.world();
    if let Some(template) = body.get("alert_template") {
        world.default_template = known_template(&world, template)?;
        world.touch_all();
    }
    Ok(reply::text("ok"))
}
