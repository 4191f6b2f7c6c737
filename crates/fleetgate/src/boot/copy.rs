//! `fleetgate backup`, `restore` and `db copy`.
//!
//! A backup works beside a running server and needs no root key. The others write, so they take the data for
//! themselves, and at the end they say whether the root key that is configured opens what they wrote.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use service::audit::Act;
use store::{
    Location, Store, StoreError,
    copy::{self, CopyError, Progress, Report, Stage, Watch},
};

use super::{
    audit::note, create_private_folder, keys, location, lock, owner_location, root_keys, store_failure,
};
use crate::{
    cli::{
        exit::Exit,
        failure::Failure,
        operator::{CopyPlace, DbCommand},
    },
    config::{Config, holds_password},
    output::{Output, time::took},
};

/// `fleetgate backup`.
pub(crate) async fn backup(to: &Path, config: &Config, output: &Output) -> Result<Exit, Failure> {
    let from = location(config);
    let (report, time) = tell(output, async |watch| copy::backup(&from, to, watch).await).await?;
    note_backup(to, &report, config).await?;
    if output.is_json() {
        let mut document = as_json(&report, time);
        document.insert("file".to_owned(), json!(to.display().to_string()));
        document.insert("not_included".to_owned(), json!(["root_key", "configuration"]));
        document.insert("root_key".to_owned(), json!(key_place(config)));
        output.json(&Value::Object(document).to_string())?;
        return Ok(Exit::Ok);
    }
    let size = size(report.size_bytes.unwrap_or_default());
    output.line(&format!("Wrote {} ({size}, {}) in {}.", to.display(), rows(&report), took(time)))?;
    output.note(&format!(
        "Not in it: the root key ({}), without which the secrets of your RMMs do not open, and the configuration. \
         Keep copies of both, in another place than this file.",
        key_place(config)
    ));
    output.note("All else in it can be read without a key: protect it as you protect the database.");
    Ok(Exit::Ok)
}

/// `fleetgate restore`.
pub(crate) async fn restore(from: &Path, config: &Config, output: &Output) -> Result<Exit, Failure> {
    if !from.is_file() {
        return Err(copy_failure(CopyError::Missing(from.to_owned())));
    }
    let to = owner_location(config);
    create_private_folder(&config.data_dir)?;
    let _hold = lock::hold(&to).await?;
    let scratch = config.data_dir.as_path();
    let copied = tell(output, async |watch| copy::restore(from, &to, scratch, watch).await).await?;
    let act = Act::new("installation.restore").with("from", from.display().to_string());
    let key = check_key(config, &to, act).await?;
    if output.is_json() {
        return print_json(&copied, &key, output);
    }
    let (report, time) = copied;
    let place = match &to {
        Location::File(path) => path.display().to_string(),
        Location::Server(_) => "the PostgreSQL database".to_owned(),
    };
    output.line(&format!("Restored {} into {place} in {}.", rows(&report), took(time)))?;
    output.note("Each table was read again: number and hash of its rows are those of the backup.");
    output.note(
        "Nobody is signed in. Users, passwords and tokens are as they were: what was disabled or revoked since the \
         backup works again.",
    );
    key.tell(config, output)?;
    Ok(key.exit())
}

/// `fleetgate db …`.
pub(crate) async fn db(command: DbCommand, config: &Config, output: &Output) -> Result<Exit, Failure> {
    let DbCommand::Copy { from, to } = command;
    let (source, target) = (source(&from, config)?, target(&to, config)?);
    if is_same(&source, &target) {
        return Err(Failure::usage("`--from` and `--to` are the same database"));
    }
    if let Location::File(file) = &target
        && let Some(folder) = file.parent()
    {
        create_private_folder(folder)?;
    }
    let _holds = (lock::hold(&source).await?, lock::hold(&target).await?);
    let copied = tell(output, async |watch| copy::copy(&source, &target, watch).await).await?;
    let act = Act::new("installation.copy").with("from", from.to_string()).with("to", to.to_string());
    let key = check_key(config, &target, act).await?;
    if output.is_json() {
        return print_json(&copied, &key, output);
    }
    let (report, time) = copied;
    output.line(&format!("Copied {} from {from} to {to} in {}.", rows(&report), took(time)))?;
    output.note("Each table was read again: number and hash of its rows are the same in both. The source is unchanged.");
    output.note(match &target {
        Location::Server(_) => {
            "Next: set `database.url` to the new database, run `fleetgate migrate` and `fleetgate doctor`, and start the \
             server. Never run servers on both."
        }
        Location::File(_) => {
            "Next: set `data_dir` to the new folder, take `database.url` out, run `fleetgate doctor`, and start the \
             server. Never run servers on both."
        }
    });
    key.tell(config, output)?;
    Ok(key.exit())
}

