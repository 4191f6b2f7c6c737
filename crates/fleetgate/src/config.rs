//! The configuration: one table of keys ([`keys::KEYS`]), four places a value can come from.
//!
//! A flag beats the environment, the environment beats the file, the file beats the default. An unknown key is an
//! error that names it, its line and the nearest known one; a wrong value says what is expected. Values that hold
//! secrets are never part of a message. Nothing here opens a database, a socket or a key: that is `boot`.

mod environment;
mod file;
mod flags;
mod keys;
mod nearest;
mod paths;
mod read;
mod show;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use server::{TrustedProxies, tls::TlsFiles};
use url::Url;

pub(crate) use self::flags::{ConfigFlags, for_data, for_demo, holds_password};
pub(crate) use self::show::print;
use self::{
    environment::Variables,
    keys::{KEYS, Key, Reach},
};

/// Everything the operator decides, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `listen`: where the REST interface answers. Default `127.0.0.1:8800`.
    pub(crate) listen: SocketAddr,
    /// `data_dir`: everything Fleetgate keeps, but not the root key. Default `./fleetgate-data`.
    pub(crate) data_dir: PathBuf,
    /// `public_url`: the address people and RMMs use. Default `http://` and `listen`.
    pub(crate) public_url: Option<Url>,
    /// `[server]`.
    pub(crate) server: ServerConfig,
    /// `[database]`.
    pub(crate) database: DatabaseConfig,
    /// `[keys]`.
    pub(crate) keys: KeysConfig,
    /// `[audit]`.
    pub(crate) audit: AuditConfig,
    /// `[outbound]`.
    pub(crate) outbound: OutboundConfig,
    /// `[log]`.
    pub(crate) log: LogConfig,
    /// `[jobs]`.
    pub(crate) jobs: JobsConfig,
    /// Where each value came from, for `fleetgate config`.
    settings: Settings,
}

/// `[server]`: the edge to the network.
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    /// `tls_certificate` and `tls_key`. None: plain http.
    pub(crate) tls: Option<TlsFiles>,
    /// `trusted_proxies`: whose word about the caller counts.
    pub(crate) trusted_proxies: TrustedProxies,
}

/// `[database]`: addresses of a server, or none for SQLite in the data folder.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseConfig {
    /// `url`: `postgres://…`. None: SQLite in `<data_dir>/fleetgate.db`.
    pub(crate) url: Option<SecretString>,
    /// `migrate_url`: the same database as the role that owns the tables. None: `url`.
    pub(crate) migrate_url: Option<SecretString>,
}

/// `[keys]`: the root key encrypts the secrets of integrations.
#[derive(Clone, Debug)]
pub(crate) struct KeysConfig {
    /// `root_key_file`: never inside the data folder. Default `<data_dir>.key`, beside it.
    pub(crate) root_key_file: PathBuf,
    /// The key itself, by the environment only; it wins over the file.
    pub(crate) root_key: Option<SecretString>,
    /// `checkpoint_key_file`: never inside the data folder. Default `<data_dir>.checkpoint.key`, beside it.
    pub(crate) checkpoint_key_file: PathBuf,
    /// The key itself, by the environment only; it wins over the file.
    pub(crate) checkpoint_key: Option<SecretString>,
}

/// `[audit]`.
#[derive(Clone, Debug)]
pub(crate) struct AuditConfig {
    /// `checkpoint_file`: one signed checkpoint a line. Default `<data_dir>/audit-checkpoints.jsonl`.
    pub(crate) checkpoint_file: PathBuf,
}

/// `[outbound]`.
#[derive(Clone, Debug)]
pub(crate) struct OutboundConfig {
    /// `allow`: private networks that may be reached, `10.0.0.0/8` or `127.0.0.1/32:8801`; `outbound` reads them.
    pub(crate) allow: Vec<String>,
    /// `rmm_hosts`: names that credentials of an RMM in the vendor's cloud may be sent to beside the vendor's own.
    pub(crate) rmm_hosts: Vec<String>,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    /// `level`: `info`, or with exceptions `info,store=debug`.
    pub(crate) level: String,
    /// `format`.
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// `[jobs]`.
#[derive(Clone, Debug)]
pub(crate) struct JobsConfig {
    /// `workers`: jobs that run at a time. Default 4.
    pub(crate) workers: usize,
}

/// `data_dir` of the demo, unless a flag names another.
const DEMO_DATA_DIR: &str = "./fleetgate-demo";

/// Which command reads the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Whatever works on the real data.
    Operate,
    /// The demo: data folder, database and keys come from flags alone, so that it never touches real data.
    Demo,
}

/// One value and where it came from.
#[derive(Clone)]
struct Setting {
    key: &'static Key,
    raw: Raw,
    source: Source,
}

/// Without the value, which may be a secret.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.key.name, self.source)
    }
}

/// A value as it was written. Deliberately without `Debug`: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
enum Raw {
    Text(String),
    List(Vec<String>),
    Number(i64),
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Environment(&'static str),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// The winning value of each key that has one.
#[derive(Clone, Debug, Default)]
struct Settings(Vec<Setting>);

impl Settings {
    /// Takes over `stronger`, value by value.
    fn overlay(&mut self, stronger: Vec<Setting>) {
        for setting in stronger {
            self.0.retain(|weaker| weaker.key.name != setting.key.name);
            self.0.push(setting);
        }
    }

    fn find(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key.name == name)
    }
}

/// The configuration cannot be used. Each line names a key and its place, and says what to write instead.
#[derive(Debug)]
pub(crate) struct ConfigError(Vec<String>);

impl ConfigError {
    fn one(line: impl Into<String>) -> ConfigError {
        ConfigError(vec![line.into()])
    }

