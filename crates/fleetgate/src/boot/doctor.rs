//! `fleetgate doctor`: looks for mistakes in configuration, files, database and clock, and says how to mend them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde_json::json;
use store::{
    isolation::Isolation,
    look::{Look, Settings},
};

use super::{allow_rules, isolation, keys, location, root_keys};
use crate::{
    cli::{exit::Exit, failure::Failure},
    config::Config,
    output::{
        Output,
        table::{name, prose, whole},
    },
};

mod edge;
mod integrations;

/// One thing looked at.
struct Finding {
    what: &'static str,
    /// None: in order.
    problem: Option<String>,
    detail: String,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Finding {
        Finding { what, problem: None, detail: detail.into() }
    }

    fn bad(what: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { what, problem: Some(mend.into()), detail: detail.into() }
    }
}

/// Prints what was found; the exit code says whether all is in order.
pub(crate) async fn doctor(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let mut findings = vec![Finding::good("configuration", "read")];
    // A mistyped folder is a mistake to be named, not a folder to be made.
    let is_there = config.data_dir.exists();
    findings.push(if is_there { folder(&config.data_dir) } else { no_folder(&config.data_dir) });
    if is_there {
        findings.push(key(config));
    }
    findings.push(match allow_rules(config) {
        Ok(rules) => Finding::good("outbound.allow", format!("{} listed", rules.len())),
        Err(failure) => {
            Finding::bad("outbound.allow", failure.detail, "Correct the line in the configuration.")
        }
    });
    findings.extend(edge::findings(config));
    if is_there {
        let found = database(config).await;
        let is_open = found.iter().all(|finding| finding.problem.is_none());
        findings.extend(found);
        if is_open {
            findings.extend(integrations::findings(config).await);
        }
    }
    findings.push(clock());
    let is_well = findings.iter().all(|found| found.problem.is_none());
    if output.is_json() {
        output.json(&as_json(&findings, is_well).to_string())?;
    } else {
        print(&findings, output)?;
    }
    Ok(if is_well { Exit::Ok } else { Exit::Failure })
}

fn as_json(findings: &[Finding], is_well: bool) -> serde_json::Value {
    let one = |found: &Finding| json!({ "what": found.what, "ok": found.problem.is_none(), "found": found.detail, "fix": found.problem });
    json!({ "ok": is_well, "findings": findings.iter().map(one).collect::<Vec<_>>() })
}

fn print(findings: &[Finding], output: &Output) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|found| {
            let state = if found.problem.is_none() { "ok" } else { "problem" };
            vec![found.what.to_owned(), state.to_owned(), found.detail.clone()]
        })
        .collect();
    output.table(&[name("What", 0), whole("State", 0), prose("Found", 0)], &rows)?;
    for found in findings {
        if let Some(mend) = &found.problem {
            output.line(&format!("{}: {mend}", found.what))?;
        }
    }
    Ok(())
}

fn no_folder(path: &Path) -> Finding {
    Finding::bad(
        "data folder",
        format!("{} does not exist; key and database were not looked at", path.display()),
        "Correct `--data-dir`, or start `fleetgate serve` once: it makes the folder, the key and the database.",
    )
}

fn folder(path: &Path) -> Finding {
    let shown = path.display();
    match fs::metadata(path).map(|data| data.permissions().mode() & 0o077) {
        Ok(0) => Finding::good("data folder", shown.to_string()),
        Ok(_) => Finding::bad(
            "data folder",
            format!("{shown} is open to others"),
            format!("Run: chmod 700 {shown}"),
        ),
        Err(error) => Finding::bad("data folder", error.to_string(), "Check the path and its rights."),
    }
}

fn key(config: &Config) -> Finding {
    if config.keys.root_key.is_none() && config.keys.root_key_file.starts_with(&config.data_dir) {
        let detail = format!("{} lies in the data folder", config.keys.root_key_file.display());
        let mend = "Move it out and set `keys.root_key_file`: whoever gets a copy of the folder must not get the key.";
        return Finding::bad("root key", detail, mend);
    }
    if lacks_key(config) {
        let detail = format!("{} does not exist", config.keys.root_key_file.display());
        let mend = "Put the key file that belongs to the database there (chmod 600), or correct `keys.root_key_file`. Only a new \
            installation gets a new key, from `fleetgate serve`.";
        return Finding::bad("root key", detail, mend);
    }
    match root_keys(config) {
        Ok(_) => Finding::good("root key", "readable by its owner only"),
        Err(failure) => {
            Finding::bad("root key", failure.detail, "Do what the line above says, then run this again.")
        }
    }
}

