//! Variables of the account and of sites: listed, created, changed, deleted.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::datto_rmm::call::{Call, text, unreadable};
use crate::datto_rmm::reply::{self, Reply};
use crate::datto_rmm::world::World;

/// A named value that components read.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    id: u64,
    /// `None` for the whole account.
    site: Option<u32>,
    name: String,
    value: String,
    masked: bool,
}

/// What every account has.
pub(crate) fn generate(world: &mut World) {
    let first = world.first_site();
    let seeds = [
        (None, "BackupServer", "backup.msp.example", false),
        (None, "LicenceKey", "AAAA-BBBB-CCCC", true),
        (Some(first), "WifiPassword", "correct horse battery", true),
    ];
    for (site, name, value, masked) in seeds {
        let id = world.next_serial();
        world.variables.push(Variable { id, site, name: name.to_owned(), value: value.to_owned(), masked });
    }
}

fn listed(call: &Call, world: &World, site: Option<u32>) -> Reply {
    let rows: Vec<&Variable> = world.variables.iter().filter(|variable| variable.site == site).collect();
    call.list(&rows, |variable| {
        let value = if variable.masked { "********" } else { &variable.value };
        json!({ "id": variable.id, "name": variable.name, "value": value, "masked": variable.masked })
    })
}

/// `GET /v2/account/variables`.
pub(crate) fn of_account(call: &Call) -> Reply {
    listed(call, &call.world(), None)
}

/// `GET /v2/site/<siteUid>/variables`.
pub(crate) fn of_site(call: &Call) -> Reply {
    let world = call.world();
    let site = call.site(&world)?.id;
    listed(call, &world, Some(site))
}

/// The site of the path, or none for the account's own paths.
fn scope(call: &Call, world: &World) -> Result<Option<u32>, Answer> {
    if call.params.get("siteUid").is_empty() {
        return Ok(None);
    }
    Ok(Some(call.site(world)?.id))
}

/// `PUT …/variable`: answers no id.
pub(crate) fn create(call: &Call) -> Reply {
    let body = call.json()?;
    let name = text(&body, "name").filter(|name| !name.is_empty()).ok_or_else(unreadable)?;
    let value = text(&body, "value").ok_or_else(unreadable)?;
    let masked = body.get("masked").and_then(Value::as_bool).unwrap_or(false);
    let mut world = call.world();
    let site = scope(call, &world)?;
    if world.variables.iter().any(|variable| variable.site == site && variable.name == name) {
        return Err(reply::error(409, "A variable of this name exists"));
    }
    let id = world.next_serial();
    world.variables.push(Variable { id, site, name: name.to_owned(), value: value.to_owned(), masked });
    Ok(reply::done())
}

fn place(call: &Call, world: &World) -> Result<usize, Answer> {
    let site = scope(call, world)?;
    let id = call.params.get("variableId").parse::<u64>().map_err(|_| unreadable())?;
    let found = world.variables.iter().position(|variable| variable.id == id && variable.site == site);
    found.ok_or_else(|| reply::not_found("Variable"))
}

/// `POST …/variable/<variableId>`.
pub(crate) fn update(call: &Call) -> Reply {
    let body = call.json()?;
    let mut world = call.world();
    let place = place(call, &world)?;
    if let Some(variable) = world.variables.get_mut(place) {
        if let Some(name) = text(&body, "name") {
            name.clone_into(&mut variable.name);
        }
        if let Some(value) = text(&body, "value") {
            value.clone_into(&mut variable.value);
        }
    }
    Ok(reply::done())
}

/// `DELETE …/variable/<variableId>`.
pub(crate) fn delete(call: &Call) -> Reply {
    let mut world = call.world();
    let place = place(call, &world)?;
    world.variables.remove(place);
    Ok(reply::done())
}