    fn at(setting: &Setting, problem: &str) -> ConfigError {
        ConfigError::one(format!("`{}` ({}): {problem}", setting.key.name, setting.source))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// Reads flags, environment and file.
pub(crate) fn load(flags: &ConfigFlags, purpose: Purpose) -> Result<Config, ConfigError> {
    let variables = Variables::of_process();
    load_from(flags, purpose, &variables, Path::new("fleetgate.toml"))
}

fn load_from(
    flags: &ConfigFlags,
    purpose: Purpose,
    variables: &Variables,
    usual_file: &Path,
) -> Result<Config, ConfigError> {
    variables.check_names()?;
    let given = flags.settings()?;
    let mut settings = Settings::default();
    let named_file = flags.file().or_else(|| variables.config_file());
    let from_file = match (named_file, purpose) {
        (Some(path), _) => file::read(&path)?,
        (None, Purpose::Operate) => file::read_if_present(usual_file)?,
        (None, Purpose::Demo) => Vec::new(),
    };
    settings.overlay(reaching(from_file, purpose));
    settings.overlay(reaching(variables.settings()?, purpose));
    settings.overlay(given);
    assemble(settings, purpose)
}

/// The demo must not meet real data by a forgotten file or variable.
fn reaching(settings: Vec<Setting>, purpose: Purpose) -> Vec<Setting> {
    let reaches = |setting: &Setting| match (purpose, setting.key.reach) {
        (Purpose::Operate, _) | (Purpose::Demo, Reach::Everywhere) => true,
        (Purpose::Demo, Reach::RealData) => false,
    };
    settings.into_iter().filter(reaches).collect()
}

fn assemble(mut settings: Settings, purpose: Purpose) -> Result<Config, ConfigError> {
    let data_default = match purpose {
        Purpose::Operate => "./fleetgate-data",
        Purpose::Demo => DEMO_DATA_DIR,
    };
    let data_dir = PathBuf::from(settings.text_or("data_dir", data_default));
    let root_key_file = key_file(&mut settings, "keys.root_key_file", &data_dir, "key")?;
    let checkpoint_key_file =
        key_file(&mut settings, "keys.checkpoint_key_file", &data_dir, "checkpoint.key")?;
    let checkpoint_default = data_dir.join("audit-checkpoints.jsonl").display().to_string();
    let checkpoint_file = PathBuf::from(settings.text_or("audit.checkpoint_file", &checkpoint_default));
    if settings.find("database.migrate_url").is_some() && settings.find("database.url").is_none() {
        return Err(ConfigError::one(
            "`database.migrate_url` is set without `database.url`; set both: the same database, once as the role that \
             owns the tables and once as the role that serves"
                .to_owned(),
        ));
    }
    let listen = settings.address("listen", "127.0.0.1:8800")?;
    let format = match settings.text_or("log.format", "text").as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    Ok(Config {
        listen,
        data_dir,
        public_url: settings.web_address("public_url")?,
        server: ServerConfig {
            tls: settings.tls_files("server.tls_certificate", "server.tls_key")?,
            trusted_proxies: settings.proxies("server.trusted_proxies")?,
        },
        database: DatabaseConfig {
            url: settings.secret("database.url"),
            migrate_url: settings.secret("database.migrate_url"),
        },
        keys: KeysConfig {
            root_key_file,
            root_key: settings.secret("keys.root_key"),
            checkpoint_key_file,
            checkpoint_key: settings.secret("keys.checkpoint_key"),
        },
        audit: AuditConfig { checkpoint_file },
        outbound: OutboundConfig {
            allow: settings.list("outbound.allow"),
            rmm_hosts: settings.hosts("outbound.rmm_hosts"),
        },
        log: LogConfig { level: settings.text_or("log.level", "info"), format },
        jobs: JobsConfig { workers: settings.count_or("jobs.workers", 4) },
        settings,
    })
}

/// A key's file: as configured, or beside the data folder.
fn key_file(
    settings: &mut Settings,
    name: &str,
    data_dir: &Path,
    extension: &str,
) -> Result<PathBuf, ConfigError> {
    let default = paths::beside(data_dir, extension);
    if settings.find(name).is_none() && default.is_none() {
        return Err(ConfigError::one(format!(
            "`data_dir`: `{}` has no name to put a key beside; set `{name}`",
            data_dir.display()
        )));
    }
    let default = default.unwrap_or_default().display().to_string();
    let file = PathBuf::from(settings.text_or(name, &default));
    if paths::is_inside(&file, data_dir) {
        return Err(ConfigError::one(format!(
            "`{name}`: `{}` lies inside the data folder, so a copy of the folder would hold the data and the key; put \
             it elsewhere",
            file.display()
        )));
    }
    Ok(file)
}

impl Config {
    /// The SQLite file, used if `database.url` is not set.
    pub(crate) fn sqlite_file(&self) -> PathBuf {
        self.data_dir.join("fleetgate.db")
    }
}

/// The key of this name; names come from this module alone.
fn key(name: &str) -> &'static Key {
    KEYS.iter().find(|key| key.name == name).expect("the name stands in the table of keys")
}

#[cfg(test)]
mod tests;