/// Is there no key file? Reading the key would make one, and it would not fit the data.
pub(super) fn lacks_key(config: &Config) -> bool {
    config.keys.root_key.is_none() && !config.keys.root_key_file.exists()
}

async fn database(config: &Config) -> Vec<Finding> {
    let key = if lacks_key(config) { None } else { root_keys(config).ok() };
    let Some(key) = key else {
        return vec![Finding::bad("database", "not tried without the root key", "Mend the root key first.")];
    };
    let file = config.sqlite_file();
    if config.database.url.is_none() && !file.exists() {
        let detail = format!("{} does not exist", file.display());
        return vec![Finding::bad(
            "database",
            detail,
            "Correct `--data-dir`, or start `fleetgate serve` once.",
        )];
    }
    let store = match store::Store::look(&location(config), key).await {
        Ok(Look::Current(store)) => store,
        Ok(Look::Other { found, needed }) => return vec![of_another_version(found, needed)],
        Err(error) => return vec![closed(keys::opening_failure(config, error))],
    };
    let engine = store.engine().name();
    let answer = store.ping().await;
    let told = store.isolation().await;
    let of_keys = data_keys(config, &store).await;
    let settings = store.settings().await;
    store.close().await;
    match answer.and(told) {
        Ok(told) => {
            let mut findings =
                vec![Finding::good("database", format!("{engine}, up to date, secrets readable"))];
            findings.push(match settings {
                Ok(settings) => of_settings(&settings, service::now()),
                Err(error) => Finding::bad(SETTINGS, error.to_string(), "See the database's own log."),
            });
            findings.extend(of_keys);
            findings.extend(told.iter().flat_map(of_postgres));
            findings
        }
        Err(error) => vec![Finding::bad("database", error.to_string(), "See the database's own log.")],
    }
}

fn of_another_version(found: i64, needed: i64) -> Finding {
    if found > needed {
        let detail = format!("version {found}; this program knows versions up to {needed}");
        return Finding::bad("database", detail, "Use the program that brought it there, or a newer one.");
    }
    Finding::bad(
        "database",
        format!("version {found}; this program needs {needed}"),
        "Take a backup, then run `fleetgate migrate` with the server stopped; a start of the server does it as well.",
    )
}

const SETTINGS: &str = "database settings";

/// Most that the clock of the database may differ from ours, by which leases and throttles are reckoned.
const CLOCKS_APART: Duration = Duration::from_secs(5);

/// Fewer connections than this are soon used up by one server and its commands.
const FEW_CONNECTIONS: i64 = 20;

/// What durability depends on, and the clock.
fn of_settings(found: &Settings, now: domain::Time) -> Finding {
    let loses = |(name, value): &&(String, String)| match name.as_str() {
        "fsync" | "full_page_writes" | "synchronous_commit" => value == "off",
        "journal_mode" => value != "wal",
        _ => false,
    };
    if let Some((name, value)) = found.durable.iter().find(loses) {
        let mend = match name.as_str() {
            "journal_mode" => {
                "Another program has changed it: stop that, and start the server once.".to_owned()
            }
            _ => format!("Set `{name} = on` in postgresql.conf: a power cut may take what was acknowledged."),
        };
        return Finding::bad(SETTINGS, format!("`{name}` is `{value}`"), mend);
    }
    if let Some(clock) = found.clock {
        let apart = clock.since(now).max(now.since(clock));
        if apart > CLOCKS_APART {
            let detail = format!("its clock says {clock}, this machine's {now}");
            return Finding::bad(SETTINGS, detail, "Set both clocks by NTP.");
        }
    }
    if let Some(allowed) = found.connections.filter(|allowed| *allowed < FEW_CONNECTIONS) {
        let mend = "Allow at least 20: a server uses up to 12, and each command some.";
        return Finding::bad(SETTINGS, format!("`max_connections` is {allowed}"), mend);
    }
    let durable: Vec<String> = found.durable.iter().map(|(name, value)| format!("{name} {value}")).collect();
    Finding::good(SETTINGS, format!("{}, {}", found.version, durable.join(", ")))
}

