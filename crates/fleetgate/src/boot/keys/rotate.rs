//! `fleetgate keys rotate`: short steps, each of which leaves an installation that starts.

use std::path::Path;

use domain::id::{IntegrationId, TypedId};
use serde_json::{Value, json};
use service::audit::Act;
use store::secret::{Begun, RootKeyError, RootKeyFile, Rotated, SecretName};

use super::{
    super::audit::note, Config, Exit, Failure, Output, RootKey, Source, location, lock, open_store,
    open_store_with, read, root_key_failure, root_keys, store_failure,
};

/// The code of a root key that this command cannot change.
const ELSEWHERE: &str = "root_key_elsewhere";

/// `fleetgate keys rotate`.
pub(super) async fn data_key(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let store = open_store(config).await?;
    let _hold = lock::rotation(&location(config)).await?;
    let rotated = store.rotate_data_key().await.map_err(store_failure)?;
    let act = Act::new("keys.rotate").with("data_key", rotated.version).with("resealed", rotated.resealed);
    note(&store, act).await?;
    store.close().await;
    if output.is_json() {
        output.json(&as_json(&rotated).to_string())?;
    } else {
        tell(&rotated, output)?;
    }
    Ok(if rotated.still_used.is_empty() { Exit::Ok } else { Exit::Partial })
}

fn tell(rotated: &Rotated, output: &Output) -> Result<(), Failure> {
    let began = match rotated.begun {
        Begun::Now => "",
        Begun::Before => "A rotation that had begun was taken up again. ",
    };
    let count = rotated.resealed;
    let sealed = if count == 1 { "1 secret was".to_owned() } else { format!("{count} secrets were") };
    output.line(&format!("{began}Data key {} is in use; {sealed} sealed anew with it.", rotated.version))?;
    if !rotated.deleted.is_empty() {
        output.line(&format!("Gone: data key {}.", numbers(&rotated.deleted)))?;
    }
    if rotated.still_used.is_empty() {
        return Ok(());
    }
    let older = numbers(&rotated.still_used);
    if rotated.unreadable.is_empty() {
        return output.line(&format!(
            "Data key {older} stays: secrets were written with it meanwhile. Run the command again."
        ));
    }
    output.line(&format!(
        "Data key {older} stays, because these secrets cannot be opened and were left alone:"
    ))?;
    for secret in &rotated.unreadable {
        output.line(&format!("  {}", place(secret)))?;
    }
    output.line("Set them anew (`fleetgate integration edit`), then run the command again.")
}

