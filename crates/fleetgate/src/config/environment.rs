//! Values from `FLEETGATE_…` variables. An unknown one is an error: a mistyped variable must not be silence.

use std::path::PathBuf;

use super::{
    ConfigError, Setting, Source,
    keys::{KEYS, Key},
    nearest::nearest,
    read,
};

const PREFIX: &str = "FLEETGATE_";

/// Names that are not keys: the command line's own.
const OTHERS: [&str; 4] = ["FLEETGATE_URL", "FLEETGATE_TOKEN", "FLEETGATE_TOKEN_FILE", "FLEETGATE_CONFIG"];

/// Beginnings that others use: tests, and Kubernetes, which sets these for a service called `fleetgate`.
const FOREIGN: [&str; 4] = ["FLEETGATE_TEST_", "FLEETGATE_UPDATE_", "FLEETGATE_SERVICE_", "FLEETGATE_PORT_"];

/// The variables that begin with `FLEETGATE_`; empty ones count as not set.
#[derive(Default)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    pub(super) fn of_process() -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let value = value.to_string_lossy().into_owned();
            (name.starts_with(PREFIX) && !value.is_empty()).then_some((name, value))
        });
        Variables(ours.collect())
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        Variables(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Refuses unknown names.
    pub(super) fn check_names(&self) -> Result<(), ConfigError> {
        let unknown: Vec<String> = self
            .0
            .iter()
            .filter(|(name, value)| !is_known(name, value))
            .map(|(name, _)| match nearest(name, known_names()) {
                Some(known) => format!("environment: there is no `{name}`; did you mean `{known}`?"),
                None => format!("environment: there is no `{name}`; `fleetgate config` lists all variables"),
            })
            .collect();
        if unknown.is_empty() { Ok(()) } else { Err(ConfigError(unknown)) }
    }

    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.get("FLEETGATE_CONFIG").map(PathBuf::from)
    }

    pub(super) fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let mut settings = Vec::new();
        let mut problems = Vec::new();
        for key in KEYS {
            let Some(text) = self.get(key.env) else { continue };
            match setting(key, text) {
                Ok(setting) => settings.push(setting),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(ConfigError(problems)) }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn setting(key: &'static Key, text: &str) -> Result<Setting, String> {
    let raw = read::from_text(key.kind, text)
        .map_err(|problem| format!("environment: `{}`: {problem}", key.env))?;
    Ok(Setting { key, raw, source: Source::Environment(key.env) })
}

fn known_names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.env).chain(OTHERS)
}

fn is_known(name: &str, value: &str) -> bool {
    let kubernetes_port = name == "FLEETGATE_PORT" && value.contains("://");
    known_names().any(|known| known == name)
        || FOREIGN.iter().any(|beginning| name.starts_with(beginning))
        || kubernetes_port
}
