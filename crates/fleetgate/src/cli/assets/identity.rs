//! `fleetgate assets proposals`, `merge`, `split`, `keep-both`, `never-match`: the same machine twice.

use clap::Args;
use serde_json::{Map, Value, json};

use super::show;
use crate::{
    api_client::{Paging, Query},
    cli::{Session, clock, exit::Exit, failure::Failure, resolve},
    output::{
        table::{name, prose, whole},
        text::plain,
        value::{ago, find, list, shown, text},
    },
    prompt,
};

/// `assets merge`.
#[derive(Args, Debug)]
pub(crate) struct MergeArgs {
    /// One of the two, by name or id; or the id of a proposal.
    asset: String,
    /// The other one, by name or id. Not with a proposal.
    #[arg(long, value_name = "ASSET")]
    with: Option<String>,
    /// Which of the two stays, by name or id; the older one if left out.
    #[arg(long, value_name = "ASSET")]
    keep: Option<String>,
    /// Whose the machine is, where the two are of two clients.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// `assets split`.
#[derive(Args, Debug)]
pub(crate) struct SplitArgs {
    /// Name or id.
    asset: String,
    /// The source that is taken out: name of the integration, or id of the device. May be left out if there are two.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
}

pub(super) async fn proposals(paging: &Paging, session: &Session) -> Result<(), Failure> {
    let listed = session.client.list(&["proposals"], &vec![("state", "open".to_owned())], paging).await?;
    let now = clock::now();
    session.print_list(
        &listed,
        &[
            name("Machine", 0),
            name("May be the same as", 0),
            prose("Evidence", 1),
            whole("Score", 2),
            whole("Found", 3),
            whole("Proposal", 0),
        ],
        |proposal| {
            vec![
                shown(proposal, "asset_name|asset_id"),
                shown(proposal, "other_asset_name|other_asset_id"),
                shown(proposal, "reason"),
                shown(proposal, "score"),
                ago(proposal, "created_at", now),
                shown(proposal, "id"),
            ]
        },
    )
}

pub(super) async fn merge(args: MergeArgs, session: &Session) -> Result<(), Failure> {
    let client = &session.client;
    let is_proposal = resolve::is_id(&args.asset, "pro");
    let mut body = Map::new();
    if let Some(keep) = &args.keep {
        body.insert("keep".to_owned(), json!(resolve::asset(client, keep).await?));
    }
    if let Some(owner) = &args.client {
        body.insert("client_id".to_owned(), json!(resolve::client(client, owner).await?));
    }
    let (path, question) = match (&args.with, is_proposal) {
        (None, true) => (
            ["proposals".to_owned(), args.asset.clone()],
            "Make the two machines of this proposal one?".to_owned(),
        ),
        (Some(with), false) => {
            let one = resolve::asset(client, &args.asset).await?;
            body.insert("other".to_owned(), json!(resolve::asset(client, with).await?));
            (["assets".to_owned(), one], format!("Make `{}` and `{with}` one machine?", args.asset))
        }
        (Some(_), true) => {
            return Err(Failure::usage("a proposal names both machines: leave out `--with`"));
        }
        (None, false) => {
            let failure = Failure::usage("with which machine?");
            return Err(failure.advise("Add `--with ASSET`, or name a proposal: fleetgate assets proposals"));
        }
    };
    prompt::confirm(&plain(&format!("{question} A split undoes it.")), args.yes.into())?;
    let answer = client.post(&[&path[0], &path[1], "merge"], &Value::Object(body)).await?;
    session.print_one(&answer, |asset| show::print(asset, session))
}

pub(super) async fn split(args: SplitArgs, session: &Session) -> Result<(), Failure> {
    let client = &session.client;
    let id = resolve::asset(client, &args.asset).await?;
    let asset = client.get(&["assets", &id], &Query::new()).await?.value;
    let device = source(&asset, args.source.as_deref())?;
    let answer = client.post(&["assets", &id, "split"], &json!({ "device_id": device })).await?;
    session.print_one(&answer, |split| {
        session.output.line(&plain(&format!(
            "`{}` ({}) is a machine of its own again; `{}` ({}) has {} left.",
            shown(split, "restored.name"),
            shown(split, "restored.id"),
            shown(split, "kept.name"),
            shown(split, "kept.id"),
            sources_left(list(split, "kept.sources").len()),
        )))
    })
}

fn sources_left(n: usize) -> String {
    if n == 1 { "one source".to_owned() } else { format!("{n} sources") }
}

/// The device of a source by its id or by the name of its integration; without either the one that does not lead, if it is
/// the only one.
pub(super) fn source(asset: &Value, wanted: Option<&str>) -> Result<String, Failure> {
    let sources = list(asset, "sources");
    let fits = |source: &&Value| match wanted {
        Some(wanted) => {
            text(source, "device_id") == Some(wanted)
                || shown(source, "integration_name").eq_ignore_ascii_case(wanted)
        }
        None => find(source, "leads") == Some(&Value::Bool(false)),
    };
    let fitting: Vec<&Value> = sources.iter().filter(fits).collect();
    if let [only] = fitting.as_slice() {
        return Ok(shown(only, "device_id"));
    }
    let asset_name = shown(asset, "name");
    let problem = match (sources.len(), wanted, fitting.len()) {
        (0 | 1, None, _) => format!("`{asset_name}` has one source: nothing was merged into it"),
        (_, Some(wanted), 0) => format!("`{asset_name}` has no source `{wanted}`"),
        (_, Some(wanted), _) => {
            format!("`{asset_name}` has several sources `{wanted}`; name one by its device")
        }
        (_, None, _) => format!("`{asset_name}` has several sources; say which with `--source`"),
    };
    let failure = Failure::new(Exit::Refused, "which_source", problem);
    Err(sources.iter().fold(failure, |failure, source| {
        let line = format!(
            "{} at {} ({})",
            shown(source, "external_id"),
            shown(source, "integration_name"),
            shown(source, "device_id")
        );
        failure.advise(plain(&line))
    }))
}

pub(super) async fn answer(wanted: &str, answer: &str, said: &str, session: &Session) -> Result<(), Failure> {
    let id = resolve::proposal(&session.client, wanted).await?;
    let answer = session.client.post(&["proposals", &id, answer], &json!({})).await?;
    session.print_one(&answer, |_| session.output.line(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_its_rmm_or_its_device() {
        let source_of = |device: &str, name: &str, leads: bool| json!({ "device_id": device, "integration_name": name, "leads": leads, "external_id": "x" });
        let two = json!({ "name": "PC", "sources": [source_of("dev_1", "Main", true), source_of("dev_2", "Other", false)] });
        assert_eq!(source(&two, None).unwrap(), "dev_2");
        assert_eq!(source(&two, Some("main")).unwrap(), "dev_1");
        assert_eq!(source(&two, Some("dev_1")).unwrap(), "dev_1");
        assert_eq!(source(&two, Some("third")).unwrap_err().exit, Exit::Refused);
        let one = json!({ "name": "PC", "sources": [source_of("dev_1", "Main", true)] });
        assert_eq!(source(&one, None).unwrap_err().exit, Exit::Refused);
        let three = json!({ "name": "PC", "sources": [
            source_of("dev_1", "Main", true), source_of("dev_2", "Main", false), source_of("dev_3", "Main", false),
        ] });
        assert!(source(&three, None).is_err() && source(&three, Some("Main")).is_err());
    }
}
