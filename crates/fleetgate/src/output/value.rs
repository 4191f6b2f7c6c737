//! Reading the server's JSON by path, leniently: what is not there is shown as nothing, never as a failure, so that
//! an older command line still works with a newer server.

use domain::Time;
use serde_json::Value;

use super::time::relative;

/// The value at `path`, as `last_check.ok`; several paths separated by `|`, the first that is there.
pub(crate) fn find<'a>(value: &'a Value, paths: &str) -> Option<&'a Value> {
    paths.split('|').find_map(|path| {
        let found = path.split('.').try_fold(value, |value, name| value.get(name))?;
        (!found.is_null()).then_some(found)
    })
}

/// The text at `path`.
pub(crate) fn text<'a>(value: &'a Value, paths: &str) -> Option<&'a str> {
    find(value, paths)?.as_str()
}

/// The number at `path`.
pub(crate) fn number(value: &Value, paths: &str) -> Option<u64> {
    find(value, paths)?.as_u64()
}

/// Is there a `true` at `path`?
pub(crate) fn is_true(value: &Value, paths: &str) -> bool {
    find(value, paths).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at `path`; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, paths: &str) -> &'a [Value] {
    find(value, paths).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whatever stands at `path`, for a cell.
pub(crate) fn shown(value: &Value, paths: &str) -> String {
    find(value, paths).map(show).unwrap_or_default()
}

/// The time at `path`, relative to now.
pub(crate) fn ago(value: &Value, paths: &str, now: Time) -> String {
    match text(value, paths) {
        Some(text) => text.parse().map_or_else(|_| text.to_owned(), |at| relative(at, now)),
        None => String::new(),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(show).collect::<Vec<_>>().join(", "),
        // A fact with its origin: `{ "value": …, "source": …, "at": … }`.
        Value::Object(fields) => match fields.get("value") {
            Some(value) => show(value),
            None => fields
                .iter()
                .map(|(name, value)| (name, show(value)))
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| format!("{name}: {value}"))
                .collect::<Vec<_>>()
                .join(", "),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_path_that_is_there_counts() {
        let value = json!({ "client": { "name": "Contoso" }, "client_name": null, "n": 3, "list": ["a", 1] });
        assert_eq!(shown(&value, "client_name|client.name"), "Contoso");
        assert_eq!(shown(&value, "n"), "3");
        assert_eq!(shown(&value, "list"), "a, 1");
        assert_eq!(shown(&value, "absent.deep|none"), "");
        assert!(list(&value, "n").is_empty());
    }

    #[test]
    fn facts_with_their_origin_show_their_value() {
        let value = json!({ "os": { "value": "Linux", "source": "x" } });
        assert_eq!(shown(&value, "os"), "Linux");
    }
}
