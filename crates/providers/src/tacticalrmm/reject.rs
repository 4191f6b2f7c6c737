//! Why a row of `GET /agents/` cannot be read, in words: a second look, only at rows that failed.
//!
//! Field names come from our own list of them, and of a value only its kind is told: no part of the body gets into a
//! reason. What the row says of its id and name goes along as far as it can be read.

use std::collections::BTreeMap;

use domain::device::clean_text;
use provider::RejectedRow;
use serde_json::value::RawValue;

use super::wire::{AgentRow, object};

/// More wrong fields than this are not named one by one.
const MAX_NAMED: usize = 3;

/// The row with the reason that `error`, met while it was read, stands for.
pub(crate) fn row(raw: &RawValue, error: &serde_json::Error) -> RejectedRow {
    let Ok(fields) = object::<BTreeMap<String, &RawValue>>(raw.get()) else {
        let kind = kind_of(raw);
        let reason = match kind {
            "an object" => "the row is not readable".to_owned(),
            other => format!("the row is {other}, not an object"),
        };
        return RejectedRow { external_id: None, name: None, reason };
    };
    // An id that turned into a number names no agent; a name that did still helps a person to find the machine.
    let text =
        |name: &str| fields.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
    let number =
        |name: &str| fields.get(name).filter(|v| kind_of(v) == "a number").map(|v| v.get().to_owned());
    RejectedRow {
        external_id: text("agent_id").as_deref().and_then(clean_text),
        name: text("hostname").or_else(|| number("hostname")).as_deref().and_then(clean_text),
        reason: reason(&fields, error),
    }
}

fn reason(fields: &BTreeMap<String, &RawValue>, error: &serde_json::Error) -> String {
    let wrong: Vec<String> = fields
        .iter()
        .filter(|(name, value)| !is_readable(name, value))
        .map(|(name, value)| format!("`{name}` must be {}, but {} came", wanted(name), found(name, value)))
        .collect();
    match wrong.len() {
        0 => repeated(error).map_or_else(
            || "the row is not readable".to_owned(),
            |name| format!("the row has `{name}` more than once"),
        ),
        1..=MAX_NAMED => wrong.join("; "),
        more => format!("{}; and {} more fields", wrong[..MAX_NAMED].join("; "), more - MAX_NAMED),
    }
}

/// Would a row of this field alone be read?
fn is_readable(name: &str, value: &RawValue) -> bool {
    let Ok(name) = serde_json::to_string(name) else { return true };
    object::<AgentRow<'_>>(&format!("{{{name}:{}}}", value.get())).is_ok()
}

/// serde names a field that comes twice; the name is one of ours.
fn repeated(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (_, rest) = text.split_once("duplicate field `")?;
    rest.split('`').next().map(str::to_owned)
}

fn wanted(name: &str) -> &'static str {
    match name {
        "agent_id" | "hostname" => "a text",
        "cpu_model" | "physical_disks" => "a list of texts",
        "custom_fields" => "a list of objects",
        _ => "a single value",
    }
}

fn found(name: &str, value: &RawValue) -> &'static str {
    let kind = kind_of(value);
    let wants_list = wanted(name).starts_with("a list");
    if wants_list && kind == "a list" { "a list of something else" } else { kind }
}

fn kind_of(value: &RawValue) -> &'static str {
    match value.get().trim_start().bytes().next() {
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}
