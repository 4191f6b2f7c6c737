//! Tactical's text substitution: `{{ model.path }}` becomes Python's text of a value, without any escaping.
//!
//! The quirks are the recorded ones: what is false, 0, empty or null becomes `None`; an attribute that does not
//! exist becomes the name of the object; lists come as Python writes them.

use serde_json::Value;

use crate::clock::timestamp;
use crate::fleet::Machine;
use crate::tacticalrmm::alerts::Alert;
use crate::tacticalrmm::detail;
use crate::tacticalrmm::rows;
use crate::tacticalrmm::world::World;

/// What placeholders can refer to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) world: &'a World,
    pub(crate) instance: Instance<'a>,
    pub(crate) alert: Option<&'a Alert>,
    /// Time for the computed values.
    pub(crate) now: i64,
}

/// The row a template is filled for.
#[derive(Clone, Copy)]
pub(crate) enum Instance<'a> {
    /// Nothing: placeholders stay as they are.
    None,
    /// An agent.
    Agent(&'a Machine),
    /// A client.
    Client(u32),
    /// A site.
    Site(u32),
}

/// Replaces every placeholder.
pub(crate) fn fill(scope: Scope<'_>, text: &str) -> String {
    replace(text, |path| lookup(scope, path))
}

/// Replaces the placeholders of a script's argument, in quotes if wanted.
pub(crate) fn fill_argument(world: &World, machine: &Machine, text: &str, quoted: bool) -> String {
    let scope = Scope { world, instance: Instance::Agent(machine), alert: None, now: 0 };
    replace(text, |path| {
        let value = lookup(scope, path)?;
        Some(if quoted { format!("'{value}'") } else { value })
    })
}

fn replace(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((path, behind)) = after.split_once("}}") else { break };
        out.push_str(before);
        match value_of(path.trim()) {
            Some(value) => out.push_str(&value),
            None => out.extend(["{{", path, "}}"]),
        }
        rest = behind;
    }
    out + rest
}

/// The text of a placeholder; `None` leaves it standing.
fn lookup(scope: Scope<'_>, path: &str) -> Option<String> {
    if matches!(scope.instance, Instance::None) {
        return None;
    }
    let (model, attribute) = path.split_once('.')?;
    match model {
        "global" => {
            Some(scope.world.key_store.get(attribute).map_or("None".to_owned(), |value| or_none(value)))
        }
        "agent" => match scope.instance {
            Instance::Agent(machine) => Some(agent_value(scope, machine, attribute)),
            Instance::Client(_) | Instance::Site(_) | Instance::None => Some("None".to_owned()),
        },
        "client" => Some(client_value(scope, attribute)),
        "site" => Some(site_value(scope, attribute)),
        "alert" => Some(match scope.alert {
            Some(alert) => alert_value(scope.world, alert, attribute),
            // The test call has no alert: its placeholders refer to the instance.
            None => name_of(scope),
        }),
        _ => None,
    }
}

fn or_none(value: &str) -> String {
    if value.is_empty() { "None".to_owned() } else { value.to_owned() }
}

fn name_of(scope: Scope<'_>) -> String {
    match scope.instance {
        Instance::Agent(machine) => machine.hostname.to_string(),
        Instance::Client(id) => scope.world.fleet.client_name(id).to_owned(),
        Instance::Site(id) => scope.world.fleet.site_name(id).to_owned(),
        Instance::None => String::new(),
    }
}

fn agent_value(scope: Scope<'_>, machine: &Machine, attribute: &str) -> String {
    if let Some(rest) = attribute.strip_prefix("client.") {
        return client_value(scope, rest);
    }
    if let Some(rest) = attribute.strip_prefix("site.") {
        return site_value(scope, rest);
    }
    match attribute {
        "Asset Tag" => return machine.asset_tag.as_deref().map_or("None".to_owned(), or_none),
        "Backup Enabled" => return "True".to_owned(),
        "disks" => return python(&detail::disks(machine)),
        "pk" => return machine.number.to_string(),
        "serial_number" => return or_none(&machine.serial),
        "status" => return rows::status(machine, scope.now).to_owned(),
        "local_ips" => return rows::local_ips(machine),
        "make_model" => return rows::make_model(machine).to_owned(),
        "client" => return scope.world.fleet.client_name(machine.client).to_owned(),
        "site" => return scope.world.fleet.site_name(machine.site).to_owned(),
        _ => {}
    }
    match detail::columns(scope.world, machine, scope.now).get(attribute) {
        Some(value) => python(value),
        None => machine.hostname.to_string(),
    }
}

fn client_value(scope: Scope<'_>, attribute: &str) -> String {
    let id = match scope.instance {
        Instance::Agent(machine) => machine.client,
        Instance::Client(id) => id,
        Instance::Site(site) => scope.world.fleet.sites.get(&site).map_or(0, |site| site.client),
        Instance::None => 0,
    };
    match attribute {
        "id" | "pk" => id.to_string(),
        // The field's default, which is what a client without a value of its own has.
        "PSA Company ID" => "0".to_owned(),
        _ => scope.world.fleet.client_name(id).to_owned(),
    }
}

fn site_value(scope: Scope<'_>, attribute: &str) -> String {
    let id = match scope.instance {
        Instance::Agent(machine) => machine.site,
        Instance::Site(id) => id,
        Instance::Client(_) | Instance::None => return "None".to_owned(),
    };
    match attribute {
        "id" | "pk" => id.to_string(),
        _ => scope.world.fleet.site_name(id).to_owned(),
    }
}

