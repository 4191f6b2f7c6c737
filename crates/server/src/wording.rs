//! What serde says about an input that cannot be read, in words for people: which field, what was expected, an example.
//!
//! serde gives its reasons as text alone, so they are told apart by its words; reasons of our own (names, times, ids,
//! secrets) say already what to do and stay as they are. Of a value that was sent only its kind is repeated: it may be a
//! secret in the wrong field.

use crate::error::ApiError;

/// Where the input stood: examples look different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Parameters after the `?`.
    Query,
    /// A JSON body.
    Body,
}

/// Good values of fields whose kind alone is no example.
const EXAMPLES: [(&str, &str); 14] = [
    ("quiet_hours", "[22, 23]"),
    ("presence_interval_s", "180"),
    ("sync_interval_s", "3600"),
    ("missing_brake_percent", "20"),
    ("rate_share_percent", "50"),
    ("overdue_after_hours", "24"),
    ("stale_after_days", "30"),
    ("custom_fields", "{\"field_key\": {\"name\": \"Asset tag\", \"shown\": true}}"),
    ("permissions", "[\"assets:read\"]"),
    ("min_score", "95"),
    ("days", "90"),
    ("limit", "50"),
    ("version", "3"),
    ("fields", "{\"field_name\": \"…\"}"),
];

/// The refusal of an input. `path` is where serde stopped, `reason` what it said.
pub(crate) fn refusal(place: Place, path: &str, reason: &str, at: &str) -> ApiError {
    let name = named_in(reason);
    let field = field_path(path, name);
    let code = match (place, reason) {
        (_, text) if text.starts_with("unknown field `") => "unknown_field",
        (Place::Query, _) => "invalid_parameter",
        (Place::Body, text) if text.starts_with("missing field `") => "missing_field",
        (Place::Body, _) => "invalid_field",
    };
    let refused = ApiError::bad_request(code, format!("{}{at}", sentence(place, field.as_deref(), reason)));
    match field {
        Some(field) => refused.about(field),
        None => refused,
    }
}

/// The field that serde's reason is about, where it names one.
fn named_in(reason: &str) -> Option<&str> {
    let starts = ["unknown field `", "missing field `", "duplicate field `"];
    let rest = starts.iter().find_map(|start| reason.strip_prefix(start))?;
    rest.split('`').next()
}

/// serde names a missing field in its message, an unknown one in both places, a wrong one in the path.
fn field_path(path: &str, name: Option<&str>) -> Option<String> {
    let parent = if path == "." { "" } else { path };
    match name {
        Some(name) if parent.is_empty() || parent == name || parent.ends_with(&format!(".{name}")) => {
            Some(if parent.is_empty() { name.to_owned() } else { parent.to_owned() })
        }
        Some(name) => Some(format!("{parent}.{name}")),
        None if parent.is_empty() => None,
        None => Some(parent.to_owned()),
    }
}

fn sentence(place: Place, field: Option<&str>, reason: &str) -> String {
    let what = match place {
        Place::Query => "parameter",
        Place::Body => "field",
    };
    let subject = field.map_or_else(|| "the body".to_owned(), |field| format!("`{field}`"));
    if reason.starts_with("unknown field `") {
        return unknown(what, &subject, reason);
    }
    if reason.starts_with("missing field `") {
        return format!("the {what} {subject} is missing");
    }
    if reason.starts_with("duplicate field `") {
        return format!("the {what} {subject} is given more than once; give it once");
    }
    if let Some((_, names)) =
        reason.split_once(", expected ").filter(|_| reason.starts_with("unknown variant"))
    {
        return format!("{subject} must be one of {}", quoted(names));
    }
    if let Some((came, wanted)) = mismatch(reason) {
        let wanted = wanted_kind(wanted);
        let came = match came {
            Some("a number") if reason.starts_with("invalid value") => "; another number came".to_owned(),
            Some(came) => format!("; {came} came"),
            None => String::new(),
        };
        return format!("{subject} must be {}{}{came}", wanted.words, example(place, field, wanted.example));
    }
    // Numbers and flags in a query come from the standard library's own parsers.
    let parsed = match reason {
        "provided string was not `true` or `false`" => Some(FLAG),
        "number too large to fit in target type" => Some(Kind { words: "a smaller number", ..WHOLE }),
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too small to fit in target type" => Some(WHOLE),
        "invalid float literal" | "cannot parse float from empty string" => Some(NUMBER),
        _ => None,
    };
    match parsed {
        Some(kind) => format!("{subject} must be {}{}", kind.words, example(place, field, kind.example)),
        None if field.is_none_or(|field| reason.contains(field)) => reason.to_owned(),
        None => format!("{subject}: {reason}"),
    }
}

fn unknown(what: &str, subject: &str, reason: &str) -> String {
    let names = reason.split_once(", expected ").map(|(_, names)| quoted(names)).unwrap_or_default();
    if names.is_empty() {
        return format!("there is no {what} {subject} here; leave it out");
    }
    format!("there is no {what} {subject} here; the known ones are {names}")
}