/// Where to read from: it must be there.
fn source(place: &CopyPlace, config: &Config) -> Result<Location, Failure> {
    let found = match place {
        CopyPlace::Config => location(config),
        other => named(other)?,
    };
    match found {
        Location::File(path) if !path.is_file() => Err(copy_failure(CopyError::Missing(path))),
        found => Ok(found),
    }
}

/// Where to write to: on PostgreSQL as the role that may make tables.
fn target(place: &CopyPlace, config: &Config) -> Result<Location, Failure> {
    match place {
        CopyPlace::Config => Ok(owner_location(config)),
        other => named(other),
    }
}

fn named(place: &CopyPlace) -> Result<Location, Failure> {
    match place {
        CopyPlace::Config => Err(Failure::usage("`config` is not a place of its own")),
        CopyPlace::Folder(folder) if folder.is_file() => {
            Err(Failure::usage(format!("`{}` is a file; name the data folder it lies in", folder.display()))
                .advise("A backup goes into a database with `fleetgate restore --from FILE`."))
        }
        CopyPlace::Folder(folder) => Ok(Location::File(folder.join("fleetgate.db"))),
        CopyPlace::Address(url) if holds_password(url) => {
            Err(Failure::usage("a password on the command line can be read by everybody on this machine")
                .advise(
                    "Write the address into a file and name it as `@FILE`, or into a variable as `env:NAME`.",
                ))
        }
        CopyPlace::Address(url) => Ok(Location::Server(url.clone())),
        CopyPlace::AddressIn(file) => Ok(Location::Server(address_in(file)?)),
        CopyPlace::Variable(name) => match std::env::var(name) {
            Ok(url) if url.contains("://") => Ok(Location::Server(url)),
            _ => Err(Failure::usage(format!("the variable `{name}` holds no address of a database"))
                .advise("It looks like postgres://user:password@host:5432/fleetgate.")),
        },
    }
}

/// The one line of a file that nobody else can read.
fn address_in(file: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::io(&format!("cannot read `{}`", file.display()), &error);
    if fs::metadata(file).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        let detail = format!("`{}` can be read by others, and it may hold a password", file.display());
        return Err(Failure::usage(detail).advise(format!("Run: chmod 600 {}", file.display())));
    }
    let text = fs::read_to_string(file).map_err(failed)?;
    let line = text.trim();
    if line.contains("://") && !line.contains(char::is_whitespace) {
        return Ok(line.to_owned());
    }
    Err(Failure::usage(format!("`{}` does not hold one address of a database", file.display()))
        .advise("It looks like postgres://user:password@host:5432/fleetgate."))
}

fn is_same(one: &Location, other: &Location) -> bool {
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    match (one, other) {
        (Location::File(one), Location::File(other)) => real(one) == real(other),
        (Location::Server(one), Location::Server(other)) => one == other,
        (Location::File(_), Location::Server(_)) | (Location::Server(_), Location::File(_)) => false,
    }
}

/// Does the configured root key open the secrets of a database that was just written?
enum KeyCheck {
    Fits,
    Missing(PathBuf),
    Wrong(Failure),
}