fn closed(failure: Failure) -> Finding {
    let mend = match failure.code.as_str() {
        keys::OTHER_ROOT_KEY => failure.advice.join(" "),
        _ => "Check `database.url`, that the server runs, and that the root key belongs to this database."
            .to_owned(),
    };
    Finding::bad("database", failure.detail, mend)
}

/// Which keys are in use, and each rotation that has not ended.
async fn data_keys(config: &Config, store: &store::Store) -> Vec<Finding> {
    const KEYS: &str = "data keys";
    match keys::overview(config, store).await {
        Ok(found) if found.unfinished.is_empty() => vec![Finding::good(KEYS, found.summary())],
        Ok(found) => found.unfinished.into_iter().map(|one| Finding::bad(KEYS, one.found, one.fix)).collect(),
        Err(failure) => vec![Finding::bad(KEYS, failure.detail, "See the database's own log.")],
    }
}

fn of_postgres(told: &Isolation) -> [Finding; 2] {
    const SECURITY: &str = "row-level security";
    let role = &told.role;
    let security = match isolation::hole(told) {
        Some(hole) => Finding::bad(SECURITY, hole.found, hole.mend),
        None if told.owns_tables => Finding::good(
            SECURITY,
            format!(
                "holds for `{role}`, which owns the tables and could lift it; a role that only serves is better, see \
                 docs/operations.md"
            ),
        ),
        None => Finding::good(SECURITY, format!("holds for `{role}`, which owns no table")),
    };
    let search = if told.search_by_index {
        "by its index"
    } else {
        "reads all machines of the tenant; docs/operations.md says how it may use its index"
    };
    [security, Finding::good("word search", search)]
}

/// A clock before this program was built is wrong, and certificates and tokens depend on it.
fn clock() -> Finding {
    const BUILT_AFTER: domain::Time = domain::Time(1_793_000_000_000);
    let now = service::now();
    if now < BUILT_AFTER {
        return Finding::bad("clock", now.to_string(), "Set the clock of this machine, best by NTP.");
    }
    Finding::good("clock", now.to_string())
}

#[cfg(test)]
mod tests {
    use domain::Time;

    use super::*;

    const NOON: Time = Time(1_800_000_000_000);

    fn settings(changed: &str, value: &str) -> Settings {
        let durable = ["fsync", "full_page_writes", "synchronous_commit"]
            .map(|name| (name.to_owned(), if name == changed { value.to_owned() } else { "on".to_owned() }));
        Settings {
            version: "15.9".to_owned(),
            clock: Some(NOON),
            durable: durable.to_vec(),
            connections: Some(100),
        }
    }

    #[track_caller]
    fn check(found: Settings, now: Time, told: &str) {
        let finding = of_settings(&found, now);
        let text = format!("{} {}", finding.detail, finding.problem.unwrap_or_default());
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn settings_that_lose_what_was_acknowledged_are_named() {
        check(settings("", ""), NOON, "15.9, fsync on");
        check(settings("fsync", "off"), NOON, "Set `fsync = on`");
        check(settings("synchronous_commit", "off"), NOON, "`synchronous_commit` is `off`");
        check(settings("synchronous_commit", "remote_apply"), NOON, "synchronous_commit remote_apply");
        check(Settings { connections: Some(5), ..settings("", "") }, NOON, "Allow at least 20");
    }

    #[test]
    fn clocks_that_differ_are_told() {
        let late = NOON + Duration::from_secs(9);
        check(settings("", ""), late, "Set both clocks by NTP");
        check(Settings { clock: Some(late), ..settings("", "") }, NOON, "Set both clocks by NTP");
        check(settings("", ""), NOON + Duration::from_secs(4), "fsync on");
    }

    #[test]
    fn an_older_database_is_not_touched_and_a_newer_one_told() {
        assert!(of_another_version(4, 13).problem.is_some_and(|mend| mend.contains("fleetgate migrate")));
        assert!(of_another_version(14, 13).detail.contains("up to 13"));
    }
}
