//! The flags of the keys, made from the table.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::Error};
use url::Url;

use super::{
    ConfigError, DEMO_DATA_DIR, Setting, Source,
    keys::{KEYS, Key, Kind, Place, Reach},
    read,
};

const FILE: &str = "config_file";
const HEADING: &str = "Configuration (see `fleetgate config`)";

/// What was given as flags. Flatten it into a command that reads the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigFlags {
    file: Option<PathBuf>,
    values: BTreeMap<&'static str, String>,
}

impl ConfigFlags {
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    pub(super) fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let mut settings = Vec::new();
        let mut problems = Vec::new();
        for key in KEYS {
            let Place::FileAndFlag { flag, .. } = key.place else { continue };
            let Some(text) = self.values.get(key.name) else { continue };
            match value(key, text) {
                Ok(raw) => settings.push(Setting { key, raw, source: Source::Flag(flag) }),
                Err(problem) => problems.push(format!("`--{flag}`: {problem}")),
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(ConfigError(problems)) }
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&'static str, &str)]) -> Self {
        let values = pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        ConfigFlags { file: None, values }
    }

    #[cfg(test)]
    pub(super) fn with_file(mut self, file: PathBuf) -> Self {
        self.file = Some(file);
        self
    }
}

fn value(key: &Key, text: &str) -> Result<super::Raw, String> {
    if key.kind == Kind::Database && holds_password(text) {
        return Err(format!(
            "a password on the command line can be read by everybody on this machine; set `{}` or write it into \
             the configuration file",
            key.env
        ));
    }
    read::from_text(key.kind, text)
}

/// Does this address of a database hold a password?
pub(crate) fn holds_password(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    url.password().is_some() || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password"))
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long("config")
            .value_name("FILE")
            .help("Configuration file [default: ./fleetgate.toml, if there is one] [env: FLEETGATE_CONFIG]")
            .value_parser(clap::value_parser!(PathBuf));
        KEYS.iter().fold(command.arg(placed(file)), |command, key| match key.place {
            Place::FileAndFlag { flag, value_name } => command.arg(flag_of(key, flag, value_name)),
            Place::EnvironmentOnly => command,
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag_of(key: &'static Key, flag: &'static str, value_name: &'static str) -> Arg {
    let arg = Arg::new(key.name)
        .long(flag)
        .value_name(value_name)
        .help(format!("{} [default: {}] [env: {}]", key.help, key.default, key.env));
    let arg = match key.kind {
        Kind::Networks | Kind::Proxies | Kind::Hosts => arg.action(ArgAction::Append),
        _ => arg.action(ArgAction::Set),
    };
    placed(arg)
}

/// The help of the same flags for the demo: no usual file, and what leads to real data is taken from flags only.
pub(crate) fn for_demo(command: Command) -> Command {
    let file =
        "Configuration file, not for data folder, database and keys [default: none] [env: FLEETGATE_CONFIG]";
    let command = command.mut_arg(FILE, |arg| arg.help(file));
    KEYS.iter().fold(command, |command, key| match (key.place, key.reach) {
        (Place::FileAndFlag { .. }, Reach::RealData) => {
            let default = if key.name == "data_dir" { DEMO_DATA_DIR } else { key.default };
            let help = format!("{} [default: {default}]", key.help);
            command.mut_arg(key.name, |arg| arg.help(help))
        }
        (Place::FileAndFlag { .. }, Reach::Everywhere) | (Place::EnvironmentOnly, _) => command,
    })
}

/// Leaves out of the help what a command that only opens the data does not heed: it is for a server at work.
pub(crate) fn for_data(command: Command) -> Command {
    KEYS.iter().fold(command, |command, key| match (key.place, key.reach) {
        (Place::FileAndFlag { .. }, Reach::Everywhere) => command.mut_arg(key.name, |arg| arg.hide(true)),
        (Place::FileAndFlag { .. }, Reach::RealData) | (Place::EnvironmentOnly, _) => command,
    })
}

fn placed(arg: Arg) -> Arg {
    arg.global(true).help_heading(HEADING)
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = ConfigFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.file = matches.get_one::<PathBuf>(FILE).cloned();
        for key in KEYS.iter().filter(|key| key.place != Place::EnvironmentOnly) {
            let given: Vec<String> =
                matches.get_many::<String>(key.name).into_iter().flatten().cloned().collect();
            if !given.is_empty() {
                self.values.insert(key.name, given.join(","));
            }
        }
        Ok(())
    }
}