/// The names in backticks.
fn quoted(text: &str) -> String {
    let names: Vec<String> = text.split('`').skip(1).step_by(2).map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// What came and what was expected, as serde calls it.
fn mismatch(reason: &str) -> Option<(Option<&'static str>, &str)> {
    let starts = ["invalid type: ", "invalid value: ", "invalid length "];
    let rest = starts.iter().find_map(|start| reason.strip_prefix(start))?;
    // A text that was sent may hold the same words.
    let (came, wanted) = rest.rsplit_once(", expected ")?;
    Some((came_kind(came), wanted))
}

fn came_kind(came: &str) -> Option<&'static str> {
    let kinds = [
        ("string", "a text"),
        ("integer", "a number"),
        ("floating point", "a number with a fraction"),
        ("boolean", "true or false"),
        ("null", "null"),
        ("unit", "null"),
        ("sequence", "a list"),
        ("map", "an object"),
    ];
    kinds.iter().find(|(start, _)| came.starts_with(start)).map(|(_, words)| *words)
}

/// A kind of value, with the article, and an example of it.
#[derive(Clone, Copy)]
struct Kind<'a> {
    words: &'a str,
    example: &'static str,
}

const FLAG: Kind<'static> = Kind { words: "`true` or `false`", example: "true" };
const WHOLE: Kind<'static> = Kind { words: "a whole number", example: "10" };
const NUMBER: Kind<'static> = Kind { words: "a number", example: "0.5" };

fn wanted_kind(wanted: &str) -> Kind<'_> {
    match wanted {
        "a string" | "a borrowed string" | "a text" => Kind { words: "a text in quotes", example: "\"…\"" },
        "a boolean" => FLAG,
        "u8" => Kind { words: "a whole number from 0 to 255", example: "10" },
        "u16" | "u32" | "u64" | "usize" => {
            Kind { words: "a whole number that is not negative", example: "10" }
        }
        "i8" | "i16" | "i32" | "i64" | "isize" => WHOLE,
        "f32" | "f64" => NUMBER,
        "a sequence" => Kind { words: "a list in square brackets", example: "[…]" },
        other if is_object(other) => Kind { words: "an object in braces", example: "{\"name\": \"…\"}" },
        other => Kind { words: other, example: "" },
    }
}

fn is_object(wanted: &str) -> bool {
    wanted == "a map" || wanted == "an object" || wanted.starts_with("struct ")
}

fn example(place: Place, field: Option<&str>, of_kind: &str) -> String {
    let last = field.map(|field| field.rsplit('.').next().unwrap_or(field));
    // An element of a list is shown with its list.
    let name = last.map(|last| last.split('[').next().unwrap_or(last));
    let known = name.and_then(|name| EXAMPLES.iter().find(|(known, _)| *known == name));
    let is_element = name != last;
    match (place, name, known) {
        (_, None, _) if of_kind.is_empty() => String::new(),
        (_, None, _) => format!(", like `{of_kind}`"),
        (Place::Query, Some(name), Some((_, value))) => format!(", like `{name}={value}`"),
        (Place::Body, Some(name), Some((_, value))) => format!(", like `\"{name}\": {value}`"),
        (_, Some(_), None) if is_element || of_kind.is_empty() => String::new(),
        (Place::Query, Some(name), None) => format!(", like `{name}={of_kind}`"),
        (Place::Body, Some(name), None) => format!(", like `\"{name}\": {of_kind}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(place: Place, path: &str, reason: &str, expected: &str) {
        let refused = refusal(place, path, reason, "");
        assert_eq!(refused.detail, expected);
    }

    #[test]
    fn parameters_say_what_is_expected_with_an_example() {
        let check = |path, reason, expected| check(Place::Query, path, reason, expected);
        check("limit", "invalid digit found in string", "`limit` must be a whole number, like `limit=50`");
        check(
            "limit",
            "number too large to fit in target type",
            "`limit` must be a smaller number, like `limit=50`",
        );
        check(
            "needs_reboot",
            "provided string was not `true` or `false`",
            "`needs_reboot` must be `true` or `false`, like `needs_reboot=true`",
        );
        check(
            ".",
            "duplicate field `status`",
            "the parameter `status` is given more than once; give it once",
        );
        check(
            "state",
            "unknown variant `opne`, expected `open` or `all`",
            "`state` must be one of `open`, `all`",
        );
    }

    #[test]
    fn fields_say_what_is_expected_and_repeat_no_value() {
        let check = |path, reason, expected| check(Place::Body, path, reason, expected);
        check(
            ".",
            "invalid length 0, expected struct ClientName with 1 element",
            "the body must be an object in braces, like `{\"name\": \"…\"}`",
        );
        check(
            "name",
            "invalid type: string \"a, expected b\", expected u32",
            "`name` must be a whole number that is not negative, like `\"name\": 10`; a text came",
        );
        check(
            "name",
            "invalid type: integer `5`, expected a string",
            "`name` must be a text in quotes, like `\"name\": \"…\"`; a number came",
        );
        check(
            "settings.quiet_hours",
            "invalid type: string \"22-23\", expected a sequence",
            "`settings.quiet_hours` must be a list in square brackets, like `\"quiet_hours\": [22, 23]`; a text came",
        );
        check(
            "settings.quiet_hours[1]",
            "invalid value: integer `300`, expected u8",
            "`settings.quiet_hours[1]` must be a whole number from 0 to 255, like `\"quiet_hours\": [22, 23]`; another number came",
        );
        check(
            "settings",
            "unknown field `quiet`, expected `quiet_hours` or `limit`",
            "there is no field `settings.quiet` here; the known ones are `quiet_hours`, `limit`",
        );
    }

    #[test]
    fn reasons_of_our_own_stay_and_get_the_name() {
        let own = "a text in quotes is expected";
        check(Place::Body, "fields.key", own, "`fields.key`: a text in quotes is expected");
        check(Place::Query, "status", "`up` is no status", "`up` is no status");
    }
}
