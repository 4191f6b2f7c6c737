//! `fleetgate keys …`: which keys seal the secrets, and their rotation beside a running server.
//!
//! Fingerprints and numbers are told, never a key.

use domain::Time;
use serde_json::{Value, json};
use store::{
    RootKey, Store, StoreError,
    secret::{DataKeyInfo, RootKeyFile},
};
use tracing::warn;

use super::{
    doctor::lacks_key,
    location, lock, open_store, open_store_with,
    root_key::{Source, read},
    root_key_failure, root_keys, store_failure,
};
use crate::{
    cli::{clock::now, exit::Exit, failure::Failure, operator::KeysCommand},
    config::Config,
    output::{Output, table::whole, time::relative},
};

mod rotate;

/// The code of a database that needs another root key.
pub(super) const OTHER_ROOT_KEY: &str = "other_root_key";

/// `fleetgate keys …`.
pub(crate) async fn keys(command: KeysCommand, config: &Config, output: &Output) -> Result<Exit, Failure> {
    check_there(config)?;
    match command {
        KeysCommand::Status => status(config, output).await,
        KeysCommand::Rotate { root: false, .. } => rotate::data_key(config, output).await,
        KeysCommand::Rotate { root: true, new_key_file: None } => rotate::root_key(config, output).await,
        KeysCommand::Rotate { root: true, new_key_file: Some(file) } => {
            rotate::root_key_by_hand(&file, config, output).await
        }
    }
}

/// A mistyped path is a mistake to be named: neither a database nor a key is made here.
fn check_there(config: &Config) -> Result<(), Failure> {
    let file = config.sqlite_file();
    if config.database.url.is_none() && !file.exists() {
        return Err(Failure::not_found(format!("there is no database `{}`", file.display()))
            .advise("Correct `--data-dir` or `--config`."));
    }
    if lacks_key(config) {
        let file = config.keys.root_key_file.display();
        return Err(Failure::not_found(format!("there is no key file `{file}`"))
            .advise("Put the key file that belongs to the database there (chmod 600), or correct `keys.root_key_file`."));
    }
    Ok(())
}

/// What is known of the keys.
pub(super) struct Overview {
    /// The fingerprint of the root key in use.
    root_key: String,
    /// Where it comes from.
    source: String,
    /// The fingerprint of the one that is to follow.
    next: Option<String>,
    data_keys: Vec<DataKeyInfo>,
    /// Each rotation that has not ended, or is at work right now.
    pub(super) unfinished: Vec<Unfinished>,
}

/// A rotation that has not ended.
pub(super) struct Unfinished {
    what: &'static str,
    pub(super) found: String,
    pub(super) fix: String,
}

impl Overview {
    /// One line.
    pub(super) fn summary(&self) -> String {
        let newest = self.data_keys.last();
        let data = newest.map(|key| format!("data key {} of {}", key.version, day(key.created_at)));
        format!("root key {}, {}", self.root_key, data.unwrap_or_else(|| "no data key".to_owned()))
    }
}

/// Looks at the keys of an open store.
pub(super) async fn overview(config: &Config, store: &Store) -> Result<Overview, Failure> {
    let source = Source::of(config);
    let data_keys = store.data_keys().await.map_err(store_failure)?;
    let found: Vec<String> = source
        .keys()
        .and_then(|keys| keys.read())
        .map_err(|error| root_key_failure(&error))?
        .iter()
        .map(RootKey::fingerprint)
        .collect();
    let next = found.get(1).cloned();
    let mut unfinished = Vec::new();
    if let (Source::File(file), Some(next)) = (&source, &next) {
        unfinished.push(root_key_waits(file, next, &data_keys));
    }
    unfinished.extend(data_key_waits(&data_keys));
    let wraps = data_keys.last().and_then(|key| key.root_key.clone());
    let root_key = wraps.or_else(|| found.first().cloned()).unwrap_or_default();
    Ok(Overview { root_key, source: source.name(), next, data_keys, unfinished })
}

