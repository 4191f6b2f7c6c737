//! `fleetgate audit …`, and the sealer of a server: where checkpoints go and what signs them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use domain::id::TenantId;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use service::{
    ServiceError,
    audit::{Act, Bad, Checkpoint, CheckpointKey, Fault, Keep, Report, Sealer, note_as_operator},
};
use store::{RootKey, Store, people::InstallationKind, secret::RootKeyError};

use super::{
    edge, open_store, operator_services_of, people::tenant_of, root_key, service_failure, store_failure,
};
use crate::{
    cli::{exit::Exit, failure::Failure, operator::AuditCommand},
    config::Config,
    output::Output,
};

/// The key that signs checkpoints; made at the first start.
pub(super) fn checkpoint_key(config: &Config) -> Result<CheckpointKey, Failure> {
    let seed = match &config.keys.checkpoint_key {
        Some(text) => RootKey::from_base64(text.expose_secret()),
        None => root_key::load_or_create(&config.keys.checkpoint_key_file),
    };
    seed.and_then(|seed| CheckpointKey::from_seed(&seed)).map_err(|error| {
        let why = match error {
            RootKeyError::Malformed => "it is not 32 bytes in base64; `openssl rand -base64 32` makes one".to_owned(),
            other => edge::told(&other),
        };
        Failure::new(Exit::Usage, "checkpoint_key", format!("the key for checkpoints cannot be used: {why}")).advise(
            "It signs the audit log. Set `keys.checkpoint_key_file` to a file that this program may make, or the \
             variable FLEETGATE_CHECKPOINT_KEY.",
        )
    })
}

/// The sealer of this installation.
pub(super) fn sealer(store: Store, key: CheckpointKey, config: &Config) -> Sealer {
    let file = config.audit.checkpoint_file.clone();
    let keep: Keep = Arc::new(move |checkpoint| append(&file, checkpoint));
    Sealer::new(store, key, keep)
}

/// Notes what an operator did to the whole installation. A database in which no server ever ran has no tenant, and
/// nothing to tell.
pub(super) async fn note(store: &Store, act: Act) -> Result<(), Failure> {
    match note_as_operator(store, act).await {
        Err(ServiceError::NotFound { .. }) => Ok(()),
        other => other.map_err(service_failure),
    }
}

/// Adds one line, whole and to stay.
fn append(file: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut line = serde_json::to_string(checkpoint)?;
    line.push('\n');
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(file)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// `fleetgate audit …`.
pub(crate) async fn audit(command: AuditCommand, config: &Config, output: &Output) -> Result<Exit, Failure> {
    match command {
        AuditCommand::PublicKey => {
            let public = checkpoint_key(config)?.public();
            if output.is_json() {
                output.json(&json!({ "public_key": public }).to_string())?;
            } else {
                output.line(&public)?;
            }
            Ok(Exit::Ok)
        }
        AuditCommand::Checkpoint => checkpoint(config, output).await,
        AuditCommand::Verify { checkpoints, public_key, tenant } => {
            let file = checkpoints.as_deref();
            verify(file, public_key, tenant.as_deref(), config, output).await
        }
    }
}

async fn checkpoint(config: &Config, output: &Output) -> Result<Exit, Failure> {
    let key = checkpoint_key(config)?;
    let store = open_store(config).await?;
    store.installation(InstallationKind::Serve).await.map_err(store_failure)?;
    let sealer = sealer(store, key, config);
    let now = service::now();
    sealer.seal_all(now).await.map_err(service_failure)?;
    let made = sealer.sign_all(now, Duration::ZERO).await.map_err(service_failure)?;
    if output.is_json() {
        output.json(&json!({ "items": made }).to_string())?;
        return Ok(Exit::Ok);
    }
    for checkpoint in &made {
        output.line(&format!("Tenant {}: signed up to row {}.", checkpoint.tenant, checkpoint.seq))?;
    }
    let file = config.audit.checkpoint_file.display();
    if made.is_empty() {
        output.line("Nothing to sign: the last checkpoint covers every row.")?;
    } else {
        output.note(&format!("Added to {file}. Copy it to where this server cannot write."));
    }
    Ok(Exit::Ok)
}

/// Checkpoints as they lie in a file.
struct Lines {
    /// Those that a trusted key signed.
    good: Vec<Checkpoint>,
    /// Numbers of the other lines, from 1.
    bad: Vec<usize>,
}

fn read(file: &Path, trusted: &[String]) -> io::Result<Lines> {
    let text = fs::read_to_string(file)?;
    let mut lines = Lines { good: Vec::new(), bad: Vec::new() };
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Checkpoint>(line) {
            Ok(checkpoint) if checkpoint.is_signed_by(trusted) => lines.good.push(checkpoint),
            _ => lines.bad.push(n + 1),
        }
    }
    Ok(lines)
}

