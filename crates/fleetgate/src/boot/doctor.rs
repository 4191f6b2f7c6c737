//! `fleetgate doctor`: looks for mistakes in configuration, files, database and clock, and says how to mend them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::{allow_rules, create_private_folder, location, root_key};
use crate::{
    cli::{exit::Exit, failure::Failure},
    config::Config,
    output::Output,
};

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
    findings.push(folder(&config.data_dir));
    findings.push(key(config));
    findings.push(match allow_rules(config) {
        Ok(rules) => Finding::good("outbound.allow", format!("{} networks", rules.len())),
        Err(failure) => {
            Finding::bad("outbound.allow", failure.title, "Correct the line in the configuration.")
        }
    });
    findings.push(database(config).await);
    findings.push(clock());
    let rows = findings.iter().map(|found| {
        let state = if found.problem.is_none() { "ok" } else { "problem" };
        vec![found.what.to_owned(), state.to_owned(), found.detail.clone()]
    });
    output.table(&["What", "State", "Found"], rows.collect())?;
    for found in &findings {
        if let Some(mend) = &found.problem {
            output.line(&format!("{}: {mend}", found.what))?;
        }
    }
    Ok(if findings.iter().all(|found| found.problem.is_none()) { Exit::Ok } else { Exit::Failure })
}

fn folder(path: &Path) -> Finding {
    if let Err(failure) = create_private_folder(path) {
        return Finding::bad(
            "data folder",
            failure.title,
            "Choose a folder you may write to with `--data-dir`.",
        );
    }
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
    match root_key(config) {
        Ok(_) => Finding::good("root key", "readable by its owner only"),
        Err(failure) => {
            Finding::bad("root key", failure.title, "Do what the line above says, then run this again.")
        }
    }
}

async fn database(config: &Config) -> Finding {
    let Ok(key) = root_key(config) else {
        return Finding::bad("database", "not tried without the root key", "Mend the root key first.");
    };
    match store::Store::open(&location(config), &key).await {
        Ok(store) => {
            let engine = store.engine().name();
            let answer = store.ping().await;
            store.close().await;
            match answer {
                Ok(()) => Finding::good("database", format!("{engine}, up to date, secrets readable")),
                Err(error) => Finding::bad("database", error.to_string(), "See the database's own log."),
            }
        }
        Err(error) => Finding::bad(
            "database",
            super::store_failure(error).title,
            "Check `database.url`, that the server runs, and that the root key belongs to this database.",
        ),
    }
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
