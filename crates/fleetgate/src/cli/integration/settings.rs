//! Settings of an integration: shown, and typed as `--set NAME=VALUE`. How a value is read follows from the type that
//! the setting has in the current ones, or for a new integration among the usual ones.

use clap::Args;
use domain::integration::IntegrationSettings;
use serde_json::{Map, Value, json};

use crate::{
    cli::failure::Failure,
    output::{text::plain, value::find},
};

/// How the name of a custom field's part begins.
const CUSTOM_FIELD: &str = "custom_fields.";

/// Settings that are no secrets.
#[derive(Args, Debug)]
pub(crate) struct SettingsArgs {
    /// A setting as `NAME=VALUE`: `sync_interval_s=3600`, `quiet_hours=22-6` (hours in UTC; nothing after `=` clears),
    /// `custom_fields.KEY.name=TEXT`, `custom_fields.KEY.shown=true`; `integration show` lists them. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Allow plain http to this RMM. Whoever listens in between can read the secrets.
    #[arg(long)]
    allow_plain_http: bool,
}

impl SettingsArgs {
    /// Was plain http allowed here?
    pub(super) fn allow_plain_http(&self) -> bool {
        self.allow_plain_http
    }

    /// What was given; none if that is nothing. The server leaves the rest as it is. `current` tells what kind of value
    /// each takes.
    pub(super) fn given(&self, current: Option<&Value>) -> Result<Option<Value>, Failure> {
        if self.set.is_empty() && !self.allow_plain_http {
            return Ok(None);
        }
        let mut settings = Map::new();
        let usual = json!(IntegrationSettings::default());
        let known = current.unwrap_or(&usual);
        for text in &self.set {
            let Some((name, value)) = text.split_once('=') else {
                return Err(Failure::usage(format!("`--set {text}` has no `=`; write `--set NAME=VALUE`")));
            };
            match name.strip_prefix(CUSTOM_FIELD) {
                Some(field) => add_custom_field(&mut settings, field, value.trim())?,
                None => {
                    settings.insert(name.to_owned(), read(name, value.trim(), known)?);
                }
            }
        }
        if self.allow_plain_http {
            settings.insert("allow_plain_http".to_owned(), Value::Bool(true));
        }
        Ok(Some(Value::Object(settings)))
    }
}

/// `KEY.name` or `KEY.shown`. A key may hold dots itself.
fn add_custom_field(settings: &mut Map<String, Value>, field: &str, value: &str) -> Result<(), Failure> {
    let wrong = |what: String| {
        Failure::usage(what).advise(
            "Write `--set custom_fields.KEY.shown=true` or `--set 'custom_fields.KEY.name=Asset tag'`, KEY as the RMM calls it.",
        )
    };
    let (key, part, value) = match (field.rsplit_once('.'), value) {
        (Some((key, "name")), "") => (key, "name", Value::Null),
        (Some((key, "name")), name) => (key, "name", json!(name)),
        (Some((key, "shown")), "true") => (key, "shown", Value::Bool(true)),
        (Some((key, "shown")), "false") => (key, "shown", Value::Bool(false)),
        (Some((_, "shown")), other) => {
            return Err(wrong(format!("`shown` takes `true` or `false`; `{other}` is none")));
        }
        _ => {
            return Err(wrong(format!(
                "`{CUSTOM_FIELD}{field}` is neither the name of a custom field nor whether it is shown"
            )));
        }
    };
    let fields = settings.entry("custom_fields").or_insert_with(|| json!({}));
    let fields = fields.as_object_mut().map(|fields| fields.entry(key).or_insert_with(|| json!({})));
    if let Some(known) = fields.and_then(Value::as_object_mut) {
        known.insert(part.to_owned(), value);
    }
    Ok(())
}

/// The value in the type that the setting has. One that we do not know is for the server to judge.
fn read(name: &str, text: &str, known: &Value) -> Result<Value, Failure> {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let wrong = |wanted: &str| Failure::usage(format!("`{name}` takes {wanted}; `{text}` is none"));
    match (known.get(name), parsed) {
        (Some(Value::Array(_)), _) => hours(text).map(|hours| json!(hours)).ok_or_else(|| {
            Failure::usage(format!("`{name}` takes hours of the day in UTC, 0 to 23; `{text}` is none"))
                .advise(format!("Write `--set {name}=22-6` (22, 23, 0 … 6), `--set {name}=22,23,0`, or `--set {name}=` for none."))
        }),
        (Some(Value::Number(_)), Some(number @ Value::Number(_))) => Ok(number),
        (Some(Value::Number(usual)), _) => Err(wrong("a number").advise(format!("Write `--set {name}={usual}`."))),
        (Some(Value::Bool(_)), Some(switch @ Value::Bool(_))) => Ok(switch),
        (Some(Value::Bool(_)), _) => Err(wrong("`true` or `false`")),
        (Some(Value::Object(_)), None) => Err(wrong("an object in JSON")
            .advise(format!("Write `--set {name}.KEY.shown=true` for one of them."))),
        (_, parsed) => Ok(parsed.unwrap_or_else(|| Value::String(text.to_owned()))),
    }
}

/// `22-6`, `22,23,0`, `[22,23]` or nothing. A range holds its last hour and goes over midnight.
fn hours(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).trim();
    let mut hours = Vec::new();
    for part in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (hour(first)?, hour(last)?);
        loop {
            if !hours.contains(&at) {
                hours.push(at);
            }
            if at == last {
                break;
            }
            at = (at + 1) % 24;
        }
    }
    Some(hours)
}