fn root_key_waits(file: &RootKeyFile, next: &str, data_keys: &[DataKeyInfo]) -> Unfinished {
    let (path, waits) = (file.path().display(), file.next_path());
    let waits = waits.display();
    let wrapped = data_keys.iter().all(|key| key.root_key.as_deref() == Some(next));
    let (found, fix) = if wrapped {
        (
            format!(
                "the root key {next} is in use, but its file is still called `{waits}` (a rotation has not ended)"
            ),
            format!(
                "Run: fleetgate keys rotate --root (it gives the file the name `{path}`). Remove neither file."
            ),
        )
    } else {
        (
            format!("a new root key ({next}) waits in `{waits}` and is not in use yet"),
            format!(
                "Run: fleetgate keys rotate --root (it goes on with that key). To call it off, remove `{waits}`."
            ),
        )
    };
    Unfinished { what: "root_key", found, fix }
}

fn data_key_waits(data_keys: &[DataKeyInfo]) -> Option<Unfinished> {
    let (newest, older) = data_keys.split_last()?;
    if older.is_empty() {
        return None;
    }
    let secrets: u64 = older.iter().map(|key| key.secrets).sum();
    let verb = if secrets == 1 { "secret is" } else { "secrets are" };
    Some(Unfinished {
        what: "data_key",
        found: format!(
            "{secrets} {verb} not sealed with data key {} yet (a rotation is at work, or has not ended)",
            newest.version
        ),
        fix: "Run: fleetgate keys rotate (it goes on where the last one stopped).".to_owned(),
    })
}

/// A line in the log of a server that starts.
pub(super) async fn warn_if_unfinished(config: &Config, store: &Store) -> Result<(), Failure> {
    for Unfinished { found, fix, .. } in overview(config, store).await?.unfinished {
        warn!("{found}. {fix}");
    }
    Ok(())
}

async fn status(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let store = open_store(config).await?;
    let found = overview(config, &store).await?;
    store.close().await;
    if output.is_json() {
        output.json(&as_json(&found).to_string())?;
        return Ok(Exit::Ok);
    }
    output.facts(&[
        ("Root key", found.root_key.clone()),
        ("From", found.source.clone()),
        ("To follow", found.next.clone().unwrap_or_default()),
    ])?;
    let row = |key: &DataKeyInfo| {
        vec![
            key.version.to_string(),
            relative(key.created_at, now()),
            key.secrets.to_string(),
            key.root_key.clone().unwrap_or_default(),
        ]
    };
    let columns = [whole("Data key", 0), whole("Made", 0), whole("Secrets", 0), whole("Wrapped by", 1)];
    output.table(&columns, &found.data_keys.iter().map(row).collect::<Vec<_>>())?;
    for Unfinished { found, fix, .. } in &found.unfinished {
        output.line(&format!("Unfinished: {found}."))?;
        output.line(&format!("  {fix}"))?;
    }
    Ok(Exit::Ok)
}

fn as_json(found: &Overview) -> Value {
    let data_key = |key: &DataKeyInfo| {
        json!({
            "version": key.version,
            "created_at": key.created_at,
            "secrets": key.secrets,
            "root_key": key.root_key,
        })
    };
    let unfinished = |one: &Unfinished| json!({ "what": one.what, "found": one.found, "fix": one.fix });
    json!({
        "root_key": { "fingerprint": found.root_key, "from": found.source, "next": found.next },
        "data_keys": found.data_keys.iter().map(data_key).collect::<Vec<_>>(),
        "unfinished": found.unfinished.iter().map(unfinished).collect::<Vec<_>>(),
    })
}

/// What to do where the data does not open.
pub(super) fn opening_failure(config: &Config, error: StoreError) -> Failure {
    let StoreError::OtherRootKey { needed, .. } = &error else { return store_failure(error) };
    let source = Source::of(config);
    let failure = Failure::new(Exit::Usage, OTHER_ROOT_KEY, error.to_string());
    if let (Source::File(file), Some(needed)) = (&source, needed)
        && file.kept_path(needed).exists()
    {
        let (path, kept) = (file.path().display(), file.kept_path(needed));
        let kept = kept.display();
        return failure
            .advise(format!("The needed key is kept as `{kept}`. Wrap the data by the key in use with:"))
            .advise(format!("fleetgate keys rotate --root --root-key-file {kept} --new-key-file {path}"));
    }
    failure.advise(format!(
        "Put the key that belongs to this data into its place ({}), or name its file with `keys.root_key_file`.",
        source.name()
    ))
}

fn day(at: Time) -> String {
    at.to_string().chars().take(10).collect()
}
