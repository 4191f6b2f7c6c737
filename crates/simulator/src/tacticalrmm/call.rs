//! One request on its way through the server: what a view needs to answer it.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard};

use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::fleet::Machine;
use crate::tacticalrmm::accounts::{Caller, Role};
use crate::tacticalrmm::reply;
use crate::tacticalrmm::routes::{Params, Route};
use crate::tacticalrmm::sim::Sim;
use crate::tacticalrmm::world::World;

/// A request that reached its view.
pub(crate) struct Call {
    pub(crate) sim: Arc<Sim>,
    pub(crate) route: &'static Route,
    pub(crate) params: Params,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) content_type: String,
    pub(crate) body: bytes::Bytes,
    pub(crate) peer: IpAddr,
    /// Nobody at the open paths.
    pub(crate) caller: Option<Caller>,
    /// The token the caller used, if it was a token.
    pub(crate) token: Option<String>,
}

impl Call {
    /// All stored state.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.sim.world()
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The caller's user name.
    pub(crate) fn user(&self) -> &str {
        self.caller.as_ref().map_or("", |caller| &caller.user)
    }

    /// Ends the call with 403 unless the caller's role grants `right`.
    pub(crate) fn require(&self, right: &str) -> Result<&Role, Answer> {
        let role = self.caller.as_ref().and_then(|caller| caller.role.as_ref());
        role.filter(|role| role.allows(right)).ok_or_else(reply::forbidden)
    }

    /// Whether the caller's role sees a client.
    pub(crate) fn sees(&self, client: u32) -> bool {
        self.caller.as_ref().and_then(|caller| caller.role.as_ref()).is_some_and(|role| role.sees(client))
    }

    /// The agent of the path: 404 when there is none, 403 when the role does not see its client.
    pub(crate) fn agent<'a>(&self, world: &'a World) -> Result<&'a Machine, Answer> {
        let machine = world.fleet.find(&self.params.agent_id).ok_or_else(|| reply::no_row("Agent"))?;
        if self.sees(machine.client) { Ok(machine) } else { Err(reply::forbidden()) }
    }

    /// The body as an object; an empty body is an empty object. Ends the call with 415 or 400.
    pub(crate) fn json(&self) -> Result<Map<String, Value>, Answer> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        let media_type = self.content_type.split(';').next().unwrap_or("").trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            let message = format!("Unsupported media type \"{}\" in request.", self.content_type);
            return Err(reply::detail(415, &message));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            // The views take the body for a mapping.
            Ok(_) => Err(reply::crash()),
            Err(_) => {
                Err(reply::detail(400, &format!("JSON parse error - {}", python_complaint(&self.body))))
            }
        }
    }

    /// 405 for this call's method.
    pub(crate) fn method_not_allowed(&self) -> Answer {
        reply::method_not_allowed(&self.method)
    }
}

/// A key that a view reads without asking whether it is there: missing, it is an unhandled error.
pub(crate) fn key<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a Value, Answer> {
    body.get(name).ok_or_else(reply::crash)
}

/// A whole number, given as such or as text.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A row's number.
pub(crate) fn row_id(value: &Value) -> Option<u32> {
    whole(value).and_then(|number| u32::try_from(number).ok())
}

/// Python's words for the first error in a JSON text; only the common ones.
fn python_complaint(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut last = ' ';
    for (index, letter) in text.chars().enumerate().filter(|(_, letter)| !letter.is_whitespace()) {
        if last == '{' && letter != '"' && letter != '}' {
            return place("Expecting property name enclosed in double quotes", &text, index);
        }
        if last == ' ' && !"{[\"-0123456789tfn".contains(letter) {
            break;
        }
        last = letter;
    }
    let at = serde_json::from_slice::<Value>(body).err().map_or(0, |e| e.column().saturating_sub(1));
    place("Expecting value", &text, if last == ' ' { 0 } else { at })
}

fn place(complaint: &str, text: &str, index: usize) -> String {
    let before: String = text.chars().take(index).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    format!("{complaint}: line {line} column {column} (char {index})")
}