async fn verify(
    given: Option<&Path>,
    trusted: Vec<String>,
    tenant: Option<&str>,
    config: &Config,
    output: &Output,
) -> Result<Exit, Failure> {
    let file = given.unwrap_or(&config.audit.checkpoint_file);
    let trusted: Vec<String> = if trusted.is_empty() {
        vec![checkpoint_key(config)?.public()]
    } else {
        trusted.iter().map(|key| key.trim().to_ascii_lowercase()).collect()
    };
    let lines = match read(file, &trusted) {
        Ok(lines) => Some(lines),
        Err(error) if error.kind() == io::ErrorKind::NotFound && given.is_none() => None,
        Err(error) => return Err(Failure::io(&format!("cannot read `{}`", file.display()), &error)),
    };
    let store = open_store(config).await?;
    let services = operator_services_of(store).await?;
    let tenants = match tenant {
        Some(_) => vec![tenant_of(&services.accounts, tenant).await?],
        None => {
            let all = services.accounts.tenants().await.map_err(service_failure)?;
            all.into_iter().map(|tenant| tenant.id).collect()
        }
    };
    let known = lines.as_ref().map(|lines| lines.good.as_slice()).unwrap_or_default();
    let mut reports = Vec::new();
    for tenant in tenants {
        reports.push((tenant, services.audit.verify(tenant, known).await.map_err(service_failure)?));
    }
    let bad_lines = lines.as_ref().map(|lines| lines.bad.as_slice()).unwrap_or_default();
    let is_good = bad_lines.is_empty() && reports.iter().all(|(_, report)| report.bad.is_none());
    if output.is_json() {
        let items: Vec<Value> = reports.iter().map(|(tenant, report)| as_json(*tenant, report)).collect();
        let answer = json!({
            "ok": is_good, "items": items, "checkpoint_file": file.display().to_string(),
            "checkpoint_lines_not_signed": bad_lines,
        });
        output.json(&answer.to_string())?;
    } else {
        for (tenant, report) in &reports {
            output.line(&told(*tenant, report))?;
        }
        tell_checkpoints(file, lines.is_some(), bad_lines, output)?;
    }
    Ok(if is_good { Exit::Ok } else { Exit::Refused })
}

fn tell_checkpoints(file: &Path, is_there: bool, bad: &[usize], output: &Output) -> Result<(), Failure> {
    let file = file.display();
    if !is_there {
        output.note(&format!(
            "There is no {file} yet: without checkpoints neither a cut end nor a log written anew can be seen."
        ));
    }
    if let Some(first) = bad.first() {
        let others = bad.len() - 1;
        let more = if others > 0 { format!(" and {others} more") } else { String::new() };
        output.line(&format!(
            "{file}: line {first}{more} not signed by a key that you trust. If another server wrote it, name its key \
             with --public-key; `fleetgate audit public-key` prints it there."
        ))?;
    }
    Ok(())
}

fn as_json(tenant: TenantId, report: &Report) -> Value {
    let bad = report.bad.as_ref().map(|bad| {
        json!({ "seq": bad.seq, "id": bad.id, "fault": bad.fault.name(), "detail": what_is_wrong(bad) })
    });
    json!({
        "tenant_id": tenant, "sealed": report.sealed, "unsealed": report.unsealed,
        "checkpoints": report.checkpoints, "checkpoint_seq": report.checkpoint_seq, "bad": bad,
    })
}

fn told(tenant: TenantId, report: &Report) -> String {
    if let Some(bad) = &report.bad {
        let before = match report.sealed {
            0 => String::new(),
            n => format!(" {} right before it.", rows(n)),
        };
        return format!("Tenant {tenant}: BAD. {}{before}", what_is_wrong(bad));
    }
    let tail = match report.unsealed {
        0 => String::new(),
        n => format!(" {} not sealed yet.", rows(n)),
    };
    let covered = match report.checkpoint_seq {
        Some(seq) => format!(" A signed checkpoint covers rows up to {seq}."),
        None => " No checkpoint covers it.".to_owned(),
    };
    format!("Tenant {tenant}: {} right.{tail}{covered}", rows(report.sealed))
}

fn rows(n: i64) -> String {
    if n == 1 { "1 row is".to_owned() } else { format!("{n} rows are") }
}

fn what_is_wrong(bad: &Bad) -> String {
    let row = match (bad.seq, bad.id) {
        (Some(seq), Some(id)) => format!("Row {seq} ({id})"),
        (Some(seq), None) => format!("Row {seq}"),
        (None, Some(id)) => format!("The row {id}, not sealed yet,"),
        (None, None) => "A row".to_owned(),
    };
    match bad.fault {
        Fault::Changed => format!("{row} is not what Fleetgate wrote."),
        Fault::Missing => format!("{row} is missing."),
        Fault::Moved => format!("{row} does not follow the row before it."),
        Fault::Rewritten => format!("{row} is not the one that was signed: the log was written anew."),
        Fault::Cut => format!("{row} and all after it are missing: a checkpoint was signed for more."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_nobody_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.jsonl");
        fs::write(&file, "nonsense\n\n{}\n").unwrap();
        let lines = read(&file, &[]).unwrap();
        assert_eq!((lines.good.len(), lines.bad), (0, vec![1, 3]));
    }

    #[test]
    fn reports_read_well() {
        let good = Report { sealed: 12, unsealed: 1, checkpoints: 1, checkpoint_seq: Some(10), bad: None };
        assert_eq!(
            told(TenantId(1), &good),
            "Tenant 1: 12 rows are right. 1 row is not sealed yet. A signed checkpoint covers rows up to 10."
        );
        let bad = Report {
            sealed: 4,
            bad: Some(Bad { seq: Some(5), id: None, fault: Fault::Missing }),
            ..Report::default()
        };
        assert_eq!(told(TenantId(1), &bad), "Tenant 1: BAD. Row 5 is missing. 4 rows are right before it.");
    }
}
