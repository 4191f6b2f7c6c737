//! Custom fields: what nobody unmasked is dropped here, from facts and from the row that is kept. Pure.
//!
//! People keep BitLocker keys and passwords in them. Of a field that is not shown only that it is set is kept, as an
//! object that nobody can take for its value.

use std::{borrow::Cow, collections::BTreeMap};

use domain::integration::CustomField;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{facts::clean, json::object};

/// More custom fields than a device can have today (300); anything beyond is left out.
const MAX_FIELDS: usize = 400;

/// How fields are shown, by the RMM's key.
pub(crate) type Shown = BTreeMap<String, CustomField>;

/// What stands in place of a value that is not shown.
pub(crate) fn masked() -> Value {
    json!({ "set": true, "masked": true })
}

/// The fields of a row that are set, by the RMM's key in the order of their numbers, with what may be seen of them.
pub(crate) struct Fields(Vec<(String, Value)>);

impl Fields {
    pub(crate) fn of(udf: Option<&RawValue>, shown: &Shown) -> Fields {
        Fields(by_key(udf, shown))
    }

    /// Under the names that people gave them.
    pub(crate) fn named(&self, shown: &Shown) -> BTreeMap<String, Value> {
        let mut fields = BTreeMap::new();
        for (key, value) in &self.0 {
            let name = shown.get(key).and_then(|field| field.name.as_deref()).and_then(clean);
            let name = match name {
                // Two fields of one name, or a name that is another field's key, are told apart by their keys.
                Some(name) if fields.contains_key(&name) || is_key(&name) => format!("{name} ({key})"),
                Some(name) => name,
                None => key.clone(),
            };
            fields.insert(name, value.clone());
        }
        fields
    }

    /// The row with these fields instead of its own.
    pub(crate) fn in_row(&self, raw: &RawValue) -> Result<Box<RawValue>, serde_json::Error> {
        let mut row: BTreeMap<Cow<'_, str>, &RawValue> = object(raw.get())?;
        let own: Map<String, Value> = self.0.iter().cloned().collect();
        let own = serde_json::value::to_raw_value(&own)?;
        let nothing = serde_json::value::to_raw_value(&Map::new())?;
        for (name, value) in &mut row {
            if name == "udf" {
                *value = &own;
            } else if name.eq_ignore_ascii_case("udf") {
                // Nobody knows such a key; what it holds is not shown.
                *value = &nothing;
            }
        }
        serde_json::value::to_raw_value(&row)
    }
}

/// What is not an object of fields holds none that can be shown.
fn by_key(udf: Option<&RawValue>, shown: &Shown) -> Vec<(String, Value)> {
    let Some(fields) = udf.and_then(|udf| object::<BTreeMap<String, Value>>(udf.get()).ok()) else {
        return Vec::new();
    };
    let mut found: Vec<(String, Value)> = fields
        .into_iter()
        .filter(|(key, _)| is_key(key))
        .filter_map(|(key, value)| {
            let is_shown = shown.get(&key).is_some_and(|field| field.shown);
            let value = visible(value, is_shown)?;
            Some((key, value))
        })
        .collect();
    found.sort_by_key(|(key, _)| (key.len(), key.clone()));
    found.truncate(MAX_FIELDS);
    found
}

/// None for a field that is not set.
fn visible(value: Value, is_shown: bool) -> Option<Value> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        // Nothing that Datto RMM has; not looked into.
        Value::Array(_) | Value::Object(_) => return Some(masked()),
    };
    let text = clean(&text)?;
    Some(if is_shown { Value::String(text) } else { masked() })
}

/// `udf` and a number. A key of any other form could itself hold what somebody wrote.
fn is_key(key: &str) -> bool {
    let number = key.strip_prefix("udf").unwrap_or_default();
    !number.is_empty() && number.len() <= 4 && number.bytes().all(|byte| byte.is_ascii_digit())
}