impl KeyCheck {
    fn name(&self) -> &'static str {
        match self {
            KeyCheck::Fits => "fits",
            KeyCheck::Missing(_) => "missing",
            KeyCheck::Wrong(_) => "does_not_fit",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            KeyCheck::Fits => Exit::Ok,
            KeyCheck::Missing(_) | KeyCheck::Wrong(_) => Exit::Partial,
        }
    }

    /// A key that is not right is part of the answer, and is told even to who wants no notes.
    fn tell(&self, config: &Config, output: &Output) -> Result<(), Failure> {
        match self {
            KeyCheck::Fits => {
                output.note(&format!("The root key ({}) opens its secrets.", key_place(config)));
                Ok(())
            }
            KeyCheck::Missing(file) => output.line(&format!(
                "The data is there, but the root key of its secrets is not: put the key file that belongs to it at `{}` \
                 (chmod 600) before you run anything else here, which would make a new key that does not fit.",
                file.display()
            )),
            KeyCheck::Wrong(why) => {
                output.line(&format!(
                    "The data is there, but its secrets do not open and the server will not start: {}.",
                    why.detail
                ))?;
                why.advice.iter().try_for_each(|line| output.line(line))?;
                output.line("Then `fleetgate doctor` says whether the key fits.")
            }
        }
    }
}

/// Notes a backup in the audit log of what was read. A backup needs no root key and changes no database of another
/// version; the log does, so where the key is not there or the version is older, there is no note.
async fn note_backup(to: &Path, report: &Report, config: &Config) -> Result<(), Failure> {
    let has_key = config.keys.root_key.is_some() || config.keys.root_key_file.exists();
    if !has_key || report.version != copy::newest() {
        return Ok(());
    }
    let Ok(keys) = root_keys(config) else { return Ok(()) };
    let store = match Store::open_with(&location(config), keys).await {
        Ok(store) => store,
        Err(StoreError::OtherRootKey { .. }) => return Ok(()),
        Err(error) => return Err(store_failure(error)),
    };
    let act =
        Act::new("installation.backup").with("to", to.display().to_string()).with("rows", report.rows());
    note(&store, act).await?;
    store.close().await;
    Ok(())
}

async fn check_key(config: &Config, written: &Location, act: Act) -> Result<KeyCheck, Failure> {
    let file = &config.keys.root_key_file;
    // It is not made here: a new one would not fit.
    if config.keys.root_key.is_none() && !file.exists() {
        return Ok(KeyCheck::Missing(file.clone()));
    }
    match Store::open_with(written, root_keys(config)?).await {
        Ok(store) => {
            note(&store, act).await?;
            store.close().await;
            Ok(KeyCheck::Fits)
        }
        Err(error @ (StoreError::OtherRootKey { .. } | StoreError::Corrupt { .. })) => {
            Ok(KeyCheck::Wrong(keys::opening_failure(config, error)))
        }
        Err(error) => Err(store_failure(error)),
    }
}

fn key_place(config: &Config) -> String {
    match &config.keys.root_key {
        Some(key) if !key.expose_secret().is_empty() => "FLEETGATE_ROOT_KEY".to_owned(),
        _ => config.keys.root_key_file.display().to_string(),
    }
}