fn hour(text: &str) -> Option<u8> {
    text.trim().parse().ok().filter(|hour| *hour < 24)
}

/// All settings as they are typed, those that are empty too; not those that this RMM does not have.
pub(super) fn line(integration: &Value) -> String {
    let settings = find(integration, "settings").and_then(Value::as_object).into_iter().flatten();
    let settings = settings.filter(|(_, value)| !value.is_null());
    let one = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Object(fields) => return custom_fields(name, fields),
            Value::Array(items) if items.is_empty() => "(none)".to_owned(),
            Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join(","),
            Value::String(text) => text.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        };
        format!("{name}={value}")
    };
    settings.map(one).collect::<Vec<_>>().join(", ")
}

/// Each that has a name or is shown.
fn custom_fields(setting: &str, fields: &Map<String, Value>) -> String {
    if fields.is_empty() {
        return format!("{setting}=(none)");
    }
    let mut parts = Vec::new();
    for (key, field) in fields {
        if let Some(name) = field.get("name").and_then(Value::as_str) {
            parts.push(format!("{setting}.{key}.name={}", plain(name)));
        }
        let shown = field.get("shown").and_then(Value::as_bool).unwrap_or_default();
        parts.push(format!("{setting}.{key}.shown={shown}"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    fn typed(set: &[&str]) -> SettingsArgs {
        SettingsArgs { set: set.iter().map(|text| (*text).to_owned()).collect(), allow_plain_http: false }
    }

    #[track_caller]
    fn check_hours(text: &str, expected: &[u8]) {
        let set = format!("quiet_hours={text}");
        let settings = typed(&[&set]).given(None).unwrap();
        assert_eq!(settings, Some(json!({ "quiet_hours": expected })), "{text}");
    }

    #[test]
    fn only_settings_that_were_given_are_sent() {
        let args = SettingsArgs { set: vec!["sync_interval_s=900".to_owned()], allow_plain_http: true };
        let current = json!({ "sync_interval_s": 3600, "quiet_hours": [1], "rate_share_percent": null });
        let settings = args.given(Some(&current)).unwrap();
        assert_eq!(settings, Some(json!({ "sync_interval_s": 900, "allow_plain_http": true })));
        assert_eq!(typed(&[]).given(Some(&current)).unwrap(), None);
    }

    #[test]
    fn custom_fields_are_given_part_by_part_and_shown_as_they_are_typed() {
        let set =
            ["custom_fields.udf3.name=Asset tag", "custom_fields.udf3.shown=true", "custom_fields.a.b.name="];
        let given = typed(&set).given(None).unwrap().unwrap();
        let expected = json!({ "udf3": { "name": "Asset tag", "shown": true }, "a.b": { "name": null } });
        assert_eq!(given["custom_fields"], expected);
        for wrong in ["custom_fields.udf3.shown=yes", "custom_fields.udf3=true", "custom_fields=udf3"] {
            let failure = typed(&[wrong]).given(None).unwrap_err();
            assert!(failure.advice.iter().any(|line| line.contains("shown=true")), "{failure:?}");
        }
        let saved =
            json!({ "settings": { "custom_fields": { "udf3": { "name": "Asset tag", "shown": true } } } });
        assert_eq!(line(&saved), "custom_fields.udf3.name=Asset tag, custom_fields.udf3.shown=true");
        let none = json!({ "settings": { "custom_fields": {}, "include_deleted": null } });
        assert_eq!(line(&none), "custom_fields=(none)");
    }

    #[test]
    fn hours_are_a_range_a_list_or_none() {
        check_hours("22-6", &[22, 23, 0, 1, 2, 3, 4, 5, 6]);
        check_hours("22,23,0", &[22, 23, 0]);
        check_hours("[22, 23]", &[22, 23]);
        check_hours("9", &[9]);
        check_hours("1-2, 2-3,12", &[1, 2, 3, 12]);
        check_hours("", &[]);
        check_hours("[]", &[]);
        for wrong in ["24", "22-", "-6", "night", "1,,2", "22:00-06:00", "1.5"] {
            let set = format!("quiet_hours={wrong}");
            let failure = typed(&[&set]).given(None).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{wrong}");
            assert!(failure.advice.iter().any(|line| line.contains("quiet_hours=22-6")), "{failure:?}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_here_and_an_unknown_setting_by_the_server() {
        for wrong in
            ["sync_interval_s=often", "sync_interval_s=", "schedules_enabled=maybe", "schedules_enabled"]
        {
            assert_eq!(typed(&[wrong]).given(None).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        let unknown = typed(&["new_in_2030=x", "other=7"]).given(None).unwrap();
        assert_eq!(unknown, Some(json!({ "new_in_2030": "x", "other": 7 })));
    }

    #[test]
    fn empty_settings_are_shown_too() {
        let settings =
            json!({ "settings": { "quiet_hours": [], "schedules_enabled": true, "sync_interval_s": 900 } });
        assert_eq!(line(&settings), "quiet_hours=(none), schedules_enabled=true, sync_interval_s=900");
        assert_eq!(line(&json!({ "settings": { "quiet_hours": [22, 23] } })), "quiet_hours=22,23");
    }
}
