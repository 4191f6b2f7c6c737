//! Why a row of a list cannot be read, in words: a second look, only at rows that failed.
//!
//! Field names come from our own list of them, and of a value only its kind is told: no part of the body gets into a
//! reason. What the row says of its id and name goes along as far as it can be read.

use std::collections::BTreeMap;

use domain::device::clean_text;
use provider::RejectedRow;
use serde_json::value::RawValue;

use crate::json::{kind_of, object};

/// More wrong fields than this are not named one by one.
const MAX_NAMED: usize = 3;

/// What rows of one list look like.
pub(crate) struct RowShape {
    /// The field that identifies the thing.
    pub(crate) id: &'static str,
    /// The field that names it.
    pub(crate) name: &'static str,
    /// Would a row of this text be read?
    pub(crate) is_readable: fn(&str) -> bool,
    /// What a field must be, in words.
    pub(crate) wanted: fn(&str) -> &'static str,
}

impl RowShape {
    /// The row with the reason that `error`, met while it was read, stands for.
    pub(crate) fn reject(&self, raw: &RawValue, error: &serde_json::Error) -> RejectedRow {
        let Ok(fields) = object::<BTreeMap<String, &RawValue>>(raw.get()) else {
            let kind = kind_of(raw);
            let reason = match kind {
                "an object" => "the row is not readable".to_owned(),
                other => format!("the row is {other}, not an object"),
            };
            return RejectedRow { external_id: None, name: None, reason };
        };
        // An id that turned into a number names nothing; a name that did still helps a person to find the machine.
        let text =
            |name: &str| fields.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        let number =
            |name: &str| fields.get(name).filter(|v| kind_of(v) == "a number").map(|v| v.get().to_owned());
        RejectedRow {
            external_id: text(self.id).as_deref().and_then(clean_text),
            name: text(self.name).or_else(|| number(self.name)).as_deref().and_then(clean_text),
            reason: self.reason(&fields, error),
        }
    }

    fn reason(&self, fields: &BTreeMap<String, &RawValue>, error: &serde_json::Error) -> String {
        let wrong: Vec<String> = fields
            .iter()
            .filter(|(name, value)| !self.is_field_readable(name, value))
            .map(|(name, value)| {
                let wanted = (self.wanted)(name);
                format!("`{name}` must be {wanted}, but {} came", found(wanted, value))
            })
            .collect();
        match wrong.as_slice() {
            [] => repeated(error).map_or_else(
                || "the row is not readable".to_owned(),
                |name| format!("the row has `{name}` more than once"),
            ),
            named if named.len() <= MAX_NAMED => named.join("; "),
            all => {
                let named: Vec<&str> = all.iter().take(MAX_NAMED).map(String::as_str).collect();
                format!("{}; and {} more fields", named.join("; "), all.len() - MAX_NAMED)
            }
        }
    }

    /// Would a row of this field alone be read?
    fn is_field_readable(&self, name: &str, value: &RawValue) -> bool {
        let Ok(name) = serde_json::to_string(name) else { return true };
        (self.is_readable)(&format!("{{{name}:{}}}", value.get()))
    }
}

/// serde names a field that comes twice; the name is one of ours.
fn repeated(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (_, rest) = text.split_once("duplicate field `")?;
    rest.split('`').next().map(str::to_owned)
}

fn found(wanted: &str, value: &RawValue) -> &'static str {
    let kind = kind_of(value);
    if wanted.starts_with("a list") && kind == "a list" { "a list of something else" } else { kind }
}