fn alert_value(world: &World, alert: &Alert, attribute: &str) -> String {
    let result = alert.output.as_ref();
    match attribute {
        "id" | "pk" => alert.id.to_string(),
        "alert_type" => alert.kind.clone(),
        "severity" => alert.severity.clone(),
        "message" => or_none(&alert.message),
        "alert_time" => python_time(alert.alert_time),
        "resolved_on" => alert.resolved_on.map_or("None".to_owned(), python_time),
        "resolved" => python(&alert.resolved.into()),
        "snoozed" => python(&alert.snoozed.into()),
        "hidden" => python(&alert.hidden.into()),
        "get_result.stdout" => {
            result.and_then(|result| result.stdout.as_deref()).map_or("None".to_owned(), or_none)
        }
        "get_result.more_info" => {
            result.and_then(|result| result.more_info.as_deref()).map_or("None".to_owned(), or_none)
        }
        "get_result.retcode" => python(&result.and_then(|result| result.retcode).into()),
        "assigned_check.id" | "assigned_check.pk" => python(&alert.check.into()),
        "agent.agent_id" => {
            let machine = alert.agent.and_then(|number| world.fleet.machines.get(&number));
            machine.map_or("None".to_owned(), |machine| machine.id.to_string())
        }
        _ => alert.message.clone(),
    }
}

/// Python's text of a time.
fn python_time(micros: i64) -> String {
    format!("{}+00:00", timestamp(micros).strftime("%Y-%m-%d %H:%M:%S%.6f"))
}

/// Python's text of a value; anything falsy is `None`.
fn python(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => "None".to_owned(),
        Value::Number(number) if number.as_f64() == Some(0.0) => "None".to_owned(),
        Value::String(text) => or_none(text),
        Value::Array(items) if items.is_empty() => "None".to_owned(),
        Value::Object(fields) if fields.is_empty() => "None".to_owned(),
        other => python_repr(other),
    }
}

/// Python's `repr`.
fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Array(items) => format!("[{}]", items.iter().map(python_repr).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let pairs: Vec<String> =
                ordered(fields).map(|(key, value)| format!("'{key}': {}", python_repr(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// Disks are shown in the order PostgreSQL stores their keys (by length, then letters).
fn ordered(fields: &serde_json::Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let mut pairs: Vec<(&String, &Value)> = fields.iter().collect();
    pairs.sort_by_key(|(key, _)| (key.len(), (*key).clone()));
    pairs.into_iter()
}

/// JSON as Python's `json.dumps` spaces it.
pub(crate) fn python_json(value: &Value) -> String {
    respaced(&value.to_string())
}

/// What Tactical makes of a filled-in body before it is sent: control characters are blanked, lone backslashes
/// doubled, the rest parsed leniently and written anew. Text that is no JSON is sent as one JSON string.
pub(crate) fn webhook_body(filled: &str) -> String {
    let cleaned = double_lone_backslashes(&blank_controls(filled));
    let strict = escape_controls_in_strings(&cleaned);
    if serde_json::from_str::<serde::de::IgnoredAny>(&strict).is_ok() {
        return respaced(&strict);
    }
    respaced(&Value::String(cleaned).to_string())
}

fn blank_controls(text: &str) -> String {
    let is_kept = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    text.chars().map(|letter| if is_kept(letter) { letter } else { ' ' }).collect()
}

fn double_lone_backslashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        out.push(letter);
        if letter != '\\' {
            continue;
        }
        match letters.peek() {
            Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u') => out.extend(letters.next()),
            Some(_) | None => out.push('\\'),
        }
    }
    out
}

/// Newlines and tabs inside strings, which Python's lenient parser accepts.
fn escape_controls_in_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            '\n' if in_string => out.push_str("\\n"),
            '\t' if in_string => out.push_str("\\t"),
            other => out.push(other),
        }
        in_string ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
    }
    out
}

/// Valid JSON as Python writes it: a space behind `,` and `:`, none elsewhere, ASCII only.
fn respaced(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for letter in json.chars() {
        match letter {
            ',' | ':' if !in_string => out.extend([letter, ' ']),
            space if !in_string && space.is_ascii_whitespace() => {}
            other if other.is_ascii() => out.push(other),
            other => {
                let mut units = [0; 2];
                other
                    .encode_utf16(&mut units)
                    .iter()
                    .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
        }
        in_string ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped && in_string;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::webhook_body;

    #[test]
    fn a_quote_in_a_value_turns_the_payload_into_one_string() {
        assert_eq!(webhook_body(r#"{"a": "say "x""}"#), r#""{\"a\": \"say \"x\"\"}""#);
    }

    #[test]
    fn newlines_pass_and_lone_backslashes_are_doubled() {
        assert_eq!(webhook_body("{\"a\":\"one\ntwo C:\\Temp\"}"), "{\"a\": \"one\\ntwo C:\\\\Temp\"}");
    }

    #[test]
    fn other_letters_leave_as_ascii() {
        assert_eq!(webhook_body("{\"a\": \"Zürich 🔥\"}"), "{\"a\": \"Z\\u00fcrich \\ud83d\\udd25\"}");
    }
}