/// Runs a copy with its progress on the terminal; Ctrl-C ends it, and nothing of it is kept.
async fn tell(
    output: &Output,
    work: impl AsyncFnOnce(Watch<'_>) -> copy::Result<Report>,
) -> Result<(Report, Duration), Failure> {
    let bar = if output.shows_progress() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    let started = Instant::now();
    let watch = |progress: Progress| bar.set_message(progress_line(progress));
    let ended = tokio::select! {
        ended = Box::pin(work(&watch)) => ended.map_err(copy_failure),
        _ = tokio::signal::ctrl_c() => {
            Err(Failure::new(Exit::Interrupted, "interrupted", "stopped; nothing of the copy was kept"))
        }
    };
    bar.finish_and_clear();
    Ok((ended?, started.elapsed()))
}

fn progress_line(progress: Progress) -> String {
    let stage = match progress.stage {
        Stage::Copying => "copying",
        Stage::Checking => "checking",
        Stage::Finishing => "finishing",
    };
    match (progress.table, progress.rows) {
        ("", _) => stage.to_owned(),
        (table, 0) => format!("{stage} {table}"),
        (table, rows) => format!("{stage} {table}: {rows} rows"),
    }
}

fn print_json((report, time): &(Report, Duration), key: &KeyCheck, output: &Output) -> Result<Exit, Failure> {
    let mut document = as_json(report, *time);
    document.insert("root_key".to_owned(), json!(key.name()));
    output.json(&Value::Object(document).to_string())?;
    Ok(key.exit())
}

fn as_json(report: &Report, time: Duration) -> Map<String, Value> {
    let tables: Map<String, Value> =
        report.tables.iter().map(|table| (table.name.to_owned(), json!(table.rows))).collect();
    let seconds = (time.as_secs_f64() * 1_000.0).round() / 1_000.0;
    [
        ("rows", json!(report.rows())),
        ("version", json!(report.version)),
        ("size_bytes", json!(report.size_bytes)),
        ("seconds", json!(seconds)),
        ("tables", Value::Object(tables)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn rows(report: &Report) -> String {
    format!("{} rows of version {}", report.rows(), report.version)
}

/// In MB, as file managers count.
fn size(size_bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let megabytes = size_bytes as f64 / 1_000_000.0;
    format!("{megabytes:.1} MB")
}

fn copy_failure(error: CopyError) -> Failure {
    let told = match std::error::Error::source(&error) {
        Some(source) if !matches!(error, CopyError::Store(_)) => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    let refused = |code: &str| Failure::new(Exit::Refused, code, told.clone());
    match error {
        CopyError::Missing(_) => Failure::not_found(told).advise("Correct the path, `--data-dir` or `--config`."),
        CopyError::Exists(_) => refused("file_exists").advise("Choose another name; a backup never overwrites."),
        CopyError::NotEmpty { .. } => refused("target_not_empty")
            .advise("Choose another data folder, or move the database out of this one. On PostgreSQL make a new database.")
            .advise("Do not start the server on it before: its first start already writes."),
        CopyError::AtWork(_) => refused("no_backup")
            .advise("`fleetgate backup --to FILE` makes a backup of it; `fleetgate db copy` copies it."),
        CopyError::StrayLog(_) => {
            refused("stray_log").advise("Put it back beside its database, or move it to another folder.")
        }
        CopyError::Nothing => {
            refused("source_empty").advise("Check `data_dir` and `database.url`: `fleetgate config` shows them.")
        }
        CopyError::Demo => refused("other_installation").advise("Demo data and real data never mix."),
        CopyError::Newer { .. } => {
            refused("newer_version").advise("Use a Fleetgate at least as new as the one that wrote it.")
        }
        CopyError::Older { .. } => refused("older_version").advise("Run `fleetgate migrate` on it first."),
        CopyError::Foreign => {
            refused("foreign_database").advise("Check that the path or address names the right database.")
        }
        CopyError::Damaged { .. } => {
            refused("damaged").advise("Nothing was changed. Take another backup, and check the disk this one lies on.")
        }
        CopyError::Differs { .. } => Failure::new(Exit::Failure, "copy_differs", told)
            .advise("Nothing of the copy was kept. Check memory and disks of this machine, then try again."),
        CopyError::Table { .. } => {
            Failure::new(Exit::Failure, "copy_failed", told).advise("Nothing of the copy was kept.")
        }
        CopyError::File { .. } => {
            Failure::new(Exit::Failure, "io", told).advise("Check the folder, its rights and the space on the disk.")
        }
        CopyError::Store(error) => store_failure(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_taken_from_the_command_line() {
        let refused =
            named(&CopyPlace::Address("postgres://ann:s3cret@db/fleetgate".to_owned())).unwrap_err();
        assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
        assert!(named(&CopyPlace::Address("postgres:///fleetgate".to_owned())).is_ok());
    }

    #[test]
    fn an_address_is_read_from_a_private_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        fs::write(&file, "postgres://ann:s3cret@db/fleetgate\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = address_in(&file).unwrap_err();
        assert!(refused.advice.iter().any(|line| line.contains("chmod 600")), "{refused:?}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(address_in(&file).unwrap(), "postgres://ann:s3cret@db/fleetgate");
        fs::write(&file, "s3cret words").unwrap();
        let refused = address_in(&file).unwrap_err();
        assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
    }

    #[test]
    fn progress_says_what_is_done() {
        let progress = |stage, table, rows| progress_line(Progress { stage, table, rows });
        assert_eq!(progress(Stage::Copying, "assets", 500), "copying assets: 500 rows");
        assert_eq!(progress(Stage::Checking, "assets", 0), "checking assets");
        assert_eq!(progress(Stage::Finishing, "", 0), "finishing");
    }
}
