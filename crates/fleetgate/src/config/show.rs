//! `fleetgate config`: what is in effect and where it came from, passwords masked.

use serde_json::{Map, json};
use url::Url;

use super::{
    Config, Raw, Setting,
    keys::{KEYS, Key, Kind, Place},
};
use crate::{
    cli::failure::Failure,
    output::{
        Output,
        table::{prose, whole},
    },
};

/// Prints every key with its value, its source, and the names by which it can be set.
pub(crate) fn print(config: &Config, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&as_json(config).to_string());
    }
    let rows: Vec<Vec<String>> = KEYS.iter().map(|key| row(config, key)).collect();
    let columns =
        [whole("Key", 0), prose("Value", 0), prose("From", 1), whole("Variable", 3), whole("Flag", 2)];
    output.table(&columns, &rows)
}

fn row(config: &Config, key: &Key) -> Vec<String> {
    let setting = config.settings.find(key.name);
    let value = setting.map_or_else(|| format!("({})", key.default), shown);
    let source = setting.map_or_else(|| "default".to_owned(), |setting| setting.source.to_string());
    let flag = match key.place {
        Place::FileAndFlag { flag, .. } => format!("--{flag}"),
        Place::EnvironmentOnly => String::new(),
    };
    vec![key.name.to_owned(), value, source, key.env.to_owned(), flag]
}

fn as_json(config: &Config) -> serde_json::Value {
    let mut keys = Map::new();
    for key in KEYS {
        let setting = config.settings.find(key.name);
        let value = match setting {
            Some(Setting { raw: Raw::List(list), .. }) => json!(list),
            Some(Setting { raw: Raw::Number(number), .. }) => json!(number),
            Some(setting) => json!(shown(setting)),
            None => json!(null),
        };
        let source = setting.map_or_else(|| "default".to_owned(), |setting| setting.source.to_string());
        keys.insert(key.name.to_owned(), json!({ "value": value, "from": source, "env": key.env }));
    }
    serde_json::Value::Object(keys)
}

fn shown(setting: &Setting) -> String {
    match (&setting.raw, setting.key.kind) {
        (Raw::Text(_), Kind::Secret) => "***".to_owned(),
        (Raw::Text(text), Kind::Database) => masked(text),
        (Raw::Text(text), _) => text.clone(),
        (Raw::List(list), _) if list.is_empty() => "(none)".to_owned(),
        (Raw::List(list), _) => list.join(", "),
        (Raw::Number(number), _) => number.to_string(),
    }
}

/// A database address with `***` for the password. Parameters are left out: they may hold one as well.
fn masked(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return "***".to_owned() };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        assert_eq!(masked("postgres://fg:s3cret@db/fleet"), "postgres://fg:***@db/fleet");
        assert_eq!(masked("postgres://fg@db/fleet?password=s3cret"), "postgres://fg@db/fleet?***");
        assert_eq!(masked("no url s3cret"), "***");
    }
}
