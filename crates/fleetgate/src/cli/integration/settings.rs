//! Settings of an integration: shown, and typed as `--set NAME=VALUE`. How a value is read follows from the type that
//! the setting has in the current ones, or for a new integration among the usual ones.

use clap::Args;
use domain::integration::IntegrationSettings;
use serde_json::{Value, json};

use crate::{cli::failure::Failure, output::value::find};

/// Settings that are no secrets.
#[derive(Args, Debug)]
pub(crate) struct SettingsArgs {
    /// A setting as `NAME=VALUE`: `sync_interval_s=3600`, `quiet_hours=22-6` (hours in UTC; nothing after `=` clears);
    /// `integration show` lists them. May be repeated.
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

    /// The settings on top of `current`; none if nothing was given.
    pub(super) fn over(&self, current: Option<&Value>) -> Result<Option<Value>, Failure> {
        if self.set.is_empty() && !self.allow_plain_http {
            return Ok(None);
        }
        let mut settings = current.and_then(Value::as_object).cloned().unwrap_or_default();
        let usual = json!(IntegrationSettings::default());
        let known = current.unwrap_or(&usual);
        for text in &self.set {
            let Some((name, value)) = text.split_once('=') else {
                return Err(Failure::usage(format!("`--set {text}` has no `=`; write `--set NAME=VALUE`")));
            };
            settings.insert(name.to_owned(), read(name, value.trim(), known)?);
        }
        if self.allow_plain_http {
            settings.insert("allow_plain_http".to_owned(), Value::Bool(true));
        }
        Ok(Some(Value::Object(settings)))
    }
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

/// All settings as they are typed, those that are empty too.
pub(super) fn line(integration: &Value) -> String {
    let settings = find(integration, "settings").and_then(Value::as_object).into_iter().flatten();
    let one = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Array(items) if items.is_empty() => "(none)".to_owned(),
            Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join(","),
            Value::String(text) => text.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
        };
        format!("{name}={value}")
    };
    settings.map(one).collect::<Vec<_>>().join(", ")
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
        let settings = typed(&[&set]).over(None).unwrap();
        assert_eq!(settings, Some(json!({ "quiet_hours": expected })), "{text}");
    }

    #[test]
    fn settings_are_laid_over_the_current_ones() {
        let args = SettingsArgs { set: vec!["sync_interval_s=900".to_owned()], allow_plain_http: true };
        let current = json!({ "sync_interval_s": 3600, "quiet_hours": [1] });
        let settings = args.over(Some(&current)).unwrap();
        assert_eq!(
            settings,
            Some(json!({ "sync_interval_s": 900, "quiet_hours": [1], "allow_plain_http": true }))
        );
        assert_eq!(typed(&[]).over(Some(&current)).unwrap(), None);
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
            let failure = typed(&[&set]).over(None).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{wrong}");
            assert!(failure.advice.iter().any(|line| line.contains("quiet_hours=22-6")), "{failure:?}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_here_and_an_unknown_setting_by_the_server() {
        for wrong in
            ["sync_interval_s=often", "sync_interval_s=", "schedules_enabled=maybe", "schedules_enabled"]
        {
            assert_eq!(typed(&[wrong]).over(None).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        let unknown = typed(&["new_in_2030=x", "other=7"]).over(None).unwrap();
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