fn numbers(versions: &[i64]) -> String {
    versions.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

fn place(secret: &SecretName) -> String {
    let owner = match (secret.table.as_str(), IntegrationId::from_db(&secret.row_id)) {
        ("rmm_integrations", Ok(id)) => format!("integration {id}"),
        (table, _) => format!("{table} {}", secret.row_id),
    };
    format!("`{}` of {owner} in tenant {}", secret.name, secret.tenant)
}

fn as_json(rotated: &Rotated) -> Value {
    let begun = match rotated.begun {
        Begun::Now => "now",
        Begun::Before => "before",
    };
    let unreadable = |secret: &SecretName| {
        json!({
            "tenant_id": secret.tenant,
            "table": secret.table,
            "row_id": secret.row_id,
            "name": secret.name,
        })
    };
    json!({
        "data_key": rotated.version,
        "begun": begun,
        "resealed": rotated.resealed,
        "deleted": rotated.deleted,
        "still_used": rotated.still_used,
        "unreadable": rotated.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
    })
}

/// `fleetgate keys rotate --root`.
pub(super) async fn root_key(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let source = Source::of(config);
    let Source::File(file) = &source else {
        let told = match &source {
            Source::Variable(_) => "the root key comes from the variable `FLEETGATE_ROOT_KEY`".to_owned(),
            Source::Credential(path) => {
                format!("the root key is lent by the service manager (`{}`)", path.display())
            }
            Source::File(_) => String::new(),
        };
        return Err(elsewhere(&format!("{told}, so this command cannot change it"), &source));
    };
    let store = open_store(config).await?;
    let _hold = lock::rotation(&location(config)).await?;
    let refused = |error: RootKeyError| match error {
        RootKeyError::NotReplaceable { .. } => elsewhere(&super::super::edge::told(&error), &source),
        other => root_key_failure(&other),
    };
    let taken_up = file.next_path().exists();
    let kept = file.keep().map_err(refused)?;
    let next = file.write_next().map_err(refused)?;
    store.rewrap_data_keys(&next).await.map_err(store_failure)?;
    note(&store, Act::new("keys.rotate_root").with("root_key", next.fingerprint())).await?;
    store.close().await;
    file.adopt_next().map_err(|error| not_named(&error, file))?;
    if output.is_json() {
        let document = json!({
            "root_key": next.fingerprint(),
            "file": file.path().display().to_string(),
            "kept": kept.display().to_string(),
            "begun": if taken_up { "before" } else { "now" },
        });
        output.json(&document.to_string())?;
        return Ok(Exit::Ok);
    }
    let began = if taken_up { "A key that waited was taken. " } else { "" };
    output.line(&format!(
        "{began}The root key is {} now, in `{}`. The one before is kept as `{}`.",
        next.fingerprint(),
        file.path().display(),
        kept.display()
    ))?;
    output.note(
        "Keep a copy of the new key in another place, and the old one as long as there are backups of before. Running servers go \
         on; one on another machine needs the new key file before it starts again.",
    );
    Ok(Exit::Ok)
}

/// The data keys are wrapped by a key whose file could not change its name.
fn not_named(error: &RootKeyError, file: &RootKeyFile) -> Failure {
    let next = file.next_path();
    let detail = format!(
        "the data keys are wrapped by the new root key, but its file could not be renamed: {}",
        super::super::edge::told(error)
    );
    Failure::new(Exit::Partial, "root_key_not_renamed", detail)
        .advise(format!("Keep `{}`: the server reads it as long as it lies there.", next.display()))
        .advise("Mend the folder, then run the command again.")
}

/// `fleetgate keys rotate --root --new-key-file FILE`: files stay as they are.
pub(super) async fn root_key_by_hand(path: &Path, config: &Config, output: &Output) -> Result<Exit, Failure> {
    let new = read(path).map_err(|error| match &error {
        RootKeyError::Exposed(_) => root_key_failure(&error),
        _ => root_key_failure(&error).advise("Make one with: (umask 077 && openssl rand -base64 32 > FILE)"),
    })?;
    let keys = root_keys(config)?;
    let store = open_store_with(config, keys.and(new.clone())).await?;
    let _hold = lock::rotation(&location(config)).await?;
    let rewrapped = store.rewrap_data_keys(&new).await.map_err(store_failure)?;
    note(&store, Act::new("keys.rotate_root").with("root_key", new.fingerprint())).await?;
    store.close().await;
    let fingerprint = new.fingerprint();
    if output.is_json() {
        output.json(&json!({ "root_key": fingerprint, "rewrapped": rewrapped }).to_string())?;
        return Ok(Exit::Ok);
    }
    let when = if rewrapped == 0 { "already" } else { "now" };
    output.line(&format!("The data keys are wrapped by the root key {fingerprint} {when}."))?;
    let source = Source::of(config);
    let is_in_use = keys_of(&source).first() == Some(&fingerprint);
    if !is_in_use {
        output.line(&put_in_place(&source, path))?;
    }
    Ok(Exit::Ok)
}

fn keys_of(source: &Source) -> Vec<String> {
    let keys = source.keys().and_then(|keys| keys.read()).unwrap_or_default();
    keys.iter().map(RootKey::fingerprint).collect()
}

/// A root key that is not in a file of ours, and what an administrator does instead.
fn elsewhere(detail: &str, source: &Source) -> Failure {
    Failure::new(Exit::Refused, ELSEWHERE, detail)
        .advise("1. Make a key: (umask 077 && openssl rand -base64 32 > new.key)")
        .advise("2. Wrap the data keys by it: fleetgate keys rotate --root --new-key-file new.key")
        .advise(format!("3. {}", put_in_place(source, Path::new("new.key"))))
}

fn put_in_place(source: &Source, new: &Path) -> String {
    let new = new.display();
    let old = keys_of(source).into_iter().next().unwrap_or_default();
    let place = match source {
        Source::Variable(_) => format!("Put the key of `{new}` into `FLEETGATE_ROOT_KEY`"),
        Source::Credential(_) => {
            format!("Put `{new}` where the service manager reads the key (LoadCredential)")
        }
        Source::File(file) => format!(
            "Put `{new}` where the server reads its key (`{}`, or another `keys.root_key_file`)",
            file.path().display()
        ),
    };
    format!(
        "{place}, keep the old key ({old}) for earlier backups, and restart every server. A server at work goes on until \
         then, but it cannot start with the old key, nor use a data key that is made before its restart."
    )
}
